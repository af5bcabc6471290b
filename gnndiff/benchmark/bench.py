"""The table of many models on many tasks, each tuned with the same effort."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout

from gnndiff.benchmark.labels import Label, Loader, check_kind, check_loaded
from gnndiff.benchmark.machine import machine
from gnndiff.benchmark.protocol import Protocol, sentence
from gnndiff.benchmark.rows import COLUMNS, Files, Row, check_table, read_rows, which, write_rows
from gnndiff.benchmark.summary import differences, summary
from gnndiff.benchmark.units import Factory, FromTarget, Training, Unit, gather, hand_out, part_of
from gnndiff.errors import BenchError, ConfigError
from gnndiff.files import write_text
from gnndiff.report.markdown import table
from gnndiff.resolve import find_target
from gnndiff.targets import Target, as_target
from gnndiff.workers import Failure, work
from graphtasks import Comparison, FitConfig, GraphTask
from graphtasks.files import as_path, explained
from graphtasks.ledger import read_lines
from graphtasks.metrics import metric as find_metric
from graphtasks.report import check_ours, write_page
from graphtasks.task import KINDS, Kind
from graphtasks.values import shown, texts, whole

Model = str | Target | type[Target]


@dataclass(frozen=True)
class Benchmark:
    """Rows of a benchmark and its table.

    Args:
        rows: One for each model, task, split and seed: scores, setting and seconds.
        protocol: How they were measured.
        ours: The model that the table compares with the best of the others.
    """

    rows: list[Row] = field(repr=False)
    protocol: Mapping[str, Any]
    ours: str | None = None

    def to_markdown(self) -> str:
        """The table of means, and where there are several models that of paired differences."""
        if not self.rows:
            return ""
        parts = [sentence(self.protocol), table(summary(self.rows, self.ours))]
        paired = differences(self.rows)
        if paired:
            told = (
                "By how much the best is ahead of each other one: mean difference on the same splits and seeds, with "
                "its 95 % bootstrap interval. Where that contains 0, the two cannot be told apart."
            )
            parts += [told, table(paired)]
        return "\n\n".join(parts)

    def to_html(self) -> str:
        """The page of :meth:`graphtasks.Comparison.to_html` for these rows."""
        import pandas as pd

        return Comparison(pd.DataFrame(self.rows)).to_html()


def bench(
    tasks: Sequence[Label],
    models: Sequence[Model],
    *,
    trials: int = 16,
    splits: int | None = None,
    seeds: int = 10,
    seconds: float | None = None,
    tuning_splits: int = 2,
    metrics: Sequence[str] = (),
    space: Literal["default", "paper", "modern"] = "default",
    ours: str | None = None,
    workers: int = 1,
    threads: int | None = None,
    out: str | Path = "table",
    root: str | Path | None = None,
    config: FitConfig | None = None,
    quiet: bool = False,
) -> Benchmark:
    """Tune models on tasks with the same effort each, and write a table of their test scores with paired intervals.

    At most `trials` settings of each model's space are drawn by the same sampler, and the one that validates best on
    the tuning splits is trained on all splits, see :func:`graphtasks.compare`. The same call goes on where it stopped,
    and one with more tasks or models adds to the table.

    Args:
        tasks: Tasks, or their labels: names, `name:protocol`, either with `:option=number`, folders of .npz files, or
            `FILE.py:FUNCTION`.
        models: Targets, their names, or `FILE.py:NAME`.
        trials: Upper limit of settings of each model on each task.
        splits: The first so many splits of each task, by default all.
        seeds: Initialisations of final runs on tasks of one split.
        seconds: Limit of the tuning of one model on one task.
        tuning_splits: The first so many splits that tuning trains on; initialisations on tasks of one split.
        metrics: Further metrics of the test scores, by which nothing is chosen.
        space: Spaces of the targets: their own, those of the GNN-Diff paper (https://arxiv.org/abs/2410.05697), or
            modern ones.
        ours: The model that the table compares with the best of the others.
        workers: Processes, of which each takes one model on one task after another. Scores are the same for any number.
        threads: Threads of each training; by default one for small graphs, all for large ones.
        out: Name of the files: OUT.json has the rows, OUT.md the table, OUT.html the report and OUT.jsonl all
            trainings.
        root: Folder of raw data files.
        config: Training settings where a space has no others, by default 200 epochs and a patience of 40.
        quiet: Print no line for each training.

    Returns:
        All rows of the file.

    Raises:
        ConfigError: A model is unknown or does not work on a task, a number is too small, or the files at `out` are of
            another benchmark. It is raised before the first training.
        GraphTasksError: A task is unknown or cannot be loaded.
        BenchError: Trainings of a model failed with an error, after those of the others ended.

    >>> import tempfile
    >>> from graphtasks import Comparison, FitConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = f"{folder}/table"
    ...     small = dict(trials=1, splits=1, config=FitConfig(epochs=2), quiet=True)
    ...     result = bench(["karate"], ["mlp", "gcn"], out=out, **small)
    >>> [(row["task"], row["model"], row["status"]) for row in result.rows]
    [('karate', 'mlp', 'ok'), ('karate', 'gcn', 'ok')]
    """
    tuning_splits = whole("tuning_splits", tuning_splits, 1, error=ConfigError)
    if space not in ("default", "paper", "modern"):
        raise ConfigError(f"no space is called {space!r}: use default, paper or modern")
    protocol = Protocol(
        trials=trials,
        splits=splits,
        seeds=seeds,
        seconds=seconds,
        tuning_splits=tuple(range(tuning_splits)),
        tuning_seeds=tuning_splits,
        config=FitConfig(epochs=200, patience=40) if config is None else config,
        metrics=tuple(texts("metrics", metrics, error=ConfigError)),
        space=space,
    )
    for what, given, one in (("tasks", tasks, "karate"), ("models", models, "gcn")):
        if isinstance(given, str | bytes) or not isinstance(given, Sequence):
            raise ConfigError(f"got {what}={given!r}, expected several, such as [{one!r}]")
    found = [_named(model, space) for model in models]
    names = [name for name, _ in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"two models are called {twice[0]!r}: leave one out, or give it another name")
    if ours is not None and ours not in names:
        raise ConfigError(f"got ours={ours!r}, expected one of {', '.join(names)}")
    return measure(
        tasks,
        dict(found),
        protocol,
        ours=ours,
        workers=workers,
        threads=threads,
        out=as_path(out),
        root=None if root is None else as_path(root),
        quiet=quiet,
    )


def measure(
    tasks: Sequence[Label],
    models: Mapping[str, Factory],
    protocol: Protocol,
    *,
    kinds: Sequence[Kind] = KINDS,
    ours: str | None = None,
    workers: int = 1,
    threads: int | None = None,
    out: Path = Path("table"),
    root: Path | None = None,
    quiet: bool = False,
) -> Benchmark:
    """A benchmark of models by name, each a function that makes its contender for a task; see :func:`bench`.

    Args:
        tasks: Tasks or their labels.
        models: For each name the function.
        protocol: The effort.
        kinds: Kinds of tasks that may be named.
        ours, workers, threads, out, root, quiet: As for :func:`bench`.
    """
    for name, number in (("workers", workers), ("threads", threads)):
        if number is not None:
            whole(name, number, 1, error=ConfigError)
    files, record = Files(out), protocol.record()
    read_rows(files.rows, record, COLUMNS)
    check_table(files.table)
    check_ours(files.page)
    loader = Loader(root)
    check(tasks, models, protocol, kinds, loader)
    training = Training(protocol, loader, threads, quiet)
    with _held(files):
        rows = read_rows(files.rows, record, COLUMNS)
        if files.ledger.exists():
            read_lines(files.ledger)
        gather(files)
        units = [
            Unit(task, name, make, files.ledger if workers == 1 else part_of(files, task, name))
            for task in tasks
            for name, make in models.items()
        ]
        described = machine(threads or f"1 for small graphs, else {torch.get_num_threads()}")
        done: dict[int, list[Row]] = {}
        failed: dict[int, Failure] = {}
        try:
            if workers > 1:
                hand_out(files, units)
            with closing(work(training, units, workers)) as outcomes:
                for index, outcome in outcomes:
                    if isinstance(outcome, Failure):
                        failed[index] = outcome
                        continue
                    done[index] = outcome
                    write_rows(files.rows, described, record, _merged(rows, done))
        finally:
            gather(files)
        result = Benchmark(_merged(rows, done), record, ours)
        write_text(files.table, result.to_markdown() + "\n")
        if result.rows:
            write_page(files.page, result.to_html())
    if failed:
        told = "; ".join(f"{units[index].name}: {failure.message}" for index, failure in sorted(failed.items()))
        raise BenchError(f"{len(failed)} of {len(units)} have no rows in {files.rows}: {told}")
    return result


def check(
    tasks: Sequence[Label], models: Mapping[str, Factory], protocol: Protocol, kinds: Sequence[Kind], loader: Loader
) -> None:
    """Load each task and make each contender once, so that what cannot be done is known before the first training."""
    for task in tasks:
        if not isinstance(task, str | GraphTask):
            raise ConfigError(f"got {shown(task)} as a task, expected a GraphTask or its label")
        check_kind(task, kinds)
    for name in protocol.metrics:
        find_metric(name)
    seen: set[tuple[str, str]] = set()
    for task in tasks:
        labelled = loader(task)
        check_loaded(labelled.task, kinds)
        which_task = labelled.name, labelled.protocol
        if which_task in seen:
            raise ConfigError(f"two tasks are called {labelled.name!r}: leave one out, or give it another name")
        seen.add(which_task)
        for name in protocol.metrics:
            labelled.task.replace(metric=find_metric(name))
        for make in models.values():
            make(labelled.task)
    if not tasks or not models:
        raise ConfigError("a benchmark needs at least one task and one model")


def _named(model: Model, space: str) -> tuple[str, Factory]:
    """A model's name in the table, and what makes its contender."""
    if isinstance(model, str):
        return find_target(model).name, FromTarget(model, space)
    target = as_target(model)
    return target.name, FromTarget(target, space)


def _merged(rows: Sequence[Row], done: Mapping[int, list[Row]]) -> list[Row]:
    """Earlier rows but those that were measured again, and these in the order of their units."""
    new = [row for index in sorted(done) for row in done[index]]
    replaced = {which(row) for row in new}
    return [row for row in rows if which(row) not in replaced] + new


@contextmanager
def _held(files: Files) -> Iterator[None]:
    """Hold the files of a benchmark against other processes."""
    lock = FileLock(files.lock)
    try:
        with explained(files.lock, "lock"):
            files.lock.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
    except Timeout as error:
        reason = f"another process works on {files.rows}: wait for its end"
        if not files.lock.exists():  # as in /proc, where no file can be made
            reason = f"no file can be made in {files.lock.parent}: make that possible"
        raise ConfigError(f"{reason}, or choose another --out") from error
    try:
        yield
    finally:
        lock.release()
