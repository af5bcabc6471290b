"""Diffusion in the latent space of a linear autoencoder."""

from __future__ import annotations

from gnndiff.generators.paths import DiffusionPath
from gnndiff.generators.residual import ResidualGenerator


class LatentDiffusion(ResidualGenerator):
    """Denoising diffusion of the latents of parameter vectors, as a residual to the Gaussian of the trainings.

    Sources: "Denoising Diffusion Probabilistic Models" (https://arxiv.org/abs/2006.11239) and, of parameters,
    "Diffusing to the Top" (https://arxiv.org/abs/2410.05697), with classifier-free guidance
    (https://arxiv.org/abs/2207.12598).
    """

    name = "latent-diffusion"
    path = DiffusionPath()
