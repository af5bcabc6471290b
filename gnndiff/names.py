"""Choices by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from gnndiff.errors import ConfigError
from graphtasks.spelling import did_you_mean
from graphtasks.values import shown

T = TypeVar("T")


def by_name(kind: str, name: str, known: Mapping[str, T]) -> T:
    """The choice of a kind, such as 'zoo', that has a name.

    Raises:
        ConfigError: No choice has this name; the error says which ones there are, and which one may be meant.

    >>> by_name("zoo", "paper", {"paper": 1, "branches": 2})
    1
    """
    if not isinstance(name, str):
        raise ConfigError(f"got {shown(name)} as {kind}, expected a name: one of {', '.join(known)}")
    if name not in known:
        hint = did_you_mean(name, known)
        raise ConfigError(f"no {kind} is called {name!r}: {hint}use one of {', '.join(known)}")
    return known[name]
