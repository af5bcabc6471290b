"""The contract of a generator of parameter vectors."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import Self

from gnndiff.generators.conditions import ZooConditions
from gnndiff.progress import Advance
from gnndiff.zoo.zoo import Zoo


class Generator(ABC):
    """Learns the distribution of the parameter vectors of a zoo, and draws from it."""

    name: ClassVar[str] = ""

    @abstractmethod
    def fit(
        self, zoo: Zoo, conditions: ZooConditions, *, rng: torch.Generator, advance: Advance = lambda text: None
    ) -> Self:
        """Learn from a zoo.

        Args:
            zoo: The checkpoints.
            conditions: Known facts of each of them.
            rng: Source of all randomness, on the CPU.
            advance: Called with a short text as the work goes on.
        """

    @abstractmethod
    def sample(
        self, n: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None, **options: Any
    ) -> Tensor:
        """Draw parameter vectors (n, P).

        Args:
            n: How many.
            condition: Condition to draw for (C,), by default the run's graph and the best validation score of the zoo.
            rng: Source of randomness, on the CPU.
            **options: Options of the generator.
        """

    @abstractmethod
    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the generator as JSON and safetensors."""

    @classmethod
    @abstractmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> Self:
        """Read what :meth:`save_pretrained` wrote."""
