"""Rows of what the generator gives: its best, an average and an ensemble, for each independent draw."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from gnndiff.rows.base import Material, Outcome, Row
from gnndiff.zoo.zoo import Zoo


class GeneratedBest(Row):
    """The generated network that validates best."""

    name: ClassVar[str] = "generated_best"
    title: ClassVar[str] = "generated networks, best of n by validation"

    def outcome(self, material: Material) -> Outcome:
        """Score the best of each draw."""
        zoo = material.zoo
        bests = torch.stack([top[0] for top in _tops(material)])
        vals, tests = (zoo.score(bests, part) for part in ("val", "test"))
        distance = torch.stack([distance_to_nearest(zoo, vector) for vector in bests]).mean()
        note = (
            f"best of {material.candidates.vals.size(1)} by validation; "
            f"distance to the nearest checkpoint {float(distance):.2f} of the zoo's mean pair distance"
        )
        return Outcome(vals, tests, _seconds(material), note, bests[0])


class GeneratedSoup(Row):
    """The average of the weights of the best generated networks."""

    name: ClassVar[str] = "generated_soup"
    title: ClassVar[str] = "average of the weights of the best generated networks"

    def outcome(self, material: Material) -> Outcome:
        """Score the average of each draw."""
        soups = torch.stack([top.mean(dim=0) for top in _tops(material)])
        vals, tests = (material.zoo.score(soups, part) for part in ("val", "test"))
        note = f"average of the best {material.run.limits.members} by validation"
        return Outcome(vals, tests, _seconds(material), note, soups[0])


class GeneratedEnsemble(Row):
    """The mean answer of the best generated networks."""

    name: ClassVar[str] = "generated_ensemble"
    title: ClassVar[str] = "mean answer of the best generated networks"

    def outcome(self, material: Material) -> Outcome:
        """Score the ensemble of each draw."""
        zoo, tops = material.zoo, _tops(material)
        vals, tests = ([zoo.ensemble_score(top, part) for top in tops] for part in ("val", "test"))
        note = f"mean answer of the best {len(tops[0])} by validation"
        return Outcome(vals, tests, _seconds(material), note)


def distance_to_nearest(zoo: Zoo, vector: Tensor) -> Tensor:
    """Distance to the nearest checkpoint over the mean distance of two checkpoints."""
    pairs = torch.pdist(zoo.vectors).mean()
    return (zoo.vectors - vector).norm(dim=1).min() / pairs


def _tops(material: Material) -> list[Tensor]:
    """The best vectors (members, P) of each draw."""
    members, decode = material.run.limits.members, material.generator.autoencoder.decode
    return [decode(material.candidates.best(draw, members)) for draw in range(len(material.candidates.latents))]


def _seconds(material: Material) -> float:
    draws = len(material.candidates.latents)
    return material.seconds("search", "collect", "train") + material.seconds("generate") / draws
