"""The benchmark of costs measures what it says, on small graphs."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.transforms import AddDMDModes

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def cost(monkeypatch):
    threads = torch.get_num_threads()
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("cost")
    for name in ("cost", "measure"):
        sys.modules.pop(name, None)
    torch.set_num_threads(threads)


def test_ratios_are_of_the_times(cost):
    rows = list(cost.layer(nodes=40, edges=120))
    assert len({(row["work"], row["rival"]) for row in rows}) == len(rows) == 12
    for row in rows:
        assert row["ratio"] == pytest.approx(row["ours_s"] / row["rival_s"])
    assert [row["target"] for row in rows if row["target"]] == ["at most 0.1x", "at most 0.1x", "at most 0.6x"]


def test_the_fast_gcn_is_a_gcn(cost):
    x, edge_index = torch.randn(4, 3), torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
    rival, fast = GCNConv(3, 2, bias=False), cost.CSRGCN(3, 2)
    fast.load_state_dict(rival.state_dict())
    adjacency = FeaturePropagation().adjacency(Data(x=x, edge_index=edge_index))
    torch.testing.assert_close(fast(x, adjacency), rival(x, edge_index))


def test_modes_in_bounded_memory_are_those_of_the_transform(cost, tmp_path):
    x, y, edge_index = cost.communities(600, tmp_path)
    assert edge_index.size(1) == 6000
    assert 0.6 < float((y[edge_index[0]] == y[edge_index[1]]).float().mean()) < 0.68
    cost.propagate(x, edge_index, tmp_path)
    eigs = cost.modes_of(x.shape, tmp_path)
    modes = torch.from_numpy(np.fromfile(tmp_path / "modes", "float32").reshape(600, -1))
    dynamics = FeaturePropagation(burn_in=2, direction="forward")
    whole = AddDMDModes(rank=cost.RANK, dynamics=dynamics, constraint="symmetric")(
        Data(x=torch.from_numpy(np.array(x)), edge_index=edge_index)
    )
    torch.testing.assert_close(eigs, whole.dmd_eigs, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(modes @ modes.T, whole.dmd_modes @ whole.dmd_modes.T, rtol=0, atol=1e-3)


def test_a_small_graph_of_the_large_ones(cost, monkeypatch, tmp_path):
    children = {child.__name__: child for child in (cost.prepare, cost.train)}
    monkeypatch.setattr(cost, "in_child", lambda script, flag, name, *arguments: children[name](*arguments))
    (row,) = cost.million(sizes=(3000,), epochs=30)
    assert row["ratio"] == pytest.approx(row["ours_s"] / row["rival_s"])
    assert 1 / 16 < row["more"]["MLP's"] < row["more"]["test accuracy"] <= 1
    assert row["more"]["MB of features, modes and classes"] == pytest.approx(3000 * (4 * 64 + 4 * 32 + 8) / 1e6)
