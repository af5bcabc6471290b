"""The contract of a row of the comparison."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gnndiff.generators import LatentGenerator
from gnndiff.runs.folder import Run
from gnndiff.runs.generate import Candidates
from gnndiff.search import KeptTraining
from gnndiff.zoo.zoo import Zoo


@dataclass(frozen=True)
class Material:
    """Material of the rows.

    Args:
        run: The run.
        zoo: Its checkpoints.
        generator: Its generator.
        candidates: Draws of the generator.
    """

    run: Run
    zoo: Zoo
    generator: LatentGenerator
    candidates: Candidates

    def seconds(self, *stages: str) -> float:
        """Wall clock of some stages together."""
        spent = self.run.seconds()
        return sum(spent[stage] for stage in stages)


@dataclass(frozen=True)
class Outcome:
    """Scores of a row.

    Args:
        vals: Validation score of each training or draw.
        tests: Test score of each.
        seconds: Wall clock from nothing to the row.
        note: One line for the reader.
        network: Parameter vector (P,) of the first draw, where the row is of single networks of the zoo's architecture.
        training: The training that the first draw is, where the row is of trainings.
    """

    vals: Sequence[float]
    tests: Sequence[float]
    seconds: float
    note: str
    network: Tensor | None = None
    training: KeptTraining | None = None


class Row(ABC):
    """One way to come from the same search to a network or an ensemble."""

    name: ClassVar[str]
    title: ClassVar[str]

    def applies(self, run: Run) -> bool:
        """Whether a run has this row."""
        return True

    @abstractmethod
    def outcome(self, material: Material) -> Outcome:
        """Score the row."""
