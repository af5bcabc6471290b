"""The choice of what a run delivers, among all rows, by the half of validation that ranked nothing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

import torch

from gnndiff.rows import ROWS, Made, Material, Outcome
from gnndiff.runs.deliver import Best, Deliverable
from gnndiff.scores import best_first, order
from gnndiff.zoo.zoo import Zoo

NEAR = 1e-6
"""Distance to a checkpoint, relative to it, below which a network is that checkpoint."""


def choose(material: Material, outcomes: Mapping[str, Outcome]) -> Best:
    """The deliverable of a run.

    The row of the best mean score on the half that chooses, over its trainings or draws, gives the one that the half
    that ranks puts first; of equal rows the one that comes first. Ensembles take part where the run allows them.

    Args:
        material: The material.
        outcomes: The outcomes of the rows by their names.
    """
    run, judge = material.run, material.judge
    rows = {row.name: row for row in ROWS}
    allowed = [name for name in outcomes if run.config.deliver == "ensemble" or not rows[name].ensemble]
    means = {name: statistics.fmean(outcomes[name].choices) for name in allowed}
    name = best_first(allowed, means.__getitem__, judge.metric)[0]
    outcome = outcomes[name]
    first = order(outcome.ranks, judge.metric)[0]
    found = outcome.made[first].networks()
    facts = {
        "task": run.task.name,
        "model": run.target.name,
        "split": run.config.split,
        "metric": judge.metric.name,
        "pool": rows[name].pool,
        "form": rows[name].form,
        "is": _kind(material.zoo, rows[name].pool, outcome.made[first], found),
        "choice": outcome.choices[first],
        "nested": judge.halves.nested,
        "chosen": _sentence(judge.halves.nested, len(allowed)),
    }
    return Best(
        found.states, found.weights, dict(found.setting), outcome.vals[first], outcome.tests[first], name, facts
    )


def _sentence(nested: bool, rows: int) -> str:
    if not nested:
        return (
            f"best validation score among {rows} rows; validation is too small for halves, so the same data ranked "
            "and chose"
        )
    return f"best score among {rows} rows on the half of validation by which nothing was ranked or refined"


def _kind(zoo: Zoo, pool: str, made: Made, found: Deliverable) -> str:
    """The kind of the deliverable: an ensemble, a checkpoint of the zoo, a training, or another network."""
    if len(found.states) > 1:
        return f"ensemble of {len(found.states)} networks"
    if _is_checkpoint(zoo, found):
        return "checkpoint"
    return "training" if pool in ("search", "retrained") else "network"


def _is_checkpoint(zoo: Zoo, found: Deliverable) -> bool:
    state = found.states[0]
    shapes: dict[str, Any] = {name: tuple(state[name].shape) for name in zoo.layout.shapes if name in state}
    if shapes != zoo.layout.shapes:
        return False
    vector = zoo.layout.flatten(state)
    distances = (zoo.vectors - vector).norm(dim=1)
    return bool(distances.min() <= NEAR * torch.clamp(vector.norm(), min=1e-12))
