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
    best = results["best"]
    console.print(
        f"best/ holds {best['row']}, {article(best['is'])}: validation {score.format(best['val'])}, test "
        f"{score.format(best['test'])}; {best['chosen']}"
    )
    for entry in results["audit"]:
        console.print(f"audit of {entry['pool']}: {_audited(entry)}", style="dim")
    stages = ", ".join(f"{stage['name']} {stage['seconds']:.0f} s" for stage in results["stages"])
    console.print(f"networks {results['alignment']}; {stages}; {results['threads']} threads on {results['device']}")


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


def _audited(entry: dict[str, Any]) -> str:
    """An entry of the audit in one line."""
    words = []
    for name, of in (("in_same", "the same training's"), ("in_other", "the nearest other training's")):
        if entry[name] is not None:
            words.append(f"{entry[name]:.2f} of {of}")
    text = f"distance to the nearest checkpoint {', '.join(words)}" if words else "no other checkpoint"
    if entry["overlap"] is not None:
        text += f"; overlap of wrong predictions {entry['overlap']:.2f}"
        if entry["overlap_other"] is not None:
            text += f", of two trainings {entry['overlap_other']:.2f}"
    if entry["condition"] is not None:
        text += f"; the condition moves networks by {entry['condition']['distance']:.2f}"
    return text
