"""The zoo of the GNN-Diff paper (https://arxiv.org/abs/2410.05697)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gnndiff.config import Budget, Method
from gnndiff.targets.base import Setting
from gnndiff.zoo.recipes.base import Recipe, Training

RESTARTS, EPOCHS, RATE = 10, 10, 5e-4


class Paper(Recipe):
    """One training of the winner, and ten restarts of ten epochs that change its last layer alone.

    All of its checkpoints are nearly one point.
    """

    name: ClassVar[str] = "paper"
    may_be_a_point: ClassVar[bool] = True

    def trainings(self, settings: Sequence[Setting], limits: Budget, method: Method) -> list[Training]:
        """Eleven trainings, whatever the limits are."""
        winner = settings[0]
        changes = {name: value for name, value in (("optimizer", "adam"), ("lr", RATE)) if name in winner}
        restart = Training({**winner, **changes}, branch=True, epochs=EPOCHS, parameters="last-layer", every_epoch=True)
        return [Training(winner), *[restart] * RESTARTS]
