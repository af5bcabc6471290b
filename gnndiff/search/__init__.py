"""The coarse search of hyperparameters."""

from gnndiff.search.trials import (
    SEARCH,
    evaluate,
    finished_trials,
    ranked_trials,
    search,
    search_grid,
    total_seconds,
    train,
)

__all__ = ["SEARCH", "evaluate", "finished_trials", "ranked_trials", "search", "search_grid", "total_seconds", "train"]
