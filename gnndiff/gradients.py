"""Training losses of networks, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gnndiff.evaluation import Evaluator
from gnndiff.stacked import States
from graphtasks.randomness import seeded


def training_gradients(evaluator: Evaluator, states: States, names: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """The training loss of each of n stacked networks, summed over all targets, and its gradients.

    Networks are in evaluation mode, hence without dropout. Batches, where there are any, are the same in each call.

    Args:
        evaluator: Knows task, split and loss.
        states: Stacked state dicts, each tensor (n, *shape).
        names: Parameters to differentiate by.

    Returns:
        Losses (n,), and gradients (n, *shape) by name.
    """
    batches = evaluator.kind.batches(evaluator.task, evaluator.split, evaluator.config, evaluator.device)
    losses, gradients = [], []
    for network in evaluator.each(evaluator.whole(states)):
        own = dict(network.requires_grad_().named_parameters())
        with seeded(0), torch.enable_grad():
            parts = [loss * count for loss, count in batches.losses(network)]
            loss = torch.stack(parts).sum()
        found = torch.autograd.grad(loss, [own[name] for name in names], allow_unused=True, materialize_grads=True)
        losses.append(loss.detach())
        gradients.append(found)
    stacked = {name: torch.stack(each) for name, each in zip(names, zip(*gradients, strict=True), strict=True)}
    return torch.stack(losses).cpu(), {name: each.cpu() for name, each in stacked.items()}
