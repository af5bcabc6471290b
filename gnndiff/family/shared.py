"""Networks trained on all members at once, whose parameters are linear in what is known of a member."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gnndiff.family.networks import Networks
from gnndiff.targets.base import Setting
from gnndiff.targets.build import fit_config
from graphtasks import GraphTask, kinds
from graphtasks.config import OPTIMIZERS
from graphtasks.randomness import seeded

CHECKS = 12
EXPERTS = 6
GENTLE = 0.02
"""Largest learning rate: members pull in different directions."""


@dataclass(frozen=True)
class Start:
    r"""Networks :math:`\theta(c) = W \phi(c)` trained on all members, from which the trainings on members go on.

    Args:
        weights: Weights W: (P, 1) of one network for all graphs, or (P, 1 + C) of a hypernetwork.
    """

    weights: Tensor

    @property
    def name(self) -> str:
        """The row that it is."""
        return "one_network" if self.weights.size(1) == 1 else "hypernetwork"

    def __call__(self, conditions: Tensor) -> Tensor:
        """Vectors (n, P) at standardised conditions (n, C)."""
        return with_one(conditions)[:, : self.weights.size(1)] @ self.weights.mT


def train_shared(
    networks: Networks,
    tasks: list[GraphTask],
    features: Tensor,
    held_out: list[GraphTask],
    held_features: Tensor,
    start: Tensor,
    setting: Setting,
    steps: int,
    seed: int,
) -> Tensor:
    r"""Weights W (P, D) of :math:`\theta = W \phi`, by the chain rule :math:`\partial W = \partial\theta\, \phi^\top`.

    With the one feature 1 that is one network for all members, with conditions a linear hypernetwork, and with shares
    of experts a mixture of them in the space of parameters.

    Args:
        networks: Makes modules of vectors.
        tasks: Prepared training members.
        features: Their features (n, D).
        held_out: Prepared members whose mean score, over all their labels, chooses among the steps.
        held_features: Their features (m, D).
        start: Initial weights (P, D).
        setting: Hyperparameters of training.
        steps: Steps, each on one member.
        seed: Seed of their order and of dropout.

    Returns:
        The weights that validated best.
    """
    config = fit_config(setting, seed)
    weights = start.clone().requires_grad_()
    rule = OPTIMIZERS["adam"]([weights], lr=min(config.lr, GENTLE))  # type: ignore[call-arg]
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(rule, steps)
    metric = networks.metric
    best, best_score = start.clone(), networks.held_out_mean((held_features @ start.mT)[:, None], held_out)
    module = networks.module
    with seeded(seed):
        batches = [kinds.find(task.kind).batches(task, 0, config, torch.device("cpu")) for task in tasks]
        for step in range(steps):
            index = int(torch.randint(len(tasks), ()))
            vector = weights.detach() @ features[index]
            networks.load(vector)
            module.train()
            module.zero_grad()
            for loss, _ in batches[index].losses(module):
                loss.backward()
            slope = networks.gradient() + config.weight_decay * vector
            weights.grad = slope.outer(features[index])
            rule.step()
            decay.step()
            if (step + 1) * CHECKS // steps > step * CHECKS // steps:
                score = networks.held_out_mean((held_features @ weights.detach().mT)[:, None], held_out)
                if metric.better(score, best_score):
                    best, best_score = weights.detach().clone(), score
    return best


def with_one(conditions: Tensor) -> Tensor:
    """Features of a hypernetwork: 1 beside the conditions (n, C), scaled to the size of 1."""
    ones = torch.ones(len(conditions), 1)
    return torch.cat([ones, conditions / conditions.size(1) ** 0.5], dim=1)


def shares(conditions: Tensor, centres: Tensor) -> Tensor:
    """Shares (n, experts) of the experts in members, by the distances of conditions from centres."""
    return torch.softmax(-torch.cdist(conditions, centres).square() / conditions.size(1), dim=1)
