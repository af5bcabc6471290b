"""`from_series` makes temporal tasks of a user's own values."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler
from torch import nn

from graphtasks import (
    DataWarning,
    FitConfig,
    InvalidDataError,
    Split,
    UnknownTaskError,
    fit,
    forward,
    from_series,
    load,
)

RING = torch.tensor([[0, 1, 2], [1, 2, 0]])


def walk(steps=40, nodes=3, features=None, seed=0):
    """Random walks (T, N) or (T, N, F) far from zero."""
    generator = torch.Generator().manual_seed(seed)
    shape = (steps, nodes) if features is None else (steps, nodes, features)
    return 100 + torch.randn(shape, generator=generator, dtype=torch.float64).cumsum(0)


def table(names, steps=40, freq="h"):
    index = pd.date_range("2024-01-01", periods=steps, freq=freq)
    return pd.DataFrame(walk(steps, len(names)).numpy(), index=index, columns=names)


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("features", [None, 2])
@pytest.mark.parametrize("lags", [1, 4])
def test_snapshots_hold_the_last_steps_and_the_next(lags, features, horizon):
    values = walk(features=features)
    task = from_series(values, RING, lags, horizon, standardise=False)
    steps = values.view(40, 3, -1).float()
    assert len(task.graphs) == 40 - lags + 1
    for number, graph in enumerate(task.graphs):
        t = lags + number
        assert torch.equal(graph.x, torch.cat(list(steps[t - lags : t]), dim=1))
        y = graph.y.view(3, horizon)
        for ahead in range(horizon):
            if t + ahead < 40:
                assert torch.equal(y[:, ahead], steps[t + ahead, :, 0])
            else:
                assert bool(y[:, ahead].isnan().all())
        assert torch.equal(graph.edge_index, RING)
    assert task.graphs[0].y.shape == ((3,) if horizon == 1 else (3, horizon))
    assert (task.kind, task.num_outputs, task.directed) == ("temporal", horizon, True)


def test_layout_is_that_of_the_catalogue():
    known = load("advection", num_nodes=20, steps=60, lags=3, horizon=1)
    values = torch.cat([known.graphs[0].x.t(), torch.stack([graph.y for graph in known.graphs])])
    mine = from_series(values, known.graphs[0].edge_index, lags=3, standardise=False)
    for a, b in zip(known.graphs, mine.graphs, strict=False):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)
    assert [known.split(0)[part].tolist() for part in ("train", "val", "test")] == [
        mine.split(0)[part].tolist() for part in ("train", "val", "test")
    ]


@pytest.mark.parametrize("horizon", [1, 4])
def test_the_training_part_alone_sets_the_scale(horizon):
    values = walk(60)
    task = from_series(values, RING, 5, horizon)
    seen = int(task.split(0).train[-1]) + 5 + horizon
    expected = StandardScaler().fit(values[:seen].numpy())
    np.testing.assert_allclose(task.scale.mean, expected.mean_, rtol=1e-6)
    np.testing.assert_allclose(task.scale.std, expected.scale_, rtol=1e-6)
    later = values.clone()
    later[seen:] = 1e6
    for a, b in zip(task.part(0, "train"), from_series(later, RING, 5, horizon).part(0, "train"), strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)


@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_no_target_of_a_part_is_one_of_the_next(horizon):
    task = from_series(walk(80), RING, 3, horizon)
    reach = {
        part: {int(i) + 3 + ahead for i in task.split(0)[part] for ahead in range(horizon)}
        for part in ("train", "val", "test")
    }
    assert max(reach["train"]) < min(reach["val"])
    assert max(reach["val"]) < min(reach["test"])
    assert max(reach["test"]) == 79


@pytest.mark.parametrize("horizon", [1, 3])
def test_scale_turns_predictions_back(horizon):
    values = walk(50, features=2)
    task = from_series(values, RING, 4, horizon, target=1)
    for part in ("train", "test"):
        restored = task.scale.restore(task.targets(0, part)).view(-1, 3, horizon)
        for snapshot, y in zip(task.split(0)[part].tolist(), restored, strict=True):
            expected = values[snapshot + 4 : snapshot + 4 + horizon, :, 1].t()
            torch.testing.assert_close(y, expected.float())
    with pytest.raises(InvalidDataError, match=r"got values of shape \(4,\), expected rows for the 3 nodes"):
        task.scale.restore(torch.ones(4))
    assert task.transform(lambda graph: graph).scale is task.scale


def test_nodes_that_do_not_vary_stay_finite():
    values = walk()
    values[:, 1] = 0.1
    task = from_series(values, RING)
    assert float(task.scale.std[1]) == 1
    assert all(bool(graph.x[:, :].isfinite().all()) for graph in task.graphs)
    torch.testing.assert_close(task.scale.restore(task.targets(0, "test"))[1::3], torch.full((7,), 0.1))


def test_without_standardising_the_values_stay():
    task = from_series(walk(), RING, standardise=False)
    y = task.targets(0, "val")
    assert torch.equal(task.scale.restore(y), y)


class Last(nn.Module):
    """The last value, times a weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x[:, -1:] * self.weight


