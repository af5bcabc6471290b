"""From a coarse hyperparameter search to generated parameters: diffusion models over checkpoints of graph networks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnndiff.config import RunConfig
    from gnndiff.errors import GNNDiffError
    from gnndiff.pipeline import GNNDiffPipeline
    from gnndiff.runs import Run

# Imported on first use: PyG, diffusers and optuna together take seconds.
_MODULES = {
    "GNNDiffError": "gnndiff.errors",
    "GNNDiffPipeline": "gnndiff.pipeline",
    "Run": "gnndiff.runs",
    "RunConfig": "gnndiff.config",
}

__all__ = ["GNNDiffError", "GNNDiffPipeline", "Run", "RunConfig"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
