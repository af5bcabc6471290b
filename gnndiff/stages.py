"""The stages of a run as functions on it, each going on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gnndiff.files import check_folder, check_place
from gnndiff.generators import find
from gnndiff.pipeline import files_of
from gnndiff.runs.collect import collect
from gnndiff.runs.compare import compare
from gnndiff.runs.deliver import FILES
from gnndiff.runs.folder import Run
from gnndiff.runs.generate import CANDIDATES, generate, train
from gnndiff.runs.record import read_results
from gnndiff.search import search

STAGES: dict[str, Callable[[Run], Any]] = {
    "search": search,
    "collect": collect,
    "train": train,
    "generate": generate,
    "compare": compare,
}

__all__ = ["STAGES", "collect", "compare", "generate", "run_all", "run_stage", "search", "train"]


def run_stage(run: Run, name: str) -> Any:
    """Go through one stage with the run's number of threads."""
    _check_places(run, [name])
    with run.threaded():
        return STAGES[name](run)


def run_all(run: Run) -> dict[str, Any]:
    """Go through all stages that have not finished, and return the content of results.json."""
    names = list(STAGES)
    first = next((place for place, name in enumerate(names) if not run.finished(name)), len(names))
    _check_places(run, names[first:])
    for name in names[first:]:
        if not run.finished(name):
            run_stage(run, name)
    return read_results(run.folder)


def _check_places(run: Run, stages: Sequence[str]) -> None:
    """Check that no file of somebody else is where stages will write, before anything is computed."""
    files = {
        "train": ("generator", files_of(find(run.config.generator))),
        "generate": ("generated", [CANDIDATES]),
        "compare": ("best", FILES),
    }
    for stage in stages:
        if stage in files:
            name, own = files[stage]
            check_place(run.folder / name, own)
    if stages:
        for name in ("trials", "zoo"):
            check_folder(run.folder / name)
