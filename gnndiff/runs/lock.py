"""The lock of a run folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gnndiff.errors import RunFolderError

_PARTIAL = re.compile(r"\.[0-9a-f]{12}\.part")


def is_partial(path: Path) -> bool:
    """Whether a process that was killed within a write left a file."""
    return _PARTIAL.fullmatch(path.name) is not None


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
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise RunFolderError(f"another process works in {folder}: wait for it, or stop it") from error
    try:
        for path in folder.rglob(".*.part"):
            if is_partial(path):
                path.unlink(missing_ok=True)
        yield
    finally:
        lock.release()
