"""Are the published scores of tuned GCN, GraphSAGE and GAT reached by the splits, features and training of graphtasks?

Models, settings and protocol are those of "Classic GNNs are Strong Baselines" (https://arxiv.org/abs/2406.08993), as in
the `run_gnn.sh` of its code (https://github.com/LUOyk1999/tunedGNN): the best validation epoch of all epochs, three
runs on the one split of amazon-photo, the ten splits of chameleon-filtered. Trainings that FILE.jsonl has are not run
again.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from measure import machine, table
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, SAGEConv
from torch_geometric.transforms import AddRemainingSelfLoops, Compose, GCNNorm, RemoveSelfLoops, ToUndirected
from torch_geometric.typing import OptPairTensor
from torch_geometric.utils import sort_edge_index, to_torch_csr_tensor

import graphtasks
from graphtasks import Contender, FitConfig, GraphTask

PUBLISHED = {
    ("amazon-photo", "gcn"): (96.10, 0.46),
    ("amazon-photo", "sage"): (96.78, 0.23),
    ("amazon-photo", "gat"): (96.60, 0.33),
    ("chameleon-filtered", "gcn"): (46.29, 3.40),
    ("chameleon-filtered", "sage"): (44.81, 4.74),
    ("chameleon-filtered", "gat"): (44.13, 4.17),
}

PHOTO = {"epochs": 1000, "lr": 0.001, "weight_decay": 5e-5, "norm": "layer", "residual": True}
CHAMELEON = {"epochs": 200, "weight_decay": 1e-3}
SETTINGS = {
    ("amazon-photo", "gcn"): {**PHOTO, "hidden": 256, "layers": 6, "dropout": 0.5},
    ("amazon-photo", "sage"): {**PHOTO, "hidden": 64, "layers": 6, "dropout": 0.2},
    ("amazon-photo", "gat"): {**PHOTO, "hidden": 64, "layers": 3, "dropout": 0.5},
    ("chameleon-filtered", "gcn"): {
        **CHAMELEON, "lr": 0.005, "hidden": 512, "layers": 5, "dropout": 0.2, "norm": "none", "residual": False
    },
    ("chameleon-filtered", "sage"): {
        **CHAMELEON, "lr": 0.01, "hidden": 256, "layers": 4, "dropout": 0.7, "norm": "batch", "residual": True
    },
    ("chameleon-filtered", "gat"): {
        **CHAMELEON, "lr": 0.01, "hidden": 256, "layers": 2, "dropout": 0.7, "norm": "batch", "residual": True
    },
}  # fmt: skip
PROTOCOLS = {"amazon-photo": ("tunedgnn", range(3)), "chameleon-filtered": ("public", range(1))}


class _SymmetricProduct(torch.autograd.Function):
    """A @ x for a symmetric sparse A, which autograd would transpose in each backward pass."""

    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, x: Tensor) -> Tensor:
        ctx.adjacency = adjacency
        return adjacency @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, ctx.adjacency @ grads[0]


class SymmetricGCNConv(GCNConv):
    """PyG's layer on a symmetric sparse adjacency."""

    def message_and_aggregate(self, adj_t: Tensor, x: Tensor) -> Tensor:
        """The sum over the neighbours of each node."""
        product: Tensor = _SymmetricProduct.apply(adj_t, x)
        return product


class SymmetricSAGEConv(SAGEConv):
    """PyG's layer on a symmetric sparse adjacency."""

    def message_and_aggregate(self, adj_t: Tensor, x: OptPairTensor) -> Tensor:
        """The mean over the neighbours of each node."""
        product: Tensor = _SymmetricProduct.apply(adj_t, x[0])
        return product / adj_t.crow_indices().diff().unsqueeze(1)


class _Attention(torch.autograd.Function):
    """A @ x for a matrix A of which only the values at the edges, sorted by target, are not zero."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sources: Tensor, values: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(rows, sources, values, x)
        return _csr(rows, sources, values) @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor, Tensor]:
        rows, sources, values, x = ctx.saved_tensors
        (grad,) = grads
        of_values = torch.sparse.sampled_addmm(_csr(rows, sources, values), grad, x.t(), beta=0.0).values()
        return None, None, of_values, _csr(rows, sources, values).t().to_sparse_csr() @ grad


def _csr(rows: Tensor, columns: Tensor, values: Tensor) -> Tensor:
    size = len(rows) - 1
    with warnings.catch_warnings():  # torch warns once a process that CSR is in beta
        warnings.filterwarnings("ignore", "Sparse")
        return torch.sparse_csr_tensor(rows, columns, values, (size, size), check_invariants=False)


class SparseGATConv(GATConv):
    """PyG's layer with one head, whose sum over neighbours is a sparse product: a third of the time."""

    def propagate(self, edge_index: Tensor, size: object = None, **arguments: Any) -> Tensor:
        """The sum over the neighbours of each node, with edges sorted by target."""
        x, alpha = arguments["x"][0], arguments["alpha"]
        rows = torch.searchsorted(edge_index[1], torch.arange(len(x) + 1, device=x.device))
        out: Tensor = _Attention.apply(rows, edge_index[0], alpha.view(-1), x.squeeze(1))
        return out.unsqueeze(1)


