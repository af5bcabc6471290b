import copy
import dataclasses
import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GAE, VGAE, GCNConv, SAGEConv, global_mean_pool
from torch_geometric.nn.models import GCN, GraphSAGE

from graphtasks import (
    DivergedError,
    FitConfig,
    FitResult,
    GraphTask,
    InvalidDataError,
    fit,
    forward,
    link_task,
    load,
    random_splits,
)
from graphtasks.randomness import seeded
from graphtasks.splits import time_splits

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


# Each kind of task, in each way in which it is trained


class Layers(nn.Module):
    """Two convolutions with dropout."""

    def __init__(self, columns: int, outputs: int, conv: type[nn.Module] = SAGEConv, dropout: float = 0.1) -> None:
        super().__init__()
        self.convs = nn.ModuleList([conv(columns, 16), conv(16, outputs)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, edge_index):
        return self.convs[1](self.dropout(self.convs[0](x, edge_index).relu()), edge_index)


class Pooled(Layers):
    """One row for each graph."""

    def forward(self, x, edge_index, batch):
        return global_mean_pool(super().forward(x, edge_index), batch)


class Ordered(Layers):
    """Scores an edge from one node to another, which need not be that of its reverse."""

    def __init__(self, columns: int) -> None:
        super().__init__(columns, 8)
        self.score = nn.Bilinear(8, 8, 1)

    def decode(self, z, pairs):
        return self.score(z[pairs[0]], z[pairs[1]])


class Variational(nn.Module):
    def __init__(self, columns: int) -> None:
        super().__init__()
        self.mu, self.logstd = GCNConv(columns, 8), GCNConv(columns, 8)

    def forward(self, x, edge_index):
        return self.mu(x, edge_index), self.logstd(x, edge_index)


def ring(n: int, undirected: bool = True) -> Tensor:
    edges = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    return torch.cat([edges, edges.flip(0)], dim=1) if undirected else edges


def node_task(make_y: Callable[[Tensor], Tensor], **options) -> GraphTask:
    """A directed ring whose targets are those of the node before: features of a node alone tell nothing."""
    x = torch.randn(90, 3, generator=torch.Generator().manual_seed(0))
    data = Data(x=x, y=make_y(x.roll(1, dims=0)), edge_index=ring(90, undirected=False))
    return GraphTask.from_data(data, splits=random_splits(90, count=2), **options)


def labels(x: Tensor) -> Tensor:
    """One label of two, the other with some missing."""
    y = (x[:, :2] > 0).float()
    y[::7, 1] = torch.nan
    return y


def values(x: Tensor) -> Tensor:
    """Values, some of them missing."""
    y = x.sum(dim=1)
    y[::9] = torch.nan
    return y


def graphs_task(kind: str, make_y: Callable[[Tensor], Tensor], **options) -> GraphTask:
    generator, graphs = torch.Generator().manual_seed(0), []
    for i in range(60):
        size = 3 + i % 3
        x = torch.randn(size, 3, generator=generator) + torch.randn(1, 3, generator=generator)
        y = make_y(x.roll(1, dims=0)) if kind != "graph" else make_y(x.mean(dim=0, keepdim=True))
        graphs.append(Data(x=x, y=y, edge_index=ring(size, undirected=False)))
    splits = 2 * time_splits(60) if kind == "temporal" else random_splits(60, count=2)
    return GraphTask.from_data(graphs, kind=kind, splits=splits, **options)


def blocks_task() -> GraphTask:
    """Edges within two blocks, which features show with noise."""
    generator = torch.Generator().manual_seed(0)
    block = torch.arange(60) % 2
    pairs = torch.combinations(torch.arange(60)).t()
    chance = torch.where(block[pairs[0]] == block[pairs[1]], 0.25, 0.01)
    edges = pairs[:, torch.rand(pairs.size(1), generator=generator) < chance]
    x = torch.eye(2)[block] + 0.5 * torch.randn(60, 2, generator=generator)
    return link_task(Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], dim=1)))


