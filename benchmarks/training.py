"""Does `graphtasks.fit` reach the scores that everybody knows, and what does it cost against a plain loop?

- scores: Kipf and Welling's GCN (https://arxiv.org/abs/1609.02907) on the public splits of Cora and CiteSeer, and their
  graph autoencoder (https://arxiv.org/abs/1611.07308) on ten splits of Cora's edges, with their architectures, learning
  rate and dropout. Weight decay is on all layers (theirs on the first), the best validation epoch of 200 is tested, and
  validation edges are messages of the test, as RandomLinkSplit has it.
- speed: an epoch of training and validation by `fit` against the loop of PyG's examples, on the same CPU threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from measure import THREADS, Row, machine, table
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_geometric.nn import GAE, GCNConv
from torch_geometric.nn.models import GAT, GCN, GraphSAGE
from torch_geometric.transforms import BaseTransform, Compose, GCNNorm, ToSparseTensor

import graphtasks
from graphtasks import Contender, FitConfig, GraphTask, fit


class KipfGCN(nn.Module):
    """Two convolutions, with dropout before each."""

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.first = GCNConv(inputs, hidden, cached=True)
        self.second = GCNConv(hidden, outputs, cached=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = self.first(self.dropout(x), edge_index).relu()
        out: Tensor = self.second(self.dropout(hidden), edge_index)
        return out


class Encoder(nn.Module):
    """The encoder of the graph autoencoder: 32 hidden channels, 16 dimensions."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.first = GCNConv(inputs, 32)
        self.second = GCNConv(32, 16)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x, edge_index).relu(), edge_index)
        return out


def scores(path: Path) -> list[Row]:
    """Mean and deviation of the test score."""
    gcn = Contender("GCN", lambda task: KipfGCN(task.num_features, 16, task.num_classes))
    gae = Contender("GAE", lambda task: GAE(Encoder(task.num_features)))
    links = graphtasks.load("cora-link")
    precision = links.replace(metric=graphtasks.METRICS["ap"], name="cora-link (ap)")
    rows = []
    for contender, tasks, seeds, config in (
        (gcn, [graphtasks.load("cora"), graphtasks.load("citeseer")], range(20), FitConfig()),
        (gae, [links, precision], range(1), FitConfig(weight_decay=0.0)),
    ):
        result = graphtasks.compare([contender], tasks, seeds=seeds, config=config, path=path)
        for task, runs in result.runs.groupby("task", sort=False):
            rows.append(
                {
                    "task": task,
                    "model": contender.name,
                    "metric": runs["metric"].iloc[0],
                    "runs": len(runs),
                    "test": round(100 * float(runs["test"].mean()), 2),
                    "deviation": round(100 * float(runs["test"].std()), 2),
                }
            )
    return rows


MODELS: dict[str, Any] = {"GCN": GCN, "GraphSAGE": GraphSAGE, "GAT": GAT}
MATRIX = ToSparseTensor("edge_weight", remove_edge_index=False, layout=torch.sparse_csr)
# Transforms that make the graph a sparse matrix for a model, and the arguments that it then takes.
SPARSE: dict[str, tuple[BaseTransform, dict[str, Any]]] = {
    "GCN": (Compose([GCNNorm(), MATRIX]), {"normalize": False}),
    "GraphSAGE": (MATRIX, {}),
}


def speed() -> list[Row]:
    """Milliseconds an epoch of the plain loop, of `fit`, and where a model takes one of `fit` with a sparse matrix."""
    rows = []
    for name in ("cora", "citeseer", "amazon-photo"):
        task = graphtasks.load(name)
        for model in MODELS:
            times = {"plain": _plain_loop(_build(model, task), task), "fit": _fit(_build(model, task), task)}
            if model in SPARSE:
                transform, arguments = SPARSE[model]
                with warnings.catch_warnings():  # torch warns once a process that CSR is in beta
                    warnings.filterwarnings("ignore", "Sparse")
                    sparse = task.transform(transform)
                times["fit, sparse matrix"] = _fit(_build(model, sparse, **arguments), sparse)
            rows += [
                {
                    "task": name,
                    "model": model,
                    "loop": loop,
                    "milliseconds": round(1000 * seconds, 1),
                    "times as fast": round(times["plain"] / seconds, 2),
                }
                for loop, seconds in times.items()
            ]
    return rows


def _build(model: str, task: GraphTask, **arguments: Any) -> nn.Module:
    torch.manual_seed(0)
    built: nn.Module = MODELS[model](task.num_features, 64, 2, task.num_classes, dropout=0.5, **arguments)
    return built


def _fit(model: nn.Module, task: GraphTask, epochs: int = 30) -> float:
    return statistics.median(fit(model, task, 0, FitConfig(epochs=epochs)).epoch_seconds[5:])


def _plain_loop(model: nn.Module, task: GraphTask, epochs: int = 30) -> float:
    """Training and validation as in PyG's examples."""
    data, split = task.graph(), task.split(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    times = []
    for _ in range(epochs):
        start = time.perf_counter()
        model.train()
        optimizer.zero_grad()
        cross_entropy(model(data.x, data.edge_index)[split.train], data.y[split.train]).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            pred = model(data.x, data.edge_index)[split.val].argmax(dim=1)
            (pred == data.y[split.val]).float().mean().item()
        times.append(time.perf_counter() - start)
    return statistics.median(times[5:])


def main() -> None:
    """Run what is asked for and write rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", default=["scores", "speed"], choices=["scores", "speed"])
    parser.add_argument("--out", type=Path, default=Path("training.json"), help="with a .jsonl of all trainings beside")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    out = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    out["machine"] = machine()
    if "scores" in arguments.works:
        out["scores"] = scores(arguments.out.with_suffix(".jsonl"))
    if "speed" in arguments.works:
        out["speed"] = speed()
    print(*(table(out[work]) for work in ("scores", "speed") if work in out), sep="\n\n")
    arguments.out.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
