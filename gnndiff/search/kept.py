"""Trainings whose states are kept: those of finalists, and those of a winner that is trained anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from gnndiff.errors import DamagedFileError, GNNDiffError
from gnndiff.runs.folder import Run
from gnndiff.search.jobs import Job, do
from gnndiff.search.records import sha
from gnndiff.search.trials import complete, file_of, finished_trials
from gnndiff.targets.base import Setting
from graphtasks.files import read_bytes


@dataclass(frozen=True)
class KeptTraining:
    """A training with the state of its best epoch.

    Args:
        study: Name of its study.
        number: Its number there.
        setting: The setting.
        seed: Seed of initialisation and training.
        val: Best validation score.
        test: Test score at that epoch.
        epoch: That epoch.
        seconds: Wall clock.
        state: File of its state dict at that epoch, as safetensors. It is missing where another machine trained it.
        sha256: Hash of that file.
    """

    study: str
    number: int
    setting: Setting
    seed: int
    val: float
    test: float
    epoch: int
    seconds: float
    state: Path
    sha256: str


def kept_trainings(run: Run, study: str, numbers: Sequence[int]) -> list[KeptTraining]:
    """Trainings of a study that did not diverge, in the order of the numbers."""
    trials = {trial.user_attrs["index"]: trial for trial in finished_trials(run, study)}
    found = []
    for number in numbers:
        trial = trials.get(number)
        if trial is None or trial.value is None or not complete(trial):
            continue
        facts = trial.user_attrs
        found.append(
            KeptTraining(
                study=study,
                number=number,
                setting=trial.params,
                seed=run.seed(study, number),
                val=trial.value,
                test=facts["test"],
                epoch=facts["best_epoch"],
                seconds=facts["check"]["seconds"],
                state=file_of(run, study, number, "state"),
                sha256=facts["state"],
            )
        )
    return found


def read_state(run: Run, training: KeptTraining) -> dict[str, Tensor]:
    """The state dict of a training; one that another machine has is trained here again.

    Raises:
        DamagedFileError: The file does not hold what was written.
        GNNDiffError: Its training diverges on this machine.
    """
    from safetensors.torch import load

    if training.state.is_file():
        content = read_bytes(training.state)
        if sha(content) != training.sha256:
            raise DamagedFileError(f"{training.state} is not as it was written: delete it to train it again")
        return load(content)
    job = Job(training.study, training.number, training.setting, training.seed, keep=True)
    again = do(run, job).state
    if again is None:
        raise GNNDiffError(
            f"{training.state} is on the machine that trained it, and {dict(training.setting)} diverges on this one: "
            "copy the file here"
        )
    return load(again)
