"""The table of a comparison: one row a training, its statistics, and the text of papers."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from graphtasks.errors import InvalidDataError, MissingFilesError, UnknownTaskError
from graphtasks.files import read_bytes, write_text
from graphtasks.ledger import key, read_lines
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


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Runs of many models on many tasks, and what follows from them.

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
        missing = [name for name in REQUIRED if name not in self.runs]
        if missing:
            raise InvalidDataError(f"the runs have no column {', '.join(missing)}: they need {', '.join(REQUIRED)}")
        object.__setattr__(self, "runs", _typed(self.runs))
        if self.trials is not None:
            object.__setattr__(self, "trials", _typed(self.trials))
        runs = self.runs
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

    def __repr__(self) -> str:
        tasks = self.runs[["task", "protocol"]].drop_duplicates()
        counts = {"model": len(self._models()), "task": len(tasks), "run": len(self.runs)}
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

        path = Path(path)
        if not path.is_file():
            raise MissingFilesError(f"{path} is no file: give the path that `compare` or `to_csv` wrote to")
        if path.suffix == ".csv":
            return cls(_read_csv(path))
        rows = list({key(row): row for row in read_lines(path)[0]}.values())
        found: dict[tuple[str, ...], tuple[str, ...]] = {}
        for row in rows:
            if row["phase"] == "run":
                how = (row["setting"], row["config"], row["version"])
                if found.setdefault((row["task"], row["protocol"], row["model"]), how) != how:
                    raise InvalidDataError(
                        f"{path} holds runs of {row['model']!r} on {row['task']!r} with several settings, "
                        "configurations or versions: call `compare` with this path for the ones you want"
                    )
        return cls.from_rows(rows)

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
        others = [json.loads(text or "{}") for text in texts]
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
        import pandas as pd

        rows = []
        for (task, protocol, model), part in self.runs.groupby(["task", "protocol", "model"], sort=False):
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
        import pandas as pd

        models = self._models()
        if baseline not in models:
            raise InvalidDataError(f"got baseline {baseline!r}, expected one of {', '.join(models)}")
        rows = [
            {
                "task": task,
                "protocol": protocol,
                "model": model,
                "metric": part["metric"].iloc[0],
                **_paired(part, model, baseline, seed),
            }
            for task, protocol, part in self._tasks()
            for model in models
            if model != baseline
        ]
        columns = ["task", "protocol", "model", "metric", "difference", "low", "high", "p", "pairs"]
        return pd.DataFrame(rows, columns=columns)

    def ranks(self) -> pd.Series[float]:
        """Mean rank of each model over the tasks by its mean test score, best first.

        1 is the best, ties share the mean of their ranks, and models with a failed run share the last ranks of the
        task.

        Raises:
            InvalidDataError: A model has no run on one of the tasks.
        """
        import pandas as pd

        models = self._models()
        ranks = []
        for task, _, part in self._tasks():
            missing = [model for model in models if model not in set(part["model"])]
            if missing:
                raise InvalidDataError(f"{missing[0]!r} has no run on {task!r}: ranks need every model on every task")
            means = pd.Series({model: _oriented(part, model).mean(skipna=False) for model in models}, dtype="float64")
            ranks.append(means.rank(ascending=False, na_option="bottom"))
        return pd.concat(ranks, axis=1).mean(axis=1).rename("rank").sort_values(kind="stable")

    def to_markdown(self) -> str:
        """Table of tasks and models, 'mean ± std' of the test scores.

        Metrics between 0 and 1 (accuracies, F1, ROC-AUC, average precision, hits@K, MRR) are in percent with one
        decimal, others have four digits of the best mean. The best mean of a task is bold; means that cannot be told
        from it are in italics: their 95 % interval against it contains 0, see :meth:`differences`. Tasks of the same
        name get a column of protocols.

        Raises:
            InvalidDataError: Runs lack the partner with which they are compared to the best model.
        """
        marks = {"best": "**{}**", "tied": "*{}*", "": "{}"}
        labels, models, rows = self._table()

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

    def to_latex(self) -> str:
        r"""The table of :meth:`to_markdown` as a LaTeX `tabular` for the package booktabs.

        The best mean is `\textbf`, those that cannot be told from it are `\underline`.
        """
        marks = {"best": r"\textbf{%s}", "tied": r"\underline{%s}", "": "%s"}
        labels, models, rows = self._table()

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

    def to_csv(self, path: str | Path) -> None:
        """Write the runs, one line each and with all digits, such that :meth:`read` gives them back.

        The column `check` holds a checksum of each line, which `read` compares where it is there.

        Raises:
            MissingFilesError: There is no such folder.
            FileError: The path cannot be written to, or holds anything else than such a table, which is never replaced.
        """
        names = list(self.runs)
        rows = [[_cell(value) for value in row] for row in self.runs.itertuples(index=False, name=None)]
        text = _csv([*names, "check"]) + "".join(_csv([*row, _checksum(names, row)]) for row in rows)
        write_text(path, text, ours=_read_csv, what="a table of runs")

    def _models(self) -> list[str]:
        return list(self.runs["model"].unique())

    def _tasks(self) -> Iterator[tuple[str, str, pd.DataFrame]]:
        """Name, protocol and runs of each task."""
        for (task, protocol), part in self.runs.groupby(["task", "protocol"], sort=False):
            yield str(task), str(protocol), part

    def _table(self) -> tuple[list[str], list[str], list[tuple[list[str], list[tuple[str, str]]]]]:
        """Titles of the labels, models, and for each task its labels and for each model text and mark."""
        models = self._models()
        tasks = list(self._tasks())
        repeated = len({task for task, _, _ in tasks}) < len(tasks)
        rows = []
        for task, protocol, part in tasks:
            metric = metric_of(part.iloc[0])
            present = [model for model in models if model in set(part["model"])]
            means = {model: float(_oriented(part, model).mean(skipna=False)) for model in present}
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
                    paired = _paired(part, model, winner, seed=0)
                    mark = "tied" if paired["low"] <= 0 <= paired["high"] else ""
                digits, scale = (1, 100) if metric.is_share else (_digits(best), 1)
                texts = [f"{scale * value:.{digits}f}" for value in (test.mean(), test.std(ddof=1))]
                cells.append((" ± ".join(texts) if len(test) > 1 else texts[0], mark))
            title = f"{metric.name} (%)" if metric.is_share else metric.name
            rows.append(([task, protocol, title] if repeated else [task, title], cells))
        return ["task", "protocol", "metric"] if repeated else ["task", "metric"], models, rows


def metric_of(row: Mapping[str, Any]) -> Metric:
    """The metric that a row names; one that is not known here orders scores, and computes none."""
    name, direction = row["metric"], row["direction"]
    try:
        return dataclasses.replace(find_metric(name), direction=direction)
    except UnknownTaskError:
        return Metric(name, direction, _no_score, "regression")


def _no_score(y: Values, pred: Values) -> float:
    raise UnknownTaskError("a metric that was read from a table has a name alone, and computes no scores")


def _read_csv(path: Path) -> pd.DataFrame:
    """Runs from a .csv file, as text."""
    import pandas as pd

    text = read_bytes(path).decode(errors="surrogateescape")
    try:
        names, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (ValueError, csv.Error) as error:
        raise InvalidDataError(f"{path} is no table of runs ({error}): replace it") from error
    if not set(REQUIRED) <= set(names) or len(set(names)) < len(names):
        raise InvalidDataError(f"{path} is no table of runs: it needs the columns {', '.join(REQUIRED)}, each once")
    checked = names[-1] == "check"
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise InvalidDataError(
                f"run {number} in {path} has {len(row)} values, expected {len(names)}: restore the file"
            )
        if checked and row[-1] != _checksum(names[:-1], row[:-1]):
            raise InvalidDataError(
                f"run {number} in {path} is not as it was written: restore the file, or drop the column `check` if the "
                "change was meant"
            )
    if not text.endswith("\n"):
        raise InvalidDataError(f"{path} ends within a line: restore the file")
    return pd.DataFrame(rows, columns=names, dtype="str").drop(columns="check", errors="ignore")


def _csv(cells: list[str]) -> str:
    """A line of a .csv file; cells that hold any kind of line break are quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()[:-2] + "\n"


def _checksum(names: list[str], row: list[str]) -> str:
    return hashlib.sha256(json.dumps([names, row]).encode()).hexdigest()[:16]


def _cell(value: Any) -> str:
    """A value as text with all its digits, nothing where it is missing."""
    return "" if _missing(value) else str(value)


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
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


def _missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or value != value


def _text(value: Any) -> str:
    return "" if _missing(value) else str(value)


def _number(value: Any) -> Any:
    """A number, also from its text, which Python reads to the last digit; None where it is missing."""
    if isinstance(value, str):
        try:
            return int(value) if value else None
        except ValueError:
            value = float(value)
    return None if _missing(value) else value


def _oriented(part: pd.DataFrame, model: str) -> pd.Series[float]:
    """Test scores of a model on one task by split and seed, with a sign such that more is better."""
    test: pd.Series[float] = part[part["model"] == model].set_index(["split", "seed"])["test"]
    return metric_of(part.iloc[0]).sign * test


def _paired(part: pd.DataFrame, model: str, baseline: str, seed: int) -> dict[str, float]:
    """Statistics of a model against a baseline on the runs of one task."""
    first, second = _oriented(part, model), _oriented(part, baseline)
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
