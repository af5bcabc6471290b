import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.utils import to_networkx

from graphtasks import InvalidDataError
from graphtasks.sources.advection import advection


def weights(task):
    """The matrix A of the graph, from i to j, in double precision."""
    graph = task.graphs[0]
    matrix = torch.zeros(graph.num_nodes, graph.num_nodes, dtype=torch.float64)
    matrix[tuple(graph.edge_index)] = graph.edge_weight.double()
    return matrix


def step(task, speed):
    """The matrix of one step without noise, by the definition of the advection Laplacian."""
    matrix = weights(task)
    return torch.eye(len(matrix), dtype=torch.float64) - speed * (matrix.sum(dim=1).diag() - matrix.t())


def values(graphs):
    """Inputs (T, N, lags) and targets (T, N) in double precision."""
    return tuple(torch.stack([graph[key] for graph in graphs]).double() for key in ("x", "y"))


def linear_error(task, matrix, hops):
    """Error in the test part of least squares on the features propagated up to some hops, from the train part."""
    sides = {}
    for part in ("train", "test"):
        x, y = values(task.part(0, part))
        powers = [x[:, :, -1]]
        for _ in range(hops):
            powers.append(powers[-1] @ matrix.t())
        sides[part] = torch.stack(powers, dim=2).flatten(0, 1), y.view(-1, 1)
    solution = torch.linalg.lstsq(*sides["train"], driver="gelsd").solution
    return task.evaluate((sides["test"][0] @ solution).view(-1), 0, "test")


def errors(seed):
    """Errors by directed edges, by undirected ones normalised by degrees or by rows, and by persistence."""
    task, undirected = (advection("time", None, seed=seed, directed=directed) for directed in (True, False))
    matrix = weights(undirected)
    degree = matrix.sum(dim=1, keepdim=True)
    x = values(task.part(0, "test"))[0]
    return (
        linear_error(task, weights(task).t(), 8),
        min(linear_error(undirected, by, 8) for by in (matrix / (degree @ degree.t()).sqrt(), matrix / degree)),
        task.evaluate(x[:, :, -1].reshape(-1), 0, "test"),
    )


def test_direction_is_needed():
    """Over seeds 0 to 3 the undirected error is 1.8 to 2.4 times the directed one, that of persistence 3.4 to 4.7."""
    directed, undirected, persistence = torch.tensor([errors(seed) for seed in range(4)]).unbind(dim=1)
    assert (undirected > 1.4 * directed).all()
    assert (undirected / directed).mean() > 1.7
    assert (persistence > 2.5 * directed).all()


def test_directed_features_hold_the_best_forecast():
    """The error that remains is the noise that comes between, whose variance follows from the graph."""
    for seed in range(2):
        task = advection("time", None, seed=seed)
        matrix = step(task, 0.9)
        nodes = len(matrix)
        power, best = torch.eye(nodes, dtype=torch.float64) - 1 / nodes, 0.0
        for _ in range(8):
            best += float(power.square().sum()) / nodes
            power = matrix @ power
        x, y = values(advection("time", None, seed=seed, horizon=1).graphs)
        innovation = float((y - x[:, :, 0] @ matrix.t()).var())
        assert linear_error(task, weights(task).t(), 8) == pytest.approx(best * innovation, rel=0.1)


@settings(max_examples=8, deadline=None)
@given(
    degree=st.integers(1, 5),
    more=st.integers(1, 30),
    lags=st.integers(1, 3),
    horizon=st.integers(1, 6),
    speed=st.floats(0.05, 1.0),
    seed=st.integers(0, 2**31),
)
def test_values_follow_the_formula_and_keep_the_mass_without_noise(degree, more, lags, horizon, speed, seed):
    task = advection(
        "time",
        None,
        num_nodes=4 * degree + more,
        degree=degree,
        steps=11 * (horizon + lags),
        lags=lags,
        horizon=horizon,
        speed=speed,
        noise=0.0,
        seed=seed,
    )
    x, y = values(task.graphs)
    assert x.shape == (10 * (horizon + lags) + 1, 4 * degree + more, lags)
    tolerance = {"rtol": 0.0, "atol": 1e-5 * float(x.abs().max())}
    torch.testing.assert_close(y, x[:, :, -1] @ torch.linalg.matrix_power(step(task, speed), horizon).t(), **tolerance)
    torch.testing.assert_close(x[1:, :, :-1], x[:-1, :, 1:], rtol=0.0, atol=0.0)
    torch.testing.assert_close(x[horizon:, :, -1], y[:-horizon], rtol=0.0, atol=0.0)
    assert x[0, :, -1].std() > 0.1
    assert x.sum(dim=1).abs().max() <= len(x[0]) * tolerance["atol"]


