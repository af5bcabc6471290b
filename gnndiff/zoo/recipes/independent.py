"""Trainings from many initialisations with several good settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gnndiff.config import Budget, Method
from gnndiff.targets.base import Setting
from gnndiff.zoo.recipes.base import Recipe, Training, connecting


class Independent(Recipe):
    """Top settings times initialisations, at learning rates that leave members connected.

    Every second training does without some edges.
    """

    name: ClassVar[str] = "independent"

    def trainings(self, settings: Sequence[Setting], limits: Budget, method: Method) -> list[Training]:
        """`limits.settings` times `limits.initialisations` trainings."""
        total = limits.settings * limits.initialisations
        return [
            Training(
                connecting(settings[member * len(settings) // total], method),
                edge_drop=method.edge_drop if member % 2 else 0.0,
            )
            for member in range(total)
        ]
