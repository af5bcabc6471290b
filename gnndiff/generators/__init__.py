"""Generators of parameter vectors."""

from gnndiff.generators.auto import CANDIDATES, Auto
from gnndiff.generators.base import Generator, Judge
from gnndiff.generators.flow_matching import FlowMatching
from gnndiff.generators.gaussian import Gaussian
from gnndiff.generators.latent import LatentGenerator
from gnndiff.generators.latent_diffusion import LatentDiffusion
from gnndiff.generators.members import KernelDensity, Mixture
from gnndiff.generators.subspace import Subspace
from gnndiff.names import by_name

GENERATORS: dict[str, type[LatentGenerator]] = {**{cls.name: cls for cls in CANDIDATES}, Auto.name: Auto}
"""Generators by name, the simplest first, and the choice among them last."""


def find(name: str) -> type[LatentGenerator]:
    """The generator with a name.

    Raises:
        ConfigError: There is none.
    """
    return by_name("generator", name, GENERATORS)


__all__ = [
    "GENERATORS",
    "Auto",
    "FlowMatching",
    "Gaussian",
    "Generator",
    "Judge",
    "KernelDensity",
    "LatentDiffusion",
    "LatentGenerator",
    "Mixture",
    "Subspace",
    "find",
]
