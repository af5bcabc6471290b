"""Rows of settings that are trained anew: the search's winner, and that of longer searches."""

from __future__ import annotations

import math
from typing import ClassVar

from gnndiff.errors import RunFolderError
from gnndiff.rows.base import Material, Outcome, Row
from gnndiff.runs.folder import Run
from gnndiff.scores import best_first
from gnndiff.search import SEARCH, finalists, finished_trials, name_winner, retrain, search_space, total_seconds
from gnndiff.targets.ranges import is_range


class CoarseWinner(Row):
    """The best setting of the coarse search, trained anew several times."""

    name: ClassVar[str] = "coarse_winner"
    title: ClassVar[str] = "the best setting of the coarse search, trained anew"

    def outcome(self, material: Material) -> Outcome:
        """Train the winner anew."""
        return retrained(material.run, self.trials(material))

    def trials(self, material: Material) -> int | None:
        """Number of settings of the search, None for the whole grid."""
        return material.run.limits.trials


class BestFinalist(Row):
    """The training of a finalist that validates best, which the search leaves."""

    name: ClassVar[str] = "best_finalist"
    title: ClassVar[str] = "the training of a finalist of the search that validates best"

    def applies(self, run: Run) -> bool:
        """Whether a finalist's training came to its end."""
        return bool(finalists(run))

    def outcome(self, material: Material) -> Outcome:
        """Take it as it is."""
        run = material.run
        found = finalists(run)
        best = best_first(found, lambda each: each.val, run.task.metric)[0]
        note = f"best of {len(found)} trainings of finalists"
        return Outcome([best.val], [best.test], material.seconds("search"), note, training=best)


class EqualTimeSearch(CoarseWinner):
    """The winner of the random search, gone on with for the time that zoo and generator took."""

    name: ClassVar[str] = "random_search_equal_time"
    title: ClassVar[str] = "the best setting of a random search of equal time, trained anew"

    def applies(self, run: Run) -> bool:
        """Whether the budget has it."""
        return run.limits.equal_time_search

    def trials(self, material: Material) -> int:
        """Number of settings, which follows from the recorded times of the stages."""
        run = material.run
        extra = material.seconds("collect", "train", "generate")
        count = run.limits.trials + math.ceil(extra / max(material.seconds("search"), 1e-3) * run.limits.trials)
        search_space(run, count)
        return count


class FullGrid(CoarseWinner):
    """The winner of the whole grid."""

    name: ClassVar[str] = "full_grid"
    title: ClassVar[str] = "the best setting of the whole grid, trained anew"

    def applies(self, run: Run) -> bool:
        """Whether the budget has it."""
        return run.limits.full_grid and not any(map(is_range, run.space.values()))

    def trials(self, material: Material) -> None:
        """The whole grid, trained."""
        search_space(material.run, None)


def retrained(run: Run, count: int | None) -> Outcome:
    """The best of the first `count` settings of the search, trained anew several times."""
    name_winner(run, count)
    trials, good = retrain(run, count)
    if not good:
        raise RunFolderError(f"all trainings of the winning setting {trials[0].params} diverged: use another seed")
    searched = finished_trials(run, SEARCH)[:count]
    note = f"best of {len(searched)} settings, trained {len(trials)} times"
    if len(good) < len(trials):
        note += f", {len(trials) - len(good)} of which diverged and do not count"
    vals, tests = [each.val for each in good], [each.test for each in good]
    return Outcome(vals, tests, total_seconds(searched), note, training=good[0])
