"""Hidden units of a module that may change places, as a target declares them."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Part:
    """Some of the rows, or columns, of a tensor: those from `start` to before `stop`."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Units:
    """Hidden units that change places together, without a change of what the module gives.

    Where a layer of 64 units leads to another one, `Units(("first.weight", "first.bias"), ("second.weight",))` are
    these. A part may stand for a tensor: the hidden units of torch's recurrent layers lie in three or four parts of one
    weight, and a layer that reads several others side by side has a part for each.

    Args:
        rows: Names of the tensors of the state dict that have a row for each unit: weights that make the units, biases,
            scales and statistics of normalisations. A tensor of shape (1, heads, units of a head), such as attention
            vectors, has a row for each entry.
        columns: Names of the weights that have a column for each unit, such as those that read the units.
        heads: Number of groups of equal size. Groups change places as a whole, and units within their group.
            A tensor with as many rows, or columns, as there are heads has one for each head.
        count: Number of units, by default the number of rows of the first tensor. If it is less, then each unit has
            several rows that lie side by side.
    """

    rows: tuple[str | Part, ...]
    columns: tuple[str | Part, ...] = ()
    heads: int = 1
    count: int | None = None

    def within(self, prefix: str) -> Units:
        """The units of a module that is a part of another, whose names begin with a prefix."""
        return replace(self, rows=under(prefix, self.rows), columns=under(prefix, self.columns))


def under(prefix: str, names: tuple[str | Part, ...]) -> tuple[str | Part, ...]:
    """Names of a part of a module in the whole."""
    return tuple(prefix + n if isinstance(n, str) else replace(n, name=prefix + n.name) for n in names)


def whole(name: str | Part) -> str:
    """The name of the tensor that a part is of."""
    return name if isinstance(name, str) else name.name
