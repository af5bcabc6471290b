"""Comparisons: many models on many tasks, splits and seeds, each tuned with the same effort."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sklearn.model_selection import ParameterGrid, ParameterSampler
from torch import Tensor, nn

from graphtasks.comparison import Comparison
from graphtasks.config import FitConfig
from graphtasks.errors import FileError, InvalidDataError
from graphtasks.files import as_path
from graphtasks.ledger import Ledger
from graphtasks.metrics import metric as find_metric
from graphtasks.parallel import sensible_threads
from graphtasks.parallel import threads as limited
from graphtasks.report import check_ours, write_page
from graphtasks.splits import Part
from graphtasks.task import GraphTask
from graphtasks.training import FitResult
from graphtasks.trial import train_once
from graphtasks.values import as_seed, real, several, texts, whole

# Prepared tasks that are kept, those used last.
MAX_PREPARED = 4

TRAINING = frozenset(entry.name for entry in dataclasses.fields(FitConfig))


@dataclass(frozen=True, eq=False)
class Contender:
    """A model of a comparison, and what may be tuned of it.

    Args:
        name: Name in the table.
        build: Makes the model as `build(task, **hyperparameters)`. Its draws from the generators that
            :func:`~graphtasks.randomness.seeded` seeds follow from the run's seed.
        space: Values to try of each hyperparameter. Keys that are fields of :class:`FitConfig`, such as `lr`, go to
            training, the others to `build`. Keys that `prepare` names go to it, too, and to it alone where `build`
            does not take them. Values are numbers, text, booleans, None, or lists of them.
        prepare: Makes of a task the one that this model trains on, such as
            `lambda task: task.transform(ToUndirected())`, or for each value of a hyperparameter another one, such as
            `lambda task, rank: task.transform(AddDMDModes(rank))`. It may change features and edges, but neither
            labels, splits nor metric. A function that several contenders share is called once for a task and values,
            as long as what it made is among the last few.
        version: Text to change when `build` or `prepare` changes, so that earlier results are not taken for new ones.
    """

    name: str
    build: Callable[..., nn.Module]
    space: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    prepare: Callable[..., GraphTask] | None = None
    version: str = ""


def compare(
    contenders: Sequence[Contender],
    tasks: Sequence[GraphTask],
    *,
    splits: Sequence[int] | None = None,
    seeds: Sequence[int] = (0,),
    trials: int = 1,
    config: FitConfig | None = None,
    tuning_splits: Sequence[int] = (0,),
    tuning_seeds: Sequence[int] | None = None,
    seconds: float | None = None,
    path: str | Path | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
    metrics: Sequence[str] = (),
    threads: int | None = None,
    report: bool = True,
) -> Comparison:
    """Tune and train every model on every task under the same conditions.

    For each task and contender, `trials` settings are drawn from the contender's grid by scikit-learn's
    `ParameterSampler` with seed `config.seed`; a smaller grid is taken as a whole. Each is trained on `tuning_splits`
    with `tuning_seeds`, and the best mean validation score wins, on ties the first drawn. The winner is trained on all
    `splits` with all `seeds`. A single setting has nothing to win against and is trained on `splits` at once. Test
    scores of tuning are neither used nor kept.

    A setting that diverges, or whose score is not finite, loses, and a run that does has no score; `status` says why.
    `build` and `prepare` may raise :class:`~graphtasks.DivergedError` for such a setting, too.
    Where no setting of a contender is left, its runs on that task say so and the others go on.

    Where splits overlap, validation nodes of a tuning split are test nodes of others; list only the tuning splits in
    `splits` to rule that out.

    Args:
        contenders: The models, of different names.
        tasks: The tasks; no two share name and protocol.
        splits: Indices of splits for each task, by default all that it has.
        seeds: Seeds of initialisation and training, which stand in the place of `config.seed`.
        trials: Upper limit of settings for each task and contender.
        config: Training settings where a contender's space has no others.
        tuning_splits: Indices of the splits that tuning trains and validates on.
        tuning_seeds: Seeds of tuning, by default the first of `seeds`. Where there is one split, several make the
            choice less a matter of luck.
        seconds: Tuning of one contender on one task starts no new setting once its trainings took this long together;
            the first always runs.
        path: A JSONL file to which each training is appended as it ends. Trainings that are there already are not run
            again: those of the same task, data, protocol, metric, split, contender, version, setting, seed and training
            configuration. One process at a time writes to it. A file of anything else is refused and stays as it is.
        callback: Called with each new row once it is written, not with those that were there already.
        metrics: Names of further metrics of the test scores, see :meth:`Comparison.under`. Settings and epochs are
            chosen by the task's metric alone. Runs at `path` that lack one of them are run again.
        threads: Threads of torch; by default those of :func:`graphtasks.sensible_threads` for each task.
        report: Write the page of :meth:`Comparison.to_html` beside `path`, with the ending .html.

    Returns:
        Rows of all runs and trials, the same for the same arguments up to `seconds`, however often the comparison was
        interrupted.

    Raises:
        InvalidDataError: An argument is empty, repeated, out of range or not taken by `build` or `prepare`, or
            `prepare` changes what is compared, or the file at `path` is not of `compare`. But for `prepare` it is
            raised before the first training.
        FileError: `path` cannot be written, or another process writes to it.
    """
    contenders, tasks = list(contenders), list(tasks)
    seeds, tuning_splits = several("seeds", seeds), several("tuning_splits", tuning_splits)
    tuning_seeds = seeds[:1] if tuning_seeds is None else several("tuning_seeds", tuning_seeds)
    splits = None if splits is None else several("splits", splits)
    trials, metrics = whole("trials", trials, 1), texts("metrics", metrics)
    if seconds is not None and real("seconds", seconds) < 0:
        raise InvalidDataError(f"got seconds={seconds}, expected at least 0")
    config = FitConfig() if config is None else config
    if not isinstance(config, FitConfig):
        raise InvalidDataError(f"got a config of type {type(config).__name__}, expected FitConfig(...)")
    _check(contenders, tasks, splits, seeds, config, tuning_splits, tuning_seeds, metrics)
    page = as_path(path).with_suffix(".html") if report and path is not None else None
    if page is not None:
        if page == Path(path or ""):
            raise FileError(f"{path} is where the report goes: give the runs another ending, such as 'runs.jsonl'")
        check_ours(page)
    with Ledger(path, callback) as ledger:
        for task in tasks:
            prepared: OrderedDict[tuple[int, str], GraphTask] = OrderedDict()
            with limited(sensible_threads(task) if threads is None else threads):
                for contender in contenders:
                    _Entry(contender, task, config, ledger, prepared, metrics).run(
                        range(len(task.splits)) if splits is None else splits,
                        seeds,
                        trials,
                        [(split, seed) for split in tuning_splits for seed in tuning_seeds],
                        seconds,
                    )
    comparison = Comparison.from_rows(ledger.rows)
    if page is not None:
        write_page(page, comparison.to_html())
    return comparison


@dataclass(frozen=True, eq=False)
class _Entry:
    """One contender on one task, with what `prepare` functions made of that task last."""

    contender: Contender
    task: GraphTask
    config: FitConfig
    ledger: Ledger
    prepared: OrderedDict[tuple[int, str], GraphTask]
    metrics: Sequence[str] = ()

    def run(
        self,
        splits: Sequence[int],
        seeds: Sequence[int],
        trials: int,
        tuning: Sequence[tuple[int, int]],
        seconds: float | None,
    ) -> None:
        settings = _settings(self.contender.space, trials, self.config.seed)
        best: dict[str, Any] | None = settings[0]
        tried, reason = 1, None
        if len(settings) > 1:
            best, tried, reason = self.tune(settings, tuning, seconds)
        for split in splits:
            for seed in seeds:
                if best is None:
                    row = self.row("run", split, seed, {}) | {"setting": "null", "tried": tried}
                    status = f"none of {tried} settings finished, the last failed with {reason}"
                    none = {"val": None, "test": None, **self.others("run", None)}
                    self.ledger.add(row | none | {"seconds": 0.0, "status": status}, dict)
                else:
                    self.train("run", split, seed, best, tried=tried)

    def tune(
        self, settings: list[dict[str, Any]], tuning: Sequence[tuple[int, int]], seconds: float | None
    ) -> tuple[dict[str, Any] | None, int, str | None]:
        """The setting of the best mean validation score over pairs of split and seed, if any, how many were tried, and
        why the last failed."""
        best, best_score, spent, tried, reason = None, math.nan, 0.0, 0, None
        for setting in settings:
            if tried and seconds is not None and spent >= seconds:
                break
            tried += 1
            vals = []
            for split, seed in tuning:
                row = self.train("trial", split, seed, setting)
                spent += row["seconds"]
                if row["status"] != "ok":
                    reason = row["status"]
                    break
                vals.append(row["val"])
            else:
                score = math.fsum(vals) / len(vals)
                if self.task.metric.better(score, best_score):
                    best, best_score = setting, score
        return best, tried, reason

    def row(self, phase: str, split: int, seed: int, setting: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a row that is known before its training runs."""
        config = dataclasses.asdict(dataclasses.replace(self.config, **_of_training(setting)))
        del config["seed"]
        return {
            "phase": phase,
            "task": self.task.name,
            "protocol": self.task.protocol,
            "model": self.contender.name,
            "split": split,
            "split_hash": self.task.split(split).hash,
            "data_hash": self.task.data_hash,
            "seed": seed,
            "setting": _text(setting),
            "metric": self.task.metric.name,
            "direction": self.task.metric.direction,
            "config": _text(config),
            "version": self.contender.version,
        }

    def train(self, phase: str, split: int, seed: int, setting: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """The row of a training by `fit`."""
        metrics = self.metrics if phase == "run" else ()

        def outcome() -> dict[str, Any]:
            config = dataclasses.replace(self.config, **_of_training(setting), seed=seed)
            parts: list[Part] = ["val"] if phase == "trial" else ["val", "test"]
            trial = train_once(
                lambda task: self.contender.build(task, **_of_build(self.contender, setting)),
                self.task,
                split,
                config,
                prepare=lambda _: self.prepare(setting),
                parts=parts,
                metrics=metrics,
            )
            return {
                **{part: trial.scores.get(part) for part in parts},
                **self.others(phase, trial.result if trial.finished else None),
                "best_epoch": None if trial.result is None else trial.result.best_epoch,
                "parameters": trial.parameters,
                "seconds": trial.seconds,
                "status": trial.status,
            }

        return self.ledger.add(self.row(phase, split, seed, setting) | more, outcome, metrics)

    def others(self, phase: str, result: FitResult | None) -> dict[str, Any]:
        """Scores of the further metrics, if there are any, as one entry of a row."""
        if phase == "trial" or not self.metrics:
            return {}
        return {"others": _text(dict.fromkeys(self.metrics) if result is None else result.others)}

    def prepare(self, setting: Mapping[str, Any]) -> GraphTask:
        """The task that the contender trains on with a setting."""
        prepare = self.contender.prepare
        if prepare is None:
            return self.task
        values = {name: value for name, value in setting.items() if name in _named(prepare)}
        made_by = id(prepare), _text(values)
        if made_by not in self.prepared:
            prepared = prepare(self.task, **values)
            self.check(prepared)
            self.prepared[made_by] = prepared
            if len(self.prepared) > MAX_PREPARED:
                self.prepared.popitem(last=False)
        self.prepared.move_to_end(made_by)
        return self.prepared[made_by]

    def check(self, prepared: GraphTask) -> None:
        """Raise `InvalidDataError` where `prepare` changed the task itself, or what is compared."""
        task = self.task
        if task.replace().data_hash != task.data_hash:
            raise InvalidDataError(
                f"`prepare` of {self.contender.name!r} changes {task.name!r} itself, for all contenders: "
                "return a changed copy, as `task.transform` makes one"
            )
        if (
            prepared.metric != task.metric
            or [split.hash for split in prepared.splits] != [split.hash for split in task.splits]
            or not _same_labels(prepared, task)
        ):
            raise InvalidDataError(
                f"`prepare` of {self.contender.name!r} changes labels, splits or metric of {task.name!r}: "
                "it may change only what a model sees"
            )


def _of_training(setting: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in setting.items() if name in TRAINING}


def _of_build(contender: Contender, names: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a setting that goes to `build`: all but fields of `FitConfig`, and but what `prepare` alone takes."""
    prepared = frozenset[str]() if contender.prepare is None else _named(contender.prepare)
    taken = inspect.signature(contender.build).parameters
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in taken.values()):
        prepared = frozenset()
    return {
        name: value for name, value in names.items() if name not in TRAINING and (name not in prepared or name in taken)
    }


def _named(prepare: Callable[..., GraphTask]) -> frozenset[str]:
    """The arguments of a `prepare` beside the task that can be given by their names."""
    parameters = list(inspect.signature(prepare).parameters.values())[1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return frozenset(parameter.name for parameter in parameters if parameter.kind in named)


def _settings(space: Mapping[str, Sequence[Any]], trials: int, seed: int) -> list[dict[str, Any]]:
    """Different settings of a grid, at most `trials`."""
    grid = {name: _plain(values) for name, values in space.items()}
    return list(ParameterSampler(grid, min(trials, len(ParameterGrid(grid))), random_state=seed % 2**32))


def _plain(values: Sequence[Any]) -> list[Any]:
    """A list, of Python's own numbers where the values are an array."""
    return list(getattr(values, "tolist", lambda: values)())


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)


def _same_labels(a: GraphTask, b: GraphTask) -> bool:
    """Whether two tasks have the same labels, NaN where the other has NaN."""
    first, second = ([graph.get("y") for graph in task.graphs] for task in (a, b))
    return len(first) == len(second) and all(map(_equal, first, second))


def _equal(x: Tensor | None, y: Tensor | None) -> bool:
    if x is None or y is None:
        return x is y
    x, y = x.cpu(), y.cpu()
    return x.shape == y.shape and bool(((x == y) | (x.isnan() & y.isnan())).all())


def _check(
    contenders: Sequence[Contender],
    tasks: Sequence[GraphTask],
    splits: Sequence[int] | None,
    seeds: Sequence[int],
    config: FitConfig,
    tuning_splits: Sequence[int],
    tuning_seeds: Sequence[int],
    metrics: Sequence[str],
) -> None:
    """Raise `InvalidDataError` for whatever can be seen to be wrong before training."""
    given: dict[str, Sequence[Any]] = {
        "contenders": [contender.name for contender in contenders],
        "tasks": [(task.name, task.protocol) for task in tasks],
        "seeds": seeds,
        "tuning_splits": tuning_splits,
        "tuning_seeds": tuning_seeds,
        **({} if splits is None else {"splits": splits}),
    }
    for what, values in given.items():
        if not values:
            raise InvalidDataError(f"`{what}` is empty: give at least one")
        repeated = [value for i, value in enumerate(values) if value in values[:i]]
        if repeated:
            raise InvalidDataError(f"`{what}` has {repeated[0]!r} more than once: rename or drop one")
    for name in ("seeds", "tuning_seeds"):
        for value in given[name]:
            as_seed(name, value)
    for task in tasks:
        for index in [*tuning_splits, *(splits or [])]:
            task.split(index)
        for name in metrics:
            task.replace(metric=find_metric(name))
    for contender in contenders:
        _check_space(contender, config)


def _check_space(contender: Contender, config: FitConfig) -> None:
    name, space = contender.name, contender.space
    for parameter, values in space.items():
        if isinstance(values, str) or not (isinstance(values, Sequence) or hasattr(values, "tolist")):
            raise InvalidDataError(f"`space` of {name!r} has {parameter}={values!r}, expected a list of values to try")
        try:
            texts = [json.dumps(value) for value in _plain(values)]
        except (TypeError, ValueError) as error:
            raise InvalidDataError(
                f"the values of {parameter!r} in `space` of {name!r} cannot be written as JSON ({error}): "
                "use numbers, text, booleans, None or lists of them"
            ) from error
        if not texts or len(set(texts)) < len(texts):
            raise InvalidDataError(f"`space` of {name!r} has {parameter}={values!r}, expected different values")
        if parameter == "seed":
            raise InvalidDataError(f"`space` of {name!r} has 'seed', which is no hyperparameter: use `seeds`")
        if parameter in TRAINING:
            for value in _plain(values):
                dataclasses.replace(config, **{parameter: value})
    if contender.prepare is not None:
        arguments = [parameter for parameter in space if parameter in _named(contender.prepare)]
        try:
            inspect.signature(contender.prepare).bind(None, **dict.fromkeys(arguments))
        except TypeError as error:
            raise InvalidDataError(
                f"tasks of {name!r} cannot be prepared as {_call('prepare', arguments)}, {error}: `space` needs those "
                "arguments of `prepare` that have no default"
            ) from error
    arguments = list(_of_build(contender, dict.fromkeys(space)))
    try:
        inspect.signature(contender.build).bind(None, **dict.fromkeys(arguments))
    except TypeError as error:
        raise InvalidDataError(
            f"{name!r} cannot be built as {_call('build', arguments)}, {error}: `space` needs those arguments of "
            "`build` that have no default, and no others but fields of FitConfig "
            f"({', '.join(sorted(TRAINING - {'seed'}))}) and arguments of `prepare`"
        ) from error


def _call(function: str, arguments: Sequence[str]) -> str:
    return f"{function}(task{''.join(f', {argument}=...' for argument in arguments)})"
