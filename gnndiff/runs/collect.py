"""The trainings that fill a run's zoo: many initialisations, good settings and late epochs."""

from __future__ import annotations

import copy
from dataclasses import replace
from time import perf_counter
from typing import Any

from torch import Tensor, nn

from gnndiff.errors import ZooError
from gnndiff.evaluation import stack
from gnndiff.progress import progress
from gnndiff.runs.folder import INDEX, Run
from gnndiff.scores import best, best_first, floor, order
from gnndiff.search import FINALISTS, KeptTraining, finalists, ranked_trials, read_state, retrain
from gnndiff.search.samplers import key
from gnndiff.targets.base import IMPOSSIBLE, Setting, architecture, check_setting, training_names
from gnndiff.zoo.alignment import usable_units
from gnndiff.zoo.checkpoint import Checkpoint
from gnndiff.zoo.geometry import fall
from gnndiff.zoo.recipes import Training, find
from gnndiff.zoo.selection import selected
from gnndiff.zoo.store import CheckpointStore
from gnndiff.zoo.vectors import State
from gnndiff.zoo.views import view_of
from gnndiff.zoo.zoo import Zoo
from graphtasks import GraphTask, train_once
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


def trainings(run: Run) -> list[Training]:
    """The trainings of a run's zoo."""
    return find(run.config.zoo).trainings(settings_of_zoo(run), run.limits, run.method)


def view(run: Run, member: int) -> GraphTask:
    """The task that a member of the zoo is trained on: the run's, or without some edges and features."""
    training = find(run.config.zoo).trainings([{}], run.limits, run.method)[
        member
    ]  # whose views follow from no setting
    return view_of(run.task, training.edge_drop, training.feature_drop, run.seed("view", member))


def kept(run: Run, planned: list[Training]) -> dict[int, KeptTraining]:
    """Members that the search has trained already: whole trainings on the whole graph with a finalist's setting.

    Each takes another training of that finalist. Where the winner's do not suffice, it is trained anew as for its row
    of the table, which takes these trainings, too.
    """
    plain = [member for member, training in enumerate(planned) if training == Training(training.setting)]
    settings = [key(planned[member].setting) for member in plain]
    pools: dict[str, list[KeptTraining]] = {}
    for each in finalists(run):
        pools.setdefault(key(each.setting), []).append(each)
    winner = key(ranked_trials(run, run.limits.trials)[0].params)
    lacking = settings.count(winner) - len(pools.get(winner, []))
    if lacking > 0:
        pools.setdefault(winner, []).extend(retrain(run, run.limits.trials, lacking)[1])
    return {
        member: pools[setting].pop(0) for member, setting in zip(plain, settings, strict=True) if pools.get(setting)
    }


def store(run: Run) -> CheckpointStore:
    """The checkpoints of a run."""
    return CheckpointStore(run.folder / "zoo", run.identity_hash, run.split_hash)


def collect(run: Run) -> None:
    """Fill the zoo. Checkpoints that are there are kept; a training that was interrupted is repeated."""
    run.require("search")
    with explained(run.folder / "zoo", "make"):
        (run.folder / "zoo").mkdir(exist_ok=True)
    checkpoints, there, planned = store(run), _index(run), trainings(run)
    selected(run.evaluator(planned[0].setting).module, run.config.parameters)
    index = checkpoints.complete()
    if len(index) < len(there):
        checkpoints.keep(index)
    done = {checkpoint.member for checkpoint in index}
    given = kept(run, planned) if len(done) < len(planned) else {}
    metric = run.task.metric
    with progress("collect", len(planned), done=len(done), quiet=run.config.quiet) as advance:
        for member, training in enumerate(planned):
            if member in done:
                continue
            root = _best_root(run, index) if training.branch else None
            if member in given:
                index += _take_member(run, member, given[member])
            elif root is not None or not training.branch:
                index += _train_member(run, member, training, root)
            advance(f"best validation {metric.format(best((each.val for each in index), metric))}")
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
        check_setting(checkpoint.setting, run.space, run.folder / INDEX, training_names(run.target))
    return index


def _take_member(run: Run, member: int, training: KeptTraining) -> list[Checkpoint]:
    """Add a training of the search to the zoo, whose time counts for the search where it is a finalist's."""
    state = read_state(run, training)
    seconds = 0.0 if training.study == FINALISTS else training.seconds
    facts = _facts(run, training.setting, training.seed, seconds, member)
    val = run.evaluator(training.setting).scores(stack([state]), "val")[0]
    return store(run).add(member, [state], [{**facts, "epoch": training.epoch, "val": val}])


def _facts(run: Run, setting: Setting, seed: int, seconds: float, root: int) -> dict[str, Any]:
    """Facts that the checkpoints of one training have in common."""
    return {"setting": dict(setting), "root": root, "seed": seed, "split_hash": run.split_hash, "seconds": seconds}


