"""Split protocols of node tasks by name."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor
from torch_geometric.data import Data

from graphtasks.checks import check_classes
from graphtasks.errors import InvalidDataError, MissingFilesError, UnknownTaskError
from graphtasks.sources.cache import resolve_root
from graphtasks.sources.checksums import check_file
from graphtasks.sources.npz import read_npz
from graphtasks.splits import (
    PARTS,
    Split,
    mask_splits,
    per_class_splits,
    random_splits,
    stratified_splits,
    tuned_gnn_split,
)


def node_splits(protocol: str, data: Data, name: str, root: Path | None) -> tuple[list[Split], str]:
    """Splits of a protocol, and one line that says what it is.

    Args:
        protocol: 'public' or 'geom-gcn' (the masks of the data), 'random', 'stratified', 'linkx' or 'tunedgnn'.
        data: Graph with labels `y` (N,) and, for the first two, masks.
        name: Name of the task; 'tunedgnn' reads `root/splits/NAME_split.npz` unless it is a Planetoid graph.
        root: Folder of raw files.
    """
    check_classes(data.get("y"), data.num_nodes, name)
    try:
        return _node_splits(protocol, data, name, root)
    except InvalidDataError as error:
        raise InvalidDataError(f"the {protocol} splits of {name!r} cannot be made: {error}") from error


def _node_splits(protocol: str, data: Data, name: str, root: Path | None) -> tuple[list[Split], str]:
    if protocol in ("public", "geom-gcn"):
        missing = [f"{part}_mask" for part in PARTS if data.get(f"{part}_mask") is None]
        if missing:
            raise InvalidDataError(f"there is no {', '.join(missing)}")
        splits = mask_splits((data.train_mask, data.val_mask, data.test_mask), data.num_nodes)
        return splits, f"{len(splits)} fixed {protocol} split{'s' if len(splits) > 1 else ''}"
    if protocol == "random":
        return per_class_splits(data.y, 20), (
            "20 training nodes a class, half of the rest but at most 500 for validation, all others for test; "
            "10 random splits, seeds 0 to 9"
        )
    if protocol == "stratified":
        return stratified_splits(data.y), "60/20/20 % of each class; 10 random splits, seeds 0 to 9"
    if protocol == "linkx":
        return _linkx_splits(data.y), "50/25/25 % of the labelled nodes; 5 random splits, seeds 0 to 4"
    if protocol == "tunedgnn":
        if name in ("cora", "citeseer", "pubmed"):
            return tuned_gnn_split(data.y), "tunedGNN's split: 20 nodes a class, 500, 1,000, seed 123"
        return _tuned_gnn_file(name, root), "tunedGNN's fixed 60/20/20 split"
    raise UnknownTaskError(f"got split protocol {protocol!r}, which no node task has")


def _linkx_splits(y: Tensor) -> list[Split]:
    labelled = (y >= 0).nonzero().view(-1)
    return [
        Split(labelled[split.train], labelled[split.val], labelled[split.test])
        for split in random_splits(len(labelled), (0.5, 0.25), count=5)
    ]


def _tuned_gnn_file(name: str, root: Path | None) -> list[Split]:
    path = resolve_root(root) / "splits" / f"{name}_split.npz"
    if not path.is_file():
        raise MissingFilesError(
            f"the tunedgnn split of {name!r} needs {path.name} in {path.parent}: get it from "
            "https://github.com/LUOyk1999/tunedGNN, medium_graph/data"
        )
    check_file(path, f"splits/{path.name}")
    arrays = read_npz(path)
    if set(arrays) != {"train", "valid", "test"}:
        raise InvalidDataError(f"{path} holds {', '.join(sorted(arrays))}, expected train, valid and test: replace it")
    return [Split(*(arrays[part] for part in ("train", "valid", "test")))]
