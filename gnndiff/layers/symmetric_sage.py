"""PyG's GraphSAGE for undirected graphs, with cheap passes in both directions."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear
from torch_geometric.nn import SAGEConv
from torch_geometric.nn.models import GraphSAGE
from torch_geometric.typing import Adj
from torch_geometric.utils import is_torch_sparse_tensor

from dmdgnn.kernels.symmetric import symmetric_matmul


class SymmetricSAGEConv(SAGEConv):
    """:class:`~torch_geometric.nn.conv.SAGEConv` whose sparse adjacency must be symmetric, in CSR form and of ones."""

    def forward(self, x: Tensor, edge_index: Adj) -> Tensor:
        """The mean over the neighbours of each node, and the node itself, each by a linear map."""
        if not is_torch_sparse_tensor(edge_index):
            out: Tensor = super().forward(x, edge_index)
            return out
        degree = edge_index.crow_indices().diff().clamp(min=1).unsqueeze(-1)
        # The mean over neighbours is linear: take it of whichever has fewer columns.
        if self.out_channels < x.size(-1):
            means = symmetric_matmul(edge_index, linear(x, self.lin_l.weight)) / degree
            means = means if self.lin_l.bias is None else means + self.lin_l.bias
        else:
            means = self.lin_l(symmetric_matmul(edge_index, x) / degree)
        return means + self.lin_r(x) if self.root_weight else means


class SymmetricGraphSAGE(GraphSAGE):
    """:class:`~torch_geometric.nn.models.GraphSAGE`, with the same parameters and outputs, whose sparse adjacency must
    be symmetric, in CSR form and of ones."""

    def init_conv(self, in_channels: int, out_channels: int) -> SAGEConv:
        """One layer."""
        return SymmetricSAGEConv(in_channels, out_channels)
