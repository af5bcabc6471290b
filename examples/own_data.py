"""Two tasks of your own, a networkx graph and a folder of `.npz` files, through `fit` and `compare`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn import global_mean_pool
from torch_geometric.nn.models import GCN, MLP

import graphtasks
from graphtasks import Contender, FitConfig, GraphTask


def communities() -> GraphTask:
    """Which of three groups a person of a networkx graph belongs to."""
    rng = np.random.default_rng(0)
    graph = nx.planted_partition_graph(3, 40, p_in=0.2, p_out=0.02, seed=0)
    for person in graph.nodes.values():
        person["y"] = person.pop("block")
        person["x"] = np.eye(3)[person["y"]] + rng.normal(size=3)
    y = torch.tensor([label for _, label in graph.nodes(data="y")])
    del graph.graph["partition"]
    splits = graphtasks.stratified_splits(y, (0.2, 0.3), count=5)
    return graphtasks.from_data(graph, name="communities", splits=splits)


def rings_and_trees(folder: Path) -> GraphTask:
    """Whether a graph has a cycle, from a folder with a file for each graph."""
    rng = np.random.default_rng(0)
    for i in range(100):
        size = int(rng.integers(8, 16))
        graph = nx.cycle_graph(size) if i % 2 else nx.random_labeled_tree(size, seed=i)
        edges = np.array(graph.to_directed().edges)
        degree = np.eye(4, dtype=np.float32)[[min(d, 3) for _, d in graph.degree]]
        np.savez(folder / f"{i:03}.npz", x=degree, y=np.array([i % 2]), edge_index=edges.T)
    graphtasks.save_splits(graphtasks.random_splits(100, count=5), folder / "splits.npz")
    return graphtasks.from_folder(folder, name="rings-and-trees")


class Model(nn.Module):
    """One of PyG's models, whose outputs are averaged over each graph where a task asks for that."""

    def __init__(self, cls: Callable[..., nn.Module], task: GraphTask, hidden: int) -> None:
        super().__init__()
        self.model = cls(
            in_channels=task.num_features, hidden_channels=hidden, out_channels=task.num_classes, num_layers=2
        )
        self.pool = task.kind == "graph"

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        out: Tensor = self.model(x) if isinstance(self.model, MLP) else self.model(x, edge_index)
        return global_mean_pool(out, batch) if self.pool else out


def main() -> None:
    """Train one model, then compare two."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        tasks = [communities(), rings_and_trees(Path(folder))]
        for task in tasks:
            result = graphtasks.fit(Model(GCN, task, 16), task, config=FitConfig(epochs=50))
            print(f"{task.name}: validation {result.val:.3f}, test {result.test:.3f}, epoch {result.best_epoch}")
        space: dict[str, list[Any]] = {"hidden": [8, 32], "lr": [0.01, 0.05]}
        contenders = [
            Contender("MLP", lambda task, hidden: Model(MLP, task, hidden), space),
            Contender("GCN", lambda task, hidden: Model(GCN, task, hidden), space),
        ]
        comparison = graphtasks.compare(contenders, tasks, trials=2, config=FitConfig(epochs=50))
        print(comparison.to_markdown())
        print(comparison.differences(baseline="MLP").to_string(index=False))


if __name__ == "__main__":
    main()
