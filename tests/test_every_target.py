"""The benchmark of all targets, on a pair that works and on one that does not."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from gnndiff.benchmark.rows import with_check
from gnndiff.targets import available, find
from graphtasks.registry import CATALOGUE

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TINY = {
    "trials": 2,
    "epochs": 3,
    "settings": 1,
    "initialisations": 2,
    "snapshots": 1,
    "retrainings": 2,
    "generator_steps": 5,
    "candidates": 4,
    "resamplings": 1,
    "members": 2,
    "refine_epochs": 2,
    "zoo": "independent",
}


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("every_target")
    for name in ("every_target", "measure"):
        sys.modules.pop(name, None)


def test_every_target_has_a_task_of_each_of_its_kinds(script):
    kinds = {label: CATALOGUE[label.split(":")[0]].kind for label in script.TASKS}
    found = script.pairs(available(), script.TASKS)
    for name in available():
        assert {kinds[label] for target, label in found if target == name} == set(find(name).kinds)


def test_rows_and_page(script, tmp_path, capsys):
    out, page = tmp_path / "rows.json", tmp_path / "targets.md"
    task = "ring-transfer:hops=2:num_graphs=50"
    argv = ["--targets", "mlp", "graphdmd", "--tasks", task, "--out", str(out), "--docs", str(page)]
    argv += ["--runs", str(tmp_path / "runs")]
    refused, row = script.main(argv, **TINY)
    assert (refused["model"], row["model"]) == ("graphdmd", "mlp")
    assert "many graphs" in refused["error"] or "one graph" in refused["error"]
    assert row["best"] in row["rows"]
    assert row["val"] <= 1
    assert json.loads(out.read_text())["rows"] == [with_check(refused), with_check(row)]
    text = page.read_text()
    assert f"| `mlp` | `{row['best']}` {100 * row['test']:.2f} % |" in text
    assert "| `graphdmd` | no [1] |" in text
    assert f"1. {refused['error']}" in text
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert script.main(argv, **TINY) == [refused, row]
    assert len(capsys.readouterr().out.splitlines()) == 1  # the one that failed is tried again
