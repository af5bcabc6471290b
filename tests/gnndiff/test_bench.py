"""Benchmarks: tables that are the same for any number of processes and that go on where they were stopped."""

import hashlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import graphtasks
from gnndiff import BenchError, ConfigError, bench
from gnndiff.benchmark.labels import Loader, named
from gnndiff.benchmark.protocol import Protocol, sentence
from gnndiff.benchmark.rows import Files, read_rows, with_check, write_rows
from gnndiff.benchmark.summary import differences, summary
from gnndiff.cli import main
from gnndiff.workers import Failure, work
from graphtasks import Comparison, FitConfig
from graphtasks.compare import _settings
from graphtasks.errors import FileError, GraphTasksError, InvalidDataError
from graphtasks.ledger import Ledger, read_lines

TINY = {"trials": 2, "splits": 1, "seeds": 1, "tuning_splits": 1, "config": FitConfig(epochs=3), "quiet": True}
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RECORDED = json.loads((Path(__file__).parent / "preset_settings.json").read_text())

MINE = """
import os

import torch
from torch_geometric.nn import GCNConv

import gnndiff


class Net(torch.nn.Module):
    def __init__(self, features, hidden, outputs):
        super().__init__()
        self.conv1, self.conv2 = GCNConv(features, hidden), GCNConv(hidden, outputs)

    def forward(self, x, edge_index):
        return self.conv2(self.conv1(x, edge_index).relu(), edge_index)


class Mine(gnndiff.Target):
    name = "mine"
    kinds = frozenset({"node"})

    def space(self, task):
        return {"hidden": [4, 8]}

    def build(self, task, hidden):
        if task.name == os.environ.get("DEADLY"):
            os._exit(7)
        return Net(task.num_features, hidden, task.num_classes)
"""


@pytest.fixture
def files(tmp_path):
    """A model in a file, and a task in a folder."""
    (tmp_path / "mine.py").write_text(MINE)
    task = graphtasks.load("karate")
    (tmp_path / "club").mkdir()
    data = task.graph()
    np.savez(tmp_path / "club" / "graph.npz", x=data.x, y=data.y, edge_index=data.edge_index)
    graphtasks.save_splits(task.splits[:1], tmp_path / "club" / "splits.npz")
    return f"{tmp_path}/mine.py:Mine", str(tmp_path / "club")


