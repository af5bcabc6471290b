"""A search and its zoo that are killed again and again hold what undisturbed ones hold, trial by trial."""

import os
import random
import signal
import time

import pytest

from faults import FAULTS
from gnndiff import Run, RunConfig
from gnndiff.runs.collect import collect, store
from gnndiff.search import finished_trials, search

KILLS = FAULTS // 6
"""Kills in one folder: 5 in the suite, 20 with FAULTS=120."""


def go(folder):
    """Search and fill the zoo, as far as they have not been."""
    given = {"task": "karate", "budget": "mini", "trials": 12, "initialisations": 8, "finalists": 2}
    run = Run(RunConfig(**given, finalist_trainings=2, out=folder, quiet=True))
    run.create()
    with run.locked():
        search(run)
        collect(run)
    return run


def content(run):
    """All that trials and checkpoints hold, but times."""
    trials = {
        name: [(trial.params, trial.value, {**trial.user_attrs, "check": None}) for trial in finished_trials(run, name)]
        for name in ("search", "finalists", "retrainings")
    }
    return trials, [{**vars(each), "seconds": None} for each in store(run).complete()]


def killed(folder, seconds):
    """Whether a process was killed after so many seconds, before it was done."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        code = 1
        try:
            go(folder)
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_search_and_its_zoo_survive_kills_fault(tmp_path):
    go(tmp_path / "first")  # imports
    start = time.monotonic()
    expected = content(go(tmp_path / "whole"))
    seconds, rng, kills, folder = time.monotonic() - start, random.Random(FAULTS), 0, 0
    while kills < KILLS:
        while kills < KILLS and killed(tmp_path / str(folder), rng.uniform(0.05, 3 * seconds / KILLS)):
            kills += 1
        assert content(go(tmp_path / str(folder))) == expected
        folder += 1
    print(f"{kills} kills in {folder} runs of {seconds:.1f} s")  # the figure of docs/reliability.md
