"""A linear map beside each layer of a model, so that deep ones do not smooth all differences away."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.models import GCN

from gnndiff.layers.symmetric_gat import SymmetricGAT
from gnndiff.layers.symmetric_gcn import SymmetricGCN


class Skip(torch.nn.Module):
    r"""A layer and a linear map of its input, :math:`f(X, A) + X W`.

    Args:
        conv (torch.nn.Module): The layer :math:`f`.
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each output sample.
    """

    def __init__(self, conv: torch.nn.Module, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.lin = Linear(in_channels, out_channels, bias=False, weight_initializer="glorot")

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.conv.reset_parameters()  # type: ignore[operator]
        self.lin.reset_parameters()

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The outputs for an input and whatever else the layer takes."""
        out: Tensor = self.conv(x, *args, **kwargs) + self.lin(x)
        return out


class _Skips:
    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> Skip:
        """One layer."""
        conv = super().init_conv(in_channels, out_channels, **kwargs)  # type: ignore[misc]
        return Skip(conv, in_channels, out_channels)


class SkipGCN(_Skips, GCN):
    """:class:`~torch_geometric.nn.models.GCN` with a :class:`Skip` of each layer."""


class SkipSymmetricGCN(_Skips, SymmetricGCN):
    """:class:`SkipGCN`, with the same parameters and outputs, whose sparse adjacency must be symmetric."""


class SkipGAT(_Skips, SymmetricGAT):
    """:class:`~gnndiff.layers.symmetric_gat.SymmetricGAT` with a :class:`Skip` of each layer."""
