"""Parameters as vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gnndiff.errors import ZooError

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class ParameterLayout:
    """Which tensors of a state dict are generated, and where they lie in the vector.

    Args:
        shapes: Names and shapes, in the order of the vector.
    """

    shapes: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, state: State, names: Iterable[str] | None = None) -> ParameterLayout:
        """The tensors of a state dict with these names, by default all floating point ones."""
        if names is None:
            names = [name for name, tensor in state.items() if tensor.is_floating_point()]
        return cls({name: tuple(state[name].shape) for name in names})

    @property
    def size(self) -> int:
        """Length P of the vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def flatten(self, state: State) -> Tensor:
        """The vector (P,) of a state dict, float32 on the CPU."""
        got = {name: tuple(state[name].shape) for name in self.shapes if name in state}
        if got != self.shapes:
            name = next(name for name in self.shapes if got.get(name) != self.shapes[name])
            raise ZooError(
                f"a checkpoint has {name} of shape {got.get(name)}, expected {self.shapes[name]}: collect with one "
                "architecture"
            )
        return torch.cat([state[name].detach().reshape(-1).float().cpu() for name in self.shapes])

    def unflatten(self, vectors: Tensor) -> dict[str, Tensor]:
        """Stacked tensors (..., *shape) of vectors (..., P)."""
        parts = vectors.split([math.prod(shape) for shape in self.shapes.values()], dim=-1)
        return {
            name: part.reshape((*vectors.shape[:-1], *shape))
            for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)
        }

    def tensor_scales(self, vectors: Tensor) -> Tensor:
        """For each coordinate (P,) the root mean square of its whole tensor over vectors (n, P)."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        scales = [part.square().mean().sqrt() for part in vectors.split(sizes, dim=-1)]
        return torch.cat([scale.expand(size) for scale, size in zip(scales, sizes, strict=True)])
