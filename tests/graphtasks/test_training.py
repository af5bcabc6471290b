import copy
import dataclasses
import os
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn.models import GCN, GraphSAGE

from graphtasks import DivergedError, FitConfig, GraphTask, InvalidDataError, fit, forward, load, random_splits
from learners import Layers, Net, Weighted, node_task, ring, values

SHORT = FitConfig(epochs=40, lr=0.05)


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
    def errors(y, pred):
        return 1 - noisy_task.metric.score(y, pred)

    metric = dataclasses.replace(noisy_task.metric, direction="minimize", score=errors)
    result = fit(Net(), noisy_task.replace(metric=metric), config=SHORT)
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
    ("settings", "message"),
    [
        ({"optimizer": "lion"}, "'lion', expected one of adam"),
        ({"schedule": "step"}, "'step', expected one of constant, linear, cosine, plateau"),
        ({"epochs": 0}, "epochs=0, expected at least 1"),
        ({"patience": 0}, "patience=0, expected at least 1, or None"),
        ({"batch_size": 0}, "batch_size=0, expected at least 1, or None"),
        ({"clusters": 0}, "clusters=0, expected at least 1, or None"),
        ({"neighbors": ()}, r"neighbors=\(\), expected a positive number or -1 for each hop"),
        ({"neighbors": (5, 0)}, r"neighbors=\(5, 0\)"),
        ({"neighbors": (-2,)}, r"neighbors=\(-2,\)"),
        ({"neighbors": (5,), "clusters": 3}, "both neighbors and clusters"),
    ],
)
def test_bad_settings_are_rejected(settings, message):
    with pytest.raises(InvalidDataError, match=message):
        FitConfig(**settings)


def test_unknown_split_is_rejected(noisy_task):
    with pytest.raises(InvalidDataError, match="got split 1"):
        fit(Net(), noisy_task, split=1)


@pytest.mark.real_data
@pytest.mark.skipif("GRAPHTASKS_ROOT" not in os.environ, reason="GRAPHTASKS_ROOT is not set")
def test_gcn_reaches_its_published_accuracy_on_cora(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    task = load("cora")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GCN(task.num_features, 16, num_layers=2, out_channels=task.num_classes, dropout=0.5)
    result = fit(model, task, config=FitConfig(epochs=120, lr=0.01, weight_decay=5e-4))
    assert 0.79 <= result.test <= 0.84


# Targets that the loss counts


class Alone(nn.Module):
    """A layer for each node alone, so that all batches are as good."""

    def __init__(self, columns: int = 3, outputs: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(columns, outputs)

    def forward(self, x):
        return self.layer(x)


def test_class_weights_help_the_rare_class():
    generator = torch.Generator().manual_seed(0)
    y = (torch.arange(200) % 10 == 0).long()
    x = torch.stack([y + 1.0 * torch.randn(200, generator=generator), torch.ones(200)], dim=1)
    data = Data(x=x, y=y, edge_index=ring(200))
    task = GraphTask.from_data(data, splits=random_splits(200, count=1), metric="balanced_accuracy")

    shares = []
    for class_weights in (True, False):
        torch.manual_seed(0)
        model = Alone(2, 2)
        fit(model, task, config=FitConfig(epochs=40, lr=0.2, class_weights=class_weights))
        shares.append((model(x).argmax(dim=1) == 1).float().mean().item())
    # A rare class of one in ten with so much noise is hardly ever more likely than the other.
    assert shares[0] > 2 * shares[1]


@pytest.mark.parametrize("settings", [{"neighbors": (-1,), "batch_size": 5}, {"clusters": 6}], ids=["hops", "clusters"])
@pytest.mark.parametrize("class_weights", [False, True])
def test_loss_of_an_epoch_is_that_of_its_targets_however_they_are_batched(noisy_task, settings, class_weights):
    torch.manual_seed(0)
    model = Alone()
    config = FitConfig(epochs=1, lr=0.0, class_weights=class_weights)
    whole = fit(model, noisy_task, config=config)
    batched = fit(model, noisy_task, config=dataclasses.replace(config, **settings))
    assert batched.loss_curve == pytest.approx(whole.loss_curve, rel=1e-5)


def test_missing_values_do_not_stop_a_training_in_batches():
    # Each batch has one node, and many of those have no value.
    task = node_task(values)
    for settings in ({"neighbors": (1,), "batch_size": 1}, {"clusters": 45}):
        assert len(fit(Layers(3, 1), task, config=FitConfig(epochs=2, **settings)).loss_curve) == 2


class Allocating(Net):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x):
        return super().forward(x) + 0 * torch.ones(self.size // 4).sum()


def test_peak_memory_grows_with_what_a_model_allocates(noisy_task):
    small, large = (fit(Allocating(size), noisy_task, config=FitConfig(epochs=1)).peak_memory for size in (4, 2**27))
    assert large - small > 2**26


# Models


@pytest.mark.filterwarnings("ignore")  # within torch.compile
def test_compiled_models_are_trained(noisy_task):
    torch.manual_seed(0)
    plain = GraphSAGE(3, 8, num_layers=1, out_channels=3)
    compiled = torch.compile(copy.deepcopy(plain), backend="eager")
    config = FitConfig(epochs=3)
    results = [fit(model, noisy_task, config=config) for model in (plain, compiled)]
    assert results[0].loss_curve == pytest.approx(results[1].loss_curve, rel=1e-5)


def test_frozen_parameters_stay(noisy_task):
    model = Net()
    model.layers[0].requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    fit(model, noisy_task, config=FitConfig(epochs=3))
    assert torch.equal(model.layers[0].weight, before["layers.0.weight"])
    assert not torch.equal(model.layers[3].weight, before["layers.3.weight"])


def test_buffers_are_restored(noisy_task):
    model, states = nn.ModuleDict(), []

    class Normed(Net):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x):
            return super().forward(self.norm(x))

    model = Normed()
    result = fit(
        model, noisy_task, config=SHORT, callback=lambda e, v, m: states.append(m.norm.num_batches_tracked.item())
    )
    assert 0 < result.best_epoch < SHORT.epochs - 1
    assert model.norm.num_batches_tracked.item() == states[result.best_epoch] == result.best_epoch + 1


def test_model_without_parameters_is_rejected(noisy_task):
    with pytest.raises(InvalidDataError, match="Weighted has no parameters: there is nothing to train"):
        fit(Weighted(), noisy_task)
