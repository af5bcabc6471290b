"""Speed of a search and what it finds: against PyG's plain loop, with pruning, in two processes, in both spaces.

    python benchmarks/search.py --parts loop pruning workers spaces
    python benchmarks/search.py --table

Rows of the file are not measured again; `--table` prints them. Nothing is chosen by test scores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import add_line, machine, read_lines, table
from torch.nn import functional
from torch_geometric.nn import GCNConv

import graphtasks
from gnndiff import Run, RunConfig
from gnndiff.search import evaluate, finished_trials, ranked_trials, retrain, search, search_space
from gnndiff.search.winner import sampler_of

Row = dict[str, Any]
Work = tuple[Row, Callable[[], Row]]
EPOCHS, TRIALS, SOME, FEW, BLOCK, SEEDS = 200, 54, 24, 12, 3, (0, 1, 2)
PRUNERS = ("none", "median", "hyperband")
CREWS = ((2, 1), (1, 2), (1, 1))
TASKS = ("texas", "wisconsin", "cornell", "chameleon-filtered", "digits", "cora", "citeseer", "actor")
ANEW = 5
WHOLE: Row = {"space": "paper", "epochs": EPOCHS, "patience": EPOCHS}
"""Trials of the paper's space without early stop."""


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


def opened(task: str, model: str = "gcn", **changes: Any) -> Run:
    """A run in a folder that is of nobody else."""
    run = Run(RunConfig(task=task, model=model, out=Path(tempfile.mkdtemp()) / "run", quiet=True, **changes))
    run.create()
    return run


def loop() -> Iterator[Work]:
    """Trials by this package and by the plain loop in the same process, some at a time."""
    for threads, trials in ((1, TRIALS), (2, FEW)):
        for first in range(0, trials, BLOCK):
            key = {"part": "loop", "task": "cora", "threads": threads, "first": first, "trials": BLOCK}
            yield key, partial(against_plain, "cora", threads, first)


def against_plain(task: str, threads: int, first: int) -> Row:
    """Seconds of both, which take turns, and validation scores of the same settings in points."""
    run = opened(task, threads=threads, trials=TRIALS, **WHOLE)
    order, row = sampler_of(run), {"ours_s": 0.0, "rival_s": 0.0}
    pairs = []
    with run.threaded():
        evaluate(run, "warm", order, [first])
        for number in range(first, first + BLOCK):
            with timed(row, "ours_s"):
                evaluate(run, "search", order, [number])
            trial = finished_trials(run, "search")[-1]
            with timed(row, "rival_s"):
                val = plain_loop(run.task, trial.params, EPOCHS)[0]
            if trial.value is not None:
                pairs.append([round(100 * trial.value, 2), round(100 * val, 2)])
    return {**row, "vals": pairs}


@contextmanager
def timed(row: Row, name: str) -> Iterator[None]:
    """Add the seconds of a block to a row."""
    start = time.perf_counter()
    yield
    row[name] += time.perf_counter() - start


def summed(rows: list[Row], threads: int) -> Row:
    """The blocks of a number of threads together."""
    own = [row for row in rows if row["threads"] == threads]
    ours, rival = (sum(row[name] for row in own) for name in ("ours_s", "rival_s"))
    pairs = [pair for row in own for pair in row["vals"]]
    gaps = [mine - other for mine, other in pairs]
    return {
        "threads": threads,
        "trials": sum(row["trials"] for row in own),
        "ours, s": ours,
        "PyG's loop, s": rival,
        "times faster": rival / ours,
        "difference of validation": f"{statistics.fmean(gaps):+.2f} ± {statistics.stdev(gaps) / len(gaps) ** 0.5:.2f}",
        "best": max(mine for mine, _ in pairs),
        "rival's best": max(other for _, other in pairs),
    }


def pruning() -> Iterator[Work]:
    """Epochs and winners with each pruner."""
    for seed in SEEDS:
        for pruner in PRUNERS:
            key = {"part": "pruning", "task": "cora", "trials": TRIALS, "pruner": pruner, "seed": seed}
            yield key, partial(pruned, "cora", pruner, seed)


