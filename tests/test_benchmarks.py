"""The tables in benchmarks/README.md are those of the measured rows."""

import importlib
import json
import sys
from pathlib import Path

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
