"""Families by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphtasks.errors import UnknownTaskError
from graphtasks.families import dynamics, real, sbm
from graphtasks.families.base import Family

FAMILIES: dict[str, Callable[..., Family]] = {
    "csbm-family": sbm.csbm_family,
    "sbm-link-family": sbm.link_family,
    "heat-family": dynamics.heat_family,
    "advection-family": dynamics.advection_family,
    **real.FAMILIES,
}


def family(name: str, *, root: str | Path | None = None, **options: Any) -> Family:
    """The family with a name.

    Args:
        name: Its name, such as 'csbm-family'.
        root: Folder of raw data files, for real graphs.
        **options: Options of the family, such as `members=96` and `seed=0`.

    Raises:
        UnknownTaskError: There is none.
        MissingFilesError: Its raw files are not there.
    """
    if name not in FAMILIES:
        raise UnknownTaskError(f"there is no family {name!r}: there are {', '.join(FAMILIES)}")
    if name in real.FAMILIES:
        options["root"] = root
    return FAMILIES[name](**options)
