"""Deep networks whose layers have residuals."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Identity, Linear, ModuleList, functional
from torch_geometric.nn.models import MLP
from torch_geometric.nn.resolver import normalization_resolver
from torch_geometric.typing import Adj


class Residual(torch.nn.Module):
    r"""Layers with residuals between two linear maps, as in the `"Deep Residual Learning for Image Recognition"
    <https://arxiv.org/abs/1512.03385>`_ paper.

    .. math::
        \mathbf{H}_0 = \mathbf{X} \mathbf{W}_{in} + \mathbf{b}_{in}, \qquad
        \mathbf{H}_{l+1} = \mathbf{H}_l + \mathrm{dropout}\big(\mathrm{ReLU}(\mathrm{norm}(f_l(\mathbf{H}_l, A)))\big),
        \qquad \mathbf{Z} = \mathbf{H}_L \mathbf{W}_{out} + \mathbf{b}_{out}

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        num_layers (int): Number :math:`L` of layers.
        out_channels (int): Size of each output sample.
        layer (callable, optional): Makes a layer :math:`f` of two numbers of channels. It gets those of `edge_index`
            and `edge_weight` that its `forward` names. (default: :class:`torch.nn.Linear`, a perceptron)
        first (callable, optional): Makes in the same way what stands in the place of the first linear map.
            (default: :class:`torch.nn.Linear`)
        dropout (float, optional): Dropout probability. (default: :obj:`0.0`)
        norm (str, optional): Normalisation, by PyG's names. (default: :obj:`None`)
        norm_kwargs (dict, optional): Arguments of the normalisation. (default: :obj:`None`)

    Shapes:
        - **inputs:** node features :math:`(N, F_{in})`, edge indices :math:`(2, E)` or a sparse adjacency
          :math:`(N, N)`, edge weights :math:`(E)` and batch vector :math:`(N)` *(all but the first optional)*
        - **output:** node features :math:`(N, F_{out})`

    >>> Residual(16, 32, num_layers=8, out_channels=3)(torch.randn(4, 16)).shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int,
        layer: Callable[[int, int], torch.nn.Module] = Linear,
        first: Callable[[int, int], torch.nn.Module] = Linear,
        dropout: float = 0.0,
        norm: str | None = None,
        norm_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.dropout = float(dropout)
        self.lin_in = first(in_channels, hidden_channels)
        self.layers = ModuleList(layer(hidden_channels, hidden_channels) for _ in range(num_layers))
        made = normalization_resolver(norm, hidden_channels, **(norm_kwargs or {})) or Identity()
        self.norms = ModuleList(copy.deepcopy(made) for _ in range(num_layers))
        self.lin_out = Linear(hidden_channels, out_channels)
        self.norm_with_batch = "batch" in inspect.signature(made.forward).parameters

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for part in (self.lin_in, *self.layers, *self.norms, self.lin_out):
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()

    def forward(
        self, x: Tensor, edge_index: Adj = None, edge_weight: Tensor | None = None, batch: Tensor | None = None
    ) -> Tensor:
        """Outputs of all nodes; see the class for shapes."""
        edges = {"edge_index": edge_index, "edge_weight": edge_weight}
        x = self.lin_in(x, **_taken(self.lin_in, edges))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            h = layer(x, **_taken(layer, edges))
            h = norm(h, batch) if self.norm_with_batch else norm(h)
            x = x + functional.dropout(h.relu(), self.dropout, self.training)
        out: Tensor = self.lin_out(x)
        return out


def _taken(layer: torch.nn.Module, edges: dict[str, Any]) -> dict[str, Any]:
    taken = inspect.signature(layer.forward).parameters
    return {name: value for name, value in edges.items() if name in taken}


def perceptron(residual: bool, num_layers: int, **arguments: Any) -> torch.nn.Module:
    """A :class:`~torch_geometric.nn.models.MLP`, or one with residuals; both are called as `(x, batch=...)`."""
    return (Residual if residual else MLP)(num_layers=num_layers, **arguments)
