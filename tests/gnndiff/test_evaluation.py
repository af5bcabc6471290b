"""Scores and outputs of many networks against those of one after the other."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import BatchNorm, GCNConv, InstanceNorm, global_mean_pool
from torch_geometric.nn.models import GAT, GCN

import graphtasks
import small_tasks
from gnndiff.errors import ConfigError, ZooError
from gnndiff.evaluation import Evaluator, stack, unstack
from gnndiff.live_bytes import LiveBytes
from gnndiff.targets import available, find
from gnndiff.targets.base import IMPOSSIBLE, full_space
from gnndiff.targets.build import Preparations, build
from gnndiff.testing import corners
from graphtasks import FitConfig, GraphTask, random_splits

CPU = torch.device("cpu")
COUNT = 5
# Wherever matrices are multiplied, or nothing but PyG's gathers and scatters are used.
AT_ONCE = {"mlp", "gcn", "sage", "appnp", "sgc", "gprgnn", "mixhop", "cheb", "gin", "dmdgnn"}


def one_by_one(networks, task, config=None, part="val"):
    return [graphtasks.predict(network, task, 0, part, config) for network in networks]


def cases():
    """Each target on each kind of task, with the first choices of its space or the last."""
    for i, (name, make) in enumerate(small_tasks.TASKS.items()):
        for j, target in enumerate(available(make().kind)):
            yield pytest.param(target, name, -((i + j) % 2), id=f"{target}-{name}")


@pytest.mark.parametrize(("name", "task_name", "end"), list(cases()))
def test_targets_answer_together_as_they_do_alone(name, task_name, end):
    target, task = find(name), small_tasks.TASKS[task_name]()
    try:
        setting = corners(full_space(target, task))[end]
        prepared = Preparations(target, task)(setting)
        networks = [build(target, prepared, setting, seed, CPU).eval() for seed in range(COUNT)]
    except (*IMPOSSIBLE, ConfigError) as error:
        pytest.skip(f"the target refuses the task: {error}")
    evaluator = Evaluator(networks[0], prepared)
    states = stack([network.state_dict() for network in networks])
    shared = [copy.deepcopy(evaluator.module) for _ in networks]
    for module, state in zip(shared, unstack(states), strict=True):
        module.load_state_dict(state, strict=False)
    expected = torch.stack(one_by_one(shared, prepared))
    torch.testing.assert_close(torch.cat(list(evaluator.outputs(states, "val"))), expected, atol=1e-4, rtol=1e-4)
    assert evaluator.scores(states, "val") == pytest.approx(
        [prepared.evaluate(out, 0, "val") for out in expected], rel=1e-4
    )
    mean = prepared.average(expected)
    assert evaluator.ensemble(states, "val") == pytest.approx(prepared.evaluate(mean, 0, "val"), rel=1e-4)
    if name in AT_ONCE:
        assert evaluator._at_once["val"] >= COUNT


def sparse_task(num_nodes=30, columns=40):
    """A task whose features are multiplied as sparse ones."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(num_nodes, columns, generator=generator) < 0.05).float()
    nodes = torch.arange(num_nodes)
    ring = torch.stack([nodes, nodes.roll(-1)])
    data = Data(x=x, edge_index=torch.cat([ring, ring.flip(0)], dim=1), y=nodes % 3)
    return GraphTask.from_data(data, name="sparse", splits=random_splits(num_nodes))


@pytest.mark.parametrize("hidden", [1, 7, 200])
def test_sparse_products_of_all_networks_are_those_of_each(hidden):
    target, task = find("gcn"), sparse_task()
    setting = {"hidden": hidden, "dropout": 0.5}
    prepared = Preparations(target, task)(setting)
    networks = [build(target, prepared, setting, seed, CPU).eval() for seed in range(9)]
    evaluator = Evaluator(networks[0], prepared)
    found = torch.cat(list(evaluator.outputs(stack([n.state_dict() for n in networks]), "val")))
    assert evaluator._at_once["val"] > 1
    torch.testing.assert_close(found, torch.stack(one_by_one(networks, prepared)), atol=1e-5, rtol=1e-5)


class InPlace(nn.Module):
    def __init__(self, features=2, outputs=3):
        super().__init__()
        self.lin = nn.Linear(features, outputs)

    def forward(self, x):
        table = torch.zeros(len(x), self.lin.out_features)
        table += self.lin(x)
        return table


