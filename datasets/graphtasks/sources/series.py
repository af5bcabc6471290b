"""Series of snapshots published with PyTorch Geometric Temporal (https://arxiv.org/abs/2104.07788)."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphtasks.catalogue import FACTS
from graphtasks.errors import InvalidDataError, MissingFilesError
from graphtasks.metrics import METRICS
from graphtasks.sources.cache import resolve_root
from graphtasks.splits import time_splits
from graphtasks.task import GraphTask, Kind


class _Steps(NamedTuple):
    """Contents of a file: graph, features (T, N, F) and values to predict (T, N) of each step."""

    graphs: list[dict[str, Tensor]]
    features: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Series:
    """Values of nodes over time, of which the next is predicted from the last ones.

    The snapshot for step t = lags, ..., T - 1 has as `x` (N, lags * F) the features of the steps t - lags to t - 1,
    oldest first, as `y` (N,) the target of step t, and the graph of step t - 1. The first `lags` steps have no
    snapshot. A static graph is the same tensors in all snapshots. Edges have the directions of the file, with
    `edge_weight` (E,) where it has weights.

    Values are those of the file, never standardised here, as that would take test data into account. In chickenpox
    each node was standardised over all weeks before publication; pedalme was published in a scale with means near 0.
    In wikimaths they are counts of daily visits, which the source's own loader, unlike this one, standardises over
    all steps. The features of twitter-tennis, F = 2, are degree and transitivity of the node in the step, not one-hot
    encoded as in the source's loader; its target is log(1 + mentions), as there. The source's loader lets the last
    step predict itself; here there is no such snapshot.

    Args:
        task_name: Name in the catalogue.
        file: Name of the file in `root/temporal`; without `.gz` it is found, too, as the source publishes it.
        lags: Default number of steps that `x` holds: that of the source's loader.
        read: Reads the content of the file, and raises ValueError about what is wrong with it.
        first_node: Name of node 0, by which files of the same format are told apart if they have `node_ids`.
    """

    task_name: str
    file: str
    lags: int
    read: Callable[[dict[str, Any]], _Steps]
    first_node: str | None = None

    kind: ClassVar[Kind] = "temporal"
    metric = "mse"
    source = "benedekrozemberczki/pytorch_geometric_temporal"
    protocols = ("time",)

    def path(self, root: Path) -> Path:
        """`root/temporal/FILE`, or without `.gz` if there is only that."""
        packed = root / "temporal" / self.file
        plain = packed.with_name(self.file.removesuffix(".gz"))
        return plain if plain.is_file() and not packed.is_file() else packed

    def found(self, root: Path) -> bool:
        """Whether the file is in the root."""
        return self.path(root).is_file()

    def load(self, protocol: str, root: Path | None, *, lags: int | None = None) -> GraphTask:
        """Read `root/temporal/FILE` and split its snapshots by time.

        Args:
            protocol: 'time', the only one.
            root: Folder of raw files.
            lags: Number of steps L >= 1 that `x` holds, fewer than there are; by default the series' own.

        Raises:
            MissingFilesError: The file is not there.
            InvalidDataError: The file is broken or another one, or `lags` does not fit it.
        """
        path = self.path(resolve_root(root))
        if not path.is_file():
            raise MissingFilesError(
                f"{self.task_name!r} needs {path.name} in {path.parent}: get {path.stem} from the dataset folder of "
                f"{self.source}; it is read as it is, too"
            )
        lags = self.lags if lags is None else lags
        try:
            content = _read_json(path)
            steps = self.read(content)
            self._check_first_node(content)
        except (ValueError, OSError, EOFError, zlib.error, RecursionError) as error:
            raise InvalidDataError(
                f"{path} cannot be read as {self.task_name!r} ({type(error).__name__}: {error}): replace it"
            ) from error
        if not isinstance(lags, int) or isinstance(lags, bool) or not 1 <= lags < len(steps.graphs):
            raise InvalidDataError(
                f"got lags {lags!r}, expected a whole number of at least 1 and below {len(steps.graphs)}, "
                f"the number of steps in {path}"
            )
        snapshots = _snapshots(steps, lags)
        try:
            splits = time_splits(len(snapshots))
        except InvalidDataError as error:
            raise InvalidDataError(
                f"{path} with lags {lags} gives {len(snapshots)} snapshots, too few to split: {error}"
            ) from error
        return GraphTask(
            name=self.task_name,
            kind="temporal",
            data=snapshots,
            splits=splits,
            metric=METRICS["mse"],
            directed=any(snapshot.is_directed() for snapshot in snapshots),
            source=self.source,
            licence=FACTS[self.task_name].licence,
            protocol=(
                f"values of the next step from those of the last {lags}; "
                "first 70 % of the snapshots for training, next 10 % for validation, last 20 % for test"
            ),
        )

    def _check_first_node(self, content: dict[str, Any]) -> None:
        names = content.get("node_ids")
        if self.first_node is None or names is None:
            return
        if not isinstance(names, dict) or names.get(self.first_node) != 0:
            raise ValueError(f"node 0 is not {self.first_node!r}, so it is another series")


def _read_json(path: Path) -> dict[str, Any]:
    packed = path.read_bytes()
    content = json.loads(gzip.decompress(packed) if path.suffix == ".gz" else packed)
    if not isinstance(content, dict):
        raise ValueError(f"the JSON is a {type(content).__name__}, expected an object")
    return content


def _entry(content: dict[str, Any], key: str, where: str = "") -> Any:
    if key not in content:
        found = ", ".join(list(content)[:6]) or "nothing"
        raise ValueError(f"no {where}{key!r}, only {found}")
    return content[key]


def _array(value: Any, what: str, *shape: int | None, integer: bool = False) -> Tensor:
    """Numbers of JSON as float64, or int64 if `integer`; a size of None may be any."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{what} has rows of unequal lengths") from error
    if array.shape == (0,) and shape[0] is None:
        array = np.zeros((0, *(size or 0 for size in shape[1:])), dtype=np.int64)
    if array.dtype.kind not in ("i" if integer else "iuf"):
        raise ValueError(f"{what} holds {array.dtype}, expected {'integers' if integer else 'numbers'}")
    if array.ndim != len(shape) or any(size not in (None, got) for size, got in zip(shape, array.shape, strict=True)):
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"{what} has shape {array.shape}, expected ({expected})")
    tensor = torch.from_numpy(array.astype(np.int64 if integer else np.float64))
    # Numbers beyond float32 would be infinite later.
    if not integer and not bool(torch.isfinite(tensor.float()).all()):
        raise ValueError(f"{what} holds NaN, infinite or too large numbers")
    return tensor


