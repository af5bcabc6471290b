"""The trials of a study: each is handed out once, told to the storage, and read back with its checksum."""

from __future__ import annotations

import base64
import copy
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any

from gnndiff.errors import DamagedFileError, GNNDiffError
from gnndiff.files import digest, sha256
from gnndiff.progress import progress
from gnndiff.runs.folder import Run
from gnndiff.scores import best
from gnndiff.search.crews import Trainers, crew_of
from gnndiff.search.jobs import Done, Job
from gnndiff.search.records import Record, sha
from gnndiff.search.samplers import Sampler, distributions
from gnndiff.search.study import alive, fail_dead, open_study, read_trials, storage_errors
from gnndiff.targets.base import Setting
from gnndiff.workers import Failure
from graphtasks.files import explained, write_bytes

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as Asked

POLL = 2.0
"""Seconds between two looks at a shared storage whose last trainings others do."""

DEATHS = 3
"""Times that the process of one trial may die."""

FACTS = ("test", "reason", "epochs", "best_epoch", "record", "state")

FOLDER = "trials"


def evaluate(run: Run, name: str, sampler: Sampler, numbers: Sequence[int], *, keep: bool = False) -> None:
    """Train settings of a sampler once each, as the trials of the study with this name.

    Each trial holds its scores at the best validation epoch, its curve and its predictions. A setting's number fixes
    its seeds, so that an interrupted study ends as one that ran through. A trial that diverges, lags behind or cannot
    be computed is pruned, with its reason. Several processes may work on one study of a shared storage: each training
    is done by one of them, and by another where that one dies.

    Args:
        run: The run.
        name: Name of the study.
        sampler: Its settings.
        numbers: Numbers of the settings to train.
        keep: Keep the states of the best epochs in the run folder.

    Raises:
        GNNDiffError: A training failed with an error, or its process died three times.
    """
    with storage_errors(run):
        study = open_study(run, name, create=True)
        assert study is not None
        done = _finished(run, name, study)
        jobs = sum(number not in done for number in numbers)
        if not jobs:
            return
        fail_dead(study, alone=run.storage is None)
        with (
            progress(name, len(numbers), done=len(numbers) - jobs, quiet=run.config.quiet) as advance,
            crew_of(run, study, jobs) as crew,
        ):
            desk = _Desk(run, name, study, sampler, crew, keep)
            try:
                while missing := [number for number in numbers if number not in done]:
                    desk.hand_out(missing, done)
                    if crew.busy:
                        desk.take_back()
                    else:
                        sleep(POLL)
                        fail_dead(study, alone=run.storage is None)
                    for number, trial in _finished(run, name, study, done).items():
                        done[number] = trial
                        advance(_told(run, done))
            except BaseException:
                desk.give_up()
                raise


def _told(run: Run, done: Mapping[int, FrozenTrial]) -> str:
    scores = [trial.value for trial in done.values() if trial.value is not None and complete(trial)]
    return f"best validation {run.task.metric.format(best(scores, run.task.metric))}" if scores else "none finite"


