"""Facts about a checkpoint, as a line of an index."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from gnndiff.files import digest

START = b'{"shard": "'
"""The beginning of every line, by which one that was cut short is known."""


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint.

    Args:
        shard: Name of the file that holds it, in the folder of the index.
        row: Its number in that file.
        sha256: Hash of names, types, shapes and entries of its tensors.
        setting: Its hyperparameters.
        member: Number of its training; the training's seed and view of the graph follow from it.
        root: Number of the training that its own one went on from, by which their hidden units have one order; its own
            number where it began anew.
        seed: Seed of its training.
        epoch: Epoch that it was taken at.
        val: Validation score on the whole graph.
        split_hash: Hash of the split that it was trained on.
        seconds: Its share of the time of its training.
        siblings: Number of checkpoints of that training.
    """

    shard: str
    row: int
    sha256: str
    setting: dict[str, Any]
    member: int
    root: int
    seed: int
    epoch: int
    val: float
    split_hash: str
    seconds: float
    siblings: int

    def line(self, owner: str) -> bytes:
        """The checkpoint as a JSON line with a checksum that is of its owner."""
        return json.dumps({**asdict(self), "check": _check(asdict(self), owner)}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes, owner: str) -> Checkpoint:
        """Read what :meth:`line` wrote.

        Raises:
            ValueError, TypeError, RecursionError: It is no such line, or of another owner.
        """
        values = json.loads(line)
        check = values.pop("check", None) if isinstance(values, dict) else None
        names = [entry.name for entry in fields(cls)]
        if not isinstance(values, dict) or sorted(values) != sorted(names):
            raise ValueError(f"got the line {line[:40]!r}, expected an object with {', '.join(names)}")
        wrong = [name for name in names if not _RIGHT[name](values[name])]
        if wrong:
            raise ValueError(f"got {wrong[0]}={values[wrong[0]]!r}")
        if check != _check(values, owner):
            raise ValueError("a line is not as it was written, or is of another run")
        return cls(**values)


def _check(values: dict[str, Any], owner: str) -> str:
    return digest([owner, values])[:16]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _is_text(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


_RIGHT: dict[str, Callable[[Any], bool]] = {
    "shard": _is_text(r"\w[\w.-]*\.safetensors"),
    "row": _is_count,
    "sha256": _is_text("[0-9a-f]{64}"),
    "setting": lambda value: isinstance(value, dict),
    "member": _is_count,
    "root": _is_count,
    "seed": _is_count,
    "epoch": _is_count,
    "val": _is_number,
    "split_hash": _is_text(".+"),
    "seconds": lambda value: _is_number(value) and 0 <= value < math.inf,
    "siblings": lambda value: _is_count(value) and value > 0,
}
