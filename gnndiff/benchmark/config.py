"""Options of a benchmark on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class BenchConfig:
    """A table of models on tasks, each tuned with the same effort.

    Args:
        tasks: Names (`graphtasks list` shows all), NAME:PROTOCOL, either with :OPTION=NUMBER, folders of .npz files, or
            FILE.py:FUNCTION.
        models: Names of targets (`gnndiff targets` shows all), or FILE.py:NAME of your own.
        trials: Upper limit of settings that are tried of each model on each task.
        splits: The first so many splits of each task, by default all.
        seeds: Initialisations of final runs on tasks of one split.
        seconds: Limit of the tuning of one model on one task.
        tuning_splits: The first so many splits that tuning trains on; initialisations on tasks of one split.
        metrics: Further metrics of the test scores, by which nothing is chosen.
        space: Hyperparameters that are tuned: default, modern, or those of the GNN-Diff paper.
        ours: The model that the table compares with the best of the others.
        workers: Processes, of which each takes one model on one task after another.
        threads: Threads of each training; by default one for small graphs, all for large ones.
        out: Name of the files: OUT.json, OUT.md, OUT.html and the trainings in OUT.jsonl.
        root: Folder of raw data files; by default $GRAPHTASKS_ROOT, else the cache folder.
        epochs: Epochs of each training at most.
        patience: Epochs without a better validation score that end a training.
        batch_size: Graphs or snapshots in a batch, on tasks of many graphs.
        quiet: No line for each training.
    """

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    trials: int = 16
    splits: int | None = None
    seeds: int = 10
    seconds: float | None = None
    tuning_splits: int = 2
    metrics: tuple[str, ...] = ()
    space: Literal["default", "paper", "modern"] = "default"
    ours: str | None = None
    workers: int = 1
    threads: int | None = None
    out: Path = Path("table")
    root: Path | None = None
    epochs: int = 200
    patience: int = 40
    batch_size: int | None = None
    quiet: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of :func:`gnndiff.bench` that it stands for."""
        from graphtasks import FitConfig  # not with the command line, which answers before torch is there

        arguments = dict(vars(self))
        fit = {name: arguments.pop(name) for name in ("epochs", "patience", "batch_size")}
        return {**arguments, "config": FitConfig(**fit)}
