"""Files of runs: ledgers of trainings, and tables in .csv form."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphtasks.errors import InvalidDataError
from graphtasks.files import read_bytes, write_text
from graphtasks.ledger import key, read_lines
from graphtasks.runs.columns import REQUIRED, is_missing

if TYPE_CHECKING:
    import pandas as pd


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """Rows of the JSONL file of :func:`graphtasks.compare`, the last of each training.

    Raises:
        InvalidDataError: The file is no such ledger, or holds runs of one model on one task with several settings,
            configurations or versions.
    """
    rows = list({key(row): row for row in read_lines(path)[0]}.values())
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for row in rows:
        if row["phase"] == "run":
            how = (row["setting"], row["config"], row["version"])
            if found.setdefault((row["task"], row["protocol"], row["model"]), how) != how:
                raise InvalidDataError(
                    f"{path} holds runs of {row['model']!r} on {row['task']!r} with several settings, "
                    "configurations or versions: call `compare` with this path for the ones you want"
                )
    return rows


def write_csv(runs: pd.DataFrame, path: str | Path) -> None:
    """Write runs, one line each and with a checksum in the column `check`.

    Raises:
        MissingFilesError: There is no such folder.
        FileError: The path cannot be written to, or holds anything else than such a table, which is never replaced.
    """
    names = list(runs)
    rows = [[_cell(value) for value in row] for row in runs.itertuples(index=False, name=None)]
    text = _csv([*names, "check"]) + "".join(_csv([*row, _checksum(names, row)]) for row in rows)
    write_text(path, text, ours=read_csv, what="a table of runs")


def read_csv(path: Path) -> pd.DataFrame:
    """Runs from a .csv file, as text."""
    import pandas as pd

    text = read_bytes(path).decode(errors="surrogateescape")
    try:
        names, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (ValueError, csv.Error) as error:
        raise InvalidDataError(f"{path} is no table of runs ({error}): replace it") from error
    if not set(REQUIRED) <= set(names) or len(set(names)) < len(names):
        raise InvalidDataError(f"{path} is no table of runs: it needs the columns {', '.join(REQUIRED)}, each once")
    checked = names[-1] == "check"
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise InvalidDataError(
                f"run {number} in {path} has {len(row)} values, expected {len(names)}: restore the file"
            )
        if checked and row[-1] != _checksum(names[:-1], row[:-1]):
            raise InvalidDataError(
                f"run {number} in {path} is not as it was written: restore the file, or drop the column `check` if the "
                "change was meant"
            )
    if not text.endswith("\n"):
        raise InvalidDataError(f"{path} ends within a line: restore the file")
    return pd.DataFrame(rows, columns=names, dtype="str").drop(columns="check", errors="ignore")


def _csv(cells: list[str]) -> str:
    """A line of a .csv file; cells that hold any kind of line break are quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()[:-2] + "\n"


def _checksum(names: list[str], row: list[str]) -> str:
    return hashlib.sha256(json.dumps([names, row]).encode()).hexdigest()[:16]


def _cell(value: Any) -> str:
    """A value as text with all its digits, nothing where it is missing."""
    return "" if is_missing(value) else str(value)