class Branch(InPlace):
    def forward(self, x):
        return self.lin(x) if self.lin.weight.sum() > 0 else -2 * self.lin(x)


class Counting(InPlace):
    """Right for one network, another for each with the second of several."""

    calls = 0

    def forward(self, x):
        Counting.calls += 1
        return self.lin(x) * (1 if self.lin.weight.data_ptr() else 0)


class Nested(InPlace):
    def forward(self, x):
        halves = torch.nested.nested_tensor([self.lin(x[:2]), self.lin(x[2:])])
        return torch.cat(list(halves.unbind()))


class Unwrapped(InPlace):
    """Silently wrong under vmap: it looks at the first network alone."""

    def forward(self, x):
        weight = self.lin.weight
        if torch._C._functorch.is_batchedtensor(weight):
            weight = torch._C._functorch.get_unwrapped(weight)[0]
        return x @ weight.t() + self.lin.bias


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("cls", [InPlace, Branch, Counting, Nested, Unwrapped])
def test_modules_that_vmap_cannot_run_answer_one_by_one(cls):
    task = small_tasks.TASKS["node"]()
    networks = [cls() for _ in range(4)]
    evaluator = Evaluator(networks[0], task)
    states = stack([network.state_dict() for network in networks])
    for _ in range(2):
        found = torch.cat(list(evaluator.outputs(states, "val")))
        torch.testing.assert_close(found, torch.stack(one_by_one(networks, task)))
    assert evaluator._at_once == {"val": 1}


def test_an_error_of_the_module_itself_is_not_hidden():
    class Wrong(InPlace):
        def forward(self, x):
            raise KeyError("mine")

    states = stack([Wrong().state_dict() for _ in range(3)])
    with pytest.raises(KeyError, match="mine"):
        Evaluator(Wrong(), small_tasks.TASKS["node"]()).scores(states, "val")


def test_a_network_with_nan_gets_the_worst_score_and_the_others_theirs():
    for name in ("node", "node values", "graph values", "link"):
        task = small_tasks.TASKS[name]()
        networks = [build(find("mlp"), task, {"hidden": 4, "dropout": 0.0}, seed, CPU) for seed in range(3)]
        good = [network.state_dict() for network in networks]
        bad = {key: torch.full_like(tensor, torch.nan) for key, tensor in good[0].items()}
        evaluator = Evaluator(networks[0], task)
        scores = evaluator.scores(stack([bad, *good]), "val")
        assert scores[0] == task.metric.worst
        assert scores[1:] == pytest.approx([evaluator.scores(stack([state]), "val")[0] for state in good])


@given(st.integers(0, 2**31), st.integers(2, 5), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_accuracies_of_many_are_those_of_the_metric(seed, classes, count):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(-1, classes, (12,), generator=generator)
    y[:4], y[4] = 0, classes - 1  # in train and val
    split = graphtasks.Split(torch.arange(4), torch.arange(4, 9), torch.arange(9, 12))
    task = small_tasks.task_of("node", small_tasks.ring(12, y=y), "accuracy", [split])
    outputs = torch.randint(-2, 3, (count, 12, task.num_classes), generator=generator).float()  # with ties
    outputs[0, 5] = torch.nan
    evaluator = Evaluator(nn.Linear(2, classes), task)
    expected = [0.0, *(task.evaluate(out, 0, "val") for out in outputs[1:])]
    assert evaluator._scores(outputs, "val") == expected


class Normalised(nn.Module):
    def __init__(self, norm, outputs=3, pooled=False):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 4), norm, nn.Linear(4, outputs)
        self.pooled = pooled

    def forward(self, x, batch=None):
        h = nn.functional.dropout(self.first(x), 0.5, self.training)
        h = global_mean_pool(h, batch) if self.pooled else h
        return self.last(self.norm(h)).view(-1, self.last.out_features)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, BatchNorm])
