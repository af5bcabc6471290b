"""Is a generated network, or what a run delivers, ahead of trainings, and of what the same checkpoints give without it?

    python benchmarks/generation.py --tasks digits cora --targets gcn --splits 1 --seeds 3 --out generation.jsonl
    python benchmarks/generation.py --out generation.jsonl --table

A cell is a run of all stages on one split with one seed; the search goes on for as long as zoo and generator took. A
line of JSON for each; lines that are there are not computed again, and a run that was stopped goes on in its folder.
Choices of the method were made on the cells of development alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from measure import Row, add_line, machine, read_lines, table

import gnndiff
from gnndiff.benchmark.labels import Loader
from graphtasks import Comparison, metric

DEVELOPMENT = (("digits", "gcn"), ("cora", "gcn"), ("citeseer", "gcn"))
CELLS = (
    *DEVELOPMENT,
    ("cora", "gat"),
    ("cora", "graphdmd"),
    ("cora:geom-gcn", "sage"),
    ("citeseer", "sage"),
    ("texas", "mlp"),
    ("texas", "dmdgnn"),
    ("actor", "mlp"),
    ("chameleon-filtered", "gcn"),
    ("chameleon-filtered", "gat"),
    ("amazon-photo", "sage"),
    ("cora-ml", "gcn"),
    ("cora-link", "gcn"),
    ("citeseer-link", "gcn"),
    ("ring-transfer", "dmdgps"),
)
KEY = ("task", "target", "budget", "split", "seed")
FORMS = ("refined", "best", "soup", "greedy_soup", "ensemble")


def cell(task: str, target: str, budget: str, split: int, seed: int, folder: Path) -> Row:
    """The line of one run."""
    start = time.perf_counter()
    results = gnndiff.run(
        target,
        Loader()(task).task,
        budget=budget,
        split=split,
        seed=seed,
        threads=1,
        equal_time_search=True,
        out=folder / f"{task.replace(':', '-')}-{target}-{budget}-{split}-{seed}",
        quiet=True,
    )
    data = results.data
    audit = next(entry for entry in data["audit"] if entry["pool"] == "generated")
    told = ("row", "is", "choice", "val", "test")
    return {
        **dict(zip(KEY, (task, target, budget, split, seed), strict=True)),
        "metric": data["metric"],
        "best": {name: data["best"][name] for name in told},
        "audit": {name: audit[name] for name in ("in_same", "in_other", "overlap", "overlap_other", "condition")},
        "rows": {row["name"]: _short(row) for row in data["rows"]},
        "stages": {stage["name"]: stage["seconds"] for stage in data["stages"]},
        "seconds": time.perf_counter() - start,
    }


def _short(row: Mapping[str, Any]) -> list[float | None]:
    """Mean score on the choosing half, mean test score, calibration error and seconds of a row."""
    measures = row["calibration"] or {}
    return [row["choice"]["mean"], row["test"]["mean"], measures.get("ece"), row["seconds"]]


def rounded(value: Any) -> Any:
    """The same with five digits behind the point."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def ensemble_of(line: Row) -> str:
    """The row that a run with ensembles allowed delivers: the best on the choosing half."""
    rows, sign = line["rows"], metric(line["metric"]).sign
    return max(rows, key=lambda name: sign * rows[name][0])


def comparison(lines: Iterable[Row]) -> Comparison:
    """All rows, what is delivered, and what would be with ensembles, each line once."""
    found = []
    for line in lines:
        tests = {name: row[1] for name, row in line["rows"].items()}
        tests |= {"delivered": line["best"]["test"], "delivered_ensemble": tests[ensemble_of(line)]}
        about = {
            "task": line["task"],
            "protocol": f"{line['target']}, {line['budget']}",
            "split": line["split"],
            "seed": line["seed"],
            "metric": line["metric"],
            "direction": metric(line["metric"]).direction,
        }
        found += [{**about, "model": name, "val": 0.0, "test": test} for name, test in tests.items()]
    return Comparison(pd.DataFrame(found))


