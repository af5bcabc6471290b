"""Checkpoints on disk: safetensors files and an index of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from gnndiff.errors import DamagedFileError
from gnndiff.files import sha256, write_text


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


def write_checkpoint(path: Path, state: dict[str, Tensor]) -> str:
    """Write a state dict, and return the hash of its file."""
    save_file({name: tensor.cpu().contiguous() for name, tensor in state.items()}, path)
    return sha256(path)


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


def write_index(folder: Path, checkpoints: list[Checkpoint]) -> None:
    """Write the index of a zoo folder."""
    write_text(folder / "index.jsonl", "".join(json.dumps(asdict(each)) + "\n" for each in checkpoints))


def read_index(folder: Path) -> list[Checkpoint]:
    """The index of a zoo folder, empty where there is none.

    Raises:
        DamagedFileError: A line is none of an index, or names a file outside the folder.
    """
    path = folder / "index.jsonl"
    if not path.exists():
        return []
    try:
        checkpoints = [Checkpoint(**json.loads(line)) for line in path.read_text().splitlines()]
        for checkpoint in checkpoints:
            if Path(checkpoint.file).name != checkpoint.file:
                raise ValueError(f"file {checkpoint.file!r} is no name in the folder")
    except (ValueError, TypeError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}): delete it and run `gnndiff collect`") from error
    return checkpoints


def complete(folder: Path, checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """The checkpoints of those trainings whose files are all there."""
    there = [checkpoint for checkpoint in checkpoints if (folder / checkpoint.file).exists()]
    counts = Counter(checkpoint.member for checkpoint in there)
    return [checkpoint for checkpoint in there if counts[checkpoint.member] == checkpoint.siblings]
