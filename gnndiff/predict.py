"""Predictions of a trained network for a whole task, as arrays."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import graphtasks
from gnndiff.calibration import calibration
from gnndiff.errors import ConfigError, DamagedFileError
from gnndiff.runs.deliver import FACTS, Best
from gnndiff.runs.folder import Run
from gnndiff.targets.base import check_setting, training_names
from graphtasks import FitConfig, GraphTask, kinds
from graphtasks.files import explained, write_bytes
from graphtasks.splits import PARTS, LinkSplit, Part

Arrays = dict[str, npt.NDArray[Any]]

SCORED: tuple[Part, ...] = ("val", "test")


def predict_run(run: Run, task: GraphTask | None = None) -> Arrays:
    """Predictions of a run's best network for its own task, or for another one of the same form.

    Args:
        run: A finished run.
        task: Another task, with as many features and outputs.

    Raises:
        ConfigError: The other task is of another form.
    """
    run.require("compare")
    best = Best.load(run.folder / "best")
    check_setting(best.setting, run.space, run.folder / "best" / FACTS, training_names(run.target))
    task = run.task if task is None else _alike(task, run.task)
    preparations = run.preparations if task is run.task else type(run.preparations)(run.target, task)
    prepared = preparations(best.setting)
    modules = [run.build(best.setting, 0) for _ in best.states]
    try:
        for module, state in zip(modules, best.states, strict=True):
            module.load_state_dict(state)
    except RuntimeError as error:
        raise DamagedFileError(
            f"the network in {run.folder / 'best'} is of another form than its setting: delete the "
            "folder and run `gnndiff compare`"
        ) from error
    split = run.config.split if run.config.split < len(task.splits) else 0
    return predictions(modules, prepared, split, run.fit_config(best.setting, 0), weights=best.weights)


def predictions(
    modules: nn.Module | Sequence[nn.Module],
    task: GraphTask,
    split: int = 0,
    config: FitConfig | None = None,
    *,
    weights: Sequence[float] | None = None,
) -> Arrays:
    """Answers of a network, or mean answers of an ensemble, to a prepared task.

    Args:
        modules: The network, or those of the ensemble.
        task: The task.
        split: Index of the split.
        config: Training settings, of which only those of batches are used.
        weights: Weight of each network of the ensemble, by default the same.

    Returns:
        `outputs`, a row for each node, graph or pair; for classes also `probabilities` and `classes`; for links also
        the `pairs` (2, M) of the test part and their `probabilities`; for many graphs also the graph of each row.
        Where there are probabilities, `val_nll`, `val_ece`, `val_auroc` and the same of `test` are their uncertainty
        on the labels of these parts, see :class:`gnndiff.calibration.Calibration`; NaN where there is none.
    """
    modules = [modules] if isinstance(modules, nn.Module) else modules

    def answer(part: Part) -> Tensor:
        found = [graphtasks.predict(module, task, split, part, config).cpu() for module in modules]
        return found[0] if len(found) == 1 else task.average(found, weights)

    scored: dict[Part, Tensor]
    if task.many:
        answers = {part: answer(part) for part in PARTS}
        outputs, scored = torch.cat(list(answers.values())), answers
    else:
        outputs = answer("test")
        kept = {part: kinds.find(task.kind).rows(task, split, part) for part in SCORED}
        scored = {part: answer(part) if rows is None else outputs[rows] for part, rows in kept.items()}
    arrays: dict[str, Tensor] = {"outputs": outputs}
    chosen = task.split(split)
    if isinstance(chosen, LinkSplit):
        arrays |= {"pairs": chosen.pairs("test")[0], "probabilities": outputs.sigmoid()}
    elif task.kind in ("node", "graph") and not task.graphs[0].y.is_floating_point():
        arrays |= {"probabilities": outputs.softmax(dim=-1), "classes": outputs.argmax(dim=-1)}
    if task.many:
        order = torch.cat([chosen[part] for part in PARTS])  # type: ignore[index]
        sizes = 1 if task.kind == "graph" else torch.tensor([int(task.graphs[i].num_nodes) for i in order.tolist()])
        arrays["graph"] = order if isinstance(sizes, int) else order.repeat_interleave(sizes)
    return {name: tensor.detach().cpu().numpy() for name, tensor in arrays.items()} | _uncertainty(task, split, scored)


def _uncertainty(task: GraphTask, split: int, answers: dict[Part, Tensor]) -> Arrays:
    """Measures of the probabilities by the labels of each part."""
    found: Arrays = {}
    for part in SCORED:
        measures = calibration(task, answers[part], split, part)
        for name, value in {} if measures is None else vars(measures).items():
            found[f"{part}_{name}"] = np.array(np.nan if value is None else value)
    return found


def save_predictions(path: Path, arrays: Arrays) -> None:
    """Write predictions as a .npz file.

    Raises:
        ConfigError: The name has another ending.
    """
    if path.suffix != ".npz":
        raise ConfigError(f"got the file name {path}, expected one that ends in .npz")
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    with explained(path.parent, "make"):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content.getvalue(), ours=_check_predictions, what="a file of predictions")


def _check_predictions(path: Path) -> None:
    """Raise `ValueError` where a file holds something else than predictions, such as splits or a graph."""
    with zipfile.ZipFile(path) as archive:
        if "outputs.npy" not in archive.namelist():
            raise ValueError("it has no outputs")


def _alike(task: GraphTask, own: GraphTask) -> GraphTask:
    for what in ("kind", "num_features", "num_outputs"):
        got, expected = getattr(task, what), getattr(own, what)
        if got != expected:
            raise ConfigError(
                f"{task.name!r} has {what} {got!r}, expected {expected!r} as {own.name!r}, on which the network was "
                "trained: choose a task of the same form"
            )
    return task
