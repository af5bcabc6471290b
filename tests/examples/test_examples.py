import json
import math
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_layer_in_a_plain_script(monkeypatch, capsys):
    run("dmd_layer_in_pyg.py", monkeypatch)
    assert float(capsys.readouterr().out.split()[-1]) > 0.7
    assert len((EXAMPLES / "dmd_layer_in_pyg.py").read_text().splitlines()) <= 40


def test_graph_dmd_ends_in_one_json_line(monkeypatch, capsys):
    run("graph_dmd.py", monkeypatch, "--task", "wine", "--initialisations", "2")
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(report) == ["task", "test_mean", "test_std", "n", "seconds"]
    assert report["n"] == 2
    assert report["test_mean"] > 0.7


def test_own_data_go_through_fit_and_compare(monkeypatch, capsys):
    run("own_data.py", monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("communities: validation")
    assert lines[1].startswith("rings-and-trees: validation")
    communities = next(line for line in lines if line.startswith("| communities"))
    mlp, gcn = (float(cell.strip(" *_").split(" ± ")[0]) for cell in communities.split("|")[-3:-1])
    assert gcn > mlp


def test_own_series_from_a_file_to_a_forecast(monkeypatch, capsys):
    run("own_series.py", monkeypatch)
    score, _, *rows = capsys.readouterr().out.splitlines()
    assert float(score.split()[3]) < 0.1
    forecast = [list(map(int, row.split()[2:])) for row in rows]
    truth = [[300 + 100 * math.sin(math.pi * (hour - delay) / 12) for delay in range(4)] for hour in (400, 401, 402)]
    assert max(abs(a - b) for row in zip(forecast, truth, strict=True) for a, b in zip(*row, strict=True)) < 30
    assert len((EXAMPLES / "own_series.py").read_text().splitlines()) < 60


def test_sharded_dmd_on_two_processes():
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    script = str(EXAMPLES / "sharded_dmd.py")
    output = subprocess.run([*launch, script], env=environment, capture_output=True, text=True, check=True).stdout
    assert output.startswith("2 processes: eigenvalues 0.9000, 0.7000, 0.4000;")
    assert float(output.split()[-1]) < 1e-12


@pytest.mark.real_data
def test_the_paper_s_model_on_cora(monkeypatch, capsys, real_data):
    run("graph_dmd.py", monkeypatch, "--task", "cora", "--initialisations", "3")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["test_mean"] > 0.82


def test_own_module_on_an_own_graph(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    run("own_model.py", monkeypatch)
    assert "| coarse_winner | " in capsys.readouterr().out
    lines = (EXAMPLES / "own_model.py").read_text().splitlines()
    assert len(lines) <= 25


def test_own_sweep_to_soup_ensemble_and_generated_networks(monkeypatch, capsys):
    run("own_sweep.py", monkeypatch)
    assert "soup" in capsys.readouterr().out
    assert len((EXAMPLES / "own_sweep.py").read_text().splitlines()) <= 60


def test_directions_are_worth_something(monkeypatch, capsys):
    run("directed.py", monkeypatch)
    along, undirected = (float(line.split(":")[1].split()[0]) for line in capsys.readouterr().out.splitlines())
    assert along < 0.01 < undirected


def test_modes_are_those_of_pydmd(monkeypatch, capsys):
    run("dmd_against_pydmd.py", monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert float(lines[0].split()[-1]) < 1e-10
    assert lines[1].endswith(" 4")


def test_modes_of_files_are_those_of_memory(monkeypatch, capsys):
    run("out_of_core.py", monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("[0.9, 0.7, 0.5, 0.3]")
    assert float(lines[1].split()[-1]) < 1e-10


def test_links_by_both_decoders(monkeypatch, capsys):
    run("links.py", monkeypatch)
    printed = capsys.readouterr().out
    assert "with common neighbours" in printed
    assert "Adamic" in printed


def test_examples_are_short():
    long = {"method_figure.py", "sharded_dmd.py", "graph_dmd.py", "own_data.py"}
    lengths = {path.name: len(path.read_text().splitlines()) for path in EXAMPLES.glob("*.py")}
    assert max(length for name, length in lengths.items() if name not in long) <= 60
