"""Graphs from `.npz` files of plain arrays."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import ToUndirected

from graphtasks.checks import check_graph
from graphtasks.errors import DataWarning, InvalidDataError, MissingFilesError
from graphtasks.files import as_path
from graphtasks.splits import PARTS

INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64)

NAMES = {"x": "node_features", "y": "node_labels", "edge_index": "edges"}

READ = {*NAMES, *NAMES.values(), "edge_weight"} | {f"{part}_mask{s}" for part in PARTS for s in ("", "s")}


def read_npz(path: Path) -> dict[str, Tensor]:
    """All arrays of a `.npz` file without pickled objects, as tensors.

    Raises:
        InvalidDataError: The file is none, or holds objects.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if archive.zip.testzip() is not None:  # numpy does not always read as far as the checksum
                raise ValueError("its checksums differ")
            return {key: torch.from_numpy(archive[key]) for key in archive.files}
    except Exception as error:
        raise InvalidDataError(f"{path} cannot be read ({type(error).__name__}: {error}): replace it") from error


def read_graph(path: str | Path, *, undirected: bool = False) -> Data:
    """One graph from a `.npz` file, with PyG's names or those of yandex-research/heterophilous-graphs.

    Args:
        path: File with the arrays `x` (N, F), `y`, `edge_index` (2, E) or instead `node_features`, `node_labels`,
            `edges` (E, 2). Optional are `edge_weight` (E,) and `train_mask`, `val_mask`, `test_mask` (N,) or
            (N, splits), or instead `train_masks`, `val_masks`, `test_masks` (splits, N).
        undirected: Whether each edge stands for both directions.

    Raises:
        MissingFilesError: There is no such file.
        InvalidDataError: It cannot be read, or an array is missing or no table of edges.

    Warns:
        DataWarning: It has other arrays.
    """
    path = as_path(path)
    if not path.is_file():
        raise MissingFilesError(f"there is no file {path}")
    arrays = read_npz(path)
    missing = [f"{key} (or {other})" for key, other in NAMES.items() if not {key, other} & set(arrays)]
    if missing:
        raise InvalidDataError(f"{path} has no array {', '.join(missing)}: it has {', '.join(sorted(arrays))}")
    x = arrays["x"] if "x" in arrays else arrays["node_features"]
    y = arrays["y"] if "y" in arrays else arrays["node_labels"]
    edges = arrays["edge_index"] if "edge_index" in arrays else arrays["edges"].transpose(0, -1)
    if edges.dim() != 2 or len(edges) != 2 or edges.dtype not in INTEGERS:
        raise InvalidDataError(
            f"the edges of {path} have shape {tuple(edges.shape)} and dtype {edges.dtype}, "
            "expected `edge_index` (2, E) or `edges` (E, 2) of integers"
        )
    for what, array in (("features", x), ("targets", y)):
        if array.dim() == 0 or array.is_complex():
            raise InvalidDataError(
                f"the {what} of {path} have shape {tuple(array.shape)} and dtype {array.dtype}, expected real rows"
            )
    data = Data(x=x.float(), y=y.float() if y.is_floating_point() else y.long(), edge_index=edges.long().contiguous())
    unread = sorted(set(arrays) - READ)
    if unread:
        warnings.warn(
            f"{path} has arrays that are not read: {', '.join(unread)}; weights of edges are `edge_weight`",
            DataWarning,
            stacklevel=2,
        )
    if "edge_weight" in arrays:
        if arrays["edge_weight"].is_complex():
            raise InvalidDataError(f"`edge_weight` of {path} is complex, expected real numbers")
        data.edge_weight = arrays["edge_weight"].float()
    check_graph(data, str(path))
    if undirected:
        data = ToUndirected(reduce="mean")(data)
    for part in ("train", "val", "test"):
        if f"{part}_mask" in arrays:
            data[f"{part}_mask"] = arrays[f"{part}_mask"]
        elif f"{part}_masks" in arrays:
            data[f"{part}_mask"] = arrays[f"{part}_masks"].transpose(0, -1)
    return data
