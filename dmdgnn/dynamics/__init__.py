"""Dynamical systems on a graph whose snapshots DMD reads."""

from dmdgnn.dynamics.base import Dynamics, Evolution
from dmdgnn.dynamics.diffusion import HeatDiffusion, PersonalizedPageRank
from dmdgnn.dynamics.hidden import HiddenStates
from dmdgnn.dynamics.propagation import FeaturePropagation, Propagation
from dmdgnn.dynamics.reaction import AllenCahn, Kuramoto
from dmdgnn.dynamics.wave import WaveEquation

__all__ = [
    "AllenCahn",
    "Dynamics",
    "Evolution",
    "FeaturePropagation",
    "HeatDiffusion",
    "HiddenStates",
    "Kuramoto",
    "PersonalizedPageRank",
    "Propagation",
    "WaveEquation",
]
