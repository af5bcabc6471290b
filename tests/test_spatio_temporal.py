"""The benchmark of forecasts, on a series of twenty nodes."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

import graphtasks
from graphtasks import FitConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("spatio_temporal")
    for name in ("scores", "measure", "spatio_temporal"):
        sys.modules.pop(name, None)


def channel(**options):
    return graphtasks.load("advection", **{"num_nodes": 20, "steps": 110, "lags": 2, "horizon": 3, **options})


def test_states_are_those_of_the_training_part(script):
    task = channel()
    train = task.part(0, "train")
    states = script.states(task)
    assert script.horizon(task) == 3
    assert states.shape == (20, 2 + len(train) - 1 + 3)
    assert torch.equal(states[:, :2], train[0].x)
    for ahead, graph in enumerate(train, start=1):
        assert torch.equal(states[:, ahead], graph.x[:, -1])
        assert torch.equal(states[:, ahead + 3], graph.y)


def test_dmd_knows_a_channel_without_sources(script):
    task = channel(noise=0.0, num_nodes=13)
    models = [script.DMDForecast(task, rank=8, ridge=0.0), script.Persistence(task), script.NodeMean(task)]
    models.append(script.Autoregression(task, ridge=0.0))
    graph = task.part(0, "train")[0]
    with torch.no_grad():
        errors = [float((model(graph.x) - graph.y).square().mean() / graph.y.square().mean()) for model in models]
    assert errors[0] < 1e-6 < 0.1 < min(errors[1:])


def test_every_model_is_compared(script, monkeypatch, tmp_path):
    task = channel()
    monkeypatch.setattr(graphtasks, "load", lambda name, split: task)
    rows = script.main(
        script.__doc__,
        tasks=["advection"],
        models=script.MODELS,
        config=FitConfig(epochs=2),
        tuning_splits=(0,),
        argv=["--trials", "2", "--seeds", "2", "--threads", "1", "--out", str(tmp_path / "x.json")],
    )
    assert [row["model"] for row in rows[::2]] == list(script.MODELS)
    assert all(row["status"] == "ok" and row["tried"] <= 2 for row in rows)
    sizes = {row["model"]: row["parameters"] for row in rows}
    assert sizes["gcn-gru"] < sizes["dmd-gru"] < 1.02 * sizes["gcn-gru"]
    assert all(row["setting"]["modes"] == "series" for row in rows if row["model"] == "dmd-gru-series")
    persistence = [row["test"] for row in rows if row["model"] == "persistence"]
    expected = torch.cat([graph.x[:, -1] - graph.y for graph in task.part(0, "test")]).square().mean().item()
    assert persistence == [pytest.approx(expected, rel=1e-5)] * 2
