"""Many matrices of different heights, one below the other, as padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dmdgnn.errors import InputError


class Block(NamedTuple):
    """Graphs of similar size: their positions (b,), their rows (b, n), any of these where there is none, and the
    places in the flattened rows where there is none."""

    graphs: Tensor
    rows: Tensor
    holes: Tensor


class Ragged:
    """The rows of B graphs, those of graph i being `ptr[i]` to `ptr[i + 1]`, as in a PyG batch.

    Graphs are padded with zero rows to blocks of at most `block_rows` rows, each graph to at most twice its size.

    Args:
        ptr: Shape (B + 1,), int64, increasing from zero.
        block_rows: Rows of a block, but at least one graph.

    Raises:
        InputError: `ptr` is no such tensor.

    >>> ragged = Ragged(torch.tensor([0, 1, 3]))
    >>> [block] = ragged.blocks
    >>> ragged.pad(torch.tensor([[1.0], [2.0], [3.0]]), block).squeeze(-1)
    tensor([[2., 3.],
            [1., 0.]])
    """

    def __init__(self, ptr: Tensor, block_rows: int = 2**16) -> None:
        if not isinstance(ptr, Tensor) or ptr.dim() != 1 or len(ptr) < 2 or ptr.dtype != torch.int64:
            got = f"{ptr.dtype} of shape {tuple(ptr.shape)}" if isinstance(ptr, Tensor) else type(ptr).__name__
            raise InputError(f"got ptr {got}, expected torch.int64 of shape (graphs + 1,)")
        sizes = ptr.diff().cpu()
        self.num_rows = int(ptr[-1])
        if int(ptr[0]) != 0 or bool((sizes < 1).any()):
            raise InputError("ptr must begin with zero and increase: each graph needs at least one node")
        self.ptr = ptr
        self.blocks: list[Block] = []
        order = sizes.argsort(descending=True, stable=True)
        counts = sizes[order].tolist()
        starts = ptr[:-1].cpu()
        padded = torch.empty(self.num_rows, dtype=torch.int64, device="cpu")  # where in all blocks a row is
        padded_rows = begin = 0
        while begin < len(counts):
            height = counts[begin]
            end = begin + 1
            while end < len(counts) and 2 * counts[end] >= height and (end + 1 - begin) * height <= block_rows:
                end += 1
            graphs = order[begin:end]
            offsets = torch.arange(height, device="cpu")
            own = offsets < sizes[graphs].unsqueeze(-1)
            rows = starts[graphs].unsqueeze(-1) + torch.where(own, offsets, 0)
            holes = (~own).flatten().nonzero().squeeze(-1)
            self.blocks.append(Block(*(part.to(ptr.device) for part in (graphs, rows, holes))))
            padded[rows[own]] = padded_rows + own.flatten().nonzero().squeeze(-1)
            padded_rows += own.numel()
            begin = end
        self._padded = padded.to(ptr.device)
        self._places = torch.cat([block.graphs for block in self.blocks]).argsort()

    @classmethod
    def from_batch(cls, batch: Tensor, num_graphs: int) -> Ragged:
        """The rows that a PyG batch vector (N,) assigns to graphs.

        Raises:
            InputError: `batch` is not sorted, or a graph has no row.
        """
        if bool((batch.diff() < 0).any()):
            raise InputError("the batch vector must be sorted, as in a PyG batch")
        return cls(torch.searchsorted(batch, torch.arange(num_graphs + 1, device=batch.device)))

    def __len__(self) -> int:
        return len(self.ptr) - 1

    def pad(self, x: Tensor, block: Block) -> Tensor:
        """The graphs of a block, shape (b, n, F), of the rows x (N, F)."""
        padded = x.index_select(0, block.rows.flatten())
        if len(block.holes):
            padded.index_fill_(0, block.holes, 0)
        return padded.view(*block.rows.shape, -1)

    def unpad(self, blocks: Sequence[Tensor]) -> Tensor:
        """The rows (N, F) of one tensor (b, n, F) for each block; the inverse of :meth:`pad`."""
        return torch.cat([padded.flatten(0, 1) for padded in blocks]).index_select(0, self._padded)

    def gather(self, blocks: Sequence[Tensor]) -> Tensor:
        """One entry for each graph, in their order, of one tensor (b, ...) for each block."""
        return torch.cat(list(blocks)).index_select(0, self._places)

    def inner(self, A: Tensor, B: Tensor) -> Tensor:
        """:math:`A^T B` of each graph, shape (B, m, n), for rows A (N, m) and B (N, n)."""
        return self.gather([self.pad(A, block).mT @ self.pad(B, block) for block in self.blocks])

    def apply(self, A: Tensor, M: Tensor) -> Tensor:
        """The rows A (N, m) of each graph times its own matrix of M (B, m, n), shape (N, n)."""
        return self.unpad([self.pad(A, block) @ M[block.graphs] for block in self.blocks])
