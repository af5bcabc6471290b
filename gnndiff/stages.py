"""The stages of a run as functions on it, each going on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gnndiff.compare import compare
from gnndiff.generator import generate, train
from gnndiff.runs import Run, read_json
from gnndiff.search import search
from gnndiff.zoo import collect

STAGES: dict[str, Callable[[Run], Any]] = {
    "search": search,
    "collect": collect,
    "train": train,
    "generate": generate,
    "compare": compare,
}

__all__ = ["STAGES", "collect", "compare", "generate", "run_all", "search", "train"]


def run_all(run: Run) -> dict[str, Any]:
    """Go through all stages that have not finished, and return the content of results.json."""
    for name, stage in STAGES.items():
        if not run.finished(name):
            stage(run)
    results: dict[str, Any] = read_json(run.folder / "results.json")
    return results
