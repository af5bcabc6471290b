"""The unit of a benchmark, one model on one task: how it is made, and what its trainings leave."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnndiff.benchmark.labels import Label, Loader
from gnndiff.benchmark.protocol import Protocol
from gnndiff.benchmark.rows import Files, Row, rows_of
from gnndiff.resolve import find_target, is_reference
from gnndiff.targets import Target, is_registered
from gnndiff.targets.base import check_kind, full_space
from graphtasks import Contender, GraphTask
from graphtasks.files import write_bytes
from graphtasks.ledger import Ledger, read_lines

Factory = Callable[[GraphTask], Contender]


@dataclass(frozen=True)
class FromTarget:
    """Makes the contender of a target with all its choices.

    Args:
        target: The target, or its `FILE.py:NAME`.
        space: Which of its spaces, as of :func:`gnndiff.targets.base.full_space`.
    """

    target: str | Target
    space: str = "default"

    def __call__(self, task: GraphTask) -> Contender:
        """The contender for a task."""
        target = find_target(self.target) if isinstance(self.target, str) else self.target
        check_kind(target, task)  # before its space, which may need what other kinds lack
        space = full_space(target, task, self.space)
        return dataclasses.replace(target.contender(target.name, task, space), version=self._version(target))

    def _version(self, target: Target) -> str:
        """Text that changes with a target of the user's own, so that earlier trainings are not taken for its."""
        if isinstance(self.target, str) and is_reference(self.target):
            content = Path(self.target.rpartition(":")[0]).read_bytes()
            return hashlib.sha256(content).hexdigest()[:16]
        return "" if is_registered(target) else target.version


@dataclass(frozen=True)
class Unit:
    """One model on one task.

    Args:
        task: The task's label, or the task.
        model: Name of the model in the table.
        make: Makes its contender for the task.
        ledger: The file of its trainings.
    """

    task: Label
    model: str
    make: Factory
    ledger: Path

    @property
    def name(self) -> str:
        """Task and model in words."""
        return f"{self.model!r} on {self.task.name if isinstance(self.task, GraphTask) else self.task}"


@dataclass(frozen=True)
class Training:
    """Maker of the rows of a unit.

    Args:
        protocol: The effort.
        loader: Loads tasks.
        threads: Threads of torch; by default one for small graphs.
        quiet: Print nothing.
    """

    protocol: Protocol
    loader: Loader
    threads: int | None = None
    quiet: bool = False

    def __call__(self, unit: Unit) -> list[Row]:
        """The rows of the final runs of one model on one task."""
        labelled = self.loader(unit.task)
        comparison = self.protocol.compare(
            [dataclasses.replace(unit.make(labelled.task), name=unit.model)],
            labelled.task,
            path=unit.ledger,
            callback=None if self.quiet else show,
            threads=self.threads,
            report=False,
        )
        return rows_of(labelled, comparison)


def show(row: Mapping[str, Any]) -> None:
    """Print a training on stderr in one line."""
    scores = " ".join(f"{part} {row[part]}" for part in ("val", "test") if row.get(part) is not None)
    told = f"{row['task']} {row['model']} {row['phase']}, split {row['split']}, seed {row['seed']}"
    status = "" if row["status"] == "ok" else f" {row['status']}"
    print(f"{told}: {scores}{status}, {row['seconds']:.1f} s {row['setting']}", file=sys.stderr, flush=True)


def part_of(files: Files, label: Label, model: str) -> Path:
    """The ledger of one unit, where several processes work."""
    task = f"{label.name} {label.protocol}" if isinstance(label, GraphTask) else label
    told = re.sub(r"[^\w.=-]+", "-", f"{Path(task).name}-{model}")[:80]
    return files.parts / f"{told}-{hashlib.sha256(f'{task} {model}'.encode()).hexdigest()[:8]}.jsonl"


def gather(files: Files) -> None:
    """Bring trainings of the parts into the ledger, and remove the parts."""
    parts = files.ledgers()
    if parts:
        with Ledger(files.ledger, None) as ledger:
            for part in parts:
                for row in read_lines(part)[0]:
                    ledger.add(row, dict)
        for part in parts:
            part.unlink()
    if files.parts.is_dir() and not any(files.parts.iterdir()):
        files.parts.rmdir()


def hand_out(files: Files, units: Sequence[Unit]) -> None:
    """Give each unit's part the trainings of its model that the ledger has already."""
    if not files.ledger.exists():
        return
    size = read_lines(files.ledger)[1]
    lines: dict[str, list[bytes]] = {}
    for line in files.ledger.read_bytes()[:size].splitlines(keepends=True):
        lines.setdefault(json.loads(line)["model"], []).append(line)
    for unit in units:
        unit.ledger.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(unit.ledger, b"".join(lines.get(unit.model, [])))
