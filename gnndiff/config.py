"""Settings of a run, read by the command line and stored in the run folder."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gnndiff.errors import ConfigError
from gnndiff.names import by_name
from graphtasks.values import check_fields, shown


@dataclass(frozen=True)
class Budget:
    """How much each stage does.

    Args:
        trials: Settings of the coarse search, all together, however often it is stopped.
        finalists: Best settings that are trained again before the winner is named.
        finalist_trainings: Trainings of each of them.
        epochs: Epochs of each training at most.
        patience: Epochs without a better validation score that end a training.
        settings: Best settings of the winner's architecture that fill the zoo.
        initialisations: Trainings of each of them.
        snapshots: Checkpoints kept of each training: the best of those ten-epoch blocks that validate best.
        retrainings: Trainings of a winning setting behind its mean score.
        generator_steps: Optimisation steps of the denoiser.
        candidates: Parameter vectors drawn at a time, of which validation picks.
        resamplings: Independent draws of that many.
        members: Networks in a soup or an ensemble.
        refine_epochs: Epochs of training from a network that is there.
        equal_time_search: Go on with the random search for the time that the generator and its zoo took.
        full_grid: Train the whole grid.
    """

    trials: int
    epochs: int
    patience: int
    settings: int
    initialisations: int
    snapshots: int
    retrainings: int
    generator_steps: int
    candidates: int
    resamplings: int
    members: int
    refine_epochs: int = 20
    finalists: int = 2
    finalist_trainings: int = 2
    equal_time_search: bool = False
    full_grid: bool = False

    def __post_init__(self) -> None:
        check_fields(self, error=ConfigError)
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if value < (0 if isinstance(value, bool) else 1):
                raise ConfigError(f"got {entry.name}={value}, expected at least 1")


SAMPLERS = ("random", "grid", "tpe", "coarse-to-fine")
PRUNERS = ("none", "median", "hyperband")
DELIVERED = ("network", "ensemble")

BUDGETS = {
    "smoke": Budget(
        trials=6,
        epochs=40,
        patience=40,
        settings=2,
        initialisations=3,
        snapshots=2,
        retrainings=3,
        generator_steps=300,
        candidates=20,
        resamplings=2,
        members=4,
        refine_epochs=10,
    ),
    "coarse": Budget(
        trials=54,
        epochs=200,
        patience=50,
        settings=3,
        initialisations=6,
        snapshots=4,
        retrainings=10,
        generator_steps=1500,
        candidates=100,
        resamplings=5,
        members=10,
        finalists=4,
        finalist_trainings=3,
    ),
    "full": Budget(
        trials=54,
        epochs=200,
        patience=50,
        settings=4,
        initialisations=16,
        snapshots=4,
        retrainings=20,
        generator_steps=5000,
        candidates=200,
        resamplings=10,
        members=16,
        finalists=5,
        finalist_trainings=4,
        equal_time_search=True,
        full_grid=True,
    ),
}


_RANGES: tuple[tuple[tuple[str, ...], str, Callable[[Any], bool]], ...] = (
    (
        ("block", "roots", "branch_epochs", "branch_tries", "alignment_rounds", "batch_size"),
        "at least 1",
        lambda v: v >= 1,
    ),
    (("sampling_steps",), "between 1 and the 1,000 of training", lambda v: 1 <= v <= 1000),
    (("quality", "energy"), "more than 0 and at most 1", lambda v: 0 < v <= 1),
    (("edge_drop", "condition_drop", "average_decay"), "at least 0 and less than 1", lambda v: 0 <= v < 1),
    (("connecting_rate", "learning_rate", "refine_rate"), "a finite number above 0", lambda v: v > 0),
    (("barrier", "least_spread"), "at least 0", lambda v: v >= 0),
    (("noise_levels",), "finite numbers of at least 0", lambda v: v >= 0),
)
"""Constants of the method, with what they must be."""


@dataclass(frozen=True)
class Method:
    """Constants of the method that change its numbers.

    Args:
        edge_drop: Share of the edges that every second training of the zoo does without.
        block: Epochs of which the best may become a checkpoint.
        quality: Share of the best validation score that a setting needs to enter the zoo.
        connecting_rate: Largest learning rate in the zoo: a larger one becomes Adam with this one, as members that are
            trained with larger steps cannot be averaged.
        roots: Trainings from scratch in a zoo of branches.
        branch_epochs: Epochs of a branch.
        branch_tries: Trainings of a branch, each at 0.3 of the former's learning rate, until it stays in its basin.
        barrier: Fall of the validation score on the way to others beyond which a member is left out of averages.
        least_spread: Relative spread below which a zoo is one point, and refused.
        refine_rate: Learning rate of short trainings from networks that are there, relative to that of the setting.
        alignment_rounds: Times that all networks are aligned to their mean.
        noise_levels: Sizes of the noise around checkpoints, relative to the deviation of each tensor in the zoo.
        energy: Share of the checkpoints' variance that the latents keep.
        batch_size: Latents in a step of the denoiser.
        learning_rate: Learning rate of the denoiser.
        condition_drop: Share of the samples whose condition is hidden.
        average_decay: Decay of the moving average of the denoiser.
        scheduler: Class of diffusers that samples in diffusion and flow matching.
        sampling_steps: Its steps.
        guidance: 0 ignores the condition, 1 follows it, more exaggerates it.
    """

    edge_drop: float = 0.1
    block: int = 10
    quality: float = 0.95
    connecting_rate: float = 0.02
    roots: int = 3
    branch_epochs: int = 40
    branch_tries: int = 3
    barrier: float = 0.05
    least_spread: float = 0.01
    refine_rate: float = 0.3
    alignment_rounds: int = 3
    noise_levels: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    energy: float = 0.99
    batch_size: int = 64
    learning_rate: float = 1e-3
    condition_drop: float = 0.15
    average_decay: float = 0.99
    scheduler: str = "DPMSolverMultistepScheduler"
    sampling_steps: int = 50
    guidance: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, error=ConfigError, prefix="method.")
        for names, words, holds in _RANGES:
            for name in names:
                values = getattr(self, name)
                each = values if isinstance(values, tuple) else (values,)
                if not each or not all(map(holds, each)):
                    raise ConfigError(f"got method.{name}={values}, expected {words}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Method:
        """The constants as JSON has them, with lists in the place of tuples."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**plain)


