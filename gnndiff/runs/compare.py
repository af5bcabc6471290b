"""The comparison: generated networks beside what the same checkpoints and the same time give without a generator."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import torch

from gnndiff.calibration import Calibration
from gnndiff.files import SEAL, write_json
from gnndiff.pipeline import GNNDiffPipeline
from gnndiff.rows import POOLS, ROWS, Material, Outcome, Row
from gnndiff.runs.choose import choose
from gnndiff.runs.collect import load_zoo
from gnndiff.runs.deliver import Best
from gnndiff.runs.folder import Run
from gnndiff.runs.generate import load_candidates
from gnndiff.runs.record import ORDER, RESULTS
from gnndiff.zoo.audit import Auditor

FORMAT = 3
PROTOCOL = (
    "Test score at the best validation epoch. Validation chose settings and epochs; one half of it ranked and refined "
    "networks, the other chose what is delivered; test chose nothing. std is over the n trainings or draws of a row, "
    "on one split."
)


def compare(run: Run) -> dict[str, Any]:
    """Score all rows, write the best network and results.json; see docs/results.md for its fields."""
    start = perf_counter()
    with run.threaded() as threads:
        candidates, zoo = load_candidates(run), load_zoo(run)
        run.require("train")
        generator = GNNDiffPipeline.from_pretrained(run.folder / "generator").generator
        material = Material(run, zoo, generator, candidates)
        rows = [row for row in ROWS if row.applies(material)]
        outcomes = {row.name: row.outcome(material) for row in rows}
        best = choose(material, outcomes)
        best.save(run.folder / "best")
        audited = _audit(material)
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
        "rows": [_row(row, outcomes[row.name]) for row in rows],
        "audit": audited,
        "best": _about(best),
    }
    write_json(run.folder / RESULTS, results)
    run.finish("compare", seconds["compare"], [RESULTS, f"best/{SEAL}"])
    return results


def _row(row: Row, outcome: Outcome) -> dict[str, Any]:
    return {
        "name": row.name,
        "pool": row.pool,
        "form": row.form,
        "of": outcome.of,
        "val": _summary(outcome.vals),
        "choice": _summary(outcome.choices),
        "test": _summary(outcome.tests),
        "calibration": _calibration(outcome.calibration),
        "seconds": round(outcome.seconds, 1),
        "note": outcome.note,
    }


def _summary(scores: Sequence[float]) -> dict[str, float]:
    std = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return {"mean": statistics.fmean(scores), "std": std, "n": len(scores)}


def _calibration(found: Sequence[Calibration | None]) -> dict[str, float | None] | None:
    """Means of each measure over those draws that have it."""
    known = [each for each in found if each is not None]
    if not known:
        return None
    values = {field.name: [getattr(each, field.name) for each in known] for field in dataclasses.fields(Calibration)}
    there = {name: [value for value in each if value is not None] for name, each in values.items()}
    return {name: statistics.fmean(each) if each else None for name, each in there.items()}


def _audit(material: Material) -> list[dict[str, Any]]:
    """The audit of the best network of each draw, for each pool that draws."""
    auditor, found = Auditor(material.zoo), []
    for name in POOLS:
        pool = material.pools.get(name)
        if pool is None or pool.zoo is not material.zoo or pool.good is not None:
            continue
        bests = torch.stack([draw.vectors[0] for draw in pool.draws])
        generator = material.generator if name == "generated" else None
        found.append({"pool": name, **auditor(bests, generator, seed=material.run.seed("audit")).to_dict()})
    return found


def _about(best: Best) -> dict[str, Any]:
    told = ("pool", "form", "is", "choice", "nested", "chosen")
    own = {"row": best.row, "val": best.val, "test": best.test, "setting": best.setting, "networks": len(best.states)}
    return {**own, **{name: best.facts[name] for name in told}}
