"""The table of a benchmark: means of each model on each task, and paired differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gnndiff.benchmark.rows import COLUMNS, Row
from graphtasks import Comparison
from graphtasks.metrics import metric as find_metric
from graphtasks.runs.columns import metric_of


def summary(rows: Sequence[Row], ours: str | None = None) -> list[Row]:
    """One row for each metric on each task: mean and deviation of each model, those of the best one in bold.

    `ahead` is by how much the model `ours` is better than the best of the others on the same split and seed, in the
    mean, and the 95 % bootstrap interval of that, see :meth:`graphtasks.Comparison.differences`. Metrics between 0 and
    1 are in percent. A model of which a run failed has no score.
    """
    table_rows = []
    models = list(dict.fromkeys(row["model"] for row in rows))
    for names, comparison in _parts(rows):
        means, share = _means(comparison)
        scores = comparison.summary().set_index("model")
        cells = dict.fromkeys(models, "")
        for model, mean in means.items():
            text = _score(float(scores["mean"][model]), float(scores["std"][model]), share)
            cells[model] = f"**{text}**" if mean == max(means.values()) else text
        row = {**names, "runs": int(scores["count"].max()), **cells}
        if ours is not None:
            others = {model: mean for model, mean in means.items() if model != ours}
            row[f"{ours} ahead"] = ""
            if ours in means and others:
                row[f"{ours} ahead"] = _difference(comparison, ours, _best(others), share)
        table_rows.append(row)
    return table_rows


def differences(rows: Sequence[Row]) -> list[Row]:
    """Lead of the best model on each task over each other one on the same split and seed.

    One row for each metric on each task: the mean difference with its 95 % bootstrap interval. An interval that
    contains 0 says that the two cannot be told apart. A model of which a run failed has none.
    """
    table_rows = []
    models = list(dict.fromkeys(row["model"] for row in rows))
    for names, comparison in _parts(rows):
        means, share = _means(comparison)
        if len(means) > 1:
            best = _best(means)
            cells = {model: _difference(comparison, best, model, share) for model in means if model != best}
            table_rows.append({**names, "best": best, **{model: cells.get(model, "") for model in models}})
    return table_rows


def _parts(rows: Sequence[Row]) -> Iterator[tuple[Row, Comparison]]:
    """Runs under one metric on one task after another, with what the table calls them."""
    import pandas as pd

    scored = [entry for row in rows for entry in _scores(row)]
    for key in dict.fromkeys((row["task"], row["protocol"], row["metric"]) for row in scored):
        part = [row for row in scored if (row["task"], row["protocol"], row["metric"]) == key]
        comparison = Comparison(pd.DataFrame([{name: row[name] for name in COLUMNS} for row in part]))
        yield dict(zip(("task", "protocol", "metric"), key, strict=True)), comparison


def _scores(row: Row) -> list[Row]:
    """The row, and one for each further metric."""
    others = row.get("others", {}).items()
    return [
        row,
        *({**row, "metric": name, "direction": find_metric(name).direction, "test": test} for name, test in others),
    ]


def _means(comparison: Comparison) -> tuple[dict[str, float], bool]:
    """Means of the models that finished, with a sign such that more is better, and whether they are shares."""
    metric = metric_of(comparison.runs.iloc[0])
    means = comparison.summary().set_index("model")["mean"].dropna()
    return {str(model): metric.sign * float(mean) for model, mean in means.items()}, metric.is_share


def _best(means: dict[str, float]) -> str:
    return max(means, key=means.__getitem__)


def _difference(comparison: Comparison, model: str, rival: str, share: bool) -> str:
    """Lead of a model over a rival in the mean of pairs, and the interval of the lead where there are pairs."""
    paired = comparison.differences(rival).set_index("model").to_dict("index")[model]
    low, high = (_number(paired[end], share) for end in ("low", "high"))
    return _number(paired["difference"], share) + (f" ({low} to {high})" if low else "")


def _score(mean: float, deviation: float, share: bool) -> str:
    """Mean and deviation with the same decimals; the mean alone where one run has no deviation."""
    text = _number(mean, share)
    return text if math.isnan(deviation) else f"{text} ± {deviation * (100 if share else 1):.{_decimals(text)}f}"


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _number(value: float, share: bool) -> str:
    """Percent with two decimals, or four digits; nothing for NaN."""
    if math.isnan(value):
        return ""
    return f"{round(100 * value, 2) + 0.0:.2f}" if share else f"{value + 0.0:#.4g}"
