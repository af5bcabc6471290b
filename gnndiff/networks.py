"""Networks of one architecture: a module, and states that go into it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Self

from gnndiff.errors import ZooError
from gnndiff.stacked import States, unstack


class Networks:
    """Networks of one architecture.

    Args:
        module: A module of the architecture. Its buffers are those of all networks that have none of their own.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = copy.deepcopy(module).eval()
        self.device = next(module.parameters()).device

    @property
    def parameter_names(self) -> list[str]:
        """Names of the tensors that are generated: all parameters, no buffers; tied ones by their first name."""
        return [name for name, _ in self.module.named_parameters()]

    def with_buffers(self, state: Mapping[str, Any]) -> Self:
        """The same with the tensors of a state dict, which are those of all networks that have none of their own."""
        other = copy.copy(self)
        other.module = copy.deepcopy(self.module)
        known = other.module.state_dict().keys()
        other.module.load_state_dict({k: v for k, v in state.items() if k in known}, strict=False)
        return other

    @torch.no_grad()
    def complete(self, states: States) -> list[dict[str, Any]]:
        """State dicts, for strict loading, of stacked parameters (n, *shape)."""
        return [copy.deepcopy(dict(network.state_dict())) for network in self.each(self.whole(states))]

    def each(self, states: States) -> Iterator[nn.Module]:
        """One module with one state after the other."""
        module, buffers = copy.deepcopy(self.module), dict(self.module.named_buffers())
        for state in unstack(states):
            module.load_state_dict({**buffers, **state}, strict=False)
            yield module

    def whole(self, states: States) -> dict[str, Tensor]:
        """The stacked states on the module's device and in its precision, without second names of tied tensors.

        Raises:
            ZooError: They are not of the architecture.
        """
        known = self.module.state_dict()
        for name, tensor in states.items():
            wanted = tuple(known[name].shape) if name in known else None
            if tuple(tensor.shape[1:]) != wanted:
                raise ZooError(f"got states with {name} of shape {tuple(tensor.shape[1:])}, expected {wanted}")
        own = dict(self.module.named_parameters()) | dict(self.module.named_buffers())
        return {name: tensor.to(self.device, own[name].dtype) for name, tensor in states.items() if name in own}
