"""A decoder of pairs of nodes that sees their common neighbours."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn.models import MLP
from torch_geometric.utils import coalesce, degree, remove_self_loops, scatter

from dmdgnn.graphs import node_pairs


class NeighborOverlap(torch.nn.Module):
    r"""Scores of pairs of nodes by their embeddings and by their common neighbours, for PyG's graph autoencoder.

    .. math::
        s(u, v) = \mathbf{z}_u^\top \mathbf{z}_v + \mathrm{MLP} \Big[
        \sum_{w \in \Gamma(u, v)} \frac{\mathbf{z}_w}{\log (1 + d_w)}, \;
        \log (1 + \sum_{w \in \Gamma(u, v)} a(w))_{a \in \{1, 1 / \log (1 + d_w), 1 / d_w\}} \Big]

    with the nodes :math:`\Gamma(u, v)` of paths :math:`u \to w \to v` and their degrees :math:`d_w`. The sum of
    embeddings is that of `"Neural Common Neighbor with Completion for Link Prediction"
    <https://arxiv.org/abs/2302.00890>`_; the last three numbers are common neighbours, the index of Adamic and Adar,
    and resource allocation.

    The last layer of the perceptron begins at zero, so that training begins at the inner product. A pair that is an
    edge itself is no path of two edges, so that an edge to predict says nothing about itself.

    Args:
        channels (int): Size of each embedding.
        hidden_channels (int, optional): Hidden units of the perceptron. (default: as many as `channels`)
        max_paths (int, optional): Candidates for common neighbours that are held at once. (default: :obj:`2 ** 22`)

    Shapes:
        - **inputs:** embeddings :math:`(N, D)`, pairs :math:`(2, M)`, edges :math:`(2, E)`
        - **output:** scores :math:`(M)`

    >>> from torch_geometric.nn import GAE, GCNConv
    >>> model = GAE(GCNConv(4, 8), NeighborOverlap(8))
    >>> edge_index = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    >>> z = model.encode(torch.randn(3, 4), edge_index)
    >>> model.decode(z, torch.tensor([[0], [2]]), messages=edge_index).shape
    torch.Size([1])
    """

    def __init__(self, channels: int, hidden_channels: int | None = None, *, max_paths: int = 2**22) -> None:
        super().__init__()
        self.channels = channels
        self.max_paths = max_paths
        self.hidden_channels = channels if hidden_channels is None else hidden_channels
        self.mlp = MLP([channels + 3, self.hidden_channels, 1], norm=None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.mlp.reset_parameters()
        torch.nn.init.zeros_(self.mlp.lins[-1].weight)
        torch.nn.init.zeros_(self.mlp.lins[-1].bias)

    def forward(self, z: Tensor, edge_index: Tensor, messages: Tensor, sigmoid: bool = True) -> Tensor:
        """Scores (M,) of pairs.

        Args:
            z: Embeddings (N, D).
            edge_index: Pairs (2, M).
            messages: Edges along which neighbours are counted, such as those that messages pass along: (2, E), or an
                :class:`~torch_geometric.EdgeIndex`, or a sparse adjacency, which PyG has transposed.
            sigmoid: Pass the scores through a sigmoid.

        Raises:
            InputError: Pairs or edges are of another form, or name nodes that have no embedding.
        """
        edge_index = node_pairs(edge_index, len(z))
        messages = _simple(messages, len(z))
        degrees = degree(messages[1], len(z)).clamp(min=1).to(z)
        weights = torch.stack([torch.ones_like(degrees), 1 / torch.log1p(degrees), 1 / degrees], dim=1)
        blocks = _chunks(edge_index, messages, len(z), self.max_paths)
        common = torch.cat([self._common(z, weights, pairs, messages) for pairs in blocks])
        products = (z[edge_index[0]] * z[edge_index[1]]).sum(dim=1)
        scores: Tensor = products + self.mlp(common).flatten()
        return scores.sigmoid() if sigmoid else scores

    def _common(self, z: Tensor, weights: Tensor, pairs: Tensor, messages: Tensor) -> Tensor:
        """Weighted sums of common neighbours' embeddings, and logarithms of sums of their weights: (M, D + 3)."""
        place, node = _common_neighbors(pairs, messages, len(z))
        count = pairs.size(1)
        sums = scatter(weights[node, 1:2] * z[node], place, dim=0, dim_size=count, reduce="sum")
        counts = scatter(weights[node], place, dim=0, dim_size=count, reduce="sum")
        return torch.cat([sums, torch.log1p(counts)], dim=1)


def common_neighbors(pairs: Tensor, edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    r"""Nodes w between the two of each pair (u, v), which have edges :math:`u \to w` and :math:`w \to v`.

    Args:
        pairs: Pairs of nodes (2, M).
        edge_index: Edges (2, E), or another form of them, see :class:`NeighborOverlap`; loops and repeated edges do not
            count.
        num_nodes: Number of nodes N.

    Returns:
        The index of the pair, ascending, and the node, for each of C common neighbours: (C,) and (C,).

    Raises:
        InputError: Pairs or edges are of another form, or name nodes that there are not.

    >>> square = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 0], [1, 0, 2, 1, 3, 2, 0, 3]])
    >>> common_neighbors(torch.tensor([[0, 0], [2, 1]]), square, 4)
    (tensor([0, 0]), tensor([1, 3]))
    """
    return _common_neighbors(node_pairs(pairs, num_nodes), _simple(edge_index, num_nodes), num_nodes)


def _common_neighbors(pairs: Tensor, edges: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    keys = edges[0] * num_nodes + edges[1]
    if keys.numel() == 0:
        return pairs.new_empty(0), pairs.new_empty(0)
    start = torch.searchsorted(edges[0].contiguous(), torch.arange(num_nodes + 1, device=edges.device))
    count = (start[1:] - start[:-1])[pairs[0]]
    place = torch.arange(pairs.size(1), device=pairs.device).repeat_interleave(count)
    first = count.cumsum(0) - count
    offset = torch.arange(len(place), device=pairs.device) - first[place]
    node = edges[1][start[:-1][pairs[0]][place] + offset]
    wanted = node * num_nodes + pairs[1][place]
    found = keys[torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)] == wanted
    return place[found], node[found]


def _simple(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Edges without loops and repetitions, sorted by both ends."""
    edges: Tensor = coalesce(remove_self_loops(node_pairs(edge_index, num_nodes))[0], num_nodes=num_nodes)
    return edges


def _chunks(pairs: Tensor, edges: Tensor, num_nodes: int, most: int) -> list[Tensor]:
    """Pairs in blocks with about as many neighbours of first nodes as `most`."""
    paths = degree(edges[0], num_nodes, dtype=torch.long)[pairs[0]].cumsum(0)
    blocks = int(paths[-1]) // most + 1 if len(paths) else 1
    return list(pairs.tensor_split(blocks, dim=1))
