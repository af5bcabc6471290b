"""The trainings that fill a run's zoo: many initialisations, good settings and late epochs."""

from __future__ import annotations

import copy
from time import perf_counter

from torch import Tensor, nn

from gnndiff.errors import ZooError
from gnndiff.evaluation import stack
from gnndiff.progress import progress
from gnndiff.runs.folder import INDEX, Run
from gnndiff.scores import best, best_first, floor
from gnndiff.search import ranked_trials, train
from gnndiff.targets.base import Setting, architecture, check_setting
from gnndiff.zoo.alignment import usable_units
from gnndiff.zoo.checkpoint import Checkpoint
from gnndiff.zoo.store import CheckpointStore
from gnndiff.zoo.views import drop_edges
from gnndiff.zoo.zoo import Zoo
from graphtasks import GraphTask
from graphtasks.files import explained


def settings_of_zoo(run: Run) -> list[Setting]:
    """The best settings of the winner's architecture, the winner first; none that is far behind it."""
    metric = run.task.metric
    ranked = ranked_trials(run, run.limits.trials)
    assert ranked[0].value is not None
    limit = floor(ranked[0].value, run.method.quality, metric)
    good: list[Setting] = [
        trial.params for trial in ranked if trial.value is not None and not metric.better(limit, trial.value)
    ]
    own = architecture(run.target, good[0])
    return [setting for setting in good if architecture(run.target, setting) == own][: run.limits.settings]


def view(run: Run, member: int) -> GraphTask:
    """The task that a member of the zoo is trained on: with all edges, or for every second member a tenth dropped."""
    return drop_edges(run.task, run.method.edge_drop, run.seed("view", member)) if member % 2 else run.task


def store(run: Run) -> CheckpointStore:
    """The checkpoints of a run."""
    return CheckpointStore(run.folder / "zoo", run.identity_hash, run.split_hash)


def collect(run: Run) -> None:
    """Fill the zoo. Checkpoints that are there are kept; a training that was interrupted is repeated."""
    run.require("search")
    with explained(run.folder / "zoo", "make"):
        (run.folder / "zoo").mkdir(exist_ok=True)
    chosen = settings_of_zoo(run)
    total = run.limits.settings * run.limits.initialisations
    kept, there = store(run), _index(run)
    index = kept.complete()
    if len(index) < len(there):
        kept.keep(index)
    done = {checkpoint.member for checkpoint in index}
    vals = [checkpoint.val for checkpoint in index]
    metric = run.task.metric
    with progress("collect", total, done=len(done), quiet=run.config.quiet) as advance:
        for member in range(total):
            if member in done:
                continue
            vals += _train_member(run, member, chosen[member * len(chosen) // total])
            advance(f"best validation {metric.format(best(vals, metric))}")
    index = _index(run)
    if not index:
        raise ZooError("all trainings of the zoo diverged: search again with another seed")
    files = [INDEX, *sorted({f"zoo/{checkpoint.shard}" for checkpoint in index})]
    run.finish("collect", sum(checkpoint.seconds for checkpoint in index), files)


def _index(run: Run) -> list[Checkpoint]:
    """The zoo's index, all of whose settings are of the run's space.

    Raises:
        DamagedFileError: It is damaged, or of another run.
    """
    index = store(run).checkpoints()
    for checkpoint in index:
        check_setting(checkpoint.setting, run.space, run.folder / INDEX)
    return index


def _train_member(run: Run, member: int, setting: Setting) -> list[float]:
    """Train one member and keep its checkpoints, whose scores these are; a training that diverges leaves none."""
    start = perf_counter()
    seed = run.seed("zoo", member)
    blocks: dict[int, tuple[float, int, dict[str, Tensor]]] = {}
    metric = run.task.metric

    def keep(epoch: int, val: float, model: nn.Module) -> None:
        block = epoch // run.method.block
        # The later one of equal scores has moved on from the start.
        if block not in blocks or not metric.better(blocks[block][0], val):
            blocks[block] = (val, epoch, copy.deepcopy(model.state_dict()))

    outcome = train(run, setting, seed, view(run, member), keep)
    if not outcome.finished:
        return []
    latest_first = sorted(blocks.values(), key=lambda block: -block[1])
    chosen = best_first(latest_first, lambda block: block[0], metric)[: run.limits.snapshots][::-1]
    states = [state for _, _, state in chosen]
    vals = run.evaluator(setting).scores(stack(states), "val")
    facts = [
        {
            "setting": dict(setting),
            "root": member,
            "seed": seed,
            "epoch": epoch,
            "val": val,
            "split_hash": run.split_hash,
            "seconds": (perf_counter() - start) / len(states),
        }
        for (_, epoch, _), val in zip(chosen, vals, strict=True)
    ]
    store(run).add(member, states, facts)
    return vals


def load_zoo(run: Run) -> Zoo:
    """Read all checkpoints of a run, check them against the index, and align them."""
    run.require("collect")
    checkpoints, kept = _index(run), store(run)
    best_setting = best_first(checkpoints, lambda checkpoint: checkpoint.val, run.task.metric)[0].setting
    evaluator = run.evaluator(best_setting)
    units, alignment = usable_units(run.target.units(evaluator.module), evaluator)
    return Zoo.of(
        [kept.read(checkpoint) for checkpoint in checkpoints],
        [checkpoint.val for checkpoint in checkpoints],
        [checkpoint.setting for checkpoint in checkpoints],
        [checkpoint.member for checkpoint in checkpoints],
        evaluator,
        units=units,
        alignment=alignment,
        rounds=run.method.alignment_rounds,
    )
