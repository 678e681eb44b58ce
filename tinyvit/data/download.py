"""Download a file from the first mirror that serves it unaltered."""

from pathlib import Path
from urllib.parse import urlsplit

from tinyvit.errors import DataError

TIMEOUT = 30  # seconds without an answer, after which the next mirror is tried


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
        If no mirror served the file: what each of them answered.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # it would announce every file; the bar says enough
    known, answers = checksum if ":" in checksum else f"sha256:{checksum}", []
    for mirror in mirrors:
        try:
            downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
            return Path(pooch.retrieve(mirror + file, known, file, folder, downloader=downloader))
        except (OSError, ValueError) as error:  # requests' errors are OSErrors, pooch's wrong checksum is a ValueError
            answers.append(f"{urlsplit(mirror).netloc}: {_reason(error)}")
    raise DataError(f"cannot download {file} ({'; '.join(answers)})")


def _reason(error):
    """A few words; the libraries' own texts run over several lines, or repeat the whole chain of calls."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "wrong checksum" if "hash" in str(error) else str(error).partition("\n")[0]