def tables(lines: Sequence[Row]) -> str:
    """For each cell by how much what is delivered is ahead, the forms of each pool, and audit and calibration."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for line in lines:
        groups.setdefault((line["task"], line["target"], line["budget"]), []).append(line)
    ahead, forms, facts = [], [], []
    for key, own in groups.items():
        share = metric(own[0]["metric"]).is_share
        about: Row = {"task": key[0], "target": key[1], "budget": key[2], "runs": len(own)}
        found = comparison(own)
        winner, best = (_differences(found, name, share) for name in ("coarse_winner", "retrained_best"))
        means = found.summary().set_index("model")["mean"] * (100 if share else 1)
        ahead.append(
            {
                **about,
                "coarse winner": f"{means['coarse_winner']:.2f}",
                "delivered, ahead of it": winner["delivered"],
                "ahead of the best of as many trainings": best["delivered"],
                "ahead of a search of equal time": _differences(found, "random_search_equal_time", share)["delivered"],
                "ensemble, ahead of the coarse winner": winner["delivered_ensemble"],
                "delivered": ", ".join(sorted({line["best"]["row"] for line in own})),
            }
        )
        for pool in ("retrained", "checkpoint", "noise", "gaussian", "kde", "mixture", "generated"):
            names = {form: _name(pool, form) for form in FORMS}
            forms.append({**about, "pool": pool} | {form: winner.get(name, "") for form, name in names.items()})
        error = {name: _mean(line["rows"][name][2] for line in own) for name in ("coarse_winner", "generated_ensemble")}
        audit = {name: _mean(line["audit"][name] for line in own) for name in ("in_same", "in_other")}
        audit |= {name: _mean(line["audit"][name] for line in own) for name in ("overlap", "overlap_other")}
        facts.append({**about, **audit, "ece": error["coarse_winner"], "ece, ensemble": error["generated_ensemble"]})
    return "\n\n".join(table(rows) for rows in (ahead, forms, facts))


def _name(pool: str, form: str) -> str:
    own = {("checkpoint", "best"): "best_checkpoint", ("noise", "best"): "noise_best_of_n"}
    return own.get((pool, form), f"{pool}_{form}")


def _differences(found: Comparison, baseline: str, share: bool) -> dict[str, str]:
    """By how much each row is ahead of another, with an interval where there are several runs."""
    scale = 100 if share else 1
    texts = {}
    for row in found.differences(baseline).to_dict("records"):
        texts[row["model"]] = f"{scale * row['difference']:+.2f}"
        if row["pairs"] > 1:
            texts[row["model"]] += f" ({scale * row['low']:+.2f} to {scale * row['high']:+.2f})"
    return texts


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.3f}" if known else "none"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the cells that the file has not, or print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="*", help="tasks of the cells, by default all")
    parser.add_argument("--targets", nargs="*", help="targets of the cells, by default all")
    parser.add_argument("--splits", type=int, default=5, help="splits, or where a task has one, seeds in their place")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no cell begins after this time")
    parser.add_argument("--budget", default="coarse")
    parser.add_argument("--out", type=Path, default=Path("generation.jsonl"))
    parser.add_argument("--runs", type=Path, default=Path("runs/generation"), help="folder of the run folders")
    parser.add_argument("--table", action="store_true", help="print the tables of the file alone")
    arguments = parser.parse_args(argv)
    lines = read_lines(arguments.out)
    if arguments.table:
        print(tables([line for line in lines if "rows" in line]))
        return
    if not lines:
        add_line(arguments.out, {"machine": machine()})
    start = time.perf_counter()
    for task, target in CELLS:
        if (arguments.tasks and task not in arguments.tasks) or (arguments.targets and target not in arguments.targets):
            continue
        count = len(Loader()(task).task.splits)
        single = max(arguments.splits, arguments.seeds) if count == 1 else arguments.seeds
        for split in range(min(count, arguments.splits)):
            for seed in range(single):
                key = dict(zip(KEY, (task, target, arguments.budget, split, seed), strict=True))
                if any(key.items() <= line.items() for line in lines):
                    continue
                if time.perf_counter() - start > arguments.seconds:
                    return
                line = rounded(cell(**key, folder=arguments.runs))
                add_line(arguments.out, line)
                best = line["best"]
                print(f"{task} {target} split {split} seed {seed}: {best['row']} {best['test']}", flush=True)


if __name__ == "__main__":
    main()
