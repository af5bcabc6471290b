"""A family of your own graphs: rings whose nodes take the majority, or the minority, of what their neighbours hold."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

import gnndiff
import graphtasks
from graphtasks import Family, GraphTask


def ring(seed: int, nodes: int = 80) -> GraphTask:
    """A task: the sign of a sum over neighbours, which counts in some graphs and counts against in others."""
    rng = torch.Generator().manual_seed(seed)
    sign = 1.0 if seed % 2 else -1.0
    state = torch.randn(nodes, generator=rng)
    x = torch.stack([state, sign + 0.1 * torch.randn(nodes, generator=rng)], dim=1)
    around = torch.arange(nodes)
    edges = to_undirected(torch.stack([around, around.roll(1)]))
    y = (sign * (state + state.roll(1) + state.roll(-1)) > 0).long()
    splits = graphtasks.random_splits(nodes, count=1, seed=seed)
    return graphtasks.from_data(Data(x=x, y=y, edge_index=edges), name=f"ring-{seed}", splits=splits)


def main() -> None:
    """Learn from 12 rings, and answer for one that was never seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="smoke")
    parser.add_argument("--out", type=Path, default=Path("runs/rings"))
    args = parser.parse_args()
    family = Family([ring(seed) for seed in range(20)], name="rings")
    results = gnndiff.run_family("gcn", family, budget=args.budget, out=args.out)
    print(results.to_markdown())
    mean, spread = results.pipeline.predict(ring(100).graph())
    print(f"probabilities {tuple(mean.shape)}, deviation of 16 networks {float(spread.mean()):.3f}")


if __name__ == "__main__":
    main()
