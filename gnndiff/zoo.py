"""The zoo: checkpoints of many initialisations, good configurations and late epochs."""

from __future__ import annotations

import copy
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import dropout_edge

from gnndiff.align import align
from gnndiff.candidates import evaluate_states, stack
from gnndiff.errors import DamagedFileError, ZooError
from gnndiff.parameters import ParameterLayout
from gnndiff.progress import progress
from gnndiff.runs import Run, sha256, write_text
from gnndiff.search import ranked_trials
from gnndiff.space import Params, architecture, fit_config
from graphtasks import DivergedError, fit
from graphtasks.randomness import seeded

EDGE_DROP = 0.1
BLOCK = 10
QUALITY = 0.95
ALIGNMENT_ROUNDS = 3


@dataclass(frozen=True)
class Checkpoint:
    """One line of the zoo's index.

    Args:
        file: Name in the zoo folder.
        sha256: Hash of that file.
        params: Its configuration.
        member: Number of its training; the training's seed and view of the graph follow from it.
        seed: Seed of its training.
        epoch: Epoch that it was taken at.
        val: Validation score on the whole graph.
        split_hash: Hash of the split that it was trained on.
        seconds: Its share of the time of its training.
        siblings: Number of checkpoints of that training.
    """

    file: str
    sha256: str
    params: dict[str, Any]
    member: int
    seed: int
    epoch: int
    val: float
    split_hash: str
    seconds: float
    siblings: int


def configurations(run: Run) -> list[Params]:
    """The best configurations of the winner's architecture, the winner first; none that is far behind it."""
    ranked = ranked_trials(run, run.limits.trials)
    floor = QUALITY * (ranked[0].value or 0.0)
    good: list[Params] = [trial.params for trial in ranked if (trial.value or 0.0) >= floor]
    return [params for params in good if architecture(params) == architecture(good[0])][: run.limits.configurations]


def graph_view(run: Run, member: int) -> Data:
    """The graph that a member of the zoo is trained on: the whole one, or for every second member a tenth of the
    edges dropped, so that the condition of the generator varies."""
    data = copy.copy(run.task.graph())
    if member % 2:
        with seeded(run.seed("view", member)):
            data.edge_index, _ = dropout_edge(data.edge_index, EDGE_DROP, force_undirected=not run.task.directed)
    return data


