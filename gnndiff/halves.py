"""Two halves of a validation part: one ranks and refines, the other chooses what is delivered."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphtasks import GraphTask, InvalidDataError, LinkSplit, Split


@dataclass(frozen=True)
class Halves:
    """Rows of the targets of a validation part, as `task.targets(split, "val")` has them, in two halves.

    Nodes, edges with their negatives, and graphs are divided at random, each class and each kind of pair by itself; the
    snapshots of a series in their order, the earlier ones first. All rows of one graph or snapshot are in one half.
    Where a half cannot be scored, such as one that lacks a class that the metric needs, both are the whole part.

    Args:
        rank: Rows (M1,) of the half that ranks and refines.
        choice: Rows (M2,) of the half that chooses.
        nested: Whether they are disjoint.
        split: The split with the first half as its validation part.
    """

    rank: Tensor
    choice: Tensor
    nested: bool
    split: Split | LinkSplit

    @classmethod
    def of(cls, task: GraphTask, split: int, generator: torch.Generator) -> Halves:
        """The halves of a task's split.

        Args:
            task: The task.
            split: Index of its split.
            generator: Source of randomness.
        """
        y, whole = task.targets(split, "val"), task.split(split)
        units = _units(task, split)
        count = int(units.max()) + 1
        if task.kind == "temporal":
            first = torch.arange(count) < (count + 1) // 2
        else:
            first = _first(_strata(task, y, count), generator)
        mask = first[units]
        rank, choice = mask.nonzero().view(-1), (~mask).nonzero().view(-1)
        if not all(len(rows) and _scored(task, y, rows) for rows in (rank, choice)):
            every = torch.arange(len(y))
            return cls(every, every, False, whole)
        return cls(rank, choice, True, _with_first(whole, first))


def _units(task: GraphTask, split: int) -> Tensor:
    """The node, pair, graph or snapshot (M,) of each target of the validation part, counted from 0."""
    if not task.many:
        return torch.arange(len(task.targets(split, "val")))
    sizes = torch.tensor([len(graph.y) for graph in task.part(split, "val")])
    return torch.arange(len(sizes)).repeat_interleave(sizes)


def _strata(task: GraphTask, y: Tensor, count: int) -> Tensor:
    """The class of each unit, all the same where they have none."""
    single = task.form in ("classes", "links") and len(y) == count
    return y.view(-1).long() if single else torch.zeros(count, dtype=torch.int64)


def _first(strata: Tensor, generator: torch.Generator) -> Tensor:
    """Whether each unit is in the first half: every second one of each stratum, in a random order."""
    order = torch.randperm(len(strata), generator=generator)
    order = order[strata[order].sort(stable=True).indices]
    first = torch.zeros(len(strata), dtype=torch.bool)
    first[order[::2]] = True
    return first


def _scored(task: GraphTask, y: Tensor, rows: Tensor) -> bool:
    """Whether the metric scores predictions for some of the targets."""
    y = y[rows]
    pred = torch.zeros(len(y), task.num_outputs) if task.form == "classes" else torch.zeros(y.shape)
    try:
        task.metric.score(y, pred)
    except InvalidDataError:
        return False
    return True


def _with_first(split: Split | LinkSplit, first: Tensor) -> Split | LinkSplit:
    """The split with the units of the first half alone in its validation part."""
    if isinstance(split, Split):
        return Split(split.train, split.val[first], split.test)
    edges = split.val.size(1)
    return LinkSplit(
        split.train,
        split.val[:, first[:edges]],
        split.test,
        split.val_neg[:, first[edges:]],
        split.test_neg,
        split.undirected,
        split.repeated_pairs,
        split.val_messages,
    )
