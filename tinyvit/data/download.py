"""Download a file from the first mirror that serves it unaltered."""

import os
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tinyvit.errors import DataError

TIMEOUT = 30  # seconds without an answer, after which the next mirror is tried
LEFT = 600  # seconds without a change, after which nobody writes to a file
VARIABLE = "TINYVIT_DATA"


class UnwritableError(DataError):
    """A folder that nothing can be downloaded into."""


def download(file, mirrors, checksum, folder):
    """Fetch `file` into `folder`, unless it lies there already with the right checksum.

    Parameters
    ----------
    file : str, the file's name, the same on all mirrors
    mirrors : URLs ending in "/", tried in turn
    checksum : str, SHA-256 in hexadecimal digits; or another kind's after its name: "md5:..."
    folder : path, made if it is not there

    Returns
    -------
    Path of the file; it is never there in part, or unchecked

    Raises
    ------
    DataError
        If no mirror served the file: what each of them answered. UnwritableError, if it cannot be kept.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # it would announce every file; the bar says enough
    _remove_what_was_left(folder)
    known, answers = checksum if ":" in checksum else f"sha256:{checksum}", []
    for mirror in mirrors:
        try:
            downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
            return Path(pooch.retrieve(mirror + file, known, file, folder, downloader=downloader))
        except (requests.RequestException, ConnectionError, TimeoutError, ValueError) as error:
            answers.append(f"{urlsplit(mirror).netloc}: {_reason(error)}")
        except OSError as error:  # of the disk: no mirror can help
            reason = error.strerror or getattr(error.__cause__, "strerror", None) or str(error)
            raise UnwritableError(f"cannot write to {folder}: {reason}") from None
    raise DataError(f"cannot download {file} ({'; '.join(answers)})")


def _reason(error):
    """A few words; the libraries' own texts run over several lines, or repeat the whole chain of calls."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "wrong checksum" if "hash" in str(error) else str(error).partition("\n")[0]


def _remove_what_was_left(folder):
    """Remove what a download that was killed left in a folder: pooch writes to a file whose name Python chooses."""
    for path in Path(folder).glob("tmp" + 8 * "?"):
        with suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > LEFT:
                path.unlink()


def not_found(title, error, files, folder):
    """The error that a set which is published is not here, and how to do without the download that failed.

    Parameters
    ----------
    title : of the set
    error : DataError of `download`
    files : the set's files, in words
    folder : where a download would be kept
    """
    set_by_user = os.environ.get(VARIABLE)
    nor = f", nor in ${VARIABLE}, which is {set_by_user}" if set_by_user else ""
    by_hand = f"name a folder that holds {files} with --data-dir or ${VARIABLE}"
    if not isinstance(error, UnwritableError):
        by_hand = f"put {files} into {folder} by hand, or {by_hand}"
    return DataError(f"{title} was not found on this machine{nor}: {error}; {by_hand}")