def collect(run: Run) -> None:
    """Fill the zoo. Checkpoints that are there are kept; a training that was interrupted is repeated."""
    run.require("search")
    folder = run.folder / "zoo"
    folder.mkdir(exist_ok=True)
    chosen = configurations(run)
    total = run.limits.configurations * run.limits.initialisations
    index = [checkpoint for checkpoint in read_index(run) if (folder / checkpoint.file).exists()]
    # A member is done when all its files are there.
    counts = Counter(checkpoint.member for checkpoint in index)
    index = [checkpoint for checkpoint in index if counts[checkpoint.member] == checkpoint.siblings]
    done = {checkpoint.member for checkpoint in index}
    best = max((checkpoint.val for checkpoint in index), default=0.0)
    with progress("collect", total, done=len(done), quiet=run.config.quiet) as advance:
        for member in range(total):
            if member in done:
                continue
            checkpoints = _train_member(run, member, chosen[member * len(chosen) // total])
            index = sorted([*index, *checkpoints], key=lambda checkpoint: checkpoint.file)
            write_text(folder / "index.jsonl", "".join(json.dumps(asdict(each)) + "\n" for each in index))
            best = max([best, *(checkpoint.val for checkpoint in checkpoints)])
            advance(f"best validation {best:.4f}")
    if not index:
        raise ZooError("all trainings of the zoo diverged: search again with another seed")
    run.set_seconds("collect", sum(checkpoint.seconds for checkpoint in index))


def _train_member(run: Run, member: int, params: Params) -> list[Checkpoint]:
    """Train one member and write its checkpoints; a training that diverges leaves none."""
    start = perf_counter()
    seed = run.seed("zoo", member)
    view = run.prepared_task(params, run.task.replace(data=graph_view(run, member)))
    model = run.build(params, seed)
    blocks: dict[int, tuple[float, int, dict[str, Tensor]]] = {}

    def keep(epoch: int, val: float, model: nn.Module) -> None:
        block = epoch // BLOCK
        if block not in blocks or val >= blocks[block][0]:
            blocks[block] = (val, epoch, copy.deepcopy(model.state_dict()))

    try:
        result = fit(model, view, run.config.split, fit_config(params, run.limits, seed), callback=keep)
    except DivergedError:
        return []
    # Of equal scores the later one: it has moved on from the start.
    chosen = sorted(blocks.values(), key=lambda block: block[:2])[-run.limits.snapshots :]
    states = [state for _, _, state in chosen]
    vals = evaluate_states(run, params, stack(states), "val")
    checkpoints = []
    for i, ((_, epoch, state), val) in enumerate(zip(chosen, vals, strict=True)):
        path = run.folder / "zoo" / f"{member:04d}-{i}.safetensors"
        save_file({name: tensor.cpu().contiguous() for name, tensor in state.items()}, path)
        checkpoints.append(
            Checkpoint(
                file=path.name,
                sha256=sha256(path),
                params=dict(params),
                member=member,
                seed=seed,
                epoch=epoch,
                val=val,
                split_hash=result.split_hash,
                seconds=(perf_counter() - start) / len(states),
                siblings=len(states),
            )
        )
    return checkpoints


def read_index(run: Run) -> list[Checkpoint]:
    """The zoo's index."""
    path = run.folder / "zoo" / "index.jsonl"
    if not path.exists():
        return []
    try:
        return [Checkpoint(**json.loads(line)) for line in path.read_text().splitlines()]
    except (ValueError, TypeError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}): delete it and run `gnndiff collect`") from error


@dataclass(frozen=True)
class Zoo:
    """All checkpoints as aligned vectors.

    Args:
        checkpoints: Their index lines, the best validation score first.
        vectors: Their parameters (n, P), hidden units in a common order.
        layout: Where each tensor lies in a vector.
    """

    checkpoints: list[Checkpoint]
    vectors: Tensor
    layout: ParameterLayout

    @property
    def params(self) -> Params:
        """A configuration of the zoo's architecture: that of the best checkpoint."""
        return self.checkpoints[0].params

    @property
    def effective_rank(self) -> float:
        """Exponential of the entropy of the variance over principal directions: how many there are in effect."""
        values = torch.linalg.svdvals(self.vectors - self.vectors.mean(dim=0)).square()
        share = values[values > 0] / values.sum()
        return float((-(share * share.log()).sum()).exp())


def load_zoo(run: Run) -> Zoo:
    """Read all checkpoints, check them against the index, and align them to the best one, then to their mean."""
    run.require("collect")
    checkpoints = sorted(read_index(run), key=lambda checkpoint: -checkpoint.val)
    states = [_load(run.folder / "zoo" / checkpoint.file, checkpoint.sha256) for checkpoint in checkpoints]
    layout = ParameterLayout.of(states[0])
    reference = states[0]
    for _ in range(ALIGNMENT_ROUNDS):
        states = [align(state, reference) for state in states]
        vectors = torch.stack([layout.flatten(state) for state in states])
        reference = layout.unflatten(vectors.mean(dim=0))
    return Zoo(checkpoints, vectors, layout)


def _load(path: Path, expected: str) -> dict[str, Tensor]:
    remedy = "delete it and run `gnndiff collect` to train it again"
    if not path.exists():
        raise DamagedFileError(f"{path} is missing: run `gnndiff collect` to train it again")
    if sha256(path) != expected:
        raise DamagedFileError(f"{path} is damaged, its content has another hash than in the index: {remedy}")
    return load_file(path)
