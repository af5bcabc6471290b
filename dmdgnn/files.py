"""Tensors in safetensors files, written as a whole or not at all and with a hash that is checked."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from dmdgnn.errors import FileError, MissingPackageError

_HASH = "sha256"


def save_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], names: set[str]) -> None:
    """Write tensors so that a reader finds the old file or the new one, also after a loss of power.

    Args:
        path: The file. One that is there is replaced only if it is empty or a safetensors file with all `names`.
        tensors: Tensors to write.
        names: Tensors by which files of this kind are known.

    Raises:
        FileError: The path cannot be written to, or holds anything else.
        MissingPackageError: safetensors is not installed.
    """
    path = _as_path(path)
    plain = dict(_stored(name, tensor.detach().cpu()) for name, tensor in tensors.items())
    content = _safetensors().torch.save(plain, {_HASH: _digest(plain)})
    try:
        target = path.resolve()
        mode = None
        if target.exists():
            if not target.is_file() or not os.access(target, os.W_OK):
                raise FileError(f"{path} is no file that can be replaced: use another path")
            if target.stat().st_size and not names <= {_name(stored) for stored in _read(target)[0]}:
                raise FileError(f"{path} holds something else, so it is left as it is: use another path, or remove it")
            mode = stat.S_IMODE(target.stat().st_mode)
        partial = target.with_name(f".{secrets.token_hex(6)}.part")
        try:
            # With the mode that the umask gives.
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                os.chmod(partial, mode)
            os.replace(partial, target)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        _sync_folder(target.parent)
    except FileError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"cannot write {str(path)!r} ({reason}): choose a path with room that you may use") from error


def load_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read tensors, and compare them with the hash that :func:`save_tensors` wrote; other files have none.

    Raises:
        FileError: The file is not there, cannot be read, or is damaged.
        MissingPackageError: safetensors is not installed.
    """
    path = _as_path(path)
    if not path.is_file():
        raise FileError(f"there is no file {path}")
    tensors, expected = _read(path)
    if expected not in (None, _digest(tensors)):
        raise FileError(f"{path} does not hold what was written to it: restore it from a copy, or make it again")
    return {_name(stored): torch.view_as_complex(t) if _name(stored) != stored else t for stored, t in tensors.items()}


def _as_path(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise FileError(f"got {path!r}, expected a path, such as 'operator.safetensors'")
    return Path(path)


# The format has no complex double precision: pairs of real numbers stand for complex ones.
_COMPLEX = "complex_"


def _stored(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """A tensor as it goes into a file, with its name there."""
    if tensor.is_complex():
        name, tensor = _COMPLEX + name, torch.view_as_real(tensor.resolve_conj())
    return name, tensor.contiguous().clone()


def _name(stored: str) -> str:
    """The name of a tensor whose name in a file is `stored`."""
    return stored.removeprefix(_COMPLEX)


def _read(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """Tensors of a file and the hash that it states."""
    try:
        with _safetensors().safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, (file.metadata() or {}).get(_HASH)  # noqa: SIM118
    except Exception as error:  # of the parser's own kinds
        raise FileError(f"{path} cannot be read as safetensors ({error}): it is damaged or another file") from error


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, dtypes, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk, where folders can be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _safetensors() -> ModuleType:
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise MissingPackageError("saving and loading operators needs safetensors: pip install safetensors") from error
    return safetensors
