"""Graph neural networks whose propagation is a low-rank operator estimated by Dynamic Mode Decomposition."""

from dmdgnn.dmd import DMD
from dmdgnn.errors import DMDGNNError, FactorizationError, GradientError, InputError, NotFittedError, RankError
from dmdgnn.multiresolution import MRDMD
from dmdgnn.operator import LowRankOperator
from dmdgnn.optimised import OptDMD

__version__ = "0.1.0"

__all__ = [
    "DMD",
    "MRDMD",
    "DMDGNNError",
    "FactorizationError",
    "GradientError",
    "InputError",
    "LowRankOperator",
    "NotFittedError",
    "OptDMD",
    "RankError",
]
