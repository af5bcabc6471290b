"""The benchmark of generation: which lines it computes, and what its tables say."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from gnndiff.targets import available
from graphtasks.registry import CATALOGUE

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("generation")
    for name in ("generation", "measure"):
        sys.modules.pop(name, None)


def line(script, task, target, budget, split, seed, folder=None):
    """A line in which what is delivered is 2 points ahead, an ensemble 3."""
    rows = {"coarse_winner": [0.7, 0.8 + 0.01 * split, 0.1, 1.0], "retrained_best": [0.7, 0.81, 0.1, 2.0]}
    rows["random_search_equal_time"] = [0.7, 0.8, 0.1, 9.0]
    rows["generated_ensemble"] = [0.9, 0.83 + 0.01 * split, 0.05, 9.0]
    rows["generated_best"] = [0.8, 0.82 + 0.01 * split, 0.1, 9.0]
    best = {"row": "generated_best", "is": "network", "choice": 0.8, "val": 0.9, "test": 0.82 + 0.01 * split}
    audit = {"in_same": 2.0, "in_other": 0.5, "overlap": 0.7, "overlap_other": 0.8, "condition": None}
    about = dict(zip(script.KEY, (task, target, budget, split, seed), strict=True))
    return {**about, "metric": "accuracy", "best": best, "audit": audit, "rows": rows, "stages": {}, "seconds": 1.0}


def test_cells_have_tasks_and_targets_that_are_there(script):
    assert {task.split(":")[0] for task, _ in script.CELLS} <= set(CATALOGUE)
    assert {target for _, target in script.CELLS} <= set(available())
    assert set(script.DEVELOPMENT) <= set(script.CELLS)
    assert len(set(script.CELLS)) == len(script.CELLS)


def test_lines_are_computed_once_and_printed_as_tables(script, tmp_path, monkeypatch, capsys):
    seen = []

    def quick(**about):
        seen.append((about["split"], about["seed"]))
        return line(script, **about)

    monkeypatch.setattr(script, "cell", quick)
    out = tmp_path / "lines.jsonl"
    argv = ["--tasks", "digits", "--targets", "gcn", "--splits", "2", "--seeds", "2", "--out", str(out)]
    script.main(argv)
    script.main(argv)
    assert seen == [(split, seed) for split in range(2) for seed in range(2)]
    head, *lines = map(json.loads, out.read_text().splitlines())
    assert "machine" in head
    assert len(lines) == 4
    capsys.readouterr()
    script.main(["--out", str(out), "--table"])
    text = capsys.readouterr().out
    assert "| digits | gcn | coarse | 4 | 80.50 | +2.00 (+2.00 to +2.00) |" in text
    assert "+3.00 (+3.00 to +3.00) | generated_best |" in text
    assert "| 2.000 | 0.500 | 0.700 | 0.800 | 0.100 | 0.050 |" in text


def test_no_cell_begins_after_the_time(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "cell", lambda **about: 1 / 0)
    script.main(["--seconds", "-1", "--tasks", "digits", "--targets", "gcn", "--out", str(tmp_path / "lines.jsonl")])