def _graph(content: dict[str, Any], num_nodes: int, where: str = "", *, weighted: bool = True) -> dict[str, Tensor]:
    edges = _array(_entry(content, "edges", where), f"{where}'edges'", None, 2, integer=True)
    if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < num_nodes:
        raise ValueError(
            f"{where}'edges' names nodes {int(edges.min())} to {int(edges.max())}, but there are 0 to {num_nodes - 1}"
        )
    graph = {"edge_index": edges.t().contiguous()}
    if weighted:
        graph["edge_weight"] = _array(_entry(content, "weights", where), f"{where}'weights'", len(edges)).float()
    return graph


def _static(content: dict[str, Any], values: Tensor, *, weighted: bool = True) -> _Steps:
    """Steps whose features are the values (T, N) to predict, on one graph."""
    if values.size(1) == 0:
        raise ValueError("there are no nodes")
    graph = _graph(content, values.size(1), weighted=weighted)
    return _Steps([graph] * len(values), values.unsqueeze(2).float(), values.float())


def _numbered_steps(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries '0', '1', ..., as many as `time_periods` announces."""
    count = _entry(content, "time_periods")
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError(f"'time_periods' is {count!r}, expected the number of steps")
    present = sum(key.isdecimal() for key in content)
    if present != count:
        raise ValueError(f"'time_periods' announces {count} steps, but there are {present}")
    steps = [_entry(content, str(step), "step ") for step in range(count)]
    for step, entry in enumerate(steps):
        if not isinstance(entry, dict):
            raise ValueError(f"step '{step}' is a {type(entry).__name__}, expected an object")
    return steps


def _targets(steps: list[dict[str, Any]]) -> Tensor:
    """Values `y` (T, N) of numbered steps."""
    rows: list[Tensor] = []
    for step, entry in enumerate(steps):
        where = f"step '{step}': "
        rows.append(_array(_entry(entry, "y", where), f"{where}'y'", len(rows[0]) if rows else None))
    return torch.stack(rows)


def _chickenpox(content: dict[str, Any]) -> _Steps:
    return _static(content, _array(_entry(content, "FX"), "'FX'", None, None), weighted=False)


def _pedalme(content: dict[str, Any]) -> _Steps:
    return _static(content, _array(_entry(content, "X"), "'X'", None, None))


def _wikimaths(content: dict[str, Any]) -> _Steps:
    return _static(content, _targets(_numbered_steps(content)))


def _tennis(content: dict[str, Any]) -> _Steps:
    steps = _numbered_steps(content)
    mentions = _targets(steps)
    num_nodes = mentions.size(1)
    if num_nodes == 0:
        raise ValueError("there are no nodes")
    if mentions.min() < 0:
        raise ValueError("'y' holds negative numbers of mentions")
    graphs, features = [], []
    for step, entry in enumerate(steps):
        where = f"step '{step}': "
        graphs.append(_graph(entry, num_nodes, where))
        features.append(_array(_entry(entry, "X", where), f"{where}'X'", num_nodes, 2))
    return _Steps(graphs, torch.stack(features).float(), mentions.log1p().float())


def _snapshots(steps: _Steps, lags: int) -> list[Data]:
    # Copies, as a view of the table would be saved with all of it.
    return [
        Data(
            x=torch.cat(list(steps.features[step - lags : step]), dim=1),
            y=steps.targets[step].clone(),
            **steps.graphs[step - 1],
        )
        for step in range(lags, len(steps.graphs))
    ]


SERIES = (
    Series("chickenpox", "chickenpox.json.gz", 4, _chickenpox),
    Series("pedalme", "pedalme_london.json.gz", 4, _pedalme),
    Series("wikimaths", "wikivital_mathematics.json.gz", 8, _wikimaths),
    Series("twitter-tennis-rg17", "twitter_tennis_rg17.json.gz", 1, _tennis, "rolandgarros"),
    Series("twitter-tennis-uo17", "twitter_tennis_uo17.json.gz", 1, _tennis, "usopen"),
)
