"""Sentences that follow from the numbers of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphtasks import Metric, metric

Row = Mapping[str, Any]


def verdict(results: Mapping[str, Any]) -> list[str]:
    """Sentences on what a run delivers, how far that is ahead of a plain search, and whether the generator helped."""
    score, rows = metric(results["metric"]), {row["name"]: row for row in results["rows"]}
    best = results["best"]
    lines = [
        f"The run delivers {best['row']}{_kind(best)}: validation {score.format(best['val'])}, test "
        f"{score.format(best['test'])}."
    ]
    if "coarse_winner" in rows and best["row"] != "coarse_winner":
        lines.append(_against_search(best, rows["coarse_winner"], score))
    lines += _of_generator(rows, score)
    return [*lines, "All of this is one split: intervals over splits and seeds come from `gnndiff compare`."]


def _kind(best: Row) -> str:
    """Whether what is delivered was there before anything was generated."""
    kind = best.get("is", "network")
    return {
        "network": "",
        "checkpoint": ", a checkpoint of the zoo as it is",
        "training": ", a training of the search as it is",
    }.get(kind, f", an {kind}")


def _against_search(best: Row, winner: Row, score: Metric) -> str:
    gain, test = _gain(best["test"], winner["test"]["mean"], score), winner["test"]
    start = (
        f"Its test score is {_points(gain, score)} {'above' if gain >= 0 else 'below'} the mean of the coarse winner's "
        f"{test['n']} trainings"
    )
    if test["n"] < 2:
        return f"{start}, of which there are too few to tell this from luck."
    told = abs(gain) > 2 * test["std"]
    return (
        f"{start}, {'more' if told else 'less'} than twice the deviation of those trainings "
        f"({_points(test['std'], score)})."
    )


def _of_generator(rows: Mapping[str, Row], score: Metric) -> list[str]:
    """The best generated row beside the best row of the checkpoints that the generator learned from."""
    made = [row for name, row in rows.items() if name.startswith("generated")]
    kept = [row for name, row in rows.items() if "checkpoint" in name]
    if not made or not kept:
        return []
    ours, theirs = (max(each, key=lambda row: _key(row["val"]["mean"], score)) for each in (made, kept))
    gain = _gain(ours["test"]["mean"], theirs["test"]["mean"], score)
    side = "ahead of" if gain > 0 else "behind" if gain < 0 else "equal to"
    return [
        f"By validation the best generated row is {ours['name']} and the best row of checkpoints {theirs['name']}; on "
        f"the test part the former is {side} the latter" + (f" by {_points(gain, score)}." if gain else ".")
    ]


def _gain(ours: float, theirs: float, score: Metric) -> float:
    return ours - theirs if score.direction == "maximize" else theirs - ours


def _key(value: float, score: Metric) -> float:
    return value if score.direction == "maximize" else -value


def _points(difference: float, score: Metric) -> str:
    return f"{100 * abs(difference):.2f} points" if score.is_share else f"{abs(difference):.3g}"
