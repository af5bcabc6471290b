"""Rows of a benchmark, and the files that hold them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnndiff.benchmark.labels import LabelledTask
from gnndiff.benchmark.machine import processor
from gnndiff.errors import ConfigError
from gnndiff.files import digest, write_text
from graphtasks import Comparison
from graphtasks.files import explained, read_bytes

Row = dict[str, Any]

# Fields that a row takes over from the run as it is.
FIELDS = ("model", "metric", "direction", "split", "seed", "val", "test", "parameters", "seconds", "tried", "status")
# Fields that the table is made of.
COLUMNS = ("task", "protocol", "model", "metric", "direction", "split", "seed", "val", "test")
_NAMES = ("task", "protocol", "model")
_SUFFIXES = (".json", ".jsonl", ".md", ".html")
_PART = re.compile(r".+-[0-9a-f]{8}\.jsonl")


@dataclass(frozen=True)
class Files:
    """The files of a benchmark.

    Args:
        out: Their name, with or without one of their endings.

    Raises:
        ConfigError: It is no name that endings can be put behind.
    """

    out: Path

    def __post_init__(self) -> None:
        with explained(self.out, "write"):
            device = self.out.exists() and not self.out.is_file() and not self.out.is_dir()
        if self.out.name in ("", "..") or device:
            raise ConfigError(f"got out={str(self.out)!r}, expected a name for files, such as results/table")

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

    def ledgers(self) -> list[Path]:
        """The ledgers in that folder, and none of the files of somebody else."""
        return sorted(path for path in self.parts.glob("*.jsonl") if _PART.fullmatch(path.name))

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


def with_check(row: Mapping[str, Any]) -> Row:
    """A row as JSON has it, whose last entry is a checksum of the others."""
    plain = json.loads(json.dumps(row, allow_nan=False))
    return {**plain, "check": digest(plain)[:16]}


def without_check(row: Row, where: str) -> Row:
    """A row without its checksum.

    Raises:
        ConfigError: It is not as it was written. Rows of earlier versions have no checksum and are not compared.
    """
    values = {name: value for name, value in row.items() if name != "check"}
    if row.get("check", digest(values)[:16]) != digest(values)[:16]:
        raise ConfigError(f"{where} is not as it was written: remove it, and it is measured again")
    return values


def read_rows(path: Path, protocol: Mapping[str, Any], columns: Collection[str] = _NAMES) -> list[Row]:
    """The rows that a file has, none where there is no file.

    Args:
        path: The file.
        protocol: How they should have been measured.
        columns: Fields that each row has.

    Raises:
        ConfigError: They were measured in another way, one is damaged, or the file holds something else.
        FileError: It cannot be read.
    """
    if not path.exists():
        return []
    try:
        content = json.loads(read_bytes(path))
        stored, rows = dict(content["protocol"]), list(content["rows"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = f" ({error})" if isinstance(error, ValueError) else ""
        raise ConfigError(f"{path} holds no rows of a benchmark{reason}: choose another --out") from error
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ConfigError(f"row {number} of {path} is no row of a benchmark: remove it, or choose another --out")
        rows[number - 1] = row = without_check(row, f"row {number} of {path}")
        lacking = [name for name in _NAMES if not isinstance(row.get(name), str)]
        lacking += [name for name in columns if name not in row]
        if lacking:
            raise ConfigError(
                f"row {number} of {path} is no row of a benchmark, it lacks {', '.join(dict.fromkeys(lacking))}: "
                "remove it, or choose another --out"
            )
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
    """Write a file of rows: one JSON object with a row and its checksum on each line."""
    about = {"machine": machine, "protocol": protocol}
    head = [f'"{name}": {json.dumps(value, allow_nan=False)},' for name, value in about.items()]
    lines = ",\n".join(json.dumps(with_check(row), separators=(",", ":")) for row in rows)
    write_text(path, "\n".join(["{", *head, '"rows": [', *([lines] if rows else []), "]", "}"]) + "\n")
