"""Charts as SVG in the colours of the page, with the value of each mark on hover."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from graphtasks.report.scale import Scale, label

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 46
COLOURS = 8
"""Colours of series; further ones begin again."""


@dataclass(frozen=True)
class Series:
    """Points of one colour.

    Args:
        name: Name in the legend.
        x: Horizontal positions (n).
        y: Vertical positions (n); points that are not finite are left out.
        labels: Text of each point on hover, by default its position.
        line: Join the points.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    labels: Sequence[str] = ()
    line: bool = False


@dataclass(frozen=True)
class Interval:
    """A row of :func:`intervals`.

    Args:
        name: Its name.
        mean: Position of the dot.
        half: Half the width of the bar, 0 for none.
        note: Text on hover.
        marked: Whether it stands out.
    """

    name: str
    mean: float
    half: float = 0.0
    note: str = ""
    marked: bool = field(default=False)


def chart(series: Sequence[Series], *, x: str, y: str, log_x: bool = False, log_y: bool = False, name: str = "") -> str:
    """A chart of points and lines over two axes.

    Args:
        series: Its points.
        x: Title of the horizontal axis, with its unit.
        y: Title of the vertical axis, with its unit.
        log_x: Logarithmic horizontal axis, which leaves out what is not positive.
        log_y: The same for the vertical axis.
        name: Description of the chart, for those who hear the page.
    """
    shown = [
        [(a, b, text) for a, b, text in _points(each) if (a > 0 or not log_x) and (b > 0 or not log_y)]
        for each in series
    ]
    across = Scale.over((a for points in shown for a, _, _ in points), LEFT, WIDTH - RIGHT, log=log_x)
    up = Scale.over((b for points in shown for _, b, _ in points), HEIGHT - BOTTOM, TOP, log=log_y)
    parts = [*_axes(across, up, x, y)]
    for place, (each, points) in enumerate(zip(series, shown, strict=True)):
        colour = f"s{place % COLOURS}"
        if each.line and len(points) > 1:
            path = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b, _ in points)
            parts.append(f'<polyline class="{colour}" points="{path}"><title>{escape(each.name)}</title></polyline>')
        size = 2.5 if each.line else 4
        parts += [
            f'<circle class="{colour}" cx="{across(a):.1f}" cy="{up(b):.1f}" r="{size}">'
            f"<title>{escape(text)}</title></circle>"
            for a, b, text in points
        ]
    return _figure(parts, HEIGHT, name or f"{y} by {x}", [each.name for each in series])


def intervals(rows: Sequence[Interval], *, x: str, name: str = "") -> str:
    """A row with a dot and a bar for each mean and its interval, from the top.

    Args:
        rows: Its rows.
        x: Title of the axis, with its unit.
        name: Description of the chart, for those who hear the page.
    """
    left, step = 14 + 7 * max((len(row.name) for row in rows), default=0), 22
    bottom = TOP + step * len(rows)
    ends = [row.mean + sign * row.half for row in rows for sign in (-1, 1)]
    across = Scale.over(ends, left, WIDTH - RIGHT)
    parts = _grid(across, TOP, bottom, x)
    for place, row in enumerate(rows):
        if not math.isfinite(row.mean):
            continue
        y, colour = TOP + step * (place + 0.5), "s1" if row.marked else "s0"
        low, high = across(row.mean - row.half), across(row.mean + row.half)
        parts.append(
            f'<g class="{colour}"><text class="row" x="{left - 8}" y="{y + 4}">{escape(row.name)}</text>'
            f'<line class="bar" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
            f'<circle cx="{across(row.mean):.1f}" cy="{y}" r="5"/>'
            f"<title>{escape(row.note or f'{row.name}: {label(row.mean)}')}</title></g>"
        )
    return _figure(parts, bottom + BOTTOM, name or x, [])


def _points(series: Series) -> list[tuple[float, float, str]]:
    texts = series.labels or [f"{series.name}: {label(a)}, {label(b)}" for a, b in zip(series.x, series.y, strict=True)]
    every = zip(series.x, series.y, texts, strict=True)
    return [(a, b, text) for a, b, text in every if math.isfinite(a) and math.isfinite(b)]


def _grid(across: Scale, top: float, bottom: float, title: str) -> list[str]:
    parts = [
        f'<line class="grid" x1="{across(t):.1f}" x2="{across(t):.1f}" y1="{top}" y2="{bottom}"/>'
        f'<text class="tick" x="{across(t):.1f}" y="{bottom + 16}">{label(t)}</text>'
        for t in across.ticks()
    ]
    middle = (across.start + across.end) / 2
    return [*parts, f'<text class="axis" x="{middle:.0f}" y="{bottom + 36}">{escape(title)}</text>']


def _axes(across: Scale, up: Scale, x: str, y: str) -> list[str]:
    parts = _grid(across, TOP, HEIGHT - BOTTOM, x)
    parts += [
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(t):.1f}" y2="{up(t):.1f}"/>'
        f'<text class="row" x="{LEFT - 6}" y="{up(t) + 4:.1f}">{label(t)}</text>'
        for t in up.ticks()
    ]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'<text class="axis" transform="translate(14 {middle:.0f}) rotate(-90)">{escape(y)}</text>'
    return [*parts, turned]


def _figure(parts: Sequence[str], height: float, name: str, legend: Sequence[str]) -> str:
    keys = [f'<li class="s{place % COLOURS}">{escape(each)}</li>' for place, each in enumerate(legend) if each]
    listed = f"<ul class='legend'>{''.join(keys)}</ul>" if len(keys) > 1 else ""
    svg = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(name)}">{"".join(parts)}</svg>'
    return f"<figure>{svg}{listed}</figure>"
