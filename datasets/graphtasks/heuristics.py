"""Scores of pairs of nodes by their neighbours alone, which need no training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from graphtasks.errors import InvalidDataError
from graphtasks.splits import LinkSplit, Part
from graphtasks.task import GraphTask

Adjacency = Any
Nodes = Any

MAX_PAIRS = 2**16
"""Pairs whose neighbours are compared at once."""

KATZ_DAMPING = 0.005


def heuristic_scores(name: str, task: GraphTask, split: int = 0, part: Part = "test") -> Tensor:
    r"""Scores of the pairs of a part of a link task by a heuristic, as :meth:`GraphTask.evaluate` takes them.

    With the neighbours :math:`\Gamma(u)` along the edges that messages of the part pass along, regardless of direction
    and weights:

    - `common_neighbors`: :math:`|\Gamma(u) \cap \Gamma(v)|`;
    - `jaccard`: that over :math:`|\Gamma(u) \cup \Gamma(v)|`;
    - `adamic_adar`: :math:`\sum_{w \in \Gamma(u) \cap \Gamma(v)} 1 / \log |\Gamma(w)|`;
    - `resource_allocation`: :math:`\sum_{w \in \Gamma(u) \cap \Gamma(v)} 1 / |\Gamma(w)|`;
    - `preferential_attachment`: :math:`|\Gamma(u)| \cdot |\Gamma(v)|`;
    - `katz`: :math:`\sum_{l=1}^{4} 0.005^l (A^l)_{uv}`, walks of up to four edges.

    Source: Liben-Nowell and Kleinberg, "The link-prediction problem for social networks"
    (https://doi.org/10.1002/asi.20591); Zhou, Lü and Zhang for resource allocation (https://arxiv.org/abs/0901.0553).

    Args:
        name: One of `HEURISTICS`.
        task: A link task.
        split: Index of the split.
        part: 'val' or 'test'.

    Returns:
        Scores (M,) of float64: the higher, the likelier is a link.

    Raises:
        InvalidDataError: There is no such heuristic, or the task has no links.

    >>> import graphtasks
    >>> task = graphtasks.link_task(graphtasks.load("karate").graph())
    >>> task.evaluate(heuristic_scores("adamic_adar", task), 0, "test") > 0.5
    True
    """
    if name not in HEURISTICS:
        raise InvalidDataError(f"got heuristic {name!r}, expected one of {', '.join(HEURISTICS)}")
    if task.kind != "link":
        raise InvalidDataError(f"only link tasks have pairs to score, but {task.name!r} is of kind {task.kind!r}")
    chosen = cast(LinkSplit, task.split(split))
    pairs, adjacency = chosen.pairs(part)[0].numpy(), _adjacency(chosen.messages(part), task.num_nodes)
    blocks = np.array_split(pairs, max(1, -(-pairs.shape[1] // MAX_PAIRS)), axis=1)
    return torch.from_numpy(np.concatenate([HEURISTICS[name](adjacency, *block) for block in blocks]))


def _adjacency(edge_index: Tensor, num_nodes: int) -> Adjacency:
    """The symmetric matrix of zeros and ones, without loops."""
    source, target = edge_index[:, edge_index[0] != edge_index[1]].cpu().numpy()
    ends = np.concatenate([source, target]), np.concatenate([target, source])
    matrix = sparse.csr_array((np.ones(len(ends[0])), ends), shape=(num_nodes, num_nodes))
    matrix.data[:] = 1.0
    return matrix


def _degrees(adjacency: Adjacency) -> Nodes:
    return np.diff(adjacency.indptr).astype(float)


def _shared(weight: Callable[[Nodes], Nodes]) -> Callable[[Adjacency, Nodes, Nodes], Nodes]:
    """A heuristic that sums a weight, by their degree, over common neighbours, which have at least two themselves."""

    def scores(adjacency: Adjacency, u: Nodes, v: Nodes) -> Nodes:
        weights = weight(np.maximum(_degrees(adjacency), 2))
        return adjacency[u].multiply(adjacency[v]) @ weights

    return scores


def _jaccard(adjacency: Adjacency, u: Nodes, v: Nodes) -> Nodes:
    common, degrees = HEURISTICS["common_neighbors"](adjacency, u, v), _degrees(adjacency)
    return common / np.maximum(degrees[u] + degrees[v] - common, 1)


def _preferential_attachment(adjacency: Adjacency, u: Nodes, v: Nodes) -> Nodes:
    degrees = _degrees(adjacency)
    return degrees[u] * degrees[v]


def _katz(adjacency: Adjacency, u: Nodes, v: Nodes) -> Nodes:
    """Walks of u that end in v: those of half the length of either meet in the middle."""
    one, other = adjacency[u], adjacency[v]
    two = one @ adjacency
    onward = (other, other @ adjacency)
    direct = np.asarray(adjacency[u, v]).ravel()
    meetings = (one.multiply(onward[0]), one.multiply(onward[1]), two.multiply(onward[1]))
    return sum(
        (KATZ_DAMPING ** (length + 2) * walks.sum(axis=1) for length, walks in enumerate(meetings)),
        start=KATZ_DAMPING * direct,
    )


HEURISTICS: dict[str, Callable[[Adjacency, Nodes, Nodes], Nodes]] = {
    "common_neighbors": _shared(np.ones_like),
    "jaccard": _jaccard,
    "adamic_adar": _shared(lambda degrees: 1 / np.log(degrees)),
    "resource_allocation": _shared(lambda degrees: 1 / degrees),
    "preferential_attachment": _preferential_attachment,
    "katz": _katz,
}
