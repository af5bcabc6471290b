"""Where raw files are looked for, and the cache folder of what is made from them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch_geometric

from graphtasks.errors import FileError, GraphTasksError, InvalidDataError, MissingFilesError
from graphtasks.files import explained, read_json, sha256, write_json
from graphtasks.sources.checksums import check_file

ROOT_VARIABLE = "GRAPHTASKS_ROOT"

HASHES = "hashes.json"


def cache_folder() -> Path:
    """Folder of downloads and processed files: `$XDG_CACHE_HOME/graphtasks`, by default `~/.cache/graphtasks`."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder.expanduser().absolute() / "graphtasks"


def resolve_root(root: Path | None) -> Path:
    """Folder of raw files: the argument, else `$GRAPHTASKS_ROOT`, else the cache folder."""
    if root is None and os.environ.get(ROOT_VARIABLE):
        root = Path(os.environ[ROOT_VARIABLE])
    return (root or cache_folder()).expanduser().resolve()


@dataclass(frozen=True)
class RawFiles:
    """The raw files of one dataset.

    Args:
        name: Name of the task, for messages.
        folder: Their folder below the root.
        files: Their names in it.
        open: `open(root)` lets the dataset's class process and check what it finds below a root, or download it there.
    """

    name: str
    folder: str
    files: tuple[str, ...]
    open: Callable[[Path], object]

    def found(self, root: Path) -> bool:
        """Whether any of the files is in the root."""
        return any((root / self.folder / file).is_file() for file in self.files)

    def read(self, root: Path) -> object:
        """Result of the dataset's class for the raw files; see :meth:`stage`."""
        staged = self.stage(root)
        try:
            return self.open(staged)
        except Exception:  # the cache is broken, as after a crash of the machine
            shutil.rmtree(staged)
        return self.open(self.stage(root))

    def stage(self, root: Path) -> Path:
        """A root in the cache with links to the raw files and what the dataset's class made of them.

        Its name carries a fingerprint of the raw files, so that processed files never outlive what they were made
        from, and it appears as a whole, so that a broken one is never used.

        Raises:
            MissingFilesError: Some of the files are missing, or all and they cannot be downloaded.
            FileError: The cache cannot be written to.
            InvalidDataError: One is not the published file, or they cannot be read.
        """
        raw = self._raw(root)
        stats = [(raw / file).stat() for file in self.files]
        fingerprint = repr(
            [torch_geometric.__version__, *((stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for stat in stats)]
        )
        staged = cache_folder() / hashlib.sha256(f"{self.name}{raw}{fingerprint}".encode()).hexdigest()[:16]
        if staged.is_dir():
            if _intact(staged):
                return staged
            with explained(staged, "remove"):
                shutil.rmtree(staged)
        for file in self.files:
            check_file(raw / file, f"{self.folder}/{file}")
            # PyG drops what follows the last line end.
            if file.endswith((".txt", ".index")) and not (raw / file).read_bytes().endswith(b"\n"):
                raise InvalidDataError(f"{raw / file} of {self.name!r} ends within a line: it is cut off, replace it")
        with _temporary_folder() as folder:
            (folder / self.folder).mkdir(parents=True)
            for file in self.files:
                link = folder / self.folder / file
                try:
                    link.symlink_to(raw / file)
                except OSError:  # a system without links
                    shutil.copy2(raw / file, link)
            try:
                self.open(folder)
                _write_hashes(folder)
            except Exception as error:
                if _is_of_the_disk(error):
                    raise FileError(
                        f"{self.name!r} cannot be kept in the cache {cache_folder()} ({str(error).splitlines()[0]}): "
                        "free some space, or set $XDG_CACHE_HOME to a folder with room that you may use"
                    ) from error
                raise InvalidDataError(
                    f"{self.name!r} cannot be read from {raw} ({type(error).__name__}: {error}): replace its files"
                ) from error
            with contextlib.suppress(OSError):  # another process was first
                folder.rename(staged)
        return staged

    def _raw(self, root: Path) -> Path:
        """Folder of the raw files: in the root, else in the cache, else in the cache after a download."""
        for raw in (root / self.folder, cache_folder() / self.folder):
            missing = [file for file in self.files if not (raw / file).is_file()]
            if not missing:
                return raw
            if len(missing) < len(self.files):
                raise MissingFilesError(
                    f"{self.name!r} is incomplete in {raw}: missing {', '.join(missing)}; add or remove files"
                )
        with _temporary_folder() as temporary:
            try:
                self.open(temporary)
            except Exception as error:
                raise MissingFilesError(
                    f"{self.name!r} is not in {root / self.folder} and cannot be downloaded "
                    f"({type(error).__name__}: {error}): put {', '.join(self.files)} there"
                ) from error
            raw.parent.mkdir(parents=True, exist_ok=True)
            try:
                (temporary / self.folder).rename(raw)
            except OSError:  # another process was first, or other files are there
                for file in self.files:
                    (temporary / self.folder / file).replace(raw / file)
        return raw


def _write_hashes(folder: Path) -> None:
    """Write down what is in a folder: the SHA-256 of each file that was made there, linked ones left out."""
    made = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    write_json(folder / HASHES, {path.relative_to(folder).as_posix(): sha256(path) for path in made})


def _intact(folder: Path) -> bool:
    """Whether all that was written down is there as it was."""
    try:
        hashes = read_json(folder / HASHES)
        return all(sha256(folder / name) == digest for name, digest in hashes.items())
    except GraphTasksError:
        return False


def _is_of_the_disk(error: BaseException | None) -> bool:
    """Whether the cache rather than a raw file is at fault; torch's writer has errors of its own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            return True
        if "PytorchStreamWriter" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder in the cache that is gone afterwards unless it was renamed."""
    with explained(cache_folder(), "write to the cache"):
        cache_folder().mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=cache_folder(), prefix="partial-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