@settings(max_examples=8, deadline=None)
@given(degree=st.integers(1, 6), more=st.integers(1, 60), seed=st.integers(0, 2**31))
def test_graph_leads_around_and_never_back(degree, more, seed):
    task = advection("time", None, num_nodes=4 * degree + more, degree=degree, steps=22, horizon=1, seed=seed)
    matrix = weights(task)
    assert nx.is_strongly_connected(to_networkx(task.graphs[0]))
    assert (matrix > 0).sum(dim=1).tolist() == [degree] * len(matrix)
    assert not (matrix * matrix.t()).any()
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(len(matrix), dtype=torch.float64))
    assert matrix.min() >= 0
    # Nothing leaves the graph.
    torch.testing.assert_close(step(task, 0.7).sum(dim=0), torch.ones(len(matrix), dtype=torch.float64))


def test_sources_are_as_strong_as_asked_for_and_balanced():
    parts = []
    for noise in (0.5, 1.0):
        task = advection("time", None, horizon=1, noise=noise)
        x, y = values(task.graphs)
        parts.append(y - x[:, :, 0] @ step(task, 0.9).t())
        assert x.sum(dim=1).abs().max() < 1e-3
    torch.testing.assert_close(2 * parts[0], parts[1], rtol=0.0, atol=1e-4)
    assert float(parts[1].std()) > 0.1
    # Without dependence of 80,000 numbers, the coefficient has a deviation of 0.004.
    assert abs(float(torch.corrcoef(torch.stack([parts[1][1:].flatten(), parts[1][:-1].flatten()]))[0, 1])) < 0.02


def test_undirected_form_has_the_same_values_and_no_directions():
    directed, undirected = (advection("time", None, steps=99, directed=value) for value in (True, False))
    for first, other in zip(directed.graphs, undirected.graphs, strict=True):
        assert torch.equal(first.x, other.x)
        assert torch.equal(first.y, other.y)
    assert torch.equal(weights(undirected), weights(directed) + weights(directed).t())
    assert (directed.directed, undirected.directed) == (True, False)
    assert directed.graphs[0].is_directed()
    assert undirected.graphs[0].is_undirected()


@pytest.mark.parametrize(
    "options", [{}, {"steps": 99}, {"steps": 143, "lags": 5}, {"steps": 154, "lags": 1, "horizon": 13}]
)
def test_no_value_of_the_test_part_is_a_target_of_the_train_part(options):
    task = advection("time", None, **options)
    (x, y), (_, train) = values(task.part(0, "test")), values(task.part(0, "train"))
    known = {tuple(target) for target in train.tolist()}
    assert len(known) == len(train)
    assert known.isdisjoint(map(tuple, y.tolist()))
    assert known.isdisjoint(map(tuple, x.transpose(1, 2).flatten(0, 1).tolist()))
    assert known.isdisjoint(map(tuple, values(task.part(0, "val"))[1].tolist()))


def test_task_is_a_series_on_one_graph():
    task = advection("time", None, lags=2)
    assert (task.kind, task.metric.name, task.num_nodes, task.num_features) == ("temporal", "mse", 200, 2)
    assert len(task.graphs) == 400 - 8 - 2 + 1
    assert all(graph.edge_index is task.graphs[0].edge_index for graph in task.graphs)
    assert all(graph.edge_weight is task.graphs[0].edge_weight for graph in task.graphs)
    assert {(graph.x.dtype, graph.y.dtype, graph.edge_weight.dtype) for graph in task.graphs} == {(torch.float32,) * 3}


def test_seed_decides_everything_and_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    first, again, other = (advection("time", None, steps=99, seed=seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(values(first.graphs), values(again.graphs), strict=True))
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))
    assert not torch.equal(first.graphs[0].x, other.graphs[0].x)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_nodes": 12}, "num_nodes=12, degree=3, .* expected degree >= 1, num_nodes > 4"),
        ({"degree": 0}, "degree=0"),
        ({"speed": 0.0}, "speed=0.0"),
        ({"speed": 1.1}, "speed=1.1"),
        ({"speed": float("nan")}, "speed=nan"),
        ({"noise": -1.0}, "noise=-1.0"),
        ({"noise": float("inf")}, "noise=inf"),
        ({"lags": 0}, "lags=0"),
        ({"horizon": 0}, "horizon=0"),
        ({"steps": 98}, r"steps=98, .* expected .* steps >= 11 \* \(horizon \+ lags\)"),
    ],
)
def test_bad_options_are_rejected(options, message):
    with pytest.raises(InvalidDataError, match=message):
        advection("time", None, **options)
