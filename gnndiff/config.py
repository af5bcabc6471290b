"""Settings of a run, read by the command line and stored in the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gnndiff.errors import ConfigError


@dataclass(frozen=True)
class Budget:
    """How much each stage does.

    Args:
        trials: Configurations of the coarse search, drawn from the grid without repetition.
        epochs: Epochs of each training at most.
        patience: Epochs without a better validation score that end a training.
        configurations: Best configurations of the winner's architecture that fill the zoo.
        initialisations: Trainings of each of them.
        snapshots: Checkpoints kept of each training: the best of those ten-epoch blocks that validate best.
        retrainings: Trainings of a winning configuration behind its mean score.
        generator_steps: Optimisation steps of the denoiser.
        candidates: Parameter vectors drawn at a time, of which validation picks.
        resamplings: Independent draws of that many.
        members: Networks in a soup or an ensemble.
        equal_time_search: Go on with the random search for the time that the generator and its zoo took.
        full_grid: Train the whole grid.
    """

    trials: int
    epochs: int
    patience: int
    configurations: int
    initialisations: int
    snapshots: int
    retrainings: int
    generator_steps: int
    candidates: int
    resamplings: int
    members: int
    equal_time_search: bool = False
    full_grid: bool = False


BUDGETS = {
    "smoke": Budget(
        trials=6,
        epochs=40,
        patience=40,
        configurations=2,
        initialisations=3,
        snapshots=2,
        retrainings=3,
        generator_steps=300,
        candidates=20,
        resamplings=2,
        members=4,
    ),
    "coarse": Budget(
        trials=54,
        epochs=200,
        patience=50,
        configurations=3,
        initialisations=6,
        snapshots=4,
        retrainings=10,
        generator_steps=1500,
        candidates=100,
        resamplings=5,
        members=10,
    ),
    "full": Budget(
        trials=54,
        epochs=200,
        patience=50,
        configurations=4,
        initialisations=16,
        snapshots=4,
        retrainings=20,
        generator_steps=5000,
        candidates=200,
        resamplings=10,
        members=16,
        equal_time_search=True,
        full_grid=True,
    ),
}


@dataclass(frozen=True)
class RunConfig:
    """What a run does, and where.

    Args:
        task: Name of a task; `graphtasks list` shows all.
        model: Target model, such as mlp, gcn, sage, gat, appnp, gprgnn, gps, graphdmd or dmdgnn.
        budget: smoke (under a minute), coarse or full.
        split: Index of the task's split.
        seed: Seed of everything random.
        device: Device of all training, as cpu or cuda.
        out: Run folder; by default runs/TASK-MODEL-BUDGET-splitSPLIT-seedSEED.
        root: Folder of raw data files; by default $GRAPHTASKS_ROOT, else the cache folder.
        storage: URL of another Optuna storage than the run folder's search.db.
        quiet: Plain lines instead of progress bars.
    """

    task: str = "digits"
    model: str = "gcn"
    budget: str = "coarse"
    split: int = 0
    seed: int = 0
    device: str = "cpu"
    out: Path | None = None
    root: Path | None = None
    storage: str | None = None
    quiet: bool = False

    @property
    def folder(self) -> Path:
        """The run folder."""
        name = f"{self.task}-{self.model}-{self.budget}-split{self.split}-seed{self.seed}"
        return Path(self.out) if self.out is not None else Path("runs") / name.lower()

    @property
    def limits(self) -> Budget:
        """The budget behind the name."""
        if self.budget not in BUDGETS:
            raise ConfigError(f"no budget is called {self.budget!r}: use one of {', '.join(BUDGETS)}")
        return BUDGETS[self.budget]
