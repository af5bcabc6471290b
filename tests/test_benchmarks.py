"""The tables in benchmarks/README.md are those of the measured rows."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# Each benchmark of scores with the model that its table compares with the others.
OF_SCORES = {
    "node_classification": "dmd",
    "held_out": "dmd",
    "ablation": "dmd",
    "directed": "dmdgnn-dir",
    "long_range": "dmdgps",
    "link_prediction": "dmd",
    "spatio_temporal": "dmd-gru",
}


def test_tables_show_the_measured_rows(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    measure, scores = importlib.import_module("measure"), importlib.import_module("scores")
    heuristics = importlib.import_module("link_heuristics")
    for name in ("measure", "scores", "link_heuristics"):
        monkeypatch.delitem(sys.modules, name)
    readme = (BENCHMARKS / "README.md").read_text()
    for name, part in (("tuned_gnn", "rows"), ("training", "scores"), ("training", "speed")):
        assert measure.table(json.loads((BENCHMARKS / f"{name}.json").read_text())[part]) in readme, (name, part)
    for name, ours in OF_SCORES.items():
        rows = json.loads((BENCHMARKS / f"{name}.json").read_text())["rows"]
        assert measure.table(scores.summary(rows, ours)) in readme, name
    lines = (BENCHMARKS / "link_heuristics.jsonl").read_text().splitlines()
    assert heuristics.summary([json.loads(line) for line in lines]) in readme
    for name in ("kernels", "cost"):
        for row in json.loads((BENCHMARKS / f"{name}.json").read_text())["rows"]:
            assert measure.markdown([row]).splitlines()[-1] in readme, row["work"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace('"b":2', '"b":3'), "line 2 of .*is not as it was written: remove it, and it is"),
        (lambda text: text[:-9], "line 3 of .*is no row: remove it, or use another file"),
        (lambda text: "My notes\n", "line 1 of .*is no row: remove it, or use another file"),
        (lambda text: "[1]\n", "line 1 of .*is no row: remove it, or use another file"),
    ],
)
def test_lines_that_changed_are_named(change, told, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    measure = importlib.import_module("measure")
    monkeypatch.delitem(sys.modules, "measure")
    path, rows = tmp_path / "rows.jsonl", [{"a": 0.1}, {"b": 2}, {"c": {1: None}}]
    assert measure.read_lines(path) == []
    for row in rows:
        measure.add_line(path, row)
    assert measure.read_lines(path) == [*rows[:2], {"c": {"1": None}}]
    path.write_text(change(path.read_text()))
    content = path.read_bytes()
    with pytest.raises(SystemExit, match=told):
        measure.read_lines(path)
    assert path.read_bytes() == content
