"""Axes to draw on."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from dmdgnn.errors import InputError, MissingPackageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REFERENCE: dict[str, Any] = {"color": "0.6", "linewidth": 1.0, "zorder": 0}


def pyplot() -> ModuleType:
    """The module, or the error that names the extra."""
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise MissingPackageError('figures need matplotlib: pip install "dmdgnn[plot]"') from error
    return matplotlib.pyplot


def new_axes(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure."""
    if ax is None:
        return pyplot().subplots()[1]
    if not hasattr(ax, "get_lines"):
        raise InputError(f"got ax of {type(ax).__name__}, expected one matplotlib Axes, or None for a new figure")
    return ax


def whole_numbers(ax: Axes) -> None:
    """No ticks between indices."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
