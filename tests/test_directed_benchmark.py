"""The benchmark of directions, on small directed graphs."""

import importlib
import inspect
import sys
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import is_undirected

import graphtasks
from graphtasks import FitConfig, GraphTask, Split

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PAIRS = [("dmdgnn", "dmdgnn-dir"), ("gcn", "dir-gcn"), ("dmdgnn-dir-both", "dmdgnn-dir")]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    script = importlib.import_module("directed")
    monkeypatch.setitem(script.SERIES_MODES, "rank", (4, 8))
    yield script
    for name in ("directed", "scores", "measure"):
        sys.modules.pop(name, None)


@pytest.fixture
def ring():
    """A directed ring of twelve nodes and three classes."""
    nodes = torch.arange(12)
    x = torch.randn(12, 8, generator=torch.Generator().manual_seed(0))
    data = Data(x=x, y=nodes % 3, edge_index=torch.stack([nodes, (nodes + 1) % 12]))
    return GraphTask.from_data(data, name="ring", splits=[Split(nodes[:6], nodes[6:9], nodes[9:])])


@pytest.fixture
def series():
    """A flow on 20 nodes."""
    return graphtasks.load("advection", num_nodes=20, steps=33, horizon=2)


@pytest.mark.parametrize("task", ["ring", "series"])
def test_every_model_trains(script, task, request):
    task = request.getfixturevalue(task)
    contenders = [script.contender(name, task) for name in script.MODELS]
    result = graphtasks.compare(contenders, [task], trials=2, config=FitConfig(epochs=2))
    assert list(result.runs["model"]) == list(script.MODELS)
    assert (result.runs["status"] == "ok").all()


@pytest.mark.parametrize("task", ["ring", "series"])
@pytest.mark.parametrize("pair", PAIRS)
def test_models_of_a_pair_differ_in_direction_only(script, task, pair, request):
    task = request.getfixturevalue(task)
    without, kept = (script.contender(name, task) for name in pair)
    spaces = [{key: choices for key, choices in c.space.items() if key != "skip"} for c in (without, kept)]
    assert spaces[0] == spaces[1]
    graphs = []
    for contender in (without, kept):
        keys = inspect.signature(contender.prepare).parameters
        setting = {key: choices[0] for key, choices in kept.space.items() if key in keys}
        graphs.append(contender.prepare(task, **setting).graphs[0])
    assert is_undirected(graphs[0].edge_index, num_nodes=task.num_nodes)
    assert torch.equal(graphs[1].edge_index, task.graphs[0].edge_index)


def test_modes_of_a_series_are_those_of_its_training_part(script, series):
    contender = script.contender("dmdgnn-dir", series)
    known = contender.prepare(series, rank=8, burn_in=0).graphs[0]
    first = len(series.part(0, "train"))
    changed = [
        graph if i < first else graph.clone().update({"y": graph.y + 1}) for i, graph in enumerate(series.graphs)
    ]
    contender = script.contender("dmdgnn-dir", series.replace(data=changed))
    other = contender.prepare(series.replace(data=changed), rank=8, burn_in=0).graphs[-1]
    for key in ("dmd_out_modes", "dmd_out_eigs", "dmd_in_modes", "dmd_in_duals"):
        assert torch.equal(other[key], known[key])
    assert not torch.allclose(known.dmd_out_modes, known.dmd_in_modes, atol=0.1)
