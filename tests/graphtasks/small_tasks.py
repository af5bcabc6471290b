"""Small tasks of every kind."""

import torch
from torch_geometric.data import Data

from graphtasks import GraphTask, Split, link_task
from graphtasks.metrics import METRICS

NAN = float("nan")


PARTS = ("train", "val", "test")


def changed(data: Data, **changes) -> Data:
    data = data.clone()
    for key, value in changes.items():
        data[key] = value
    return data


THREE = [Split(*torch.arange(6).split(2))]


def ring(num_nodes=6, directed=False, **attributes):
    """A ring whose nodes have two features."""
    nodes = torch.arange(num_nodes)
    edge_index = torch.stack([nodes, nodes.roll(-1)])
    if not directed:
        edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    return Data(x=torch.stack([nodes.float(), torch.ones(num_nodes)], dim=1), edge_index=edge_index, **attributes)


def rings(y, sizes=(3, 4, 5, 6, 7, 8)):
    """Six rings with the targets y(number of nodes, number of the ring)."""
    return [ring(size, y=y(size, i)) for i, size in enumerate(sizes)]


def task_of(kind, data, metric, splits=THREE, directed=False):
    return GraphTask("mine", kind, data, splits, METRICS[metric], directed, "here", "CC0", "one split")


CLASSES = torch.tensor([0, 1, 2, 0, -1, 2])


VALUES = torch.tensor([0.5, 1.5, -1.0, 0.0, NAN, 2.5])


TABLE = torch.stack([VALUES, torch.arange(6.0)], dim=1)


LABELS = torch.tensor([[0.0, 1.0], [1.0, 1.0], [NAN, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, NAN]])


TASKS = {
    "node": lambda: task_of("node", ring(y=CLASSES), "accuracy"),
    "nodes of many graphs": lambda: task_of("node", rings(lambda n, i: (torch.arange(n) + i) % 3), "accuracy"),
    "node values": lambda: task_of("node-regression", ring(y=VALUES), "mse"),
    "node tables": lambda: task_of("node-regression", ring(y=TABLE), "mae"),
    "node values of many graphs": lambda: task_of("node-regression", rings(lambda n, i: torch.ones(n) * i), "mse"),
    "graph": lambda: task_of("graph", rings(lambda n, i: CLASSES[i].view(1)), "accuracy"),
    "graph values": lambda: task_of("graph", rings(lambda n, i: VALUES[i].view(1)), "mae"),
    "graph labels": lambda: task_of("graph", rings(lambda n, i: LABELS[i].view(1, 2)), "ap"),
    "temporal": lambda: task_of("temporal", rings(lambda n, i: torch.ones(n) * i, (6, 6, 6, 6, 6, 6)), "mse"),
    "link": lambda: link_task(ring(30)),
}
