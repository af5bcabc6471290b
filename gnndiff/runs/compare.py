"""The comparison: generated networks beside what the same checkpoints and the same time give without a generator."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from gnndiff.files import SEAL, write_json
from gnndiff.pipeline import GNNDiffPipeline
from gnndiff.rows import ROWS, Material, Outcome
from gnndiff.runs.collect import load_zoo
from gnndiff.runs.deliver import Best
from gnndiff.runs.folder import Run
from gnndiff.runs.generate import load_candidates
from gnndiff.runs.record import ORDER, RESULTS
from gnndiff.scores import best_first
from gnndiff.search import read_state

FORMAT = 2
PROTOCOL = (
    "Test score at the best validation epoch. Validation chose setting, epoch and candidates; test chose nothing. std "
    "is over the n trainings or draws of a row, on one split."
)


def compare(run: Run) -> dict[str, Any]:
    """Score all rows, write the best network and results.json; see docs/results.md for its fields."""
    start = perf_counter()
    with run.threaded() as threads:
        candidates, zoo = load_candidates(run), load_zoo(run)
        run.require("train")
        generator = GNNDiffPipeline.from_pretrained(run.folder / "generator").generator
        material = Material(run, zoo, generator, candidates)
        outcomes = {row.name: row.outcome(material) for row in ROWS if row.applies(run)}
        best = _best(material, outcomes)
        best.save(run.folder / "best")
    metric = run.task.metric
    seconds = {**run.seconds(), "compare": round(perf_counter() - start, 3)}
    results = {
        "format": FORMAT,
        "task": run.task.name,
        "kind": run.task.kind,
        "model": run.target.name,
        "budget": run.config.budget,
        "split": run.config.split,
        "split_hash": run.split_hash,
        "data_hash": run.task.data_hash,
        "seed": run.config.seed,
        "metric": metric.name,
        "direction": metric.direction,
        "device": str(run.device),
        "threads": threads,
        "parameters": zoo.layout.size,
        "alignment": zoo.alignment,
        "protocol": f"{run.task.protocol}. {PROTOCOL}",
        "stages": [{"name": stage, "seconds": seconds[stage]} for stage in ORDER],
        "rows": [_row(name, outcome) for name, outcome in outcomes.items()],
        "best": {"row": best.row, "val": best.val, "test": best.test, "setting": best.setting},
    }
    write_json(run.folder / RESULTS, results)
    run.finish("compare", seconds["compare"], [RESULTS, f"best/{SEAL}"])
    return results


def _row(name: str, outcome: Outcome) -> dict[str, Any]:
    def summary(scores: Sequence[float]) -> dict[str, float]:
        std = statistics.stdev(scores) if len(scores) > 1 else 0.0
        return {"mean": statistics.fmean(scores), "std": std, "n": len(scores)}

    return {
        "name": name,
        "val": summary(outcome.vals),
        "test": summary(outcome.tests),
        "seconds": round(outcome.seconds, 1),
        "note": outcome.note,
    }


def _best(material: Material, outcomes: dict[str, Outcome]) -> Best:
    """The single network of the best validation score; the first row's among equal ones."""
    zoo, run = material.zoo, material.run
    single = {name: each for name, each in outcomes.items() if each.network is not None or each.training is not None}
    name, outcome = best_first(single.items(), lambda item: item[1].vals[0], run.task.metric)[0]
    facts = {
        "task": run.task.name,
        "model": run.target.name,
        "split": run.config.split,
        "metric": run.task.metric.name,
        "chosen": f"best validation score among the first networks of the rows {', '.join(single)}",
    }
    if outcome.training is not None:
        state, setting = read_state(run, outcome.training), outcome.training.setting
    else:
        assert outcome.network is not None
        state, setting = zoo.states(outcome.network.unsqueeze(0))[0], zoo.setting
    return Best(state, dict(setting), outcome.vals[0], outcome.tests[0], name, facts)
