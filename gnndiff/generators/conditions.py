"""Conditions that parameters are generated for: a validation score and, over many graphs, an embedding of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gnndiff.scores import best
from graphtasks import Metric


@dataclass(frozen=True)
class ZooConditions:
    """Conditions of each checkpoint of a zoo, and the one to generate for.

    Args:
        values: Conditions (n, C) of the checkpoints, the score last.
        wanted: Condition (C,) to generate for by default.
    """

    values: Tensor
    wanted: Tensor

    @classmethod
    def of_scores(cls, scores: Sequence[float], metric: Metric) -> ZooConditions:
        """Validation scores alone, where all checkpoints saw the same graph; the best is wanted."""
        return cls.of_graphs(torch.zeros(len(scores), 0), torch.zeros(0), scores, metric)

    @classmethod
    def of_graphs(cls, graphs: Tensor, graph: Tensor, scores: Sequence[float], metric: Metric) -> ZooConditions:
        """Embeddings (n, D) of the graphs that checkpoints saw and their scores; wanted is the best on `graph` (D,).

        The graphs are different ones: views of one graph tell nothing but which training a checkpoint is of.
        """
        values = torch.tensor(list(scores)).float().unsqueeze(1)
        top = torch.tensor([best(scores, metric)]).float()
        return cls(torch.cat([graphs, values], dim=1), torch.cat([graph, top]))


@dataclass(frozen=True)
class Standardised:
    """Conditions with zero mean and unit variance over a zoo.

    Args:
        mean: Means (C,).
        std: Deviations (C,), 1 where there is none.
        lowest: The lowest score of the zoo, shape ().
        highest: The highest one.
    """

    mean: Tensor
    std: Tensor
    lowest: Tensor
    highest: Tensor

    @classmethod
    def over(cls, values: Tensor) -> Standardised:
        """Statistics over conditions (n, C), the score last."""
        std = values.std(dim=0, correction=0)
        scores = values[:, -1]
        std = torch.where(std > 1e-8, std, torch.ones_like(std))
        return cls(values.mean(dim=0), std, scores.min().clone(), scores.max().clone())

    def __call__(self, values: Tensor) -> Tensor:
        """Conditions (n, C) for a network. A score outside of the zoo's becomes the nearest of these."""
        scores = values[..., -1:].clamp(self.lowest, self.highest)
        return (torch.cat([values[..., :-1], scores], dim=-1) - self.mean) / self.std
