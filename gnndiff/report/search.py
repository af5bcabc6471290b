"""Charts of a run's search: scores by hyperparameter, and learning curves."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from gnndiff.runs.folder import Run
from gnndiff.scores import best_first
from gnndiff.search import SEARCH, finished_trials, record
from graphtasks.report import Interval, Series, chart, intervals

CURVES = 8
"""Trainings whose learning curves are shown, the best ones."""


def by_hyperparameter(run: Run) -> list[str]:
    """A chart of validation scores for each hyperparameter that the trials differ in."""
    trials = [(trial.params, trial.value) for trial in finished_trials(run, SEARCH) if trial.value is not None]
    charts = []
    for name in trials[0][0] if trials else ():
        values = [setting.get(name) for setting, _ in trials]
        scores = [float(score) for _, score in trials]
        if len({repr(value) for value in values}) > 1:
            charts.append(_scores(name, values, scores, run.task.metric.name))
    return charts


def learning_curves(run: Run) -> list[str]:
    """A chart of the validation scores over the epochs of the best trials."""
    metric = run.task.metric
    trials = [trial for trial in finished_trials(run, SEARCH) if trial.value is not None]
    series = []
    for trial in best_first(trials, lambda trial: trial.value or 0.0, metric)[:CURVES]:
        kept = record(run, SEARCH, trial)
        if kept is not None:
            number = trial.user_attrs["index"]
            epochs = list(range(1, len(kept.curve) + 1))
            labels = [f"trial {number}, epoch {e}: {score:.4g}" for e, score in zip(epochs, kept.curve, strict=True)]
            series.append(Series(f"trial {number}", epochs, kept.curve, labels, line=True))
    return [chart(series, x="epoch", y=f"validation {metric.name}")] if series else []


def _scores(name: str, values: Sequence[Any], scores: Sequence[float], metric: str) -> str:
    title = f"validation {metric}"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        log = min(values) > 0 and max(values) >= 20 * min(values)
        labels = [f"{name} {value:g}: {score:.4g}" for value, score in zip(values, scores, strict=True)]
        return chart([Series("", values, scores, labels)], x=name, y=title, log_x=log)
    groups = defaultdict(list)
    for value, score in zip(values, scores, strict=True):
        groups[str(value)].append(score)
    rows = []
    for value, group in groups.items():
        mean, spread = statistics.fmean(group), statistics.stdev(group) if len(group) > 1 else 0.0
        note = f"{name} {value}: mean {mean:.4g}, deviation {spread:.2g}, {len(group)} trials"
        rows.append(Interval(value, mean, spread, note))
    return intervals(rows, x=f"{title}: mean and deviation by {name}")
