"""The comparison: generated networks beside what the same checkpoints and the same time give without a generator."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from gnndiff.candidates import evaluate_ensemble, evaluate_states, stack
from gnndiff.errors import RunFolderError
from gnndiff.generator import Candidates, load_candidates
from gnndiff.pipeline import GNNDiffPipeline
from gnndiff.progress import progress
from gnndiff.runs import Run, read_json, write_json
from gnndiff.search import STUDY, evaluate, finished_trials, ranked_trials, search_grid, total_seconds
from gnndiff.space import Params
from gnndiff.zoo import Zoo, load_zoo

FORMAT = 1
STAGES = ("search", "collect", "train", "generate", "compare")
NOISE_LEVELS = (0.01, 0.03, 0.1, 0.3)
PROTOCOL = (
    "Test score at the best validation epoch. Validation chose configuration, epoch and candidates; test chose "
    "nothing. std is over the n trainings or draws of a row, on one split."
)

Row = dict[str, Any]


def compare(run: Run) -> dict[str, Any]:
    """Score all rows, and write results.json; see docs/results.md for its fields."""
    with run.timed("compare"):
        candidates = load_candidates(run)
        zoo = load_zoo(run)
        pipeline = GNNDiffPipeline.from_pretrained(run.folder / "generator")
        rows = [_retrained(run, "coarse_winner", run.limits.trials)]
        rows += _checkpoint_rows(run, zoo)
        rows += _generated_rows(run, zoo, pipeline, candidates)
        if run.limits.equal_time_search:
            rows.append(_equal_time_row(run))
        if run.limits.full_grid:
            search_grid(run, None)
            rows.append(_retrained(run, "full_grid", None))
    results = {
        "format": FORMAT,
        "task": run.task.name,
        "model": run.config.model,
        "budget": run.config.budget,
        "split": run.config.split,
        "split_hash": run.split_hash,
        "seed": run.config.seed,
        "metric": run.task.metric.name,
        "device": str(run.device),
        "threads": torch.get_num_threads(),
        "protocol": f"{run.task.protocol}. {PROTOCOL}",
        "stages": [{"name": stage, "seconds": run.seconds()[stage]} for stage in STAGES],
        "rows": rows,
    }
    write_json(run.folder / "results.json", results)
    return results


def _row(name: str, vals: Sequence[float], tests: Sequence[float], seconds: float, note: str) -> Row:
    def summary(scores: Sequence[float]) -> dict[str, float]:
        std = statistics.stdev(scores) if len(scores) > 1 else 0.0
        return {"mean": statistics.fmean(scores), "std": std, "n": len(scores)}

    return {"name": name, "val": summary(vals), "test": summary(tests), "seconds": round(seconds, 1), "note": note}


def _retrained(run: Run, name: str, count: int | None) -> Row:
    """The best of the first `count` configurations of the search, trained anew several times."""
    best = ranked_trials(run, count)[0]
    study = f"retrain {best.user_attrs['index']}"
    evaluate(run, study, [best.params] * run.limits.retrainings)
    trials = finished_trials(run, study)
    vals = [trial.value for trial in trials if trial.value is not None]
    if not vals:
        raise RunFolderError(f"all trainings of the winning configuration {best.params} diverged: use another seed")
    searched = finished_trials(run, STUDY)[:count]
    note = f"best of {len(searched)} configurations, trained {len(trials)} times"
    if len(vals) < len(trials):
        note += f", {len(trials) - len(vals)} of which diverged and do not count"
    tests = [trial.user_attrs["test"] for trial in trials if trial.value is not None]
    return _row(name, vals, tests, total_seconds(searched), note)


def _checkpoint_rows(run: Run, zoo: Zoo) -> list[Row]:
    """What the zoo gives by itself: its best, an average and an ensemble, and noise around the best."""
    seconds = run.seconds()
    cost = seconds["search"] + seconds["collect"]
    best = zoo.vectors[:1]
    # The best checkpoint of each training, so that members differ.
    first = {checkpoint.member: i for i, checkpoint in reversed(list(enumerate(zoo.checkpoints)))}
    chosen = zoo.vectors[sorted(first.values())[: run.limits.members]]
    rows = [
        _single_row(run, zoo, "best_checkpoint", best, cost, f"best of {len(zoo.checkpoints)} checkpoints"),
        _single_row(
            run,
            zoo,
            "checkpoint_soup",
            chosen.mean(dim=0, keepdim=True),
            cost,
            f"average of the best {len(chosen)} trainings, hidden units aligned",
        ),
        _ensemble_row(run, zoo.params, "checkpoint_ensemble", [zoo.layout.unflatten(chosen)], cost),
    ]
    start = perf_counter()
    vals, tests = [], []
    scale = zoo.layout.tensor_scales(best)
    with progress("noise", run.limits.resamplings, quiet=run.config.quiet) as advance:
        for draw in range(run.limits.resamplings):
            noise = torch.randn(run.limits.candidates, len(scale), generator=run.generator("noise", draw))
            levels = torch.tensor(NOISE_LEVELS).repeat(math.ceil(len(noise) / len(NOISE_LEVELS)))[: len(noise)]
            val, test = _best_of(run, zoo.params, zoo.layout.unflatten(best + levels.unsqueeze(1) * scale * noise))
            vals.append(val)
            tests.append(test)
            advance(f"best validation {max(vals):.4f}")
    spent = (perf_counter() - start) / run.limits.resamplings
    note = f"best of {run.limits.candidates} by validation: the best checkpoint with Gaussian noise"
    return [*rows, _row("noise_best_of_n", vals, tests, cost + spent, note)]


def _generated_rows(run: Run, zoo: Zoo, pipeline: GNNDiffPipeline, candidates: Candidates) -> list[Row]:
    """What the generator gives: its best, an average and an ensemble, for each independent draw."""
    seconds = run.seconds()
    draws = range(len(candidates.latents))
    cost = seconds["search"] + seconds["collect"] + seconds["train"] + seconds["generate"] / len(draws)
    tops = [pipeline.autoencoder.decode(candidates.best(draw, run.limits.members)) for draw in draws]
    bests = zoo.layout.unflatten(torch.stack([top[0] for top in tops]))
    soups = zoo.layout.unflatten(torch.stack([top.mean(dim=0) for top in tops]))
    distance = torch.stack([_distance_to_nearest(zoo, top[0]) for top in tops]).mean()
    return [
        _row(
            "generated_best",
            evaluate_states(run, zoo.params, bests, "val"),
            evaluate_states(run, zoo.params, bests, "test"),
            cost,
            f"best of {candidates.vals.size(1)} by validation; "
            f"distance to the nearest checkpoint {float(distance):.2f} of the zoo's mean pair distance",
        ),
        _row(
            "generated_soup",
            evaluate_states(run, zoo.params, soups, "val"),
            evaluate_states(run, zoo.params, soups, "test"),
            cost,
            f"average of the best {run.limits.members} by validation",
        ),
        _ensemble_row(run, zoo.params, "generated_ensemble", [zoo.layout.unflatten(top) for top in tops], cost),
    ]


def _equal_time_row(run: Run) -> Row:
    """The random search, gone on with for the time that zoo and generator took."""
    path = run.folder / "equal_time.json"
    if not path.exists():  # fixed once: a resumed run must end as an undisturbed one
        seconds = run.seconds()
        extra = seconds["collect"] + seconds["train"] + seconds["generate"]
        write_json(
            path, {"trials": run.limits.trials + math.ceil(extra / max(seconds["search"], 1e-3) * run.limits.trials)}
        )
    count = read_json(path)["trials"]
    search_grid(run, count)
    return _retrained(run, "random_search_equal_time", count)


def _single_row(run: Run, zoo: Zoo, name: str, vector: Tensor, seconds: float, note: str) -> Row:
    states = zoo.layout.unflatten(vector)
    scores = [evaluate_states(run, zoo.params, states, part) for part in ("val", "test")]
    return _row(name, scores[0], scores[1], seconds, note)


def _ensemble_row(run: Run, params: Params, name: str, groups: list[dict[str, Tensor]], seconds: float) -> Row:
    vals = [evaluate_ensemble(run, params, states, "val") for states in groups]
    tests = [evaluate_ensemble(run, params, states, "test") for states in groups]
    members = len(next(iter(groups[0].values())))
    return _row(name, vals, tests, seconds, f"mean probabilities of the best {members} by validation")


def _best_of(run: Run, params: Params, states: dict[str, Tensor]) -> tuple[float, float]:
    """Validation and test score of the network that validates best."""
    vals = evaluate_states(run, params, states, "val")
    best = vals.index(max(vals))
    chosen = stack([{name: tensor[best] for name, tensor in states.items()}])
    return vals[best], evaluate_states(run, params, chosen, "test")[0]


def _distance_to_nearest(zoo: Zoo, vector: Tensor) -> Tensor:
    """Distance to the nearest checkpoint over the mean distance of two checkpoints."""
    pairs = torch.pdist(zoo.vectors).mean()
    return (zoo.vectors - vector).norm(dim=1).min() / pairs
