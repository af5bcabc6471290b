"""Scores of networks by their answers, of which one half of validation ranks and the other one chooses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from gnndiff.calibration import Calibration, calibration
from gnndiff.evaluation import Evaluator
from gnndiff.halves import Halves
from gnndiff.stacked import States
from graphtasks import DivergedError, GraphTask, Metric, kinds
from graphtasks.metrics import metric as find_metric
from graphtasks.splits import Part

Which = Literal["rank", "choice", "val", "test"]
"""The first half of validation, the second one, all of it, and the test part."""

PARTS: tuple[Part, ...] = ("val", "test")


class Judge:
    """Answers of networks to validation and test, and their scores.

    Args:
        task: The task.
        split: Index of its split.
        halves: The halves of its validation part.
    """

    def __init__(self, task: GraphTask, split: int, halves: Halves) -> None:
        self.task, self.split, self.halves = task, split, halves
        self.kind = kinds.find(task.kind)
        self._targets = {part: task.targets(split, part) for part in PARTS}
        self._counts = task.form == "classes" and task.metric == find_metric("accuracy")

    @property
    def metric(self) -> Metric:
        """The task's metric."""
        return self.task.metric

    def each(self, evaluator: Evaluator, states: States) -> Iterator[tuple[Part, Tensor]]:
        """Parts and the answers (chunk, M, ...) of stacked networks to their targets, some networks at a time.

        Both parts of the nodes of one graph are answered in one pass.
        """
        rows = {part: self.kind.rows(self.task, self.split, part) for part in PARTS}
        if all(each is not None for each in rows.values()):
            for outputs in evaluator.outputs(states, "val"):
                for part in PARTS:
                    yield part, outputs[:, rows[part]].cpu()
            return
        for part in PARTS:
            for outputs in evaluator.outputs(states, part):
                yield part, outputs.cpu()

    def answers(self, evaluator: Evaluator, states: States) -> dict[Part, Tensor]:
        """Answers (n, M, ...) of stacked networks to the targets of both parts."""
        found: dict[Part, list[Tensor]] = {part: [] for part in PARTS}
        for part, chunk in self.each(evaluator, states):
            found[part].append(chunk)
        return {part: torch.cat(chunks) for part, chunks in found.items()}

    def scores(self, answers: Tensor, which: Which) -> list[float]:
        """Scores of answers (n, M, ...) of n networks to the part; the metric's worst where they are not finite.

        Args:
            answers: Answers to validation, or for 'test' to the test part.
            which: The part, or the half of it, that is scored.
        """
        y = self._targets["test" if which == "test" else "val"]
        if which in ("rank", "choice"):
            rows = self.halves.rank if which == "rank" else self.halves.choice
            y, answers = y[rows], answers[:, rows]
        finite = answers.flatten(1).isfinite().all(dim=1).tolist()
        if self._counts and answers.dim() == 3:
            labelled = y >= 0
            right = answers.argmax(dim=-1)[:, labelled] == y[labelled]
            found = (right.sum(dim=1).double() / right.size(1)).tolist()
        else:
            found = [self._score(y, out) if good else 0.0 for out, good in zip(answers, finite, strict=True)]
        return [score if good else self.metric.worst for score, good in zip(found, finite, strict=True)]

    def _score(self, y: Tensor, answer: Tensor) -> float:
        if self.task.form != "classes" and answer.dim() > y.dim() and answer.size(1) == 1:
            answer = answer.view(-1)
        try:
            return self.metric.score(y, answer)
        except DivergedError:
            return self.metric.worst

    def average(self, answers: Tensor, weights: Sequence[float] | None = None) -> Tensor:
        """The answer (M, ...) of an ensemble of networks with answers (n, M, ...)."""
        return self.task.average(answers, weights)

    def calibration(self, answer: Tensor) -> Calibration | None:
        """Uncertainty of the answer (M, ...) of a network or an ensemble to the test part."""
        return calibration(self.task, answer, self.split, "test")
