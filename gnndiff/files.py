"""Files and folders of a run, which are written as a whole or not at all, and compared with their hashes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from gnndiff.errors import DamagedFileError, RunFolderError
from graphtasks import InvalidDataError
from graphtasks import files as _files
from graphtasks.files import explained, sha256, sync_folder, write_bytes, write_json, write_text

__all__ = [
    "SEAL",
    "check_folder",
    "check_place",
    "check_seal",
    "digest",
    "is_partial",
    "new_folder",
    "read_checked",
    "read_json",
    "seal",
    "sha256",
    "write_bytes",
    "write_checked",
    "write_json",
    "write_tensors",
    "write_text",
]

SEAL = "hashes.json"
"""The file of a folder that has the hashes of all its other files."""

_PARTIAL = re.compile(r"\.[0-9a-f]{12}\.part")


def digest(value: Any) -> str:
    """SHA-256 of a value as JSON, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def read_json(path: Path, command: str = "gnndiff run") -> dict[str, Any]:
    """Read a JSON object of a run.

    Args:
        path: The file.
        command: The command that writes it.

    Raises:
        DamagedFileError: The file holds something else.
    """
    try:
        return _files.read_json(path)
    except InvalidDataError as error:
        raise DamagedFileError(f"{path} is damaged ({error}): delete it, and `{command}` makes it again") from error


def write_checked(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object with a checksum of its content."""
    write_json(path, {**value, "check": digest(value)})


def read_checked(path: Path, command: str = "gnndiff run") -> dict[str, Any]:
    """Read what :func:`write_checked` wrote.

    Raises:
        DamagedFileError: The file holds something else.
    """
    value = read_json(path, command)
    if value.pop("check", None) != digest(value):
        raise DamagedFileError(f"{path} is not as it was written: delete it, and `{command}` makes it again")
    return value


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors as safetensors, and return the hash of the file."""
    # Clones, since tied tensors share their memory; bytes, since `save_file` makes files that only their owner reads.
    content = save({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()})
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def seal(folder: Path) -> None:
    """Write the hashes of all files of a folder into it."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    write_checked(folder / SEAL, {name: sha256(folder / name) for name in names if name != SEAL})


def check_seal(folder: Path, command: str = "gnndiff run") -> list[str]:
    """Names of the files of a sealed folder that are missing.

    Raises:
        DamagedFileError: A file does not hold what was written to it.
    """
    if not (folder / SEAL).is_file():
        return [SEAL]
    missing = []
    for name, expected in read_checked(folder / SEAL, command).items():
        if not (folder / name).is_file():
            missing.append(name)
        elif sha256(folder / name) != expected:
            raise DamagedFileError(
                f"{folder / name} is not as it was written: delete it, and `{command}` makes it again"
            )
    return missing


def is_partial(path: Path) -> bool:
    """Whether a process that was killed within a write left a file or folder."""
    return _PARTIAL.fullmatch(path.name) is not None


def check_folder(path: Path) -> None:
    """Raise `RunFolderError` where something else than a folder has the name of one."""
    if os.path.lexists(path) and not path.is_dir():
        raise RunFolderError(f"{path} is no folder and not from here, so it is left as it is: move it elsewhere")


def check_place(path: Path, files: Collection[str]) -> None:
    """Check that a folder of some files may be made, or replaced where it is there.

    Args:
        path: The folder.
        files: Names of its files but the seal, below the folder.

    Raises:
        RunFolderError: A file has its name, or it has files of somebody else.
    """
    check_folder(path)
    own = {Path(name) for name in (SEAL, *files)}
    own |= {folder for name in own for folder in name.parents}
    for file in sorted(path.rglob("*")):
        if file.relative_to(path) not in own and not is_partial(file):
            raise RunFolderError(f"{file} is not from here, so {path} is left as it is: move it elsewhere")


@contextmanager
def new_folder(path: Path, files: Collection[str]) -> Iterator[Path]:
    """A folder that appears under its name as a whole, with its seal, or not at all, in the place of one that is there.

    Its files reach the disk before it gets the name. A folder with other files is left as it is, and a link stays one.

    Args:
        path: The folder.
        files: Names of all files that it may have but the seal, below the folder.

    Raises:
        RunFolderError: There is a folder with files of somebody else.
    """
    check_place(path, files)
    with explained(path, "write"):
        path = Path(path).resolve()
        partial = path.with_name(f".{secrets.token_hex(6)}.part")
        partial.mkdir()
    try:
        yield partial
        with explained(path, "write"):
            seal(partial)
            check_place(path, files)
            for folder, _, _ in os.walk(partial):
                sync_folder(Path(folder))
            shutil.rmtree(path, ignore_errors=True)
            os.replace(partial, path)
            sync_folder(path.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
