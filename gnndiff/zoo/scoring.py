"""Scores by a function of your own, where there is no task."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NoReturn

import torch
from torch import nn

from gnndiff.errors import ZooError
from gnndiff.networks import Networks
from gnndiff.stacked import States
from graphtasks import Metric
from graphtasks.splits import Part

Direction = Literal["maximize", "minimize"]
Score = Callable[[nn.Module], float]


class FunctionEvaluator(Networks):
    """Scores of networks of one architecture by a function of the module.

    Args:
        module: A module of the architecture. Its buffers are those of all networks that have none of their own.
        function: The validation score of a module in evaluation mode.
        direction: Whether more or less of it is better.
    """

    def __init__(self, module: nn.Module, function: Score, direction: Direction = "maximize") -> None:
        super().__init__(module)
        self.function = function
        self.metric = Metric(getattr(function, "__name__", "score"), direction, _no_labels, "regression")

    @torch.no_grad()
    def scores(self, states: States, part: Part = "val") -> list[float]:
        """Scores of stacked networks; NaN becomes the worst."""
        if part != "val":
            raise ZooError(f"got part={part!r}, but a scoring function knows its own part alone: leave it out")
        found = [float(self.function(network)) for network in self.each(self.whole(states))]
        return [self.metric.worst if math.isnan(score) else score for score in found]

    def ensemble(self, states: States, part: Part = "val") -> NoReturn:
        """Refused: a function of one module scores no mean answer.

        Raises:
            ZooError: Always.
        """
        raise ZooError("an ensemble is scored by its answers, which a scoring function does not show: pass a task")


def _no_labels(y: Any, pred: Any) -> NoReturn:
    raise ZooError("this score is that of a function of a module: it takes no labels")