class _Desk:
    """Hands out trials to a crew, and tells the storage what they left."""

    def __init__(self, run: Run, name: str, study: Study, sampler: Sampler, crew: Trainers, keep: bool) -> None:
        self.run, self.name, self.study, self.sampler, self.crew, self.keep = run, name, study, sampler, crew, keep
        self.running: dict[int, tuple[Asked, ExitStack]] = {}
        self.deaths: Counter[int] = Counter()

    def hand_out(self, missing: list[int], done: Mapping[int, FrozenTrial]) -> None:
        """Give each free member of the crew a trial, as long as there are any that nobody has."""
        while self.crew.free:
            trial = self._claim(missing, done)
            if trial is None:
                return
            number: int = trial.user_attrs.get("index", -1)
            beats = ExitStack()
            beats.enter_context(alive(self.study, trial._trial_id))
            self.running[number] = trial, beats
            pruned = self.run.config.pruner != "none" and not self.keep
            seed = self.run.seed(self.name, number)
            trial_id = trial._trial_id if pruned else None
            self.crew.begin(number, Job(self.name, number, trial.params, seed, trial_id, self.keep))

    def _claim(self, missing: list[int], done: Mapping[int, FrozenTrial]) -> Asked | None:
        """Take a trial that nobody has, or None if others train all that are missing.

        It is written with its setting at once, where asking Optuna for it takes a transaction for each hyperparameter.
        Two processes may make trials of one number at the same time; the first one counts.
        """
        from optuna.trial import Trial, TrialState, create_trial

        while True:
            owners = self._owners()
            free = [number for number in missing if number not in owners and self._may_begin(number, done)]
            if not free:
                return None
            template = create_trial(
                state=TrialState.RUNNING,
                params=dict(self.sampler.setting(free[0], owners)),
                distributions=distributions(self.run.space),
                user_attrs={"index": free[0]},
            )
            trial = Trial(self.study, self.study._storage.create_new_trial(self.study._study_id, template))
            if self._owners()[free[0]].number == trial.number:
                return trial
            self.study.tell(trial, state=TrialState.FAIL)

    def _may_begin(self, number: int, done: Mapping[int, FrozenTrial]) -> bool:
        return all(earlier in done for earlier in range(self.sampler.needs(number)))

    def _owners(self) -> dict[int, FrozenTrial]:
        """The first trial of each number that runs or has ended, and whose files are there."""
        owners: dict[int, FrozenTrial] = {}
        for trial in map(_opened, read_trials(self.run, self.study)):
            if trial.state.name in ("RUNNING", "COMPLETE", "PRUNED") and not _lost(self.run, self.name, trial):
                owners.setdefault(trial.user_attrs.get("index", -1), trial)
        return owners

    def take_back(self) -> None:
        """Tell the storage of the jobs that end next."""
        from optuna.trial import TrialState

        for number, outcome in self.crew.wait():
            trial, beats = self.running.pop(number)
            beats.close()
            if isinstance(outcome, Failure):
                self.study.tell(trial, state=TrialState.FAIL)
                self.deaths[number] += 1
                if not outcome.died or self.deaths[number] >= DEATHS:
                    times = f" {self.deaths[number]} times" if outcome.died else ""
                    raise GNNDiffError(f"training {trial.params} failed{times}: {outcome.message}")
            else:
                self._tell(number, trial, outcome)

    def _tell(self, number: int, trial: Asked, done: Done) -> None:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        facts: dict[str, Any] = {"epochs": done.epochs}
        facts |= {"test": done.test} if done.reason is None else {"reason": done.reason}
        for what, content in (("record", done.record), ("state", done.state)):
            if content is None:
                continue
            facts[what] = sha(content)
            if what == "state" or self.run.storage is None:
                path = file_of(self.run, self.name, number, what)
                with explained(path.parent, "make"):
                    path.parent.mkdir(exist_ok=True)
                write_bytes(path, content)
        if done.record is not None:
            facts["best_epoch"] = Record.from_bytes(done.record, self.name).best_epoch
        # Processes of other machines see the storage alone.
        shared = {"npz": base64.b64encode(done.record).decode()} if done.record and self.run.storage else {}
        reports = self.study._storage.get_trial(trial._trial_id).intermediate_values
        told = _content(self.name, number, trial.params, done.val, facts, reports)
        check = {"seconds": done.seconds, "sha256": _check(self.run, told, done.seconds)}
        # Another process has it by now if this one gave no sign of life for long.
        with suppress(UpdateFinishedTrialError):
            for name, value in {**shared, "facts": {**facts, "check": check}}.items():
                trial.set_user_attr(name, value)  # a transaction each, so that facts are one attribute
            self.study.tell(trial, done.val, state=None if done.reason is None else TrialState.PRUNED)

    def give_up(self) -> None:
        """Free the trials that run."""
        from optuna.trial import TrialState

        for trial, beats in self.running.values():
            with suppress(Exception):  # that which stopped the training matters more
                beats.close()
                self.study.tell(trial, state=TrialState.FAIL)


def complete(trial: FrozenTrial) -> bool:
    """Whether a trial was trained to its end."""
    return trial.state.name == "COMPLETE"


def file_of(run: Run, name: str, number: int, what: str) -> Path:
    """The file of a trial's record or state."""
    ending = "npz" if what == "record" else "safetensors"
    return run.folder / FOLDER / f"{name.replace(' ', '-')}-{number:04d}.{ending}"