def pruned(task: str, pruner: str, seed: int) -> Row:
    """Epochs of a search, and the mean validation score of its winner's trainings as a finalist."""
    run = opened(task, pruner=pruner, seed=seed, trials=TRIALS, **WHOLE)
    with run.threaded():
        search(run)
    return {
        "epochs": sum(trial.user_attrs["epochs"] for trial in finished_trials(run, "search")),
        "val": 100 * winner_score(run),
        "best": 100 * max(trial.value for trial in finished_trials(run, "search") if trial.value is not None),
    }


def winner_score(run: Run) -> float:
    """Mean validation score of the winner's trainings as a finalist."""
    winner, times = ranked_trials(run)[0].user_attrs["index"], run.limits.finalist_trainings
    every = [trial for trial in finished_trials(run, "finalists") if trial.user_attrs["index"] // times == winner]
    return statistics.fmean(trial.value for trial in every if trial.value is not None)


def workers() -> Iterator[Work]:
    """Processes of one thread against one process of two."""
    for count, threads in CREWS:
        key = {"part": "workers", "task": "cora", "trials": SOME, "workers": count, "threads": threads}
        yield key, partial(by_crew, "cora", count, threads)


def by_crew(task: str, count: int, threads: int) -> Row:
    """Seconds of the trials of a search with the start of its processes, and its rate once they have started."""
    run = opened(task, workers=count, threads=threads, trials=SOME, **WHOLE)
    with run.threaded():
        start = time.perf_counter()
        search_space(run, SOME)
        seconds = time.perf_counter() - start
    ends = sorted(each.datetime_complete for each in finished_trials(run, "search") if each.datetime_complete)
    started = (ends[-1] - ends[count - 1]).total_seconds() / (SOME - count)
    return {"seconds": seconds, "an_hour": 3600 * SOME / seconds, "an_hour_after_the_start": 3600 / started}


def spaces() -> Iterator[Work]:
    """Winners of the paper's space and of the modern one."""
    for task in TASKS:
        for space in ("paper", "modern"):
            yield {"part": "spaces", "task": task, "trials": TRIALS, "space": space}, partial(best_of, task, space)


def best_of(task: str, space: str) -> Row:
    """Scores of the winner of a search with the median pruner, trained anew."""
    run = opened(task, space=space, trials=TRIALS, pruner="median")
    with run.threaded():
        search(run)
        found = retrain(run, TRIALS, ANEW)[1]
    tests, vals = [100 * each.test for each in found], [100 * each.val for each in found]
    return {
        "val": statistics.fmean(vals),
        "test": statistics.fmean(tests),
        "test_std": statistics.stdev(tests),
        "trainings": len(found),
        "seconds": run.seconds()["search"],
        "setting": dict(found[0].setting),
    }


PARTS: dict[str, Callable[[], Iterator[Work]]] = {
    "loop": loop,
    "pruning": pruning,
    "workers": workers,
    "spaces": spaces,
}


def tables(rows: list[Row]) -> str:
    """The rows as tables."""
    parts = {part: [row for row in rows if row.get("part") == part] for part in PARTS}
    parts["loop"] = [summed(parts["loop"], threads) for threads in sorted({row["threads"] for row in parts["loop"]})]
    hidden = ("part", "load", "setting", "trainings")
    shown = {
        part: [{k: _text(v) for k, v in row.items() if k not in hidden} for row in own] for part, own in parts.items()
    }
    return "\n\n".join(f"{part}\n\n{table(own)}" for part, own in shown.items() if own)


def _text(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Measure the missing rows, or print those that there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".jsonl"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--table", action="store_true", help="print the rows that there are")
    options = parser.parse_args()
    rows = read_lines(options.out)
    if options.table:
        print(tables(rows))
        return
    if not rows:
        add_line(options.out, {"machine": machine()})
    for part in options.parts:
        for key, measure in PARTS[part]():
            if any(key.items() <= row.items() for row in rows):
                continue
            row = {**key, "load": os.getloadavg()[0], **measure()}
            row = {name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}
            add_line(options.out, row)
            print(row, flush=True)


if __name__ == "__main__":
    main()
