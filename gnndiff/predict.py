"""Predictions of a trained network for a whole task, as arrays."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import graphtasks
from gnndiff.errors import ConfigError, DamagedFileError
from gnndiff.runs.deliver import FACTS, Best
from gnndiff.runs.folder import Run
from gnndiff.targets.base import check_setting, training_names
from graphtasks import FitConfig, GraphTask
from graphtasks.files import explained, write_bytes
from graphtasks.splits import PARTS, LinkSplit

Arrays = dict[str, npt.NDArray[Any]]


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
    module = run.build(best.setting, 0)
    try:
        module.load_state_dict(best.state_dict)
    except RuntimeError as error:
        raise DamagedFileError(
            f"the network in {run.folder / 'best'} is of another form than its setting: delete the "
            "folder and run `gnndiff compare`"
        ) from error
    split = run.config.split if run.config.split < len(task.splits) else 0
    return predictions(module, prepared, split, run.fit_config(best.setting, 0))


def predictions(module: nn.Module, task: GraphTask, split: int = 0, config: FitConfig | None = None) -> Arrays:
    """Answers of a network to a prepared task.

    Returns:
        `outputs`, a row for each node, graph or pair; for classes also `probabilities` and `classes`; for links also
        the `pairs` (2, M) of the test part and their `probabilities`; for many graphs also the graph of each row.
    """
    if not task.many:
        outputs = graphtasks.predict(module, task, split, "test", config)
    else:
        parts = [graphtasks.predict(module, task, split, part, config) for part in PARTS]
        outputs = torch.cat(parts)
    arrays: dict[str, Tensor] = {"outputs": outputs}
    chosen = task.split(split)
    if isinstance(chosen, LinkSplit):
        arrays |= {"pairs": chosen.pairs("test")[0], "probabilities": outputs.sigmoid()}
    elif task.kind in ("node", "graph") and not task.graphs[0].y.is_floating_point():
        arrays |= {"probabilities": outputs.softmax(dim=-1), "classes": outputs.argmax(dim=-1)}
    if task.many:
        order = torch.cat([chosen[part] for part in PARTS])  # type: ignore[index]
        rows = 1 if task.kind == "graph" else torch.tensor([int(task.graphs[i].num_nodes) for i in order.tolist()])
        arrays["graph"] = order if isinstance(rows, int) else order.repeat_interleave(rows)
    return {name: tensor.detach().cpu().numpy() for name, tensor in arrays.items()}


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
