"""Families of stochastic block models: nodes whose neighbours are of their own class, or of the other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphtasks.families.base import Family
from graphtasks.families.generated import node_task
from graphtasks.links import link_task, random_link_splits


def block_graph(
    num_nodes: int, homophily: float, degree: float, noise: float, mean: Tensor, generator: torch.Generator
) -> Data:
    r"""A graph of two classes :math:`v_i \in \{-1, 1\}` with edges by :math:`d (1 + h v_i v_j) / n`, and features
    :math:`v_i u + \sigma z_i`."""
    y = torch.arange(num_nodes) % 2
    v = 2.0 * y - 1
    row, col = torch.triu_indices(num_nodes, num_nodes, offset=1)
    drawn = torch.rand(len(row), generator=generator) < degree * (1 + homophily * v[row] * v[col]) / num_nodes
    edges = to_undirected(torch.stack([row[drawn], col[drawn]]), num_nodes=num_nodes)
    x = v.outer(mean) + noise * torch.randn(num_nodes, len(mean), generator=generator)
    return Data(x=x, y=y, edge_index=edges)


def _drawn(members: int, num_features: int, seed: int) -> tuple[Tensor, Tensor, torch.Generator]:
    """Homophily, degree and noise of each member (n, 3), and the class mean (F,) that all of them share."""
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(num_features, generator=generator)
    uniform = torch.rand(members, 3, generator=generator)
    low, high = torch.tensor([-1.0, 6.0, 0.8]), torch.tensor([1.0, 14.0, 1.2])
    return low + (high - low) * uniform, mean / mean.norm(), generator


def csbm_family(
    *, members: int = 180, num_nodes: int = 400, num_features: int = 16, seed: int = 0, **options: Any
) -> Family:
    """Nodes of two classes, on graphs of homophily from -1 to 1, degree 6 to 14 and feature noise 0.8 to 1.2.

    The class means are the same in all members. 60 % of a member's nodes are for training, 20 % for validation.
    """
    conditions, mean, generator = _drawn(members, num_features, seed)
    tasks = [
        node_task(
            f"csbm-{i}",
            block_graph(num_nodes, homophily, degree, noise, mean, generator),
            metric="accuracy",
            source="contextual stochastic block model (arXiv:1807.09596)",
            seed=seed + i,
        )
        for i, (homophily, degree, noise) in enumerate(conditions.tolist())
    ]
    return Family(tasks, name="csbm-family", conditions=conditions, seed=seed, **options)


def link_family(
    *, members: int = 120, num_nodes: int = 200, num_features: int = 16, seed: int = 0, **options: Any
) -> Family:
    """Links of the graphs of :func:`csbm_family`, which are between nodes that are alike, or between unlike ones."""
    conditions, mean, generator = _drawn(members, num_features, seed)
    tasks = []
    for i, (homophily, degree, noise) in enumerate(conditions.tolist()):
        data = block_graph(num_nodes, homophily, degree, noise, mean, generator)
        splits = random_link_splits(data.edge_index, num_nodes, undirected=True, val=0.1, test=0.2, count=1, seed=i)
        tasks.append(link_task(data, name=f"sbm-link-{i}", splits=splits, source="generated", licence="generated"))
    return Family(tasks, name="sbm-link-family", conditions=conditions, seed=seed, **options)
