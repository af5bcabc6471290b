"""Scores and outputs of many networks of one architecture at once, for every kind of task."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from graphtasks import DivergedError, FitConfig, GraphTask, kinds
from graphtasks.batches import Batches
from graphtasks.splits import Part

CHUNK = 10

States = Mapping[str, Tensor]


def stack(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stacked floating point tensors (n, *shape) of n state dicts."""
    names = [name for name, tensor in states[0].items() if tensor.is_floating_point()]
    return {name: torch.stack([state[name] for state in states]) for name in names}


def unstack(states: States) -> list[dict[str, Tensor]]:
    """The n state dicts of stacked tensors (n, *shape)."""
    count = len(next(iter(states.values())))
    return [{name: tensor[i].clone() for name, tensor in states.items()} for i in range(count)]


class _Answers(nn.Module):
    """A network as a function of its parameters alone."""

    def __init__(self, module: nn.Module, batches: Batches, part: Part) -> None:
        super().__init__()
        self.module, self.batches, self.part = module, batches, part

    def forward(self) -> Tensor:
        return self.batches.predict(self.module, self.part)


class Evaluator:
    """Answers and scores of networks of one architecture on a task.

    Args:
        module: A module of the architecture. Its buffers are those of all networks that have none of their own.
        task: The prepared task.
        split: Index of the split.
        config: How the networks are trained, which says whether the task reaches them in batches.
    """

    def __init__(self, module: nn.Module, task: GraphTask, split: int = 0, config: FitConfig | None = None) -> None:
        self.module = copy.deepcopy(module).eval()
        self.task, self.split, self.config = _without_matrices(task), split, config or FitConfig()
        self.device = next(module.parameters()).device
        self.kind = kinds.find(task.kind)
        self._predictors: dict[Part, Batches] = {}

    @property
    def parameter_names(self) -> list[str]:
        """Names of the tensors that are generated: all parameters, no buffers."""
        return [name for name, _ in self.module.named_parameters()]

    def with_buffers(self, state: Mapping[str, Tensor]) -> Evaluator:
        """The same with the buffers of a state dict, which are those of all networks that have none of their own."""
        other = copy.copy(self)
        other.module = copy.deepcopy(self.module)
        buffers = {name for name, _ in other.module.named_buffers()}
        other.module.load_state_dict({k: v for k, v in state.items() if k in buffers}, strict=False)
        return other

    def complete(self, states: States) -> list[dict[str, Tensor]]:
        """State dicts, for strict loading, of stacked parameters (n, *shape)."""
        whole = []
        for state in unstack(self._with_statistics(states)):
            module = copy.deepcopy(self.module)
            module.load_state_dict(state, strict=False)
            whole.append({name: tensor.detach().clone() for name, tensor in module.state_dict().items()})
        return whole

    @torch.no_grad()
    def outputs(self, states: States, part: Part) -> Iterator[Tensor]:
        """Answers (chunk, M, ...) of stacked networks to a part, as the task's `evaluate` takes them, some at a time.

        Args:
            states: Stacked state dicts, each tensor (n, *shape).
            part: 'train', 'val' or 'test'.
        """
        answers = _Answers(self.module, self._batches(part), part)
        batched = vmap(partial(functional_call, answers), in_dims=(0, None), randomness="same")
        states = {f"module.{k}": tensor.to(self.device) for k, tensor in self._with_statistics(states).items()}
        for chunk in zip(*(tensor.split(CHUNK) for tensor in states.values()), strict=True):
            with warnings.catch_warnings():
                # Older versions of torch go through scatter_add_ one network at a time, and say so.
                warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
                yield _together(batched, answers, dict(zip(states, chunk, strict=True)))

    def scores(self, states: States, part: Part) -> list[float]:
        """Scores of stacked networks on a part; one whose answers are not finite gets the metric's worst."""
        return [self.score(output, part) for outputs in self.outputs(states, part) for output in outputs]

    def score(self, output: Tensor, part: Part) -> float:
        """Score of one network's answers, the metric's worst where they are not finite."""
        try:
            return self.task.evaluate(output, self.split, part) if bool(output.isfinite().all()) else self._worst
        except DivergedError:
            return self._worst

    def ensemble(self, states: States, part: Part) -> float:
        """Score of the mean answer of stacked networks, which for classes is that of their probabilities."""
        outputs = torch.cat(list(self.outputs(states, part)))
        return self.score(self.kind.average(self.task, outputs), part)

    def _batches(self, part: Part) -> Batches:
        if part not in self._predictors:
            self._predictors[part] = self.kind.predictor(self.task, self.split, part, self.config, self.device)
        return self._predictors[part]

    @torch.no_grad()
    def _with_statistics(self, states: States) -> States:
        """The states with statistics of their own for batch normalisations, taken over the train part.

        An average of two networks has neither's statistics.
        """
        norms = {name: norm for name, norm in self.module.named_modules() if _has_statistics(norm)}
        missing = [f"{name}.{key}" for name in norms for key in ("running_mean", "running_var")]
        if not missing or missing[0] in states:
            return states
        batches = self._batches("train")
        found = []
        for state in unstack(states):
            module = copy.deepcopy(self.module)
            module.load_state_dict(state, strict=False)
            for name in norms:
                norm: Any = module.get_submodule(name)
                norm.reset_running_stats()
                norm.momentum = None  # the mean over all batches
                norm.train()
            batches.predict(module, "train")
            own = module.state_dict()
            found.append({key: own[key] for key in missing})
        return {**states, **stack(found)}

    @property
    def _worst(self) -> float:
        return self.task.metric.worst


def _together(batched: Callable[..., Tensor], answers: nn.Module, states: States) -> Tensor:
    """The answers of stacked networks, one after the other where `vmap` has no rule for one of their operations."""
    try:
        return batched(states, ())
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return torch.stack([functional_call(answers, state, ()) for state in unstack(states)])


def _has_statistics(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None


def _without_matrices(task: GraphTask) -> GraphTask:
    """The task with edges in the place of sparse matrices, which `vmap` knows no products of."""

    def drop(data):  # type: ignore[no-untyped-def]
        data = copy.copy(data)
        data.adj_t = None
        return data

    return task.transform(drop)
