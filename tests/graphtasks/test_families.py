"""Families of tasks and parts of graphs."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

import graphtasks
from graphtasks import Family, InvalidDataError, MissingFilesError, UnknownTaskError
from graphtasks.parts import nearest_centres


def test_same_seed_same_family():
    a, b, c = (graphtasks.family("csbm-family", members=5, num_nodes=30, seed=seed) for seed in (0, 0, 1))
    assert a.hash == b.hash != c.hash


def test_homophily_is_what_the_condition_says():
    family = graphtasks.family("csbm-family", members=6)
    for task, (homophily, degree, _) in zip(family.tasks, family.conditions.tolist(), strict=True):
        row, col = task.data.edge_index
        alike = (task.data.y[row] == task.data.y[col]).float().mean()
        assert float(alike) == pytest.approx((1 + homophily) / 2, abs=0.05)
        assert task.num_edges / task.num_nodes == pytest.approx(degree, rel=0.15)


@pytest.mark.parametrize("name", ["sbm-link-family", "heat-family", "advection-family"])
def test_named_families(name):
    family = graphtasks.family(name, members=4)
    assert [len(family.members(part)) for part in ("train", "val", "unseen")] == [2, 1, 1]


def test_parts_are_disjoint_and_connected():
    around = torch.arange(40)
    edges = to_undirected(torch.stack([around, around.roll(1)]))
    place = nearest_centres(edges, 40, 4)
    assert place.unique().tolist() == [0, 1, 2, 3]
    # Each part of a ring is an interval: as many changes around it as parts.
    assert int((place != place.roll(1)).sum()) == 4


def test_parts_of_a_graph():
    around = torch.arange(200)
    edges = to_undirected(torch.stack([around, around.roll(1)]))
    data = Data(x=torch.randn(200, 2), y=around % 2, edge_index=edges)
    task = graphtasks.from_data(data, splits=graphtasks.random_splits(200, count=1))
    family = Family.from_parts(task, 6, least=10)
    assert sum(part.num_nodes for part in family.tasks) <= 200
    assert all(part.num_edges == 2 * (part.num_nodes - 1) for part in family.tasks)


def test_snapshots():
    series = graphtasks.load("advection", num_nodes=20, steps=100)
    family = Family.from_snapshots(series)
    assert len(family) == len(series.graphs)
    assert family.tasks[0].kind == "node-regression"
    with pytest.raises(InvalidDataError, match="expected 'temporal'"):
        Family.from_snapshots(family.tasks[0])


def test_bad_input(tmp_path):
    with pytest.raises(UnknownTaskError, match="'nothing'"):
        graphtasks.family("nothing")
    with pytest.raises(MissingFilesError, match="no folders"):
        Family.from_folder(tmp_path)
    tasks = graphtasks.family("csbm-family", members=4, num_nodes=30).tasks
    with pytest.raises(InvalidDataError, match=r"shares \(0.5, 0.5\)"):
        Family(tasks, shares=(0.5, 0.5))
    with pytest.raises(InvalidDataError, match=r"conditions of shape \(3, 1\)"):
        Family(tasks, conditions=torch.zeros(3, 1))
