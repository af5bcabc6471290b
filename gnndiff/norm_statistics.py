"""Statistics of batch normalisations, for networks that were averaged or generated instead of trained."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphtasks import forward
from graphtasks.batches import Batches
from graphtasks.splits import Part

NAMES = ("running_mean", "running_var")


def statistics_of(module: nn.Module) -> list[str]:
    """Names of the running means and variances in a module's state dict."""
    return [f"{name}.{key}" for name in _norms(module) for key in NAMES]


@torch.no_grad()
def recomputed(module: nn.Module, batches: Batches, part: Part, inputs: Sequence[Data]) -> dict[str, Tensor]:
    """Running means and variances of a network over some graphs, each batch of which counts the same.

    An average of two networks has neither's statistics. Dropout and all else is as in evaluation.

    Args:
        module: The network, which stays as it is.
        batches: How the task reaches it.
        part: The part that the graphs are of.
        inputs: Graphs, or batches of graphs, that it is trained on.
    """
    module = copy.deepcopy(module).eval()
    norms: list[Any] = [module.get_submodule(name) for name in _norms(module)]
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    for count, data in enumerate(inputs, 1):
        for norm in norms:
            norm.momentum = 1 / count
        batches.read(module, forward(module, data), data, part)
    state = module.state_dict()
    return {name: state[name] for name in statistics_of(module)}


def _norms(module: nn.Module) -> list[str]:
    """Names of the modules that keep running statistics: torch's and PyG's normalisations of batches and instances."""
    return [
        name
        for name, norm in module.named_modules()
        if hasattr(norm, "reset_running_stats") and isinstance(getattr(norm, NAMES[0], None), Tensor)
    ]
