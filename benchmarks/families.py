"""Do generated networks serve graphs never seen, without a label of theirs?

A line of JSON for each family, model, condition, number of training members and seed: mean test score of each row over
unseen members, and paired differences with half a 95 % interval: those of the pipeline's default, of the regression
and of generated networks. A line that is there is not computed again; a run
that was stopped goes on in its folder.

    python benchmarks/families.py csbm-family --model gprgnn --members 160
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

from measure import add_line, read_lines

import gnndiff
import graphtasks
from gnndiff.family.config import FamilyBudget

BUDGET = FamilyBudget(trials=6, searched=4, epochs=100, patience=30, shared_steps=2000)


def measure(
    family: str, model: str, condition: str, members: int | None, training: int | None, seed: int, out: Path
) -> dict[str, Any]:
    """One line."""
    options: dict[str, Any] = {} if members is None else {"members": members}
    drawn = graphtasks.family(family, seed=seed, **options)
    if training is not None:
        drawn = drawn.with_training(training)
    key = f"{family}-{model}-{condition}-{members}-{training}-{seed}"
    results = gnndiff.run_family(model, drawn, condition=condition, budget=BUDGET, seed=seed, out=out / key, quiet=True)
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = None if drawn.conditions is None else drawn.conditions[drawn.parts["unseen"][0]]
        results.pipeline.predict(drawn.members("unseen")[0], given=given)
    facts, start = results.facts, str(results.facts["start"])
    default = {"shared": start, "regression": "regression", "diffusion": "generated_mean"}[str(facts["default"])]
    return {
        "key": key,
        "metric": results.metric.name,
        "unseen": len(results.distances),
        "training": facts["training"],
        "start": start,
        "default": default,
        "rows": {row: round(results.mean(row), 5) for row in results.rows},
        "minus": {
            row: {other: [round(v, 5) for v in results.paired(row, other)] for other in results.rows if other != row}
            for row in dict.fromkeys((default, "regression", "generated_mean"))
        },
        "outside": sum(distance > 1 for distance in results.distances),
        "seconds": {stage: round(seconds, 1) for stage, seconds in results.seconds.items()},
        "predict_seconds": round(time.perf_counter() - began, 3),
    }


def main() -> None:
    """Measure what the command line names, unless it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family")
    parser.add_argument("--model", default="gprgnn")
    parser.add_argument("--condition", default="dmd-spectrum")
    parser.add_argument("--members", type=int, default=None, help="members of a generated family")
    parser.add_argument("--training", type=int, default=None, help="training members, by default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/families"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    lines = args.out / "families.jsonl"
    key = f"{args.family}-{args.model}-{args.condition}-{args.members}-{args.training}-{args.seed}"
    row = next((line for line in read_lines(lines) if line.get("key") == key), None)
    if row is None:
        row = measure(args.family, args.model, args.condition, args.members, args.training, args.seed, args.out)
        add_line(lines, row)
    print(json.dumps(row))


if __name__ == "__main__":
    main()
