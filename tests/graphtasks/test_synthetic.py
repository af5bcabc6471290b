import math

import pytest
import torch

from graphtasks import InvalidDataError, load

NODES, DEGREE, EXCESS, FEATURES = 1000, 5.0, 3.25, 200


def class_gap(task):
    """Squared distance between the feature means of the two classes."""
    x, y = task.data.x, task.data.y
    return float((x[y == 1].mean(dim=0) - x[y == 0].mean(dim=0)).square().sum())


@pytest.fixture(params=[10_000, 100])
def all_pairs(request, monkeypatch):
    """Each pair draws whether it has an edge, or pairs are drawn until there are enough, as in large graphs."""
    monkeypatch.setattr("graphtasks.sources.synthetic.ALL_PAIRS", request.param)


@pytest.mark.usefixtures("all_pairs")
@pytest.mark.parametrize("homophily", [-1.0, -0.5, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("same", [True, False])
def test_number_of_edges_follows_the_formula(homophily, same):
    task = load("csbm", homophily=homophily)
    row, col = task.data.edge_index
    y = task.data.y
    count = int(((y[row] == y[col]) == same).sum()) / 2
    pairs = 2 * math.comb(NODES // 2, 2) if same else (NODES // 2) ** 2
    lam = math.sqrt(1 + EXCESS) * math.sin(math.pi * homophily / 2) * (1 if same else -1)
    probability = (DEGREE + lam * math.sqrt(DEGREE)) / NODES
    deviation = math.sqrt(pairs * probability * (1 - probability))
    assert abs(count - pairs * probability) < 4 * deviation


@pytest.mark.parametrize("degree", [5.0, 20.0])
def test_average_degree_is_the_one_asked_for(degree):
    task = load("csbm", degree=degree)
    # The number of edges has a variance of about its mean.
    assert task.data.num_edges / NODES == pytest.approx(degree, abs=4 * math.sqrt(2 * degree / NODES))


@pytest.mark.usefixtures("all_pairs")
def test_graph_is_simple_undirected_and_of_the_size_asked_for():
    task = load("csbm", num_nodes=400, num_features=7)
    assert (task.num_nodes, task.num_features, task.num_classes) == (400, 7, 2)
    assert task.data.y.bincount().tolist() == [200, 200]
    assert task.data.is_undirected()
    assert not task.data.has_self_loops()
    assert [len(task.split(0)[part]) for part in ("train", "val", "test")] == [10, 195, 195]


@pytest.mark.parametrize("homophily", [-1.0, 1.0])
def test_features_are_noise_where_only_the_graph_tells(homophily):
    task = load("csbm", homophily=homophily)
    # The gap is a sum of squares of independent normal numbers, each of variance 4 / (n f).
    assert class_gap(task) == pytest.approx(4 / NODES, rel=5 * math.sqrt(2 / FEATURES))
    assert task.data.x.var() == pytest.approx(1 / FEATURES, rel=0.05)


def test_features_tell_where_the_graph_does_not():
    assert class_gap(load("csbm", homophily=0.0)) > 3 * class_gap(load("csbm", homophily=1.0))


@pytest.mark.usefixtures("all_pairs")
def test_seed_decides_everything():
    first, again, other = load("csbm", seed=3), load("csbm", seed=3), load("csbm", seed=4)
    assert torch.equal(first.data.x, again.data.x)
    assert torch.equal(first.data.edge_index, again.data.edge_index)
    assert [split.hash for split in first.splits] == [split.hash for split in again.splits]
    assert not torch.equal(first.data.x, other.data.x)
    assert not torch.equal(first.data.edge_index, other.data.edge_index)
    assert first.split(0).hash != other.split(0).hash


def test_global_generator_is_left_alone():
    before = torch.get_rng_state()
    load("csbm", num_nodes=100)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"homophily": 1.1}, "homophily=1.1"),
        ({"homophily": -1.1}, "homophily=-1.1"),
        ({"homophily": float("nan")}, "homophily=nan"),
        ({"num_nodes": 99}, "num_nodes=99"),
        ({"num_features": 0}, "num_features=0"),
        ({"degree": 0.0}, "degree=0.0"),
        ({"excess": -0.1}, "excess=-0.1"),
        ({"degree": 4.0, "homophily": 1.0}, "use a degree from 4.25"),
        ({"degree": 2000.0}, "less than the 1000 nodes"),
        ({"degree": float("nan")}, "degree=nan"),
    ],
)
def test_bad_options_are_rejected(options, message):
    with pytest.raises(InvalidDataError, match=message):
        load("csbm", **options)


def test_the_degree_that_the_error_proposes_works():
    assert load("csbm", degree=4.26, homophily=1.0).data.num_edges > 0


@pytest.mark.parametrize("features", [200, 2000])
def test_features_are_as_strong_as_in_the_source(features):
    """With u of variance 1 / f the squared gap of the class means is 4 mu / n on average, and 4 / n from noise."""
    task = load("csbm", homophily=0.0, num_features=features)
    x, y = task.data.x, task.data.y
    gap = float((x[y == 1].mean(dim=0) - x[y == 0].mean(dim=0)).square().sum())
    assert gap == pytest.approx(4 * (math.sqrt(1000 / features * 4.25) + 1) / 1000, rel=0.3)


def test_large_graphs_are_drawn_without_all_pairs():
    task = load("csbm", num_nodes=50_000, num_features=2, degree=10.0)
    assert task.data.num_edges / 50_000 == pytest.approx(10.0, abs=0.1)
