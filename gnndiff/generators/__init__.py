"""Generators of parameter vectors."""

from gnndiff.generators.base import Generator
from gnndiff.generators.latent_diffusion import LatentDiffusion

GENERATORS: dict[str, type[Generator]] = {LatentDiffusion.name: LatentDiffusion}

__all__ = ["GENERATORS", "Generator", "LatentDiffusion"]
