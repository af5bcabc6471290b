"""Your own module on your own graph: search, checkpoints, generated networks and the best of all, in one call."""

import networkx as nx
import torch
from torch_geometric.nn import GCNConv

import gnndiff
import graphtasks


class Net(torch.nn.Module):
    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = GCNConv(features, hidden), GCNConv(hidden, classes)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.conv2(self.conv1(x, edge_index).relu(), edge_index)


torch.manual_seed(0)
graph = nx.planted_partition_graph(3, 40, p_in=0.2, p_out=0.03, seed=0)
for person in graph.nodes.values():
    person.update(y=person["block"], x=(torch.eye(3)[person.pop("block")] + torch.randn(3)).tolist())
task = graphtasks.from_data(graph, name="people", splits=graphtasks.random_splits(120))
print(gnndiff.run(lambda _, hidden: Net(3, hidden, 3), task, space={"hidden": [8, 16]}, budget="smoke").to_markdown())
