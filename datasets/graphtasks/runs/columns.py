"""Columns of a table of runs, and the metric that a run names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graphtasks.errors import InvalidDataError, UnknownTaskError
from graphtasks.metrics import Metric, Values
from graphtasks.metrics import metric as find_metric

if TYPE_CHECKING:
    import pandas as pd

# Columns of the runs and the pandas type of each.
COLUMNS: dict[str, Any] = {
    "task": "str",
    "protocol": "str",
    "model": "str",
    "split": "int64",
    "split_hash": "str",
    "data_hash": "str",
    "seed": "int64",
    "val": "float64",
    "test": "float64",
    "best_epoch": "Int64",
    "parameters": "Int64",
    "seconds": "float64",
    "setting": "str",
    "metric": "str",
    "direction": "str",
    "status": "str",
    "tried": "Int64",
    "config": "str",
    "version": "str",
    "others": "str",
}
# Columns without which there are no statistics.
REQUIRED = ("task", "protocol", "model", "split", "seed", "val", "test", "metric", "direction")


def checked(runs: pd.DataFrame) -> pd.DataFrame:
    """A copy of the runs with the types of `COLUMNS`.

    Raises:
        InvalidDataError: A column is missing or has values of another type, a run occurs twice, or a task has more
            than one metric or, for one split, more than one `split_hash`.
    """
    missing = [name for name in REQUIRED if name not in runs]
    if missing:
        raise InvalidDataError(f"the runs have no column {', '.join(missing)}: they need {', '.join(REQUIRED)}")
    runs = typed(runs)
    unknown = set(runs["direction"]) - {"maximize", "minimize"}
    if unknown:
        raise InvalidDataError(f"got direction {min(unknown)!r}, expected 'maximize' or 'minimize'")
    twice = runs[runs.duplicated(["task", "protocol", "model", "split", "seed"])]
    if len(twice):
        row = twice.iloc[0]
        raise InvalidDataError(
            f"{row['model']!r} has more than one run on split {row['split']}, seed {row['seed']} of "
            f"{row['task']!r}: keep one of each"
        )
    for columns, value in ((["task", "protocol"], "metric"), (["task", "protocol", "split"], "split_hash")):
        if value in runs:
            counts = runs[runs[value] != ""].groupby(columns, sort=False)[value].nunique()
            if (counts > 1).any():
                raise InvalidDataError(
                    f"the runs of {counts.idxmax()} have more than one {value}: "
                    "only runs of the same task can be compared"
                )
    return runs


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy with the types of `COLUMNS` and a fresh index."""
    import pandas as pd

    frame = frame.reset_index(drop=True)
    for name, dtype in COLUMNS.items():
        if name in frame:
            convert = _text if dtype == "str" else _number
            try:
                frame[name] = pd.Series([convert(value) for value in frame[name]], dtype="object").astype(dtype)
            except (ValueError, TypeError) as error:
                raise InvalidDataError(f"the column {name!r} is not of {dtype}: {error}") from error
    return frame


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN or pandas' NA."""
    import pandas as pd

    return value is None or value is pd.NA or value != value


def _text(value: Any) -> str:
    return "" if is_missing(value) else str(value)


def _number(value: Any) -> Any:
    """A number, also from its text, which Python reads to the last digit; None where it is missing."""
    if isinstance(value, str):
        try:
            return int(value) if value else None
        except ValueError:
            value = float(value)
    return None if is_missing(value) else value


def metric_of(row: Mapping[str, Any]) -> Metric:
    """The metric that a row names; one that is not known here orders scores, and computes none."""
    name, direction = row["metric"], row["direction"]
    try:
        return dataclasses.replace(find_metric(name), direction=direction)
    except UnknownTaskError:
        return Metric(name, direction, _no_score, "regression")


def _no_score(y: Values, pred: Values) -> float:
    raise UnknownTaskError("a metric that was read from a table has a name alone, and computes no scores")
