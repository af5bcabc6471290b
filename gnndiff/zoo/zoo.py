"""The zoo: checkpoints of one architecture as aligned vectors, with what scores them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

import graphtasks
from gnndiff.config import Method
from gnndiff.errors import ConfigError, ZooError
from gnndiff.evaluation import Evaluator, stack
from gnndiff.gradients import training_gradients
from gnndiff.scores import order
from gnndiff.targets import Target, as_target
from gnndiff.targets.base import Setting, check_kind
from gnndiff.targets.build import Preparations, build
from gnndiff.targets.units import Units
from gnndiff.zoo.alignment import orders, rearranged, usable_units
from gnndiff.zoo.geometry import Geometry, effective_rank, geometry
from gnndiff.zoo.scoring import Direction, FunctionEvaluator, Score
from gnndiff.zoo.soups import greedy_ensemble, greedy_soup
from gnndiff.zoo.sweep import checked_scores, checked_states
from gnndiff.zoo.vectors import ParameterLayout, State
from graphtasks import FitConfig, GraphTask, Metric
from graphtasks.splits import Part


@dataclass(frozen=True, eq=False)
class Zoo:
    """Checkpoints of one architecture, the best validation score first.

    Args:
        vectors: Their parameters (n, P), hidden units in a common order.
        scores: Their validation scores.
        settings: Their hyperparameters.
        members: The training of each: checkpoints of one training have the same number.
        layout: Where each tensor lies in a vector.
        evaluator: Scores networks of the architecture. Its module has the buffers of the best checkpoint.
        alignment: How hidden units were matched, for the reader.
        barrier: Fall of the validation score beyond which a training is left out of averages.
    """

    vectors: Tensor
    scores: list[float]
    settings: list[Setting]
    members: list[int]
    layout: ParameterLayout
    evaluator: Evaluator | FunctionEvaluator
    alignment: str = "not aligned"
    barrier: float = Method.barrier

    @classmethod
    def of(
        cls,
        states: Sequence[State],
        scores: Sequence[float],
        settings: Sequence[Setting],
        members: Sequence[int],
        evaluator: Evaluator | FunctionEvaluator,
        *,
        units: Sequence[Units] = (),
        alignment: str = "not aligned",
        rounds: int = 3,
        roots: Sequence[int] | None = None,
        names: Sequence[str] | None = None,
        barrier: float = Method.barrier,
    ) -> Zoo:
        """Sort states by score and align them to the best one, then `rounds` - 1 times to their mean.

        Checkpoints of one training, and of those that went on from it, have one order of hidden units, and keep it:
        all are reordered as the best of them.

        Args:
            states: State dicts.
            scores: Their validation scores.
            settings: Their hyperparameters.
            members: The training of each.
            evaluator: Scores networks of the architecture.
            units: Hidden units that may change places.
            alignment: How they are matched, for the reader.
            rounds: Times that all are aligned.
            roots: For each checkpoint, the training that its own went on from, by default its own.
            names: Parameters that are in the vectors, by default all. The best checkpoint has the others.
            barrier: Fall of the score beyond which a training is left out of averages.
        """
        ranking = order(scores, evaluator.metric)
        ordered = [states[i] for i in ranking]
        evaluator = evaluator.with_buffers(ordered[0])
        whole = ParameterLayout.of(ordered[0], evaluator.parameter_names)
        groups = [(members if roots is None else roots)[i] for i in ranking]
        reference = ordered[0]
        for _ in range(rounds if units else 0):
            steps = {group: orders(ordered[groups.index(group)], reference, units) for group in dict.fromkeys(groups)}
            ordered = [rearranged(state, steps[group]) for state, group in zip(ordered, groups, strict=True)]
            firsts = [ordered[groups.index(group)] for group in steps]
            mean = torch.stack([whole.flatten(state) for state in firsts]).mean(dim=0)
            reference = {**ordered[0], **whole.unflatten(mean)}
        layout = whole if names is None else ParameterLayout.of(ordered[0], names)
        vectors = torch.stack([layout.flatten(state) for state in ordered])
        if units:
            evaluator = evaluator.with_buffers(ordered[0])
        return cls(
            vectors,
            [scores[i] for i in ranking],
            [settings[i] for i in ranking],
            [members[i] for i in ranking],
            layout,
            evaluator,
            alignment,
            barrier,
        )

    @classmethod
    def from_states(
        cls,
        states: Sequence[State | str | os.PathLike[str]],
        scores: Sequence[float] | None,
        target: str | Target | nn.Module | Callable[..., nn.Module],
        task: str | GraphTask | Score,
        *,
        setting: Setting | None = None,
        members: Sequence[int] | None = None,
        split: int = 0,
        config: FitConfig | None = None,
        direction: Direction = "maximize",
    ) -> Zoo:
        """A zoo of checkpoints of a sweep of your own.

        Args:
            states: State dicts, or names of .safetensors files.
            scores: Their validation scores; None computes them.
            target: The model: a name, a target, a module, or a function that builds one as `build(task, **setting)`.
                A target's hidden units are aligned.
            task: The task, or its name. Without one, a function that takes a module in evaluation mode and returns its
                validation score; a function as target is then called as `build(**setting)`, and there are no ensembles.
            setting: Hyperparameters of the architecture. Hyperparameters of training alone may be left out.
            members: The training of each checkpoint, by default one each.
            split: Index of the split.
            config: Training settings, of which only those of batches are used.
            direction: Whether more or less of a scoring function is better; a task knows by itself.

        Raises:
            ConfigError: The target does not fit the task, or cannot be built.
            ZooError: There are too few states or scores, or some that cannot be used.
            DamagedFileError: A file cannot be read.

        >>> states = [nn.Linear(2, 1).state_dict() for _ in range(3)]
        >>> zoo = Zoo.from_states(states, [0.3, 0.1, 0.2], nn.Linear(2, 1), lambda module: float(module.bias))
        >>> zoo, zoo.soup().shape
        (Zoo(3 checkpoints of 3 trainings, 3 parameters, best validation 0.3), torch.Size([3]))
        """
        setting = dict(setting or {})
        evaluator: Evaluator | FunctionEvaluator
        units: Sequence[Units]
        if callable(task):
            module = target if isinstance(target, nn.Module) else _built(target, setting)
            evaluator = FunctionEvaluator(module, task, direction)
            units, alignment = (), "not aligned: there is no task"
            loaded = checked_states(module, states)
        else:
            task = graphtasks.load(task) if isinstance(task, str) else task
            if isinstance(target, nn.Module):
                module, declared = target, None
            else:
                target = as_target(target, {})
                module, task, setting = _prepared(target, task, setting)
                declared = target.units(module)
            loaded = checked_states(module, states)
            evaluator = Evaluator(module, task, split, config)
            units, alignment = usable_units(declared, evaluator)
        if scores is None:
            scores = [evaluator.with_buffers(state).scores(stack([state]), "val")[0] for state in loaded]
        scores = checked_scores(scores, len(loaded))
        numbers = list(range(len(loaded))) if members is None else list(members)
        if len(numbers) != len(loaded):
            raise ZooError(f"got {len(numbers)} members for {len(loaded)} states: give one number for each")
        return cls.of(loaded, scores, [setting] * len(loaded), numbers, evaluator, units=units, alignment=alignment)

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        best = self.metric.format(self.scores[0])
        return (
            f"Zoo({len(self)} checkpoints of {len(set(self.members))} trainings, {self.layout.size} parameters, "
            f"best validation {best})"
        )

    @property
    def metric(self) -> Metric:
        """The metric of the scores."""
        return self.evaluator.metric

    @property
    def setting(self) -> Setting:
        """A setting of the zoo's architecture: that of the best checkpoint."""
        return self.settings[0]

    @property
    def effective_rank(self) -> float:
        """Exponential of the entropy of the variance over principal directions: how many there are in effect."""
        return effective_rank(self.vectors)

    @cached_property
    def _geometry(self) -> Geometry:
        return geometry(self.best_of_each(), self.vectors, self.score, self.metric, self.barrier)

    def geometry(self) -> Geometry:
        """Barriers between its trainings, which of them may be averaged, its spread and its rank; measured once."""
        return self._geometry

    def good(self) -> Tensor:
        """The best checkpoint (m, P) of each training that may be averaged, the best first."""
        return self.best_of_each()[list(self.geometry().good)]

    def best_of_each(self, count: int | None = None) -> Tensor:
        """The best checkpoint (m, P) of each training, those of the best `count` trainings alone where it is given."""
        first = {member: i for i, member in reversed(list(enumerate(self.members)))}
        return self.vectors[sorted(first.values())[:count]]

    def states(self, vectors: Tensor) -> list[dict[str, Tensor]]:
        """State dicts, for strict loading, of vectors (m, P)."""
        return self.evaluator.complete(self.layout.unflatten(vectors))

    def score(self, vectors: Tensor, part: Part = "val") -> list[float]:
        """Scores of vectors (m, P) on a part."""
        return self.evaluator.scores(self.layout.unflatten(vectors), part)

    def gradients(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Training losses (m,) of vectors (m, P), summed over their targets, and the gradients (m, P).

        Raises:
            ZooError: The zoo is scored by a function of a module, which knows no training loss.
        """
        if isinstance(self.evaluator, FunctionEvaluator):
            raise ZooError("a scoring function has no training loss: pass a task")
        losses, found = training_gradients(self.evaluator, self.layout.unflatten(vectors), list(self.layout.shapes))
        return losses, torch.cat([found[name].flatten(1) for name in self.layout.shapes], dim=1)

    def ensemble_score(self, vectors: Tensor, part: Part = "val") -> float:
        """Score of the mean answer of vectors (m, P) on a part."""
        return self.evaluator.ensemble(self.layout.unflatten(vectors), part)

    def soup(self, count: int | None = None) -> Tensor:
        """Average (P,) of the best checkpoints of all trainings that may be averaged, or of `count` of them."""
        return self.good()[:count].mean(dim=0)

    def greedy_soup(self) -> Tensor:
        """Average (P,) of those good trainings that, from the best one on, do not make it worse on validation."""
        return greedy_soup(self.good(), self.score, self.metric)

    def greedy_ensemble(self, rounds: int = 20) -> Tensor:
        """Trainings (m, P), some more than once, chosen one by one so that their mean answer validates best.

        Raises:
            ZooError: The zoo is scored by a function of a module, which shows no answers.
        """
        if isinstance(self.evaluator, FunctionEvaluator):
            self.evaluator.ensemble({})
        evaluator, best = self.evaluator, self.best_of_each()
        answers = torch.cat(list(evaluator.outputs(self.layout.unflatten(best), "val")))
        chosen = greedy_ensemble(
            answers,
            evaluator.task.average,
            lambda means: [evaluator.score(mean, "val") for mean in means],
            self.metric,
            rounds=rounds,
        )
        return best[chosen]


def _prepared(target: Target, task: GraphTask, setting: Setting) -> tuple[nn.Module, GraphTask, Setting]:
    """A module of a setting, the task that it is for, and the setting with what acts in training alone."""
    check_kind(target, task)
    space = target.space(task)
    setting = {**{name: space[name][0] for name in target.training_only if name in space}, **setting}
    try:
        prepared = Preparations(target, task)(setting)
        return build(target, prepared, setting, 0, torch.device("cpu")), prepared, setting
    except (TypeError, KeyError) as error:
        raise ConfigError(
            f"{target.name!r} cannot be built with {dict(setting)} ({error}): pass its hyperparameters as `setting`"
        ) from error


def _built(target: Any, setting: Setting) -> nn.Module:
    """The module that a function without a task makes."""
    if not callable(target) or isinstance(target, Target | type):
        raise ConfigError(
            f"got the target {target!r} and a scoring function, which has no task to build it for: pass a module, or a "
            "function build(**setting)"
        )
    module = target(**setting)
    if not isinstance(module, nn.Module):
        raise ConfigError(f"the target builds a {type(module).__name__}, expected a torch.nn.Module")
    return module
