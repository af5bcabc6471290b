"""Graph neural networks whose propagation is a low-rank operator estimated by Dynamic Mode Decomposition."""

from __future__ import annotations

import importlib
from typing import Any

from dmdgnn.dmd import DMD
from dmdgnn.errors import (
    DMDGNNError,
    FactorizationError,
    FileError,
    GradientError,
    InputError,
    NotFittedError,
    RankError,
)
from dmdgnn.multiresolution import MRDMD
from dmdgnn.operator import LowRankOperator
from dmdgnn.optimised import OptDMD

__version__ = "0.1.0"

__all__ = [
    "DMD",
    "MRDMD",
    "DMDGNNError",
    "FactorizationError",
    "FileError",
    "GradientError",
    "InputError",
    "LowRankOperator",
    "NotFittedError",
    "OptDMD",
    "RankError",
    "spectrum_embedding",
]

# Loaded when they are first asked for: `import dmdgnn` stays as fast as what it needs.
_SUBMODULES = ("dynamics", "kernels", "loader", "nn", "plot", "series", "testing", "transforms")


def __getattr__(name: str) -> Any:
    if name == "spectrum_embedding":
        return importlib.import_module(f"{__name__}.spectrum").spectrum_embedding
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *__all__})
