"""Checkpoints on disk: safetensors files and an index of them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from gnndiff.errors import DamagedFileError
from gnndiff.files import digest, sha256, write_text


@dataclass(frozen=True)
class Checkpoint:
    """One line of the zoo's index.

    Args:
        file: Name in the zoo folder.
        sha256: Hash of that file.
        setting: Its hyperparameters.
        member: Number of its training; the training's seed and view of the graph follow from it.
        seed: Seed of its training.
        epoch: Epoch that it was taken at.
        val: Validation score on the whole graph.
        split_hash: Hash of the split that it was trained on.
        seconds: Its share of the time of its training.
        siblings: Number of checkpoints of that training.
    """

    file: str
    sha256: str
    setting: dict[str, Any]
    member: int
    seed: int
    epoch: int
    val: float
    split_hash: str
    seconds: float
    siblings: int


def read_checkpoint(folder: Path, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The state dict of a checkpoint.

    Raises:
        DamagedFileError: Its file is missing, or does not hold what was written.
    """
    path = folder / checkpoint.file
    if not path.exists():
        raise DamagedFileError(f"{path} is missing: run `gnndiff collect` to train it again")
    if sha256(path) != checkpoint.sha256:
        raise DamagedFileError(
            f"{path} is damaged, its content has another hash than in the index: delete it and run `gnndiff collect` "
            "to train it again"
        )
    return load_file(path)


def write_index(folder: Path, checkpoints: list[Checkpoint], owner: str) -> None:
    """Write the index of a zoo folder, each line with a checksum that is of its owner."""
    lines = [json.dumps({**asdict(each), "check": _check(asdict(each), owner)}) + "\n" for each in checkpoints]
    write_text(folder / "index.jsonl", "".join(lines))


def index_digest(folder: Path, owner: str) -> str | None:
    """Hash of an index, whose times do not count; None where there is none."""
    if not (folder / "index.jsonl").is_file():
        return None
    return digest([{**asdict(each), "seconds": None} for each in read_index(folder, owner)])


def read_index(folder: Path, owner: str, split_hash: str | None = None) -> list[Checkpoint]:
    """The index of a zoo folder, empty where there is none.

    Args:
        folder: The zoo folder.
        owner: The run or sweep that it must be of.
        split_hash: Hash of the split that all checkpoints must have been trained on, where it is known.

    Raises:
        DamagedFileError: A line is none of an index, occurs twice, is of another split, or names a file outside the
            folder.
    """
    path = folder / "index.jsonl"
    if not path.exists():
        return []
    try:
        checkpoints = [_checkpoint(line, owner) for line in path.read_text(encoding="utf-8").splitlines()]
        twice = [name for name, count in Counter(each.file for each in checkpoints).items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]} occurs twice")
        if split_hash is not None and any(each.split_hash != split_hash for each in checkpoints):
            raise ValueError("it is of another split")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}): delete it, and `gnndiff run` makes it again") from error
    return checkpoints


def _check(values: dict[str, Any], owner: str) -> str:
    return digest([owner, values])[:16]


def _checkpoint(line: str, owner: str) -> Checkpoint:
    values = json.loads(line)
    check = values.pop("check", None) if isinstance(values, dict) else None
    names = [entry.name for entry in fields(Checkpoint)]
    if not isinstance(values, dict) or sorted(values) != sorted(names):
        raise ValueError(f"got the line {line[:40]!r}, expected an object with {', '.join(names)}")
    wrong = [name for name in names if not _RIGHT[name](values[name])]
    if wrong:
        raise ValueError(f"got {wrong[0]}={values[wrong[0]]!r}")
    if check != _check(values, owner):
        raise ValueError("a line is not as it was written, or is of another run")
    return Checkpoint(**values)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_text(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


_RIGHT: dict[str, Callable[[Any], bool]] = {
    "file": _is_text(r"\w[\w.-]*\.safetensors"),
    "sha256": _is_text("[0-9a-f]{64}"),
    "setting": lambda value: isinstance(value, dict),
    "member": _is_count,
    "seed": _is_count,
    "epoch": _is_count,
    "val": _is_number,
    "split_hash": _is_text(".+"),
    "seconds": lambda value: _is_number(value) and 0 <= value < math.inf,
    "siblings": lambda value: _is_count(value) and value > 0,
}


def complete(folder: Path, checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints of those trainings whose files are all there, as they were written."""
    there = [
        each for each in checkpoints if (folder / each.file).is_file() and sha256(folder / each.file) == each.sha256
    ]
    counts = Counter(checkpoint.member for checkpoint in there)
    return [checkpoint for checkpoint in there if counts[checkpoint.member] == checkpoint.siblings]
