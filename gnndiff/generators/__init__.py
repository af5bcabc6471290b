"""Generators of parameter vectors."""

from gnndiff.generators.base import Generator
from gnndiff.generators.gaussian import Gaussian
from gnndiff.generators.latent import LatentGenerator
from gnndiff.generators.latent_diffusion import LatentDiffusion
from gnndiff.generators.members import KernelDensity, Mixture
from gnndiff.names import by_name

GENERATORS: dict[str, type[LatentGenerator]] = {
    cls.name: cls for cls in (Gaussian, KernelDensity, Mixture, LatentDiffusion)
}
"""Generators by name, the simplest first."""


def find(name: str) -> type[LatentGenerator]:
    """The generator with a name.

    Raises:
        ConfigError: There is none.
    """
    return by_name("generator", name, GENERATORS)


__all__ = [
    "GENERATORS",
    "Gaussian",
    "Generator",
    "KernelDensity",
    "LatentDiffusion",
    "LatentGenerator",
    "Mixture",
    "find",
]
