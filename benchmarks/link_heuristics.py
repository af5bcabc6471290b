"""How far do heuristics of common neighbours, which train nothing, get on the splits of `link_prediction.py`?

Prints a table of the test scores, mean and deviation over the splits, and writes one row a line for each task,
heuristic and metric. Nothing is chosen.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from measure import Row, table

import graphtasks
from graphtasks import HEURISTICS, heuristic_scores, metric

TASKS = ("cora-link", "citeseer-link", "amazon-photo-link")
METRICS = ("roc_auc", "ap", "hits@20", "mrr")


def rows(name: str, heuristics: Sequence[str]) -> Iterator[Row]:
    """The rows of a task."""
    task = graphtasks.load(name)
    for heuristic in heuristics:
        tests: dict[str, list[float]] = {each: [] for each in METRICS}
        for split in range(len(task.splits)):
            scores, labels = heuristic_scores(heuristic, task, split), task.targets(split, "test")
            for each in METRICS:
                tests[each].append(metric(each).score(labels, scores))
        for each, found in tests.items():
            yield {"task": task.name, "heuristic": heuristic, "metric": each, "tests": found}


def summary(found: Sequence[Row]) -> str:
    """A table with a line for each task and metric."""
    lines = []
    for task, each in dict.fromkeys((row["task"], row["metric"]) for row in found):
        cells = {
            row["heuristic"]: metric(each).format(statistics.fmean(row["tests"]), statistics.stdev(row["tests"]))
            for row in found
            if (row["task"], row["metric"]) == (task, each)
        }
        lines.append({"task": task, "metric": each, **cells})
    return table(lines)


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Score what the command line asks for, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--heuristics", nargs="+", choices=HEURISTICS, default=list(HEURISTICS))
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".jsonl"), help="file of the rows")
    arguments = parser.parse_args(argv)
    found = [row for name in arguments.tasks for row in rows(name, arguments.heuristics)]
    arguments.out.write_text("".join(json.dumps(row) + "\n" for row in found))
    print(summary(found))
    return found


if __name__ == "__main__":
    main()