@dataclass(frozen=True)
class RunConfig:
    """Settings of a run, and its folder.

    Args:
        task: Name of a task (`graphtasks list` shows all), a folder of .npz files, or FILE.py:FUNCTION that makes one.
        model: Name of a target (`gnndiff targets` shows all), or FILE.py:NAME of your own.
        space: Hyperparameters to search: modern ones, those of the paper, or the target's own (default).
        sampler: Order of the search: random, grid, tpe, or coarse-to-fine. Settings of random and grid follow from seed
            and number alone, those of coarse-to-fine from the results of earlier rounds, those of tpe from the order in
            which trainings end.
        pruner: End trainings that lag behind, by their validation curves: none, median or hyperband.
        budget: smoke (under a minute), coarse or full.
        zoo: Kind of the zoo: independent trainings, branches of a good one, or that of the GNN-Diff paper.
        parameters: Tensors that zoo and generator are of: all, last-layer, or a pattern of names such as 'convs.1.*'.
        generator: How networks are generated: by the Gaussian of the trainings, a kernel density, mixtures of them, or
            flow matching or diffusion, which start as the Gaussian and leave it only for what helps on trainings that
            they have not seen, by descent of the training loss in their subspace, or by the simplest of these that no
            other beats on validation.
        deliver: Whether the run delivers one network, or an ensemble where that validates better.
        split: Index of the task's split.
        seed: Seed of everything random.
        device: Device of all training, such as cpu or cuda.
        threads: Threads of each training; by default one for small graphs, all for large ones.
        out: Run folder; by default runs/TASK-MODEL-BUDGET-splitSPLIT-seedSEED.
        root: Folder of raw data files; by default $GRAPHTASKS_ROOT, else the cache folder.
        workers: Processes of one thread each that train the settings of a search.
        ray: Address of a Ray cluster that trains them, or local for one on this machine.
        storage: URL of another Optuna storage than the run folder's search.db; by default $GNNDIFF_STORAGE.
        quiet: Plain lines instead of progress bars.
        batch_size: Nodes, clusters, graphs, snapshots or edges in a batch, as of graphtasks.FitConfig.
        neighbors: Train nodes in batches with this many sampled neighbours in each hop.
        clusters: Train nodes in batches of clusters, of which there are this many.
        schedule: Learning rate over the epochs.
        class_weights: Whether all classes count the same in the loss.
        trials: Instead of the budget's.
        epochs: Instead of the budget's.
        patience: Instead of the budget's.
        settings: Instead of the budget's.
        initialisations: Instead of the budget's.
        snapshots: Instead of the budget's.
        retrainings: Instead of the budget's.
        generator_steps: Instead of the budget's.
        candidates: Instead of the budget's.
        resamplings: Instead of the budget's.
        members: Instead of the budget's.
        refine_epochs: Instead of the budget's.
        finalists: Instead of the budget's.
        finalist_trainings: Instead of the budget's.
        equal_time_search: Instead of the budget's.
        full_grid: Instead of the budget's.
        method: Constants of the method.
    """

    task: str = "digits"
    model: str = "gcn"
    space: Literal["modern", "paper", "default"] = "modern"
    sampler: Literal["random", "grid", "tpe", "coarse-to-fine"] = "random"
    pruner: Literal["none", "median", "hyperband"] = "none"
    budget: str = "coarse"
    zoo: Literal["independent", "branches", "paper"] = "branches"
    parameters: str = "all"
    generator: Literal["gaussian", "kde", "mixture", "flow-matching", "latent-diffusion", "subspace", "auto"] = (
        "latent-diffusion"
    )
    deliver: Literal["network", "ensemble"] = "network"
    split: int = 0
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    out: Path | None = None
    root: Path | None = None
    workers: int = 1
    ray: str | None = None
    storage: str | None = field(default=None, repr=False)
    quiet: bool = False
    batch_size: int | None = None
    neighbors: tuple[int, ...] | None = None
    clusters: int | None = None
    schedule: Literal["constant", "linear", "cosine", "plateau"] = "constant"
    class_weights: bool = False
    trials: int | None = None
    epochs: int | None = None
    patience: int | None = None
    settings: int | None = None
    initialisations: int | None = None
    snapshots: int | None = None
    retrainings: int | None = None
    generator_steps: int | None = None
    candidates: int | None = None
    resamplings: int | None = None
    members: int | None = None
    refine_epochs: int | None = None
    finalists: int | None = None
    finalist_trainings: int | None = None
    equal_time_search: bool | None = None
    full_grid: bool | None = None
    method: Method = Method()

    def __post_init__(self) -> None:
        check_fields(self, error=ConfigError)
        if not isinstance(self.method, Method):
            raise ConfigError(f"got method={shown(self.method)}, expected gnndiff.Method(...)")
        for name, known in (("sampler", SAMPLERS), ("pruner", PRUNERS), ("deliver", DELIVERED)):
            if getattr(self, name) not in known:
                raise ConfigError(f"no {name} is called {getattr(self, name)!r}: use one of {', '.join(known)}")
        for name in ("workers", "threads"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ConfigError(f"got {name}={number}, expected at least 1")
        if self.ray is not None and self.workers > 1:
            raise ConfigError(f"got ray={self.ray!r} and workers={self.workers}: a cluster has workers of its own")
        if self.ray is not None and self.pruner != "none" and self.storage is None and self.ray != "local":
            raise ConfigError(
                f"got pruner={self.pruner!r} on a Ray cluster, whose machines do not see the run folder: give --storage"
            )

    @property
    def folder(self) -> Path:
        """The run folder."""
        if self.out is not None:
            return Path(self.out)
        task, model = (re.sub(r"[^\w.-]+", "-", Path(name).name) for name in (self.task, self.model))
        return Path("runs") / f"{task}-{model}-{self.budget}-split{self.split}-seed{self.seed}".lower()

    @property
    def limits(self) -> Budget:
        """The budget behind the name, with what the config has instead.

        Raises:
            ConfigError: There is no such budget, or a number is too small.
        """
        budget = by_name("budget", self.budget, BUDGETS)
        changes = {name: getattr(self, name) for name in LIMITS if getattr(self, name) is not None}
        return dataclasses.replace(budget, **changes)

    @property
    def loading(self) -> dict[str, Any]:
        """The fields of :class:`graphtasks.FitConfig` that all trainings share."""
        return {name: getattr(self, name) for name in LOADING}


LIMITS = tuple(entry.name for entry in dataclasses.fields(Budget))
LOADING = ("batch_size", "neighbors", "clusters", "schedule", "class_weights")
