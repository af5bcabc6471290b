"""Arguments that every benchmark of scores takes, which are presets of :func:`gnndiff.bench`.

Each model is tuned with the same number of trials of the same sampler within the same time, and its best setting is
then trained on all splits, or where a task has one split, from several initialisations.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import Row

from gnndiff.benchmark.bench import measure
from gnndiff.benchmark.protocol import Protocol
from gnndiff.benchmark.summary import summary
from gnndiff.benchmark.units import Factory
from gnndiff.errors import BenchError, ConfigError
from gnndiff.report.markdown import table
from gnndiff.targets import Space, Target
from graphtasks import FitConfig, GraphTask, GraphTasksError
from graphtasks.task import KINDS, Kind


def main(
    doc: str | None,
    *,
    tasks: Sequence[str],
    models: Mapping[str, Factory],
    config: FitConfig,
    kinds: Sequence[Kind] = KINDS,
    trials: int = 10,
    tuning_splits: Sequence[int] = (0, 1),
    tuning_seeds: int = 1,
    tune_once: Callable[[GraphTask], bool] | None = None,
    seeds: int = 10,
    seconds: float | None = None,
    metrics: Sequence[str] = (),
    ours: str | None = None,
    argv: Sequence[str] | None = None,
) -> list[Row]:
    """Run what the command line asks for, print the table and write the rows.

    Trainings are kept in a .jsonl file beside the rows and are not run again. Rows of other tasks and models that the
    file has already stay there if they were measured in the same way.

    Args:
        doc: Description of the script.
        tasks: Tasks by default, each `name`, `name:protocol` or either with options of the task, as
            `ring-transfer:hops=20`.
        models: For each name the function that makes a contender for a task.
        config: Training settings where a contender's space has no others. Batches are those of tasks of many graphs.
        kinds: Kinds of tasks that may be named.
        trials: Upper limit of settings by default.
        tuning_splits: Splits that tuning trains on, where a task has them.
        tuning_seeds: Initialisations of which tuning takes the mean, on tasks of one split.
        tune_once: Whether on a task tuning trains a setting once, whatever the two above are.
        seeds: Initialisations by default, on tasks of one split.
        seconds: Time limit of the tuning of one model on one task by default.
        metrics: Further metrics of the test scores, by which nothing is chosen.
        ours: The model that the table compares with the best of the others.
        argv: Arguments, by default those of the command line.

    Returns:
        The rows of the file.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(tasks), help="name, name:protocol, name:option=number")
    parser.add_argument("--models", nargs="+", choices=list(models), default=list(models))
    parser.add_argument("--trials", type=int, default=trials, help="settings that are tried of each model")
    parser.add_argument("--splits", type=int, help="the first n splits of each task, by default all")
    parser.add_argument("--seeds", type=int, default=seeds, help="initialisations on tasks of one split")
    parser.add_argument("--seconds", type=float, default=seconds, help="limit of the tuning of one model on one task")
    parser.add_argument("--workers", type=int, default=1, help="processes, each at one model on one task")
    parser.add_argument("--threads", type=int, help="of each training, by default one for small graphs")
    parser.add_argument("--out", type=Path, default=Path(f"{Path(sys.argv[0]).stem}.json"), help="a .jsonl beside it")
    arguments = parser.parse_args(argv)
    try:
        result = measure(
            arguments.tasks,
            {name: models[name] for name in arguments.models},
            Protocol(
                trials=arguments.trials,
                splits=arguments.splits,
                seeds=arguments.seeds,
                seconds=arguments.seconds,
                tuning_splits=tuple(tuning_splits),
                tuning_seeds=tuning_seeds,
                tune_once=tune_once,
                config=config,
                metrics=tuple(metrics),
            ),
            kinds=kinds,
            ours=ours,
            workers=arguments.workers,
            threads=arguments.threads,
            out=arguments.out,
        )
    except (BenchError, ConfigError, GraphTasksError) as error:
        parser.error(str(error))
    print(table(summary(result.rows, ours)))
    return result.rows


def grid(space: Space) -> dict[str, Sequence[Any]]:
    """A space of choices alone, as contenders have them."""
    return {name: choices for name, choices in space.items() if isinstance(choices, Sequence)}


def own(target: Target, task: GraphTask) -> Space:
    """The hyperparameters of a target that not all targets have."""
    common = ("dropout", "hidden", "decoder")
    return {name: choices for name, choices in target.space(task).items() if name not in common}
