"""The report of a run."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from faults import small_disk
from gnndiff import Run
from gnndiff.cli import main
from gnndiff.report.html import REPORT, keep_report, report
from gnndiff.report.verdict import verdict
from graphtasks.report import is_page


def test_sections(finished: Run) -> None:
    text = report(finished)
    titles = re.findall("<h2>(.*?)</h2>", text)
    expected = ["In words", "Rows", "Score by hyperparameter", "Networks", "Where these numbers come from"]
    assert [title for title in titles if title in expected] == expected
    assert text.count("<svg") >= 4
    for row in ("coarse_winner", "generated_best", "checkpoint_soup"):
        assert f"<td>{row}</td>" in text


def test_command(finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "own.html"
    main(["report", str(finished.folder), "--out", str(out)])
    assert capsys.readouterr().out.strip() == str(out)
    assert "<h1>" in out.read_text()


def test_an_earlier_report_stays_and_one_of_others_too(finished: Run, tmp_path: Path) -> None:
    path = finished.folder / REPORT
    assert keep_report(finished) == str(path)
    written = path.stat().st_mtime_ns
    assert keep_report(finished) == str(path)
    assert path.stat().st_mtime_ns == written
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    with pytest.raises(SystemExit):
        main(["report", str(finished.folder), "--out", str(mine)])
    assert mine.read_text() == "mine"


def test_a_file_of_somebody_else_in_the_place_of_the_report(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(finished.folder, tmp_path / "run")
    run = Run(dataclasses.replace(finished.config, out=folder))
    for content in ("mine", "<!doctype html><p>mine</p>"):
        (folder / REPORT).write_text(content)
        assert keep_report(run).startswith(f"none, as {folder / REPORT} is another file")
        with pytest.raises(SystemExit) as ended:
            main(["report", str(folder)])
        assert ended.value.code == 2
        assert "is not a report, so it is left as it is" in capsys.readouterr().err
        assert (folder / REPORT).read_text() == content
    (folder / REPORT).write_text("")
    assert keep_report(run) == str(folder / REPORT)
    assert is_page(folder / REPORT)


@pytest.mark.parametrize("there", [True, False])
def test_the_report_of_a_run_on_a_read_only_disk(
    there: bool, finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_report(finished)
    disk = tmp_path / "disk"
    with small_disk(disk, 4096):
        folder = shutil.copytree(finished.folder, disk / "run")
        if not there:
            (folder / REPORT).unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        run = Run(dataclasses.replace(finished.config, out=folder))
        assert keep_report(run) == (str(folder / REPORT) if there else f"none, as {folder} cannot be written to")
        with pytest.raises(SystemExit) as ended:
            main(["report", str(folder)])
        assert ended.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert REPORT in lines[0]
        main(["report", str(folder), "--out", str(tmp_path / "new.html")])
    assert is_page(tmp_path / "new.html")


def results(metric: str, best: float, winner: float, std: float, made: float, kept: float) -> dict[str, Any]:
    def row(name: str, test: float, n: int = 1, std: float = 0.0) -> dict[str, Any]:
        return {"name": name, "val": {"mean": test}, "test": {"mean": test, "std": std, "n": n}}

    rows = [row("coarse_winner", winner, 3, std), row("checkpoint_soup", kept), row("generated_best", made)]
    return {"metric": metric, "rows": rows, "best": {"row": "checkpoint_soup", "val": best, "test": best}}


def test_words_follow_from_numbers() -> None:
    lines = verdict(results("accuracy", 0.9, 0.85, 0.01, 0.88, 0.9))
    assert lines[1].startswith("Its test score is 5.00 points above")
    assert "more than twice" in lines[1]
    assert lines[2].endswith("the former is behind the latter by 2.00 points.")
    close = verdict(results("accuracy", 0.86, 0.85, 0.01, 0.9, 0.9))
    assert "less than twice" in close[1]
    assert close[2].endswith("equal to the latter.")


def test_words_know_that_errors_are_better_when_small() -> None:
    lines = verdict(results("mse", 0.5, 0.9, 0.1, 0.4, 0.5))
    assert lines[1].startswith("Its test score is 0.4 above")
    assert lines[2].endswith("ahead of the latter by 0.1.")


def test_runs_of_a_folder(finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(finished.folder, folder / "b")
    Run(dataclasses.replace(finished.config, out=folder / "a")).create()
    (folder / "other").mkdir()
    shutil.copytree(folder / "a", folder / "c")
    (folder / "c" / "config.json").write_text("{}")
    main(["runs", str(folder), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [Path(run["folder"]).name for run in found] == ["a", "b", "c"]
    assert [run["state"] for run in found[:2]] == ["nothing finished", "finished"]
    assert "damaged" in found[2]["state"] or "config.json" in found[2]["state"]
    main(["show", str(folder / "b"), "--json"])
    results = json.loads(capsys.readouterr().out)
    assert (found[1]["row"], found[1]["test"]) == (results["best"]["row"], results["best"]["test"])
    main(["runs", str(folder)])
    assert results["best"]["row"] in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["runs", str(tmp_path / "nothing")])
    assert ended.value.code == 2
