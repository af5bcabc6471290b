"""The network of local convolutions and global terms of DMD modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, ModuleList, functional
from torch_geometric.nn import GCNConv
from torch_geometric.typing import Adj

from dmdgnn.nn.checks import check_features, graphs_of
from dmdgnn.nn.dmd_gps_conv import DMDGPSConv


class DMDGPS(torch.nn.Module):
    r"""A linear layer with ReLU and dropout, blocks of :class:`DMDGPSConv`, and a linear layer: the graph transformer
    of the `"Recipe for a General, Powerful, Scalable Graph Transformer" <https://arxiv.org/abs/2205.12454>`_ paper
    with modes in the place of attention, for answers that lie many hops away.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        num_layers (int): Number of blocks.
        out_channels (int, optional): Size of each output sample. (default: :obj:`None`, that of hidden ones)
        dropout (float, optional): Dropout probability. (default: :obj:`0.0`)
        act (str or callable, optional): The activation in the blocks. (default: :obj:`"relu"`)
        act_kwargs (dict, optional): Arguments of the activation. (default: :obj:`None`)
        norm (str or callable, optional): Normalisation in the blocks, or :obj:`None`. (default: :obj:`"batch_norm"`)
        norm_kwargs (dict, optional): Arguments of the normalisation. (default: :obj:`None`)
        rank (int): Number of modes.
        heads (int, optional): Number of filters in each block, a divisor of :obj:`hidden_channels`.
            (default: :obj:`None`, one for each channel)
        degree (int, optional): Degree of polynomial filters, which graphs share: a block reaches that many steps of the
            dynamics. (default: :obj:`None`, a gain for each mode, for one graph)
        local (callable, optional): Maker of the local layer of a block, called with two numbers of channels;
            :obj:`None` for none. (default: :class:`~torch_geometric.nn.conv.GCNConv`)
        gate (float, optional): Start of a learnable scalar before the terms of the modes.
            (default: :obj:`None`, no gate)

    Shapes:
        - **inputs:** node features :math:`(N, F_{in})`, and edges, modes, eigenvalues, batch vector, dual modes and
          edge weights as in :class:`DMDGNN`
        - **output:** node features :math:`(N, F_{out})`

    >>> model = DMDGPS(16, 32, num_layers=2, out_channels=3, rank=4, degree=8)
    >>> edge_index = torch.tensor([[0, 1], [1, 0]])
    >>> model(torch.randn(10, 16), edge_index, torch.randn(10, 4), torch.rand(1, 4)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int | None = None,
        dropout: float = 0.0,
        act: str | Callable[..., Any] = "relu",
        act_kwargs: dict[str, Any] | None = None,
        norm: str | Callable[..., Any] | None = "batch_norm",
        norm_kwargs: dict[str, Any] | None = None,
        *,
        rank: int,
        heads: int | None = None,
        degree: int | None = None,
        local: Callable[[int, int], torch.nn.Module] | None = GCNConv,
        gate: float | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.num_layers = num_layers
        self.out_channels = hidden_channels if out_channels is None else out_channels
        self.act_kwargs = act_kwargs
        self.norm = norm if isinstance(norm, str) else None
        self.norm_kwargs = norm_kwargs
        self.rank = rank
        self.heads = hidden_channels if heads is None else heads
        self.degree = degree
        self.gate = gate
        self.dropout = float(dropout)
        self.lin_in = Linear(in_channels, hidden_channels)
        self.blocks = ModuleList(
            DMDGPSConv(
                hidden_channels,
                None if local is None else local(hidden_channels, hidden_channels),
                rank,
                heads=self.heads,
                degree=degree,
                dropout=self.dropout,
                act=act,
                act_kwargs=act_kwargs,
                norm=norm,
                norm_kwargs=norm_kwargs,
                gate=gate,
            )
            for _ in range(num_layers)
        )
        self.lin_out = Linear(hidden_channels, self.out_channels)

    @property
    def local(self) -> torch.nn.Module | None:
        """The local layer of the first block, if there is one."""
        part: torch.nn.Module | None = self.blocks[0].conv  # type: ignore[assignment]
        return part

    @property
    def act(self) -> torch.nn.Module:
        """The activation of the first block."""
        part: torch.nn.Module = self.blocks[0].act  # type: ignore[assignment]
        return part

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for part in (self.lin_in, *self.blocks, self.lin_out):
            part.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Adj,
        dmd_modes: Tensor,
        dmd_eigs: Tensor,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        dmd_duals: Tensor | None = None,
    ) -> Tensor:
        """Outputs of all nodes; see the class for shapes."""
        check_features(x, self.in_channels)
        graphs = graphs_of(batch, dmd_eigs, x.size(-2))  # once for all blocks
        weight = {} if edge_weight is None else {"edge_weight": edge_weight}
        x = functional.dropout(self.lin_in(x).relu(), self.dropout, self.training)
        for block in self.blocks:
            x = block(x, edge_index, dmd_modes, dmd_eigs, graphs, dmd_duals, **weight)
        out: Tensor = self.lin_out(x)
        return out
