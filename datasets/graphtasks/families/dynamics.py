"""Families of quantities that spread or flow on graphs, each at its own speed."""

from __future__ import annotations

from typing import Any

import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from graphtasks.families.base import Family
from graphtasks.families.generated import node_task
from graphtasks.sources.advection import advection


def heat_family(*, members: int = 120, num_nodes: int = 200, seed: int = 0, **options: Any) -> Family:
    r"""Heat at each node after 2 steps of :math:`u_{t+1} = u_t - s L u_t`, from what there is now and was a step ago.

    L is the Laplacian of random walks and s the speed, from 0.1 to 0.9. Graphs are rings with 1 to 4 random edges a
    node, and what was and is there is measured with noise.
    """
    generator = torch.Generator().manual_seed(seed)
    speeds = 0.1 + 0.8 * torch.rand(members, generator=generator)
    extra = torch.randint(1, 5, (members,), generator=generator)
    tasks = []
    for i in range(members):
        ring = torch.arange(num_nodes)
        ends = torch.randint(num_nodes, (2, num_nodes * int(extra[i])), generator=generator)
        ends = ends[:, ends[0] != ends[1]]
        edges = to_undirected(torch.cat([torch.stack([ring, ring.roll(1)]), ends], dim=1), num_nodes=num_nodes)
        walk = torch.zeros(num_nodes, num_nodes).index_put_((edges[1], edges[0]), torch.ones(edges.size(1)))
        walk /= walk.sum(dim=1, keepdim=True)
        states = [torch.randn(num_nodes, 1, generator=generator)]
        for _ in range(3):
            states.append(states[-1] + speeds[i] * (walk @ states[-1] - states[-1]))
        x = torch.cat(states[:2], dim=1) + 0.05 * torch.randn(num_nodes, 2, generator=generator)
        data = Data(x=x, y=states[3].view(-1), edge_index=edges)
        tasks.append(node_task(f"heat-{i}", data, metric="mse", source="heat equation on a graph", seed=seed + i))
    conditions = torch.stack([speeds, extra.float()], dim=1)
    return Family(tasks, name="heat-family", conditions=conditions, seed=seed, **options)


def advection_family(
    *, members: int = 60, num_nodes: int = 60, steps: int = 100, horizon: int = 2, seed: int = 0, **options: Any
) -> Family:
    """Forecasts of :func:`graphtasks.sources.advection.advection` at speeds from 0.1 to 1 and degrees 2 to 4."""
    generator = torch.Generator().manual_seed(seed)
    speeds = 0.1 + 0.9 * torch.rand(members, generator=generator)
    degrees = torch.randint(2, 5, (members,), generator=generator)
    tasks = [
        advection(
            "", None, num_nodes=num_nodes, steps=steps, horizon=horizon, lags=2,
            speed=float(speed), degree=int(degree), seed=seed + i,
        ).replace(name=f"advection-{i}")
        for i, (speed, degree) in enumerate(zip(speeds, degrees, strict=True))
    ]  # fmt: skip
    conditions = torch.stack([speeds, degrees.float()], dim=1)
    return Family(tasks, name="advection-family", conditions=conditions, seed=seed, **options)
