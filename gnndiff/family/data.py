"""Graphs without labels, and answers to them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch_geometric.data import Data

from gnndiff.errors import ConfigError
from gnndiff.family.folder import FamilyFolder
from gnndiff.family.pipeline import FamilyPipeline
from gnndiff.predict import Arrays
from gnndiff.runs.record import CONFIG, read_config
from graphtasks.checks import check_graph
from graphtasks.sources.npz import INTEGERS, read_npz


def read_unlabelled(path: Path) -> Data:
    """A graph from a `.npz` file with `x` (N, F), `edge_index` (2, E) and perhaps `edge_weight` (E,), without labels.

    Raises:
        ConfigError: There is no such file, or an array is missing or of another form.
        InvalidDataError: The file cannot be read.
    """
    if not path.is_file():
        raise ConfigError(f"there is no file {path}: give the .npz file of a graph")
    arrays = read_npz(path)
    missing = [name for name in ("x", "edge_index") if name not in arrays]
    if missing:
        raise ConfigError(f"{path} has no array {missing[0]}: it has {', '.join(sorted(arrays)) or 'none'}")
    edges = arrays["edge_index"]
    if edges.dtype not in INTEGERS:
        raise ConfigError(f"`edge_index` of {path} is of {edges.dtype}, expected integers")
    data = Data(x=arrays["x"].float(), edge_index=edges.long().contiguous())
    if "edge_weight" in arrays:
        data.edge_weight = arrays["edge_weight"].float()
    check_graph(data, str(path))
    return data


def holds_family(folder: Path) -> bool:
    """Whether a folder is a run over a family."""
    return (folder / CONFIG).is_file() and "family" in read_config(folder)


def predict_graph(folder: Path, data: Data) -> Arrays:
    """Answers to a graph: `outputs` with their deviation `spread` over 16 networks; for classes also `classes`."""
    outputs, spread = FamilyPipeline.from_pretrained(FamilyFolder.load(folder).pipeline()).predict(data)
    arrays = {"outputs": outputs.numpy(), "spread": spread.numpy()}
    if not torch.is_floating_point(outputs) or outputs.dim() == 1:
        return arrays
    return {**arrays, "classes": outputs.argmax(dim=1).numpy()} if outputs.size(1) > 1 else arrays
