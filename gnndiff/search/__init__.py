"""The search of hyperparameters."""

from gnndiff.search.jobs import train
from gnndiff.search.kept import KeptTraining, read_state
from gnndiff.search.trials import evaluate, finished_trials, record, total_seconds
from gnndiff.search.winner import (
    FINALISTS,
    SEARCH,
    budget_curve,
    finalists,
    name_winner,
    ranked_trials,
    retrain,
    search,
    search_space,
)

__all__ = [
    "FINALISTS",
    "SEARCH",
    "KeptTraining",
    "budget_curve",
    "evaluate",
    "finalists",
    "finished_trials",
    "name_winner",
    "ranked_trials",
    "read_state",
    "record",
    "retrain",
    "search",
    "search_space",
    "total_seconds",
    "train",
]
