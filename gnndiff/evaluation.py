"""Scores and outputs of many networks of one architecture at once, for every kind of task."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gnndiff.live_bytes import LiveBytes
from gnndiff.networks import Networks
from gnndiff.norm_statistics import recomputed, statistics_of
from gnndiff.stacked import States, stack, stacked_call, unstack
from graphtasks import DivergedError, FitConfig, GraphTask, Metric, forward, kinds
from graphtasks.batches import Batches
from graphtasks.memory import memory_errors
from graphtasks.splits import Part

__all__ = ["Evaluator", "stack", "unstack"]

# Bytes that several networks may take at once even where a training needs less.
ROOM = 16 * 2**20

# Batches at most that statistics are taken over, evenly spread over the train part.
STATISTICS_BATCHES = 32

# Rounding of single precision through many layers, relative to the largest output.
TOLERANCE = 1e-3


class _Answers(nn.Module):
    """A network as a function of its parameters alone."""

    def __init__(self, module: nn.Module, batches: Batches, part: Part) -> None:
        super().__init__()
        self.module, self.batches, self.part = module, batches, part

    def forward(self) -> Tensor:
        return self.batches.predict(self.module, self.part)


class Evaluator(Networks):
    """Answers and scores of networks of one architecture on a task.

    Several networks answer in one pass wherever :func:`torch.vmap` can run them and gives what each gives alone, which
    is tried on the first two; others, such as those with operations in place or branches on values, answer one by one.
    As many are in a pass as take no more memory than a training of one, or `ROOM` bytes.

    Args:
        module: A module of the architecture. Its buffers are those of all networks that have none of their own.
        task: The prepared task.
        split: Index of the split.
        config: How the networks are trained, which says whether the task reaches them in batches.
    """

    def __init__(self, module: nn.Module, task: GraphTask, split: int = 0, config: FitConfig | None = None) -> None:
        super().__init__(module)
        self.task, self.split, self.config = task, split, config or FitConfig()
        self.kind = kinds.find(task.kind)
        self._predictors: dict[Part, Batches] = {}
        self._inputs: dict[Part, list[Data]] = {}
        self._at_once: dict[Part, int] = {}
        self._counted: dict[Part, bool] = {}

    @property
    def metric(self) -> Metric:
        """The task's metric."""
        return self.task.metric

    @torch.no_grad()
    def outputs(self, states: States, part: Part) -> Iterator[Tensor]:
        """Answers (chunk, M, ...) of stacked networks to a part, as the task's `evaluate` takes them, some at a time.

        Args:
            states: Stacked state dicts, each tensor (n, *shape).
            part: 'train', 'val' or 'test'.

        Raises:
            ZooError: The states are not of the architecture.
            OutOfMemoryError: The memory does not hold the answers of one network.
        """
        with memory_errors(self.task.name, self.kind.less_memory(self.task)):
            states = self.whole(states)
            at_once = self._networks_at_once(states, part)
            for chunk in zip(*(tensor.split(at_once) for tensor in states.values()), strict=True):
                yield self._answers(dict(zip(states, chunk, strict=True)), part)

    def scores(self, states: States, part: Part) -> list[float]:
        """Scores of stacked networks on a part; one whose answers are not finite gets the metric's worst."""
        return [score for outputs in self.outputs(states, part) for score in self._scores(outputs, part)]

    def score(self, output: Tensor, part: Part) -> float:
        """Score of one network's answers, the metric's worst where they are not finite."""
        return self._scores(output.unsqueeze(0), part)[0]

    def ensemble(self, states: States, part: Part) -> float:
        """Score of the mean answer of stacked networks, which for classes is that of their probabilities."""
        rows, template = self.kind.rows(self.task, self.split, part), torch.empty(0)
        chosen = []
        for outputs in self.outputs(states, part):
            template = outputs[0]
            chosen.append(outputs if rows is None else outputs[:, rows])
        mean = self.task.average(torch.cat(chosen))
        if rows is None:
            return self.score(mean, part)
        whole = torch.zeros_like(template)
        whole[rows] = mean
        return self.score(whole, part)

    def _scores(self, outputs: Tensor, part: Part) -> list[float]:
        """Scores of networks by their answers (n, M, ...)."""
        rows = self.kind.rows(self.task, self.split, part)
        answers = outputs if rows is None else outputs[:, rows]
        finite = answers.flatten(1).isfinite().all(dim=1).tolist()
        if self._counts(outputs, answers, finite, part):
            found = self._accuracies(answers, part)
        else:
            found = [self._score(out, part) if good else 0.0 for out, good in zip(outputs, finite, strict=True)]
        return [score if good else self.task.metric.worst for score, good in zip(found, finite, strict=True)]

    def _counts(self, outputs: Tensor, answers: Tensor, finite: list[bool], part: Part) -> bool:
        """Whether the metric is the share of right classes, which the first of all networks has to bear out."""
        if self.task.metric.name != "accuracy" or answers.dim() != 3 or not any(finite):
            return False
        if part not in self._counted:
            first = finite.index(True)
            found = self._accuracies(answers[first : first + 1], part)[0]
            self._counted[part] = found == self._score(outputs[first], part)
        return self._counted[part]

    def _accuracies(self, answers: Tensor, part: Part) -> list[float]:
        """Shares of right classes for scores (n, M, C): the metric, whose calls would take as long as the networks."""
        y = self.task.targets(self.split, part)
        labelled = y >= 0
        right = answers.argmax(dim=-1).cpu()[:, labelled] == y[labelled]
        return (right.sum(dim=1).double() / right.size(1)).tolist()

    def _score(self, output: Tensor, part: Part) -> float:
        try:
            return self.task.evaluate(output, self.split, part)
        except DivergedError:
            return self.task.metric.worst

    def _batches(self, part: Part) -> Batches:
        if part not in self._predictors:
            self._predictors[part] = self.kind.predictor(self.task, self.split, part, self.config, self.device)
        return self._predictors[part]

    def _answers(self, states: States, part: Part) -> Tensor:
        """Answers (n, M, ...) of a few networks, all at once where that is possible."""
        count = len(next(iter(states.values())))
        if count > 1:
            try:
                return self._together(states, part)
            except Exception:  # such as a lack of memory, and what one network raises it raises again alone
                self._at_once[part] = 1
        return self._alone(states, part)

    def _together(self, states: States, part: Part) -> Tensor:
        answers = _Answers(self.module, self._batches(part), part)
        return stacked_call(answers, {f"module.{name}": tensor for name, tensor in states.items()})

    def _alone(self, states: States, part: Part) -> Tensor:
        batches = self._batches(part)
        return torch.stack([batches.predict(network, part) for network in self.each(states)])

    def _networks_at_once(self, states: States, part: Part) -> int:
        """How many networks answer in one pass, found out by the first two of the first call."""
        if len(next(iter(states.values()))) < 2:
            return 1
        if part not in self._at_once:
            pair = {name: tensor[:2] for name, tensor in states.items()}
            self._at_once[part] = self._fitting(pair, part)
        return self._at_once[part]

    def _fitting(self, pair: States, part: Part) -> int:
        alone = self._alone(pair, part)
        try:
            with LiveBytes() as live:
                together = self._together(pair, part)
        except Exception:  # whatever vmap raises where it cannot run a module
            return 1
        largest = float(alone[alone.isfinite()].abs().amax()) if bool(alone.isfinite().any()) else 0.0
        if together.shape != alone.shape:
            return 1
        if not torch.allclose(together, alone, rtol=TOLERANCE, atol=TOLERANCE * largest, equal_nan=True):
            return 1
        each = max(1, live.peak // 2)
        return max(1, ROOM // each, self._bytes_of_training(part) // each)

    def _bytes_of_training(self, part: Part) -> int:
        """Memory that a training of one network needs at least: a step with its gradients and two moments of each."""
        if self.config.neighbors is not None or self.config.clusters is not None:
            return 0  # whose steps are on smaller graphs
        module, batches = copy.deepcopy(self.module), self._batches(part)
        data = next(iter(batches.inputs(part)))
        with torch.enable_grad(), LiveBytes() as live:
            out = batches.read(module, forward(module, data), data, part)
            if out.requires_grad:
                out.sum().backward()
        return live.peak + 2 * sum(tensor.numel() * tensor.element_size() for tensor in module.parameters())

    @torch.no_grad()
    def whole(self, states: States) -> dict[str, Tensor]:
        """The stacked states, with running statistics of their own over the train part where they have none."""
        whole = super().whole(states)
        missing = statistics_of(self.module)
        if not missing or missing[0] in whole:
            return whole
        part: Part = "val" if self.task.kind == "link" else "train"  # with the same messages as in training
        batches, inputs = self._batches(part), self._train_inputs(part)
        return whole | stack([recomputed(network, batches, part, inputs) for network in self.each(whole)])

    def _train_inputs(self, part: Part) -> list[Data]:
        if part not in self._inputs:
            batches = self._batches(part)
            count = sum(1 for _ in batches.inputs(part))
            step = -(-count // STATISTICS_BATCHES)
            self._inputs[part] = list(islice(batches.inputs(part), 0, None, step))
        return self._inputs[part]
