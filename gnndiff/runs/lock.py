"""The lock of a run folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gnndiff.errors import RunFolderError
from gnndiff.files import is_partial
from graphtasks.files import explained


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes away from a folder; the lock ends with this process, however that ends.

    A folder that cannot be written to needs none.

    Raises:
        RunFolderError: Another process works in the folder.
    """
    if not os.access(folder, os.W_OK):
        yield
        return
    lock = FileLock(folder / ".lock")
    with explained(folder / ".lock", "lock"):
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise RunFolderError(f"another process works in {folder}: wait for it, or stop it") from error
    try:
        with explained(folder, "tidy up"):
            for path in [path for path in folder.rglob(".*.part") if is_partial(path)]:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
