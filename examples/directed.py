"""A signal that a current carries around a ring: what directions of edges are worth to modes."""

from __future__ import annotations

import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DMDConv
from dmdgnn.transforms import AddDMDModes

NODES, STEPS = 60, 5


def ring(directed: bool) -> tuple[Data, torch.Tensor]:
    """A ring with random waves, and where a current carries them in some steps."""
    here = torch.arange(NODES)
    edges = torch.stack([here, (here + 1) % NODES])
    angles = 2 * torch.pi * torch.outer(here, torch.arange(1, 5)) / NODES
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)
    x = waves @ torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    data = Data(x=x, edge_index=edges if directed else to_undirected(edges))
    return data, x.roll(STEPS, dims=0)


def error(directed: bool) -> float:
    """Share of the variance that a trained layer does not explain."""
    torch.manual_seed(0)
    data, y = ring(directed)
    dynamics = FeaturePropagation(direction="backward" if directed else "undirected")
    data = AddDMDModes(8, dynamics=dynamics, duals=True)(data)
    conv = DMDConv(8, 8, rank=8, degree=STEPS)
    optimizer = torch.optim.Adam(conv.parameters(), lr=0.03)
    for _ in range(200):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(conv(data.x, data.dmd_modes, data.dmd_eigs, duals=data.dmd_duals), y)
        loss.backward()
        optimizer.step()
    return float(loss.detach() / y.var())


if __name__ == "__main__":
    print(f"modes along the current:      {error(True):.3f} of the variance is left")
    print(f"modes of the undirected ring: {error(False):.3f}")
