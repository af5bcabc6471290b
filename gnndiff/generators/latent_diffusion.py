"""Diffusion in the latent space of a linear autoencoder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from typing_extensions import Self

from gnndiff.config import Method
from gnndiff.errors import ConfigError
from gnndiff.files import read_json, write_json, write_tensors, write_text
from gnndiff.generators.autoencoder import ParameterAutoencoder
from gnndiff.generators.base import Generator
from gnndiff.generators.conditions import Standardised, ZooConditions
from gnndiff.generators.modules import loaded
from gnndiff.progress import Advance
from gnndiff.zoo.zoo import Zoo

if TYPE_CHECKING:
    from gnndiff.generators.denoiser import Denoiser

WEIGHTS = "diffusion_pytorch_model.safetensors"


class LatentDiffusion(Generator):
    """Denoising diffusion of the latents of parameter vectors, conditioned on a graph and a validation score.

    Sources: "Diffusing to the Top" (https://arxiv.org/abs/2410.05697), with classifier-free guidance
    (https://arxiv.org/abs/2207.12598).

    Args:
        steps: Optimisation steps of the denoiser.
        method: Constants of training and sampling.
        device: Device of training.

    After :meth:`fit`, `autoencoder`, `denoiser` and `scheduler` are there; another scheduler of diffusers may be set
    in the place of the latter.
    """

    name = "latent-diffusion"

    autoencoder: ParameterAutoencoder
    denoiser: Denoiser
    standardised: Standardised
    wanted: Tensor
    scheduler: Any

    def __init__(self, steps: int = 1500, method: Method = Method(), device: str = "cpu") -> None:  # noqa: B008 - frozen
        self.steps, self.method, self.device = steps, method, device

    def fit(
        self, zoo: Zoo, conditions: ZooConditions, *, rng: torch.Generator, advance: Advance = lambda text: None
    ) -> Self:
        """Fit the autoencoder, then train the denoiser on its latents."""
        from gnndiff.generators import diffusion

        self.autoencoder = ParameterAutoencoder.fit(zoo.vectors, zoo.layout, self.method.energy)
        self.standardised = Standardised.over(conditions.values)
        self.wanted = conditions.wanted
        self.denoiser = diffusion.train_denoiser(
            self.autoencoder.encode(zoo.vectors).to(self.device),
            self.standardised(conditions.values).to(self.device),
            self.steps,
            rng,
            self.method,
            advance,
        ).cpu()
        self.scheduler = diffusion.sampler(self.method.scheduler, diffusion.noise_schedule())
        return self

    def sample(
        self, n: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None, **options: Any
    ) -> Tensor:
        """Draw parameter vectors (n, P).

        Args:
            n: How many.
            condition: What they are for (C,).
            rng: Source of randomness, on the CPU.
            **options: `guidance` and `steps`, instead of those of the method.
        """
        return self.autoencoder.decode(self.sample_latents(n, condition=condition, rng=rng, **options))

    def sample_latents(
        self,
        n: int,
        *,
        condition: Tensor | None = None,
        rng: torch.Generator | None = None,
        guidance: float | None = None,
        steps: int | None = None,
    ) -> Tensor:
        """Draw latents (n, k); arguments as of :meth:`sample`."""
        from gnndiff.generators.diffusion import sample

        guidance = self.method.guidance if guidance is None else float(guidance)
        steps = self.method.sampling_steps if steps is None else steps
        condition = self.wanted if condition is None else condition
        if n < 1 or steps < 1:
            raise ConfigError(f"got n={n} and steps={steps}, expected at least 1 for both")
        if not torch.isfinite(torch.tensor(guidance)) or not bool(condition.isfinite().all()):
            raise ConfigError("got a guidance or a condition that is NaN or infinite, expected finite numbers")
        conditions = self.standardised(condition.expand(n, -1))
        return sample(self.denoiser, self.scheduler, conditions, guidance=guidance, steps=steps, generator=rng)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write autoencoder, denoiser and scheduler, in the layout of diffusers."""
        folder = Path(folder)
        for part in ("scheduler", "denoiser", "parameters"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        write_text(folder / "scheduler" / "scheduler_config.json", self.scheduler.to_json_string())
        write_json(folder / "denoiser" / "config.json", self.denoiser.config)
        write_tensors(folder / "denoiser" / WEIGHTS, self.denoiser.state_dict())
        config = {
            "reconstruction_error": self.autoencoder.reconstruction_error,
            "steps": self.steps,
            "method": vars(self.method),
        }
        write_json(folder / "parameters" / "config.json", config)
        tensors = {
            **{name: getattr(self.autoencoder, name) for name in ("mean", "scale", "basis")},
            **{f"condition.{name}": getattr(self.standardised, name) for name in ("mean", "std")},
            "condition.wanted": self.wanted,
        }
        write_tensors(folder / "parameters" / WEIGHTS, tensors)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> Self:
        """Read what :meth:`save_pretrained` wrote."""
        from gnndiff.generators import diffusion
        from gnndiff.generators.denoiser import Denoiser

        folder = Path(folder)
        config = read_json(folder / "parameters" / "config.json")
        tensors = load_file(folder / "parameters" / WEIGHTS)
        generator = cls(config["steps"], Method.from_json(config["method"]))
        generator.autoencoder = ParameterAutoencoder(
            **{name: tensors[name] for name in ("mean", "scale", "basis")},
            reconstruction_error=config["reconstruction_error"],
        )
        generator.standardised = Standardised(tensors["condition.mean"], tensors["condition.std"])
        generator.wanted = tensors["condition.wanted"]
        own = read_json(folder / "denoiser" / "config.json")
        generator.denoiser = loaded(Denoiser, own, load_file(folder / "denoiser" / WEIGHTS))
        scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
        generator.scheduler = diffusion.sampler(scheduler["_class_name"], diffusion.noise_schedule())
        generator.scheduler = type(generator.scheduler).from_pretrained(folder / "scheduler")
        return generator
