"""Optuna studies in a run's storage, and the errors of databases in words."""

from __future__ import annotations

import sqlite3
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from gnndiff.errors import ConfigError, DamagedFileError, GNNDiffError, RunFolderError
from gnndiff.runs.folder import Run

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial

HEARTBEAT = 30
"""Seconds between two signs of life of a training in a shared storage; after twice as long it is given to another."""

_ADVICE = {
    "full": "free some space",
    "disk I/O": "free some space, or check the disk",
    "readonly": "choose a folder that you may write to",
    "unable to open": "choose a folder that you may write to",
    "locked": "wait for the end of the process that uses it",
}


def open_study(run: Run, name: str, *, create: bool = False) -> Study | None:
    """The study with this name in the run's storage; without `create`, None where there is none.

    Raises:
        DamagedFileError: The folder's search.db cannot be read, or is of another run.
        RunFolderError: It cannot be written to.
        ConfigError: The storage outside the folder cannot be used.
    """
    import optuna

    from gnndiff.search.jobs import pruner

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = run.folder / "search.db"
    if run.storage is None and run.searched_elsewhere:
        raise ConfigError(
            "the trials of this run are in a storage of their own: give its URL by --storage or $GNNDIFF_STORAGE"
        )
    if run.storage is None and not create and not (path.is_file() and path.stat().st_size):
        return None
    try:
        storage = _own(path) if run.storage is None else _shared(run.storage)
        own = run.study_name(name)
        sampler = optuna.samplers.RandomSampler(seed=run.seed(name))
        pruning = pruner(run.config.pruner, run.limits.epochs)
        if create:
            direction = run.task.metric.direction
            study = optuna.create_study(
                storage=storage,
                study_name=own,
                load_if_exists=True,
                direction=direction,
                sampler=sampler,
                pruner=pruning,
            )
            if "run" not in study.user_attrs and not study.get_trials(deepcopy=False):
                study.set_user_attr("run", run.identity_hash)
        else:
            try:
                study = optuna.load_study(storage=storage, study_name=own, sampler=sampler, pruner=pruning)
            except KeyError:
                return None
        owner = study.user_attrs.get("run")
    except Exception as error:  # every database has errors of its own
        raise named(run, error) from None  # theirs may show a password
    if owner != run.identity_hash:
        raise DamagedFileError(f"{path} is of another run: delete it to search again, or restore that of this run")
    return study


def _own(path: Path) -> RDBStorage:
    """The file of a folder, opened by its path: no character of it has a meaning, as in a URL."""
    from optuna.storages import RDBStorage

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=60, check_same_thread=False)

    return RDBStorage("sqlite:///search.db", engine_kwargs={"creator": connect})


def _shared(url: str) -> RDBStorage:
    from optuna.exceptions import ExperimentalWarning, StorageInternalError
    from optuna.storages import RDBStorage
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    parts = make_url(url)
    if parts.get_backend_name() == "sqlite" and parts.database in (None, "", ":memory:"):
        raise ConfigError("a storage in memory ends with the process: give the URL of a file, as sqlite:///trials.db")
    if url.startswith("postgresql://") and find_spec("psycopg2"):  # which driver is the default depends on SQLAlchemy
        url = parts.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    url = url.replace("{", "{{").replace("}", "}}")  # Optuna takes it for a template
    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("sqlite"):
        options["connect_args"] = {"timeout": 60}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        for _ in range(3):  # two workers that make the tables at the same time are in each other's way
            with suppress(SQLAlchemyError, StorageInternalError):
                return RDBStorage(url, engine_kwargs=dict(options), heartbeat_interval=HEARTBEAT)
            sleep(0.5)
        return RDBStorage(url, engine_kwargs=options, heartbeat_interval=HEARTBEAT)


def read_trials(run: Run, study: Study) -> list[FrozenTrial]:
    """All trials of a study, the first one first.

    Raises:
        DamagedFileError, ConfigError: They cannot be read.
    """
    try:
        return study.get_trials(deepcopy=False)
    except Exception as error:  # a damaged database gives whatever Python makes of its content
        raise named(run, error) from None


@contextmanager
def storage_errors(run: Run) -> Iterator[None]:
    """Turn errors of the database into those of gnndiff."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise named(run, error) from None


def named(run: Run, error: Exception) -> GNNDiffError:
    """The error of gnndiff that says what a database's means."""
    if isinstance(error, GNNDiffError):
        return error
    cause = error.__cause__ or error
    if run.storage is not None and isinstance(cause, ImportError):
        return ConfigError(
            "the Optuna storage cannot be used: install its driver, as by pip install 'dmdgnn[postgres]', or "
            "check the URL of --storage"
        )
    if run.storage is not None:
        return ConfigError(
            f"the Optuna storage cannot be used ({type(cause).__name__}): check the URL of --storage and its driver, "
            "and that its server runs"
        )
    path, text = run.folder / "search.db", f"{error} {cause}"
    for words, advice in _ADVICE.items():
        if words in text:
            return RunFolderError(f"{path} cannot be used (the database says {words!r}): {advice}, and go on")
    return DamagedFileError(
        f"the trials in {path} cannot be read ({type(cause).__name__}): delete the file to search again"
    )


def fail_dead(study: Study, *, alone: bool) -> None:
    """Fail trials whose process died: all that run where this process is alone, else those without a sign of life."""
    import optuna

    if not alone:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)
        return
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


@contextmanager
def alive(study: Study, trial_id: int) -> Iterator[None]:
    """Give signs of life of a trial in a shared storage, as `Study.optimize` does."""
    storage: Any = study._storage
    interval = storage.get_heartbeat_interval()
    if interval is None:
        yield
        return
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(interval):
            with suppress(Exception):  # a server that is away may be back for the next
                storage.record_heartbeat(trial_id)

    storage.record_heartbeat(trial_id)
    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
