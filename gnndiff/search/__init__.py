"""The search of hyperparameters."""

from gnndiff.search.jobs import train
from gnndiff.search.trials import evaluate, finished_trials, record, total_seconds
from gnndiff.search.winner import (
    SEARCH,
    Finalist,
    budget_curve,
    finalists,
    name_winner,
    ranked_trials,
    search,
    search_space,
)

__all__ = [
    "SEARCH",
    "Finalist",
    "budget_curve",
    "evaluate",
    "finalists",
    "finished_trials",
    "name_winner",
    "ranked_trials",
    "record",
    "search",
    "search_space",
    "total_seconds",
    "train",
]
