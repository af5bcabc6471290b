"""The settings of a search space."""

from __future__ import annotations

import itertools
import random

from gnndiff.targets.base import Setting, Space


def sample_grid(space: Space, count: int | None, seed: int) -> list[Setting]:
    """The first `count` settings of the grid in an order fixed by the seed; None gives the whole grid."""
    grid: list[Setting] = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    random.Random(seed).shuffle(grid)
    return grid[:count]
