"""Text of a table of tasks and models, in Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from graphtasks.runs.columns import metric_of
from graphtasks.runs.statistics import models_of, oriented, paired, tasks_of

if TYPE_CHECKING:
    import pandas as pd


def markdown(runs: pd.DataFrame) -> str:
    """Markdown of the table, see :meth:`graphtasks.Comparison.to_markdown`."""
    marks = {"best": "**{}**", "tied": "*{}*", "": "{}"}
    labels, models, rows = _layout(runs)

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    def escape(text: str) -> str:
        return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")

    return "\n".join(
        [
            line(map(escape, labels + models)),
            line(["---"] * len(labels) + ["---:"] * len(models)),
            *(
                line([*map(escape, names), *(marks[mark].format(text) for text, mark in cells)])
                for names, cells in rows
            ),
        ]
    )


def latex(runs: pd.DataFrame) -> str:
    """LaTeX of the table, see :meth:`graphtasks.Comparison.to_latex`."""
    marks = {"best": r"\textbf{%s}", "tied": r"\underline{%s}", "": "%s"}
    labels, models, rows = _layout(runs)

    def line(cells: Iterable[str]) -> str:
        return " & ".join(cells) + r" \\"

    return "\n".join(
        [
            rf"\begin{{tabular}}{{{'l' * len(labels)}{'r' * len(models)}}}",
            r"\toprule",
            line(map(_latex, labels + models)),
            r"\midrule",
            *(
                line(
                    [*map(_latex, names), *(marks[mark] % text.replace("±", r"$\pm$") for text, mark in cells)],
                )
                for names, cells in rows
            ),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _layout(runs: pd.DataFrame) -> tuple[list[str], list[str], list[tuple[list[str], list[tuple[str, str]]]]]:
    """Titles of the labels, models, and for each task its labels and for each model text and mark."""
    models = models_of(runs)
    tasks = list(tasks_of(runs))
    repeated = len({task for task, _, _ in tasks}) < len(tasks)
    rows = []
    for task, protocol, part in tasks:
        metric = metric_of(part.iloc[0])
        present = [model for model in models if model in set(part["model"])]
        means = {model: float(oriented(part, model).mean(skipna=False)) for model in present}
        best = max((mean for mean in means.values() if not math.isnan(mean)), default=math.nan)
        winner = next((model for model in present if means[model] == best), None)
        cells = []
        for model in models:
            if model not in means:
                cells.append(("-", ""))
                continue
            test = part.loc[part["model"] == model, "test"]
            if math.isnan(means[model]) or winner is None:
                cells.append((f"failed ({int(test.isna().sum())} of {len(test)})", ""))
                continue
            mark = "best" if means[model] == best else ""
            if not mark:
                against = paired(part, model, winner, seed=0)
                mark = "tied" if against["low"] <= 0 <= against["high"] else ""
            digits, scale = (1, 100) if metric.is_share else (_digits(best), 1)
            texts = [f"{scale * value:.{digits}f}" for value in (test.mean(), test.std(ddof=1))]
            cells.append((" ± ".join(texts) if len(test) > 1 else texts[0], mark))
        title = f"{metric.name} (%)" if metric.is_share else metric.name
        rows.append(([task, protocol, title] if repeated else [task, title], cells))
    return ["task", "protocol", "metric"] if repeated else ["task", "metric"], models, rows


def _digits(value: float) -> int:
    """Decimals that show four digits of a value."""
    return max(0, 3 - math.floor(math.log10(abs(value)))) if value else 3


def _latex(text: str) -> str:
    """Text whose characters mean themselves in LaTeX."""
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{character: "\\" + character for character in "&%$#_{}"},
    }
    return "".join(special.get(character, character) for character in " ".join(text.split()))
