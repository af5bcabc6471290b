"""Pools of networks that the forms of the comparison are made of, each ranked by one half of validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor

from gnndiff.evaluation import Evaluator
from gnndiff.generators import find
from gnndiff.generators.conditions import ZooConditions
from gnndiff.generators.trainings import pick
from gnndiff.judge import PARTS, Judge
from gnndiff.progress import progress
from gnndiff.rows.base import Material
from gnndiff.runs.deliver import Deliverable
from gnndiff.scores import best, order
from gnndiff.zoo.alignment import usable_units
from gnndiff.zoo.zoo import Zoo
from graphtasks.splits import Part

Answers = dict[Part, Tensor]


@dataclass(frozen=True)
class Draw:
    """Networks of one independent draw.

    Args:
        count: Number n of networks in it.
        vectors: The best of them by the half that ranks (k, P), the best first.
        answers: Their answers (k, M, ...) to validation and test.
        few: Vector (P,) of the best among the first networks, as many as the winner is trained anew.
        few_answers: Its answers (M, ...).
        whole: Mean answer (M, ...) of all networks.
        finite: Whether the answers of each network (n,) are finite; only these count in that mean.
    """

    count: int
    vectors: Tensor
    answers: Answers
    few: Tensor
    few_answers: Answers
    whole: Answers
    finite: Tensor


@dataclass(frozen=True)
class Pool:
    """Networks of one kind.

    Args:
        name: Its name.
        title: Description of the networks, for the reader.
        zoo: Makes networks of vectors, and scores them.
        draws: Independent draws.
        sample: Vectors (n, P) of all networks of a draw.
        seconds: Wall clock from nothing to one draw, ranked.
        good: Whether each of the vectors of the draw may be averaged; None where all may.
        few: Number of networks that :attr:`Draw.few` is the best of.
    """

    name: str
    title: str
    zoo: Zoo
    draws: Sequence[Draw]
    sample: Callable[[int], Tensor]
    seconds: float
    few: int
    good: Tensor | None = None

    def averaged(self, draw: Draw, count: int) -> Tensor:
        """The best vectors (m, P) of a draw that may be averaged, at most `count`."""
        return (draw.vectors if self.good is None else draw.vectors[self.good])[:count]

    def delivered(self, vectors: Tensor, weights: Sequence[float] | None = None) -> Deliverable:
        """The networks of vectors (m, P)."""
        states = self.zoo.states(vectors)
        return Deliverable(states, list(weights or [1.0] * len(states)), dict(self.zoo.setting))

    def answers(self, judge: Judge, vectors: Tensor) -> Answers:
        """Answers (m, M, ...) of vectors (m, P)."""
        return judge.answers(evaluator_of(self.zoo), self.zoo.layout.unflatten(vectors))


def evaluator_of(zoo: Zoo) -> Evaluator:
    """The evaluator of the zoo of a run, which has a task."""
    assert isinstance(zoo.evaluator, Evaluator)
    return zoo.evaluator


def checkpoints(material: Material) -> Pool:
    """The checkpoints of the zoo."""
    return trained(
        material, "checkpoint", "checkpoints of the zoo", material.zoo, material.seconds("search", "collect")
    )


def retrainings(material: Material) -> Pool:
    """Trainings of the winning setting."""
    run = material.run
    found = material.retrained(run.limits.trials)
    evaluator = run.evaluator(found.setting)
    units, alignment = usable_units(run.target.units(evaluator.module), evaluator)
    count = len(found.states)
    zoo = Zoo.of(
        found.states,
        found.vals,
        [found.setting] * count,
        range(count),
        evaluator,
        units=units,
        alignment=alignment,
        rounds=run.method.alignment_rounds,
        barrier=run.method.barrier,
    )
    title = "trainings of the coarse search's winner"
    return trained(material, "retrained", title, zoo, found.searched + found.seconds)


def trained(material: Material, name: str, title: str, zoo: Zoo, seconds: float) -> Pool:
    """The pool of a zoo, of which each training gives its best checkpoint."""
    start, judge, few = perf_counter(), material.judge, material.run.limits.retrainings
    answers = judge.answers(evaluator_of(zoo), zoo.layout.unflatten(zoo.vectors))
    ranks = judge.scores(answers["val"], "rank")
    ranking = order(ranks, judge.metric)
    first = list({zoo.members[i]: i for i in reversed(ranking)}.values())
    chosen = sorted(first, key=ranking.index)
    early = set(sorted(set(zoo.members))[:few])
    best_few = next(i for i in chosen if zoo.members[i] in early)
    trainings = list(dict.fromkeys(zoo.members))  # in the order of `zoo.best_of_each`
    good = dict(zip(trainings, zoo.geometry().good, strict=True))
    draw = Draw(
        len(zoo),
        zoo.vectors[chosen],
        {part: answers[part][chosen] for part in PARTS},
        zoo.vectors[best_few],
        {part: answers[part][best_few] for part in PARTS},
        {part: judge.average(answers[part][chosen]) for part in PARTS},
        torch.ones(len(chosen), dtype=torch.bool),
    )
    return Pool(
        name,
        title,
        zoo,
        [draw],
        lambda _: zoo.vectors[chosen],
        seconds + perf_counter() - start,
        min(few, len(chosen)),
        torch.tensor([good[zoo.members[i]] for i in chosen]),
    )


def generated(material: Material) -> Pool:
    """Networks that the generator drew."""
    latents, decode = material.candidates.latents, material.generator.autoencoder.decode
    before = material.seconds("search", "collect", "train") + material.seconds("generate") / len(latents)
    return drawn(material, "generated", "generated networks", lambda draw: decode(latents[draw]), before)


def noise(material: Material) -> Pool:
    """Checkpoints with Gaussian noise, in units of what the checkpoints differ by."""
    run, zoo = material.run, material.zoo
    count = run.limits.candidates
    scale = zoo.layout.tensor_scales(zoo.vectors - zoo.vectors.mean(dim=0))
    levels = torch.tensor(run.method.noise_levels)
    levels = levels.repeat(math.ceil(count / len(levels)))[:count].unsqueeze(1)

    def sample(draw: int) -> Tensor:
        rng = run.generator("noise", draw)
        centres = zoo.vectors[pick(zoo.members, count, rng)]
        return centres + levels * scale * torch.randn(centres.shape, generator=rng)

    return drawn(material, "noise", "checkpoints with Gaussian noise", sample, material.seconds("search", "collect"))


def controls(name: str, title: str) -> Callable[[Material], Pool]:
    """The pool of a simple generator of that name."""

    def make(material: Material) -> Pool:
        run, zoo, start = material.run, material.zoo, perf_counter()
        generator = find(name)(run.limits.generator_steps, run.method, str(run.device))
        conditions = ZooConditions.of_scores(zoo.scores, run.task.metric)
        rng = run.generator("control", name)
        generator.fit(zoo.vectors, conditions, members=zoo.members, layout=zoo.layout, rng=rng)

        def sample(draw: int) -> Tensor:
            return generator.sample(run.limits.candidates, rng=run.generator("control", name, draw))

        before = material.seconds("search", "collect") + perf_counter() - start
        return drawn(material, name, title, sample, before)

    return make


def drawn(material: Material, name: str, title: str, sample: Callable[[int], Tensor], seconds: float) -> Pool:
    """The pool of independent draws.

    Args:
        material: The material.
        name: Name of the pool.
        title: Description of the networks.
        sample: Vectors (n, P) of a draw.
        seconds: Wall clock from nothing to the first draw.
    """
    run, judge, start = material.run, material.judge, perf_counter()
    draws, tops = [], []
    with progress(name, run.limits.resamplings, quiet=run.config.quiet) as advance:
        for number in range(run.limits.resamplings):
            draw, top = _ranked(judge, material.zoo, sample(number), 2 * run.limits.members, run.limits.retrainings)
            draws.append(draw)
            tops.append(top)
            advance(f"best validation {judge.metric.format(best(tops, judge.metric))}")
    spent = (perf_counter() - start) / len(draws)
    few = min(run.limits.retrainings, draws[0].count)
    return Pool(name, title, material.zoo, draws, sample, seconds + spent, few)


def _ranked(judge: Judge, zoo: Zoo, vectors: Tensor, keep: int, few: int) -> tuple[Draw, float]:
    """The best of some vectors (n, P), of which a few answer at a time, and the best score."""
    states = zoo.layout.unflatten(vectors)
    ranks: list[float] = []
    means: dict[Part, list[Tensor]] = {part: [] for part in PARTS}
    counts: dict[Part, list[float]] = {part: [] for part in PARTS}
    finite: dict[Part, list[Tensor]] = {part: [] for part in PARTS}
    undefined: Answers = {}
    for part, chunk in judge.each(evaluator_of(zoo), states):
        good = chunk.flatten(1).isfinite().all(dim=1)
        finite[part].append(good)
        if part == "val":
            ranks += judge.scores(chunk, "rank")
        if bool(good.any()):
            means[part].append(judge.average(chunk[good]))
            counts[part].append(float(good.sum()))
        else:
            undefined[part] = chunk[0]
    ranking = order(ranks, judge.metric)
    best_few = next(i for i in ranking if i < few)
    chosen = [*ranking[:keep], best_few]
    answers = judge.answers(evaluator_of(zoo), zoo.layout.unflatten(vectors[chosen]))
    draw = Draw(
        len(vectors),
        vectors[chosen[:-1]],
        {part: answers[part][:-1] for part in PARTS},
        vectors[best_few],
        {part: answers[part][-1] for part in PARTS},
        {
            part: judge.average(torch.stack(means[part]), counts[part]) if means[part] else undefined[part]
            for part in PARTS
        },
        torch.cat(finite["val"]),
    )
    return draw, ranks[ranking[0]]
