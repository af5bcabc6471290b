"""Families by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphtasks.errors import UnknownTaskError
from graphtasks.families import dynamics, real, sbm
from graphtasks.families.base import Family
from graphtasks.values import check_options, whole

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
        InvalidDataError: An option has no possible value.
    """
    if not isinstance(name, str) or name not in FAMILIES:
        raise UnknownTaskError(f"there is no family {name!r}: there are {', '.join(FAMILIES)}")
    if name in real.FAMILIES:
        options["root"] = root
    options = check_options(FAMILIES[name], options)
    for option, value in options.items():
        if isinstance(value, int) and option != "seed":
            whole(option, value, 1)
    return FAMILIES[name](**options)
