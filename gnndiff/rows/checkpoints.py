"""Rows of what the zoo gives by itself: its best, an average, an ensemble, and noise around the best."""

from __future__ import annotations

import math
from time import perf_counter
from typing import ClassVar

import torch

from gnndiff.progress import progress
from gnndiff.rows.base import Material, Outcome, Row
from gnndiff.scores import best, order


class BestCheckpoint(Row):
    """The checkpoint that validates best."""

    name: ClassVar[str] = "best_checkpoint"
    title: ClassVar[str] = "the checkpoint that validates best"

    def outcome(self, material: Material) -> Outcome:
        """Score it."""
        zoo = material.zoo
        vals, tests = (zoo.score(zoo.vectors[:1], part) for part in ("val", "test"))
        note = f"best of {len(zoo)} checkpoints"
        return Outcome(vals, tests, material.seconds("search", "collect"), note, zoo.vectors[0])


class CheckpointSoup(Row):
    """The average of the weights of the best trainings."""

    name: ClassVar[str] = "checkpoint_soup"
    title: ClassVar[str] = "average of the weights of the best trainings"

    def outcome(self, material: Material) -> Outcome:
        """Score it."""
        zoo, count = material.zoo, material.run.limits.members
        soup = zoo.soup(count)
        vals, tests = (zoo.score(soup.unsqueeze(0), part) for part in ("val", "test"))
        used = len(zoo.best_of_each(count))
        aligned = "hidden units aligned" if zoo.alignment.startswith("aligned") else "hidden units not aligned"
        note = f"average of the best {used} trainings, {aligned}"
        return Outcome(vals, tests, material.seconds("search", "collect"), note, soup)


class CheckpointEnsemble(Row):
    """The mean answer of the best trainings."""

    name: ClassVar[str] = "checkpoint_ensemble"
    title: ClassVar[str] = "mean answer of the best trainings"

    def outcome(self, material: Material) -> Outcome:
        """Score it."""
        zoo = material.zoo
        chosen = zoo.best_of_each(material.run.limits.members)
        vals, tests = ([zoo.ensemble_score(chosen, part)] for part in ("val", "test"))
        note = f"mean answer of the best {len(chosen)} by validation"
        return Outcome(vals, tests, material.seconds("search", "collect"), note)


class NoiseBestOfN(Row):
    """The best checkpoint with Gaussian noise, as many draws as of the generator."""

    name: ClassVar[str] = "noise_best_of_n"
    title: ClassVar[str] = "the best checkpoint with Gaussian noise, best of n by validation"

    def outcome(self, material: Material) -> Outcome:
        """Draw and score."""
        run, zoo, limits = material.run, material.zoo, material.run.limits
        start, metric = perf_counter(), material.run.task.metric
        top = zoo.vectors[:1]
        scale = zoo.layout.tensor_scales(top)
        levels = torch.tensor(run.method.noise_levels)
        levels = levels.repeat(math.ceil(limits.candidates / len(levels)))[: limits.candidates].unsqueeze(1)
        vals: list[float] = []
        chosen = []
        with progress("noise", limits.resamplings, quiet=run.config.quiet) as advance:
            for draw in range(limits.resamplings):
                noise = torch.randn(limits.candidates, len(scale), generator=run.generator("noise", draw))
                vectors = top + levels * scale * noise
                scores = zoo.score(vectors, "val")
                first = order(scores, metric)[0]
                vals.append(scores[first])
                chosen.append(vectors[first])
                advance(f"best validation {metric.format(best(vals, metric))}")
        tests = zoo.score(torch.stack(chosen), "test")
        spent = (perf_counter() - start) / limits.resamplings
        note = f"best of {limits.candidates} by validation: the best checkpoint with Gaussian noise"
        return Outcome(vals, tests, material.seconds("search", "collect") + spent, note, chosen[0])
