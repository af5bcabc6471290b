"""The contract of a recipe: which trainings fill a zoo."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from gnndiff.config import Budget, Method
from gnndiff.targets.base import Setting


@dataclass(frozen=True)
class Training:
    """One training of a zoo.

    Args:
        setting: Its hyperparameters.
        branch: Whether it goes on from the best of the trainings that began anew.
        epochs: Its epochs at most; None for those of the budget.
        edge_drop: Share of the edges that it does without.
        feature_drop: Share of the features that it does without.
        parameters: Tensors that it changes, as of :func:`gnndiff.zoo.selection.selected`.
        every_epoch: Whether the state after each epoch becomes a checkpoint, instead of the best of long blocks.
    """

    setting: Setting
    branch: bool = False
    epochs: int | None = None
    edge_drop: float = 0.0
    feature_drop: float = 0.0
    parameters: str = "all"
    every_epoch: bool = False


class Recipe(ABC):
    """A kind of zoo."""

    name: ClassVar[str]
    may_be_a_point: ClassVar[bool] = False
    """Whether its checkpoints may lie so close together that there is nothing to learn."""

    @abstractmethod
    def trainings(self, settings: Sequence[Setting], limits: Budget, method: Method) -> list[Training]:
        """The trainings of the zoo, in their order; trainings from scratch come first.

        Args:
            settings: The best settings of one architecture, the winner first.
            limits: How many trainings and snapshots there are.
            method: Constants.
        """


def connecting(setting: Setting, method: Method) -> Setting:
    """The setting, with Adam at `method.connecting_rate` in the place of a larger learning rate.

    Networks that are trained with larger steps lie in valleys of their own, between which there is nothing to average.
    """
    if "lr" not in setting or setting["lr"] <= method.connecting_rate:
        return setting
    adam = {"optimizer": "adam"} if "optimizer" in setting else {}
    return {**setting, **adam, "lr": method.connecting_rate}