def test_the_last_snapshot_gives_the_forecast():
    values = walk()
    task = from_series(values, RING)
    result = fit(Last(), task, config=FitConfig(epochs=1))
    assert result.test > 0
    forecast = task.scale.restore(forward(Last(), task.graphs[-1]))
    torch.testing.assert_close(forecast.view(-1), values[-1].float())


GRAPHS = {
    "undirected": (nx.Graph([("a", "b"), ("b", "c")]), {("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")}),
    "directed": (nx.DiGraph([("c", "a")]), {("c", "a")}),
    "pandas": (pd.DataFrame({"source": ["c", "b"], "target": ["a", "a"]}), {("c", "a"), ("b", "a")}),
    "array": (np.array([[2], [0]]), {("c", "a")}),
    "tensor": (torch.tensor([[2], [0]], dtype=torch.int32), {("c", "a")}),
    "list": ([[2], [0]], {("c", "a")}),
    "none": (torch.empty(2, 0, dtype=torch.int64), set()),
}


@pytest.mark.parametrize("form", GRAPHS)
def test_edges_of_every_form(form):
    edges, expected = GRAPHS[form]
    task = from_series(table(["a", "b", "c"]), edges)
    assert {("abc"[i], "abc"[j]) for i, j in task.graphs[0].edge_index.t().tolist()} == expected
    assert task.graphs[0].get("edge_weight") is None
    assert task.directed is (form not in ("undirected", "none"))


def test_weights_of_edges():
    rows = [("c", "a", 2), ("b", "a", 0.5)]
    graph = nx.DiGraph()
    graph.add_weighted_edges_from(rows)
    for edges in (pd.DataFrame(rows, columns=["source", "target", "weight"]), graph):
        data = from_series(table(["a", "b", "c"]), edges).graphs[0]
        pairs = [("abc"[i], "abc"[j]) for i, j in data.edge_index.t().tolist()]
        assert dict(zip(pairs, data.edge_weight.tolist(), strict=True)) == {("c", "a"): 2, ("b", "a"): 0.5}


@settings(max_examples=40, deadline=None)
@given(names=st.lists(st.text() | st.integers(), min_size=2, max_size=4, unique=True))
def test_faults_of_names_of_columns(names):
    task = from_series(table(names), nx.path_graph(names, create_using=nx.DiGraph))
    assert task.graphs[0].edge_index.tolist() == [list(range(len(names) - 1)), list(range(1, len(names)))]


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (
            nx.path_graph(["aa", "b"]),
            "name 'aa', which no column has: did you mean 'a'.* are 'a', 'b', 'c'",
        ),
        (nx.path_graph(3), "name 0, which no column has"),
        (pd.DataFrame({"from": ["a"], "to": ["b"]}), "have the columns from, to, expected `source`, `target`"),
        (pd.DataFrame({"source": ["a"], "target": ["b"], "w": [1.0]}), "columns source, target, w, expected"),
        (pd.DataFrame({"source": ["a"], "target": ["b"], "weight": ["x"]}), "a weight that is no number"),
        (pd.DataFrame({"source": ["a"], "target": ["b"], "weight": [np.nan]}), "NaN or infinite for 1 edges"),
        (pd.Series(["a"]), "have the columns of no table"),
        (torch.tensor([[0, 1], [1, 2], [2, 0]]), r"shape \(3, 2\) .*expected \(2, E\)"),
        (torch.tensor([[0.0], [1.0]]), r"dtype float32, expected \(2, E\) of whole numbers"),
        (torch.tensor([[0], [3]]), "names nodes 0 to 3, but the graph has nodes 0 to 2"),
        ([[0, 1], [1]], "cannot be read as an array"),
        (None, r"shape \(\) and dtype object"),
        ("edges.csv", "dtype <U9"),
    ],
)
def test_edges_that_do_not_fit_are_named(edges, message):
    with pytest.raises(InvalidDataError, match=message) as error:
        from_series(table(["a", "b", "c"]), edges)
    assert "\n" not in str(error.value)


