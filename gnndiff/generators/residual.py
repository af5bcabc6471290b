"""Generators that learn what a Gaussian leaves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import Tensor
from typing_extensions import Self

from gnndiff.config import Method
from gnndiff.errors import ConfigError
from gnndiff.files import read_json, write_json, write_tensors, write_text
from gnndiff.generators.base import Judge
from gnndiff.generators.data import Data, Fold
from gnndiff.generators.latent import WEIGHTS, LatentGenerator, check_count
from gnndiff.generators.modules import loaded
from gnndiff.generators.paths import NoisePath
from gnndiff.progress import Advance
from graphtasks.values import real

if TYPE_CHECKING:
    from gnndiff.generators.denoiser import Denoiser


NOTHING = "nothing beyond mean and covariance"
"""Fact of a generator that is the Gaussian of the trainings."""


class ResidualGenerator(LatentGenerator):
    """A learned way from noise to latents of parameter vectors, as a residual to that of the Gaussian of the trainings.

    Whole trainings are held out to find the number of optimisation steps with the least error on them; then it is
    trained on all for as many. Where that number is 0, or where trainings are too few to hold one out, the generator is
    the Gaussian, whatever its budget, and `facts` say so.

    Args:
        steps: Optimisation steps of the denoiser at most.
        method: Constants of training and sampling.
        device: Device of training.

    After :meth:`fit`, `autoencoder`, `denoiser` and `scheduler` are there; another scheduler of diffusers, on the same
    path, may be set in the place of the latter.
    """

    path: ClassVar[NoisePath]
    files = (
        *LatentGenerator.files,
        "scheduler/scheduler_config.json",
        "denoiser/config.json",
        f"denoiser/{WEIGHTS}",
    )

    denoiser: Denoiser
    scheduler: Any

    @classmethod
    def check(cls, method: Method) -> None:
        """Raise `ConfigError` where the method names a scheduler that is none of the path."""
        if method.scheduler != Method.scheduler:  # which is right, and diffusers takes seconds to import
            cls.path.scheduler(method.scheduler)

    def _learn(
        self, data: Data, fold: Fold | None, judge: Judge | None, rng: torch.Generator, advance: Advance
    ) -> None:
        from gnndiff.generators import learning

        self.scheduler = self.path.scheduler(self.method.scheduler)
        found = learning.HeldOut(0, float("nan"), float("nan"))
        if fold is not None:
            found = learning.held_out_steps(self.path, fold.to(self.device), self.steps, rng, self.method)
        data = data.to(self.device)
        denoiser = learning.train_denoiser(self.path, data, self.steps, rng, self.method, advance, until=found.steps)
        self.denoiser = denoiser.cpu()
        self.facts |= {"steps": found.steps, "learned": "beyond mean and covariance" if found.steps else NOTHING}
        if fold is not None:
            self.facts |= {"held_out_error": found.error, "held_out_error_of_gaussian": found.gaussian}

    def sample_latents(
        self,
        n: int,
        *,
        condition: Tensor | None = None,
        rng: torch.Generator | None = None,
        guidance: float | None = None,
        scheduler: str | None = None,
        steps: int | None = None,
    ) -> Tensor:
        """Draw latents (n, k); where nothing was learned, those of the Gaussian generator.

        Args:
            n: How many.
            condition: Condition that they are for (C,). A score outside of the zoo's becomes the nearest of these.
            rng: Source of randomness, on the CPU.
            guidance: Instead of that of the method.
            scheduler: Class of diffusers that samples, instead of `scheduler` here.
            steps: Its steps, instead of those of the method.

        Raises:
            ConfigError: A number is too small, NaN or infinite, or there is no such scheduler.
        """
        from gnndiff.generators.sampling import sample

        check_count(n)
        guidance = self.method.guidance if guidance is None else real("guidance", guidance, error=ConfigError)
        steps = self.method.sampling_steps if steps is None else steps
        condition = self.wanted if condition is None else condition
        if not bool(condition.isfinite().all()):
            raise ConfigError("got a condition that is NaN or infinite, expected finite numbers")
        walker = self.scheduler if scheduler is None else self.path.scheduler(scheduler)
        if not self.facts["steps"]:
            return self.denoiser.variances.sqrt() * torch.randn(n, len(self.denoiser.variances), generator=rng)
        conditions = self.standardised(condition.expand(n, -1))
        return sample(self.denoiser, walker, conditions, guidance=guidance, steps=steps, generator=rng)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write autoencoder, denoiser and scheduler, in the layout of diffusers."""
        super().save_pretrained(folder)
        folder = Path(folder)
        for part in ("scheduler", "denoiser"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        write_text(folder / "scheduler" / "scheduler_config.json", self.scheduler.to_json_string())
        write_json(folder / "denoiser" / "config.json", self.denoiser.config)
        write_tensors(folder / "denoiser" / WEIGHTS, self.denoiser.state_dict())

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> Self:
        """Read what :meth:`save_pretrained` wrote."""
        from gnndiff.generators.denoiser import Denoiser

        generator, folder = super().from_pretrained(folder), Path(folder)
        own = read_json(folder / "denoiser" / "config.json")
        generator.denoiser = loaded(Denoiser, own, load_file(folder / "denoiser" / WEIGHTS))
        scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
        usual = cls.path.scheduler(scheduler["_class_name"])
        generator.scheduler = type(usual).from_pretrained(folder / "scheduler")
        return generator

    def _own_tensors(self) -> dict[str, Tensor]:
        return {}

    def _set_tensors(self, tensors: dict[str, Tensor]) -> None:
        pass
