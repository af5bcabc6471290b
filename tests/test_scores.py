"""Common parts of the benchmarks of scores, on a graph of 34 nodes."""

import importlib
import inspect
import json
import math
import runpy
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import graphtasks
from gnndiff.benchmark.rows import with_check
from gnndiff.errors import ConfigError
from graphtasks import Comparison, Contender, FitConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
KEYS = [
    *("task", "protocol", "model", "metric", "direction", "split", "seed", "val", "test", "parameters", "seconds"),
    *("tried", "status", "processor", "setting"),
]


@pytest.fixture
def scores(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("scores")
    for name in ("scores", "measure", "ablation", "node_classification", "link_prediction"):
        sys.modules.pop(name, None)


class Net(nn.Module):
    """A linear model of the nodes, or of their neighbours."""

    def __init__(self, task, neighbours):
        super().__init__()
        self.lin = nn.Linear(task.num_features, task.num_outputs)
        self.neighbours = neighbours

    def forward(self, x, edge_index):
        out = self.lin(x)
        return out.new_zeros(out.shape).index_add(0, edge_index[1], out[edge_index[0]]) if self.neighbours else out


def factory(neighbours):
    return lambda task: Contender("any", lambda task: Net(task, neighbours), {"lr": [0.1, 0.01, 0.001]})


MODELS = {"near": factory(True), "self": factory(False)}


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        (
            "node_classification",
            "cora-link",
            "kind 'link': this benchmark is one of node and node-regression and graph",
        ),
        ("directed", "les-miserables", "kind 'link'"),
        ("directed", "ring-transfer:num_graphs=50", "a gain for each mode of one graph, but 'ring-transfer' has 50"),
        ("long_range", "advection", "kind 'temporal'"),
        ("long_range", "ring-transfer:hops=0", "hops"),
        ("link_prediction", "karate", "kind 'node': this benchmark is one of link"),
        ("spatio_temporal", "karate", "kind 'node'"),
    ],
)
@pytest.mark.usefixtures("scores")
def test_a_benchmark_says_which_tasks_it_is_of(name, task, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--tasks", task, "--out", str(tmp_path / "x.json")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture
def run(scores, tmp_path):
    def run(*arguments, **changes):
        given = {"tasks": ["karate"], "models": MODELS, "config": FitConfig(epochs=3), "trials": 2, **changes}
        argv = ["--threads", "1", "--out", str(tmp_path / "x.json"), *arguments]
        return scores.main("What is measured.", **given, argv=argv)

    return run


def test_rows_are_the_runs_of_a_comparison(run, tmp_path, capsys):
    rows = run("--splits", "2")
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["rows"] == [with_check(row) for row in rows]
    assert content["machine"]["threads"] == 1
    assert content["protocol"]["trials"] == 2
    assert content["protocol"]["tuning_splits"] == [0, 1]
    assert content["protocol"]["config"]["epochs"] == 3
    assert [(row["model"], row["split"], row["seed"]) for row in rows] == [
        (model, split, 0) for model in MODELS for split in (0, 1)
    ]
    assert all(list(row) == KEYS for row in rows)

    contenders = [Contender(name, make(None).build, make(None).space) for name, make in MODELS.items()]
    expected = graphtasks.compare(
        contenders,
        [graphtasks.load("karate")],
        splits=[0, 1],
        trials=2,
        tuning_splits=[0, 1],
        config=FitConfig(epochs=3),
    )
    assert [row["test"] for row in rows] == list(expected.runs["test"])
    assert [row["setting"] for row in rows] == list(map(json.loads, expected.runs["setting"]))
    printed = capsys.readouterr()
    assert printed.out.count("| karate | random | accuracy | 2 |") == 1
    assert len(printed.err.splitlines()) == 2 * (2 * 2 + 2)


def test_tasks_of_one_split_are_tuned_with_several_seeds(run, tmp_path):
    tasks = ["karate", "ring-transfer:hops=2:num_graphs=50"]
    run("--splits", "1", "--seeds", "2", tasks=tasks, models={"near": MODELS["near"]}, tuning_seeds=3)
    rows = list(map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines()))
    seeds = {
        task: {row["seed"] for row in rows if row["task"] == task and row["phase"] == "trial"}
        for task in ("karate", "ring-transfer")
    }
    assert seeds == {"karate": {0}, "ring-transfer": {0, 1, 2}}


@pytest.mark.parametrize("once", [False, True])
def test_tuning_trains_a_setting_once_where_asked_to(run, tmp_path, once):
    run("--splits", "3", models={"near": MODELS["near"]}, tuning_splits=(1, 2), tune_once=lambda task: once)
    rows = map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())
    assert {row["split"] for row in rows if row["phase"] == "trial"} == ({0} if once else {1, 2})


def test_rows_tuned_in_another_way_are_not_mixed(run, tmp_path, capsys):
    def small(task):
        return True

    run("--splits", "1", tune_once=small)
    assert json.loads((tmp_path / "x.json").read_text())["protocol"]["tune_once"] == "small"
    with pytest.raises(SystemExit):
        run("--splits", "1")
    assert "tune_once differ" in capsys.readouterr().err


