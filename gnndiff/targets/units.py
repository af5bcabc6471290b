"""Hidden units of a module that may change places, as a target declares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn


@dataclass(frozen=True)
class Units:
    """Hidden units that change places together.

    Args:
        rows: Names of the tensors of the state dict that have a row for each unit: weights that make them, biases,
            scales and statistics of normalisations. A tensor of other shape, such as attention vectors
            (1, heads, units), is read as a column of as many rows as it has entries.
        columns: Names of the weights that read the units and have a column for each.
        heads: Number of groups of equal size within which alone units may change places.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...] = ()
    heads: int = 1


def chained(module: nn.Module, layers: Sequence[str | Sequence[str]], *, heads: int = 1) -> list[Units]:
    """The units between each layer of a chain and the next, where nothing but one leads to the other.

    Args:
        module: The module.
        layers: For each layer the prefix of its tensors' names, or several, such as `("convs.0.", "norms.0.")`. The
            last layer's outputs are the network's and stay in their places.
        heads: As of :class:`Units`.
    """
    state = module.state_dict()
    groups = [_under(state, layer) for layer in layers]
    return [between(first, following, heads=heads) for first, following in pairwise(groups)]


def between(first: Mapping[str, Tensor], following: Mapping[str, Tensor], *, heads: int = 1) -> Units:
    """The units that some tensors make and others read, told by their sizes."""
    width = max(tensor.size(0) for tensor in first.values() if tensor.dim() == 2)
    rows = tuple(name for name, tensor in first.items() if _has_row_for_each(tensor, width))
    columns = tuple(name for name, tensor in following.items() if tensor.dim() == 2 and tensor.size(1) == width)
    return Units(rows, columns, heads)


def _under(state: Mapping[str, Tensor], prefixes: str | Iterable[str]) -> dict[str, Tensor]:
    prefixes = (prefixes,) if isinstance(prefixes, str) else tuple(prefixes)
    return {name: tensor for name, tensor in state.items() if name.startswith(prefixes)}


def _has_row_for_each(tensor: Tensor, width: int) -> bool:
    if tensor.dim() == 3:  # attention vectors (1, heads, units)
        return tensor.numel() == width
    return tensor.dim() in (1, 2) and tensor.size(0) == width
