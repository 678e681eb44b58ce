"""Pictures in a .zip: never unpacked to disk, and nothing of it believed, for it may come from anywhere."""

import io
import re
import stat
import zipfile
import zlib
from contextlib import contextmanager

from tinyvit.data.folders import HIDDEN, Entry, Folder
from tinyvit.errors import DataError, TinyvitError

UTF8 = 0x800  # the flag of a name that says it is UTF-8
ENCRYPTED = 0x1
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a limit
LARGEST_FILE = 2**28  # bytes of one picture, unpacked
LARGEST_RATIO = 100  # unpacked to packed, of the whole archive: pictures are packed already
SMALL = 2**27  # bytes that any archive may unpack to
AGAIN = "pack the pictures again"


@contextmanager
def opened(path):
    """The archive at a path, as a ZipFile; whatever is wrong with the archive itself is said in one line.

    Raises
    ------
    DataError
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except TinyvitError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:  # versions and names of entries
        raise DataError(
            f"{path}: not a zip archive, or damaged ({error}); expected a folder or .zip of pictures"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def tree(path, archive):
    """The Folder of what an archive holds, once every entry is known to be harmless.

    Raises
    ------
    DataError
        If an entry leads out of the archive, is a link, is encrypted, is there twice, or unpacks to more than
        pictures do.
    """
    root, size, total = Folder(""), path.stat().st_size, 0
    for info in archive.infolist():
        parts, is_folder = _parts(path, info), info.orig_filename.endswith(("/", "\\"))
        if any(part.startswith(HIDDEN) for part in parts):
            continue
        _check(path, info)
        total += info.file_size
        folder = root
        for depth, part in enumerate(parts if is_folder else parts[:-1], 1):
            folder = folder.folders.setdefault(part, Folder("/".join(parts[:depth])))
        if not is_folder:
            if parts[-1] in folder.files:
                raise DataError(f"{path}: found two files named {'/'.join(parts)!r}, expected one; {AGAIN}")
            folder.files[parts[-1]] = Entry("/".join(parts), info.file_size, member=info)
    if total > max(SMALL, LARGEST_RATIO * size):
        most = f"at most {LARGEST_RATIO} times its size"
        raise DataError(
            f"{path}: found {size} bytes that unpack to {total}, expected {most}, as pictures have; {AGAIN}"
        )
    return root


def read(archive, name, info):
    """The bytes of one file, as an open file.

    Raises
    ------
    DataError
        If it is damaged, or longer than it declares: at most that is ever unpacked.
    """
    try:
        with archive.open(info) as file:
            return io.BytesIO(file.read(info.file_size + 1))  # a limit; without one all would be unpacked, then cut
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise DataError(f"{name}: damaged in the archive: {error}") from None


def _parts(path, info):
    """The path of an entry, split; one that could lead anywhere but into the archive's own folder is refused."""
    name = info.orig_filename  # ZipFile cuts a name at a zero byte
    if not info.flag_bits & UTF8:
        name = _unmarked(name)
    plain = name.replace("\\", "/")
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    if (
        plain.startswith("/")
        or re.match("[A-Za-z]:", plain)
        or ".." in parts
        or "\0" in name
        or not (parts or plain.endswith("/"))
    ):
        raise DataError(f"{path}: the entry {name!a} leads out of the archive, expected CLASS/picture; {AGAIN}")
    return parts


def _unmarked(name):
    """A name without the mark of UTF-8: UTF-8 all the same, if it can be (macOS writes such), else as it was read."""
    try:
        return name.encode("cp437").decode("utf-8")
    except ValueError:
        return name


def _check(path, info):
    """Refuse an entry that is no ordinary file of ordinary size."""
    if stat.S_ISLNK(info.external_attr >> 16):
        raise DataError(
            f"{path}: the entry {info.filename!a} is a link, expected a picture; {AGAIN}, with the files themselves"
        )
    if info.flag_bits & ENCRYPTED:
        raise DataError(
            f"{path}: {info.filename!a} is encrypted, expected an archive without password; {AGAIN}, without one"
        )
    if info.compress_type not in PACKED:
        expected = "expected the ordinary one (deflate)"
        raise DataError(f"{path}: {info.filename!a} is packed by method {info.compress_type}, {expected}; {AGAIN}")
    if info.file_size > LARGEST_FILE:
        expected = f"expected at most {LARGEST_FILE}, as a picture has"
        raise DataError(f"{path}: {info.filename!a} unpacks to {info.file_size} bytes, {expected}; {AGAIN}")
