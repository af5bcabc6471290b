"""Alignment of networks that differ by a permutation of their hidden units.

Two trainings find the same function with its hidden units in another order; before their weights are averaged or
modelled, the units of one are matched to those of the other. Source: Ainsworth et al., "Git Re-Basin"
(https://arxiv.org/abs/2209.04836), section 3.2.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from itertools import pairwise

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gnndiff.parameters import State

_LAYER = re.compile(r"(?:convs|lins|norms)\.(\d+)\.|(conv|lin)\.")
_LAST = sys.maxsize


def align(state: State, reference: State) -> dict[str, Tensor]:
    """Reorder the hidden units of a PyG basic model to match those of a reference, without changing its outputs.

    Args:
        state: State dict of a model of `torch_geometric.nn.models`, with layers in `convs` or `lins` and perhaps a last
            one in `lin`, of `DMDGNN` or `GraphDMD`.
        reference: State dict of the same architecture.

    Hidden units of attention heads are matched within their head. Layers are visited until none changes.
    """
    state = dict(state)
    layers: dict[int, list[str]] = defaultdict(list)
    for name in state:
        if match := _LAYER.match(name):
            layers[int(match[1] or (0 if match[2] == "conv" else _LAST))].append(name)
    for _ in range(10):
        changed = False
        for layer, following in pairwise(sorted(layers)):
            order = _match(state, reference, layers[layer], layers[following])
            if not torch.equal(order, torch.arange(len(order), device=order.device)):
                _permute(state, layers[layer], layers[following], order)
                changed = True
        if not changed:
            break
    return state


def _width(state: State, names: list[str]) -> int:
    """Number of hidden units that a layer puts out."""
    return max(state[name].size(0) for name in _of_units(names) if state[name].dim() == 2)


def _heads(state: State, names: list[str]) -> int:
    """Number of attention heads or of filters on modes, 1 without either."""
    return next((state[name].size(1) for name in names if name.endswith("att_src") or ".filter." in name), 1)


def _of_units(names: list[str]) -> list[str]:
    """Without the filters, which have no row for a unit."""
    return [name for name in names if ".filter." not in name]


def _outgoing(state: State, names: list[str], width: int) -> dict[str, Tensor]:
    """The tensors of a layer that have a row for each of its units, as (width, *)."""
    tensors = {}
    for name in _of_units(names):
        tensor = state[name]
        if tensor.dim() == 3 and tensor.numel() == width:  # attention vectors (1, heads, units)
            tensors[name] = tensor.reshape(width, 1)
        elif tensor.dim() in (1, 2) and tensor.size(0) == width:
            tensors[name] = tensor.reshape(width, -1)
    return tensors


def _incoming(state: State, names: list[str], width: int) -> dict[str, Tensor]:
    """The weights of a layer that have a column for each unit of the layer before, as (*, width)."""
    names = _of_units(names)
    return {name: state[name] for name in names if state[name].dim() == 2 and state[name].size(1) == width}


def _match(state: State, reference: State, names: list[str], following: list[str]) -> Tensor:
    """For each unit of the reference the unit of `state` that takes its place."""
    width = _width(reference, names)
    similarity = torch.zeros(width, width)
    for name, rows in _outgoing(reference, names, width).items():
        similarity += (rows @ state[name].reshape(width, -1).mT).cpu()
    for name, columns in _incoming(reference, following, width).items():
        similarity += (columns.mT @ state[name]).cpu()
    blocks = similarity.view(heads := _heads(reference, names), width // heads, heads, width // heads)
    order = [
        torch.as_tensor(linear_sum_assignment(blocks[h, :, h].numpy(), maximize=True)[1]) + h * (width // heads)
        for h in range(heads)
    ]
    return torch.cat(order)


def _permute(state: dict[str, Tensor], names: list[str], following: list[str], order: Tensor) -> None:
    width = len(order)
    for name, rows in _outgoing(state, names, width).items():
        state[name] = rows[order].reshape(state[name].shape)
    for name, columns in _incoming(state, following, width).items():
        state[name] = columns[:, order]
