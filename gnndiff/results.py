"""The results of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from gnndiff.runs.deliver import Best
from gnndiff.runs.record import read_results
from graphtasks import metric


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
    def load(cls, folder: Path) -> Results:
        """The results of a finished run."""
        return cls(Path(folder), read_results(Path(folder)))

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
        """The table in Markdown."""
        lines = ["| row | validation | test | n | seconds |", "|---|---|---|---|---|"]
        for row in self.rows:
            scores = [self.format(row[part]) for part in ("val", "test")]
            lines.append(f"| `{row['name']}` | {' | '.join(scores)} | {row['test']['n']} | {row['seconds']:.0f} |")
        return "\n".join(lines)

    def format(self, summary: dict[str, Any]) -> str:
        """Mean and deviation of a row in the form of the metric."""
        return metric(self.data["metric"]).format(summary["mean"], summary["std"] if summary["n"] > 1 else None)

    def __repr__(self) -> str:
        best = self.data["best"]
        score = metric(self.data["metric"])
        return (
            f"Results({self.data['model']!r} on {self.data['task']!r}: best {best['row']}, validation "
            f"{score.format(best['val'])}, test {score.format(best['test'])}, in {str(self.folder)!r})"
        )