def arrows_task() -> GraphTask:
    """Edges from one block to the other, never back; what is symmetric cannot tell them from their reverses."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.cartesian_prod(torch.arange(30), torch.arange(30, 60)).t()
    edges = edges[:, torch.rand(edges.size(1), generator=generator) < 0.2]
    x = torch.eye(2)[torch.arange(60) // 30] + 0.5 * torch.randn(60, 2, generator=generator)
    return link_task(Data(x=x, edge_index=edges))


def series_task() -> GraphTask:
    """What a node will have is what the node before it has."""
    generator, edge_index = torch.Generator().manual_seed(0), ring(10, undirected=False)
    x = torch.randn(40, 10, 2, generator=generator)
    snapshots = [Data(x=now, y=now[:, -1].roll(1), edge_index=edge_index) for now in x]
    return GraphTask.from_data(snapshots, kind="temporal", splits=time_splits(40), metric="mse")


TRAINED = FitConfig(epochs=25, lr=0.05, weight_decay=0.0)


@dataclass
class Case:
    """A task with a model, and the score that nobody reaches without learning."""

    task: Callable[[], GraphTask]
    model: Callable[[], nn.Module]
    bound: float
    config: FitConfig = TRAINED


def trained(**changes) -> FitConfig:
    return dataclasses.replace(TRAINED, **changes)


def parity(x: Tensor) -> Tensor:
    return (x[:, 0] > 0).long()


CASES = {
    "nodes": Case(lambda: node_task(parity), lambda: Layers(3, 2), 0.8),
    "nodes, neighbours": Case(
        lambda: node_task(parity), lambda: Layers(3, 2), 0.8, trained(epochs=12, neighbors=(2, 2), batch_size=16)
    ),
    "nodes, clusters": Case(
        lambda: node_task(parity), lambda: Layers(3, 2), 0.8, trained(epochs=12, clusters=6, batch_size=2)
    ),
    "nodes, values": Case(lambda: node_task(values), lambda: Layers(3, 1), 1.5),
    "nodes, labels": Case(lambda: node_task(labels), lambda: Layers(3, 2), 0.75),
    "nodes of many graphs": Case(
        lambda: graphs_task("node", parity), lambda: Layers(3, 2), 0.8, trained(epochs=12, batch_size=12)
    ),
    "values of many graphs": Case(
        lambda: graphs_task("node-regression", values), lambda: Layers(3, 1), 2.0, trained(epochs=12, batch_size=12)
    ),
    "graphs": Case(lambda: graphs_task("graph", parity), lambda: Pooled(3, 2), 0.8, trained(epochs=12, batch_size=12)),
    "graphs, values": Case(
        lambda: graphs_task("graph", lambda x: x[:, :1], metric="mae"),
        lambda: Pooled(3, 1),
        0.5,
        trained(epochs=12, batch_size=12),
    ),
    "graphs, labels": Case(
        lambda: graphs_task("graph", lambda x: (x[:, :2] > 0).float()),
        lambda: Pooled(3, 2),
        0.8,
        trained(epochs=12, batch_size=12),
    ),
    "links": Case(blocks_task, lambda: Layers(2, 8), 0.7),
    "links, batches": Case(blocks_task, lambda: Layers(2, 8), 0.7, trained(epochs=8, batch_size=64)),
    "links, decode": Case(arrows_task, lambda: Ordered(2), 0.8),
    "links, GAE": Case(blocks_task, lambda: GAE(GCN(2, 8, num_layers=1)), 0.65),
    "links, VGAE": Case(blocks_task, lambda: VGAE(Variational(2)), 0.65),
    "series": Case(series_task, lambda: Layers(2, 1), 0.6, trained(epochs=12, batch_size=7)),
}


def initialised(case: Case) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return case.model()


def predictions(model: nn.Module, task: GraphTask, part: str) -> Tensor:
    """What the model gives for a part, without anything of the loop."""
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


def generators() -> tuple[Tensor, Tensor, tuple]:
    state = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state(), torch.from_numpy(state[1].astype(np.int64)), (random.getstate(), state[2:])


def moved(before: tuple, after: tuple) -> bool:
    return not (torch.equal(before[0], after[0]) and torch.equal(before[1], after[1]) and before[2] == after[2])


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


# Learning rates


@pytest.fixture
def rates():
    """The learning rate of each step."""
    seen: list[float] = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, args, kwargs: seen.append(optimizer.param_groups[0]["lr"])
    )
    yield seen
    handle.remove()


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        ("constant", lambda share: 1.0),
        ("linear", lambda share: 1 - share),
        ("cosine", lambda share: (1 + math.cos(math.pi * share)) / 2),
    ],
)
@pytest.mark.parametrize("epochs", [1, 10])
def test_schedules_follow_their_formula(noisy_task, rates, schedule, factor, epochs):
    fit(Net(), noisy_task, config=FitConfig(epochs=epochs, lr=0.2, schedule=schedule))
    assert rates == pytest.approx([0.2 * factor(epoch / epochs) for epoch in range(epochs)])


def test_rate_is_the_same_in_all_steps_of_an_epoch(noisy_task, rates):
    fit(Net(), noisy_task, config=FitConfig(epochs=3, lr=0.3, schedule="linear", neighbors=(1,), batch_size=10))
    assert rates == pytest.approx([0.3] * 3 + [0.2] * 3 + [0.1] * 3)


class Scripted(nn.Module):
    """Gives the next value of a script in each epoch, whatever it is trained to."""

    def __init__(self, script: list[float]) -> None:
        super().__init__()
        self.zero, self.script, self.epoch = nn.Parameter(torch.zeros(())), script, 0

    def forward(self, x):
        self.epoch += self.training
        return self.zero * 0 + torch.full((len(x),), self.script[self.epoch - 1])


def scripted_task(direction: str) -> GraphTask:
    """Scores are the prediction itself, or less it where less is better."""
    task = node_task(values)
    sign = 1.0 if direction == "maximize" else -1.0
    metric = dataclasses.replace(task.metric, direction=direction, score=lambda y, pred: sign * float(pred[0]))
    return task.replace(metric=metric)


DIRECTIONS = pytest.mark.parametrize("direction", ["maximize", "minimize"])


@DIRECTIONS
@pytest.mark.parametrize("level", [-2.0, 0.0, 3.0])
def test_plateau_halves_the_rate_where_the_score_stands_still(rates, direction, level):
    fit(Scripted([level] * 36), scripted_task(direction), config=FitConfig(epochs=36, lr=0.4, schedule="plateau"))
    # Steps of the first epoch, which is the best one, of more than 10 without a better one, and so on.
    halvings = [sum(rate == 0.4 / 2**i for rate in rates) for i in range(4)]
    assert halvings in ([12, 11, 11, 2], [11, 10, 10, 5])


@DIRECTIONS
@pytest.mark.parametrize("start", [-3.0, 2.0])
def test_plateau_keeps_the_rate_while_the_score_rises(rates, direction, start):
    script = [start + 0.01 * epoch for epoch in range(30)]
    fit(Scripted(script), scripted_task(direction), config=FitConfig(epochs=30, lr=0.4, schedule="plateau"))
    assert set(rates) == {0.4}


@DIRECTIONS
@pytest.mark.parametrize("start", [-3.0, 2.0])
def test_plateau_halves_the_rate_while_the_score_falls(rates, direction, start):
    script = [start - 1e-6 * epoch for epoch in range(14)]
    fit(Scripted(script), scripted_task(direction), config=FitConfig(epochs=14, lr=0.4, schedule="plateau"))
    assert rates[-1] == 0.2


@DIRECTIONS
def test_best_epoch_and_patience_follow_the_direction(direction):
    script = [0.0, 1.0, 3.0, 2.0, 3.0, 2.5, 9.0]
    result = fit(Scripted(script), scripted_task(direction), config=FitConfig(epochs=7, patience=3))
    sign = 1.0 if direction == "maximize" else -1.0
    assert result.best_epoch == 2, "of equal scores the first is the best"
    assert result.val_curve == [sign * value for value in script[:6]]
    assert result.val == sign * 3.0


# What is counted


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


# What does not fit together


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


# Seeds of a block


def draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), np.random.rand(), random.random()  # noqa: NPY002


def test_seeded_block_draws_the_same_each_time_and_leaves_no_trace():
    before = generators()
    draws = []
    for seed in (0, 0, 1):
        with seeded(seed):
            draws.append(draw())
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[0], draws[2], strict=True))
    assert not moved(before, generators())


def test_seeded_block_leaves_no_trace_of_an_error():
    before = generators()
    with pytest.raises(ZeroDivisionError), seeded(0):
        1 / int(0 * sum(draw()))
    assert not moved(before, generators())


def test_seeded_blocks_nest():
    with seeded(0):
        expected = draw(), draw()
    with seeded(0):
        first = draw()
        with seeded(5):
            draw()
        assert (first, draw()) == expected


def test_seeds_beyond_32_bits_are_seeds():
    with seeded(2**40 + 1):
        first = draw()
    with seeded(2**40 + 1):
        assert draw() == first


def test_an_error_in_training_leaves_the_generators_alone(noisy_task):
    before = generators()
    with pytest.raises(DivergedError):
        fit(Net(), noisy_task, config=FitConfig(lr=1e38, optimizer="sgd", epochs=50))
    assert not moved(before, generators())
