"""Does every target go through all stages of a run on a task of each of its kinds, and which row of the table wins?

The smoke budget is a check of the way through, on tasks that need no files; it compares no models. The best row is the
one that validates best, whose network the run delivers. Rows of finished pairs are not run again, and runs that were
stopped go on in their folders.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from measure import Row, table

import gnndiff
from gnndiff.benchmark.labels import Loader, named
from gnndiff.benchmark.machine import machine
from gnndiff.benchmark.rows import read_rows, which, write_rows
from gnndiff.files import write_text
from gnndiff.targets import available, find
from gnndiff.workers import Failure, work
from graphtasks import metric
from graphtasks.registry import CATALOGUE

TASKS = (
    "wine",
    "ring-transfer:hops=4:num_graphs=100",
    "eccentricity:num_graphs=100",
    "diameter:num_graphs=100",
    "les-miserables",
    "advection:num_nodes=50",
)
Pair = tuple[str, str]


def pairs(targets: Sequence[str], tasks: Sequence[str]) -> list[Pair]:
    """Each target with each task of one of its kinds."""
    return [
        (target, label)
        for target in targets
        for label in tasks
        if CATALOGUE[named(label)[0]].kind in find(target).kinds
    ]


@dataclass(frozen=True)
class Runs:
    """Runner of a pair.

    Args:
        folder: Folder of the run folders.
        budget: The budget.
        overrides: Fields of :class:`gnndiff.RunConfig` that have other values than the budget's.
    """

    folder: Path
    budget: str
    overrides: dict[str, Any] = field(default_factory=dict)

    def __call__(self, pair: Pair) -> Row:
        """The row of a pair."""
        model, label = pair
        labelled = Loader()(label)
        out = self.folder / f"{label.replace(':', '-')}-{model}"
        results = gnndiff.run(model, labelled.task, budget=self.budget, out=out, quiet=True, **self.overrides)
        best = results.data["best"]
        return {
            **_about(pair),
            "kind": labelled.task.kind,
            "metric": results.data["metric"],
            "best": best["row"],
            "val": best["val"],
            "test": best["test"],
            "seconds": sum(stage["seconds"] for stage in results.data["stages"]),
            "rows": {row["name"]: [row["val"]["mean"], row["test"]["mean"]] for row in results.rows},
        }


def _about(pair: Pair) -> Row:
    name, protocol, options = named(pair[1])
    return {"task": ":".join([name, *(f"{key}={value}" for key, value in options.items())])} | {
        "protocol": protocol,
        "model": pair[0],
    }


def winners(rows: Sequence[Row]) -> str:
    """The table of targets and tasks: the best row of each pair and its test score, or why there is none."""
    found = {(row["model"], row["task"]): row for row in rows}
    names = sorted({row["task"] for row in rows}, key=[*TASKS, *(row["task"] for row in rows)].index)
    lines, notes = [], dict[str, int]()
    for model in dict.fromkeys(row["model"] for row in rows):
        cells = {}
        for name in names:
            row = found.get((model, name))
            if row is None:
                cells[name] = ""
            elif "error" in row:
                cells[name] = f"no [{notes.setdefault(row['error'], len(notes) + 1)}]"
            else:
                cells[name] = f"`{row['best']}` {metric(row['metric']).format(row['test'])}"
        lines.append({"target": f"`{model}`", **cells})
    return "\n".join([table(lines), *(["", *(f"{i}. {note}" for note, i in notes.items())] if notes else [])])


def document(rows: Sequence[Row], budget: str) -> str:
    """The page of winners."""
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    done = sum("error" not in row for row in rows)
    return (
        "# Every target on a task of each of its kinds\n\n"
        f"The row that validates best in a run with the {budget} budget, and the test score of the network that the "
        "run delivers: in percent, or the mean squared error. Budgets this small compare no models; they show that "
        f"each goes through all stages. {done} of {len(rows)} runs, {seconds / 60:.0f} minutes of stages. Made by "
        "`python benchmarks/every_target.py --docs docs/targets.md`.\n\n"
        f"{winners(rows)}\n"
    )


def main(argv: Sequence[str] | None = None, **overrides: Any) -> list[Row]:
    """Run what the command line asks for, and write rows and page.

    Args:
        argv: Arguments, by default those of the command line.
        **overrides: Fields of :class:`gnndiff.RunConfig` that have other values than the budget's.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", nargs="+", choices=available(), default=available(), metavar="TARGET")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help="name or name:option=number")
    parser.add_argument("--budget", default="smoke")
    parser.add_argument("--workers", type=int, default=1, help="processes, each at one target on one task")
    parser.add_argument("--runs", type=Path, default=Path("runs/every-target"), help="folder of the run folders")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"), help="file of the rows")
    parser.add_argument("--docs", type=Path, help="write the table of winners to this page")
    arguments = parser.parse_args(argv)
    protocol = {"budget": arguments.budget, "split": 0, "seed": 0, **overrides}
    try:
        rows = [row for row in read_rows(arguments.out, protocol) if "error" not in row]
        done = {which(row) for row in rows}
        todo = [pair for pair in pairs(arguments.targets, arguments.tasks) if which(_about(pair)) not in done]
    except (gnndiff.GNNDiffError, ValueError) as error:
        parser.error(str(error))
    runs = Runs(arguments.runs, arguments.budget, overrides)
    described = machine(f"1 for small graphs, else {torch.get_num_threads()}")
    with closing(work(runs, todo, arguments.workers)) as outcomes:
        for index, outcome in outcomes:
            failed = isinstance(outcome, Failure)
            rows.append(_about(todo[index]) | {"error": outcome.message} if failed else outcome)
            print(json.dumps({key: value for key, value in rows[-1].items() if key != "rows"}), flush=True)
            rows.sort(key=lambda row: (row["model"], row["task"]))
            write_rows(arguments.out, described, protocol, rows)
    if arguments.docs is not None:
        write_text(arguments.docs, document(rows, arguments.budget))
    return rows


if __name__ == "__main__":
    main()
