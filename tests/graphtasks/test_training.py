import copy
import dataclasses
import os
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.nn.models import GCN

from graphtasks import DivergedError, FitConfig, GraphTask, InvalidDataError, fit, forward, load

SHORT = FitConfig(epochs=40, lr=0.05)


class Net(nn.Module):
    """Two layers with dropout, which see the features alone."""

    def __init__(self, columns: int = 3, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(nn.Linear(columns, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 3))

    def forward(self, x):
        return self.layers(x)


class Weighted(nn.Module):
    def forward(self, x, edge_weight=None):
        return x if edge_weight is None else edge_weight


class Modes(nn.Module):
    def forward(self, dmd_modes, x, *args, **kwargs):
        return dmd_modes - x


def weight_norm(model):
    return float(model.layers[0].weight.detach().norm())


def evaluate(model, task, part, split=0):
    model.eval()
    with torch.no_grad():
        return task.evaluate(forward(model, task.data), split, part)


def test_forward_passes_attributes_by_name(path_data):
    path_data.dmd_modes = 3 * torch.eye(6)
    assert torch.equal(forward(Modes(), path_data), 2 * torch.eye(6))


def test_forward_leaves_out_what_is_optional_and_not_there(path_data):
    assert torch.equal(forward(Weighted(), path_data), path_data.x)
    path_data.edge_weight = torch.rand(5)
    assert torch.equal(forward(Weighted(), path_data), path_data.edge_weight)


def test_forward_names_what_is_missing(path_data):
    with pytest.raises(InvalidDataError, match=r"Modes\.forward needs `dmd_modes`.* set data\.dmd_modes"):
        forward(Modes(), path_data)


def test_edge_weights_reach_a_model_of_pyg(noisy_task):
    torch.manual_seed(0)
    model = GCN(3, 8, num_layers=1, out_channels=3)
    weighted = copy.copy(noisy_task.data)
    weighted.edge_weight = torch.zeros(weighted.num_edges)
    # Without neighbours, GCN is a linear layer.
    assert torch.allclose(forward(model, weighted), model.convs[0].lin(weighted.x), atol=1e-6)
    assert not torch.allclose(forward(model, noisy_task.data), forward(model, weighted), atol=1e-3)


def test_result_is_the_first_best_validation_epoch(noisy_task):
    result = fit(Net(), noisy_task, config=SHORT)
    assert result.val == max(result.val_curve) == result.val_curve[result.best_epoch]
    assert result.val_curve.index(result.val) == result.best_epoch
    assert result.val_curve.count(result.val) > 1, "a run without ties does not show which one is taken"
    assert len(result.loss_curve) == len(result.val_curve) == SHORT.epochs


def test_model_is_left_in_the_best_state(noisy_task):
    model, states = Net(), []
    result = fit(
        model,
        noisy_task,
        config=SHORT,
        callback=lambda epoch, val, model: states.append(copy.deepcopy(model.state_dict())),
    )
    assert 0 < result.best_epoch < SHORT.epochs - 1
    for name, value in model.state_dict().items():
        assert torch.equal(value, states[result.best_epoch][name])
        assert torch.equal(value, result.state_dict[name])
    assert not model.training
    assert result.test == evaluate(model, noisy_task, "test")
    assert result.val == evaluate(model, noisy_task, "val")


def test_returned_state_is_a_copy(noisy_task):
    model = Net()
    result = fit(model, noisy_task, config=FitConfig(epochs=2))
    before = copy.deepcopy(result.state_dict)
    fit(model, noisy_task, config=FitConfig(epochs=2))
    assert all(torch.equal(result.state_dict[name], value) for name, value in before.items())


def test_callback_sees_each_epoch(noisy_task):
    seen = []
    result = fit(Net(), noisy_task, config=SHORT, callback=lambda epoch, val, model: seen.append((epoch, val)))
    assert seen == list(enumerate(result.val_curve))


def test_dropout_is_on_in_training_alone(noisy_task):
    model, modes = Net(), []
    model.register_forward_hook(lambda model, args, output: modes.append(model.training))
    fit(model, noisy_task, config=FitConfig(epochs=3))
    assert modes == [True, False] * 3 + [False]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_weight_decay_shrinks_weights(noisy_task, optimizer):
    norms = {0.0: [], 0.5: []}
    for weight_decay, curve in norms.items():
        config = FitConfig(epochs=20, lr=0.05, weight_decay=weight_decay, optimizer=optimizer)
        fit(Net(), noisy_task, config=config, callback=lambda e, v, model, c=curve: c.append(weight_norm(model)))
    assert norms[0.5][-1] < 0.8 * norms[0.0][-1]


def test_metric_decides_whether_less_is_better(noisy_task):
    errors = dataclasses.replace(
        noisy_task.metric, direction="minimize", score=lambda y, pred: float((pred.argmax(axis=1) != y).mean())
    )
    result = fit(Net(), noisy_task.replace(metric=errors), config=SHORT)
    assert result.val == min(result.val_curve) < result.val_curve[0]
    assert result.best_epoch == result.val_curve.index(result.val)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_same_seed_same_curves(noisy_task, optimizer):
    config = FitConfig(epochs=15, optimizer=optimizer, seed=5)
    torch.manual_seed(1)
    first = fit(Net(), noisy_task, config=config)
    torch.manual_seed(2)
    second = fit(Net(), noisy_task, config=config)
    assert first.loss_curve == second.loss_curve
    assert first.val_curve == second.val_curve
    assert all(torch.equal(value, second.state_dict[name]) for name, value in first.state_dict.items())


def test_other_seed_other_dropout(noisy_task):
    first, second = (fit(Net(), noisy_task, config=FitConfig(epochs=3, seed=seed)) for seed in (0, 1))
    assert first.loss_curve[0] != second.loss_curve[0]


def test_global_generators_and_data_are_left_alone(noisy_task):
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    x, keys = noisy_task.data.x.clone(), list(noisy_task.data.keys())
    fit(Net(), noisy_task, config=FitConfig(epochs=3))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]
    assert torch.equal(noisy_task.data.x, x)
    assert list(noisy_task.data.keys()) == keys


