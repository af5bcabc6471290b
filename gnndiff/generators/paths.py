"""Paths from latents to noise, with what a network learns along them and which schedulers walk them back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from gnndiff.names import by_name

STEPS = 1000
"""Time steps of a path."""


class NoisePath(ABC):
    r"""A path :math:`z_t = a_t z + b_t \epsilon` from latents z at time 0 to noise.

    A network learns the mean of :math:`u = c z + \epsilon`, given :math:`z_t`. Where latents are Gaussian with
    variances v, that mean is

    .. math::
        E[u \mid z_t] = \frac{c\, a_t v + b_t}{a_t^2 v + b_t^2}\, z_t
    """

    name: ClassVar[str]
    share: ClassVar[float]
    """Share c of the latents in what is learned."""

    @abstractmethod
    def shares(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """The shares a and b (B, 1) of latents and noise at times (B,)."""

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Times (n,) to learn from."""

    def even(self, n: int) -> Tensor:
        """Times (n,) all along the path, from those that are drawn."""
        return torch.linspace(0, STEPS - 1, n)

    @abstractmethod
    def schedulers(self) -> tuple[str, ...]:
        """Names of the classes of diffusers that can sample."""

    @abstractmethod
    def _scheduler(self, cls: Any) -> Any:
        """A scheduler of a class on this path."""

    def scheduler(self, name: str) -> Any:
        """The scheduler of diffusers with a name, on this path.

        Raises:
            ConfigError: There is none, or none that can walk this path.
        """
        import diffusers

        choices = {each: getattr(diffusers, each) for each in self.schedulers()}
        return self._scheduler(by_name(f"scheduler of {self.name}", name, choices))

    def between(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Points (B, k) between latents and noise (B, k) at times (B,)."""
        a, b = self.shares(times)
        return a * latents + b * noise

    def target(self, latents: Tensor, noise: Tensor) -> Tensor:
        """Learned combination (B, k) of latents and noise (B, k)."""
        return self.share * latents + noise

    def gaussian(self, points: Tensor, times: Tensor, variances: Tensor) -> Tensor:
        """The mean (B, k) of what is learned at points (B, k), for Gaussian latents with variances (k,)."""
        a, b = self.shares(times)
        return (self.share * a * variances + b) / (a.square() * variances + b.square()) * points


class DiffusionPath(NoisePath):
    r"""The path of denoising diffusion, along which noise is learned.

    :math:`a_t = \sqrt{\bar\alpha_t}`, :math:`b_t = \sqrt{1 - \bar\alpha_t}`, c = 0, with the linear schedule of
    "Denoising Diffusion Probabilistic Models" (https://arxiv.org/abs/2006.11239).
    """

    name = "diffusion"
    share = 0.0

    def shares(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """The shares; between two whole steps the squared ones are interpolated."""
        levels = _schedule().alphas_cumprod.to(times.device)
        below = times.floor().long().clamp(0, STEPS - 1)
        left = torch.lerp(levels[below], levels[(below + 1).clamp(max=STEPS - 1)], (times - below).to(levels))
        return left.sqrt().unsqueeze(-1), (1 - left).sqrt().unsqueeze(-1)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Whole steps."""
        return torch.randint(STEPS, (n,), generator=generator)

    def schedulers(self) -> tuple[str, ...]:
        """Classes that diffusers calls compatible, without two that scale or draw noise in a way of their own."""
        own = ("EDMEulerScheduler", "DPMSolverSDEScheduler")
        return tuple(sorted({cls.__name__ for cls in _schedule().compatibles} - {*own}))

    def _scheduler(self, cls: Any) -> Any:
        return cls.from_config(_schedule().config, timestep_spacing="trailing")


class FlowPath(NoisePath):
    r"""The straight path of flow matching, along which the velocity from latents to noise is learned.

    :math:`a_t = 1 - t / 1000`, :math:`b_t = t / 1000`, c = -1: "Flow Matching for Generative Modeling"
    (https://arxiv.org/abs/2210.02747) with the direction of time and the sign of diffusers.
    """

    name = "flow matching"
    share = -1.0

    def shares(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """The shares."""
        part = times.float().unsqueeze(-1) / STEPS
        return 1 - part, part

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Any times."""
        return STEPS * torch.rand(n, generator=generator)

    def schedulers(self) -> tuple[str, ...]:
        """Euler's and Heun's, and solvers of diffusion that know of the straight path."""
        return (
            "DEISMultistepScheduler",
            "DPMSolverMultistepScheduler",
            "DPMSolverSinglestepScheduler",
            "FlowMatchEulerDiscreteScheduler",
            "FlowMatchHeunDiscreteScheduler",
            "UniPCMultistepScheduler",
        )

    def _scheduler(self, cls: Any) -> Any:
        if cls.__name__.startswith("FlowMatch"):
            return cls(num_train_timesteps=STEPS)
        return cls(num_train_timesteps=STEPS, use_flow_sigmas=True, prediction_type="flow_prediction")


PATHS = {path.name: path for path in (DiffusionPath(), FlowPath())}
"""Paths by name."""


@cache
def _schedule() -> Any:
    """The noise schedule of diffusion: linear, and no clipping, which latents would not survive."""
    from diffusers import DDPMScheduler

    # Other classes take values of their own in the place of those that are not passed.
    betas = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
    return DDPMScheduler(num_train_timesteps=STEPS, clip_sample=False, **betas)