def timeless(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize(
    ("task", "models"),
    [
        ("wine", ["gcn", "graphdmd"]),
        ("les-miserables", ["gcn", "sage"]),
        ("ring-transfer:hops=2:num_graphs=50", ["gcn", "dmdgps"]),
        ("diameter:num_graphs=10", ["gin", "mlp"]),
        ("advection:num_nodes=20:steps=33:horizon=2", ["gcn-gru", "dmdgru"]),
    ],
)
def test_every_kind_of_task(task, models, tmp_path):
    result = bench([task], models, out=tmp_path / "table", **TINY)
    assert [(row["task"], row["model"], row["status"]) for row in result.rows] == [
        (task, name, "ok") for name in models
    ]
    content = json.loads((tmp_path / "table.json").read_text())
    assert content["rows"] == [with_check(row) for row in result.rows]
    assert len(read_lines(tmp_path / "table.jsonl")[0]) == 3 * len(models)
    text = (tmp_path / "table.md").read_text()
    assert text == result.to_markdown() + "\n"
    assert text.count(f"| {task} |") == 2


def test_processes_make_the_same_table(files, tmp_path, capfd):
    model, folder = files
    arguments = (["wine", folder, graphtasks.load("karate")], ["gcn", model])
    one = bench(*arguments, out=tmp_path / "one", **TINY)
    two = bench(*arguments, out=tmp_path / "two", workers=2, **TINY)
    assert timeless(two.rows) == timeless(one.rows)
    assert [row["task"] for row in one.rows[::2]] == ["wine", "club", "karate"]
    assert {row["model"] for row in one.rows} == {"gcn", "mine"}
    assert two.to_markdown() == one.to_markdown()
    ledgers = [sorted(timeless(read_lines(tmp_path / f"{name}.jsonl")[0]), key=str) for name in ("one", "two")]
    assert ledgers[0] == ledgers[1]
    assert not (tmp_path / "two.parts").exists()
    # Trainings of one process are not repeated by others.
    again = bench(*arguments, out=tmp_path / "one", workers=2, **{**TINY, "quiet": False})
    assert again.rows == one.rows
    assert "trial" not in capfd.readouterr().err


def test_a_process_that_dies_is_named_and_others_go_on(files, tmp_path, monkeypatch):
    monkeypatch.setenv("DEADLY", "karate")
    arguments = dict(out=tmp_path / "table", workers=2, **TINY)
    tasks = ["karate", "wine"]
    with pytest.raises(BenchError, match=r"1 of 4 have no rows .* 'mine' on karate: its process died with exit code 7"):
        bench(tasks, [files[0], "gcn"], **arguments)
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [(row["task"], row["model"]) for row in rows] == [("karate", "gcn"), ("wine", "mine"), ("wine", "gcn")]
    monkeypatch.delenv("DEADLY")
    assert len(bench(tasks, [files[0], "gcn"], **arguments).rows) == 4


def test_it_goes_on_after_kills(tmp_path):
    task, models, out = "karate", ["gcn", "sage"], tmp_path / "table"
    command = [sys.executable, "-m", "gnndiff", "bench", "--tasks", task, "--models", *models, "--out", str(out)]
    command += ["--trials", "6", "--splits", "2", "--epochs", "20", "--workers", "2"]
    done = [0]
    for how, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stderr is not None
        told = "".join(process.stderr.readline() for _ in range(2))
        if how == signal.SIGINT:
            os.killpg(process.pid, how)  # as a terminal does
        else:
            process.kill()
        told += process.communicate()[1]
        assert process.returncode == code, told
        assert "Traceback" not in told
        done.append(trainings(tmp_path))
        assert done[-1] >= done[-2] + told.count(", split ")
    assert done[-1] < 2 * (6 * 2 + 2)
    options = {"trials": 6, "splits": 2, "config": FitConfig(epochs=20, patience=40)}
    again, whole = (bench([task], models, out=path, quiet=True, **options) for path in (out, tmp_path / "whole"))
    assert timeless(again.rows) == timeless(whole.rows)
    assert len(read_lines(out.with_suffix(".jsonl"))[0]) == 2 * (6 * 2 + 2)
    assert not (tmp_path / "table.parts").exists()


def trainings(folder):
    """Number of trainings that a stopped benchmark leaves, once none of its processes is there any more."""
    paths = [path for path in (folder / "table.jsonl", *(folder / "table.parts").glob("*.jsonl")) if path.exists()]
    return sum(map(held, paths))


def held(path, seconds=30):
    """Number of trainings in a file that no process writes to any more."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(FileError), Ledger(path, None) as ledger:
            return len(ledger.done)
        time.sleep(0.1)
    raise AssertionError(f"a process still writes to {path}")


def half(number):
    if number < 0:
        raise ConfigError(f"got {number}")
    return 12 // number


def test_errors_of_units_do_not_end_the_others(capsys):
    outcomes = dict(work(half, [3, -1, 0, 4], 1))
    assert (outcomes[0], outcomes[3]) == (4, 3)
    assert outcomes[1] == Failure("got -1")
    assert outcomes[2].message.startswith("ZeroDivisionError: ")
    assert capsys.readouterr().err.count("Traceback") == 1


def test_what_cannot_be_sent_is_told():
    with pytest.raises(ConfigError, match=r"cannot be sent to another process .* use workers=1"):
        list(work(lambda unit: unit, [1, 2], 2))


def test_more_tasks_and_models_add_to_the_table(tmp_path):
    first = bench(["karate"], ["gcn"], out=tmp_path / "table", **TINY)
    second = bench(["karate", "wine"], ["mlp"], out=tmp_path / "table.json", ours="mlp", **TINY)
    assert second.rows[:1] == first.rows
    assert [(row["task"], row["model"]) for row in second.rows] == [
        ("karate", "gcn"),
        ("karate", "mlp"),
        ("wine", "mlp"),
    ]
    assert "mlp ahead" in (tmp_path / "table.md").read_text()


def test_an_own_model_that_changed_is_trained_again(files, tmp_path, capfd):
    model, _ = files
    options = {**TINY, "quiet": False, "out": tmp_path / "table"}
    bench(["karate"], [model], **options)
    capfd.readouterr()
    bench(["karate"], [model], **options)
    assert capfd.readouterr().err == ""
    (tmp_path / "mine.py").write_text(MINE.replace("relu", "tanh"))
    bench(["karate"], [model], **options)
    assert capfd.readouterr().err.count("karate mine") == 3


def test_the_space_of_the_paper(tmp_path):
    task = graphtasks.load("karate")
    result = bench([task], ["gat"], space="paper", out=tmp_path / "table", **TINY)
    assert result.protocol["space"] == "paper"
    assert "of the paper's space" in result.to_markdown()
    with pytest.raises(ConfigError, match="space differ"):
        bench([task], ["gat"], out=tmp_path / "table", **TINY)


def test_further_metrics(tmp_path):
    result = bench(["les-miserables"], ["gcn"], metrics=["ap"], out=tmp_path / "table", **TINY)
    assert [row["metric"] for row in summary(result.rows)] == ["roc_auc", "ap"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "karat", "--models", "gcn"], "did you mean 'karate'?"),
        (
            ["--tasks", "karate:randm", "--models", "gcn"],
            "'karate' has no split protocol 'randm': did you mean 'random'?",
        ),
        (["--tasks", "ring-transfer:hop=2", "--models", "gcn"], "does not take the option 'hop': did you mean 'hops'?"),
        (["--tasks", "csbm:seed=one", "--models", "gcn"], "invalid literal"),
        (["--tasks", "karate", "--models", "saeg"], "did you mean 'sage'?"),
        (["--tasks", "karate", "--models", "gcn", "gcn"], "two models are called 'gcn'"),
        (["--tasks", "karate", "Karate", "--models", "gcn"], "two tasks are called 'karate'"),
        (["--tasks", "karate", "--models", "gcn", "dmdgru"], "'dmdgru' is for tasks of kind 'temporal', but 'karate'"),
        (["--tasks", "karate", "--models", "nothing.py:Model"], "there is no file nothing.py"),
        (["--tasks", "karate", "--models", "gcn", "--ours", "sage"], "got ours='sage', expected one of gcn"),
        (["--tasks", "karate", "--models", "gcn", "--trials", "0"], "got trials=0, expected at least 1"),
        (["--tasks", "karate", "--models", "gcn", "--tuning-splits", "0"], "got tuning_splits=0"),
        (["--tasks", "karate", "--models", "gcn", "--seconds", "-1"], "got seconds=-1.0, expected more than 0"),
        (["--tasks", "karate", "--models", "gcn", "--workers", "0"], "got workers=0, expected at least 1"),
        (["--tasks", "karate", "--models", "gcn", "--threads", "0"], "threads"),
        (["--tasks", "karate", "--models", "gcn", "--metrics", "f3"], "f3"),
    ],
)
def test_bad_input_trains_nothing(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["bench", "--out", str(tmp_path / "table"), *arguments])
    assert caught.value.code == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("gnndiff: ")
    assert message in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"precious",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b'{"rows": []}',
        b'{"protocol": {}, "rows": [{}]}',
        b'{"protocol": {}, "rows": [1]}',
        b'{"protocol": {}, "rows": [{"task": "karate", "protocol": "random", "model": ["gcn"]}]}',
    ],
)
def test_a_file_of_something_else_stays(content, tmp_path):
    (tmp_path / "table.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"no rows? of a benchmark.*choose another --out") as caught:
        bench(["karate"], ["gcn"], out=tmp_path / "table", **TINY)
    assert "\n" not in str(caught.value)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("table.json", content)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"test":', '"test":1'),
        ('"seed":0', '"seed":1'),
        ('"model":"mlp"', '"model":"gcn"'),
        ('"setting":{', '"a":1,"setting":{'),
    ],
)
def test_a_row_that_changed_is_named(old, new, tmp_path):
    models = ["gcn", "mlp"]
    bench(["karate"], models, out=tmp_path / "table", **TINY)
    lines = (tmp_path / "table.json").read_text().splitlines()
    row = lines.index('"rows": [') + 2
    lines[row] = lines[row].replace(old, new, 1)
    (tmp_path / "table.json").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=r"^row 2 of .*table.json is not as it was written: remove it, and it is mea"):
        bench(["karate"], models, out=tmp_path / "table", **TINY)
    assert (tmp_path / "table.json").read_text() == "\n".join(lines)
    lines[row - 1] = lines[row - 1].removesuffix(",")
    del lines[row]
    (tmp_path / "table.json").write_text("\n".join(lines))
    assert [row["model"] for row in bench(["karate"], models, out=tmp_path / "table", **TINY).rows] == models


def test_rows_are_read_in_both_forms(tmp_path):
    for name in ("node_classification", "link_prediction"):
        published = json.loads((BENCHMARKS / f"{name}.json").read_text())
        rows = read_rows(BENCHMARKS / f"{name}.json", published["protocol"])
        assert rows == published["rows"]
        write_rows(tmp_path / "x.json", published["machine"], published["protocol"], rows)
        content = json.loads((tmp_path / "x.json").read_text())
        assert all(len(row.pop("check")) == 16 for row in content["rows"])
        assert content == published
        assert (tmp_path / "x.json").read_text().count("\n") == len(rows) + 6
        assert read_rows(tmp_path / "x.json", published["protocol"]) == rows


@pytest.mark.parametrize("out", ["a/my.table", "a/my.table.json", "a/my.table.md", "a/my.table.html"])
def test_names_of_files(out):
    files = Files(Path(out))
    assert (files.rows, files.ledger) == (Path("a/my.table.json"), Path("a/my.table.jsonl"))
    assert (files.table, files.parts) == (Path("a/my.table.md"), Path("a/my.table.parts"))


@pytest.mark.parametrize("out", ["", ".", "..", "/", "/dev/null", "a/..", "/dev/tty", "x" * 300, "a\0b", "/proc/x"])
def test_names_that_no_files_can_have(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ConfigError, FileError)) as caught:
        bench(["karate"], ["mlp"], out=out, **TINY)
    assert "\n" not in str(caught.value)
    assert "another process" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.md", "t.html"])
@pytest.mark.parametrize("content", ["mine\n", "null\n", "[]", '{"a": 1}\n', "\0\1"])
def test_files_of_others_are_left_before_anything_is_trained(name, content, tmp_path, monkeypatch):
    monkeypatch.setattr("gnndiff.benchmark.bench.work", None)
    (tmp_path / name).write_text(content)
    with pytest.raises((ConfigError, FileError, InvalidDataError), match=re.escape(name)):
        bench(["karate"], ["mlp"], out=tmp_path / "t", **TINY)
    assert (tmp_path / name).read_text() == content
    assert {path.name for path in tmp_path.iterdir()} <= {name, ".t.lock"}


def test_files_of_others_among_the_parts(tmp_path):
    parts = tmp_path / "t.parts"
    parts.mkdir()
    for name in ("mine.jsonl", "my-cafe.jsonl"):
        (parts / name).write_text("")
    with Ledger(parts / "own.jsonl", None):
        pass
    bench(["karate"], ["mlp"], out=tmp_path / "t", **TINY)
    assert {path.name for path in parts.iterdir()} == {"mine.jsonl", "my-cafe.jsonl", "own.jsonl"}


def test_a_folder_in_the_place_of_a_file(tmp_path):
    for name in ("t.json", "t.jsonl", "t.md", "t.html"):
        (tmp_path / name).mkdir()
        with pytest.raises(GraphTasksError, match="is a folder"):
            bench(["karate"], ["mlp"], out=tmp_path / "t", **TINY)
        (tmp_path / name).rmdir()


@pytest.mark.parametrize("body", ["raise SystemExit", "import sys\nsys.exit(0)", "exit('bye')", "1 / 0"])
def test_files_of_users_that_end_the_program(body, tmp_path, monkeypatch, capsys):
    (tmp_path / "own.py").write_text(body)
    (tmp_path / "later.py").write_text("def task():\n    " + body.replace("\n", "\n    "))
    for arguments in (
        ["--tasks", f"{tmp_path}/own.py:task", "--models", "mlp"],
        ["--tasks", "karate", "--models", f"{tmp_path}/own.py:Net"],
        ["--tasks", f"{tmp_path}/later.py:task", "--models", "mlp"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(["bench", *arguments, "--out", str(tmp_path / "t")])
        assert ended.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert "mend it first" in lines[0]
        for module in ("own", "later"):
            sys.modules.pop(module, None)


def test_options_of_tasks_are_numbers():
    assert named("csbm:homophily=0.25:seed=3") == ("csbm", "random", {"homophily": 0.25, "seed": 3})
    assert Loader()("csbm:num_nodes=100:homophily=0.25").name == "csbm:num_nodes=100:homophily=0.25"


def test_the_protocol_in_words():
    protocol = Protocol(trials=8, splits=3, seconds=60, tuning_seeds=2)
    assert sentence(protocol.record()) == (
        "At most 8 settings of each model are tried for at most 60 s on splits 0, 1, or with 2 initialisations where a "
        "task has one split; the best by validation is trained on splits 0 to 2, or with 10 initialisations where a "
        "task has one split; shown are mean and standard deviation of the test scores."
    )


def test_paired_differences_are_those_of_a_comparison():
    tests = {"a": [0.5, 0.6, 0.7], "b": [0.6, 0.6, 0.9], "c": [0.5, None, 0.7]}
    about = {"task": "t", "protocol": "p", "metric": "accuracy", "direction": "maximize", "seed": 0, "val": 0.5}
    rows = [
        {**about, "model": model, "split": split, "test": test}
        for model, values in tests.items()
        for split, test in enumerate(values)
    ]
    [line] = differences(rows)
    paired = Comparison(pd.DataFrame(rows)).differences("a").set_index("model").loc["b"]
    expected = "{difference:.2f} ({low:.2f} to {high:.2f})".format(
        **{k: 100 * v for k, v in paired.items() if k in ("difference", "low", "high")}
    )
    assert line == {"task": "t", "protocol": "p", "metric": "accuracy", "best": "b", "a": expected, "b": "", "c": ""}


@pytest.mark.parametrize("script", sorted({name.split()[0] for name in RECORDED}))
def test_presets_draw_the_same_settings(script, monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module, known = importlib.import_module(script), importlib.import_module("node_classification")
    options = {
        "ring-transfer": {"hops": 10 if script == "long_range" else 2, "num_graphs": 50},
        "advection": {"num_nodes": 20, "horizon": 2, "steps": 33}
        if script == "directed"
        else {"num_nodes": 20, "horizon": 3, "steps": 110, "lags": 2},
    }
    trials = {"node_classification": 16, "ablation": 16, "directed": 10, "long_range": 4}.get(script, 8)
    checked = 0
    for label, recorded in RECORDED.items():
        script_, task, model = label.split()
        if script_ != script:
            continue
        monkeypatch.setattr(known, "MANY_LABELS", 1 if task == "digits" else 3000)
        loaded = graphtasks.load(task, **options.get(task, {}))
        own = script in ("link_prediction", "spatio_temporal")
        contender = module.MODELS[model](loaded) if own else module.contender(model, loaded)
        assert {name: list(choices) for name, choices in contender.space.items()} == recorded["space"]
        drawn = json.dumps(_settings(contender.space, trials, 0), sort_keys=True)
        assert hashlib.sha256(drawn.encode()).hexdigest()[:16] == recorded["drawn"]
        checked += 1
    assert checked
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


@pytest.mark.parametrize("content", [b"# My notes\n", b"\xff\x00", b"{}"])
def test_a_text_in_the_place_of_the_table_stays_as_it_is(tmp_path, content):
    (tmp_path / "README.md").write_bytes(content)
    with pytest.raises(ConfigError, match="is no table of a benchmark: choose another --out"):
        bench(["karate"], ["mlp"], out=tmp_path / "README", **TINY)
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_bytes() == content
