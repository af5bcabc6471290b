"""Targets of series, and the modes they get, on series of five nodes."""

import dataclasses

import pytest
import torch
from torch_geometric.data import Data

import graphtasks
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.transforms import AddDMDModes
from gnndiff.errors import ConfigError
from gnndiff.targets import find
from gnndiff.targets.base import full_space
from gnndiff.targets.series import step_channels, training_states, with_graph_modes, with_series_modes
from graphtasks import FitConfig, GraphTask, Split

OF_SERIES = ["gcn-gru", "dmdgru"]
N, LAGS, STEPS, TRAIN = 5, 2, 20, 12
EDGES = torch.tensor([[0, 1, 2, 3, 4, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 0, 1, 2, 3, 4]])
PREPARE = {"series": with_series_modes, "graph": with_graph_modes}


def series(values, *, directed=False):
    """The task that predicts the next of the values (T, N, F), in its last column, from those of the last steps."""
    edges = EDGES[:, :5] if directed else EDGES
    edges = edges[:, (edges < values.size(1)).all(dim=0)]
    snapshots = [
        Data(x=values[t - LAGS : t].transpose(0, 1).flatten(1), y=values[t, :, -1], edge_index=edges)
        for t in range(LAGS, len(values))
    ]
    index = torch.arange(len(snapshots))
    split = Split(index[:TRAIN], index[TRAIN:15], index[15:])
    return GraphTask(
        name="series",
        kind="temporal",
        data=snapshots,
        splits=[split],
        metric=graphtasks.load("advection", num_nodes=20, steps=100).metric,
        directed=directed,
        source="test",
        licence="generated",
        protocol="time",
    )


@pytest.fixture
def values():
    return torch.randn(STEPS, N, 1, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def task(values):
    return series(values)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_steps_are_found_by_what_moves_on(channels):
    values = torch.randn(STEPS, N, channels, generator=torch.Generator().manual_seed(0))
    assert step_channels(series(values)) == channels


def test_features_that_do_not_move_on_are_one_step(task):
    snapshots = [Data(x=torch.randn(N, 4), y=graph.y, edge_index=EDGES) for graph in task.graphs]
    assert step_channels(task.replace(data=snapshots)) == 4


def test_states_are_the_targets_of_the_training_part(task, values):
    assert torch.equal(training_states(task), values[LAGS : LAGS + TRAIN, :, 0].T)


@pytest.mark.parametrize("modes", PREPARE)
def test_modes_see_the_training_part_alone(modes, values):
    later = values.clone()
    later[LAGS + TRAIN :] = 1e3
    first, second = (PREPARE[modes](series(v), 2).graphs[0] for v in (values, later))
    assert torch.equal(first.dmd_modes, second.dmd_modes)
    assert torch.equal(first.dmd_eigs, second.dmd_eigs)
    earlier = values.clone()
    earlier[LAGS + TRAIN - 1] = 1e3
    assert not torch.equal(first.dmd_modes, PREPARE[modes](series(earlier), 2).graphs[0].dmd_modes)


@pytest.mark.parametrize("directed", [False, True])
def test_modes_of_the_graph_are_those_of_its_propagation(directed, values):
    task = series(values, directed=directed)
    dynamics = FeaturePropagation(burn_in=2, direction="forward" if directed else "undirected")
    expected = AddDMDModes(2, dynamics=dynamics)(Data(x=training_states(task), edge_index=task.graphs[0].edge_index))
    for graph in with_graph_modes(task, 2).graphs:
        torch.testing.assert_close(graph.dmd_modes, expected.dmd_modes)
        torch.testing.assert_close(graph.dmd_eigs, expected.dmd_eigs)
    assert "dmd_modes" not in task.graphs[0]


def test_modes_of_several_splits_are_refused(task):
    both = task.replace(splits=[task.splits[0], Split(*(part.flip(0) for part in dataclasses.astuple(task.splits[0])))])
    with pytest.raises(ConfigError, match=r"'series' has 2 splits, expected one: .* task.replace\(splits="):
        training_states(both)


@pytest.mark.parametrize("name", OF_SERIES)
def test_every_corner_of_the_grid_trains(name, task):
    space = full_space(find(name), task)
    for corner in (0, -1):
        chosen = {key: (choices[corner],) for key, choices in space.items()}
        contender = find(name).contender(name, task, chosen)
        result = graphtasks.compare([contender], [task], config=FitConfig(epochs=2))
        assert result.runs["status"].tolist() == ["ok"]


def test_models_of_one_width_have_about_the_same_parameters(task):
    settings = [{}, {"rank": 4}]
    models = [find(n).build(task, hidden=16, dropout=0.0, **own) for n, own in zip(OF_SERIES, settings, strict=True)]
    small, large = (sum(p.numel() for p in model.parameters()) for model in models)
    assert 1 <= large / small < 1.02


def test_ranks_fit_the_states(task, values):
    assert find("dmdgru").space(task)["rank"] == (1, 2, 4)
    assert find("dmdgru").space(series(values[:, :3]))["rank"] == (1, 2)


def test_a_rank_that_the_states_lack_loses(values):
    task = series(values[:, :1].repeat(1, N, 1))
    space = {key: choices[:1] for key, choices in full_space(find("dmdgru"), task).items()}
    space |= {"rank": (1, 2), "modes": ("series",)}
    contender = find("dmdgru").contender("dmdgru", task, space)
    result = graphtasks.compare([contender], [task], trials=2, config=FitConfig(epochs=2))
    assert sorted(status.partition(":")[0] for status in result.trials["status"]) == ["DivergedError", "ok"]


@pytest.mark.parametrize("name", OF_SERIES)
def test_tasks_of_another_kind_are_refused(name):
    wine = graphtasks.load("wine")
    with pytest.raises(ConfigError, match=f"'{name}' is for tasks of kind 'temporal', but 'wine' is of kind 'node'"):
        find(name).contender(name, wine)


def test_a_target_forecasts_as_its_class(task, values):
    prepared = find("dmdgru").prepare(task, rank=2, modes="graph")
    model = find("dmdgru").build(prepared, hidden=8, dropout=0.5, rank=2).eval()
    graph = prepared.graphs[3]
    steps = values[3 : 3 + LAGS].transpose(0, 1)  # (N, LAGS, 1), oldest first
    expected = model(steps, graph.dmd_modes, graph.dmd_eigs)
    torch.testing.assert_close(graphtasks.forward(model, graph), expected)
