"""Two tables of a run's rows, which are too many for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphtasks import Metric

Line = dict[str, str]


def searched(rows: Sequence[Mapping[str, Any]], score: Metric) -> list[Line]:
    """Rows of the search: mean and deviation over trainings, with their number and seconds."""
    return [
        {
            "row": row["name"],
            **{title: _told(row[part], score) for part, title in (("val", "validation"), ("test", "test"))},
            "n": str(row["test"]["n"]),
            "seconds": f"{row['seconds']:.0f}",
        }
        for row in rows
        if row["pool"] == "search"
    ]


def grid(rows: Sequence[Mapping[str, Any]], score: Metric) -> list[Line]:
    """Mean test score of each form of each pool, a line for each form; shares are in percent."""
    pooled = {(row["form"], row["pool"]): row for row in rows if row["pool"] != "search"}
    pools = list(dict.fromkeys(pool for _, pool in pooled))
    whole = max(pools, key=lambda pool: sum(other == pool for _, other in pooled), default="")
    forms = [form for form, pool in pooled if pool == whole]
    corner = f"test {score.name}{', %' if score.is_share else ''}"
    return [
        {
            corner: form,
            **{
                pool: score.format(pooled[form, pool]["test"]["mean"]).removesuffix(" %")
                if (form, pool) in pooled
                else ""
                for pool in pools
            },
        }
        for form in forms
    ]


def audited(audit: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Likeness of the networks of each pool to checkpoints, a line for each pool."""
    return [
        {
            "pool": entry["pool"],
            "in same": _number(entry["in_same"]),
            "in other": _number(entry["in_other"]),
            "overlap": _number(entry["overlap"]),
            "of two trainings": _number(entry["overlap_other"]),
        }
        for entry in audit
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _told(summary: Mapping[str, Any], score: Metric) -> str:
    return score.format(summary["mean"], summary["std"] if summary["n"] > 1 else None)
