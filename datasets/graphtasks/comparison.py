"""The table of a comparison: one row a training, its statistics, and the text of papers."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphtasks.errors import InvalidDataError, MissingFilesError
from graphtasks.files import as_path
from graphtasks.metrics import metric as find_metric
from graphtasks.runs import statistics, text
from graphtasks.runs.columns import COLUMNS, checked, typed
from graphtasks.runs.files import read_csv, read_ledger, write_csv
from graphtasks.runs.statistics import models_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Runs of many models on many tasks, with their statistics and tables.

    A run without a test score has failed. A model has no mean on a task where one of its runs failed, since the mean of
    the runs that survive would favour models that fail.

    Args:
        runs: One row for each task, model, split and seed. Columns `task`, `protocol`, `model`, `split`, `seed`, `val`,
            `test` (NaN where it failed), `metric` and `direction` ('maximize' or 'minimize') are needed.
            :func:`graphtasks.compare` adds `split_hash`, `best_epoch`, `parameters` (their number), `seconds`
            (building and training), `setting` (the hyperparameters, as JSON), `status` ('ok', or why it failed),
            `tried` (how many settings were tried to find this one), `config` (the whole training configuration but
            the seed, as JSON), `version` and, where there are further metrics, `others` (their test scores, as JSON).
        trials: The trainings that chose the settings, in the same form without `test` and `tried`.

    Raises:
        InvalidDataError: A column is missing or has values of another type, a run occurs twice, or a task has more
            than one metric or, for one split, more than one `split_hash`.
    """

    runs: pd.DataFrame
    trials: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "runs", checked(self.runs))
        if self.trials is not None:
            object.__setattr__(self, "trials", typed(self.trials))

    def __repr__(self) -> str:
        tasks = self.runs[["task", "protocol"]].drop_duplicates()
        counts = {"model": len(models_of(self.runs)), "task": len(tasks), "run": len(self.runs)}
        counts |= {} if self.trials is None else {"trial": len(self.trials)}
        failed = int(self.runs["test"].isna().sum())
        words = [f"{count} {word}{'s' * (count != 1)}" for word, count in counts.items()]
        return f"Comparison({', '.join(words)}{f', {failed} failed' if failed else ''})"

    @classmethod
    def read(cls, path: str | Path) -> Comparison:
        """A comparison from the JSONL file of :func:`graphtasks.compare`, or a .csv file of :meth:`to_csv`.

        Raises:
            MissingFilesError: There is no such file.
            InvalidDataError: The file is neither, or holds runs of one model on one task with several settings,
                configurations or versions. `compare` returns the runs among them that its arguments ask for.
        """
        path = as_path(path)
        if not path.is_file():
            raise MissingFilesError(f"{path} is no file: give the path that `compare` or `to_csv` wrote to")
        if path.suffix == ".csv":
            return cls(read_csv(path))
        return cls.from_rows(read_ledger(path))

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> Comparison:
        """A comparison from rows of which `phase` is 'run' or 'trial'."""
        import pandas as pd

        rows = list(rows)
        run_columns = [name for name in COLUMNS if name != "others" or any(name in row for row in rows)]
        trial_columns = [name for name in COLUMNS if name not in ("test", "tried", "others")]
        return cls(
            pd.DataFrame([row for row in rows if row["phase"] == "run"], columns=run_columns),
            pd.DataFrame([row for row in rows if row["phase"] == "trial"], columns=trial_columns),
        )

    def under(self, name: str) -> Comparison:
        """The same runs with the test scores of a further metric, by which nothing was chosen.

        There are no validation scores of it.

        Args:
            name: One of the `metrics` that :func:`graphtasks.compare` was given.

        Raises:
            InvalidDataError: A run has no score of it.
        """
        chosen = find_metric(name)
        texts = self.runs["others"] if "others" in self.runs else [""] * len(self.runs)
        others = [json.loads(entry or "{}") for entry in texts]
        if any(name not in scores for scores in others):
            raise InvalidDataError(f"some runs have no score of {name!r}: pass `metrics` to `compare`")
        test = [scores[name] for scores in others]
        return Comparison(
            self.runs.assign(val=math.nan, test=test, metric=chosen.name, direction=chosen.direction), self.trials
        )

    def summary(self) -> pd.DataFrame:
        """Test scores of each model on each task.

        Returns:
            Columns `task`, `protocol`, `model`, `metric`, `mean` and `std` (ddof=1) of the test scores, `count` of the
            finished runs, mean `val` score, number of `failed` runs, and where the runs have it, `tried`.
        """
        return statistics.summary(self.runs)

    def differences(self, baseline: str, *, seed: int = 0) -> pd.DataFrame:
        """Test scores of each other model against a baseline, paired by task, split and seed.

        The interval is the percentile bootstrap of :func:`scipy.stats.bootstrap` with 9999 resamples, a single point
        where all differences are equal, and too narrow for few pairs. Interval and test take pairs as independent,
        which seeds of one split and splits that share training nodes are not: they speak of these splits, not of fresh
        data. The test and the single point take differences as equal that agree to the 12th digit of the largest score.

        Args:
            baseline: Name of a model.
            seed: Seed of the bootstrap.

        Returns:
            Columns `task`, `protocol`, `model`, `metric`, `difference` (mean; positive where the model is better,
            whatever the metric's direction), `low` and `high` (95 % interval of it; NaN for a single pair), `p`
            (two-sided Wilcoxon signed-rank test without zeros; NaN where all differences are zero) and `pairs` (those
            in which both finished; with a failed run all other values are NaN).

        Raises:
            InvalidDataError: No model has that name, or a run lacks its partner.
        """
        return statistics.differences(self.runs, baseline, seed)

    def ranks(self) -> pd.Series[float]:
        """Mean rank of each model over the tasks by its mean test score, best first.

        1 is the best, ties share the mean of their ranks, and models with a failed run share the last ranks of the
        task.

        Raises:
            InvalidDataError: A model has no run on one of the tasks.
        """
        return statistics.ranks(self.runs)

    def to_markdown(self) -> str:
        """Table of tasks and models, 'mean ± std' of the test scores.

        Metrics between 0 and 1 (accuracies, F1, ROC-AUC, average precision, hits@K, MRR) are in percent with one
        decimal, others have four digits of the best mean. The best mean of a task is bold; means that cannot be told
        from it are in italics: their 95 % interval against it contains 0, see :meth:`differences`. Tasks of the same
        name get a column of protocols.

        Raises:
            InvalidDataError: Runs lack the partner with which they are compared to the best model.
        """
        return text.markdown(self.runs)

    def to_latex(self) -> str:
        r"""The table of :meth:`to_markdown` as a LaTeX `tabular` for the package booktabs.

        The best mean is `\textbf`, means that cannot be told from it are `\underline`.
        """
        return text.latex(self.runs)

    def to_html(self) -> str:
        """A page with a chart, means and paired differences for each task, in one file that needs no network."""
        from graphtasks.runs.html import html

        return html(self.runs)

    def to_csv(self, path: str | Path) -> None:
        """Write the runs, one line each and with all digits, such that :meth:`read` gives them back.

        The column `check` holds a checksum of each line, which `read` compares where it is there.

        Raises:
            MissingFilesError: There is no such folder.
            FileError: The path cannot be written to, or holds anything else than such a table, which is never replaced.
        """
        write_csv(self.runs, path)
