"""Checkpoints of a sweep of your own, in plain PyTorch, through soup, ensemble and generator."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_geometric.nn.models import GCN

import graphtasks
from gnndiff import Zoo
from gnndiff.generators import LatentDiffusion
from gnndiff.generators.conditions import ZooConditions
from graphtasks import GraphTask


def build(task: GraphTask, hidden: int) -> nn.Module:
    """The model of the sweep."""
    return GCN(task.num_features, hidden, num_layers=2, out_channels=task.num_classes)


def train(task: GraphTask, start: dict[str, Tensor], lr: float, seed: int) -> dict[str, Tensor]:
    """Go on from a state with a learning rate and a seed of dropout, in a loop of your own."""
    torch.manual_seed(seed)
    model, data, split = build(task, hidden=16), task.graph(), task.split(0)
    model.load_state_dict(start)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=5e-4)
    for _ in range(30):
        optimizer.zero_grad()
        x = nn.functional.dropout(data.x, 0.2)
        cross_entropy(model(x, data.edge_index)[split.train], data.y[split.train]).backward()
        optimizer.step()
    return copy.deepcopy(model.state_dict())


def main() -> None:
    """Train twelve networks from one start and see what their zoo is worth."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = graphtasks.load("wine")
    start = train(task, build(task, hidden=16).state_dict(), lr=0.01, seed=0)
    states = [train(task, start, lr, seed) for lr in (0.003, 0.01, 0.03) for seed in range(1, 5)]
    zoo = Zoo.from_states(states, None, build, task, setting={"hidden": 16})
    print(zoo)
    print("soup:", zoo.metric.format(zoo.score(zoo.soup().unsqueeze(0), "test")[0]))
    print("ensemble:", zoo.metric.format(zoo.ensemble_score(zoo.vectors, "test")))
    rng = torch.Generator().manual_seed(0)
    conditions = ZooConditions.of_scores(zoo.scores, zoo.metric)
    generator = LatentDiffusion(steps=500).fit(zoo.vectors, conditions, rng=rng, layout=zoo.layout)
    vectors = generator.sample(20, rng=rng)
    vals = zoo.score(vectors)
    chosen = vectors[[max(range(20), key=vals.__getitem__)]]  # by validation
    print("generated, best of 20:", zoo.metric.format(zoo.score(chosen, "test")[0]))
    build(task, hidden=16).load_state_dict(zoo.states(chosen)[0])


if __name__ == "__main__":
    main()
