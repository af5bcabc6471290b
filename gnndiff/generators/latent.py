"""Generators of latents, which a linear autoencoder turns into parameter vectors."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import Tensor
from typing_extensions import Self

from gnndiff.config import Method
from gnndiff.errors import ConfigError
from gnndiff.files import read_json, write_json, write_tensors
from gnndiff.generators.autoencoder import ParameterAutoencoder
from gnndiff.generators.base import Generator, Judge
from gnndiff.generators.conditions import Standardised, ZooConditions
from gnndiff.generators.data import Data, Fold
from gnndiff.generators.trainings import chosen, held_out
from gnndiff.progress import Advance
from gnndiff.zoo.vectors import ParameterLayout
from graphtasks.values import whole

WEIGHTS = "diffusion_pytorch_model.safetensors"


class LatentGenerator(Generator):
    """A law of the latents of parameter vectors, in which each training weighs the same.

    Args:
        steps: Optimisation steps, of those that have any.
        method: Constants of training and sampling.
        device: Device of training.

    After :meth:`fit`, `autoencoder` and `facts` are there. The latter tell the reader how well whole trainings that
    were left out are described.
    """

    files: ClassVar[tuple[str, ...]] = ("parameters/config.json", f"parameters/{WEIGHTS}")
    """Names of the files that :meth:`save_pretrained` writes, below the folder."""

    autoencoder: ParameterAutoencoder
    standardised: Standardised
    wanted: Tensor
    facts: dict[str, Any]

    def __init__(self, steps: int = 1500, method: Method = Method(), device: str = "cpu") -> None:  # noqa: B008 - frozen
        self.steps, self.method, self.device = steps, method, device

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
        """Fit the autoencoder, then the law of its latents.

        Raises:
            ConfigError: There are not as many members or conditions as vectors, or no judge where one is needed.
            ZooError: The vectors are one point.
        """
        members = list(range(len(vectors)) if members is None else members)
        layout = ParameterLayout({"vector": (vectors.size(1),)}) if layout is None else layout
        for name, count in (("members", len(members)), ("conditions", len(conditions.values))):
            if count != len(vectors):
                raise ConfigError(f"got {count} {name} for {len(vectors)} vectors: give one for each")
        unseen = held_out(members, rng)
        self.standardised, self.wanted = Standardised.over(conditions.values), conditions.wanted
        known = self.standardised(conditions.values)
        self.autoencoder = ParameterAutoencoder.fit(vectors, layout, self.method.energy, members)
        self.facts, fold = {"reconstruction_error": None}, None
        if unseen.any():
            seen = ~unseen
            own, others = chosen(members, seen), chosen(members, unseen)
            part = ParameterAutoencoder.fit(vectors[seen], layout, self.method.energy, own)
            self.facts["reconstruction_error"] = part.error(vectors[unseen])
            data = Data.of(part, vectors[seen], known[seen], own)
            fold = Fold(data, part.encode(vectors[unseen]), known[unseen], others)
        self._learn(Data.of(self.autoencoder, vectors, known, members), fold, judge, rng, advance)
        return self

    @classmethod
    def check(cls, method: Method) -> None:
        """Raise `ConfigError` where the method has constants that this generator cannot use."""

    def sample(
        self, n: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None, **options: Any
    ) -> Tensor:
        """Draw parameter vectors (n, P); options as of :meth:`sample_latents`."""
        return self.autoencoder.decode(self.sample_latents(n, condition=condition, rng=rng, **options))

    @abstractmethod
    def sample_latents(self, n: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Draw latents (n, k)."""

    @abstractmethod
    def _learn(
        self, data: Data, fold: Fold | None, judge: Judge | None, rng: torch.Generator, advance: Advance
    ) -> None:
        """Learn the law of the latents; the fold, where trainings are enough, is to check by."""

    @abstractmethod
    def _own_tensors(self) -> dict[str, Tensor]:
        """Tensors of the law."""

    @abstractmethod
    def _set_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take back what :meth:`_own_tensors` gave."""

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the autoencoder and the law as JSON and safetensors."""
        folder = Path(folder) / "parameters"
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", {"steps": self.steps, "method": vars(self.method), "facts": self.facts})
        tensors = {
            **{name: getattr(self.autoencoder, name) for name in ("mean", "scale", "basis")},
            **{f"condition.{name}": value for name, value in vars(self.standardised).items()},
            "condition.wanted": self.wanted,
            **{f"law.{name}": tensor for name, tensor in self._own_tensors().items()},
        }
        write_tensors(folder / WEIGHTS, tensors)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> Self:
        """Read what :meth:`save_pretrained` wrote."""
        folder = Path(folder) / "parameters"
        config, tensors = read_json(folder / "config.json"), load_file(folder / WEIGHTS)
        generator = cls(config["steps"], Method.from_json(config["method"]))
        generator.facts = config["facts"]
        generator.autoencoder = ParameterAutoencoder(**{name: tensors[name] for name in ("mean", "scale", "basis")})
        names = ("mean", "std", "lowest", "highest")
        generator.standardised = Standardised(**{name: tensors[f"condition.{name}"] for name in names})
        generator.wanted = tensors["condition.wanted"]
        own = {name.removeprefix("law."): tensor for name, tensor in tensors.items() if name.startswith("law.")}
        generator._set_tensors(own)
        return generator


def check_count(n: int) -> None:
    """Raise `ConfigError` unless there is something to draw."""
    whole("n", n, 1, error=ConfigError)