def test_statistics_are_those_of_the_train_part(norm):
    task = small_tasks.TASKS["node"]()
    model = Normalised(norm(4))
    names = [name for name, _ in model.named_parameters()]
    states = {name: torch.stack([tensor.detach(), 2 * tensor.detach()]) for name, tensor in model.named_parameters()}
    for scale, state in enumerate(Evaluator(model, task).complete(states), 1):
        hidden = scale * (task.data.x @ model.first.weight.T + model.first.bias).detach()
        mean, var = (next(t for name, t in state.items() if name.endswith(end)) for end in ("_mean", "_var"))
        torch.testing.assert_close(mean, hidden.mean(dim=0))
        torch.testing.assert_close(var, hidden.var(dim=0))
        Normalised(norm(4)).load_state_dict(state)
    assert not any("running" in name for name in names)


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm1d(4), BatchNorm(4), InstanceNorm(4, track_running_stats=True), nn.BatchNorm1d(4, affine=False)],
)
@pytest.mark.parametrize("name", sorted(small_tasks.TASKS))
def test_statistics_are_never_negative_and_states_load_strictly(norm, name):
    task = small_tasks.TASKS[name]()
    model = Normalised(norm, task.num_outputs if task.kind != "link" else 4, pooled=task.kind == "graph")
    if task.kind == "graph" and isinstance(norm, InstanceNorm):
        pytest.skip("one row for each graph is no instance")
    evaluator = Evaluator(model, task)
    noise = {key: torch.randn(3, *tensor.shape) for key, tensor in model.named_parameters()}
    for state in evaluator.complete(noise):
        fresh = copy.deepcopy(model)
        fresh.load_state_dict(state, strict=True)
        assert all((tensor >= 0).all() for key, tensor in state.items() if key.endswith("running_var"))
    scores = evaluator.scores(noise, "val")
    assert scores == pytest.approx([evaluator.scores(each, "val")[0] for each in map(alone, unstack(noise))], rel=1e-4)


def alone(state):
    return {name: tensor.unsqueeze(0) for name, tensor in state.items()}


def test_a_last_batch_of_one_graph_has_statistics_too():
    graphs = [small_tasks.ring(4, y=torch.tensor([i % 2])) for i in range(9)]
    split = graphtasks.Split(torch.arange(5), torch.arange(5, 7), torch.arange(7, 9))
    task = small_tasks.task_of("graph", graphs, "accuracy", [split])
    model = Normalised(nn.BatchNorm1d(4), 2, pooled=True)
    evaluator = Evaluator(model, task, 0, FitConfig(batch_size=4))
    states = {name: tensor.detach().unsqueeze(0) for name, tensor in model.named_parameters()}
    assert evaluator.complete(states)[0]["norm.running_var"].isfinite().all()


def test_buffers_that_are_no_statistics_are_those_of_the_given_state():
    class Projected(InPlace):
        def __init__(self):
            super().__init__()
            self.register_buffer("projection", torch.randn(2, 2))

        def forward(self, x):
            return self.lin(x @ self.projection)

    first, second = Projected(), Projected()
    evaluator = Evaluator(first, small_tasks.TASKS["node"]()).with_buffers(second.state_dict())
    parameters = {name: tensor.detach().unsqueeze(0) for name, tensor in first.named_parameters()}
    (state,) = evaluator.complete(parameters)
    torch.testing.assert_close(state["projection"], second.projection)
    torch.testing.assert_close(state["lin.weight"], first.lin.weight.detach())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
        self.b.weight = self.a.weight
        self.last = nn.Linear(2, 3)

    def forward(self, x):
        return self.last(self.b(self.a(x).relu()))


def test_tied_parameters_stay_one():
    task, networks = small_tasks.TASKS["node"](), [Tied() for _ in range(3)]
    evaluator = Evaluator(networks[0], task)
    assert evaluator.parameter_names == ["a.weight", "last.weight", "last.bias"]
    states = stack([network.state_dict() for network in networks])
    torch.testing.assert_close(
        torch.cat(list(evaluator.outputs(states, "val"))), torch.stack(one_by_one(networks, task))
    )
    own = {name: states[name] for name in evaluator.parameter_names}
    for state, network in zip(evaluator.complete(own), networks, strict=True):
        Tied().load_state_dict(state)
        torch.testing.assert_close(state["b.weight"], network.a.weight.detach())


