"""Graph learning tasks: data, splits and metric in one object, and one loop that trains a model on them."""

from graphtasks.errors import DivergedError, GraphTasksError, InvalidDataError, MissingFilesError, UnknownTaskError
from graphtasks.registry import available, load
from graphtasks.splits import Split
from graphtasks.task import GraphTask
from graphtasks.training import FitConfig, FitResult, fit, forward

from_data = GraphTask.from_data

__all__ = [
    "DivergedError",
    "FitConfig",
    "FitResult",
    "GraphTask",
    "GraphTasksError",
    "InvalidDataError",
    "MissingFilesError",
    "Split",
    "UnknownTaskError",
    "available",
    "fit",
    "forward",
    "from_data",
    "load",
]
