"""The one call from a model and a task to the best network of a budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from gnndiff.config import RunConfig
from gnndiff.errors import ConfigError
from gnndiff.report.html import keep_report
from gnndiff.results import Results
from gnndiff.runs.folder import Run
from gnndiff.stages import run_all
from gnndiff.targets import Target, as_target
from gnndiff.targets.base import Space
from graphtasks import GraphTask
from graphtasks.files import as_path


def run(
    target: str | Target | type[Target] | Callable[..., nn.Module],
    task: str | GraphTask,
    *,
    space: Space | None = None,
    budget: str = "coarse",
    split: int = 0,
    seed: int = 0,
    threads: int | None = None,
    out: str | Path | None = None,
    **overrides: Any,
) -> Results:
    """Search hyperparameters coarsely, collect checkpoints, generate parameters from them, and compare.

    The same call with the same folder goes on where it stopped.

    Args:
        target: The model: a name, a target, or a function that builds a module as `build(task, **setting)`.
        task: The task, its name, or a folder of .npz files.
        space: Hyperparameters with their choices, such as `{"hidden": [16, 32]}`, instead of the target's own;
            ranges such as `gnndiff.Float(1e-3, 1e-2, log=True)` are choices, too. A function needs one. `optimizer`,
            `lr` and `weight_decay` are added unless it has them. Or `"modern"`, `"paper"` or `"default"`.
        budget: 'smoke' (under a minute), 'coarse' or 'full'.
        split: Index of the task's split.
        seed: Seed of everything random.
        threads: Threads of each training; by default one for small graphs, all for large ones.
        out: Run folder; by default runs/TASK-MODEL-BUDGET-splitSPLIT-seedSEED.
        **overrides: Any other field of :class:`gnndiff.RunConfig`, such as `trials=20` or `quiet=True`.

    Raises:
        ConfigError: An argument is unknown or out of range, or the target does not work on the task.
        RunFolderError: The folder holds another run.

    >>> import tempfile
    >>> from torch_geometric.nn.models import GCN
    >>> def build(task, hidden):
    ...     return GCN(task.num_features, hidden, num_layers=2, out_channels=task.num_classes)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tiny = dict(trials=2, epochs=3, initialisations=2, settings=1, generator_steps=5, candidates=4)
    ...     results = run(build, "wine", space={"hidden": [4, 8]}, budget="smoke", out=folder, quiet=True, **tiny)
    ...     sorted(results.best.state_dict)
    ['convs.0.bias', 'convs.0.lin.weight', 'convs.1.bias', 'convs.1.lin.weight']
    """
    known = {entry.name for entry in dataclasses.fields(RunConfig)} - {"task", "model"}
    unknown = [name for name in overrides if name not in known]
    if unknown:
        raise ConfigError(f"gnndiff.run does not take {unknown[0]!r}: it takes {', '.join(sorted(known))}")
    if isinstance(space, str):
        overrides["space"], space = space, None
    if not isinstance(task, str | GraphTask):
        raise ConfigError(
            f"got a task of type {type(task).__name__}, expected a GraphTask, a name, or a folder of .npz files"
        )
    own_target = None if isinstance(target, str) else as_target(target, space)
    own_task = None if isinstance(task, str) else task
    config = RunConfig(
        task=task if isinstance(task, str) else task.name,
        model=target if isinstance(target, str) else own_target.name,  # type: ignore[union-attr]
        budget=budget,
        split=split,
        seed=seed,
        threads=threads,
        out=None if out is None else as_path(out),
        **overrides,
    )
    opened = Run(config, target=own_target, task=own_task, space=space)
    opened.create()
    with opened.locked():
        data = run_all(opened)
        keep_report(opened)
    return Results(opened.folder, data)
