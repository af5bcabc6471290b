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
from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gnndiff.parameters import State

_LAYER = re.compile(r"(?:mlp\.)?(?:convs|lins|norms)\.(\d+)\.|(conv|lin)\.")
_LAST = sys.maxsize
# Of blocks with residuals, what has a row, or a column, for each unit that the residuals carry. What attention and
# perceptron have within them has neither.
_BLOCK = r"blocks\.\d+\."
_ROWS = re.compile(
    rf"lin_in\.|{_BLOCK}(?:norm\d\.|mlp\.3\.|(?:conv|dmd)\.(?:bias|lin\.weight)|attn\.(?:out_proj|attn_out)\.)"
)
_COLUMNS = re.compile(
    rf"lin_out\.weight|{_BLOCK}(?:mlp\.0\.weight|(?:conv|dmd)\.lin\.weight|attn\.(?:in_proj_|[qkv]\.)weight)"
)
_HIDDEN = re.compile(rf"{_BLOCK}mlp\.0\.weight")


class _Units(NamedTuple):
    """Hidden units: the tensors with a row for each of them, those with a column for each, and the number of heads
    within which they may change places."""

    rows: list[str]
    columns: list[str]
    heads: int


def align(state: State, reference: State) -> dict[str, Tensor]:
    """Reorder the hidden units of a model to match those of a reference, without changing its outputs.

    Args:
        state: State dict of a model of `torch_geometric.nn.models`, with layers in `convs` or `lins` and perhaps a last
            one in `lin`, of `DMDGNN`, `GraphDMD` or `DecoupledDMD`, or of blocks with residuals between `lin_in` and
            `lin_out`, as `DMDGPS`.
        reference: State dict of the same architecture.

    Hidden units of attention heads and of filters are matched within their head; what attention has within it is left
    as it is. Layers are visited until none changes.

    Raises:
        ValueError: No layer has a name as above.
    """
    state = dict(state)
    groups = _blocks(reference) if "lin_in.weight" in reference else _layers(reference)
    for _ in range(10):
        changed = False
        for units in groups:
            order = _match(state, reference, units)
            if not torch.equal(order, torch.arange(len(order))):
                _permute(state, units, order)
                changed = True
        if not changed:
            break
    return state


def _layers(state: State) -> list[_Units]:
    """The units between the layers of a network without residuals."""
    layers: dict[int, list[str]] = defaultdict(list)
    for name in state:
        if match := _LAYER.match(name):
            layers[int(match[1] or (0 if match[2] == "conv" else _LAST))].append(name)
    if not layers:
        raise ValueError(f"got a model with parameters {', '.join(state)}, expected layers in convs, lins or blocks")
    groups = []
    for layer, following in pairwise(sorted(layers)):
        # Filters have no row for a unit.
        names, columns = ([name for name in layers[place] if ".filter." not in name] for place in (layer, following))
        width = max(state[name].size(0) for name in names if state[name].dim() == 2)
        rows = [name for name in names if _has_row_for_each(state[name], width)]
        columns = [name for name in columns if state[name].dim() == 2 and state[name].size(1) == width]
        heads = [name for name in layers[layer] if name.endswith("att_src") or ".filter." in name]
        groups.append(_Units(rows, columns, state[heads[0]].size(1) if heads else 1))
    return groups


def _has_row_for_each(tensor: Tensor, width: int) -> bool:
    if tensor.dim() == 3:  # attention vectors (1, heads, units)
        return tensor.numel() == width
    return tensor.dim() in (1, 2) and tensor.size(0) == width


def _blocks(state: State) -> list[_Units]:
    """The units that residuals carry through all blocks, and those within the perceptron of each block."""
    rows = [name for name, tensor in state.items() if _ROWS.match(name) and tensor.dim()]
    columns = [name for name in state if _COLUMNS.match(name)]
    filters = [name for name in state if ".filter." in name]
    heads = state[filters[0]].size(1) if filters else 1
    if heads == state["lin_in.weight"].size(0):  # a filter for each unit moves with it
        columns, heads = columns + filters, 1
    within = [
        _Units([name, name.replace("weight", "bias")], [name.replace("mlp.0", "mlp.3")], 1)
        for name in state
        if _HIDDEN.match(name)
    ]
    return [_Units(rows, columns, heads), *within]


def _match(state: State, reference: State, units: _Units) -> Tensor:
    """For each unit of the reference the unit of `state` that takes its place."""
    width = len(_rows(reference, units.rows[0]))
    similarity = torch.zeros(width, width)
    for name in units.rows:
        similarity += (_rows(reference, name) @ _rows(state, name).mT).cpu()
    for name in units.columns:
        similarity += (reference[name].mT @ state[name]).cpu()
    heads, each = units.heads, width // units.heads
    blocks = similarity.view(heads, each, heads, each)
    order = [
        torch.as_tensor(linear_sum_assignment(blocks[h, :, h].numpy(), maximize=True)[1]) + h * each
        for h in range(heads)
    ]
    return torch.cat(order)


def _rows(state: State, name: str) -> Tensor:
    """A tensor as rows of units."""
    tensor = state[name]
    return tensor.reshape(tensor.numel(), 1) if tensor.dim() == 3 else tensor.reshape(len(tensor), -1)


def _permute(state: dict[str, Tensor], units: _Units, order: Tensor) -> None:
    for name in units.rows:
        state[name] = _rows(state, name)[order].reshape(state[name].shape)
    for name in units.columns:
        state[name] = state[name][:, order]
