"""The results of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gnndiff.report.grid import grid, searched
from gnndiff.report.markdown import table
from gnndiff.runs.deliver import Best
from gnndiff.runs.record import read_results
from graphtasks import metric
from graphtasks.files import as_path


@dataclass(frozen=True)
class Results:
    """The table of a run and the network that it delivers.

    Args:
        folder: The run folder.
        data: The content of results.json; see docs/results.md for its fields.
    """

    folder: Path
    data: dict[str, Any] = field(repr=False)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Results:
        """The results of a finished run."""
        path = as_path(folder)
        return cls(path, read_results(path))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table, as in results.json."""
        rows: list[dict[str, Any]] = self.data["rows"]
        return rows

    @cached_property
    def best(self) -> Best:
        """The network that the run delivers."""
        return Best.load(self.folder / "best")

    def to_markdown(self) -> str:
        """The rows of the search, and the test scores of the others by form and pool, as tables in Markdown."""
        score = metric(self.data["metric"])
        return "\n\n".join(table(lines) for lines in (searched(self.rows, score), grid(self.rows, score)))

    def __repr__(self) -> str:
        best = self.data["best"]
        score = metric(self.data["metric"])
        return (
            f"Results({self.data['model']!r} on {self.data['task']!r}: best {best['row']}, validation "
            f"{score.format(best['val'])}, test {score.format(best['test'])}, in {str(self.folder)!r})"
        )
