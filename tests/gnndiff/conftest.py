import pytest

from gnndiff import Run, RunConfig, config
from gnndiff.stages import run_all

TINY = config.Budget(
    trials=4,
    epochs=20,
    patience=20,
    settings=2,
    initialisations=2,
    snapshots=2,
    retrainings=2,
    generator_steps=20,
    candidates=6,
    resamplings=2,
    members=2,
    refine_epochs=2,
)

MINI = config.Budget(
    trials=3,
    epochs=4,
    patience=4,
    settings=1,
    initialisations=2,
    snapshots=2,
    retrainings=2,
    generator_steps=10,
    candidates=4,
    resamplings=1,
    members=2,
    refine_epochs=2,
    finalists=1,
    finalist_trainings=1,
)


@pytest.fixture(autouse=True, scope="session")
def _tiny_budgets():
    """Budgets that take seconds: one plain, one with every row, and one for runs that are disturbed many times."""
    full = {**vars(TINY), "equal_time_search": True, "full_grid": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(config.BUDGETS, "tiny", TINY)
        patch.setitem(config.BUDGETS, "mini", MINI)
        patch.setitem(config.BUDGETS, "tiny-full", config.Budget(**full))
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run that tests only read."""
    run = Run(
        RunConfig(
            task="wine", budget="tiny", zoo="independent", out=tmp_path_factory.mktemp("runs") / "wine", quiet=True
        )
    )
    run_all(run)
    return run
