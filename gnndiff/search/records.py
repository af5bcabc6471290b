"""Records of trials: the validation curve and the predictions of the best epoch, in a few kilobytes each."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from gnndiff.errors import DamagedFileError
from graphtasks import FitConfig, GraphTask, kinds, predict
from graphtasks.splits import Part

if TYPE_CHECKING:
    from gnndiff.runs.folder import Run

LARGEST = 6e4
"""Bound of scores, which half precision holds."""

PARTS: tuple[Part, ...] = ("val", "test")


@dataclass(frozen=True)
class Record:
    """Curve and predictions that a trial leaves beside its scores.

    Args:
        curve: Validation score of each epoch.
        best_epoch: The epoch of the best one, counted from 0.
        outputs: For 'val' and 'test' the predictions (M, ...) of that epoch, as `task.average` makes them of one
            network's: logarithms of the probabilities of classes and scores of labels and links, in half precision, and
            values as they are.
    """

    curve: list[float]
    best_epoch: int
    outputs: dict[Part, Tensor]

    def to_bytes(self) -> bytes:
        """The record as a compressed .npz file."""
        file = io.BytesIO()
        arrays: dict[str, Any] = {part: self.outputs[part].numpy() for part in PARTS}
        np.savez_compressed(file, curve=np.array(self.curve), best_epoch=np.array(self.best_epoch), **arrays)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, source: str) -> Record:
        """Read the bytes that :meth:`to_bytes` made.

        Raises:
            DamagedFileError: It is something else.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                outputs = {part: torch.from_numpy(arrays[part]) for part in PARTS}
                return cls(arrays["curve"].tolist(), int(arrays["best_epoch"]), outputs)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DamagedFileError(f"the record {source} is damaged ({error}): delete it to train it again") from error


def predictions(model: nn.Module, task: GraphTask, split: int, config: FitConfig) -> dict[Part, Tensor]:
    """Predictions of a trained model for validation and test, in the form of :class:`Record`."""
    kind, found = kinds.find(task.kind), {}
    for part in PARTS:
        out, rows = predict(model, task, split, part, config).cpu(), kind.rows(task, split, part)
        mean = task.average(out.unsqueeze(0) if rows is None else out[rows].unsqueeze(0))
        found[part] = mean if task.form == "values" else mean.clamp(-LARGEST, LARGEST).half()
    return found


def score(run: Run, records: list[Record], part: Part) -> float:
    """Score of the mean prediction of some trials, without training again."""
    kind = kinds.find(run.task.kind)
    mean = run.task.average([record.outputs[part].float() for record in records])
    rows = kind.rows(run.task, run.config.split, part)
    if rows is None:
        return run.task.evaluate(mean, run.config.split, part)
    whole = torch.zeros(run.task.num_nodes, *mean.shape[1:])
    whole[rows] = mean
    return run.task.evaluate(whole, run.config.split, part)


def sha(content: bytes) -> str:
    """SHA-256 of some bytes."""
    return hashlib.sha256(content).hexdigest()
