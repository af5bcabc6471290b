"""Modules of parameter vectors on the members of a family."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

import graphtasks
from gnndiff.errors import ConfigError
from gnndiff.targets import Target
from gnndiff.targets.base import Setting
from gnndiff.targets.build import Preparations, build
from gnndiff.zoo.vectors import ParameterLayout
from graphtasks import GraphTask
from graphtasks.splits import PARTS


class Networks:
    """One module that takes vectors in turn, from one initialisation that all trainings share.

    Args:
        target: The model.
        setting: Its hyperparameters.
        task: A member, unprepared.
        seed: Seed of the initialisation.

    Raises:
        ConfigError: The target keeps statistics in buffers, which no vector has.
    """

    def __init__(self, target: Target, setting: Setting, task: GraphTask, seed: int) -> None:
        self.target, self.setting, self.seed, self.metric = target, setting, seed, task.metric
        self.module = self.build(self.prepare(task))
        names = [name for name, _ in self.module.named_parameters()]
        self.layout = ParameterLayout.of(self.module.state_dict(), names)
        running = [name for name, _ in self.module.named_buffers() if "running" in name]
        if running:
            raise ConfigError(
                f"{target.name!r} has running statistics ({running[0]}): use a norm without, as layer_norm"
            )
        self.start = self.layout.flatten(self.module.state_dict())

    def prepare(self, task: GraphTask) -> GraphTask:
        """The task with what the target needs of its graph."""
        return Preparations(self.target, task)(self.setting)

    def build(self, prepared: GraphTask) -> nn.Module:
        """The module with the shared initialisation."""
        return build(self.target, prepared, self.setting, self.seed, torch.device("cpu"))

    def load(self, vector: Tensor) -> nn.Module:
        """The module with the parameters of a vector (P,)."""
        self.module.load_state_dict(self.layout.unflatten(vector), strict=False)
        return self.module

    def gradient(self) -> Tensor:
        """The gradient (P,) of the module's parameters."""
        parameters = dict(self.module.named_parameters())
        slopes = {n: p.grad if p.grad is not None else torch.zeros_like(p) for n, p in parameters.items()}
        return self.layout.flatten(slopes)

    def outputs(self, vectors: Tensor, prepared: GraphTask, part: str = "test") -> list[Tensor]:
        """Outputs of vectors (n, P) for a part of a prepared task."""
        return [graphtasks.predict(self.load(vector), prepared, 0, part) for vector in vectors]  # type: ignore[arg-type]

    def score(self, vectors: Tensor, prepared: GraphTask, part: str = "test") -> float:
        """Score of the mean prediction of vectors (n, P) on a part."""
        outputs = self.outputs(vectors, prepared, part)
        pred = outputs[0] if len(outputs) == 1 else prepared.average(outputs)
        if not bool(pred.isfinite().all()):
            return self.metric.worst
        return prepared.evaluate(pred, 0, part)  # type: ignore[arg-type]

    def held_out_score(self, vectors: Tensor, prepared: GraphTask) -> float:
        """Score of the mean prediction of vectors (n, P) over all labels of a member that nothing was trained on."""
        parts = PARTS[1:] if prepared.kind == "link" else PARTS  # the train part of links has no negatives
        sizes = [len(prepared.targets(0, part)) for part in parts]
        scores = [self.score(vectors, prepared, part) for part in parts]
        return sum(size * score for size, score in zip(sizes, scores, strict=True)) / sum(sizes)

    def held_out_mean(self, vectors: Iterable[Tensor], prepared: list[GraphTask]) -> float:
        """Mean of :meth:`held_out_score` over m members, each with vectors (n, P) of its own."""
        scores = [self.held_out_score(each, task) for each, task in zip(vectors, prepared, strict=True)]
        return sum(scores) / len(scores)
