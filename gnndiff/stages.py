"""The stages of a run as functions on it, each going on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gnndiff.runs.collect import collect
from gnndiff.runs.compare import compare
from gnndiff.runs.folder import Run
from gnndiff.runs.generate import generate, train
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
    with run.threaded():
        return STAGES[name](run)


def run_all(run: Run) -> dict[str, Any]:
    """Go through all stages that have not finished, and return the content of results.json."""
    for name in STAGES:
        if not run.finished(name):
            run_stage(run, name)
    return read_results(run.folder)
