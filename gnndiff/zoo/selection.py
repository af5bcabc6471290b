"""A choice of a network's tensors by name."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from torch import nn

from gnndiff.errors import ConfigError

ALL, LAST = "all", "last-layer"


def selected(module: nn.Module, which: str, where: str = "") -> list[str]:
    """Names of the parameters that are chosen.

    Args:
        module: The network.
        which: 'all', 'last-layer', or a pattern of names such as `convs.1.*`.
        where: Words for the message that say which network it is.

    Raises:
        ConfigError: It matches none, or no layer is the last one.

    >>> selected(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), "last-layer")
    ['1.weight', '1.bias']
    """
    shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
    if which == ALL:
        return list(shapes)
    if which == LAST:
        weights = [name for name, shape in shapes.items() if len(shape) > 1]
        if not weights:
            raise ConfigError(
                f"no layer{where} is the last one, as no parameter is a matrix: use a pattern of {', '.join(shapes)}"
            )
        last = weights[-1]
        numbered = re.match(r"(.*?\b\d+)\.", last)
        layer = numbered[1] if numbered else last.partition(".")[0]
        return [name for name in shapes if name.startswith(f"{layer}.") or name == layer]
    found = [name for name in shapes if fnmatchcase(name, which)]
    if not found:
        raise ConfigError(
            f"no parameter{where} matches {which!r}: use 'all', 'last-layer', or a pattern of {', '.join(shapes)}"
        )
    return found
