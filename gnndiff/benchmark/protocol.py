"""The effort that a benchmark spends on each model of each task."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gnndiff.errors import ConfigError
from graphtasks import Comparison, Contender, FitConfig, GraphTask, compare
from graphtasks.values import check_fields, shown


@dataclass(frozen=True)
class Protocol:
    """Tuning and final runs, the same for all models.

    Args:
        trials: Upper limit of settings that are tried of each model.
        splits: Number of the first splits of each task that final runs take, None for all.
        seeds: Initialisations of final runs on tasks of one split.
        seconds: Limit of the tuning of one model on one task.
        tuning_splits: Splits that tuning trains on, where a task has them.
        tuning_seeds: Initialisations of which tuning takes the mean, on tasks of one split.
        tune_once: Whether on a task tuning trains a setting once, whatever the two above are.
        config: Training settings where a model's space has no others. Batches are those of tasks of many graphs.
        metrics: Further metrics of the test scores, by which nothing is chosen.
        space: Which spaces of the targets are searched, where the models are given as targets.

    Raises:
        ConfigError: A number is too small.
    """

    trials: int = 16
    splits: int | None = None
    seeds: int = 10
    seconds: float | None = None
    tuning_splits: tuple[int, ...] = (0, 1)
    tuning_seeds: int = 1
    tune_once: Callable[[GraphTask], bool] | None = None
    config: FitConfig = field(default_factory=FitConfig)
    metrics: tuple[str, ...] = ()
    space: str = "default"

    def __post_init__(self) -> None:
        check_fields(self, error=ConfigError)
        if not isinstance(self.config, FitConfig):
            raise ConfigError(f"got config={shown(self.config)}, expected FitConfig(...)")
        for name in ("trials", "splits", "seeds", "tuning_seeds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"got {name}={value}, expected at least 1")
        if self.seconds is not None and not self.seconds > 0:
            raise ConfigError(f"got seconds={self.seconds}, expected more than 0")
        if not self.tuning_splits or min(self.tuning_splits) < 0:
            raise ConfigError(f"got tuning_splits={self.tuning_splits}, expected indices of splits from 0 on")

    def record(self) -> dict[str, Any]:
        """The protocol as a file of rows states it."""
        return {
            **{name: getattr(self, name) for name in ("trials", "splits", "seeds", "seconds")},
            "tuning_splits": list(self.tuning_splits),
            "tuning_seeds": self.tuning_seeds,
            "tune_once": None if self.tune_once is None else self.tune_once.__name__,
            "config": dataclasses.asdict(self.config),
            **({"metrics": list(self.metrics)} if self.metrics else {}),
            **({"space": self.space} if self.space != "default" else {}),
        }

    def compare(self, contenders: Sequence[Contender], task: GraphTask, **options: Any) -> Comparison:
        """Tune and train contenders on a task; `options` go to :func:`graphtasks.compare`."""
        count = len(task.splits)
        tuning_splits, tuning_seeds = self.tuning_splits, self.tuning_seeds
        if self.tune_once is not None and self.tune_once(task):
            tuning_splits, tuning_seeds = (0,), 1
        return compare(
            contenders,
            [task],
            splits=range(min(count, self.splits or count)),
            seeds=range(self.seeds if count == 1 else 1),
            trials=self.trials,
            config=self.config if task.many else dataclasses.replace(self.config, batch_size=None),
            tuning_splits=[split for split in tuning_splits if split < count] or [0],
            tuning_seeds=range(tuning_seeds if count == 1 else 1),
            seconds=self.seconds,
            metrics=self.metrics,
            **options,
        )


def sentence(record: Mapping[str, Any]) -> str:
    """The protocol of a file of rows in words."""
    splits = [str(split) for split in record["tuning_splits"]]
    tuning = [f"split{'s' * (len(splits) > 1)} {', '.join(splits)}"]
    if record["tuning_seeds"] > 1:
        tuning.append(f"with {record['tuning_seeds']} initialisations where a task has one split")
    if record["tune_once"]:
        tuning.append(f"once where {record['tune_once'].replace('_', ' ')}")
    limit = "" if record["seconds"] is None else f" for at most {record['seconds']:g} s"
    count = record["splits"]
    finals = "all splits" if count is None else "split 0" if count == 1 else f"splits 0 to {count - 1}"
    space = {"paper": " of the paper's space", "modern": " of the modern space"}.get(record.get("space", ""), "")
    return (
        f"At most {record['trials']} settings{space} of each model are tried{limit} on {', or '.join(tuning)}; the "
        f"best by validation is trained on {finals}, or with {record['seeds']} initialisations where a task has one "
        "split; shown are mean and standard deviation of the test scores."
    )
