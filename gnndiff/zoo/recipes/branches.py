"""Short continuations of a good training, which share its basin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gnndiff.config import Budget, Method
from gnndiff.targets.base import Setting
from gnndiff.zoo.recipes.base import Recipe, Training, connecting

RATES = (0.3, 0.5, 0.7, 1.0)
"""Learning rates, relative to that of the setting."""

DROPS = ((0.0, 0.0), (0.1, 0.0), (0.0, 0.1), (0.2, 0.1), (0.2, 0.0))
"""Shares of edges and of features that branches do without."""

DROPOUTS = (0.0, 0.1, 0.2)
"""Amounts that are added to the dropout of the setting."""


class Branches(Recipe):
    """Some trainings from scratch, and branches of the best of them.

    Branches differ in their seed, learning rate, dropout, and in the edges and features that they do without.
    """

    name: ClassVar[str] = "branches"

    def trainings(self, settings: Sequence[Setting], limits: Budget, method: Method) -> list[Training]:
        """`limits.settings` times `limits.initialisations` trainings, of which `method.roots` begin anew."""
        total = limits.settings * limits.initialisations
        roots = min(method.roots, max(1, total - 1))
        start = connecting(settings[0], method)
        anew = [Training(start) for _ in range(roots)]
        return anew + [self._branch(start, number, method) for number in range(total - roots)]

    def _branch(self, start: Setting, number: int, method: Method) -> Training:
        changes = {}
        if "lr" in start:
            changes["lr"] = RATES[number % len(RATES)] * start["lr"]
        if "dropout" in start:
            changes["dropout"] = min(0.9, start["dropout"] + DROPOUTS[number % len(DROPOUTS)])
        edges, features = DROPS[number % len(DROPS)]
        return Training(
            {**start, **changes}, branch=True, epochs=method.branch_epochs, edge_drop=edges, feature_drop=features
        )
