"""What every benchmark of scores has in common: its arguments, one comparison a task, its rows and its table.

Each model is tuned with the same number of trials of the same sampler within the same time, and its best setting is
then trained on all splits, or where a task has one split, from several initialisations.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import THREADS, Row, machine, table

import graphtasks
from gnndiff.errors import ConfigError
from gnndiff.targets import Space, Target
from graphtasks import Comparison, Contender, FitConfig, GraphTask, GraphTasksError
from graphtasks.comparison import metric_of
from graphtasks.metrics import metric as find_metric
from graphtasks.registry import CATALOGUE, find
from graphtasks.task import KINDS, Kind

Factory = Callable[[GraphTask], Contender]

# What a row takes over from the run as it is.
FIELDS = ("model", "metric", "direction", "split", "seed", "val", "test", "parameters", "seconds", "tried", "status")


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
        doc: What the script measures.
        tasks: Tasks by default, each `name`, `name:protocol` or either with options of the task, as
            `ring-transfer:hops=20`.
        models: For each name the function that makes a contender for a task.
        config: Training settings where a contender's space has no others. Batches are those of tasks of many graphs.
        kinds: What tasks may predict.
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
    parser.add_argument(
        "--tasks",
        nargs="+",
        type=partial(_known, kinds=kinds),
        default=list(tasks),
        help="name, name:protocol, name:option=integer",
    )
    parser.add_argument("--models", nargs="+", choices=list(models), default=list(models))
    parser.add_argument("--trials", type=_positive, default=trials, help="settings that are tried of each model")
    parser.add_argument("--splits", type=_positive, help="the first n splits of each task, by default all")
    parser.add_argument("--seeds", type=_positive, default=seeds, help="initialisations on tasks of one split")
    parser.add_argument("--seconds", type=float, default=seconds, help="limit of the tuning of one model on one task")
    parser.add_argument("--threads", type=_positive, default=THREADS)
    parser.add_argument("--out", type=Path, default=Path(f"{Path(sys.argv[0]).stem}.json"), help="a .jsonl beside it")
    arguments = parser.parse_args(argv)
    protocol = {
        **{name: getattr(arguments, name) for name in ("trials", "splits", "seeds", "seconds")},
        "tuning_splits": list(tuning_splits),
        "tuning_seeds": tuning_seeds,
        "tune_once": None if tune_once is None else tune_once.__name__,
        "config": dataclasses.asdict(config),
        **({"metrics": list(metrics)} if metrics else {}),
    }
    try:
        rows = _kept(arguments.out, protocol)
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(arguments.threads)
    for label in arguments.tasks:
        try:
            new = run(
                label,
                {name: models[name] for name in arguments.models},
                config=config,
                trials=arguments.trials,
                splits=arguments.splits,
                seeds=arguments.seeds,
                seconds=arguments.seconds,
                tuning_splits=tuning_splits,
                tuning_seeds=tuning_seeds,
                tune_once=tune_once,
                path=arguments.out.with_suffix(".jsonl"),
                metrics=metrics,
            )
        except (ConfigError, GraphTasksError) as error:
            parser.error(str(error))
        replaced = {_which(row) for row in new}
        rows = [row for row in rows if _which(row) not in replaced] + new
        out = {"machine": {**machine(), "threads": arguments.threads}, "protocol": protocol, "rows": rows}
        arguments.out.write_text(json.dumps(out, indent=1, allow_nan=False) + "\n")
    print(table(summary(rows, ours)))
    return rows


def own(target: Target, task: GraphTask) -> Space:
    """The hyperparameters of a target that not all targets have."""
    common = ("dropout", "hidden", "decoder")
    return {name: choices for name, choices in target.space(task).items() if name not in common}


def run(
    label: str,
    models: Mapping[str, Factory],
    *,
    config: FitConfig,
    trials: int,
    splits: int | None,
    seeds: int,
    seconds: float | None,
    tuning_splits: Sequence[int],
    tuning_seeds: int,
    tune_once: Callable[[GraphTask], bool] | None,
    path: Path,
    metrics: Sequence[str],
) -> list[Row]:
    """The rows of the final runs of all models on one task; see :func:`main`."""
    name, protocol, options = named(label)
    task = graphtasks.load(name, split=protocol, **options)
    count = len(task.splits)
    if tune_once is not None and tune_once(task):
        tuning_splits, tuning_seeds = (0,), 1
    comparison = graphtasks.compare(
        [dataclasses.replace(make(task), name=model) for model, make in models.items()],
        [task],
        splits=range(min(count, splits or count)),
        seeds=range(seeds if count == 1 else 1),
        trials=trials,
        config=config if task.many else dataclasses.replace(config, batch_size=None),
        tuning_splits=[split for split in tuning_splits if split < count] or [0],
        tuning_seeds=range(tuning_seeds if count == 1 else 1),
        seconds=seconds,
        path=path,
        callback=lambda row: print(_line(row), file=sys.stderr, flush=True),
        metrics=metrics,
    )
    runs, processor = comparison.runs.astype(object), machine()["processor"]
    rows = runs.where(runs.notna(), None).to_dict("records")
    return [
        {
            "task": ":".join([name, *(f"{option}={value}" for option, value in options.items())]),
            "protocol": protocol,
            **{field: row[field] for field in FIELDS},
            "processor": processor,  # the limit of time makes scores depend on it
            "setting": json.loads(row["setting"]),
            **({"others": json.loads(row["others"])} if metrics else {}),
        }
        for row in rows
    ]


def summary(rows: Sequence[Row], ours: str | None = None) -> list[Row]:
    """One row for each metric on each task: mean and deviation of each model, those of the best one in bold.

    `ahead` is by how much the model `ours` is better than the best of the others on the same split and seed, in the
    mean, and the 95 % bootstrap interval of that, see :meth:`graphtasks.Comparison.differences`. Metrics between 0 and
    1 are in percent. A model of which a run failed has no score.
    """
    import pandas as pd

    table_rows = []
    models = list(dict.fromkeys(row["model"] for row in rows))
    scored = [entry for row in rows for entry in _scores(row)]
    for task, protocol, metric in dict.fromkeys((row["task"], row["protocol"], row["metric"]) for row in scored):
        part = [row for row in scored if (row["task"], row["protocol"], row["metric"]) == (task, protocol, metric)]
        columns = ("task", "protocol", "model", "metric", "direction", "split", "seed", "val", "test")
        comparison = Comparison(pd.DataFrame([{name: row[name] for name in columns} for row in part]))
        sign, share = metric_of(part[0]).sign, metric_of(part[0]).is_share
        scores = comparison.summary().set_index("model")
        means = (sign * scores["mean"]).dropna()
        cells = dict.fromkeys(models, "")
        for model in means.index:
            text = _score(float(scores["mean"][model]), float(scores["std"][model]), share)
            cells[model] = f"**{text}**" if means[model] == means.max() else text
        ahead = ""
        if ours in means.index and len(means) > 1:
            rival = str(means.drop(ours).idxmax())
            paired = comparison.differences(rival).set_index("model").to_dict("index")[ours]
            low, high = (_number(paired[end], share) for end in ("low", "high"))
            ahead = _number(paired["difference"], share) + (f" ({low} to {high})" if low else "")
        runs = int(scores["count"].max())
        row = {"task": task, "protocol": protocol, "metric": metric, "runs": runs, **cells}
        table_rows.append(row if ours is None else row | {f"{ours} ahead": ahead})
    return table_rows


def _scores(row: Row) -> list[Row]:
    """The row, and one for each further metric."""
    others = row.get("others", {}).items()
    return [
        row,
        *({**row, "metric": name, "direction": find_metric(name).direction, "test": test} for name, test in others),
    ]


def named(label: str) -> tuple[str, str, dict[str, Any]]:
    """Name, protocol and options of a task that is written `name`, for its first protocol, `name:protocol`, or either
    with `:option=integer` behind it for each option."""
    name, *parts = label.split(":")
    name = find(name)
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    protocol = ":".join(part for part in parts if "=" not in part)
    return name, protocol or CATALOGUE[name].protocols[0], {option: int(value) for option, value in options.items()}


def _known(label: str, kinds: Sequence[Kind]) -> str:
    try:
        name, protocol, options = named(label)
    except (GraphTasksError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if protocol not in CATALOGUE[name].protocols and not protocol.endswith(".npz"):
        known = ", ".join(CATALOGUE[name].protocols)
        raise argparse.ArgumentTypeError(f"{name!r} has no split protocol {protocol!r}: use one of {known}")
    if CATALOGUE[name].kind not in kinds:
        raise argparse.ArgumentTypeError(
            f"{name!r} is of kind {CATALOGUE[name].kind!r}: this benchmark is one of {' and '.join(kinds)}"
        )
    known_options = list(inspect.signature(CATALOGUE[name].load).parameters)[2:]
    unknown = [option for option in options if option not in known_options]
    if unknown:
        takes = ", ".join(known_options) or "none"
        raise argparse.ArgumentTypeError(f"{name!r} does not take the option {unknown[0]!r}: it takes {takes}")
    return label


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"got {value}, expected at least 1")
    return value


def _kept(path: Path, protocol: Mapping[str, Any]) -> list[Row]:
    """The rows that a file has, or a `ValueError` where they were measured in another way."""
    if not path.exists():
        return []
    stored = json.loads(path.read_text())
    wanted = json.loads(json.dumps(protocol))
    changed = [name for name in wanted if stored["protocol"].get(name) != wanted[name]]
    if changed:
        raise ValueError(
            f"{path} has rows of another protocol ({', '.join(changed)} differ): choose another --out, or delete it; "
            "trainings in the .jsonl file stay usable"
        )
    rows: list[Row] = stored["rows"]
    return rows


def _which(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["task"], row["protocol"], row["model"]


def _line(row: Mapping[str, Any]) -> str:
    scores = " ".join(f"{part} {row[part]}" for part in ("val", "test") if row.get(part) is not None)
    what = f"{row['task']} {row['model']} {row['phase']}, split {row['split']}, seed {row['seed']}"
    status = "" if row["status"] == "ok" else f" {row['status']}"
    return f"{what}: {scores}{status}, {row['seconds']:.1f} s {row['setting']}"


def _score(mean: float, deviation: float, share: bool) -> str:
    """Mean and deviation with the same decimals; the mean alone where one run has no deviation."""
    text = _number(mean, share)
    return text if math.isnan(deviation) else f"{text} ± {deviation * (100 if share else 1):.{_decimals(text)}f}"


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _number(value: float, share: bool) -> str:
    """Percent with two decimals, or four digits; nothing for NaN."""
    if math.isnan(value):
        return ""
    return f"{round(100 * value, 2) + 0.0:.2f}" if share else f"{value + 0.0:#.4g}"
