"""Forms of a pool: from many networks to one, or to an ensemble, by the half of validation that ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gnndiff.judge import PARTS
from gnndiff.rows.base import Made, Material
from gnndiff.rows.pools import Answers, Draw, Pool, evaluator_of
from gnndiff.rows.trainings import refined
from gnndiff.runs.deliver import Deliverable
from gnndiff.stacked import stack
from gnndiff.zoo.soups import greedy_ensemble, greedy_soup

Make = Callable[[Material, Pool], list[Made]]


@dataclass(frozen=True)
class Form:
    """A way to make one network or ensemble of each draw of a pool.

    Args:
        name: Its name.
        title: Description, with `{members}`, `{few}` and `{epochs}` for numbers of the run.
        make: Makes one of each draw.
        ensemble: Whether it is an ensemble.
    """

    name: str
    title: str
    make: Make
    ensemble: bool = False


def _one(pool: Pool, vector: Tensor, answers: Answers) -> Made:
    return Made(answers, partial(pool.delivered, vector.unsqueeze(0)))


def _best(material: Material, pool: Pool) -> list[Made]:
    return [_one(pool, draw.vectors[0], {part: draw.answers[part][0] for part in PARTS}) for draw in pool.draws]


def _matched_best(material: Material, pool: Pool) -> list[Made]:
    return [_one(pool, draw.few, draw.few_answers) for draw in pool.draws]


def _each(material: Material, pool: Pool, vectors: Sequence[Tensor]) -> list[Made]:
    """One network for each draw, by its vector (P,)."""
    answers = pool.answers(material.judge, torch.stack(list(vectors)))
    return [_one(pool, vector, {part: answers[part][i] for part in PARTS}) for i, vector in enumerate(vectors)]


def _soups(material: Material, pool: Pool) -> list[Tensor]:
    members = material.run.limits.members
    return [pool.averaged(draw, members).mean(dim=0) for draw in pool.draws]


def _soup(material: Material, pool: Pool) -> list[Made]:
    return _each(material, pool, _soups(material, pool))


def _greedy_soup(material: Material, pool: Pool) -> list[Made]:
    judge = material.judge

    def score(vectors: Tensor) -> list[float]:
        states = pool.zoo.layout.unflatten(vectors)
        outputs = evaluator_of(pool.zoo).outputs(states, "val")
        rows = judge.kind.rows(judge.task, judge.split, "val")
        answers = [chunk.cpu() if rows is None else chunk[:, rows].cpu() for chunk in outputs]
        return judge.scores(torch.cat(answers), "rank")

    members = material.run.limits.members
    return _each(
        material, pool, [greedy_soup(pool.averaged(draw, members), score, judge.metric) for draw in pool.draws]
    )


def _ensemble_of(material: Material, pool: Pool, draw: Draw, weights: Sequence[float]) -> Made:
    """The ensemble of the first networks of a draw, each with a weight; none of a weight of 0."""
    answers = {part: material.judge.average(draw.answers[part][: len(weights)], weights) for part in PARTS}
    chosen = [i for i, weight in enumerate(weights) if weight]
    return Made(answers, partial(pool.delivered, draw.vectors[chosen], [weights[i] for i in chosen]))


def _ensemble(material: Material, pool: Pool) -> list[Made]:
    members = material.run.limits.members
    return [_ensemble_of(material, pool, draw, [1.0] * min(members, len(draw.vectors))) for draw in pool.draws]


def _ensemble_all(material: Material, pool: Pool) -> list[Made]:
    def networks(number: int) -> Deliverable:
        return pool.delivered(pool.sample(number)[pool.draws[number].finite])

    return [Made(draw.whole, partial(networks, number)) for number, draw in enumerate(pool.draws)]


def _greedy_ensemble(material: Material, pool: Pool) -> list[Made]:
    judge, found = material.judge, []
    for draw in pool.draws:
        chosen = greedy_ensemble(
            draw.answers["val"], judge.average, lambda answers: judge.scores(answers, "rank"), judge.metric
        )
        times = Counter(chosen)
        found.append(_ensemble_of(material, pool, draw, [float(times[i]) for i in range(max(chosen) + 1)]))
    return found


def _refined(material: Material, pool: Pool) -> list[Made]:
    """A short training from the best of each draw; where the draw is of trainings, from their soup."""
    run, judge, found = material.run, material.judge, []
    starts = [draw.vectors[0] for draw in pool.draws] if pool.good is None else _soups(material, pool)
    for number, start in enumerate(starts):
        setting, seed = dict(pool.zoo.setting), run.seed("refine", pool.name, number)
        state, _ = refined(run, judge, setting, pool.zoo.states(start.unsqueeze(0))[0], seed)
        answers = judge.answers(evaluator_of(pool.zoo), stack([state]))
        alone = {part: answers[part][0] for part in PARTS}
        found.append(Made(alone, partial(Deliverable, [state], [1.0], setting)))
    return found


FORMS: tuple[Form, ...] = (
    Form("best", "best of n by validation", _best),
    Form("matched_best", "best of {few}, as many as trainings of the winner", _matched_best),
    Form("soup", "average of the weights of the best {members}", _soup),
    Form("greedy_soup", "average of those of the best {members} that do not make it worse", _greedy_soup),
    Form("refined", "{epochs} epochs of training from the {start}", _refined),
    Form("ensemble", "mean answer of the best {members}", _ensemble, ensemble=True),
    Form("ensemble_all", "mean answer of all", _ensemble_all, ensemble=True),
    Form(
        "greedy_ensemble", "mean answer of those that improve it, some more than once", _greedy_ensemble, ensemble=True
    ),
)