def test_lazy_modules_are_scored():
    def lazy(task, hidden):
        return GCN(-1, hidden, 2, task.num_classes)

    from gnndiff.targets import as_target

    task, target = small_tasks.TASKS["node"](), as_target(lazy, {"hidden": [4]})
    networks = [build(target, task, {"hidden": 4}, seed, CPU) for seed in range(3)]
    evaluator = Evaluator(networks[0], task)
    states = stack([network.state_dict() for network in networks])
    assert evaluator.scores(states, "val") == [task.evaluate(o, 0, "val") for o in one_by_one(networks, task)]
    networks[0].load_state_dict(evaluator.complete(states)[0])


@pytest.mark.parametrize("changes", [{"lin.weight": torch.zeros(2, 3, 5)}, {"other": torch.zeros(2, 3)}])
def test_states_of_another_architecture_are_refused(changes):
    states = {**stack([InPlace().state_dict() for _ in range(2)]), **changes}
    with pytest.raises(ZooError, match="expected"):
        Evaluator(InPlace(), small_tasks.TASKS["node"]()).scores(states, "val")


def test_batches_of_nodes_are_scored_on_the_whole_graph():
    task, networks = small_tasks.TASKS["node"](), [GCN(2, 4, 2, 3).eval() for _ in range(3)]
    config = FitConfig(neighbors=(2, 2), batch_size=2)
    evaluator = Evaluator(networks[0], task, 0, config)
    found = torch.cat(list(evaluator.outputs(stack([n.state_dict() for n in networks]), "val")))
    torch.testing.assert_close(found, torch.stack(one_by_one(networks, task, config)))


def test_as_many_at_once_as_a_training_has_room_for(monkeypatch):
    monkeypatch.setattr("gnndiff.evaluation.ROOM", 0)
    task = sparse_task(300)
    networks = [GAT(40, 8, 2, 3).eval() for _ in range(20)]
    evaluator = Evaluator(networks[0], task)
    states = stack([network.state_dict() for network in networks])
    expected = torch.stack(one_by_one(networks, task))
    torch.testing.assert_close(torch.cat(list(evaluator.outputs(states, "val"))), expected, atol=1e-5, rtol=1e-5)
    assert 1 <= evaluator._at_once["val"] < 20
    with LiveBytes() as training:
        networks[0](task.data.x, task.data.edge_index).sum().backward()
    with LiveBytes() as scoring:
        evaluator.scores(states, "val")
    assert scoring.peak <= 1.3 * training.peak


def test_a_lack_of_memory_of_many_leaves_one_by_one(monkeypatch):
    task, networks = small_tasks.TASKS["node"](), [GCN(2, 4, 2, 3).eval() for _ in range(6)]
    evaluator = Evaluator(networks[0], task)
    states = stack([network.state_dict() for network in networks])
    expected = evaluator.scores(states, "val")

    def exhausted(*args):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("gnndiff.evaluation.stacked_call", exhausted)
    assert evaluator.scores(states, "val") == expected
    assert evaluator._at_once["val"] == 1


def test_a_lack_of_memory_of_one_has_a_name():
    class Hungry(InPlace):
        def forward(self, x):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")

    states = stack([Hungry().state_dict()])
    with pytest.raises(graphtasks.OutOfMemoryError, match="hidden units"):
        Evaluator(Hungry(), small_tasks.TASKS["node"]()).scores(states, "val")


def test_live_bytes_count_new_memory_once():
    kept = torch.zeros(100)
    with LiveBytes() as live:
        view = kept.view(10, 10)[:5]
        assert live.peak == 0
        table = torch.zeros(10) + view[0]  # two of 40 bytes
        table.relu_()
    assert (live.now, live.peak) == (40, 80)
    del table
    assert live.now == 0


def test_products_with_max_and_mean_are_stacked_too():
    class Largest(nn.Module):
        def __init__(self, reduce):
            super().__init__()
            self.conv = GCNConv(2, 3, normalize=False, aggr=reduce)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index)

    from torch_geometric.transforms import ToSparseTensor

    matrix = ToSparseTensor(remove_edge_index=False, layout=torch.sparse_csr)
    task = small_tasks.TASKS["node"]().transform(matrix)
    for reduce in ("max", "mean", "min", "sum"):
        networks = [Largest(reduce) for _ in range(3)]
        evaluator = Evaluator(networks[0], task)
        found = torch.cat(list(evaluator.outputs(stack([n.state_dict() for n in networks]), "val")))
        torch.testing.assert_close(found, torch.stack(one_by_one(networks, task)))
        assert evaluator._at_once["val"] > 1