def test_nothing_is_trained_twice(run, tmp_path, capsys):
    whole = run("--splits", "2")
    lines = (tmp_path / "x.jsonl").read_text().splitlines(keepends=True)
    assert run("--splits", "2") == whole
    assert (tmp_path / "x.jsonl").read_text() == "".join(lines)

    (tmp_path / "x.jsonl").write_text("".join(lines[:7]))
    (tmp_path / "x.json").unlink()
    capsys.readouterr()
    resumed = run("--splits", "2")
    assert len(capsys.readouterr().err.splitlines()) == len(lines) - 7
    for row, other in zip(resumed, whole, strict=True):
        assert row | {"seconds": 0} == other | {"seconds": 0}


def test_rows_of_other_models_and_tasks_stay(run):
    first = run("--splits", "1", "--models", "near")
    second = run("--splits", "1", "--models", "self", "--tasks", "karate:random", "wine")
    assert second[:1] == first
    assert [(row["task"], row["model"]) for row in second] == [("karate", "near"), ("karate", "self"), ("wine", "self")]


def test_rows_of_another_protocol_are_not_mixed(run, tmp_path, capsys):
    run("--splits", "1")
    before = (tmp_path / "x.json").read_text()
    with pytest.raises(SystemExit):
        run("--splits", "2")
    assert "has rows of another protocol (splits differ)" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(SystemExit):
        run("--splits", "1", config=FitConfig(epochs=4))
    assert (tmp_path / "x.json").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "karat"], "did you mean 'karate'?"),
        (["--tasks", "karate:public"], "'karate' has no split protocol 'public': use one of random"),
        (["--models", "far"], "invalid choice: 'far'"),
        (["--trials", "0"], "got trials=0, expected at least 1"),
    ],
)
def test_wrong_arguments(run, arguments, message, capsys):
    with pytest.raises(SystemExit):
        run(*arguments)
    assert message in capsys.readouterr().err


def test_tasks_of_one_split_have_several_initialisations(run, scores, monkeypatch):
    task = graphtasks.load("karate")
    monkeypatch.setattr(graphtasks, "load", lambda name, split: task.replace(splits=task.splits[:1]))
    rows = run("--seeds", "3", "--models", "near")
    assert [(row["split"], row["seed"]) for row in rows] == [(0, 0), (0, 1), (0, 2)]


def row(model, split, test, **changes):
    return {
        "task": "t",
        "protocol": "p",
        "model": model,
        "metric": "accuracy",
        "direction": "maximize",
        "split": split,
        "seed": 0,
        "val": 0.5,
        "test": test,
        **changes,
    }


def test_the_table_has_means_and_paired_differences(scores):
    tests = {"a": [0.5, 0.6, 0.7], "b": [0.6, 0.6, 0.9], "c": [0.5, None, 0.7]}
    rows = [row(model, split, test) for model, values in tests.items() for split, test in enumerate(values)]
    [line] = scores.summary(rows, "a")
    assert (line["a"], line["b"], line["c"]) == ("60.00 ± 10.00", "**70.00 ± 17.32**", "")
    paired = Comparison(pd.DataFrame(rows)).differences("b").set_index("model").loc["a"]
    assert line["a ahead"] == "-10.00 (-20.00 to 0.00)"
    assert [paired["low"], paired["high"]] == pytest.approx([-0.2, 0.0])
    assert scores.summary(rows, "b")[0]["b ahead"] == "10.00 (0.00 to 20.00)"
    assert scores.summary(rows, "c")[0]["c ahead"] == ""
    assert "a ahead" not in scores.summary(rows)[0]


def test_the_table_of_an_error_has_the_lowest_in_bold(scores):
    changes = {"metric": "mse", "direction": "minimize"}
    rows = [row(m, split, t + split, **changes) for m, t in (("a", 0.25), ("b", 0.125)) for split in (0, 1)]
    [line] = scores.summary(rows, "b")
    assert (line["a"], line["b"], line["b ahead"]) == (
        "0.7500 ± 0.7071",
        "**0.6250 ± 0.7071**",
        "0.1250 (0.1250 to 0.1250)",
    )


def test_tasks_that_a_model_lacks_leave_its_place_empty(scores):
    rows = [row("a", 0, 0.5), row("b", 0, 0.6), row("a", 0, 0.5, task="u")]
    first, second = scores.summary(rows, "a")
    assert (first["a ahead"], second["b"], second["a ahead"]) == ("-10.00", "", "")


def test_models_of_node_classification_get_the_same_choices(scores, monkeypatch):
    script = importlib.import_module("node_classification")
    few, many = graphtasks.load("karate"), graphtasks.load("digits")
    everything = torch.arange(many.num_nodes)
    many = many.replace(splits=[graphtasks.Split(everything[:1200], everything[1200:1500], everything[1500:])])
    monkeypatch.setattr(script, "MANY_LABELS", 1200)
    for name in script.MODELS:
        small, large = script.contender(name, few).space, script.contender(name, many).space
        for key, choices in script.TRAINING.items():
            assert large[key] == choices
            assert set(small[key]) <= set(choices) if name == "dmd" else small[key] == choices
        assert "num_layers" not in small
        assert large["num_layers"] == script.DEEP["num_layers"]
        assert large.get("norm") == script.DEEP["norm"]
        assert math.prod(map(len, small.values())) >= 18


