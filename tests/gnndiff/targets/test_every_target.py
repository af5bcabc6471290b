"""Every target of this package, on a tiny task of each of its kinds."""

import pytest
import torch
from torch_geometric.data import Data

import graphtasks
from gnndiff.targets import available, find
from gnndiff.targets.base import full_space
from gnndiff.testing import TargetTestCase, corners, made
from graphtasks import GraphTask, Split, random_splits, time_splits
from graphtasks.links import random_link_splits
from graphtasks.task import KINDS

NODES = torch.arange(12)
RING = torch.stack([NODES, (NODES + 1) % 12])
CHORD = torch.tensor([[0, 2], [5, 9]])
HALF = torch.cat([RING, CHORD], dim=1)
EDGES = torch.cat([HALF, HALF.flip(0)], dim=1)


def features(seed=0, rows=12):
    return torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed))


def node():
    data = Data(x=features(), y=NODES % 3, edge_index=EDGES, edge_weight=torch.linspace(1, 2, 14).repeat(2))
    return GraphTask.from_data(data, name="ring", splits=[Split(NODES[:6], NODES[6:9], NODES[9:])])


def node_regression():
    data = Data(x=features(), y=features(1)[:, :2], edge_index=HALF)  # directed
    return GraphTask.from_data(data, name="values", splits=[Split(NODES[:6], NODES[6:9], NODES[9:])])


def link():
    data = Data(x=features(), edge_index=EDGES)
    splits = random_link_splits(EDGES, 12, undirected=True, val=0.2, test=0.2, count=1)
    return graphtasks.link_task(data, name="pairs", splits=splits)


def many():
    graphs = [Data(x=features(i), y=NODES % 3, edge_index=EDGES[:, i:]) for i in range(2)]
    graphs += [Data(x=features(i), y=NODES % 3, edge_index=EDGES) for i in range(2, 6)]
    return GraphTask.from_data(graphs, name="rings", kind="node", splits=random_splits(6))


def graph():
    graphs = [Data(x=features(i), y=torch.tensor([i % 2]), edge_index=EDGES) for i in range(6)]
    return GraphTask.from_data(graphs, name="graphs", kind="graph", splits=random_splits(6))


def temporal():
    values = torch.randn(14, 12, generator=torch.Generator().manual_seed(0))
    graphs = [Data(x=values[t : t + 4].T.contiguous(), y=values[t + 4], edge_index=EDGES) for t in range(10)]
    return GraphTask.from_data(graphs, name="series", kind="temporal", metric="mse", splits=time_splits(10))


TASKS = {
    "node": [node, many],
    "node-regression": [node_regression],
    "link": [link],
    "graph": [graph],
    "temporal": [temporal],
}
PAIRS = [(name, kind) for name in available() for kind in KINDS if kind in find(name).kinds]


class TestEveryTarget(TargetTestCase):
    @pytest.fixture(autouse=True, params=PAIRS, ids="-".join)
    def _pair(self, request):
        self.name, self.kind = request.param

    def create_target(self):
        return find(self.name)

    def create_tasks(self):
        tasks = [make() for make in TASKS[self.kind]]
        # A gain for each mode is for one graph.
        return [task for task in tasks if not (task.many and self.name in ("dmdgnn", "dmdgnn-dir", "graphdmd"))]

    def test_units_are_declared(self):
        target = self.create_target()
        for task in self.create_tasks():
            for setting in corners(full_space(target, task)):
                assert target.units(made(target, task, setting)[1]) is not None
