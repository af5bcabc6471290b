"""Alignment of networks that differ by a permutation of their hidden units.

Two trainings find the same function with its hidden units in another order; before their weights are averaged or
modelled, the units of one are matched to those of the other. Source: Ainsworth et al., "Git Re-Basin"
(https://arxiv.org/abs/2209.04836), section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gnndiff.evaluation import Evaluator, stack
from gnndiff.targets.units import Units

State = Mapping[str, Tensor]

# Rounding of single precision through a few layers.
TOLERANCE = 1e-3


def align(state: State, reference: State, units: Sequence[Units]) -> dict[str, Tensor]:
    """Reorder the hidden units of a network to match those of a reference.

    Groups of units are visited until none changes, since the order of each depends on that of its neighbours.

    Args:
        state: State dict of a network.
        reference: State dict of the same architecture.
        units: Its hidden units.
    """
    state = dict(state)
    for _ in range(10):
        changed = False
        for group in units:
            order = _match(state, reference, group)
            if not torch.equal(order, torch.arange(len(order))):
                permute(state, group, order)
                changed = True
        if not changed:
            break
    return state


def alignment_error(state: State, units: Sequence[Units], outputs: Callable[[State], Tensor]) -> float:
    """Largest change of a network's outputs when its hidden units change places at random, relative to their size.

    Args:
        state: State dict of a network.
        units: Its hidden units.
        outputs: The outputs of a state dict.
    """
    moved, generator = dict(state), torch.Generator().manual_seed(0)
    for group in units:
        each = len(_rows(state[group.rows[0]])) // group.heads
        order = [torch.randperm(each, generator=generator) + head * each for head in range(group.heads)]
        permute(moved, group, torch.cat(order))
    before, after = outputs(state), outputs(moved)
    return float((after - before).abs().max() / before.abs().max().clamp(min=1e-30))


def usable_units(units: Sequence[Units] | None, evaluator: Evaluator) -> tuple[Sequence[Units], str]:
    """The units by which networks can be aligned, none where outputs would change, and why, for the reader."""
    if not units:
        return (), "not aligned: the target declares no hidden units that may change places"

    def outputs(state: State) -> Tensor:
        return torch.cat(list(evaluator.outputs(stack([state]), "val")))

    error = alignment_error(evaluator.module.state_dict(), units, outputs)
    if not error < TOLERANCE:
        return (), f"not aligned: reordering the declared hidden units changes outputs by {error:.2g}"
    return tuple(units), "aligned by the declared hidden units"


def permute(state: dict[str, Tensor], units: Units, order: Tensor) -> None:
    """Reorder units of a state dict in place; unit `order[i]` goes to place i."""
    for name in units.rows:
        state[name] = _rows(state[name])[order].reshape(state[name].shape)
    for name in units.columns:
        state[name] = state[name][:, order]


def _match(state: State, reference: State, units: Units) -> Tensor:
    """For each unit of the reference the unit of `state` that takes its place."""
    width = len(_rows(reference[units.rows[0]]))
    similarity = torch.zeros(width, width)
    for name in units.rows:
        if reference[name].is_floating_point():
            similarity += (_rows(reference[name]) @ _rows(state[name]).mT).cpu()
    for name in units.columns:
        similarity += (reference[name].mT @ state[name]).cpu()
    heads, each = units.heads, width // units.heads
    blocks = similarity.view(heads, each, heads, each)
    order = [
        torch.as_tensor(linear_sum_assignment(blocks[h, :, h].numpy(), maximize=True)[1]) + h * each
        for h in range(heads)
    ]
    return torch.cat(order)


def _rows(tensor: Tensor) -> Tensor:
    """A tensor as rows of units."""
    return tensor.reshape(tensor.numel(), 1) if tensor.dim() == 3 else tensor.reshape(len(tensor), -1)
