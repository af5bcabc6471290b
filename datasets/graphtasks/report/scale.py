"""Axes of charts: where numbers lie, and which of them are written beside the axis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The map from numbers to pixels.

    Args:
        low: The number at the start of the axis.
        high: The number at its end, above `low`.
        start: Pixel of the start.
        end: Pixel of the end.
        log: Whether equal ratios are equally far apart.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float, *, log: bool = False) -> Scale:
        """The scale that has all finite values, with a margin of a twentieth on each side."""
        finite = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [1.0]
        low, high = (math.log10(f(finite)) if log else f(finite) for f in (min, max))
        margin = (high - low) / 20 or max(abs(low), 1) / 20
        low, high = low - margin, high + margin
        return cls(10**low, 10**high, start, end, log) if log else cls(low, high, start, end)

    def __call__(self, value: float) -> float:
        """The pixel of a number."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """About as many round numbers: 1, 2 or 5 times a power of ten; powers of ten alone on a logarithmic scale."""
        if self.log:
            powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            every = max(1, len(powers) // count)
            if len(powers) > 1:
                return [10.0**power for power in powers[::every]]
        rough = (self.high - self.low) / count
        power = 10 ** math.floor(math.log10(rough))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.99 * rough)
        first = math.ceil(self.low / step)
        return [round(i * step, 12) for i in range(first, math.floor(self.high / step) + 1)]


def label(value: float) -> str:
    """A number as an axis or a hover shows it: four digits at most."""
    return f"{value:.4g}"
