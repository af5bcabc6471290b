"""Files that are written as a whole or not at all, and read with care."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from graphtasks.errors import FileError, GraphTasksError, InvalidDataError, MissingFilesError

try:
    import fcntl
except ImportError:  # a system without POSIX locks
    fcntl = None  # type: ignore[assignment]

_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "choose a path that you may use",
    errno.EPERM: "choose a path that you may use",
    errno.EROFS: "choose a path on another disk",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "make its folder",
    errno.ENOTDIR: "choose another path",
    errno.EIO: "check the disk",
}
# A folder cannot be synchronised there, and need not be.
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF)


def as_path(path: str | os.PathLike[str]) -> Path:
    """A path, or `FileError` for what is none."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise FileError(f"got {path!r}, expected a path, such as 'folder/file'")
    return Path(path)


def write_bytes(
    path: str | os.PathLike[str],
    content: bytes | Iterable[bytes | memoryview],
    *,
    ours: Callable[[Path], object] | None = None,
    what: str = "",
) -> None:
    """Write a file that a reader finds either as it was or as it is to be, also after a loss of power.

    The content goes into a new file of the same folder, reaches the disk, and takes the name of the old one. A new
    file has the mode that the umask gives, a replaced one keeps its own, and a link stays a link.

    Args:
        path: The file. Its folder exists.
        content: All of it, or its parts one after the other.
        ours: Raises `GraphTasksError` unless the file that is there already is one that may be replaced. An empty
            one always may.
        what: Name of such a file in the message, such as 'a split file'.

    Raises:
        MissingFilesError: There is no such folder.
        FileError: The path is a folder or a device, holds a file that is not ours, or cannot be written to. The file
            that was there is as it was.
    """
    path = as_path(path)
    with explained(path, "write"):
        target = path.resolve()
        if not target.parent.is_dir():
            raise MissingFilesError(f"there is no folder {path.parent}: make it, or write {path.name} elsewhere")
        mode = _mode_of_old(path, target, ours, what)
        partial = target.with_name(f".{secrets.token_hex(6)}.part")  # short, as names have a longest length
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
                file.writelines([content] if isinstance(content, bytes) else content)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                os.chmod(partial, mode)
            os.replace(partial, target)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        sync_folder(target.parent)


def _mode_of_old(path: Path, target: Path, ours: Callable[[Path], object] | None, what: str) -> int | None:
    """Mode of the file to be replaced, None if there is none, and an error if it may not be replaced."""
    try:
        old = target.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(old.st_mode):
        kind = "a folder" if stat.S_ISDIR(old.st_mode) else "no regular file"
        raise FileError(f"{path} is {kind}: give the path of a file")
    if not os.access(target, os.W_OK):
        raise FileError(f"{path} is there and write-protected: use another path, or lift its protection")
    if ours is not None and old.st_size:
        try:
            ours(target)
        except Exception as error:
            raise FileError(
                f"{path} is there and is not {what}, so it is left as it is: use another path, or remove it"
            ) from error
    return stat.S_IMODE(old.st_mode)


def check_replaceable(path: str | os.PathLike[str], *, ours: Callable[[Path], object], what: str) -> None:
    """Check that :func:`write_bytes` may replace what is at a path, before the work whose result goes there.

    Raises:
        FileError: The path is a folder or a device, holds a file that is not ours, or cannot be written to.
    """
    path = as_path(path)
    with explained(path, "write"):
        _mode_of_old(path, path.resolve(), ours, what)


def write_text(
    path: str | os.PathLike[str], text: str, *, ours: Callable[[Path], object] | None = None, what: str = ""
) -> None:
    """Write text in UTF-8 with the line ends it has, as :func:`write_bytes` does.

    Bytes of file names that are no UTF-8, which Python reads as surrogates, are written as they were.
    """
    write_bytes(path, text.encode(errors="surrogateescape"), ours=ours, what=what)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write a value as indented JSON that ends in a line break, as :func:`write_bytes` does."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        MissingFilesError: There is no such file.
        FileError: It cannot be read.
        InvalidDataError: It is empty, no JSON in UTF-8, nested too deeply, or JSON of something else than an object.
    """
    path = as_path(path)
    content = read_bytes(path)
    if not content:
        raise InvalidDataError(f"{path} is empty: restore it from a copy, or remove it")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InvalidDataError(f"{path} is no JSON ({reason}): restore it from a copy, or remove it") from error
    if not isinstance(value, dict):
        raise InvalidDataError(f"{path} holds a JSON {type(value).__name__}, expected an object: it is another file")
    return value


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a file.

    Raises:
        MissingFilesError: There is no such file.
        FileError: It cannot be read.
    """
    path = as_path(path)
    with explained(path, "read"):
        if path.is_dir():
            raise MissingFilesError(f"there is no file {path}, it is a folder: give the path of a file")
        if not path.is_file():
            raise MissingFilesError(f"there is no file {path}")
        return path.read_bytes()


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with explained(path, "read"), Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # no folder can be opened on this system
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(descriptor: int, path: str | os.PathLike[str], *, wait: bool = False) -> Iterator[None]:
    """Hold an open file or folder against all other writers that ask; it ends with the process at the latest.

    Args:
        descriptor: The file or folder.
        path: Its path.
        wait: Wait for another one's end.

    Raises:
        FileError: Another one holds it, and `wait` is not given.
    """
    if fcntl is None:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        raise FileError(f"another process writes to {path}: wait for its end, or use another path") from error
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def explained(path: str | os.PathLike[str], verb: str) -> Iterator[None]:
    """Turn the system's errors about a path into `FileError` with what to do."""
    try:
        yield
    except GraphTasksError:
        raise
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "choose another path")
        raise FileError(f"cannot {verb} {path} ({error.strerror or error}): {advice}") from error
    except (ValueError, RuntimeError) as error:  # a name with a null character, a circle of links
        raise FileError(f"cannot {verb} {str(path)!r} ({error}): choose another path") from error
