"""Tasks of the Open Graph Benchmark, read from its raw files by ogb's own table of datasets and reader of graphs.

ogb's dataset classes are left aside: they ask questions on the terminal, delete and download folders, write beside the
raw files and load pickles that torch >= 2.6 refuses.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphtasks.catalogue import FACTS
from graphtasks.errors import InvalidDataError, MissingFilesError
from graphtasks.metrics import METRICS
from graphtasks.sources.cache import resolve_root
from graphtasks.splits import LinkSplit, Split
from graphtasks.task import GraphTask

OGB_PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class OGBDataset:
    """A dataset of "Open Graph Benchmark: Datasets for Machine Learning on Graphs" (https://arxiv.org/abs/2005.00687).

    Args:
        task_name: Name in the catalogue and in OGB.
        kind: Kind of the targets.
        metric: Name of OGB's metric.
        directed: Whether OGB gives each edge in one direction alone.
    """

    task_name: str
    kind: Literal["node", "link"]
    metric: str
    directed: bool

    protocols = ("ogb",)

    @property
    def source(self) -> str:
        """OGB's name."""
        return f"Open Graph Benchmark, {self.task_name}"

    def found(self, root: Path) -> bool:
        """Whether the dataset's folder is in the root."""
        return _folder(self.task_name, root).is_dir()

    def load(self, protocol: str, root: Path | None) -> GraphTask:
        """Read the raw files from the root."""
        splits: Sequence[Split] | Sequence[LinkSplit]
        if self.kind == "node":
            data, splits = read_node(self.task_name, resolve_root(root))
        else:
            data, splits = read_link(self.task_name, resolve_root(root))
        return GraphTask(
            name=self.task_name,
            kind=self.kind,
            data=data,
            splits=splits,
            metric=METRICS[self.metric],
            directed=self.directed,
            source=self.source,
            licence=FACTS[self.task_name].licence,
            protocol=f"OGB's one split by {_entry(self.task_name)['split'].replace('_', ' ')}",
        )


def read_node(name: str, root: Path) -> tuple[Data, list[Split]]:
    """Graph and one split of a node classification dataset, from `root/ogb/NAME_WITH_UNDERSCORES`.

    The graph has `x` (N, F) float32, `y` (N,) int64 with -1 where the file has no label, and `edge_index` (2, E) as OGB
    gives it: as stored, or for undirected graphs each edge followed by its reverse.

    Raises:
        MissingFilesError: Files are missing; nothing is downloaded.
        InvalidDataError: A file is damaged or belongs to another dataset; nothing is deleted.
    """
    entry = _entry(name)
    folder = _complete_folder(name, root, entry)
    edge_index, x = _read_graph(folder / "raw", inverse=entry["add_inverse_edge"] == "True")
    path = folder / "raw/node-label.csv.gz"
    with _reading(path):
        labels = _read_csv(path).astype(np.float64)
    if labels.shape != (len(x), 1):
        raise InvalidDataError(f"{path} has shape {labels.shape}, expected ({len(x)}, 1): replace it")
    classes = int(entry["num classes"])
    if not np.isin(labels[~np.isnan(labels)], np.arange(classes)).all():
        raise InvalidDataError(f"{path} has labels other than 0 to {classes - 1}: replace it")
    y = torch.from_numpy(np.nan_to_num(labels[:, 0], nan=-1.0)).long()
    indices = []
    for part in OGB_PARTS:
        path = folder / "split" / entry["split"] / f"{part}.csv.gz"
        with _reading(path):
            index = torch.from_numpy(_read_csv(path).astype(np.int64, casting="safe"))
        if index.size(1) != 1 or not 0 <= int(index.min()) <= int(index.max()) < len(x):
            raise InvalidDataError(f"{path} is no column of nodes from 0 to {len(x) - 1}: replace it")
        indices.append(index.view(-1))
    listed = sum(len(index) for index in indices)
    if listed != len(x):
        raise InvalidDataError(f"{path.parent} lists {listed} nodes, but the graph has {len(x)}: replace its files")
    try:
        split = Split(*indices)
    except InvalidDataError as error:
        raise InvalidDataError(f"{path.parent} holds no split of the nodes ({error}): replace its files") from error
    return Data(x=x, y=y, edge_index=edge_index), [split]


def read_link(name: str, root: Path) -> tuple[Data, list[LinkSplit]]:
    """Features and one split of a link prediction dataset, from `root/ogb/NAME_WITH_UNDERSCORES`.

    The data have `x` (N, F) float32 alone: which edges a model may see is up to the split, whose training edges are
    those of the graph. Weights and years of the edges are not read.

    Raises:
        MissingFilesError: Files are missing; nothing is downloaded.
        InvalidDataError: A file is damaged, belongs to another dataset, or is a pickle of anything else than arrays,
            which is not executed; nothing is deleted.
    """
    entry = _entry(name)
    folder = _complete_folder(name, root, entry)
    edge_index, x = _read_graph(folder / "raw", inverse=False)
    edges = {}
    for part in OGB_PARTS:
        path = folder / "split" / entry["split"] / f"{part}.pt"
        arrays = _load_arrays(path)
        for key in ("edge",) if part == "train" else ("edge", "edge_neg"):
            edges[part, key] = _pairs(arrays, key, path, len(x))
        if part == "train" and edges[part, "edge"].size(1) != edge_index.size(1):
            raise InvalidDataError(
                f"{path} has {edges[part, 'edge'].size(1)} edges, but {folder / 'raw/edge.csv.gz'} has "
                f"{edge_index.size(1)}, expected the same: replace the wrong one"
            )
    split = LinkSplit(
        train=edges["train", "edge"],
        val=edges["valid", "edge"],
        test=edges["test", "edge"],
        val_neg=edges["valid", "edge_neg"],
        test_neg=edges["test", "edge_neg"],
        undirected=True,
        repeated_pairs=True,
        val_messages=name == "ogbl-collab",  # the only dataset where OGB's rules allow them
    )
    return Data(x=x), [split]


def _entry(name: str) -> dict[str, str]:
    """Row of a dataset in the table that ogb carries."""
    # Not at the top: importing ogb takes seconds and asks PyPI for a newer version.
    import ogb
    import pandas as pd

    table = "nodeproppred" if name.startswith("ogbn") else "linkproppred"
    path = Path(ogb.__file__).parent / table / "master.csv"
    return {str(key): value for key, value in pd.read_csv(path, index_col=0, keep_default_na=False)[name].items()}


def _folder(name: str, root: Path) -> Path:
    return root / "ogb" / name.replace("-", "_")


def _complete_folder(name: str, root: Path, entry: dict[str, str]) -> Path:
    """Folder of a dataset, or an error that names each missing file."""
    raw = ["edge", "node-feat", "num-edge-list", "num-node-list"]
    raw += ["node-label"] if name.startswith("ogbn") else []
    suffix = "csv.gz" if name.startswith("ogbn") else "pt"
    files = [f"raw/{file}.csv.gz" for file in raw] + [f"split/{entry['split']}/{part}.{suffix}" for part in OGB_PARTS]
    folder = _folder(name, root)
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        state = "is not" if len(missing) == len(files) else "is incomplete"
        raise MissingFilesError(
            f"{name!r} {state} in {folder}: missing {', '.join(missing)}; download {entry['url']} and unpack "
            f"its folder {entry['download_name']} under that name"
        )
    return folder


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever a broken file makes its reader raise into an error that names the file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise InvalidDataError(f"{path} cannot be read ({type(error).__name__}: {error}): replace it") from error


def _read_csv(path: Path) -> npt.NDArray[Any]:
    """Table (rows, columns) in a file of OGB's format."""
    import pandas as pd

    table: npt.NDArray[Any] = pd.read_csv(path, compression="gzip", header=None).to_numpy()
    return table


def _count_rows(path: Path) -> int:
    """Number of rows of a file; all of it is read, so that one that was cut off is found."""
    rows, last = 0, b"\n"
    with _reading(path), gzip.open(path) as file:
        while chunk := file.read(1 << 20):
            rows += chunk.count(b"\n")
            last = chunk
    return rows + (not last.endswith(b"\n"))


def _read_graph(raw: Path, *, inverse: bool) -> tuple[Tensor, Tensor]:
    """Edges (2, E) and features (N, F) of the one graph in a raw folder."""
    from ogb.io.read_graph_raw import read_csv_graph_raw

    counts = []
    # ogb cuts off the rows beyond what the lists say.
    for file, item in (("node-feat", "node"), ("edge", "edge")):
        path, given = raw / f"num-{item}-list.csv.gz", raw / f"{file}.csv.gz"
        with _reading(path):
            counts.append(int(_read_csv(path).item()))
        rows = _count_rows(given)
        if rows != counts[-1]:
            raise InvalidDataError(
                f"{given} has {rows} rows, but {path.name} says {counts[-1]}: replace the one that is wrong"
            )
    num_nodes, num_edges = counts
    # ogb reports on the terminal. Its warnings are of numbers that are none, which are checked below.
    with _reading(raw), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (graph,) = read_csv_graph_raw(raw, add_inverse_edge=inverse)
        edge_index, x = torch.from_numpy(graph["edge_index"]), torch.from_numpy(graph["node_feat"]).float()
    if edge_index.shape != (2, num_edges * (1 + inverse)):
        raise InvalidDataError(f"{raw / 'edge.csv.gz'} has {len(edge_index)} columns, expected 2: replace it")
    if not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
        raise InvalidDataError(
            f"{raw / 'edge.csv.gz'} names nodes {int(edge_index.min())} to {int(edge_index.max())}, "
            f"but the graph has nodes 0 to {num_nodes - 1}: replace it"
        )
    if not bool(torch.isfinite(x).all()):
        raise InvalidDataError(f"{raw / 'node-feat.csv.gz'} has NaN or infinite values: replace it")
    return edge_index, x


def _load_arrays(path: Path) -> Any:
    """Contents of a file of `torch.save`: plain containers, tensors and numpy arrays of numbers, and nothing else."""
    reconstruct: Any = np.empty(0).__reduce__()[0]
    safe: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [np.ndarray, np.dtype]
    safe += [type(np.dtype(kind)) for kind in ("int64", "int32", "float64", "float32")]
    # The function's name in files of numpy 1 and 2.
    safe += [(reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")]
    # The context would also take away what was safe before.
    added = [item for item in safe if item not in torch.serialization.get_safe_globals()]
    try:
        with torch.serialization.safe_globals(added):
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        # torch's message, which advises to load it all the same, is left out.
        raise InvalidDataError(
            f"{path} is damaged or holds more than arrays ({type(error).__name__}): replace it"
        ) from error


def _pairs(arrays: Any, key: str, path: Path, num_nodes: int) -> Tensor:
    """Pairs (2, M) of nodes from an array (M, 2) of a loaded file."""
    with _reading(path):
        pairs = np.asarray(arrays[key])
    if pairs.dtype.kind != "i" or pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise InvalidDataError(
            f"{key!r} of {path} has shape {pairs.shape} and dtype {pairs.dtype}, expected (pairs, 2) of integers: "
            "replace it"
        )
    if not 0 <= pairs.min() <= pairs.max() < num_nodes:
        raise InvalidDataError(
            f"{key!r} of {path} names nodes {pairs.min()} to {pairs.max()}, but the graph has nodes 0 to "
            f"{num_nodes - 1}: replace it"
        )
    return torch.from_numpy(np.ascontiguousarray(pairs.T, dtype=np.int64))


OGB_DATASETS = (
    OGBDataset("ogbn-arxiv", "node", "accuracy", True),
    OGBDataset("ogbn-products", "node", "accuracy", False),
    OGBDataset("ogbl-collab", "link", "hits@50", False),
    OGBDataset("ogbl-ppa", "link", "hits@100", False),
)