def test_edges_with_weights_in_part_are_named():
    graph = nx.Graph([("a", "b"), ("b", "c")])
    graph.edges["a", "b"]["weight"] = 2.0
    with pytest.raises(InvalidDataError, match="give a number to all of them, or none"):
        from_series(table(["a", "b", "c"]), graph)


def with_hole(value):
    values = walk()
    values[7, 2] = value
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (with_hole(float("nan")), "NaN or infinite at 1 places, first in step 7 of node 2: fill them"),
        (with_hole(float("inf")), "NaN or infinite at 1 places"),
        (with_hole(1e39), "beyond torch.float32"),
        (walk()[:, 0], r"shape \(40,\) .*expected numbers \(T, N\) or \(T, N, F\)"),
        (walk()[:0], r"shape \(0, 3\)"),
        (walk().unsqueeze(0).unsqueeze(0), r"shape \(1, 1, 40, 3\)"),
        (walk().to(torch.complex64), "dtype complex64"),
        (np.array([["a", "b"]]), "dtype <U1"),
        (None, r"shape \(\)"),
        (table(["a", "b", "c"])["a"], "is a Series of pandas, expected a DataFrame"),
        (table(["a", "b", "b"]), "no different names"),
        (table(["a", "b", "c"]).reset_index(), "the column 'index' .* holds datetime64"),
        (table(["a", "b", "c"])[::-1], "no time that increases from row to row: use `sort_index`"),
        (table(["a", "b", "c"]).iloc[[0, 1, 1, 2]], "no time that increases"),
        (table(["a", "b", "c"]).replace(float(walk()[3, 0]), np.nan), "first in step 3 of node 'a'"),
        (walk(9), "9 steps with lags 4 and horizon 1 leave 5 snapshots, too few for three parts"),
        (walk(2), "leave 0 snapshots"),
    ],
)
def test_values_that_are_no_series_are_named(values, message):
    standardise = "float32" not in message
    with pytest.raises(InvalidDataError, match=message) as error:
        from_series(values, RING, standardise=standardise)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["lags", "horizon", "target"])
def test_settings_out_of_range_are_named(name):
    for value in (-1, 1.0, True, "2"):
        with pytest.raises(InvalidDataError, match=f"got {name} {value!r}, expected a whole number"):
            from_series(walk(), RING, **{name: value})
    with pytest.raises(InvalidDataError, match="got target 1, but the series has features 0 to 0"):
        from_series(walk(), RING, target=1)
    with pytest.raises(UnknownTaskError, match="mse"):
        from_series(walk(), RING, metric="no metric")


def test_own_splits():
    parts = Split(*torch.arange(30).split([10, 10, 10]))
    later = Split(*torch.arange(5, 36).split([15, 8, 8]))
    task = from_series(walk(), RING, splits=[later, parts])
    assert [split.hash for split in task.splits] == [later.hash, parts.hash]
    np.testing.assert_allclose(task.scale.mean, walk()[:14].mean(0), rtol=1e-6)
    with pytest.raises(InvalidDataError, match=r"with snapshot 36, but 40 steps .* leave 36 with a known future"):
        from_series(walk(), RING, splits=[Split(*torch.arange(37).split([17, 10, 10]))])
    with pytest.raises(InvalidDataError, match="got splits"):
        from_series(walk(), RING, splits=[])


@pytest.mark.parametrize("freq", ["h", "MS", "B", "7min"])
def test_regular_times_pass_without_a_warning(freq):
    from_series(table(["a", "b"], freq=freq), [[0], [1]])


def test_times_with_gaps_are_warned_of():
    for frame in (
        table(["a", "b"]).drop(index=pd.Timestamp("2024-01-01 05:00")),
        table(["a", "b"]).set_axis([*range(39), 50]),
    ):
        with pytest.warns(DataWarning, match="not equally far apart"):
            from_series(frame, [[0], [1]])
