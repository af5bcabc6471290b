"""Splits of nodes into train, validation and test, with a hash of their content."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from graphtasks.errors import InvalidDataError

Part = Literal["train", "val", "test"]


@dataclass(frozen=True, eq=False)
class Split:
    """Three disjoint sets of node indices.

    Args:
        train, val, test: Node indices (number of nodes in the part,), or boolean masks (N,). They are kept as sorted
            int64 indices.

    Raises:
        InvalidDataError: A part is empty or no list of nodes, or two parts share a node.
    """

    train: Tensor
    val: Tensor
    test: Tensor

    def __post_init__(self) -> None:
        for field in fields(self):
            index = getattr(self, field.name)
            if index.dim() != 1 or index.is_floating_point() or index.is_complex():
                raise InvalidDataError(
                    f"the {field.name} part of the split has shape {tuple(index.shape)} and dtype {index.dtype}, "
                    "expected node indices or a boolean mask, each of one dimension"
                )
            if index.dtype == torch.bool:
                index = index.nonzero().view(-1)
            if index.numel() == 0:
                raise InvalidDataError(f"the {field.name} part of the split is empty: give it at least one node")
            index = index.to(torch.int64).cpu().sort().values
            if int(index[0]) < 0 or len(index.unique()) < len(index):
                raise InvalidDataError(f"the {field.name} part of the split has negative or repeated node indices")
            object.__setattr__(self, field.name, index)
        together = torch.cat([self.train, self.val, self.test])
        shared = together.numel() - together.unique().numel()
        if shared:
            raise InvalidDataError(f"{shared} nodes are in more than one part of the split: the parts must be disjoint")

    def __getitem__(self, part: Part) -> Tensor:
        """Indices of one part."""
        if part not in ("train", "val", "test"):
            raise InvalidDataError(f"got part {part!r}, expected 'train', 'val' or 'test'")
        index: Tensor = getattr(self, part)
        return index

    @cached_property
    def hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the three index lists."""
        digest = hashlib.sha256()
        for part in (self.train, self.val, self.test):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part.numpy().astype("<i8").tobytes())
        return digest.hexdigest()[:16]


def combined_hash(splits: Sequence[Split]) -> str:
    """One hash for a list of splits, in their order."""
    return hashlib.sha256("".join(split.hash for split in splits).encode()).hexdigest()[:16]


def per_class_splits(y: Tensor, per_class: int, *, max_val: int = 500, count: int = 10, seed: int = 0) -> list[Split]:
    """Random splits: `per_class` training nodes of each class; half of the rest, at most `max_val`, validates.

    Args:
        y: Labels (N,); nodes with a label of -1 are in no part.
        per_class: Training nodes of each class.
        max_val: Upper limit of the validation part. All other nodes are the test part.
        count: Number of splits; split `i` depends on `seed + i` alone.
        seed: Seed of the first split.
    """
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
    for part, mask in zip(("train", "val", "test"), masks, strict=True):
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