CONVS: dict[str, Callable[[int, int], nn.Module]] = {
    "gcn": lambda inputs, outputs: SymmetricGCNConv(inputs, outputs, normalize=False),
    "sage": lambda inputs, outputs: SymmetricSAGEConv(inputs, outputs),
    "gat": lambda inputs, outputs: SparseGATConv(inputs, outputs, add_self_loops=False, bias=False),
}
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda width: nn.Identity(),
    "layer": nn.LayerNorm,
    "batch": nn.BatchNorm1d,
}


class TunedGNN(nn.Module):
    """Convolutions, each with an optional linear residual, norm, ReLU and dropout, and a linear classifier."""

    def __init__(
        self,
        conv: str,
        inputs: int,
        outputs: int,
        *,
        hidden: int,
        layers: int,
        dropout: float,
        norm: str,
        residual: bool,
    ) -> None:
        super().__init__()
        widths = [inputs] + [hidden] * layers
        pairs = list(pairwise(widths))
        self.convs = nn.ModuleList(CONVS[conv](*pair) for pair in pairs)
        self.residuals = nn.ModuleList(nn.Linear(*pair) for pair in pairs) if residual else None
        self.norms = nn.ModuleList(NORMS[norm](hidden) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            h = conv(x, edge_index)
            if self.residuals is not None:
                h = h + self.residuals[i](x)
            x = self.dropout(norm(h).relu())
        out: Tensor = self.classifier(x)
        return out


LOOPS = Compose([ToUndirected(), RemoveSelfLoops(), AddRemainingSelfLoops()])


def with_loops(task: GraphTask) -> GraphTask:
    """The graph that all models of the paper see: undirected, one self-loop a node. Edges are sorted by target."""

    def by_target(data: Data) -> Data:
        data.edge_index = sort_edge_index(data.edge_index, sort_by_row=False)
        return data

    return task.transform(Compose([LOOPS, by_target]))


def normalised(task: GraphTask) -> GraphTask:
    """That graph as a CSR matrix for GCN, normalised by both degrees."""
    return task.transform(Compose([LOOPS, GCNNorm(add_self_loops=False), _as_csr]))


def as_matrix(task: GraphTask) -> GraphTask:
    """That graph as a CSR matrix of ones for SAGE."""
    return task.transform(Compose([LOOPS, _as_csr]))


def _as_csr(data: Data) -> Data:
    with warnings.catch_warnings():  # torch warns once a process that CSR is in beta
        warnings.filterwarnings("ignore", "Sparse")
        data.adj_t = to_torch_csr_tensor(data.edge_index.flip(0), data.get("edge_weight"), size=data.num_nodes)
    return data


PREPARE = {"gcn": normalised, "sage": as_matrix, "gat": with_loops}


def contender(task: str, model: str) -> Contender:
    """The model with its published setting, and nothing to tune."""

    def build(task: GraphTask, **settings: object) -> TunedGNN:
        return TunedGNN(model, task.num_features, task.num_classes, **settings)  # type: ignore[arg-type]

    space = {name: [value] for name, value in SETTINGS[task, model].items()}
    return Contender(model, build, space, PREPARE[model])


def main() -> None:
    """Run what is asked for and write rows and summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(PROTOCOLS), choices=list(PROTOCOLS))
    parser.add_argument("--models", nargs="+", default=list(CONVS), choices=list(CONVS))
    parser.add_argument("--out", type=Path, default=Path("tuned_gnn.json"), help="with a .jsonl beside it")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    for name in arguments.tasks:
        protocol, seeds = PROTOCOLS[name]
        task = graphtasks.load(name, split=protocol)
        result = graphtasks.compare(
            [contender(name, model) for model in arguments.models],
            [task],
            seeds=seeds,
            config=FitConfig(),
            path=arguments.out.with_suffix(".jsonl"),
            callback=lambda row: print(f"{row['task']} {row['model']} {row['split']} {row['seed']} {row['test']}"),
        )
        for model, runs in result.runs.groupby("model", sort=False):
            mean, deviation = PUBLISHED[name, str(model)]
            test = 100 * runs["test"]
            rows.append(
                {
                    "task": name,
                    "model": model,
                    "runs": len(runs),
                    "test": round(float(test.mean()), 2),
                    "deviation": round(float(test.std()), 2),
                    "published": mean,
                    "its deviation": deviation,
                    "within": "yes" if abs(test.mean() - mean) <= deviation else "no",
                    "parameters": int(runs["parameters"].iloc[0]),
                }
            )
    print(table(rows))
    arguments.out.write_text(
        json.dumps({"machine": {**machine(), "threads": arguments.threads}, "rows": rows}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
