"""The table of a run on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from graphtasks import metric


def print_results(results: dict[str, Any]) -> None:
    """Print the rows of results.json."""
    score = metric(results["metric"])
    console = Console(markup=False, emoji=False)  # names are no markup
    console.print(f"{results['model']} on {results['task']}, split {results['split']}, {results['metric']}")
    table = Table(box=None)
    for column in ("row", "validation", "test", "n", "seconds"):
        table.add_column(column, no_wrap=True, justify="left" if column == "row" else "right")
    for row in results["rows"]:
        scores = [score.format(row[part]["mean"], row[part]["std"]) for part in ("val", "test")]
        table.add_row(row["name"], *scores, str(row["test"]["n"]), f"{row['seconds']:.0f}")
    console.print(table)
    for row in results["rows"]:
        console.print(f"{row['name']}: {row['note']}", style="dim")
    best = results["best"]
    console.print(
        f"best/ holds {best['row']}: validation {score.format(best['val'])}, test {score.format(best['test'])}; "
        f"networks {results['alignment']}"
    )
    stages = ", ".join(f"{stage['name']} {stage['seconds']:.0f} s" for stage in results["stages"])
    console.print(f"{stages}; {results['threads']} threads on {results['device']}")


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
