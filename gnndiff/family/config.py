"""How much a run over a family does, and the constants that change its numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from gnndiff.errors import ConfigError
from gnndiff.names import by_name
from graphtasks.values import check_fields, whole


@dataclass(frozen=True)
class FamilyBudget:
    """Sizes of the stages.

    Args:
        trials: Settings searched over the family.
        searched: Training members that each setting is tried on.
        epochs: Epochs of a training at most.
        patience: Epochs without a better validation score that end it.
        shared_steps: Steps of the networks that are trained on all members at once, a member each.
        generator_steps: Optimisation steps of the denoiser.
        latents: Principal components of the parameters.
        samples: Networks drawn for a graph.
        labels: Labels of an unseen member that trainings with few labels get.

    Raises:
        ConfigError: A size is no whole number, or too small.
    """

    trials: int = 8
    searched: int = 4
    epochs: int = 100
    patience: int = 30
    shared_steps: int = 4000
    generator_steps: int = 1500
    latents: int = 12
    samples: int = 16
    labels: int = 20

    def __post_init__(self) -> None:
        check_fields(self, error=ConfigError)
        for entry in dataclasses.fields(self):
            least = 2 if entry.name == "labels" else 1  # half of them train, half validate
            whole(entry.name, getattr(self, entry.name), least, error=ConfigError)


BUDGETS = {
    "smoke": FamilyBudget(
        trials=2, searched=2, epochs=15, patience=15, shared_steps=60, generator_steps=60, latents=3, samples=3
    ),
    "coarse": FamilyBudget(),
    "full": FamilyBudget(trials=32, searched=8, epochs=200, patience=50, shared_steps=20000, generator_steps=5000),
}


def find_budget(name: str) -> FamilyBudget:
    """The budget with a name.

    Raises:
        ConfigError: There is none.
    """
    return by_name("budget", name, BUDGETS)
