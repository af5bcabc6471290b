"""The script that measures on a GPU says where there is none, and its tables are right on any device."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
SMALL = {
    "kernels": {"shapes": ((40, 12),)},
    "eigenproblems": {"shapes": ((6, 6), (3, 4, 4))},
    "ragged": {"graphs": 3},
    "layer": {"nodes": 70, "edges": 200, "channels": 8},
}


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("gpu")
    for name in ("gpu", "measure"):
        sys.modules.pop(name, None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_one_line_where_there_is_no_gpu(tmp_path):
    arguments = [sys.executable, "benchmarks/gpu.py", "--out", str(tmp_path / "gpu.json")]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("no GPU: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "gpu.json").exists()


def test_tables_and_programs_in_one_file(gpu, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "PROGRAMS", {"one": ["-c", "print('fine')"], "other": ["-c", "raise SystemExit(3)"]})
    monkeypatch.setattr(gpu, "machine", lambda: {})
    out = tmp_path / "gpu.json"
    assert gpu.measure("cpu", out, **SMALL) is False  # the other program failed
    result = json.loads(out.read_text())
    assert result["programs"]["one"]["output"] == "fine\n"
    assert (result["programs"]["one"]["status"], result["programs"]["other"]["status"]) == (0, 3)
    assert {name: len(rows) for name, rows in result["rows"].items()} == {
        "kernels": 8,
        "eigenproblems": 8,
        "ragged": 2,
        "layer": 4,
    }
    for row in [row for rows in result["rows"].values() for row in rows]:
        assert row["ratio"] == pytest.approx(row["rival_s"] / row["ours_s"])
        assert ("float32" in row["work"]) != ("float64" in row["work"])
    assert not result["errors"]
    assert not result["skipped"]


def test_an_error_in_one_table_leaves_the_others(gpu, monkeypatch, tmp_path):
    def broken(device):
        yield {"work": "first", "rival": "CPU", "ours_s": 1.0, "rival_s": 1.0, "ratio": 1.0}
        raise RuntimeError("out of memory")

    def sound(device):
        yield {"work": "second", "rival": "CPU", "ours_s": 1.0, "rival_s": 1.0, "ratio": 1.0}

    monkeypatch.setattr(gpu, "PROGRAMS", {})
    monkeypatch.setattr(gpu, "TABLES", (broken, sound))
    assert gpu.measure("cpu", tmp_path / "gpu.json") is False
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert result["errors"] == {"broken": "RuntimeError: out of memory"}
    assert [len(rows) for rows in result["rows"].values()] == [1, 1]


def test_time_that_is_up_is_said(gpu, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "PROGRAMS", {"long": ["-c", "import time; time.sleep(60)"]})
    assert gpu.measure("cpu", tmp_path / "gpu.json", seconds=0.0, **SMALL) is False
    result = json.loads((tmp_path / "gpu.json").read_text())
    assert "did not end in 1 s" in result["programs"]["long"]["output"]
    assert result["skipped"] == [f"the rest of {name}" for name in SMALL]


def test_the_run_that_is_tried_is_one_of_gnndiff(gpu):
    arguments = gpu.PROGRAMS["run"]
    code, command = arguments[1], arguments[2:]
    assert "from gnndiff.cli import main" in code
    help_text = subprocess.run(
        [sys.executable, "-c", code, command[0], "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for option in [argument for argument in command if argument.startswith("--")]:
        assert option in help_text


def test_make_gpu_calls_the_script():
    assert "\tpython benchmarks/gpu.py" in (ROOT / "Makefile").read_text().replace("$(BIN)/", "")
