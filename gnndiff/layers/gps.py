"""The graph transformer of local convolutions and global attention."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Linear, ModuleList, functional
from torch_geometric.nn import GCNConv, GPSConv
from torch_geometric.typing import Adj

from gnndiff.layers.symmetric_gcn import SymmetricGCNConv


class GPS(torch.nn.Module):
    r"""The model of the `"Recipe for a General, Powerful, Scalable Graph Transformer"
    <https://arxiv.org/abs/2205.12454>`_ paper: a linear layer with ReLU and dropout, blocks of
    :class:`~torch_geometric.nn.conv.GPSConv` around a :class:`~torch_geometric.nn.conv.GCNConv`, which have residuals,
    and a linear layer.

    It leaves out three parts of PyG's example: the random walk encodings, which need powers of the adjacency that are
    dense on large graphs, the dropout of attention, with which no memory-efficient attention runs on a CPU, and drawing
    the performer's projection anew.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample, a multiple of :obj:`heads`.
        num_layers (int): Number of blocks.
        out_channels (int): Size of each output sample.
        heads (int, optional): Number of attention heads. (default: :obj:`4`)
        dropout (float, optional): Dropout probability. (default: :obj:`0.0`)
        attn_type (str, optional): :obj:`"multihead"`, whose cost grows with the square of the number of nodes, or
            :obj:`"performer"`, an approximation whose cost grows with the number. (default: :obj:`"multihead"`)
        norm (str, optional): Normalisation in the blocks, or :obj:`None`, which is the better one where few nodes are
            labelled. (default: :obj:`"batch_norm"`)
        norm_kwargs (dict, optional): Arguments of the normalisation. (default: :obj:`None`)
        normalize (bool, optional): Whether to add self-loops and normalise by both degrees; if :obj:`False`, the
            edges have weights that were. (default: :obj:`True`)
        symmetric (bool, optional): Whether the sparse adjacency is symmetric, which makes the backward pass cheaper.
            (default: :obj:`False`)

    Shapes:
        - **inputs:** node features :math:`(N, F_{in})`, edge indices :math:`(2, E)` or a sparse adjacency
          :math:`(N, N)`, edge weights :math:`(E)` *(optional)*, the graph of each node :math:`(N)` *(optional)*
        - **output:** node features :math:`(N, F_{out})`

    >>> model = GPS(16, 32, num_layers=2, out_channels=3)
    >>> model(torch.randn(4, 16), torch.tensor([[0, 1, 2], [1, 2, 3]])).shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int,
        heads: int = 4,
        dropout: float = 0.0,
        attn_type: Literal["multihead", "performer"] = "multihead",
        norm: str | None = "batch_norm",
        norm_kwargs: dict[str, Any] | None = None,
        normalize: bool = True,
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        conv = SymmetricGCNConv if symmetric else GCNConv
        # By default the heads of a performer are wider than the hidden samples: as wide as those of 'multihead'.
        attn_kwargs = {"head_channels": hidden_channels // heads} if attn_type == "performer" else None
        self.dropout = float(dropout)
        self.lin_in = Linear(in_channels, hidden_channels)
        self.blocks = ModuleList(
            GPSConv(
                hidden_channels,
                conv(hidden_channels, hidden_channels, normalize=normalize),
                heads=heads,
                dropout=self.dropout,
                norm=norm,
                norm_kwargs=norm_kwargs,
                attn_type=attn_type,
                attn_kwargs=attn_kwargs,
            )
            for _ in range(num_layers)
        )
        self.lin_out = Linear(hidden_channels, out_channels)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.lin_in.reset_parameters()
        for block in self.blocks:
            if isinstance(block.attn, torch.nn.MultiheadAttention):
                block.attn.out_proj.reset_parameters()  # which `MultiheadAttention` itself leaves as it is
            block.reset_parameters()  # type: ignore[operator]
        self.lin_out.reset_parameters()

    def forward(
        self, x: Tensor, edge_index: Adj, edge_weight: Tensor | None = None, batch: Tensor | None = None
    ) -> Tensor:
        """Outputs of all nodes; see the class for shapes."""
        x = functional.dropout(self.lin_in(x).relu(), self.dropout, self.training)
        for block in self.blocks:
            x = block(x, edge_index, batch, edge_weight=edge_weight)
        out: Tensor = self.lin_out(x)
        return out