def _opened(trial: FrozenTrial) -> FrozenTrial:
    """The trial with an attribute for each fact."""
    facts = trial.user_attrs.get("facts")
    if not isinstance(facts, dict):
        return trial
    trial = copy.copy(trial)
    trial.user_attrs = {**facts, **{name: value for name, value in trial.user_attrs.items() if name != "facts"}}
    return trial


def _lost(run: Run, name: str, trial: FrozenTrial) -> bool:
    """Whether a file that a trial left in the run's own folder is missing."""
    if run.storage is not None:
        return False
    facts = trial.user_attrs
    return any(what in facts and not file_of(run, name, facts["index"], what).is_file() for what in ("record", "state"))


def _finished(run: Run, name: str, study: Study, known: Container[int] = ()) -> dict[int, FrozenTrial]:
    """Trials of a study that have ended, but for those that are known, each compared with its checksum.

    Raises:
        DamagedFileError: One is not as it was written, or a file of it.
    """
    found: dict[int, FrozenTrial] = {}
    for trial in map(_opened, read_trials(run, study)):
        facts, number = trial.user_attrs, trial.user_attrs.get("index", -1)
        if trial.state.name not in ("COMPLETE", "PRUNED") or number in known:
            continue
        content, check = _content_of(name, trial), facts.get("check", {})
        if check.get("sha256") != _check(run, content, check.get("seconds")):
            raise DamagedFileError(
                f"trial {trial.number} of the study {name!r} of {run.folder} is not as it was written: delete "
                f"{'search.db to search again' if run.storage is None else 'the study from the storage'}"
            )
        if _lost(run, name, trial):
            continue
        for what in ("record", "state"):
            path = file_of(run, name, number, what)
            if what in facts and run.storage is None and sha256(path) != facts[what]:
                raise DamagedFileError(f"{path} is not as it was written: delete it to train it again")
        found.setdefault(number, trial)
    return found


def _content_of(name: str, trial: FrozenTrial) -> list[Any]:
    facts = trial.user_attrs
    value = trial.value if complete(trial) else None
    return _content(name, facts.get("index"), trial.params, value, facts, trial.intermediate_values)


def _content(
    name: str,
    number: Any,
    setting: Setting,
    value: float | None,
    facts: Mapping[str, Any],
    reports: Mapping[int, float],
) -> list[Any]:
    """All of a trial but its time."""
    curve = {str(step): score for step, score in reports.items()}
    return [name, number, dict(setting), value, *(facts.get(fact) for fact in FACTS), curve]


def _check(run: Run, content: list[Any], seconds: float) -> str:
    return digest([run.identity_hash, *content, seconds])


def finished_trials(run: Run, name: str) -> list[FrozenTrial]:
    """Trials of a study that have ended, in the order of their numbers."""
    with storage_errors(run):
        study = open_study(run, name)
        found = {} if study is None else _finished(run, name, study)
    return [found[number] for number in sorted(found)]


def content_of_study(run: Run, name: str, numbers: Sequence[int]) -> list[Any] | None:
    """Content of some trials of a study, but their times; None where some are missing."""
    trials = {trial.user_attrs["index"]: trial for trial in finished_trials(run, name)}
    if any(number not in trials for number in numbers):
        return None
    return [_content_of(name, trials[number]) for number in numbers]


def record(run: Run, name: str, trial: FrozenTrial) -> Record | None:
    """Curve and predictions of a trial, None where it was not trained to its end.

    Raises:
        DamagedFileError: They are not what it left.
    """
    facts = trial.user_attrs
    if "record" not in facts:
        return None
    path = file_of(run, name, facts["index"], "record")
    content = base64.b64decode(facts["npz"]) if "npz" in facts else path.read_bytes()
    if sha(content) != facts["record"]:
        raise DamagedFileError(f"the record of trial {facts['index']} of {run.folder} is not as it was written")
    return Record.from_bytes(content, str(path))


def total_seconds(trials: list[FrozenTrial]) -> float:
    """Time that trials took, by a clock that nobody sets."""
    return float(sum(trial.user_attrs["check"]["seconds"] for trial in trials))
