"""The report of a run as one HTML file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from gnndiff.report.modes import spectrum
from gnndiff.report.networks import networks
from gnndiff.report.search import by_hyperparameter, learning_curves
from gnndiff.report.verdict import verdict
from gnndiff.runs.folder import Run
from gnndiff.runs.record import CONFIG, read_results
from graphtasks import Metric, metric
from graphtasks.files import as_path
from graphtasks.report import Interval, Section, check_ours, intervals, is_page, page, paragraph, table, write_page

REPORT = "report.html"


def write_report(run: Run, path: Path | None = None) -> Path:
    """Write the report of a finished run, by default into its folder, and return its path.

    Raises:
        RunFolderError: The run has not finished.
        FileError: There is a file of somebody else, or the path cannot be written to.
    """
    path = run.folder / REPORT if path is None else as_path(path)
    check_ours(path)
    with run.threaded():
        content = report(run)
    write_page(path, content)
    return path


def keep_report(run: Run) -> str:
    """The path of a finished run's report, written into its folder unless it is there, or why there is none."""
    path = run.folder / REPORT
    if path.is_file() and path.stat().st_size:
        return str(path) if is_page(path) else f"none, as {path} is another file, which is left as it is"
    if not os.access(run.folder, os.W_OK):
        return f"none, as {run.folder} cannot be written to"
    return str(write_report(run))


def report(run: Run) -> str:
    """The report of a finished run as HTML."""
    results = read_results(run.folder)
    score = metric(results["metric"])
    sections = [
        Section("In words", [paragraph(line) for line in verdict(results)]),
        Section("Rows", _rows(results, score)),
        Section("Likeness to checkpoints", _audit(results)),
        Section("Calibration", _calibration(results)),
        Section("Score by hyperparameter", _grid(by_hyperparameter(run))),
        Section("Learning curves of the best trials", learning_curves(run)),
        Section("Networks", networks(run)),
        Section("Spectrum of the modes", spectrum(run)),
        Section("Where these numbers come from", _origin(run, results)),
    ]
    lead = f"{results['model']} on {results['task']}, split {results['split']}. {results['protocol']}"
    return page(f"{results['model']} on {results['task']}", lead, sections)


def _rows(results: Mapping[str, Any], score: Metric) -> list[str]:
    rows, factor = results["rows"], 100 if score.is_share else 1
    unit = " in %" if score.is_share else ""
    bars = [
        Interval(
            row["name"],
            factor * row["test"]["mean"],
            factor * row["test"]["std"],
            f"{row['name']}: test {score.format(row['test']['mean'], row['test']['std'])}, {row['note']}",
            marked=row["name"] == results["best"]["row"],
        )
        for row in rows
    ]
    lines = [
        {
            "row": row["name"],
            **{part: score.format(row[part]["mean"], row[part]["std"] if row[part]["n"] > 1 else None)
               for part in ("val", "choice", "test") if part in row},
            "n": row["test"]["n"],
            "seconds": f"{row['seconds']:.0f}",
            "what it is": row["note"],
        }
        for row in rows
    ]  # fmt: skip
    best = [place for place, row in enumerate(rows) if row["name"] == results["best"]["row"]]
    title = f"test {score.name}{unit}: mean, and deviation over a row's trainings or draws"
    return [intervals(bars, x=title), table(lines, marked=best)]


def _audit(results: Mapping[str, Any]) -> list[str]:
    audit = results.get("audit")
    if not audit:
        return []
    columns = ("in_same", "in_other", "overlap", "overlap_same", "overlap_other")
    lines = [
        {
            "pool": entry["pool"],
            "networks": entry["networks"],
            **{name: "-" if entry[name] is None else f"{entry[name]:.3g}" for name in columns},
            "moved by the condition": "-" if entry["condition"] is None else f"{entry['condition']['distance']:.3g}",
        }
        for entry in audit
    ]
    text = (
        "Distances are to the nearest checkpoint, in units of two checkpoints of one training (in_same) and of two "
        "trainings (in_other): well below 1 is a copy. Overlaps are of the wrong answers."
    )
    return [paragraph(text), table(lines)]


def _calibration(results: Mapping[str, Any]) -> list[str]:
    lines = [
        {
            "row": row["name"],
            **{name: "-" if value is None else f"{value:.3g}" for name, value in row["calibration"].items()},
        }
        for row in results["rows"]
        if row.get("calibration")
    ]
    text = "Test part: negative log likelihood, expected calibration error, and AUROC of finding wrong answers."
    return [paragraph(text), table(lines)] if lines else []


def _grid(charts: list[str]) -> list[str]:
    return [f"<div class='charts'>{''.join(charts)}</div>"] if charts else []


def _origin(run: Run, results: Mapping[str, Any]) -> list[str]:
    stored = json.loads((run.folder / CONFIG).read_text("utf-8"))
    facts = {
        "setting of the delivered network": results["best"]["setting"],
        "parameters": results["parameters"],
        "hidden units": results["alignment"],
        "stages": ", ".join(f"{stage['name']} {stage['seconds']:.0f} s" for stage in results["stages"]),
        "device and threads": f"{results['device']}, {results['threads']}",
        "processor": platform.processor() or platform.machine(),
        "Python": platform.python_version(),
        **stored.get("versions", {}),
        "data and split": f"{results['data_hash']}, {results['split_hash']}",
    }
    command = (
        f"gnndiff run --task {results['task']} --model {results['model']} --budget {results['budget']} "
        f"--split {results['split']} --seed {results['seed']} --threads {results['threads']}"
    )
    lines = [{"what": name, "value": value} for name, value in facts.items()]
    return [f"<pre>{escape(command)}</pre>", table(lines)]
