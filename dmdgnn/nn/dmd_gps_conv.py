"""The block of a local convolution and the global term of DMD modes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Dropout, Linear, Sequential, functional
from torch_geometric.nn.inits import reset
from torch_geometric.nn.resolver import activation_resolver, normalization_resolver
from torch_geometric.typing import Adj

from dmdgnn.kernels.ragged import Ragged
from dmdgnn.nn.checks import check_features, local_graph
from dmdgnn.nn.dmd_conv import DMDConv
from dmdgnn.operator import LowRankOperator


class DMDGPSConv(torch.nn.Module):
    r"""The block of the `"Recipe for a General, Powerful, Scalable Graph Transformer"
    <https://arxiv.org/abs/2205.12454>`_ paper, PyG's :class:`~torch_geometric.nn.conv.GPSConv`, with a
    :class:`DMDConv` in the place of attention.

    .. math::
        \mathbf{H} &= \mathrm{norm}_1(\mathbf{X} + \mathrm{conv}(\mathbf{X}, \mathbf{A})) +
        \mathrm{norm}_2(\mathbf{X} + \mathbf{\Phi}\, g(\mathbf{\Lambda})\, \mathbf{\Psi}^{\top}
        \mathbf{X} \mathbf{W} + \mathbf{b}) \\
        \mathbf{X}^{\prime} &= \mathrm{norm}_3(\mathbf{H} + \mathrm{MLP}(\mathbf{H})),

    with dropout behind each term. The modes mix all nodes of a graph at a cost of :math:`O(N r F)`, linear in the
    number of nodes, where attention takes :math:`O(N^2 F)`; its weights follow from the graph alone, while those of
    attention follow from the features, too. Attention that attends to all nodes alike is the special case of one
    constant mode.

    Args:
        channels (int): Size of each input and output sample.
        conv (torch.nn.Module, optional): The local layer, with a forward of :obj:`x`, :obj:`edge_index` and what else
            it needs; :obj:`None` for none.
        rank (int): Number of modes :math:`r`.
        heads (int, optional): Number of filters, a divisor of :obj:`channels`. (default: :obj:`1`)
        degree (int, optional): Degree of a polynomial filter. (default: :obj:`None`, a gain for each mode)
        dropout (float, optional): Dropout probability. (default: :obj:`0.0`)
        act (str or callable, optional): The activation in the MLP. (default: :obj:`"relu"`)
        act_kwargs (dict, optional): Arguments of the activation. (default: :obj:`None`)
        norm (str or callable, optional): The normalisation, or :obj:`None`. (default: :obj:`"batch_norm"`)
        norm_kwargs (dict, optional): Arguments of the normalisation. (default: :obj:`None`)
        gate (float, optional): Start of a learnable scalar before the term of the modes.
            (default: :obj:`None`, no gate)

    Shapes:
        - **inputs:**
          node features :math:`(N, F)`,
          edge indices :math:`(2, E)` or a sparse adjacency :math:`(N, N)`, which only the local layer reads,
          modes, eigenvalues, batch vector and dual modes as in :class:`DMDConv`,
          and by name what else the local layer takes, such as edge weights :math:`(E)`
        - **output:** node features :math:`(N, F)`

    >>> from torch_geometric.nn import GCNConv
    >>> conv = DMDGPSConv(8, GCNConv(8, 8), rank=4)
    >>> edge_index = torch.tensor([[0, 1], [1, 0]])
    >>> conv(torch.randn(10, 8), edge_index, torch.randn(10, 4), torch.randn(4)).shape
    torch.Size([10, 8])
    """

    def __init__(
        self,
        channels: int,
        conv: torch.nn.Module | None,
        rank: int,
        heads: int = 1,
        degree: int | None = None,
        dropout: float = 0.0,
        act: str | Callable[..., Any] = "relu",
        act_kwargs: dict[str, Any] | None = None,
        norm: str | Callable[..., Any] | None = "batch_norm",
        norm_kwargs: dict[str, Any] | None = None,
        gate: float | None = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.conv = conv
        self.rank = rank
        self.heads = heads
        self.degree = degree
        self.act_kwargs = act_kwargs
        self.norm = norm if isinstance(norm, str) else None
        self.norm_kwargs = norm_kwargs
        self.gate = gate
        self.dropout = float(dropout)
        self.dmd = DMDConv(channels, channels, rank, heads=heads, degree=degree, gate=gate)
        self.mlp = Sequential(
            Linear(channels, 2 * channels),
            activation_resolver(act, **(act_kwargs or {})),
            Dropout(dropout),
            Linear(2 * channels, channels),
            Dropout(dropout),
        )
        self.norm1, self.norm2, self.norm3 = (
            normalization_resolver(norm, channels, **(norm_kwargs or {})) for _ in range(3)
        )
        self.norm_with_batch = norm is not None and "batch" in inspect.signature(self.norm1.forward).parameters

    @property
    def act(self) -> torch.nn.Module:
        """The activation in the MLP."""
        return self.mlp[1]

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for part in self.children():
            reset(part)

    def forward(
        self,
        x: Tensor,
        edge_index: Adj,
        modes: Tensor | LowRankOperator,
        eigs: Tensor | None = None,
        batch: Tensor | Ragged | None = None,
        duals: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Apply the block to `x`; see the class for shapes."""
        check_features(x, self.channels)
        given = {}
        if self.norm_with_batch:
            given["batch"] = _vector(batch) if isinstance(batch, Ragged) else batch

        def finish(h: Tensor, norm: torch.nn.Module | None) -> Tensor:
            h = functional.dropout(h, self.dropout, self.training) + x
            return h if norm is None else norm(h, **given)

        out = finish(self.dmd(x, modes, eigs, batch=batch, duals=duals), self.norm2)
        if self.conv is not None:
            edge_index, edge_weight = local_graph(x, edge_index, kwargs.get("edge_weight"))
            if edge_weight is not None:
                kwargs["edge_weight"] = edge_weight
            out = finish(self.conv(x, edge_index, **kwargs), self.norm1) + out
        out = out + self.mlp(out)
        return out if self.norm3 is None else self.norm3(out, **given)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels}, conv={self.conv}, rank={self.dmd.rank})"


def _vector(ragged: Ragged) -> Tensor:
    return torch.arange(len(ragged), device=ragged.ptr.device).repeat_interleave(ragged.ptr.diff())
