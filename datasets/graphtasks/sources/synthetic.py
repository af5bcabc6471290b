"""Graphs drawn from a model with known parameters."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphtasks.errors import InvalidDataError
from graphtasks.metrics import METRICS
from graphtasks.splits import per_class_splits
from graphtasks.task import GraphTask

CSBM_SOURCE = "Deshpande et al. (2018), parametrised as in GPR-GNN (arXiv:2006.07988)"


# Nodes up to which each pair draws whether it has an edge; for more, pairs are drawn until there are enough.
ALL_PAIRS = 10_000


def csbm(
    protocol: str,
    root: Path | None,
    *,
    homophily: float = 0.5,
    num_nodes: int = 1000,
    num_features: int = 200,
    degree: float = 5.0,
    excess: float = 3.25,
    seed: int = 0,
) -> GraphTask:
    r"""Contextual stochastic block model of two classes :math:`v_i \in \{-1, 1\}`.

    .. math::
        P(i \sim j) = \frac{d + \lambda \sqrt{d}\, v_i v_j}{n}, \qquad
        x_i = \sqrt{\mu / n}\, v_i u + z_i / \sqrt{f}, \qquad
        \lambda = \sqrt{1 + \epsilon} \sin\frac{\pi\phi}{2}, \quad
        \mu = \sqrt{\tfrac{n}{f} (1 + \epsilon)} \cos\frac{\pi\phi}{2}

    with :math:`z_i` standard normal and :math:`u` normal of variance :math:`1/f`. At :math:`\phi = 0` only the
    features tell the classes apart, at :math:`\phi = \pm 1` only the graph does.
    Source: "Adaptive Universal Generalized PageRank Graph Neural Network"
    (https://arxiv.org/abs/2006.07988), appendix A.11.

    Args:
        protocol: Unused: there is one.
        root: Unused: nothing is read.
        homophily: :math:`\phi`, from -1 (heterophilous) to 1 (homophilous).
        num_nodes: :math:`n`.
        num_features: :math:`f`.
        degree: Average degree :math:`d`.
        excess: :math:`\epsilon`, the signal above the threshold at which the classes can be found at all.
        seed: Seed of the graph and of the ten splits.
    """
    if not -1 <= homophily <= 1:
        raise InvalidDataError(f"got homophily={homophily}, expected a number from -1 to 1")
    if num_nodes < 100 or num_features < 1 or not degree > 0 or not excess >= 0:
        raise InvalidDataError(
            f"got num_nodes={num_nodes}, num_features={num_features}, degree={degree}, excess={excess}, "
            "expected num_nodes >= 100, num_features >= 1, degree > 0, excess >= 0"
        )
    lam = math.sqrt(1 + excess) * math.sin(math.pi * homophily / 2)
    mu = math.sqrt(num_nodes / num_features * (1 + excess)) * math.cos(math.pi * homophily / 2)
    spread = abs(lam) * math.sqrt(degree)
    if not spread <= degree <= num_nodes - spread:
        raise InvalidDataError(
            f"degree={degree} makes edge probabilities leave [0, 1] at homophily={homophily} and excess={excess}: use "
            f"a degree from {lam**2:.3g} to less than the {num_nodes} nodes, or a smaller excess"
        )
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(num_nodes) % 2
    v = 2.0 * y - 1
    u = torch.randn(num_features, generator=generator) / math.sqrt(num_features)
    noise = torch.randn(num_nodes, num_features, generator=generator)
    x = math.sqrt(mu / num_nodes) * v.outer(u) + noise / math.sqrt(num_features)

    if num_nodes <= ALL_PAIRS:
        row, col = torch.triu_indices(num_nodes, num_nodes, offset=1)
        probability = (degree + lam * math.sqrt(degree) * v[row] * v[col]) / num_nodes
        drawn = torch.rand(len(row), generator=generator) < probability
        pairs = torch.stack([row[drawn], col[drawn]])
    else:
        alike, unlike = ((degree + sign * lam * math.sqrt(degree)) / num_nodes for sign in (1, -1))
        zeros, ones = ((y == label).nonzero().flatten() for label in (0, 1))
        blocks = [(zeros, zeros, alike), (ones, ones, alike), (zeros, ones, unlike)]
        pairs = torch.cat([_pairs(a, b, probability, generator) for a, b, probability in blocks], dim=1)
    edge_index = to_undirected(pairs, num_nodes=num_nodes)
    return GraphTask(
        name="csbm",
        kind="node",
        data=Data(x=x, y=y, edge_index=edge_index),
        splits=per_class_splits(y, num_nodes // 80, seed=seed),
        metric=METRICS["accuracy"],
        directed=False,
        source=CSBM_SOURCE,
        licence="generated",
        protocol="2.5 % of the nodes for training, half of the rest but at most 500 for validation; 10 random splits",
    )


def _pairs(a: Tensor, b: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Different pairs (2, E) of a node of `a` with another one of `b`, where each is there with a probability.

    Their number is drawn from the binomial distribution, and then as many pairs, all equally likely.
    """
    same = a is b
    total = len(a) * (len(a) - 1) // 2 if same else len(a) * len(b)
    wanted = torch.tensor([float(total), probability], dtype=torch.float64)
    count = int(torch.binomial(wanted[:1], wanted[1:], generator=generator))
    keys = torch.empty(0, dtype=torch.int64)
    while len(keys) < count:
        more = count - len(keys)
        i, j = (torch.randint(len(nodes), (more,), generator=generator) for nodes in (a, b))
        if same:
            i, j = torch.minimum(i, j)[i != j], torch.maximum(i, j)[i != j]
        keys = torch.cat([keys, i * len(b) + j]).unique()
    return torch.stack([a[keys // len(b)], b[keys % len(b)]])
