"""Rows of settings that are trained anew: the search's winner, and that of longer searches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from gnndiff.judge import PARTS
from gnndiff.rows.base import Made, Material, Outcome, Row
from gnndiff.runs.deliver import Deliverable
from gnndiff.scores import order
from gnndiff.search import finalists, read_state, search_space
from gnndiff.stacked import stack
from gnndiff.targets.ranges import is_range


class CoarseWinner(Row):
    """The best setting of the coarse search, trained anew several times."""

    def __init__(self, name: str = "coarse_winner") -> None:
        super().__init__(name, "search", "training")

    def outcome(self, material: Material) -> Outcome:
        """Train the winner anew."""
        found = material.retrained(self.trials(material))
        judge, evaluator = material.judge, material.run.evaluator(found.setting)
        answers = judge.answers(evaluator, stack(found.states))
        made: Sequence[Made] = [
            Made({part: answers[part][i] for part in PARTS}, partial(Deliverable, [state], [1.0], dict(found.setting)))
            for i, state in enumerate(found.states)
        ]
        return Outcome.judged(judge, made, 1, found.searched, found.note)

    def trials(self, material: Material) -> int | None:
        """Number of settings of the search, None for the whole grid."""
        return material.run.limits.trials


class BestFinalist(Row):
    """The training of a finalist that ranks first, which the search leaves."""

    def __init__(self) -> None:
        super().__init__("best_finalist", "search", "best")

    def applies(self, material: Material) -> bool:
        """Whether a finalist's training came to its end."""
        return bool(finalists(material.run))

    def outcome(self, material: Material) -> Outcome:
        """Take it as it is."""
        run, judge, made = material.run, material.judge, []
        for training in finalists(run):
            state, setting = read_state(run, training), dict(training.setting)
            answers = judge.answers(run.evaluator(setting), stack([state]))
            alone = {part: answers[part][0] for part in PARTS}
            made.append(Made(alone, partial(Deliverable, [state], [1.0], setting)))
        ranks = [judge.scores(each.answers["val"].unsqueeze(0), "rank")[0] for each in made]
        first = made[order(ranks, judge.metric)[0]]
        note = f"best of {len(made)} trainings of finalists"
        return Outcome.judged(judge, [first], len(made), material.seconds("search"), note)


class EqualTimeSearch(CoarseWinner):
    """The winner of the random search, gone on with for the time that zoo and generator took."""

    def __init__(self) -> None:
        super().__init__("random_search_equal_time")

    def applies(self, material: Material) -> bool:
        """Whether the budget has it."""
        return material.run.limits.equal_time_search

    def trials(self, material: Material) -> int:
        """Number of settings, which follows from the recorded times of the stages."""
        run = material.run
        extra = material.seconds("collect", "train", "generate")
        count = run.limits.trials + math.ceil(extra / max(material.seconds("search"), 1e-3) * run.limits.trials)
        search_space(run, count)
        return count


class FullGrid(CoarseWinner):
    """The winner of the whole grid."""

    def __init__(self) -> None:
        super().__init__("full_grid")

    def applies(self, material: Material) -> bool:
        """Whether the budget has it."""
        run = material.run
        return run.limits.full_grid and not any(map(is_range, run.space.values()))

    def trials(self, material: Material) -> None:
        """The whole grid, trained."""
        search_space(material.run, None)
