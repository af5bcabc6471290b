"""Rows of a benchmark, and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnndiff.benchmark.labels import LabelledTask
from gnndiff.benchmark.machine import processor
from gnndiff.errors import ConfigError
from gnndiff.files import write_text
from graphtasks import Comparison
from graphtasks.files import read_bytes

Row = dict[str, Any]

# Fields that a row takes over from the run as it is.
FIELDS = ("model", "metric", "direction", "split", "seed", "val", "test", "parameters", "seconds", "tried", "status")
_SUFFIXES = (".json", ".jsonl", ".md")


@dataclass(frozen=True)
class Files:
    """The files of a benchmark.

    Args:
        out: Their name, with or without one of their endings.
    """

    out: Path

    def _named(self, ending: str) -> Path:
        return self.out.with_name(self._name + ending)

    @property
    def _name(self) -> str:
        return self.out.stem if self.out.suffix in _SUFFIXES else self.out.name

    @property
    def rows(self) -> Path:
        """The rows of final runs."""
        return self._named(".json")

    @property
    def ledger(self) -> Path:
        """All trainings, each a line that is written as it ends."""
        return self._named(".jsonl")

    @property
    def table(self) -> Path:
        """The table in Markdown."""
        return self._named(".md")

    @property
    def page(self) -> Path:
        """The report."""
        return self._named(".html")

    @property
    def parts(self) -> Path:
        """Folder of the ledgers of several processes."""
        return self._named(".parts")

    @property
    def lock(self) -> Path:
        """The file that a benchmark holds while it runs."""
        return self.out.with_name(f".{self._name}.lock")


def rows_of(labelled: LabelledTask, comparison: Comparison) -> list[Row]:
    """The rows of the final runs on a task."""
    runs = comparison.runs.astype(object)
    others = "others" in runs
    return [
        {
            "task": labelled.name,
            "protocol": labelled.protocol,
            **{field: row[field] for field in FIELDS},
            "processor": processor(),  # the limit of time makes scores depend on it
            "setting": json.loads(row["setting"]),
            **({"others": json.loads(row["others"])} if others else {}),
        }
        for row in runs.where(runs.notna(), None).to_dict("records")
    ]


def which(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Fields that the runs of one model on one task share."""
    return row["task"], row["protocol"], row["model"]


def read_rows(path: Path, protocol: Mapping[str, Any]) -> list[Row]:
    """The rows that a file has, none where there is no file.

    Raises:
        ConfigError: They were measured in another way, or the file holds something else.
    """
    if not path.exists():
        return []
    try:
        content = json.loads(path.read_text())
        stored, rows = dict(content["protocol"]), [dict(row) for row in content["rows"]]
        for row in rows:
            which(row)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} holds no rows of a benchmark: choose another --out") from error
    wanted = json.loads(json.dumps(protocol))
    changed = [name for name in {**wanted, **stored} if stored.get(name) != wanted.get(name)]
    if changed:
        raise ConfigError(
            f"{path} has rows of another protocol ({', '.join(changed)} differ): choose another --out, or delete it; "
            "trainings in the .jsonl file stay usable"
        )
    return rows


def check_table(path: Path) -> None:
    """Raise `ConfigError` where the place of the table has a text of somebody else, which is never replaced."""
    if not path.exists():
        return
    content = read_bytes(path)
    if content.strip() and not content.startswith(b"At most "):
        raise ConfigError(f"{path} is there and is no table of a benchmark: choose another --out")


def write_rows(path: Path, machine: Mapping[str, Any], protocol: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write a file of rows: one JSON object with a row on each line."""
    about = {"machine": machine, "protocol": protocol}
    head = [f'"{name}": {json.dumps(value, allow_nan=False)},' for name, value in about.items()]
    lines = ",\n".join(json.dumps(row, allow_nan=False, separators=(",", ":")) for row in rows)
    write_text(path, "\n".join(["{", *head, '"rows": [', *([lines] if rows else []), "]", "}"]) + "\n")
