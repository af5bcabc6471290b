"""Hints at the name that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A question with the name that is closest to an unknown one, or nothing.

    >>> did_you_mean("digit", ["digits", "wine"])
    "did you mean 'digits'? "
    """
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean {close[0]!r}? " if close else ""
