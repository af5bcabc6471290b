"""Splits of nodes, graphs or time steps into train, validation and test, with a hash of their content."""

import hashlib
import io
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from graphtasks.errors import InvalidDataError, MissingFilesError
from graphtasks.files import as_path, read_bytes, write_bytes
from graphtasks.values import as_seed, whole

Part = Literal["train", "val", "test"]

PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Three disjoint sets of indices of nodes, of graphs in tasks of many, or of snapshots in series.

    Args:
        train, val, test: Indices (number in the part,), or boolean masks (N,). They are kept as sorted int64 indices;
            a task checks that masks were as long as it has nodes, graphs or snapshots.

    Raises:
        InvalidDataError: A part is empty or no list of indices, two parts share an index, or masks differ in length.
    """

    train: Tensor
    val: Tensor
    test: Tensor
    # Length of the masks that a split was made of. It is no field, since it is no part of the split.
    mask_length: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        for part in PARTS:
            _check_tensor(getattr(self, part), f"the {part} part of the split")
        lengths = {len(index) for part in PARTS if (index := getattr(self, part)).dtype == torch.bool and index.dim()}
        if len(lengths) > 1:
            raise InvalidDataError(
                f"the masks of the split have lengths {', '.join(map(str, sorted(lengths)))}: make them all of one "
                "entry for each node, graph or snapshot"
            )
        object.__setattr__(self, "mask_length", min(lengths, default=None))
        for part in PARTS:
            index = getattr(self, part)
            if index.dim() != 1 or index.is_floating_point() or index.is_complex():
                raise InvalidDataError(
                    f"the {part} part of the split has shape {tuple(index.shape)} and dtype {index.dtype}, "
                    "expected indices or a boolean mask, each of one dimension"
                )
            if index.dtype == torch.bool:
                index = index.nonzero().view(-1)
            if index.numel() == 0:
                raise InvalidDataError(f"the {part} part of the split is empty: give it at least one entry")
            index = index.to(torch.int64).cpu().sort().values
            if int(index[0]) < 0 or len(index.unique()) < len(index):
                raise InvalidDataError(
                    f"the {part} part of the split has negative or repeated indices: list each once, or make a mask of "
                    "torch.bool"
                )
            object.__setattr__(self, part, index)
        together = torch.cat([self.train, self.val, self.test])
        shared = together.numel() - together.unique().numel()
        if shared:
            raise InvalidDataError(f"{shared} entries are in more than one part of the split: parts must be disjoint")

    def __repr__(self) -> str:
        return f"Split(train={len(self.train)}, val={len(self.val)}, test={len(self.test)}, hash={self.hash!r})"

    def __getitem__(self, part: Part) -> Tensor:
        """Indices of one part."""
        _check_part(part)
        index: Tensor = getattr(self, part)
        return index

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the three index lists."""
        return _content_hash(self.train, self.val, self.test)


