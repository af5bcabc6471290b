"""Files and folders of a run, which are written as a whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gnndiff.errors import DamagedFileError
from graphtasks import InvalidDataError
from graphtasks import files as _files
from graphtasks.files import explained, sha256, sync_folder, write_json, write_text

__all__ = ["new_folder", "read_json", "sha256", "write_json", "write_text"]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a run.

    Raises:
        DamagedFileError: The file holds something else.
    """
    try:
        return _files.read_json(path)
    except InvalidDataError as error:
        raise DamagedFileError(f"{path} is damaged ({error}): delete it and run its stage again") from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name as a whole or not at all, in the place of one that is there.

    Its files reach the disk before it gets the name.
    """
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with explained(partial, "write"):
        partial.mkdir()
    yield partial
    with explained(path, "write"):
        for folder, _, names in os.walk(partial):
            for name in names:
                _sync(Path(folder) / name)
            sync_folder(Path(folder))
        shutil.rmtree(path, ignore_errors=True)
        os.replace(partial, path)
        sync_folder(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