def _train_member(run: Run, member: int, training: Training, root: Checkpoint | None) -> list[Checkpoint]:
    """Train one member and keep its checkpoints; one that diverges, or that leaves its basin, leaves none.

    A branch that left the basin of its root is trained again, each time at 0.3 of the learning rate.
    """
    start = perf_counter()
    begun = None if root is None else store(run).read(root)
    for attempt in range(1 if root is None else run.method.branch_tries):
        slower = {"lr": 0.3**attempt * training.setting["lr"]} if attempt and "lr" in training.setting else {}
        setting = {**training.setting, **slower}
        seed = run.seed("zoo", member, *([attempt] if attempt else []))
        found = _snapshots(run, member, replace(training, setting=setting), seed, begun)
        if not found:
            return []
        vals = run.evaluator(setting).scores(stack([state for _, state in found]), "val")
        if root is None or begun is None or _in_basin(run, setting, begun, root.val, found, vals):
            break
    else:
        return []
    seconds = (perf_counter() - start) / len(found)
    facts = _facts(run, setting, seed, seconds, member if root is None else root.member)
    each = [{**facts, "epoch": epoch, "val": val} for (epoch, _), val in zip(found, vals, strict=True)]
    return store(run).add(member, [state for _, state in found], each)


def _snapshots(
    run: Run, member: int, training: Training, seed: int, begun: State | None
) -> list[tuple[int, dict[str, Tensor]]]:
    """Epochs and states of a training that become checkpoints, none where it diverges."""
    metric, setting = run.task.metric, training.setting
    block = 1 if training.every_epoch else run.method.block
    blocks: dict[int, tuple[float, int, dict[str, Tensor]]] = {}

    def keep(epoch: int, val: float, model: nn.Module) -> None:
        number = epoch // block
        # The later one of equal scores has moved on from the start.
        if number not in blocks or not metric.better(blocks[number][0], val):
            blocks[number] = (val, epoch, copy.deepcopy(model.state_dict()))

    def build(task: GraphTask) -> nn.Module:
        module = run.build(setting, seed)
        if begun is not None:
            module.load_state_dict(begun)
        chosen = set(selected(module, training.parameters))
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name in chosen)
        return module

    config = run.fit_config(setting, seed)
    if training.epochs is not None:
        config = replace(config, epochs=training.epochs, patience=None)
    outcome = train_once(
        build,
        run.task,
        run.config.split,
        config,
        prepare=lambda task: run.preparations(setting, view(run, member)),
        impossible=IMPOSSIBLE,
        callback=keep,
    )
    if not outcome.finished:
        return []
    latest_first = sorted(blocks.values(), key=lambda each: -each[1])
    count = None if training.every_epoch else run.limits.snapshots
    chosen = best_first(latest_first, lambda each: each[0], metric)[:count][::-1]
    return [(epoch, state) for _, epoch, state in chosen]


def _in_basin(
    run: Run, setting: Setting, begun: State, val: float, found: list[tuple[int, dict[str, Tensor]]], vals: list[float]
) -> bool:
    """Whether the midpoint of a branch's best and its root has no barrier."""
    metric = run.task.metric
    top = order(vals, metric)[0]
    ends = stack([begun, found[top][1]])
    middle = run.evaluator(setting).scores({name: each.mean(dim=0, keepdim=True) for name, each in ends.items()}, "val")
    mean = (val + vals[top]) / 2
    return fall(mean, middle[0], metric, abs(mean)) <= run.method.barrier


def _best_root(run: Run, index: list[Checkpoint]) -> Checkpoint | None:
    """The best checkpoint of those trainings that began anew."""
    anew = sorted((each for each in index if each.root == each.member), key=lambda each: (each.member, each.row))
    return next(iter(best_first(anew, lambda each: each.val, run.task.metric)), None)


def load_zoo(run: Run) -> Zoo:
    """Read all checkpoints of a run, check them against the index, and align them.

    Raises:
        ZooError: They are one point, and the zoo is none that may be.
    """
    zoo = read_zoo(run)
    if not find(run.config.zoo).may_be_a_point and zoo.geometry().is_point(run.method.least_spread):
        found = zoo.geometry()
        raise ZooError(
            f"the zoo of {run.folder} is one point: its spread is {found.spread:.2%}, expected at least "
            f"{run.method.least_spread:.0%}, its effective rank {found.effective_rank:.1f} of {len(zoo)} checkpoints: "
            "collect more trainings, train them for longer, or take independent ones by --zoo independent"
        )
    return zoo


def read_zoo(run: Run) -> Zoo:
    """The zoo as it is, even where it is one point."""
    run.require("collect")
    checkpoints, files = _index(run), store(run)
    best_setting = best_first(checkpoints, lambda checkpoint: checkpoint.val, run.task.metric)[0].setting
    evaluator = run.evaluator(best_setting)
    units, alignment = usable_units(run.target.units(evaluator.module), evaluator)
    return Zoo.of(
        [files.read(checkpoint) for checkpoint in checkpoints],
        [checkpoint.val for checkpoint in checkpoints],
        [checkpoint.setting for checkpoint in checkpoints],
        [checkpoint.member for checkpoint in checkpoints],
        evaluator,
        units=units,
        alignment=alignment,
        rounds=run.method.alignment_rounds,
        roots=[checkpoint.root for checkpoint in checkpoints],
        names=selected(evaluator.module, run.config.parameters),
        barrier=run.method.barrier,
    )
