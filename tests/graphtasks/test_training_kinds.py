"""Each kind of task, in each way in which it is trained, and what does not fit together."""

import copy
import dataclasses
import math
import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import GAE

from graphtasks import DivergedError, FitConfig, FitResult, GraphTask, InvalidDataError, fit
from learners import (
    CASES,
    Case,
    Layers,
    Pooled,
    blocks_task,
    generators,
    graphs_task,
    initialised,
    moved,
    node_task,
    parity,
    series_task,
    values,
)


def predictions(model: nn.Module, task: GraphTask, part: str) -> Tensor:
    """Predictions of the model for a part, without anything of the loop."""
    model.eval()
    with torch.no_grad():
        if task.kind == "link":
            graph, (pairs, _) = task.graph(0, part), task.split(0).pairs(part)
            if isinstance(model, GAE):
                return model.decode(model.encode(graph.x, graph.edge_index), pairs, sigmoid=False)
            z = model(graph.x, graph.edge_index)
            return model.decode(z, pairs) if hasattr(model, "decode") else (z[pairs[0]] * z[pairs[1]]).sum(dim=1)
        if not task.many:
            return model(task.data.x, task.data.edge_index)
        graphs = Batch.from_data_list(task.part(0, part))
        pooled = [graphs.batch] if isinstance(model, Pooled) else []
        return model(graphs.x, graphs.edge_index, *pooled)


@dataclass
class Run:
    case: Case
    task: GraphTask
    model: nn.Module
    result: FitResult
    states: list[dict[str, Tensor]]
    generators_moved: bool


@pytest.fixture(scope="module", params=CASES)
def run(request) -> Run:
    case = CASES[request.param]
    task, model, states = case.task(), initialised(case), []
    before = generators()
    result = fit(
        model, task, config=case.config, callback=lambda e, v, model: states.append(copy.deepcopy(model.state_dict()))
    )
    return Run(case, task, model, result, states, moved(before, generators()))


def test_what_no_constant_can_know_is_learned(run):
    if run.task.metric.direction == "maximize":
        assert run.result.test > run.case.bound
    else:
        assert run.result.test < run.case.bound
        # A constant is that wrong, at least.
        y = run.task.targets(0, "test").double()
        y = y[~y.isnan()]
        middle = y.median() if run.task.metric.name == "mae" else y.mean()
        assert run.task.metric.score(y, middle.expand_as(y)) > run.case.bound
    assert run.result.loss_curve[-1] < run.result.loss_curve[0]


def test_model_is_in_the_state_of_its_best_epoch(run):
    best = (max if run.task.metric.direction == "maximize" else min)(run.result.val_curve)
    assert run.result.val == best == run.result.val_curve[run.result.best_epoch]
    assert run.result.best_epoch == run.result.val_curve.index(best)
    state = run.model.state_dict()
    assert state.keys() == run.result.state_dict.keys() == run.states[0].keys()
    for name, value in state.items():
        assert torch.equal(value, run.result.state_dict[name])
        assert torch.equal(value, run.states[run.result.best_epoch][name])
    assert not run.model.training


@pytest.mark.parametrize("part", ["val", "test"])
def test_scores_are_those_of_the_restored_model(run, part):
    score = run.task.evaluate(predictions(run.model, run.task, part), 0, part)
    assert getattr(run.result, part) == pytest.approx(score, rel=1e-5)


def test_curves_have_an_entry_for_each_epoch(run):
    epochs = run.case.config.epochs
    result = run.result
    assert len(result.loss_curve) == len(result.val_curve) == len(result.epoch_seconds) == epochs
    assert min(result.epoch_seconds) > 0
    assert sum(result.epoch_seconds) <= result.seconds
    assert min(result.epoch_seconds) <= result.seconds_per_epoch <= max(result.epoch_seconds)
    assert all(math.isfinite(loss) for loss in result.loss_curve)
    assert result.peak_memory > 0
    assert result.split_hash == run.task.split(0).hash


def test_generators_are_left_alone(run):
    assert not run.generators_moved


def test_same_seed_is_bit_for_bit_the_same_and_another_is_not(run):
    results = []
    for i, seed in enumerate((3, 3, 4)):
        torch.manual_seed(i)
        np.random.seed(i)  # noqa: NPY002
        random.seed(i)
        config = dataclasses.replace(run.case.config, epochs=3, seed=seed)
        results.append(fit(initialised(run.case), run.task, config=config))
    first, second, other = results
    assert first.loss_curve == second.loss_curve != other.loss_curve
    assert first.val_curve == second.val_curve
    assert (first.test, first.best_epoch) == (second.test, second.best_epoch)
    assert all(torch.equal(value, second.state_dict[name]) for name, value in first.state_dict.items())
    assert not all(torch.equal(value, other.state_dict[name]) for name, value in first.state_dict.items())


def test_initialisation_is_the_caller_s(run):
    config = dataclasses.replace(run.case.config, epochs=1, lr=0.0)
    model = initialised(run.case)
    before = copy.deepcopy(model.state_dict())
    result = fit(model, run.task, config=config)
    assert all(torch.equal(value, before[name]) for name, value in result.state_dict.items())


@pytest.mark.parametrize(
    ("make_task", "settings", "message"),
    [
        (lambda: node_task(parity), {"batch_size": 8}, "batch_size=8 for nodes of one graph, expected neighbors or"),
        (lambda: graphs_task("node", parity), {"neighbors": (2,)}, "for nodes of one graph, but .* has several graphs"),
        (lambda: graphs_task("graph", parity), {"clusters": 2}, "for nodes of one graph, but .* has several graphs"),
        (series_task, {"clusters": 2}, "for nodes of one graph, but .* has several graphs"),
        (blocks_task, {"neighbors": (2,)}, "for nodes of one graph, but .* is a link task"),
        (blocks_task, {"clusters": 2}, "for nodes of one graph, but .* is a link task"),
        (lambda: node_task(values), {"class_weights": True}, "class weights need classes"),
        (blocks_task, {"class_weights": True}, "class weights need classes"),
        (series_task, {"class_weights": True}, "class weights need classes"),
    ],
)
def test_settings_that_do_not_fit_the_task_are_rejected(make_task, settings, message):
    with pytest.raises(InvalidDataError, match=message):
        fit(Layers(3, 2), make_task(), config=FitConfig(**settings))


def test_model_of_graphs_that_does_not_pool_is_rejected():
    with pytest.raises(InvalidDataError, match="pool the nodes of each graph, as with global_mean_pool"):
        fit(Layers(3, 2), graphs_task("graph", parity))


def test_model_with_too_few_classes_is_rejected(noisy_task):
    with pytest.raises(InvalidDataError, match="class"):
        fit(Layers(3, 2), noisy_task)


@pytest.mark.parametrize("name", ["graphs, values", "links", "series", "nodes, clusters"])
def test_divergence_is_an_error_of_each_kind(name):
    case = CASES[name]
    config = dataclasses.replace(case.config, lr=1e30, optimizer="sgd")
    with pytest.raises(DivergedError, match=r"diverge|learning rate"):
        fit(initialised(case), case.task(), config=config)