def test_where_labels_are_many_dmd_and_sage_have_the_same_choices(scores, monkeypatch):
    script = importlib.import_module("node_classification")
    monkeypatch.setattr(script, "MANY_LABELS", 1)
    sage, dmd = (script.contender(name, graphtasks.load("karate")).space for name in ("sage", "dmd"))
    assert dmd["local"] == ("sage",)
    assert {key: choices for key, choices in dmd.items() if len(choices) > 1} == {
        key: choices for key, choices in sage.items() if len(choices) > 1
    }


@pytest.mark.parametrize(
    ("labels", "gates"), [(1, ["convs.0.gate", "convs.1.gate"]), (3000, ["prop.gate"])], ids=["many", "few"]
)
def test_gates_that_are_kept_closed_leave_the_same_model_without_modes(scores, monkeypatch, tmp_path, labels, gates):
    script, known = importlib.import_module("ablation"), importlib.import_module("node_classification")
    task = graphtasks.load("karate")
    with pytest.raises(ConfigError, match="many graphs"):
        script.contender("dmd-closed", graphtasks.load("ring-transfer", num_graphs=50))
    monkeypatch.setattr(known, "MANY_LABELS", labels)
    opened, closed = (script.contender(name, task) for name in ("dmd", "dmd-closed"))
    assert opened.space == closed.space
    taken = inspect.signature(opened.build).parameters
    setting = {name: choices[0] for name, choices in opened.space.items() if name in taken}
    models = []
    for contender in (opened, closed):
        torch.manual_seed(0)
        models.append(contender.build(task, **setting))
    torch.testing.assert_close(models[0].state_dict(), models[1].state_dict(), rtol=0, atol=0)
    fixed = [[name for name, p in model.named_parameters() if not p.requires_grad] for model in models]
    assert fixed == [[], gates]
    rows = scores.main(
        script.__doc__,
        tasks=["karate"],
        models={name: partial(script.contender, name) for name in ("dmd-closed", "dmd")},
        config=FitConfig(epochs=2),
        argv=["--trials", "2", "--splits", "1", "--threads", "1", "--out", str(tmp_path / "x.json")],
    )
    assert [row["status"] for row in rows] == ["ok", "ok"]


@pytest.mark.parametrize("task", ["karate", "ring-transfer:hops=2:num_graphs=50", "diameter:num_graphs=10"])
def test_node_classification_trains_every_model(scores, tmp_path, task):
    script = importlib.import_module("node_classification")
    rows = scores.main(
        script.__doc__,
        tasks=[task],
        models={name: lambda task, name=name: script.contender(name, task) for name in script.MODELS},
        config=FitConfig(epochs=2),
        argv=["--trials", "2", "--splits", "1", "--seeds", "1", "--threads", "1", "--out", str(tmp_path / "x.json")],
    )
    assert [row["model"] for row in rows] == list(script.MODELS)
    assert all(row["status"] == "ok" and row["tried"] == 2 for row in rows)


def test_further_metrics_have_rows_of_the_table(run, scores, tmp_path):
    plain = run("--splits", "2", "--models", "near")
    (tmp_path / "x.json").unlink()
    rows = run("--splits", "2", metrics=("macro_f1",))
    assert json.loads((tmp_path / "x.json").read_text())["protocol"]["metrics"] == ["macro_f1"]
    assert [row["test"] for row in rows[:2]] == [row["test"] for row in plain]
    table = scores.summary(rows)
    assert [line["metric"] for line in table] == ["accuracy", "macro_f1"]
    f1 = [row["others"]["macro_f1"] for row in rows[:2]]
    assert f"{50 * sum(f1):.2f}" in table[1][next(iter(MODELS))]


def test_encoders_of_links_get_the_same_choices_and_train(scores, tmp_path):
    script = importlib.import_module("link_prediction")
    task = graphtasks.load("les-miserables")
    models = {name: script.MODELS[name] for name in ("gcn", "sage", "dmd", "dmd-overlap")}
    for make in models.values():
        space = make(task).space
        assert {key: space[key] for key in script.TRAINING} == script.TRAINING
    rows = scores.main(
        script.__doc__,
        tasks=["les-miserables"],
        models=models,
        config=FitConfig(epochs=2),
        metrics=script.METRICS,
        argv=["--trials", "2", "--splits", "1", "--threads", "1", "--out", str(tmp_path / "x.json")],
    )
    assert [row["model"] for row in rows] == list(models)
    assert all(row["status"] == "ok" and row["tried"] == 2 for row in rows)
    assert all(0 <= row["others"][metric] <= 1 for row in rows for metric in script.METRICS)
