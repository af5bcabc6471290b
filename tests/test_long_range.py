"""The benchmark of long-range tasks, on a few small graphs."""

import importlib
import itertools
import sys
from functools import partial
from pathlib import Path

import pytest

import graphtasks
from gnndiff.benchmark.labels import named
from graphtasks import FitConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("long_range")
    for name in ("long_range", "scores", "measure"):
        sys.modules.pop(name, None)


def test_a_name_may_have_options(script):
    assert named("ring_transfer:hops=20") == ("ring-transfer", "random", {"hops": 20})
    assert named("csbm:random:num_nodes=30:seed=1") == ("csbm", "random", {"num_nodes": 30, "seed": 1})
    assert named("eccentricity") == ("eccentricity", "random", {})


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("ring-transfer:hop=20", "does not take the option 'hop': did you mean 'hops'? it takes hops, num_classes"),
        ("karate:hops=20", "'karate' does not take the option 'hops': it takes none"),
        ("ring-transfer:hops=far", "invalid literal"),
    ],
)
def test_wrong_options(script, task, message, capsys):
    with pytest.raises(SystemExit):
        script.main("", tasks=[], models={}, config=FitConfig(), argv=["--tasks", task])
    assert message in capsys.readouterr().err


def test_models_have_as_many_parameters(script):
    task = graphtasks.load("ring-transfer", hops=10, num_graphs=50)
    for name in script.MODELS:
        contender = script.contender(name, task)
        choices = {key: values for key, values in contender.space.items() if key not in ("lr", "weight_decay")}
        for values in itertools.product(*choices.values()):
            model = contender.build(task, **dict(zip(choices, values, strict=True)))
            count = sum(parameter.numel() for parameter in model.parameters())
            assert count == pytest.approx(script.PARAMETERS, rel=0.1)


def test_gcn_deep_reaches_the_other_side_of_a_ring(script):
    task = graphtasks.load("ring-transfer", hops=7, num_graphs=50)
    assert script.contender("gcn-deep", task).space["num_layers"] == (7,)
    assert script.contender("gcn", task).space["num_layers"] == (script.LAYERS,)


def test_every_model_is_trained_on_every_kind_of_task(script, tmp_path):
    path = tmp_path / "x.json"
    tasks = ["ring-transfer:hops=2:num_graphs=50", "shortest-path:num_graphs=10", "diameter:num_graphs=10", "karate"]
    rows = script.main(
        script.__doc__,
        tasks=tasks,
        models={name: partial(script.contender, name) for name in script.MODELS},
        config=FitConfig(epochs=1, batch_size=64),
        argv=["--trials", "1", "--splits", "1", "--seeds", "1", "--threads", "1", "--out", str(path)],
    )
    assert [(row["task"], row["model"]) for row in rows] == list(itertools.product(tasks, script.MODELS))
    assert all(row["status"] == "ok" for row in rows)
