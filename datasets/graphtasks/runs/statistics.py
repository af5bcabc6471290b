"""Statistics of runs: means, paired differences and ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import stats

from graphtasks.errors import InvalidDataError
from graphtasks.runs.columns import metric_of

if TYPE_CHECKING:
    import pandas as pd


def models_of(runs: pd.DataFrame) -> list[str]:
    """Names of the models, in the order of their first runs."""
    return list(runs["model"].unique())


def tasks_of(runs: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Name, protocol and runs of each task."""
    for (task, protocol), part in runs.groupby(["task", "protocol"], sort=False):
        yield str(task), str(protocol), part


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Test scores of each model on each task, see :meth:`graphtasks.Comparison.summary`."""
    import pandas as pd

    rows = []
    for (task, protocol, model), part in runs.groupby(["task", "protocol", "model"], sort=False):
        row = {
            "task": task,
            "protocol": protocol,
            "model": model,
            "metric": part["metric"].iloc[0],
            "mean": part["test"].mean(skipna=False),
            "std": part["test"].std(ddof=1, skipna=False),
            "count": int(part["test"].notna().sum()),
            "val": part["val"].mean(skipna=False),
            "failed": int(part["test"].isna().sum()),
        }
        if "tried" in part:
            row["tried"] = part["tried"].max()
        rows.append(row)
    return pd.DataFrame(rows)


def differences(runs: pd.DataFrame, baseline: str, seed: int) -> pd.DataFrame:
    """Test scores against a baseline's, see :meth:`graphtasks.Comparison.differences`."""
    import pandas as pd

    models = models_of(runs)
    if baseline not in models:
        raise InvalidDataError(f"got baseline {baseline!r}, expected one of {', '.join(models)}")
    rows = [
        {
            "task": task,
            "protocol": protocol,
            "model": model,
            "metric": part["metric"].iloc[0],
            **paired(part, model, baseline, seed),
        }
        for task, protocol, part in tasks_of(runs)
        for model in models
        if model != baseline
    ]
    columns = ["task", "protocol", "model", "metric", "difference", "low", "high", "p", "pairs"]
    return pd.DataFrame(rows, columns=columns)


def ranks(runs: pd.DataFrame) -> pd.Series[float]:
    """Mean rank of each model over the tasks, see :meth:`graphtasks.Comparison.ranks`."""
    import pandas as pd

    models = models_of(runs)
    ranks = []
    for task, _, part in tasks_of(runs):
        missing = [model for model in models if model not in set(part["model"])]
        if missing:
            raise InvalidDataError(f"{missing[0]!r} has no run on {task!r}: ranks need every model on every task")
        means = pd.Series({model: oriented(part, model).mean(skipna=False) for model in models}, dtype="float64")
        ranks.append(means.rank(ascending=False, na_option="bottom"))
    return pd.concat(ranks, axis=1).mean(axis=1).rename("rank").sort_values(kind="stable")


def oriented(part: pd.DataFrame, model: str) -> pd.Series[float]:
    """Test scores of a model on one task by split and seed, with a sign such that more is better."""
    test: pd.Series[float] = part[part["model"] == model].set_index(["split", "seed"])["test"]
    return metric_of(part.iloc[0]).sign * test


def paired(part: pd.DataFrame, model: str, baseline: str, seed: int) -> dict[str, float]:
    """Statistics of a model against a baseline on the runs of one task."""
    first, second = oriented(part, model), oriented(part, baseline)
    for name, other, missing in (
        (model, baseline, second.index.difference(first.index)),
        (baseline, model, first.index.difference(second.index)),
    ):
        if len(missing):
            runs = "; ".join(f"split {split}, seed {seed}" for split, seed in missing[:5])
            raise InvalidDataError(
                f"{name!r} lacks {len(missing)} run(s) on {part['task'].iloc[0]!r} that {other!r} has: "
                f"{runs}{'; ...' if len(missing) > 5 else ''}: run them, or leave them out for all models"
            )
    # There is nothing to pair of a model without runs on both sides, such as on a task that neither was trained on.
    a, b = first.to_numpy(), second.reindex(first.index).to_numpy()
    pairs = int(np.isfinite(a - b).sum())
    if pairs < len(a) or not len(a):
        return {"difference": math.nan, "low": math.nan, "high": math.nan, "p": math.nan, "pairs": pairs}
    scale = float(max(np.abs(a).max(), np.abs(b).max())) or 1.0
    difference = float(np.mean(a - b))
    # 0.8 - 0.7 and 0.9 - 0.8 are the same difference.
    rounded = np.round((a - b) / scale, 12)
    low = high = difference if pairs > 1 else math.nan
    if (rounded != rounded[0]).any():
        # Not BCa, which jumps where the mean of a resample equals the mean up to its last bit.
        generator = np.random.default_rng(seed)
        interval = stats.bootstrap((a - b,), np.mean, method="percentile", random_state=generator).confidence_interval
        low, high = float(interval.low), float(interval.high)
    return {"difference": difference, "low": low, "high": high, "p": _wilcoxon(rounded), "pairs": pairs}


def _wilcoxon(differences: npt.NDArray[np.float64]) -> float:
    """p value of the two-sided signed-rank test."""
    differences = differences[differences != 0]
    return float(stats.wilcoxon(differences).pvalue) if len(differences) else math.nan
