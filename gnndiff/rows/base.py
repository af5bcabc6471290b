"""The contract of a row of the comparison."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from gnndiff.calibration import Calibration
from gnndiff.generators import LatentGenerator
from gnndiff.halves import Halves
from gnndiff.judge import Judge, Which
from gnndiff.rows.trainings import Trainings, retrained
from gnndiff.runs.deliver import Deliverable
from gnndiff.runs.folder import Run
from gnndiff.runs.generate import Candidates
from gnndiff.zoo.zoo import Zoo
from graphtasks.splits import Part

if TYPE_CHECKING:
    from gnndiff.rows.pools import Pool


@dataclass
class Material:
    """Material of the rows.

    Args:
        run: The run.
        zoo: Its checkpoints.
        generator: Its generator.
        candidates: Draws of the generator.

    `pools` has those pools that a row was made of.
    """

    run: Run
    zoo: Zoo
    generator: LatentGenerator
    candidates: Candidates
    pools: dict[str, Pool] = field(default_factory=dict, init=False, repr=False)
    _trainings: dict[int | None, Trainings] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def judge(self) -> Judge:
        """Scores of networks by their answers."""
        run = self.run
        halves = Halves.of(run.task, run.config.split, run.generator("halves"))
        return Judge(run.task, run.config.split, halves)

    def pool(self, name: str, make: Callable[[Material], Pool]) -> Pool:
        """The pool of that name, made once for all of its forms."""
        if name not in self.pools:
            self.pools[name] = make(self)
        return self.pools[name]

    def retrained(self, count: int | None) -> Trainings:
        """Trainings of the best of the first `count` settings of the search, read once for all rows of them."""
        if count not in self._trainings:
            self._trainings[count] = retrained(self.run, count)
        return self._trainings[count]

    def seconds(self, *stages: str) -> float:
        """Wall clock of some stages together."""
        spent = self.run.seconds()
        return sum(spent[stage] for stage in stages)


@dataclass(frozen=True)
class Made:
    """One network, or one ensemble, of a row.

    Args:
        answers: Its answers (M, ...) to validation and test.
        networks: Returns what would be delivered.
    """

    answers: dict[Part, Tensor]
    networks: Callable[[], Deliverable]


@dataclass(frozen=True)
class Outcome:
    """Scores of a row.

    Args:
        ranks: Score of each training or draw on the half of validation that ranks.
        choices: Score of each on the half that chooses.
        vals: Score of each on all of validation.
        tests: Test score of each.
        calibration: Uncertainty of each on the test part.
        made: The network or ensemble that each is.
        of: Networks of which validation picked those of one training or draw.
        seconds: Wall clock from nothing to the row.
        note: One line for the reader.
    """

    ranks: Sequence[float]
    choices: Sequence[float]
    vals: Sequence[float]
    tests: Sequence[float]
    calibration: Sequence[Calibration | None]
    made: Sequence[Made]
    of: int
    seconds: float
    note: str

    @classmethod
    def judged(cls, judge: Judge, made: Sequence[Made], of: int, seconds: float, note: str) -> Outcome:
        """The outcome of networks or ensembles by their answers."""
        vals = [each.answers["val"].unsqueeze(0) for each in made]
        tests = [each.answers["test"].unsqueeze(0) for each in made]

        def scores(which: Which) -> list[float]:
            return [score for val in vals for score in judge.scores(val, which)]

        return cls(
            ranks=scores("rank"),
            choices=scores("choice"),
            vals=scores("val"),
            tests=[score for test in tests for score in judge.scores(test, "test")],
            calibration=[judge.calibration(test[0]) for test in tests],
            made=made,
            of=of,
            seconds=seconds,
            note=note,
        )


class Row(ABC):
    """One way to come from the same search to a network or an ensemble.

    Args:
        name: Its name.
        pool: Name of the networks that it is made of.
        form: Name of what is made of them.
        ensemble: Whether that is an ensemble.
    """

    def __init__(self, name: str, pool: str, form: str, *, ensemble: bool = False) -> None:
        self.name, self.pool, self.form, self.ensemble = name, pool, form, ensemble

    def applies(self, material: Material) -> bool:
        """Whether a run has this row."""
        return True

    @abstractmethod
    def outcome(self, material: Material) -> Outcome:
        """Score the row."""
