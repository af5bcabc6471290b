"""Diffusion in the latent space of a linear autoencoder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from typing_extensions import Self

from gnndiff.errors import ConfigError
from gnndiff.files import read_json, write_json, write_tensors, write_text
from gnndiff.generators.data import Data, Fold
from gnndiff.generators.latent import WEIGHTS, LatentGenerator, check_count
from gnndiff.generators.modules import loaded
from gnndiff.progress import Advance

if TYPE_CHECKING:
    from gnndiff.generators.denoiser import Denoiser


NOTHING = "nothing beyond mean and covariance"
"""Fact of a generator that is the Gaussian of the trainings."""


class LatentDiffusion(LatentGenerator):
    """Denoising diffusion of the latents of parameter vectors, as a residual to the Gaussian of the trainings.

    Whole trainings are held out to find the number of optimisation steps with the least error on them; then it is
    trained on all for as many. Where that number is 0, or where trainings are too few to hold one out, the generator is
    the Gaussian, whatever its budget, and `facts` say so.
    Sources: "Diffusing to the Top" (https://arxiv.org/abs/2410.05697), with classifier-free guidance
    (https://arxiv.org/abs/2207.12598).

    Args:
        steps: Optimisation steps of the denoiser at most.
        method: Constants of training and sampling.
        device: Device of training.

    After :meth:`fit`, `autoencoder`, `denoiser` and `scheduler` are there; another scheduler of diffusers may be set
    in the place of the latter.
    """

    name = "latent-diffusion"
    files = (
        *LatentGenerator.files,
        "scheduler/scheduler_config.json",
        "denoiser/config.json",
        f"denoiser/{WEIGHTS}",
    )

    denoiser: Denoiser
    scheduler: Any

    def _learn(self, data: Data, fold: Fold | None, rng: torch.Generator, advance: Advance) -> None:
        from gnndiff.generators import diffusion

        found = diffusion.HeldOut(0, float("nan"), float("nan"))
        if fold is not None:
            found = diffusion.held_out_steps(fold.to(self.device), self.steps, rng, self.method)
        data = data.to(self.device)
        denoiser = diffusion.train_denoiser(data, self.steps, rng, self.method, advance, until=found.steps)
        self.denoiser = denoiser.cpu()
        self.scheduler = diffusion.sampler(self.method.scheduler, diffusion.noise_schedule())
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
        steps: int | None = None,
    ) -> Tensor:
        """Draw latents (n, k).

        Args:
            n: How many.
            condition: Condition to draw for (C,). A score outside of the zoo's becomes the nearest of these.
            rng: Source of randomness, on the CPU.
            guidance: Instead of that of the method.
            steps: Denoising steps, instead of those of the method.

        Raises:
            ConfigError: A number is too small, NaN or infinite.
        """
        from gnndiff.generators.diffusion import sample

        check_count(n)
        guidance = self.method.guidance if guidance is None else float(guidance)
        steps = self.method.sampling_steps if steps is None else steps
        condition = self.wanted if condition is None else condition
        if steps < 1:
            raise ConfigError(f"got steps={steps}, expected at least 1")
        if not torch.isfinite(torch.tensor(guidance)) or not bool(condition.isfinite().all()):
            raise ConfigError("got a guidance or a condition that is NaN or infinite, expected finite numbers")
        conditions = self.standardised(condition.expand(n, -1))
        return sample(self.denoiser, self.scheduler, conditions, guidance=guidance, steps=steps, generator=rng)

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
        from gnndiff.generators import diffusion
        from gnndiff.generators.denoiser import Denoiser

        generator, folder = super().from_pretrained(folder), Path(folder)
        own = read_json(folder / "denoiser" / "config.json")
        generator.denoiser = loaded(Denoiser, own, load_file(folder / "denoiser" / WEIGHTS))
        scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
        generator.scheduler = diffusion.sampler(scheduler["_class_name"], diffusion.noise_schedule())
        generator.scheduler = type(generator.scheduler).from_pretrained(folder / "scheduler")
        return generator

    def _own_tensors(self) -> dict[str, Tensor]:
        return {}

    def _set_tensors(self, tensors: dict[str, Tensor]) -> None:
        pass
