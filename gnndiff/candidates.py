"""Scores of many networks at once, and their soups and ensembles."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch_geometric.data import Data

import graphtasks
from gnndiff.runs import Run
from gnndiff.space import Params
from graphtasks.splits import Part

CHUNK = 10


class _OnGraph(nn.Module):
    """A model as a function of its parameters alone."""

    def __init__(self, model: nn.Module, data: Data) -> None:
        super().__init__()
        self.model = model
        self.data = data

    def forward(self) -> Tensor:
        return graphtasks.forward(self.model, self.data)


def stack(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stacked tensors (n, *shape) of n state dicts."""
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


@torch.no_grad()
def iterate_outputs(run: Run, params: Params, states: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """Outputs (chunk, N, C) of stacked networks on the run's graph, some networks at a time.

    Args:
        run: The run.
        params: The configuration of the networks' architecture.
        states: Stacked state dicts, each tensor (n, *shape).
    """
    data = copy.copy(run.prepared_task(params).graph())
    data.adj_t = None  # vmap knows no sparse products
    network = _OnGraph(run.build(params, 0).eval(), data.to(str(run.device)))
    batched = vmap(partial(functional_call, network), in_dims=(0, None))
    states = {f"model.{name}": tensor.to(run.device) for name, tensor in states.items()}
    for chunk in zip(*(tensor.split(CHUNK) for tensor in states.values()), strict=True):
        with warnings.catch_warnings():
            # Older versions of torch go through scatter_add_ one network at a time, and say so.
            warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
            outputs = batched(dict(zip(states, chunk, strict=True)), ())
        yield outputs


def evaluate_states(run: Run, params: Params, states: Mapping[str, Tensor], part: Part) -> list[float]:
    """Scores of stacked networks on one part of the run's split; a network whose outputs are not finite scores 0."""
    return [
        run.task.evaluate(output, run.config.split, part) if bool(output.isfinite().all()) else 0.0
        for outputs in iterate_outputs(run, params, states)
        for output in outputs
    ]


def evaluate_ensemble(run: Run, params: Params, states: Mapping[str, Tensor], part: Part) -> float:
    """Score of the mean class probabilities of stacked networks."""
    chunks = [outputs.softmax(dim=-1).sum(dim=0) for outputs in iterate_outputs(run, params, states)]
    return run.task.evaluate(torch.stack(chunks).sum(dim=0), run.config.split, part)
