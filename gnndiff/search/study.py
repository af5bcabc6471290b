"""Optuna studies in a run's storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gnndiff.errors import ConfigError, DamagedFileError
from gnndiff.runs.folder import Run

if TYPE_CHECKING:
    from optuna import Study


def open_study(run: Run, name: str) -> Study:
    """The study with this name in the run's storage, made where it is not there.

    Raises:
        DamagedFileError: The folder's search.db cannot be read.
        ConfigError: The storage outside the folder cannot be used.
    """
    import optuna
    from sqlalchemy import URL

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    own = URL.create("sqlite", database=str(run.folder / "search.db"))
    storage = run.storage or own.render_as_string()
    try:
        return optuna.create_study(
            storage=storage,
            study_name=run.study_name(name),
            load_if_exists=True,
            direction=run.task.metric.direction,
            sampler=optuna.samplers.RandomSampler(seed=run.seed(name)),
        )
    except Exception as error:  # every database has errors of its own
        if run.storage is None:
            raise DamagedFileError(
                f"the trials in {run.folder / 'search.db'} cannot be read ({type(error).__name__}): delete the file to "
                "search again"
            ) from error
        raise ConfigError(
            f"the Optuna storage cannot be used ({type(error).__name__}): check the URL of --storage and its driver"
        ) from error
