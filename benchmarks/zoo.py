"""Zoos: whether members may be averaged, soups against the mean of single trainings, and the speed of storage.

    python benchmarks/zoo.py --tasks digits cora --models gcn

A cell is a search, the default zoo of its winner, and the soup of all members that may be averaged, beside the mean of
the best checkpoints of its trainings. Cells of the file are not run again. Nothing is chosen by test scores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from measure import add_line, machine, read_lines

import gnndiff
from gnndiff.config import RunConfig
from gnndiff.runs.collect import collect, load_zoo
from gnndiff.runs.folder import Run
from gnndiff.search import search
from gnndiff.zoo.store import Addition, CheckpointStore

TASKS = ("digits", "cora", "citeseer", "chameleon-filtered", "actor", "texas")
MODELS = ("gcn", "mlp", "sage")
CHECKPOINTS, PARAMETERS, READ = 1000, 100_000, 100


def cell(
    task: str, model: str, zoo: Literal["independent", "branches", "paper"], options: dict[str, Any]
) -> dict[str, Any]:
    """Barriers and scores of one zoo, in points."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(task=task, model=model, zoo=zoo, out=Path(folder) / "run", quiet=True, **options)
        run = Run(config)
        with run.threaded():
            search(run)
            collect(run)
            found = load_zoo(run)
            shape, metric = found.geometry(), found.metric
            best = found.best_of_each()
            singles = {part: statistics.fmean(found.score(best, part)) for part in ("val", "test")}
            soup, greedy = found.soup().unsqueeze(0), found.greedy_soup().unsqueeze(0)
            ensemble = found.greedy_ensemble()
            row = {
                "task": task,
                "model": model,
                "zoo": zoo,
                **options,
                "metric": metric.name,
                "setting": found.setting,
                "trainings": len(best),
                "good": sum(shape.good),
                "barrier": 100 * shape.barrier,
                "midpoints": 100 * shape.midpoints,
                "val_fall": 100 * (singles["val"] - found.score(soup)[0]),
                "spread": shape.spread,
                "rank": shape.effective_rank,
                "outside": shape.outside,
                "singles": 100 * singles["test"],
                "soup": 100 * found.score(soup, "test")[0],
                "greedy_soup": 100 * found.score(greedy, "test")[0],
                "ensemble": 100 * found.ensemble_score(best, "test"),
                "greedy_ensemble": 100 * found.ensemble_score(ensemble, "test"),
            }
    row["gain"] = row["soup"] - row["singles"]
    return {**row, "seconds": time.perf_counter() - start}


def storage(siblings: int) -> dict[str, Any]:
    """Seconds of 1,000 checkpoints of 100,000 parameters, and of the 100 best of them, beside `torch.save` of each.

    They are written one training after the other and in batches, the rival's with and without the disk.
    """
    rng = torch.Generator().manual_seed(0)
    states = [{"0.weight": torch.randn(300, 300, generator=rng), "1.weight": torch.randn(10_000)} for _ in range(10)]
    fixed = {"setting": {"lr": 0.01}, "root": 0, "seed": 0, "epoch": 0, "split_hash": "none", "seconds": 1.0}
    trainings: list[Addition] = []
    for member in range(CHECKPOINTS // siblings):
        vals = [(7 * (member * siblings + i) % CHECKPOINTS) / CHECKPOINTS for i in range(siblings)]
        trainings.append((member, [states[i % 10] for i in range(siblings)], [{**fixed, "val": val} for val in vals]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        single, store = CheckpointStore(folder / "single"), CheckpointStore(folder / "zoo")
        row = {"storage": f"{siblings} checkpoints a training"}
        with timed(row, "write"):
            for training in trainings:
                single.add(*training)
        with timed(row, "write_batches"):
            store.add_all(trainings)
        with timed(row, "torch_save"):
            for i in range(CHECKPOINTS):
                torch.save(states[i % 10], folder / f"{i}.pt")
        with timed(row, "torch_save_to_disk"):
            for i in range(CHECKPOINTS):
                with (folder / f"{i}.synced.pt").open("wb") as file:
                    torch.save(states[i % 10], file)
                    file.flush()
                    os.fsync(file.fileno())
        with timed(row, "read"):
            for checkpoint in sorted(store.checkpoints(), key=lambda each: -each.val)[:READ]:
                store.read(checkpoint)
        with timed(row, "torch_load"):
            for i in range(READ):
                torch.load(folder / f"{i}.pt", weights_only=True)
    return row


@contextmanager
def timed(row: dict[str, Any], name: str) -> Iterator[None]:
    """Write the seconds of a block into a row."""
    start = time.perf_counter()
    yield
    row[name] = time.perf_counter() - start


def main() -> None:
    """Run the cells that the file has not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--zoo", default="branches")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--settings", type=int, default=3)
    parser.add_argument("--initialisations", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", type=int, default=0)
    parser.add_argument("--storage", action="store_true", help="the speed of storage alone")
    parser.add_argument("--out", type=Path, default=Path("zoo.jsonl"))
    arguments = parser.parse_args()
    rows = read_lines(arguments.out)
    if not rows:
        add_line(arguments.out, {"machine": machine(), "version": gnndiff.__name__})
    if arguments.storage:
        work = [({"storage": f"{n} checkpoints a training"}, partial(storage, n)) for n in (10, 4, 1)]
    else:
        names = ("trials", "settings", "initialisations", "seed", "split")
        options = {name: getattr(arguments, name) for name in names}
        work = [
            (
                {"task": task, "model": model, "zoo": arguments.zoo, **options},
                partial(cell, task, model, arguments.zoo, options),
            )
            for model in arguments.models
            for task in arguments.tasks
        ]
    for key, measure in work:
        if any(key.items() <= row.items() for row in rows):
            continue
        row = {name: round(value, 4) if isinstance(value, float) else value for name, value in measure().items()}
        add_line(arguments.out, row)
        print(row, flush=True)


if __name__ == "__main__":
    main()
