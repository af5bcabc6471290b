"""Trials an hour: a search against PyG's plain example loop, with pruning, in two processes, and both spaces.

    python benchmarks/search.py --out search.jsonl --parts loop pruning workers spaces

Each line of the file is one measurement; those that are there are not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from torch_geometric.nn import GCNConv

import graphtasks
from gnndiff import Run, RunConfig
from gnndiff.search import finished_trials, ranked_trials, search

Row = dict[str, Any]
SPACES = (("cora", "gcn"), ("wisconsin", "gcn"), ("texas", "gcn"), ("citeseer", "gcn"))


class Plain(torch.nn.Module):
    """The network of PyG's examples/gcn.py."""

    def __init__(self, features: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.conv1, self.conv2 = GCNConv(features, hidden, cached=True), GCNConv(hidden, classes, cached=True)
        self.dropout = dropout

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        x = functional.dropout(x, self.dropout, self.training)
        x = self.conv1(x, edge_index).relu()
        x = functional.dropout(x, self.dropout, self.training)
        out: torch.Tensor = self.conv2(x, edge_index)
        return out


def plain_loop(task: graphtasks.GraphTask, setting: dict[str, Any], epochs: int) -> tuple[float, float]:
    """Validation and test score of a training by the loop of PyG's examples/gcn.py."""
    torch.manual_seed(0)
    data, split = task.graph(), task.split(0)
    assert isinstance(split, graphtasks.Split)
    model = Plain(task.num_features, setting["hidden"], task.num_classes, setting["dropout"])
    given = {"lr": setting["lr"], "weight_decay": setting["weight_decay"]}
    sgd = setting["optimizer"] == "sgd"
    optimizer: torch.optim.Optimizer
    optimizer = (
        torch.optim.SGD(model.parameters(), momentum=0.9, **given)
        if sgd
        else torch.optim.Adam(model.parameters(), **given)
    )
    best = (0.0, 0.0)
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        out = model(data.x, data.edge_index)
        functional.cross_entropy(out[split["train"]], data.y[split["train"]]).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            pred = model(data.x, data.edge_index).argmax(dim=-1)
        val, test = (float((pred[split[part]] == data.y[split[part]]).float().mean()) for part in ("val", "test"))
        best = max(best, (val, test), key=lambda scores: scores[0])
    return best


def searched(task: str, model: str, **changes: Any) -> tuple[Run, float]:
    """A run whose search has ended, and its wall clock; its folder is gone afterwards."""
    folder = Path(tempfile.mkdtemp()) / "run"
    run = Run(RunConfig(task=task, model=model, out=folder, quiet=True, **changes))
    start = time.perf_counter()
    run.create()
    with run.threaded():
        search(run)
    return run, time.perf_counter() - start


def told(run: Run, seconds: float) -> Row:
    """The figures of a search."""
    trials, best = finished_trials(run, "search"), ranked_trials(run)[0]
    epochs = sum(trial.user_attrs["epochs"] for trial in trials)
    row = {"seconds": round(seconds, 1), "epochs": epochs, "val": best.value, "test": best.user_attrs["test"]}
    return {**row, "trials": len(trials), "setting": best.params}


def loop(trials: int) -> Iterator[tuple[str, Callable[[], Row]]]:
    """The same trials of the paper's space by this package and by the plain loop, without early stop."""
    given = {
        "space": "paper",
        "trials": trials,
        "epochs": 200,
        "patience": 200,
        "finalists": 1,
        "finalist_trainings": 1,
    }

    def both() -> Row:
        run, _ = searched("cora", "gcn", **given)
        ours = finished_trials(run, "search")
        own_seconds = sum(trial.user_attrs["check"]["seconds"] for trial in ours)
        start = time.perf_counter()
        theirs = [plain_loop(run.task, trial.params, 200) for trial in ours]
        seconds = time.perf_counter() - start
        pairs = [(t.value, val) for t, (val, _) in zip(ours, theirs, strict=True) if t.value is not None]
        gaps = [own - other for own, other in pairs]
        best = max(theirs, key=lambda scores: scores[0])
        return {
            "trials": trials,
            "ours_seconds": round(own_seconds, 1),
            "plain_seconds": round(seconds, 1),
            "times_faster": round(seconds / own_seconds, 2),
            "mean_difference_val": round(sum(gaps) / len(gaps), 4),
            "best_val": [max(own for own, _ in pairs), best[0]],
        }

    yield f"cora gcn, {trials} trials, PyG's loop", both


def pruning(trials: int) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Epochs and winners with each pruner."""
    for pruner in ("none", "median", "hyperband"):
        given = {"space": "paper", "trials": trials, "epochs": 200, "patience": 200, "pruner": pruner}
        yield f"cora gcn, {trials} trials, pruner {pruner}", lambda given=given: told(*searched("cora", "gcn", **given))  # type: ignore[misc]


def workers(trials: int) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Two processes of one thread against one of two threads."""
    for count, threads in ((2, 1), (1, 2)):
        given = {"space": "paper", "trials": trials, "workers": count, "threads": threads}
        label = f"cora gcn, {trials} trials, {count} workers of {threads} threads"
        yield label, lambda given=given: told(*searched("cora", "gcn", **given))  # type: ignore[misc]


def spaces(trials: int) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Winners of the paper's space and of the modern one."""
    for task, model in SPACES:
        for space in ("paper", "modern"):
            given = {"space": space, "trials": trials}
            label = f"{task} {model}, {trials} trials, space {space}"
            yield label, lambda task=task, model=model, given=given: told(*searched(task, model, **given))  # type: ignore[misc]


PARTS = {"loop": loop, "pruning": pruning, "workers": workers, "spaces": spaces}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("search.jsonl"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--trials", type=int, default=54)
    options = parser.parse_args()
    done = set()
    if options.out.exists():
        done = {json.loads(line)["name"] for line in options.out.read_text().splitlines()}
    for part in options.parts:
        for name, measure in PARTS[part](options.trials):
            if name in done:
                continue
            row = {"name": name, "load": round(os.getloadavg()[0], 1), **measure()}
            with options.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
