"""Graph learning tasks: data, splits and metric in one object, and one loop that trains a model on them."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphtasks.batches import forward
    from graphtasks.compare import Contender, compare
    from graphtasks.comparison import Comparison
    from graphtasks.config import FitConfig
    from graphtasks.errors import (
        DataWarning,
        DivergedError,
        FileError,
        GraphTasksError,
        InvalidDataError,
        MissingFilesError,
        OutOfMemoryError,
        UnknownTaskError,
    )
    from graphtasks.families import family
    from graphtasks.families.base import Family
    from graphtasks.forecasting import forecast
    from graphtasks.heuristics import HEURISTICS, heuristic_scores
    from graphtasks.links import link_task, random_link_splits
    from graphtasks.metrics import METRICS, Metric, metric
    from graphtasks.parallel import sensible_threads, threads
    from graphtasks.prediction import predict, score_pairs
    from graphtasks.randomness import seeded
    from graphtasks.registry import available, load
    from graphtasks.series import from_series
    from graphtasks.splits import (
        LinkSplit,
        Split,
        load_splits,
        mask_splits,
        per_class_splits,
        random_splits,
        save_splits,
        stratified_splits,
        time_splits,
    )
    from graphtasks.task import GraphTask
    from graphtasks.training import FitResult, fit
    from graphtasks.trial import Trial, train_once

    from_data = GraphTask.from_data
    from_folder = GraphTask.from_folder

# Imported on first use, so that the command line answers before torch and PyG, which take seconds, are there.
_MODULES = {
    "batches": ["forward"],
    "compare": ["Contender", "compare"],
    "comparison": ["Comparison"],
    "config": ["FitConfig"],
    "errors": [
        "DataWarning",
        "DivergedError",
        "FileError",
        "GraphTasksError",
        "InvalidDataError",
        "MissingFilesError",
        "OutOfMemoryError",
        "UnknownTaskError",
    ],
    "families": ["family"],
    "families.base": ["Family"],
    "forecasting": ["forecast"],
    "heuristics": ["HEURISTICS", "heuristic_scores"],
    "links": ["link_task", "random_link_splits"],
    "metrics": ["METRICS", "Metric", "metric"],
    "parallel": ["sensible_threads", "threads"],
    "prediction": ["predict", "score_pairs"],
    "randomness": ["seeded"],
    "registry": ["available", "load"],
    "series": ["from_series"],
    "splits": [
        "LinkSplit",
        "Split",
        "load_splits",
        "mask_splits",
        "per_class_splits",
        "random_splits",
        "save_splits",
        "stratified_splits",
        "time_splits",
    ],
    "task": ["GraphTask"],
    "training": ["FitResult", "fit"],
    "trial": ["Trial", "train_once"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "HEURISTICS",
    "METRICS",
    "Comparison",
    "Contender",
    "DataWarning",
    "DivergedError",
    "Family",
    "FileError",
    "FitConfig",
    "FitResult",
    "GraphTask",
    "GraphTasksError",
    "InvalidDataError",
    "LinkSplit",
    "Metric",
    "MissingFilesError",
    "OutOfMemoryError",
    "Split",
    "Trial",
    "UnknownTaskError",
    "available",
    "compare",
    "family",
    "fit",
    "forecast",
    "forward",
    "from_data",
    "from_folder",
    "from_series",
    "heuristic_scores",
    "link_task",
    "load",
    "load_splits",
    "mask_splits",
    "metric",
    "per_class_splits",
    "predict",
    "random_link_splits",
    "random_splits",
    "save_splits",
    "score_pairs",
    "seeded",
    "sensible_threads",
    "stratified_splits",
    "threads",
    "time_splits",
    "train_once",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("dmdgnn").__version__
    if name in ("from_data", "from_folder"):
        return getattr(import_module("graphtasks.task").GraphTask, name)
    if name in _HOME:
        return getattr(import_module(f"graphtasks.{_HOME[name]}"), name)
    if not name.startswith("_"):
        try:
            return import_module(f"graphtasks.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"graphtasks.{name}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; the import of a module that a function is named after leaves the name to the function."""
        if isinstance(value, ModuleType) and _HOME.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
