"""Families: many tasks of one kind, of which some are learned from and others are never seen."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from graphtasks.errors import InvalidDataError, MissingFilesError
from graphtasks.files import as_path
from graphtasks.parts import graph_parts
from graphtasks.splits import random_splits
from graphtasks.task import GraphTask

LEAST = 4
"""Members below which a family cannot be split into training, validation and unseen ones, with two to learn from."""


@dataclass(frozen=True, eq=False, repr=False)
class Family:
    """Many tasks with the same features, outputs and metric, split into training, validation and unseen members.

    Labels of an unseen member are for scoring alone.

    Args:
        tasks: The members.
        name: Name of the family.
        conditions: Known facts of each member (n, C), such as a speed or a homophily; None where there are none.
        shares: Shares of the members that are for training and for validation; the others are unseen.
        seed: Seed of the members' split.

    Raises:
        InvalidDataError: There are fewer than four members, a member differs from the first in its kind, features,
            outputs or metric, or the conditions or shares do not fit.
    """

    tasks: Sequence[GraphTask]
    name: str = "custom-family"
    conditions: Tensor | None = None
    shares: tuple[float, float] = (0.6, 0.15)
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.tasks) < LEAST:
            raise InvalidDataError(
                f"the family {self.name!r} has {len(self.tasks)} members, expected at least {LEAST}: two to learn "
                "from, one to validate and one unseen"
            )
        first = _form(self.tasks[0])
        for index, task in enumerate(self.tasks):
            for what, got in _form(task).items():
                if got != first[what]:
                    raise InvalidDataError(
                        f"member {index} ({task.name!r}) of {self.name!r} has {what} {got}, expected {first[what]} as "
                        "the first member: leave it out, or bring it to that form"
                    )
        if self.conditions is not None:
            shape = tuple(self.conditions.shape)
            if len(shape) != 2 or shape[0] != len(self.tasks) or not bool(self.conditions.isfinite().all()):
                raise InvalidDataError(
                    f"got conditions of shape {shape}, expected a row of finite numbers for each of "
                    f"{len(self.tasks)} members"
                )
        train, val = self.shares
        if not (train > 0 and val > 0 and train + val < 1):
            raise InvalidDataError(f"got shares {self.shares}, expected two above 0 with a sum below 1")

    def __len__(self) -> int:
        return len(self.tasks)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(indices)} {part}" for part, indices in self.parts.items())
        return f"Family({self.name!r}, {self.tasks[0].kind}, {counts})"

    @cached_property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """Indices of the members that are for 'train', 'val' and 'unseen'."""
        count = len(self.tasks)
        order = torch.randperm(count, generator=torch.Generator().manual_seed(self.seed)).tolist()
        train = min(max(2, round(self.shares[0] * count)), count - 2)
        val = min(max(1, round(self.shares[1] * count)), count - train - 1)
        cut = {"train": order[:train], "val": order[train : train + val], "unseen": order[train + val :]}
        return {part: tuple(indices) for part, indices in cut.items()}

    def members(self, part: str) -> list[GraphTask]:
        """The tasks of 'train', 'val' or 'unseen'."""
        return [self.tasks[index] for index in self.parts[part]]

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of all members' data and splits, and of their split."""
        digest = hashlib.sha256(repr(sorted(self.parts.items())).encode())
        for task in self.tasks:
            digest.update(f"{task.data_hash} {[split.hash for split in task.splits]}".encode())
        if self.conditions is not None:
            digest.update(self.conditions.double().numpy().tobytes())
        return digest.hexdigest()[:16]

    def with_training(self, count: int) -> Family:
        """The family with the first `count` training members alone; all other members stay what they are.

        Raises:
            InvalidDataError: There are not that many.
        """
        have = len(self.parts["train"])
        if not 2 <= count <= have:
            raise InvalidDataError(f"got {count} training members, expected 2 to {have}")
        smaller = dataclasses.replace(self)
        smaller.__dict__["parts"] = {**self.parts, "train": self.parts["train"][:count]}
        return smaller

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], **options: Any) -> Family:
        """A family from a folder of folders, each of them a task as :meth:`GraphTask.from_folder` reads it.

        Raises:
            MissingFilesError: There are no folders in it.
        """
        folder = as_path(folder)
        folders = sorted(path for path in folder.glob("*") if path.is_dir())
        if not folders:
            raise MissingFilesError(f"there are no folders in {folder}: put one there for each member")
        return cls([GraphTask.from_folder(path) for path in folders], **{"name": folder.resolve().name, **options})

    @classmethod
    def from_snapshots(cls, task: GraphTask, **options: Any) -> Family:
        """A family of the snapshots of a series, each a graph whose values to come are predicted at each node.

        Raises:
            InvalidDataError: The task is no series.
        """
        if task.kind != "temporal":
            raise InvalidDataError(f"{task.name!r} is of kind {task.kind!r}, expected 'temporal'")
        members = [
            task.replace(
                name=f"{task.name}-{i}",
                kind="node-regression",
                data=graph,
                splits=random_splits(graph.num_nodes, count=1, seed=i),
                scale=None,
                protocol="nodes of one snapshot, a random split",
            )
            for i, graph in enumerate(task.graphs)
        ]
        return cls(members, **{"name": f"{task.name}-snapshots", **options})

    @classmethod
    def from_parts(cls, task: GraphTask, count: int, *, least: int = 50, **options: Any) -> Family:
        """A family of connected parts of one graph, each with a random split, see :func:`graphtasks.parts.graph_parts`.

        Args:
            task: A task of nodes of one graph.
            count: Parts that the graph is cut into.
            least: Nodes below which a part is left out, as is a part without a node of the last class.
            **options: Options of the family.
        """
        options = {"name": f"{task.name}-parts", **options}
        return cls(graph_parts(task, count, least=least, seed=options.get("seed", 0)), **options)


def _form(task: GraphTask) -> dict[str, Any]:
    return {
        "kind": task.kind,
        "features": task.num_features,
        "outputs": task.num_outputs,
        "metric": task.metric.name,
        "directed": task.directed,
    }
