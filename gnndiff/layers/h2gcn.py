"""Neighbours of one and of two hops side by side, for graphs whose neighbours differ."""

from __future__ import annotations

import warnings

import torch
from scipy.sparse import csr_matrix, diags
from torch import Tensor
from torch.nn import Linear
from torch.nn.functional import dropout
from torch_geometric.typing import Adj
from torch_geometric.utils import is_torch_sparse_tensor, to_scipy_sparse_matrix

from dmdgnn.kernels.symmetric import symmetric_matmul


class H2GCN(torch.nn.Module):
    r"""The model of the `"Beyond Homophily in Graph Neural Networks: Current Limitations and Effective Designs"
    <https://arxiv.org/abs/2006.11468>`_ paper.

    .. math::
        \mathbf{R}_0 = \mathrm{ReLU}(\mathbf{X} \mathbf{W}_{in} + \mathbf{b}_{in}), \qquad
        \mathbf{R}_k = \big[ \mathbf{\bar{A}}_1 \mathbf{R}_{k-1} \,\Vert\, \mathbf{\bar{A}}_2 \mathbf{R}_{k-1} \big],
        \qquad \mathbf{Z} = \mathrm{dropout}\big(
        [\mathbf{R}_0 \,\Vert\, \dots \,\Vert\, \mathbf{R}_K] \big) \mathbf{W}_{out} + \mathbf{b}_{out}

    :math:`\mathbf{\bar{A}}_1` and :math:`\mathbf{\bar{A}}_2` are those of nodes one and two hops away, without the node
    itself, normalised by both degrees, as :func:`hops` makes them.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size :math:`p` of each embedding.
        out_channels (int): Size of each output sample.
        rounds (int, optional): Number of rounds :math:`K`; the last linear map reads :math:`(2^{K+1} - 1) p` columns.
            (default: :obj:`2`)
        dropout (float, optional): Dropout probability. (default: :obj:`0.0`)

    Shapes:
        - **inputs:** node features :math:`(N, F_{in})`, edge indices :math:`(2, E)`, which :func:`hops` is applied to,
          or what it gave, batch vector :math:`(N)` *(of a batch)*
        - **output:** node features :math:`(N, F_{out})`

    >>> model = H2GCN(16, 32, 3)
    >>> model(torch.randn(4, 16), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])).shape
    torch.Size([4, 3])
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, rounds: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.rounds = rounds
        self.dropout = float(dropout)
        self.lin_in = Linear(in_channels, hidden_channels)
        self.lin_out = Linear((2 ** (rounds + 1) - 1) * hidden_channels, out_channels)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.lin_in.reset_parameters()
        self.lin_out.reset_parameters()

    def forward(self, x: Tensor, edge_index: Adj, adj_two: Tensor | None = None, batch: Tensor | None = None) -> Tensor:
        """Outputs of all nodes; see the class for shapes."""
        product = symmetric_matmul
        if adj_two is None or not is_torch_sparse_tensor(edge_index):
            edge_index, adj_two = hops(edge_index, len(x), x.dtype)
            product = _gathered
        r = self.lin_in(x).relu()
        rounds = [r]
        for _ in range(self.rounds):
            r = torch.cat([product(edge_index, r), product(adj_two, r)], dim=1)
            rounds.append(r)
        out: Tensor = self.lin_out(dropout(torch.cat(rounds, dim=1), self.dropout, self.training))
        return out


def _gathered(A: Tensor, x: Tensor) -> Tensor:
    """The product of a sparse matrix by a gather and a sum, which `torch.vmap` knows."""
    rows = torch.arange(len(A), device=A.device).repeat_interleave(A.crow_indices().diff())
    messages = A.values().unsqueeze(1) * x[A.col_indices()]
    return torch.zeros_like(x).index_add(0, rows, messages)


def hops(edge_index: Tensor, num_nodes: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Normalised adjacencies (N, N), sparse in CSR form, of nodes that are one hop and two hops away.

    Directions and weights of edges do not count, nor do self-loops. Nodes of one hop are not of two.
    """
    one = to_scipy_sparse_matrix(edge_index.cpu(), num_nodes=num_nodes).tocsr()
    one = _ones(one + one.T)
    two = _ones(one @ one)
    two = _ones(two - two.multiply(one))
    return tuple(_normalised(matrix, dtype).to(edge_index.device) for matrix in (one, two))  # type: ignore[return-value]


def _ones(matrix: csr_matrix) -> csr_matrix:
    """The same matrix with entries of one, without its diagonal."""
    matrix = csr_matrix(matrix)
    matrix.setdiag(0)
    matrix.eliminate_zeros()
    matrix.data[:] = 1
    return matrix


def _normalised(matrix: csr_matrix, dtype: torch.dtype) -> Tensor:
    degree = matrix.sum(axis=1).A1 if hasattr(matrix.sum(axis=1), "A1") else matrix.sum(axis=1)
    scale = diags(1 / degree.clip(min=1) ** 0.5)
    matrix = csr_matrix(scale @ matrix @ scale)
    matrix.sort_indices()
    rows, columns = (torch.from_numpy(index).long() for index in (matrix.indptr, matrix.indices))
    with warnings.catch_warnings():  # torch warns once a process that CSR is in beta
        warnings.filterwarnings("ignore", "Sparse")
        values = torch.from_numpy(matrix.data).to(dtype)
        return torch.sparse_csr_tensor(rows, columns, values, matrix.shape, check_invariants=False)
