"""Graph learning tasks: data, splits and metric in one object, and one loop that trains a model on them."""

from graphtasks.batches import forward
from graphtasks.compare import Contender, compare
from graphtasks.comparison import Comparison
from graphtasks.config import FitConfig
from graphtasks.errors import (
    DivergedError,
    GraphTasksError,
    InvalidDataError,
    MissingFilesError,
    OutOfMemoryError,
    UnknownTaskError,
)
from graphtasks.forecasting import forecast
from graphtasks.links import link_task, random_link_splits
from graphtasks.metrics import METRICS, Metric, metric
from graphtasks.parallel import sensible_threads, threads
from graphtasks.prediction import predict, score_pairs
from graphtasks.randomness import seeded
from graphtasks.registry import available, load
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

__all__ = [
    "METRICS",
    "Comparison",
    "Contender",
    "DivergedError",
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
    "fit",
    "forecast",
    "forward",
    "from_data",
    "from_folder",
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
