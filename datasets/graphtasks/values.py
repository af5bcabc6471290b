"""Checks of options by their annotations, before they reach what would not understand them."""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from graphtasks.errors import InvalidDataError

# Seeds that all generators of torch take, with room for those that are counted up from one.
_SEEDS = range(-(2**63), 2**63)


def shown(value: object) -> str:
    """A value in one short line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def whole(name: str, value: Any, least: int | None = None, *, error: type[Exception] = InvalidDataError) -> int:
    """A whole number of any type, NumPy's too, as Python's own; no truth value and no float.

    Args:
        name: Its name in the message.
        value: The value that was given.
        least: The smallest one.
        error: Raised for anything else.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        bound = "" if least is None else f" of at least {least}"
        raise error(f"got {name}={shown(value)}, expected a whole number{bound}")
    if least is not None and value < least:
        raise error(f"got {name}={value}, expected at least {least}")
    return int(value)


def as_seed(name: str, value: Any, *, error: type[Exception] = InvalidDataError) -> int:
    """A whole number that torch takes as a seed."""
    number = whole(name, value, error=error)
    if number not in _SEEDS:
        raise error(f"got {name}={shown(number)}, expected a whole number of 64 bits")
    return number


def real(name: str, value: Any, *, error: type[Exception] = InvalidDataError) -> float:
    """A finite number of any type, as Python's own; no truth value."""
    if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
        raise error(f"got {name}={shown(value)}, expected a finite number")
    return value if isinstance(value, int | float) else float(value)


def several(name: str, values: Any, *, error: type[Exception] = InvalidDataError) -> list[int]:
    """Whole numbers, given as a list, a range, or anything else that has them one after the other."""
    if isinstance(values, str | bytes | Mapping) or not _iterable(values):
        raise error(f"got {name}={shown(values)}, expected several whole numbers, such as (0, 1)")
    return [whole(f"{name}[{index}]", value, error=error) for index, value in enumerate(values)]


def texts(name: str, values: Any, *, error: type[Exception] = InvalidDataError) -> list[str]:
    """Names, given as a list."""
    given = None if isinstance(values, str) or not _iterable(values) else list(values)
    if given is None or not all(isinstance(value, str) for value in given):
        raise error(f"got {name}={shown(values)}, expected several names, such as ('a', 'b')")
    return given


def _iterable(values: Any) -> bool:
    try:
        iter(values)
    except TypeError:  # also tensors of no dimension, which have `__iter__`
        return False
    return isinstance(values, Iterable)


def _switch(name: str, value: Any, *, error: type[Exception]) -> bool:
    if not isinstance(value, bool):
        raise error(f"got {name}={shown(value)}, expected True or False")
    return value


def _text(name: str, value: Any, *, error: type[Exception]) -> str:
    if not isinstance(value, str):
        raise error(f"got {name}={shown(value)}, expected text")
    return value


def _path(name: str, value: Any, *, error: type[Exception]) -> Path:
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise error(f"got {name}={shown(value)}, expected a path, such as 'folder/file'")
    return Path(value)


def _wholes(name: str, value: Any, *, error: type[Exception]) -> tuple[int, ...]:
    return tuple(several(name, value, error=error))


def _reals(name: str, value: Any, *, error: type[Exception]) -> tuple[float, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise error(f"got {name}={shown(value)}, expected several numbers, such as (0.1, 1.0)")
    return tuple(real(f"{name}[{index}]", each, error=error) for index, each in enumerate(value))


_CHECKS: dict[str, Callable[..., Any]] = {
    "int": whole,
    "float": real,
    "bool": _switch,
    "str": _text,
    "Path": _path,
    "tuple[int, ...]": _wholes,
    "tuple[float, ...]": _reals,
}


def checked(name: str, value: Any, annotation: str, *, error: type[Exception] = InvalidDataError) -> Any:
    """A value as an annotation of numbers, switches, text or paths wants it; for other annotations as it is."""
    kind, _, rest = annotation.partition(" | ")
    if value is None and rest == "None":
        return None
    if kind == "int" and name.rpartition(".")[2] == "seed":
        return as_seed(name, value, error=error)
    check = _text if kind.startswith("Literal['") or kind.startswith('Literal["') else _CHECKS.get(kind)
    return value if check is None or rest not in ("", "None") else check(name, value, error=error)


def check_fields(config: Any, *, error: type[Exception] = InvalidDataError, prefix: str = "") -> None:
    """Bring the fields of a dataclass to the types of their annotations, which are text.

    Raises:
        Exception: The given error, for a field that is of another type, or a number that is not finite.
    """
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        object.__setattr__(config, entry.name, checked(prefix + entry.name, value, str(entry.type), error=error))


def check_options(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a function as its annotations, which are text, want them.

    Raises:
        InvalidDataError: One is of another type, or a number that is not finite.
    """
    known = inspect.signature(function).parameters
    return {
        name: checked(name, value, str(known[name].annotation)) if name in known else value
        for name, value in options.items()
    }
