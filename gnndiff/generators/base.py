"""The contract of a generator of parameter vectors."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from typing_extensions import Self

from gnndiff.generators.conditions import ZooConditions
from gnndiff.progress import Advance
from gnndiff.zoo.vectors import ParameterLayout
from graphtasks import Metric


class Judge(Protocol):
    """Tells how good networks are, by their parameter vectors. A :class:`gnndiff.Zoo` is one."""

    @property
    def metric(self) -> Metric:
        """The metric of the scores."""

    def score(self, vectors: Tensor) -> list[float]:
        """Validation scores of vectors (n, P)."""

    def gradients(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Training losses (n,) of vectors (n, P), summed over their targets, and the gradients (n, P).

        Raises:
            ZooError: There is no training loss, only scores.
        """


class Generator(ABC):
    """Learns the distribution of parameter vectors, and draws from it."""

    name: ClassVar[str] = ""

    @abstractmethod
    def fit(
        self,
        vectors: Tensor,
        conditions: ZooConditions,
        *,
        rng: torch.Generator,
        members: Sequence[int] | None = None,
        layout: ParameterLayout | None = None,
        judge: Judge | None = None,
        advance: Advance = lambda text: None,
    ) -> Self:
        """Learn from parameter vectors.

        Args:
            vectors: Shape (n, P).
            conditions: Known facts of each of them.
            rng: Source of all randomness, on the CPU.
            members: The training of each vector, by default one each. Snapshots of one training share it.
            layout: Where each tensor lies in a vector, by default one tensor of all.
            judge: How good networks are, for generators that ask for it.
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
