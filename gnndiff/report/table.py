"""The table of a run on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from gnndiff.report.grid import audited, grid, searched
from graphtasks import metric


def print_results(results: dict[str, Any]) -> None:
    """Print the tables of results.json, and what the run delivers."""
    score = metric(results["metric"])
    console = Console(markup=False, emoji=False)  # names are no markup
    console.print(f"{results['model']} on {results['task']}, split {results['split']}, {results['metric']}")
    _print(console, searched(results["rows"], score))
    _print(console, grid(results["rows"], score))
    if results["audit"]:
        console.print(
            "Distance to the nearest checkpoint, in units of two of the same training and of two trainings; overlap of "
            "wrong predictions",
            style="dim",
        )
        _print(console, audited(results["audit"]))
    best = results["best"]
    console.print(
        f"best/ holds {best['row']}, {article(best['is'])}: validation {score.format(best['val'])}, test "
        f"{score.format(best['test'])}; {best['chosen']}"
    )
    stages = ", ".join(f"{stage['name']} {stage['seconds']:.0f} s" for stage in results["stages"])
    console.print(f"networks {results['alignment']}; {stages}; {results['threads']} threads on {results['device']}")


def _print(console: Console, lines: Sequence[Mapping[str, str]]) -> None:
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for place, column in enumerate(lines[0] if lines else ()):
        table.add_column(column, no_wrap=True, justify="right" if place else "left")
    for line in lines:
        table.add_row(*line.values())
    console.print(table)
    console.print()


def print_runs(runs: Sequence[Mapping[str, Any]]) -> None:
    """Print the list of runs of a folder."""
    table = Table(box=None)
    for column in ("folder", "task", "model", "state", "delivers", "validation", "test"):
        table.add_column(column, overflow="fold")
    for run in runs:
        scores = ["", "", ""]
        if "metric" in run:
            score = metric(run["metric"])
            scores = [run["row"], score.format(run["val"]), score.format(run["test"])]
        table.add_row(run["folder"], run.get("task", ""), run.get("model", ""), run["state"], *scores)
    Console(markup=False, emoji=False).print(table)


def article(noun: str) -> str:
    """A noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
