"""Checkpoints of somebody else's sweep: reading and checking them."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gnndiff.errors import DamagedFileError, ZooError


def checked_states(module: nn.Module, states: Sequence[Any]) -> list[dict[str, Tensor]]:
    """State dicts of the architecture of a module, from state dicts or names of .safetensors files.

    Buffers may be missing; one name of tied tensors is enough.

    Raises:
        ZooError: There are fewer than two, all are the same, or one is of another architecture or not finite.
        DamagedFileError: A file cannot be read.
    """
    one = isinstance(states, Mapping | str | os.PathLike)
    if not one and not hasattr(states, "__len__"):
        raise ZooError(f"got states of type {type(states).__name__}, expected a list of at least two checkpoints")
    if one or len(states) < 2:
        count = 1 if one else len(states)
        raise ZooError(f"got {count} state{'s' * (count != 1)}: give a list of at least two checkpoints")
    complex_ones = [name for name, tensor in module.named_parameters() if not tensor.is_floating_point()]
    if complex_ones:
        raise ZooError(f"the parameter {complex_ones[0]} is not real: only floating point ones can be averaged")
    checked = [_checked(module, _read(state, i), i) for i, state in enumerate(states)]
    names = [name for name, _ in module.named_parameters()]
    if all(state[name].equal(checked[0][name]) for state in checked[1:] for name in names):
        raise ZooError(f"the {len(checked)} states are one point: give checkpoints of different trainings")
    return checked


def checked_scores(scores: Sequence[float], count: int) -> list[float]:
    """One finite score for each of so many states.

    Raises:
        ZooError: There are more or fewer, or one is no number, NaN or infinite.
    """
    if isinstance(scores, str | bytes | Mapping) or not hasattr(scores, "__len__"):
        raise ZooError(f"got scores of type {type(scores).__name__}, expected a list with one for each state")
    if len(scores) != count:
        raise ZooError(f"got {len(scores)} scores for {count} states: give one for each")
    values = [score.item() if isinstance(score, Tensor) and score.numel() == 1 else score for score in scores]
    for i, score in enumerate(values):
        if not isinstance(score, Real) or isinstance(score, bool) or not math.isfinite(score):
            raise ZooError(f"score {i} is {score!r}, expected a finite number: leave this state out")
    return [float(score) for score in values]


def _read(state: Any, index: int) -> Mapping[str, Tensor]:
    if isinstance(state, Mapping):
        return {name: tensor.detach() for name, tensor in state.items() if isinstance(tensor, Tensor)}
    if not isinstance(state, str | os.PathLike):
        raise ZooError(f"state {index} is a {type(state).__name__}, expected a state dict or a .safetensors file")
    try:
        return load_file(Path(state))
    except (OSError, SafetensorError) as error:
        raise DamagedFileError(f"{state} cannot be read ({error}): give a .safetensors file of a state dict") from error


def _checked(module: nn.Module, state: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
    known = {name: value for name, value in module.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    names = defaultdict(list)
    for name, tensor in known.items():
        names[id(tensor)].append(name)
    whole = dict(state)
    for group in names.values():  # names of one tensor
        given = [state[name] for name in group if name in state]
        whole.update({name: given[0] for name in group if given and name not in state})
    for name in {**known, **whole}:
        wanted, got = (tuple(each[name].shape) if name in each else None for each in (known, whole))
        if got != wanted and not (got is None and name not in parameters):
            raise ZooError(
                f"state {index} has {name} of shape {got}, expected {wanted}: pass states of the architecture that the "
                "target builds with this setting"
            )
    bad = [name for name, tensor in whole.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())]
    if bad:
        raise ZooError(f"state {index} has NaN or infinite entries in {bad[0]}: leave it out")
    return whole
