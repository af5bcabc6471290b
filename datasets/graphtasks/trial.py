"""One training of a setting, in which a setting that cannot be trained loses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from graphtasks.config import FitConfig
from graphtasks.errors import DivergedError
from graphtasks.metrics import Metric
from graphtasks.randomness import seeded
from graphtasks.splits import Part
from graphtasks.task import GraphTask
from graphtasks.training import FitResult, fit


@dataclass(frozen=True)
class Trial:
    """The outcome of a training, or why there is none.

    Args:
        status: 'ok', or why the setting lost.
        scores: Scores by part, empty where it lost.
        result: Result of the training; None where it lost.
        parameters: Number of weights of the model, None where it could not be built.
        seconds: Wall clock of building and training.
    """

    status: str
    scores: dict[Part, float]
    result: FitResult | None
    parameters: int | None
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether there are scores."""
        return self.status == "ok"

    def score(self, metric: Metric, part: Part = "val") -> float:
        """The score of a part, or the worst one of the metric where the setting lost."""
        return self.scores.get(part, metric.worst)


def train_once(
    build: Callable[[GraphTask], nn.Module],
    task: GraphTask,
    split: int = 0,
    config: FitConfig | None = None,
    *,
    prepare: Callable[[GraphTask], GraphTask] | None = None,
    impossible: tuple[type[Exception], ...] = (),
    parts: Sequence[Part] = ("val", "test"),
    metrics: Sequence[str] = (),
    callback: Callable[[int, float, nn.Module], None] | None = None,
) -> Trial:
    """Prepare a task, build a model for it and train it, all by the seed of the config.

    A setting loses where its training diverges, where one of its scores is not finite, or where `prepare`, `build` or
    the training raises an error that says that it is impossible. All other errors are raised.

    Args:
        build: Makes the model for the prepared task. Its draws from the generators that
            :func:`~graphtasks.seeded` seeds follow from `config.seed`.
        task: The task.
        split: Index of the split.
        config: Training settings, by default those of :class:`FitConfig`.
        prepare: Makes of the task the one that the model trains on. Its time does not count.
        impossible: Classes of errors of settings that cannot be computed, beside :class:`~graphtasks.DivergedError`.
        parts: Parts of which scores are kept. Without 'test', the test score decides nothing, not even whether the
            setting lost.
        metrics: Names of further metrics of the test predictions.
        callback: Called after each epoch as by :func:`~graphtasks.fit`. Its errors are raised.

    >>> from torch_geometric.nn.models import GCN
    >>> import graphtasks
    >>> task = graphtasks.load("karate")
    >>> trial = train_once(lambda task: GCN(34, 4, 2, 2), task, config=FitConfig(lr=1e30, optimizer="sgd"))
    >>> trial.status.split(":")[0], trial.score(task.metric)
    ('DivergedError', 0.0)
    """
    config = FitConfig() if config is None else config
    start = time.perf_counter()
    model: nn.Module | None = None
    result: FitResult | None = None
    scores: dict[Part, float] = {}
    status = "ok"
    losing: tuple[type[Exception], ...] = (DivergedError, *impossible)
    try:
        task = task if prepare is None else prepare(task)
        start = time.perf_counter()
        with seeded(config.seed, "cuda" if torch.cuda.is_available() else "cpu"):
            model = build(task)
        result = fit(model, task, split, config, metrics=metrics, callback=callback)
        scores = {part: float(getattr(result, part)) for part in parts}
    except losing as error:
        status = f"{type(error).__name__}: {error}"
    if not all(map(math.isfinite, scores.values())):
        status = "not finite: " + ", ".join(f"{part} {score}" for part, score in scores.items())
        scores = {}
    parameters = None if model is None else sum(parameter.numel() for parameter in model.parameters())
    return Trial(status, scores, result, parameters, time.perf_counter() - start)