@dataclass(frozen=True, eq=False, repr=False)
class LinkSplit:
    """Edges to learn from and edges to predict, with the negatives that each positive is ranked against.

    Args:
        train, val, test: Edges (2, number of edges) of int64, an undirected edge once, in either direction.
        val_neg, test_neg: Pairs of nodes (2, number of pairs) that are no edges.
        undirected: Whether messages go in both directions.
        repeated_pairs: A pair may occur in several parts, as the authors of ogbl-collab who write together again do; it
            is not checked then that parts are disjoint.
        val_messages: Whether models may use validation edges when the test part is scored.

    Raises:
        InvalidDataError: A part is empty or no list of edges, or an edge to predict is also in an earlier part or among
            the negatives.
    """

    train: Tensor
    val: Tensor
    test: Tensor
    val_neg: Tensor
    test_neg: Tensor
    undirected: bool
    repeated_pairs: bool = False
    val_messages: bool = True

    def __post_init__(self) -> None:
        for name in LINK_ARRAYS:
            edges = getattr(self, name)
            _check_tensor(edges, f"the {name} part of the link split")
            if edges.dim() != 2 or len(edges) != 2 or edges.dtype != torch.int64 or edges.numel() == 0:
                raise InvalidDataError(
                    f"the {name} part of the link split has shape {tuple(edges.shape)} and dtype {edges.dtype}, "
                    "expected at least one edge, as (2, edges) of torch.int64"
                )
            if int(edges.min()) < 0:
                raise InvalidDataError(f"the {name} part of the link split has negative node indices")
            object.__setattr__(self, name, edges.cpu().contiguous())
        if self.repeated_pairs:
            return
        num_nodes = 1 + max(int(getattr(self, name).max()) for name in LINK_ARRAYS)
        known = torch.empty(0, dtype=torch.int64)
        for name in LINK_ARRAYS:
            pairs = self._pairs(getattr(self, name), num_nodes)
            leaked = int(torch.isin(pairs, known).sum())
            if leaked:
                raise InvalidDataError(
                    f"{leaked} pairs of the {name} part of the link split are edges of an earlier part: each pair may "
                    "be in one part alone"
                )
            if not name.endswith("neg"):
                known = torch.cat([known, pairs])

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={getattr(self, name).size(1)}" for name in LINK_ARRAYS)
        return f"LinkSplit({counts}, {'un' if self.undirected else ''}directed, hash={self.hash!r})"

    def _pairs(self, edges: Tensor, num_nodes: int) -> Tensor:
        """One number for each pair, the same in both directions where the graph is undirected."""
        if self.undirected:
            edges = edges.sort(dim=0).values
        return edges[0] * num_nodes + edges[1]

    def messages(self, part: Part) -> Tensor:
        """Edges (2, E) that a model may use when a part is scored: training edges, and for the test, unless
        `val_messages` is false, validation edges, as :class:`~torch_geometric.transforms.RandomLinkSplit` gives.
        """
        _check_part(part)
        edges = torch.cat([self.train, self.val], dim=1) if part == "test" and self.val_messages else self.train
        return torch.cat([edges, edges.flip(0)], dim=1) if self.undirected else edges

    def pairs(self, part: Part) -> tuple[Tensor, Tensor]:
        """Pairs (2, M) of a part, edges first and negatives after them, and their labels (M,) of 1 and 0.

        Raises:
            InvalidDataError: The part is 'train', whose negatives are drawn anew in each epoch.
        """
        _check_part(part)
        if part == "train":
            raise InvalidDataError("the train part has no fixed negatives: they are drawn anew in each epoch")
        edges: Tensor = getattr(self, part)
        negatives: Tensor = getattr(self, f"{part}_neg")
        labels = torch.cat([torch.ones(edges.size(1)), torch.zeros(negatives.size(1))]).long()
        return torch.cat([edges, negatives], dim=1), labels

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the five lists and of what may be a message."""
        flags = torch.tensor([self.undirected, self.val_messages])
        return _content_hash(*(getattr(self, name) for name in LINK_ARRAYS), flags)


LINK_ARRAYS = ("train", "val", "test", "val_neg", "test_neg")


def _check_tensor(value: object, what: str) -> None:
    if not isinstance(value, Tensor):
        raise InvalidDataError(f"{what} is a {type(value).__name__}, expected a torch.Tensor: use torch.as_tensor")


def _check_part(part: str) -> None:
    if part not in PARTS:
        raise InvalidDataError(f"got part {part!r}, expected 'train', 'val' or 'test'")


def _content_hash(*arrays: Tensor) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.size(-1).to_bytes(8, "little"))
        digest.update(array.numpy().astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def combined_hash(splits: Sequence[Split | LinkSplit]) -> str:
    """One hash for a list of splits, in their order."""
    return hashlib.sha256("".join(split.hash for split in splits).encode()).hexdigest()[:16]


def _checked_draws(count: int, first: int) -> tuple[int, int]:
    """Number of random splits and seed of the first."""
    return whole("count", count, 1), as_seed("seed", first)


def per_class_splits(y: Tensor, per_class: int, *, max_val: int = 500, count: int = 10, seed: int = 0) -> list[Split]:
    """Random splits: `per_class` training nodes of each class; half of the rest, at most `max_val`, validates.

    Args:
        y: Labels (N,); nodes with a label of -1 are in no part.
        per_class: Training nodes of each class; all nodes of a class with fewer train.
        max_val: Upper limit of the validation part. All other nodes are the test part.
        count: Number of splits; split `i` depends on `seed + i` alone.
        seed: Seed of the first split.
    """
    count, seed = _checked_draws(count, seed)
    whole("per_class", per_class, 1)
    whole("max_val", max_val, 0)
    splits = []
    for i in range(count):
        generator = torch.Generator().manual_seed(seed + i)
        order = torch.randperm(len(y), generator=generator)
        order = order[y[order] >= 0]
        train_mask = torch.zeros(len(order), dtype=torch.bool)
        for label in y[y >= 0].unique():
            train_mask[(y[order] == label).nonzero().view(-1)[:per_class]] = True
        rest = order[~train_mask]
        num_val = min(max_val, len(rest) // 2)
        splits.append(Split(order[train_mask], rest[:num_val], rest[num_val:]))
    return splits


def mask_splits(masks: Sequence[Tensor], num_nodes: int) -> list[Split]:
    """Splits from PyG's masks.

    Args:
        masks: Masks of train, validation and test, each (N,) or, for several splits, (N, number of splits).
        num_nodes: N.

    Raises:
        InvalidDataError: A mask is not of 0 and 1 for N nodes, or the masks disagree on the number of splits.
    """
    columns: dict[str, Tensor] = {}
    for part, mask in zip(PARTS, masks, strict=True):
        _check_tensor(mask, f"{part}_mask")
        if mask.dim() not in (1, 2) or len(mask) != num_nodes or not bool(((mask == 0) | (mask == 1)).all()):
            raise InvalidDataError(
                f"{part}_mask has shape {tuple(mask.shape)} and dtype {mask.dtype}, "
                f"expected booleans ({num_nodes},) or ({num_nodes}, splits)"
            )
        columns[part] = mask.bool().view(num_nodes, -1)
    counts = {mask.size(1) for mask in columns.values()} - {1}
    if len(counts) > 1:
        raise InvalidDataError(f"the masks hold {sorted(counts)} splits: they must agree")
    return [
        Split(**{part: mask[:, min(i, mask.size(1) - 1)] for part, mask in columns.items()})
        for i in range(max(counts, default=1))
    ]


def random_splits(
    num_items: int, fractions: tuple[float, float] = (0.6, 0.2), *, count: int = 10, seed: int = 0
) -> list[Split]:
    """Random splits of nodes or graphs.

    Args:
        num_items: Number of nodes or graphs.
        fractions: Share of the train and of the validation part; the rest is the test part.
        count: Number of splits; split `i` depends on `seed + i` alone.
        seed: Seed of the first split.
    """
    count, seed = _checked_draws(count, seed)
    whole("num_items", num_items, 1)
    ends = [round(fractions[0] * num_items), round(sum(fractions) * num_items)]
    orders = (torch.randperm(num_items, generator=torch.Generator().manual_seed(seed + i)) for i in range(count))
    return [Split(order[: ends[0]], order[ends[0] : ends[1]], order[ends[1] :]) for order in orders]


def stratified_splits(
    y: Tensor, fractions: tuple[float, float] = (0.6, 0.2), *, count: int = 10, seed: int = 0
) -> list[Split]:
    """Random splits with the same share of each class in each part, to the nearest node.

    Args:
        y: Labels (N,); nodes with a label of -1 are in no part.
        fractions: Share of the train and of the validation part; the rest is the test part.
        count: Number of splits; split `i` depends on `seed + i` alone.
        seed: Seed of the first split.
    """
    count, seed = _checked_draws(count, seed)
    if not bool((y >= 0).any()):
        raise InvalidDataError("there are no labelled nodes to split")
    splits = []
    for i in range(count):
        generator = torch.Generator().manual_seed(seed + i)
        parts: list[list[Tensor]] = [[], [], []]
        for label in y[y >= 0].unique():
            nodes = (y == label).nonzero().view(-1)
            nodes = nodes[torch.randperm(len(nodes), generator=generator)]
            ends = [round(fractions[0] * len(nodes)), round(sum(fractions) * len(nodes))]
            for part, chosen in zip(parts, nodes.tensor_split(ends), strict=True):
                part.append(chosen)
        splits.append(Split(*(torch.cat(part) for part in parts)))
    return splits


def tuned_gnn_split(y: Tensor) -> list[Split]:
    """The one split of "Classic GNNs are Strong Baselines" for the Planetoid graphs: 20 a class, 500, 1,000.

    The order of draws is that of its code (https://github.com/LUOyk1999/tunedGNN), seed 123, so that the nodes are the
    same, too.

    Args:
        y: Labels (N,), without unlabelled nodes.
    """
    generator = torch.Generator().manual_seed(123)
    train, rest = [], []
    for label in y.unique():
        nodes = (y == label).nonzero().view(-1)
        nodes = nodes[torch.randperm(len(nodes), generator=generator)]
        train.append(nodes[:20])
        rest.append(nodes[20:])
    others = torch.cat(rest)
    others = others[torch.randperm(len(others), generator=generator)]
    return [Split(torch.cat(train), others[:500], others[500:1500])]


def time_splits(num_snapshots: int) -> list[Split]:
    """One split by time: the first 70 % of the snapshots train, the next 10 % validate, the last 20 % test."""
    ends = [round(0.7 * num_snapshots), round(0.8 * num_snapshots)]
    return [Split(*torch.arange(num_snapshots).tensor_split(ends))]


def save_splits(splits: Sequence[Split | LinkSplit], path: str | os.PathLike[str]) -> None:
    """Write splits into one `.npz` file, with the arrays `0.train`, `0.val`, `0.test`, `1.train` and so on.

    A :class:`LinkSplit` adds `0.val_neg`, `0.test_neg`, `0.undirected`, `0.repeated_pairs` and
    `0.val_messages`.

    Raises:
        InvalidDataError: There are no splits, or they are of two kinds.
        MissingFilesError: There is no such folder.
        FileError: The path cannot be written to, or holds anything else than splits, which is never replaced.
    """
    if len({type(split) for split in splits}) != 1:
        raise InvalidDataError(f"got {len(splits)} splits to write, expected at least one, and all of the same kind")
    arrays = {
        f"{i}.{name}": np.asarray(getattr(split, name))
        for i, split in enumerate(splits)
        for name in _names(type(split))
    }
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    with zipfile.ZipFile(content, "a") as archive:  # as damage of its list of arrays may take splits away
        archive.comment = combined_hash(splits).encode()
    write_bytes(path, content.getvalue(), ours=load_splits, what="a split file")


def load_splits(path: str | os.PathLike[str]) -> list[Split] | list[LinkSplit]:
    """Read what :func:`save_splits` wrote.

    Raises:
        MissingFilesError: There is no such file.
        FileError: It cannot be read.
        InvalidDataError: The file holds something else, or splits that are none.
    """
    if not as_path(path).is_file():
        raise MissingFilesError(f"there is no split file {path}: `graphtasks splits NAME --out FILE` writes one")
    content = read_bytes(path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            if archive.zip.testzip() is not None:  # numpy does not always read as far as the checksum
                raise ValueError("its checksums differ")
            arrays = {key: torch.from_numpy(archive[key]) for key in archive.files}
            expected = archive.zip.comment.decode()
    except Exception as error:
        raise InvalidDataError(f"{path} cannot be read as splits ({type(error).__name__}: {error})") from error
    cls = LinkSplit if any(key.endswith("_neg") for key in arrays) else Split
    names = _names(cls)
    count = len(arrays) // len(names)
    if count == 0 or set(arrays) != {f"{i}.{name}" for i in range(count) for name in names}:
        raise InvalidDataError(
            f"{path} holds the arrays {', '.join(sorted(arrays)[:6])} ..., expected {', '.join(names)} for each split, "
            "as `0.train`"
        )
    values = [{name: arrays[f"{i}.{name}"] for name in names} for i in range(count)]
    splits: list[Any] = [Split(**value) if cls is Split else _link_split(value) for value in values]
    if expected not in ("", combined_hash(splits)):
        raise InvalidDataError(
            f"{path} cannot be read as splits (it does not hold what was written to it): write it again"
        )
    return splits


def _names(cls: type[Split | LinkSplit]) -> list[str]:
    """Names of the arrays that a kind of split is made of."""
    return [field.name for field in fields(cls)]


def _link_split(arrays: dict[str, Tensor]) -> LinkSplit:
    train, val, test, val_neg, test_neg = (arrays[name] for name in LINK_ARRAYS)
    flags = [arrays[name] for name in ("undirected", "repeated_pairs", "val_messages")]
    if any(flag.numel() != 1 for flag in flags):
        raise InvalidDataError("`undirected`, `repeated_pairs` and `val_messages` of a link split are one value each")
    return LinkSplit(train, val, test, val_neg, test_neg, *map(bool, flags))
