"""Files that are written as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gnndiff.errors import DamagedFileError


def write_text(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, as a whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON object of a run."""
    try:
        value = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}): delete it and run its stage again") from error
    if not isinstance(value, dict):
        raise DamagedFileError(f"{path} is damaged (no JSON object): delete it and run its stage again")
    return value


def sha256(path: Path) -> str:
    """Hash of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name as a whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    yield partial
    shutil.rmtree(path, ignore_errors=True)
    os.replace(partial, path)
