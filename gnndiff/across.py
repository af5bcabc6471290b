"""Runs over splits and seeds in one table, each counted once: intervals are over zoo, generator and split."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnndiff.errors import ConfigError
from gnndiff.report.markdown import table
from gnndiff.runs.folder import Run
from gnndiff.stages import run_all
from gnndiff.targets import Target
from graphtasks import Comparison, GraphTask, metric
from graphtasks.files import as_path
from graphtasks.values import shown, whole

if TYPE_CHECKING:
    import pandas as pd

BASELINE = "coarse_winner"
DELIVERED = "delivered"

_NAMED = re.compile(r"-split\d+-seed\d+$")


@dataclass(frozen=True)
class Across:
    """Results of runs, one for each split and seed of each task and target.

    Args:
        results: The contents of their results.json.
        baseline: The row that others are compared with, pair by pair.
    """

    results: Sequence[Mapping[str, Any]]
    baseline: str = BASELINE

    def comparison(self) -> Comparison:
        """The rows as the models of a comparison: one value for each run, whatever the number of its draws.

        `delivered` is what the run delivers. Rows that some run of a task lacks are left out there.
        """
        import pandas as pd

        return Comparison(pd.DataFrame([line for group in self._groups().values() for line in _lines(group)]))

    def differences(self) -> pd.DataFrame:
        """By how much each row is better than the baseline on the same split and seed, with 95 % intervals.

        See :meth:`graphtasks.Comparison.differences`.
        """
        return self.comparison().differences(self.baseline)

    def to_markdown(self) -> str:
        """A table for each task and target: test scores over the runs, and by how much they are ahead."""
        summary, pairs = self.comparison().summary(), self.differences().set_index(["task", "protocol", "model"])
        texts = []
        for (task, protocol), group in self._groups().items():
            own = summary[(summary["task"] == task) & (summary["protocol"] == protocol)]
            score = metric(group[0]["metric"])
            scale, unit = (100, "points") if score.is_share else (1, score.name)
            lines = []
            for row in own.to_dict("records"):
                ahead = ""
                if row["model"] != self.baseline:
                    pair = pairs.loc[(task, protocol, row["model"])]
                    ahead = f"{scale * pair['difference']:+.2f}"
                    if pair["pairs"] > 1:
                        ahead += f" ({scale * pair['low']:+.2f} to {scale * pair['high']:+.2f})"
                seconds = [_seconds(results, row["model"]) for results in group]
                std = row["std"] if row["count"] > 1 else None
                lines.append(
                    {
                        "row": f"`{row['model']}`",
                        "test": score.format(row["mean"], std),
                        f"ahead of `{self.baseline}`, {unit}": ahead,
                        "seconds": f"{sum(seconds) / len(seconds):.0f}",
                    }
                )
            texts.append(f"{task}, {protocol}, {_counted(group)}\n\n{table(lines)}")
        return "\n\n".join(texts)

    def _groups(self) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
        """Results by task and target."""
        groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for results in self.results:
            groups.setdefault((results["task"], f"{results['model']}, budget {results['budget']}"), []).append(results)
        return groups


def compare_runs(
    folders: Sequence[str | Path],
    *,
    splits: int | None = None,
    seeds: int | None = None,
    target: Target | None = None,
    task: GraphTask | None = None,
    root: Path | None = None,
    quiet: bool = False,
) -> Across:
    """Results of runs, and of the same runs on other splits and with other seeds.

    A run that is missing is run beside the one that is given, in a folder NAME-splitI-seedJ; one that was stopped goes
    on. Search, zoo, generator and draws differ between seeds.

    Args:
        folders: Run folders.
        splits: Number of splits, from the first one on, by default the run's own alone.
        seeds: Number of seeds, from 0 on, by default the run's own alone.
        target: The target of the runs, where it was one of your own.
        task: Their task, where it was one of your own.
        root: Folder of raw data files.
        quiet: Plain lines instead of progress bars.

    Raises:
        ConfigError: A number is too small, or the task has fewer splits.
        RunFolderError: A folder holds no run, or another one.
    """
    for name, count in (("splits", splits), ("seeds", seeds)):
        if count is not None:
            whole(name, count, 1, error=ConfigError)
    if isinstance(folders, str | bytes) or not isinstance(folders, Sequence):
        raise ConfigError(f"got {shown(folders)} as runs, expected several run folders, such as ['runs/a', 'runs/b']")
    if not folders:
        raise ConfigError("got no run to compare: give a run folder")
    found: dict[Path, dict[str, Any]] = {}
    for folder in map(as_path, folders):
        first = Run.load(folder, target=target, task=task, root=root)
        for split in [first.config.split] if splits is None else range(splits):
            for seed in [first.config.seed] if seeds is None else range(seeds):
                run = _run_of(first, split, seed, target, task, quiet)
                if run.folder not in found:
                    run.create()
                    with run.locked():
                        found[run.folder] = run_all(run)
    return Across(list(found.values()))


def _run_of(first: Run, split: int, seed: int, target: Target | None, task: GraphTask | None, quiet: bool) -> Run:
    """The run on a split with a seed."""
    if (split, seed) == (first.config.split, first.config.seed):
        out = first.folder
    else:
        out = first.folder.with_name(f"{_NAMED.sub('', first.folder.name)}-split{split}-seed{seed}")
    config = dataclasses.replace(first.config, split=split, seed=seed, out=out, quiet=quiet)
    return Run(config, target=target, task=task, space=first.space)


def _lines(group: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows that all runs of a group have, and what they deliver."""
    named = [{row["name"]: row for row in results["rows"]} for results in group]
    common = [name for name in named[0] if all(name in rows for rows in named)]
    lines = []
    for results, rows in zip(group, named, strict=True):
        about = {
            "task": results["task"],
            "protocol": f"{results['model']}, budget {results['budget']}",
            "split": results["split"],
            "seed": results["seed"],
            "metric": results["metric"],
            "direction": results["direction"],
        }
        lines += [
            {**about, "model": name, "val": rows[name]["val"]["mean"], "test": rows[name]["test"]["mean"]}
            for name in common
        ]
        best = results["best"]
        lines.append({**about, "model": DELIVERED, "val": best["val"], "test": best["test"]})
    return lines


def _seconds(results: Mapping[str, Any], name: str) -> float:
    if name == DELIVERED:
        return float(sum(stage["seconds"] for stage in results["stages"]))
    return float(next(row["seconds"] for row in results["rows"] if row["name"] == name))


def _counted(group: Sequence[Mapping[str, Any]]) -> str:
    """How many runs there are of how many splits and seeds."""
    counts = {"run": len(group)} | {f"{name}": len({results[name] for results in group}) for name in ("split", "seed")}
    return ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items())
