"""The zoo: checkpoints of one architecture as aligned vectors, with what scores them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

import graphtasks
from gnndiff.errors import DamagedFileError, ZooError
from gnndiff.evaluation import Evaluator, stack
from gnndiff.scores import order
from gnndiff.targets import Target, as_target
from gnndiff.targets.base import Setting, check_kind
from gnndiff.targets.build import Preparations, build
from gnndiff.targets.units import Units
from gnndiff.zoo.alignment import align, usable_units
from gnndiff.zoo.vectors import ParameterLayout, State
from graphtasks import FitConfig, GraphTask
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
    """

    vectors: Tensor
    scores: list[float]
    settings: list[Setting]
    members: list[int]
    layout: ParameterLayout
    evaluator: Evaluator
    alignment: str = "not aligned"

    @classmethod
    def of(
        cls,
        states: Sequence[State],
        scores: Sequence[float],
        settings: Sequence[Setting],
        members: Sequence[int],
        evaluator: Evaluator,
        *,
        units: Sequence[Units] = (),
        alignment: str = "not aligned",
        rounds: int = 3,
    ) -> Zoo:
        """Sort states by score and align them to the best one, then `rounds` - 1 times to their mean."""
        ranking = order(scores, evaluator.task.metric)
        ordered = [states[i] for i in ranking]
        evaluator = evaluator.with_buffers(ordered[0])
        layout = ParameterLayout.of(ordered[0], evaluator.parameter_names)
        vectors, reference = torch.stack([layout.flatten(state) for state in ordered]), ordered[0]
        for _ in range(rounds if units else 0):
            ordered = [align(state, reference, units) for state in ordered]
            vectors = torch.stack([layout.flatten(state) for state in ordered])
            reference = {**ordered[0], **layout.unflatten(vectors.mean(dim=0))}
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
        )

    @classmethod
    def from_states(
        cls,
        states: Sequence[State | str | os.PathLike[str]],
        scores: Sequence[float] | None,
        target: str | Target | Callable[..., nn.Module],
        task: str | GraphTask,
        *,
        setting: Setting | None = None,
        members: Sequence[int] | None = None,
        split: int = 0,
        config: FitConfig | None = None,
    ) -> Zoo:
        """A zoo of checkpoints of a sweep of your own.

        Args:
            states: State dicts, or names of .safetensors files.
            scores: Their validation scores; None computes them on the task.
            target: The model: a name, a target, or a function that builds it as `build(task, **setting)`.
            task: The task, or its name.
            setting: Hyperparameters of the architecture, which `build` takes.
            members: The training of each checkpoint, by default one each.
            split: Index of the split.
            config: Training settings, of which only those of batches are used.

        Raises:
            ConfigError: The target does not fit the task, or cannot be built.
            ZooError: There are no states, or they are not of the target's architecture.
            DamagedFileError: A file cannot be read.
        """
        if not len(states):
            raise ZooError("got no states: give at least two checkpoints")
        task = graphtasks.load(task) if isinstance(task, str) else task
        target = as_target(target, {})
        check_kind(target, task)
        setting = dict(setting or {})
        prepared = Preparations(target, task)(setting)
        module = build(target, prepared, setting, 0, torch.device("cpu"))
        loaded = [state if not isinstance(state, str | os.PathLike) else _read(Path(state)) for state in states]
        for i, state in enumerate(loaded):
            _check_state(module, state, i)
        evaluator = Evaluator(module, prepared, split, config)
        if scores is None:
            scores = [evaluator.with_buffers(state).scores(stack([state]), "val")[0] for state in loaded]
        if len(scores) != len(loaded):
            raise ZooError(f"got {len(scores)} scores for {len(loaded)} states: give one for each")
        units, alignment = usable_units(target.units(module), evaluator)
        numbers = list(range(len(loaded))) if members is None else list(members)
        return cls.of(
            loaded, list(scores), [setting] * len(loaded), numbers, evaluator, units=units, alignment=alignment
        )

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        best = self.evaluator.task.metric.format(self.scores[0])
        return (
            f"Zoo({len(self)} checkpoints of {len(set(self.members))} trainings, {self.layout.size} parameters, "
            f"best validation {best})"
        )

    @property
    def setting(self) -> Setting:
        """A setting of the zoo's architecture: that of the best checkpoint."""
        return self.settings[0]

    @property
    def effective_rank(self) -> float:
        """Exponential of the entropy of the variance over principal directions: how many there are in effect."""
        values = torch.linalg.svdvals(self.vectors - self.vectors.mean(dim=0)).square()
        share = values[values > 0] / values.sum()
        return float((-(share * share.log()).sum()).exp())

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

    def ensemble_score(self, vectors: Tensor, part: Part = "val") -> float:
        """Score of the mean answer of vectors (m, P) on a part."""
        return self.evaluator.ensemble(self.layout.unflatten(vectors), part)

    def soup(self, count: int | None = None) -> Tensor:
        """Average (P,) of the best checkpoint of each training, or of the best `count` trainings."""
        return self.best_of_each(count).mean(dim=0)


def _read(path: Path) -> dict[str, Any]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise DamagedFileError(f"{path} cannot be read ({error}): give a .safetensors file of a state dict") from error


def _check_state(module: nn.Module, state: State, index: int) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    got = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if got != wanted:
        name = next(name for name in {**wanted, **got} if got.get(name) != wanted.get(name))
        raise ZooError(
            f"state {index} has {name} of shape {got.get(name)}, expected {wanted.get(name)}: pass states of the "
            "architecture that the target builds with this setting"
        )
    bad = [name for name, tensor in state.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())]
    if bad:
        raise ZooError(f"state {index} has NaN or infinite entries in {bad[0]}: leave it out")
