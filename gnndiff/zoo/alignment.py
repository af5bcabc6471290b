"""Alignment of networks that differ by the order of their hidden units.

Two trainings find the same function with its hidden units in another order; before their weights are averaged or
modelled, the units of one are matched to those of the other. Source: Ainsworth et al., "Git Re-Basin"
(https://arxiv.org/abs/2209.04836), section 3.2.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from gnndiff.errors import ConfigError
from gnndiff.evaluation import Evaluator, stack
from gnndiff.targets.units import Part, Units, whole
from graphtasks import GraphTask
from graphtasks.batches import decode, forward

State = Mapping[str, Tensor]

ROUNDS = 10
TOLERANCE = 1e-3
"""Largest change of outputs, relative to their size, that is taken for rounding of single precision."""


def align(state: State, reference: State, units: Sequence[Units]) -> dict[str, Tensor]:
    """Reorder the hidden units of a network to match those of a reference, without a change of its outputs.

    The units of each group are matched so that the inner product of both networks' tensors grows, group after group,
    until none changes: each step brings the two networks closer in the Euclidean norm.

    Args:
        state: State dict of a network, or its parameters alone.
        reference: The same of the reference.
        units: Units that may change places, as :meth:`gnndiff.Target.units` declares them. Tensors that `state`
            lacks, such as statistics, are passed over.

    Returns:
        The reordered state; `state` stays as it is.
    """
    return rearranged(state, orders(state, reference, units))


Order = tuple[Units, Tensor]
"""Units, and for each the one that takes its place."""


def orders(state: State, reference: State, units: Sequence[Units]) -> list[Order]:
    """The exchanges, one after the other, by which :func:`align` reorders a network."""
    state = {name: tensor.detach() for name, tensor in state.items()}
    reference = {name: tensor.detach() for name, tensor in reference.items()}
    forward_first, before = state, []
    for each in units:  # by what makes the units alone, since the order of what reads them is not known yet
        before.append((each, _match(forward_first, reference, each, _evidence(each)[-1])))
        forward_first = _permuted(forward_first, *before[-1])
    found = [_matched(start, reference, units, steps) for start, steps in ((state, []), (forward_first, before))]
    everything = Units(tuple(name for each in units for name in (*each.rows, *each.columns)))
    return max(found, key=lambda each: _likeness(each[0], reference, everything))[1]


def rearranged(state: State, steps: Sequence[Order]) -> dict[str, Tensor]:
    """The state after exchanges of units, such as those of another checkpoint of the same training."""
    state = {name: tensor.detach() for name, tensor in state.items()}
    for units, order in steps:
        state = _permuted(state, units, order)
    return state


def _matched(
    state: State, reference: State, units: Sequence[Units], steps: Sequence[Order]
) -> tuple[dict[str, Tensor], list[Order]]:
    """The state after matches of one group after the other, each of which makes it more like the reference.

    Beside it are its exchanges, after those `steps` that came before.
    """
    state, taken = dict(state), list(steps)
    for _ in range(ROUNDS):
        changed = False
        for each in units:
            likeness, best = _likeness(state, reference, each), None
            for order in [_match(state, reference, each, by) for by in _evidence(each)]:
                found = _likeness(_permuted(state, each, order), reference, each)
                if found > likeness:
                    likeness, best = found, order
            if best is not None:
                state, changed = _permuted(state, each, best), True
                taken.append((each, best))
        if not changed:
            break
    return state, taken


def alignment_error(
    state: State, units: Sequence[Units], outputs: Callable[[State], Tensor], *, seed: int = 0
) -> float:
    """The largest change of a network's outputs when its units change places at random, relative to their size.

    All tensors get noise first: tensors that start as constants, such as biases, would hide mistakes.

    Args:
        state: State dict of a network.
        units: Its hidden units.
        outputs: The outputs of a state dict.
        seed: Seed of what is random.

    Raises:
        ConfigError: The units name a tensor that the network has not, or sizes do not fit.
    """
    rng = torch.Generator().manual_seed(seed)
    for each in units:
        _check(state, each)
    moved = state = {name: _varied(name, tensor, rng) for name, tensor in state.items()}
    for each in units:
        moved = _permuted(moved, each, _random_order(moved, each, rng))
    before, after = outputs(state), outputs(moved)
    return float((after - before).abs().max() / before.abs().max().clamp(min=torch.finfo(before.dtype).tiny))


def check_alignment(module: nn.Module, task: GraphTask, units: Sequence[Units], *, seed: int = 0) -> float:
    """:func:`alignment_error` of a module, which stays as it is, on the first graph of a prepared task.

    For links, the scores of the edges that messages pass along are compared.
    """
    module = copy.deepcopy(module).eval()
    device = next(module.parameters()).device
    data = copy.copy(task.graphs[0] if task.many else task.graph()).to(device)

    def outputs(state: State) -> Tensor:
        module.load_state_dict(state)
        with torch.no_grad():
            out = forward(module, data)
            return decode(module, out, data.edge_index, data.edge_index) if task.kind == "link" else out

    return alignment_error(module.state_dict(), units, outputs, seed=seed)


def usable_units(units: Sequence[Units] | None, evaluator: Evaluator) -> tuple[Sequence[Units], str]:
    """The units by which networks can be aligned, none where outputs would change, and why, for the reader."""
    if units is None:
        return (), "not aligned: the target declares no hidden units that may change places"
    if not units:
        return (), "not aligned: they have no hidden units"

    def outputs(state: State) -> Tensor:
        return torch.cat(list(evaluator.outputs(stack([state]), "val")))

    error = alignment_error(evaluator.module.state_dict(), units, outputs)
    if not error < TOLERANCE:
        return (), f"not aligned: reordering the declared hidden units changes outputs by {error:.2g}"
    return tuple(units), "aligned by the declared hidden units"


def _varied(name: str, tensor: Tensor, rng: torch.Generator) -> Tensor:
    """A tensor with noise, which is the larger where it is constant; variances stay positive."""
    if not tensor.is_floating_point():
        return tensor
    spread = float(tensor.std()) if tensor.numel() > 1 else 0.0
    noise = (0.3 * spread or 0.5) * torch.randn(tensor.shape, generator=rng, dtype=tensor.dtype).to(tensor.device)
    return tensor.detach() + (noise.abs() if name.endswith("running_var") else noise)


def _random_order(state: State, units: Units, rng: torch.Generator) -> Tensor:
    count = _count(state, units)
    each = count // units.heads
    heads = torch.randperm(units.heads, generator=rng)
    return torch.cat([h * each + torch.randperm(each, generator=rng) for h in heads])


Places = tuple[str | Part, int]
"""A name, and the axis that has a place for each unit."""


def _evidence(units: Units) -> list[list[Places]]:
    """Sets of tensors to match units by.

    One match by all of them is the best where each has units in one axis. Where residuals carry units, they are in both
    axes of a weight, whose entries cannot be compared before the other axis is in order; nor can what later layers
    read, while these are in disorder.
    """
    rows, columns = ([(name, axis) for name in names] for axis, names in enumerate((units.rows, units.columns)))
    both = {whole(name) for name, _ in rows} & {whole(name) for name, _ in columns}
    apart = [(name, axis) for name, axis in rows + columns if whole(name) not in both]
    return [rows + columns, apart, [(name, axis) for name, axis in apart if axis == 0]]


def _match(state: State, reference: State, units: Units, by: list[Places]) -> Tensor:
    """For each unit of the reference the unit of `state` that takes its place, by some tensors."""
    count, heads = _count(state, units), units.heads
    each = count // heads
    likeness, of_heads = torch.zeros(count, count), torch.zeros(heads, heads)
    for name, axis in by:
        if whole(name) not in state or whole(name) not in reference:
            continue
        ours, theirs = (_places(s, name, axis).float().cpu() for s in (state, reference))
        if len(ours) == heads < count:
            of_heads += theirs @ ours.mT
        else:
            likeness += theirs.reshape(count, -1) @ ours.reshape(count, -1).mT
    if each == 1:
        return torch.as_tensor(linear_sum_assignment((likeness + of_heads).numpy(), maximize=True)[1])
    within = {}
    for a in range(heads):
        for b in range(heads):
            block = likeness[a * each : (a + 1) * each, b * each : (b + 1) * each].numpy()
            rows, chosen = linear_sum_assignment(block, maximize=True)
            within[a, b] = torch.as_tensor(chosen)
            of_heads[a, b] += float(block[rows, chosen].sum())
    _, partners = linear_sum_assignment(of_heads.numpy(), maximize=True)
    return torch.cat([int(b) * each + within[a, int(b)] for a, b in enumerate(partners)])


def _permuted(state: State, units: Units, order: Tensor) -> dict[str, Tensor]:
    """The state with unit `order[i]` in the place of unit i."""
    moved = dict(state)
    of_heads = order[:: len(order) // units.heads] // (len(order) // units.heads)
    for name, axis in _tensors(state, units):
        tensor = _by_place(moved[whole(name)], axis)
        start, stop = _range(tensor, name)
        places = tensor[start:stop]
        chosen = of_heads if len(places) == units.heads < len(order) else order
        blocks = places.reshape(len(chosen), -1)[chosen.to(places.device)].reshape(places.shape)
        tensor = torch.cat([tensor[:start], blocks, tensor[stop:]])
        shape = moved[whole(name)].shape
        moved[whole(name)] = tensor.reshape(shape) if axis == 0 else tensor.movedim(0, 1).contiguous()
    return moved


def _likeness(state: State, reference: State, units: Units) -> float:
    """The inner product of those tensors of two states that units lie in."""
    names = {whole(name) for name in (*units.rows, *units.columns)} & state.keys() & reference.keys()
    return sum(float((state[name].double() * reference[name].double()).sum()) for name in sorted(names))


def _tensors(state: State, units: Units) -> Iterator[Places]:
    """Names that a state has, with the axis that has a place for each unit."""
    for axis, names in enumerate((units.rows, units.columns)):
        yield from ((name, axis) for name in names if whole(name) in state)


def _by_place(tensor: Tensor, axis: int) -> Tensor:
    """A tensor whose first axis has the places of units."""
    if axis == 1:
        return tensor.movedim(1, 0)
    return tensor.reshape(-1) if tensor.dim() == 3 and tensor.size(0) == 1 else tensor


def _range(tensor: Tensor, name: str | Part) -> tuple[int, int]:
    return (0, len(tensor)) if isinstance(name, str) else (name.start, name.stop)


def _places(state: State, name: str | Part, axis: int) -> Tensor:
    """The part of a tensor that units lie in, with a row for each place."""
    tensor = _by_place(state[whole(name)], axis)
    start, stop = _range(tensor, name)
    return tensor[start:stop].flatten(1) if tensor.dim() > 1 else tensor[start:stop].unsqueeze(1)


def _count(state: State, units: Units) -> int:
    if units.count is not None:
        return units.count
    name, axis = next(_tensors(state, units))
    return len(_places(state, name, axis))


def _check(state: State, units: Units) -> None:
    named = [(name, axis) for axis, names in enumerate((units.rows, units.columns)) for name in names]
    if not named:
        raise ConfigError("units without rows and columns are declared: name the tensors that have a place for each")
    missing = next((whole(name) for name, _ in named if whole(name) not in state), None)
    if missing is not None:
        raise ConfigError(f"units name the tensor {missing!r}, which the module has not: name those of its state dict")
    flat = next((whole(name) for name, axis in named if state[whole(name)].dim() <= axis), None)
    if flat is not None:
        raise ConfigError(f"units name columns of {flat!r}, which has shape {tuple(state[flat].shape)}: it has none")
    count = _count(state, units)
    if not count or count % units.heads:
        raise ConfigError(f"got {count} units in {units.heads} heads, expected a multiple")
    for name, axis in named:
        places = len(_places(state, name, axis))
        if places != units.heads and places % count:
            raise ConfigError(
                f"units name {'rows' if axis == 0 else 'columns'} of {whole(name)!r}, which has {places}, expected one "
                f"for each of {count} units"
            )
