"""Rows of a family: scores of each way to a network, over the members that are never seen."""

from __future__ import annotations

import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gnndiff.errors import ConfigError
from gnndiff.family.folder import FamilyFolder
from graphtasks import Metric
from graphtasks.metrics import metric

if TYPE_CHECKING:
    from gnndiff.family.pipeline import FamilyPipeline

ROWS = (
    "generated_mean",
    "generated_one",
    "regression",
    "hypernetwork",
    "experts",
    "one_network",
    "nearest_checkpoint",
    "zoo_mean",
    "scratch_few_labels",
    "adapted_few_labels",
    "trained_on_member",
)


@dataclass(frozen=True)
class FamilyResults:
    """Test scores of rows over unseen members.

    Args:
        folder: The run folder.
        metric: The score.
        rows: By row the score of each unseen member; rows that the kind of the tasks does not have are missing.
        distances: Distance of each unseen member from the hull of the family, above 1 outside.
        seconds: Wall clock of each stage.
        facts: Setting, condition, default method and validation scores.
    """

    folder: Path
    metric: Metric
    rows: dict[str, list[float]]
    distances: list[float]
    seconds: dict[str, float]
    facts: dict[str, object] = field(default_factory=dict)

    def mean(self, row: str) -> float:
        """Mean score of a row."""
        return statistics.fmean(self.rows[row])

    def paired(self, row: str, other: str) -> tuple[float, float]:
        """Mean difference of two rows over the members, and half the width of its 95 % interval.

        Raises:
            ConfigError: There is no such row.
        """
        for name in (row, other):
            if name not in self.rows:
                raise ConfigError(f"there is no row {name!r}: there are {', '.join(self.rows)}")
        gaps = [a - b for a, b in zip(self.rows[row], self.rows[other], strict=True)]
        if len(gaps) < 2:
            return gaps[0], float("nan")
        return statistics.fmean(gaps), 1.96 * statistics.stdev(gaps) / len(gaps) ** 0.5

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> FamilyResults:
        """The results of a finished run, whose folder is only read.

        Raises:
            RunFolderError: The folder holds no finished run over a family.
            DamagedFileError: A file of it is not as it was left.
        """
        run = FamilyFolder.load(Path(folder))
        stored = run.results()
        return cls(
            run.folder, metric(stored["metric"]), stored["rows"], stored["distances"], run.seconds(), stored["facts"]
        )

    @property
    def pipeline(self) -> FamilyPipeline:
        """The pipeline, read from the folder and compared with what its stage left."""
        from gnndiff.family.pipeline import FamilyPipeline

        return FamilyPipeline.from_pretrained(FamilyFolder.load(self.folder).pipeline())

    def as_json(self) -> dict[str, object]:
        """The results as plain values."""
        return {
            "metric": self.metric.name, "rows": self.rows, "distances": self.distances, "seconds": self.seconds,
            "facts": self.facts,
        }  # fmt: skip

    def to_markdown(self) -> str:
        """The table, with differences from one network for all and from the nearest checkpoint."""
        factor = 100 if self.metric.is_share else 1
        lines = [f"| row | test {self.metric.name} | minus one network | minus nearest |", "|---|---|---|---|"]
        for row in self.rows:
            gaps = []
            for other in ("one_network", "nearest_checkpoint"):
                mean, half = self.paired(row, other)
                gaps.append("" if row == other else f"{factor * mean:+.3g} ± {factor * half:.2g}")
            lines.append(f"| {row} | {self.metric.format(self.mean(row))} | {' | '.join(gaps)} |")
        return "\n".join(lines)
