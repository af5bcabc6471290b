"""The report of a comparison as one HTML page."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from graphtasks.report import Interval, Section, intervals, page, paragraph, table
from graphtasks.runs.columns import metric_of
from graphtasks.runs.statistics import differences, summary

if TYPE_CHECKING:
    import pandas as pd


def html(runs: pd.DataFrame) -> str:
    """A section for each task, with means and the paired differences from the best model."""
    sections = []
    every = summary(runs)
    for (task, protocol), means in every.groupby(["task", "protocol"], sort=False):
        own = runs[(runs["task"] == task) & (runs["protocol"] == protocol)]
        sections.append(Section(str(task), _task(str(protocol), own, means)))
    config = sorted(set(runs["config"])) if "config" in runs else []
    facts = [{"what": "dmdgnn", "value": version("dmdgnn")}, *({"what": "training", "value": each} for each in config)]
    sections.append(Section("Where these numbers come from", [table(facts)]))
    models = ", ".join(every["model"].unique())
    lead = "Test scores at the best validation epoch. Validation chose settings and epochs; test chose nothing."
    return page(f"Comparison of {models}", lead, sections)


def _task(protocol: str, runs: pd.DataFrame, means: pd.DataFrame) -> list[str]:
    score = metric_of(runs.iloc[0].to_dict())
    factor, unit = (100, " in %") if score.is_share else (1, "")
    bars, lines = [], []
    for row in means.to_dict("records"):
        several = row["count"] > 1
        shown = "failed" if row["failed"] else score.format(row["mean"], row["std"] if several else None)
        bars.append(
            Interval(row["model"], factor * row["mean"], factor * (row["std"] if row["count"] > 1 else 0.0), shown)
        )
        lines.append(
            {"model": row["model"], f"test {score.name}": shown, "runs": row["count"], "failed": row["failed"]}
        )
    parts = [paragraph(protocol), intervals(bars, x=f"test {score.name}{unit}: mean and deviation over runs")]
    parts.append(table(lines))
    if means["failed"].any() or len(means) < 2:
        return parts
    key = means["mean"] if score.direction == "maximize" else -means["mean"]
    best = str(means.loc[key.idxmax(), "model"])
    return [*parts, *_behind(best, differences(runs, best, 0).to_dict("records"), factor, unit)]


def _behind(best: str, rows: list[dict[str, Any]], factor: int, unit: str) -> list[str]:
    """How far the others are from the best, and in words whether that can be told from luck."""
    lines, told = [], []
    for row in rows:
        low, high = factor * row["low"], factor * row["high"]
        lines.append(
            {
                "model": row["model"],
                f"minus {best}{unit}": f"{factor * row['difference']:+.3g}",
                "95 % interval": f"{low:.3g} to {high:.3g}",
                "pairs": row["pairs"],
            }
        )
        if low > 0 or high < 0:
            told.append(row["model"])
    rest = [row["model"] for row in rows if row["model"] not in told]
    words = f"{best} has the best mean."
    words += f" It is ahead of {', '.join(told)} outside of the interval." if told else ""
    words += f" It cannot be told from {', '.join(rest)}." if rest else ""
    return [paragraph(words), table(lines)]
