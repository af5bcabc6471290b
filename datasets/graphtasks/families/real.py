"""Families of real graphs: parts of large ones, and the days of a series."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from graphtasks.families.base import Family
from graphtasks.parts import graph_parts
from graphtasks.registry import load

TWITCH = ("twitch-de", "twitch-en", "twitch-es", "twitch-fr")


def parts_family(name: str, *, root: str | Path | None = None, count: int = 60, **options: Any) -> Family:
    """Parts of one graph of the catalogue around `count` random nodes."""
    return Family.from_parts(load(name, root=root), count, **options)


def twitch_family(*, root: str | Path | None = None, count: int = 15, seed: int = 0, **options: Any) -> Family:
    """Parts of the Twitch graphs of four countries, which share their features."""
    tasks = [part for name in TWITCH for part in graph_parts(load(name, root=root), count, seed=seed)]
    return Family(tasks, name="twitch-family", seed=seed, **options)


def days_family(*, root: str | Path | None = None, **options: Any) -> Family:
    """The days of a tennis tournament on Twitter."""
    return Family.from_snapshots(load("twitter-tennis-rg17", root=root), name="tennis-days", **options)


FAMILIES: dict[str, Callable[..., Family]] = {
    "twitch-family": twitch_family,
    "tennis-days": days_family,
    **{
        f"{name}-parts": partial(parts_family, name)
        for name in ("amazon-photo", "amazon-computers", "coauthor-cs", "actor")
    },
}
