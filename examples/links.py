"""Links to predict between characters who meet: encoders by modes, with and without a look at common neighbours."""

from __future__ import annotations

import torch
from torch import nn
from torch_geometric.nn import GAE

import graphtasks
from dmdgnn.nn import DMDEncoder, NeighborOverlap
from dmdgnn.transforms import AddDMDModes
from graphtasks import Contender, FitConfig, GraphTask

RANK = 8


def prepare(task: GraphTask) -> GraphTask:
    """The task with modes of the edges that messages pass along, never of one to predict."""
    return task.transform(AddDMDModes(RANK))


def autoencoder(task: GraphTask, overlap: bool) -> nn.Module:
    """An encoder by modes, whose pairs are scored by the inner product, or by that and common neighbours."""
    encoder = DMDEncoder(task.num_features, 16, 16, rank=RANK, skip=True, local=True)
    return GAE(encoder, NeighborOverlap(16) if overlap else None)


def main() -> None:
    """Compare both decoders on the same splits."""
    torch.set_num_threads(1)
    task = graphtasks.load("les-miserables")
    contenders = [
        Contender("inner product", autoencoder, {"overlap": [False]}, prepare=prepare),
        Contender("with common neighbours", autoencoder, {"overlap": [True]}, prepare=prepare),
    ]
    config = FitConfig(epochs=60, lr=0.01)
    table = graphtasks.compare(contenders, [task], splits=range(3), config=config, metrics=["mrr"])
    print(table.to_markdown())
    print(table.under("mrr").to_markdown())
    adamic = graphtasks.heuristic_scores("adamic_adar", task)
    print(f"Adamic and Adar's index, which learns nothing: {task.evaluate(adamic, 0, 'test'):.3f}")


if __name__ == "__main__":
    main()