@pytest.mark.parametrize("patience", [1, 4])
def test_patience_stops_after_so_many_epochs_without_progress(noisy_task, patience):
    still = fit(Net(), noisy_task, config=FitConfig(lr=0.0, patience=patience))
    assert (still.best_epoch, len(still.val_curve)) == (0, patience + 1)


def test_patience_counts_from_the_best_epoch_and_changes_nothing_before(noisy_task):
    free = fit(Net(), noisy_task, config=FitConfig(epochs=80, lr=0.02))
    stopped = fit(Net(), noisy_task, config=FitConfig(epochs=80, lr=0.02, patience=7))
    assert len(stopped.val_curve) == stopped.best_epoch + 8 < 80
    assert stopped.val_curve == free.val_curve[: len(stopped.val_curve)]


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 0.05), ("adamw", 0.05), ("sgd", 0.1)])
def test_learnable_problem_is_learned(path_data, optimizer, lr):
    y = torch.arange(90) % 3
    x = torch.eye(3)[y]
    masks = {f"{part}_mask": torch.arange(90) // 30 == i for i, part in enumerate(("train", "val", "test"))}
    task = GraphTask.from_data(path_data.clone().update({"x": x, "y": y, **masks}))
    result = fit(Net(), task, config=FitConfig(lr=lr, epochs=60, optimizer=optimizer))
    assert (result.val, result.test) == (1.0, 1.0)
    assert result.loss_curve[-1] < 0.2 * result.loss_curve[0]


def test_only_training_nodes_train(noisy_task):
    y = noisy_task.data.y.clone()
    hidden = torch.cat([noisy_task.split(0).val, noisy_task.split(0).test])
    y[hidden] = (y[hidden] + 1) % 3
    data = copy.copy(noisy_task.data)
    data.y = y
    first, second = (fit(Net(), task, config=SHORT) for task in (noisy_task, noisy_task.replace(data=data)))
    assert first.loss_curve == second.loss_curve
    assert first.val_curve != second.val_curve


def test_split_is_the_one_asked_for():
    task = load("wine")
    result = fit(Net(columns=13), task, split=2, config=FitConfig(epochs=5))
    assert result.split_hash == task.split(2).hash
    assert result.loss_curve != fit(Net(columns=13), task, split=3, config=FitConfig(epochs=5)).loss_curve


def test_metric_of_the_task_is_the_score(noisy_task):
    task = GraphTask.from_data(noisy_task.data, splits=noisy_task.splits, metric="macro_f1")
    model = Net()
    result = fit(model, task, config=SHORT)
    assert result.val == evaluate(model, task, "val") != evaluate(model, noisy_task, "val")


def test_divergence_is_an_error(noisy_task):
    task = noisy_task.transform(lambda data: data.clone().update({"x": 1e3 * data.x}))
    with pytest.raises(DivergedError, match="lower"):
        fit(Net(), task, config=FitConfig(lr=1e38, optimizer="sgd"))


def test_infinite_loss_is_an_error(noisy_task):
    class Certain(Net):
        def forward(self, x):
            return super().forward(x) + torch.tensor([0.0, 0.0, -torch.inf])

    with pytest.raises(DivergedError, match="the training loss is inf in epoch 0: lower the learning rate"):
        fit(Certain(), noisy_task)


@pytest.mark.parametrize(
    ("settings", "message"), [({"optimizer": "lion"}, "'lion', expected one of adam"), ({"epochs": 0}, "epochs=0")]
)
def test_bad_settings_are_rejected(settings, message):
    with pytest.raises(InvalidDataError, match=message):
        FitConfig(**settings)


def test_unknown_split_is_rejected(noisy_task):
    with pytest.raises(InvalidDataError, match="got split 1"):
        fit(Net(), noisy_task, split=1)


def test_other_kinds_of_task_are_rejected(noisy_task):
    with pytest.raises(InvalidDataError, match="of kind 'graph'"):
        fit(Net(), noisy_task.replace(kind="graph"))


@pytest.mark.real_data
@pytest.mark.skipif("GRAPHTASKS_ROOT" not in os.environ, reason="GRAPHTASKS_ROOT is not set")
def test_gcn_reaches_its_published_accuracy_on_cora(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    task, scores = load("cora"), []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = GCN(task.num_features, 64, num_layers=2, out_channels=task.num_classes, dropout=0.5)
        scores.append(fit(model, task, config=FitConfig(lr=0.01, weight_decay=5e-4, seed=seed)).test)
    assert 0.80 <= sum(scores) / 2 <= 0.835
