"""Ranges of numbers in a space, beside lists of choices."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gnndiff.errors import ConfigError


@dataclass(frozen=True)
class _Range:
    """A range of numbers, from which a search draws evenly.

    Args:
        low: The lowest number.
        high: The highest number, included.
        log: Draw evenly on a logarithmic scale, as for learning rates.

    Raises:
        ConfigError: The ends are no finite numbers in their order, or not positive where the scale is logarithmic.
    """

    low: Any
    high: Any
    log: bool = False

    def __post_init__(self) -> None:
        ends = (self.low, self.high)
        if any(isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end) for end in ends):
            raise ConfigError(f"got {self!r}, expected finite numbers as ends")
        if not self.low < self.high:
            raise ConfigError(f"got {self!r}, expected low < high")
        if self.log and self.low <= 0:
            raise ConfigError(f"got {self!r}, expected low > 0 on a logarithmic scale")

    def __getitem__(self, end: int) -> Any:
        """The lowest number for 0 and the highest for -1, as of a list of choices."""
        return {0: self.low, -1: self.high}[end]

    def around(self, value: Any, share: float) -> Any:
        """The part of the range around a value that is as wide as this share of it, or what lies inside of it."""
        scale, back = (math.log, math.exp) if self.log else (float, float)
        half = share * (scale(self.high) - scale(self.low)) / 2
        low, high = max(self.low, back(scale(value) - half)), min(self.high, back(scale(value) + half))
        return type(self)(*self._ends(low, high), log=self.log)

    def _ends(self, low: float, high: float) -> tuple[Any, Any]:
        return low, high

    def _drawn(self, rng: random.Random, low: float, high: float) -> float:
        return math.exp(rng.uniform(math.log(low), math.log(high))) if self.log else rng.uniform(low, high)


class Float(_Range):
    """A range of real numbers, such as `Float(1e-3, 1e-1, log=True)`.

    >>> rates = Float(0.001, 0.1, log=True)
    >>> rates[0], 0.02 in rates, 1.0 in rates
    (0.001, True, False)
    """

    def draw(self, rng: random.Random) -> float:
        """A number of the range."""
        return min(max(self._drawn(rng, self.low, self.high), float(self.low)), float(self.high))

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


class Int(_Range):
    """A range of whole numbers, such as `Int(1, 4)`.

    >>> 4 in Int(1, 4), 2.5 in Int(1, 4)
    (True, False)
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.low, int) or not isinstance(self.high, int):
            raise ConfigError(f"got {self!r}, expected whole numbers as ends")

    def draw(self, rng: random.Random) -> int:
        """A number of the range."""
        if not self.log:
            return rng.randint(self.low, self.high)
        return min(max(round(self._drawn(rng, self.low - 0.5, self.high + 0.5)), self.low), self.high)

    def _ends(self, low: float, high: float) -> tuple[int, int]:
        first, last = math.ceil(low), math.floor(high)
        if first < last:
            return first, last
        return (first - 1, first) if first > self.low else (first, first + 1)

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


Choices = Sequence[Any] | Float | Int


def plain(choices: Choices) -> Any:
    """Choices, or a range, as JSON has them."""
    if isinstance(choices, Float | Int):
        return {type(choices).__name__: asdict(choices)}
    return json.loads(json.dumps(list(choices)))


def from_plain(value: Any) -> Choices:
    """The choices, or the range, that :func:`plain` was given."""
    if not isinstance(value, Mapping):
        return list(value)
    ((name, fields),) = value.items()
    if name == "Int":
        return Int(**fields)
    return Float(**fields)


def is_range(choices: Any) -> bool:
    """Whether it is a range rather than a list of choices."""
    return isinstance(choices, Float | Int)


def has(choices: Choices, value: Any) -> bool:
    """Whether a value, as JSON has it, is one of the choices or within the range."""
    return value in (choices if isinstance(choices, Float | Int) else plain(choices))
