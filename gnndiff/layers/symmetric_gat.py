"""PyG's GAT for undirected graphs, with sparse products instead of a gather and a scatter of all messages."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import dropout, leaky_relu
from torch_geometric.nn import GATConv
from torch_geometric.nn.models import GAT
from torch_geometric.typing import Adj
from torch_geometric.utils import is_torch_sparse_tensor


class _Scores(torch.autograd.Function):
    """u_j + v_i (H, E) for the edges from j to i, with u and v (H, N)."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, targets: Tensor, sources: Tensor, reverse: Tensor, u: Tensor, v: Tensor
    ) -> Tensor:
        ctx.save_for_backward(rows, reverse)
        return u.index_select(1, sources) + v.index_select(1, targets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, None, Tensor, Tensor]:
        rows, reverse = ctx.saved_tensors
        (grad,) = grads
        return None, None, None, None, _reduce(grad.index_select(1, reverse), rows), _reduce(grad, rows)


class _Softmax(torch.autograd.Function):
    """The softmax (H, E) of the edges to each node."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, targets: Tensor, scores: Tensor) -> Tensor:
        shares = (scores - _reduce(scores, rows, "max").index_select(1, targets)).exp_()
        shares /= _reduce(shares, rows).index_select(1, targets)
        ctx.save_for_backward(rows, targets, shares)
        return shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor]:
        rows, targets, shares = ctx.saved_tensors
        weighted = shares * grads[0]
        return None, None, weighted - shares * _reduce(weighted, rows).index_select(1, targets)


class _Attention(torch.autograd.Function):
    """The sums of x (H, N, C) over the neighbours of each node, weighted by shares (H, E)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sources: Tensor, reverse: Tensor, shares: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(rows, sources, reverse, shares, x)
        return torch.stack([_csr(rows, sources, s) @ h for s, h in zip(shares, x, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, Tensor, Tensor]:
        rows, sources, reverse, shares, x = ctx.saved_tensors
        of_shares, of_x = [], []
        for grad, s, h in zip(grads[0].contiguous(), shares, x, strict=True):
            of_shares.append(torch.sparse.sampled_addmm(_csr(rows, sources, s), grad, h.t(), beta=0.0).values())
            of_x.append(_csr(rows, sources, s.index_select(0, reverse)) @ grad)
        return None, None, None, torch.stack(of_shares), torch.stack(of_x)


def _reduce(values: Tensor, rows: Tensor, reduce: str = "sum") -> Tensor:
    """One entry (H, N) for the edges (H, E) of each row."""
    return torch.stack([torch.segment_reduce(head, reduce, offsets=rows, unsafe=True) for head in values])


def _csr(rows: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    size = len(rows) - 1
    with warnings.catch_warnings():  # torch warns once a process that CSR is in beta
        warnings.filterwarnings("ignore", "Sparse")
        return torch.sparse_csr_tensor(rows, columns, values, (size, size), check_invariants=False)


class _SymmetricGATConv(GATConv):
    def forward(self, x: Tensor, edge_index: Adj, edge_attr: Tensor | None = None) -> Tensor:
        if not is_torch_sparse_tensor(edge_index):
            out: Tensor = super().forward(x, edge_index)
            return out
        rows, sources = edge_index.crow_indices(), edge_index.col_indices()
        nodes = torch.arange(len(rows) - 1, device=rows.device)
        targets = nodes.repeat_interleave(rows.diff(), output_size=len(sources))
        # In the order of the edges' reverses, the values of a matrix are those of its transpose.
        reverse = sources.argsort(stable=True) if edge_attr is None else edge_attr
        h = self.lin(x).view(-1, self.heads, self.out_channels).transpose(0, 1).contiguous()
        u, v = ((h * att.transpose(0, 1)).sum(dim=-1) for att in (self.att_src, self.att_dst))
        scores = leaky_relu(_Scores.apply(rows, targets, sources, reverse, u, v), self.negative_slope)
        shares = dropout(_Softmax.apply(rows, targets, scores), self.dropout, self.training)
        h = _Attention.apply(rows, sources, reverse, shares, h)
        return (h.transpose(0, 1).flatten(1) if self.concat else h.mean(dim=0)) + self.bias


class SymmetricGAT(GAT):
    """:class:`~torch_geometric.nn.models.GAT`, with the same parameters and outputs, whose sparse adjacency must be
    symmetric, in CSR form and with self-loops. Its values are not read. It cannot be differentiated twice."""

    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> GATConv:
        """One layer."""
        heads = kwargs.pop("heads", 1)
        last = getattr(self, "_is_conv_to_out", False)
        if not last and out_channels % heads:
            raise ValueError(f"got {out_channels} hidden channels for {heads} heads, expected a multiple")
        width = out_channels if last else out_channels // heads
        return _SymmetricGATConv(in_channels, width, heads=heads, concat=not last, dropout=self.dropout.p, **kwargs)

    def forward(self, x: Tensor, edge_index: Adj, batch: Tensor | None = None) -> Tensor:
        """Outputs (N, F_out) for features (N, F_in), edges (2, E) or a sparse adjacency (N, N), and the batch vector
        (N,) of several graphs."""
        reverse = edge_index.col_indices().argsort(stable=True) if is_torch_sparse_tensor(edge_index) else None
        out: Tensor = super().forward(x, edge_index, edge_attr=reverse, batch=batch)
        return out
