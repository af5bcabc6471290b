"""From a coarse hyperparameter search to generated parameters: diffusion models over checkpoints of graph networks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnndiff.api import run
    from gnndiff.benchmark.bench import Benchmark, bench
    from gnndiff.config import Budget, RunConfig
    from gnndiff.errors import BenchError, ConfigError, DamagedFileError, GNNDiffError, RunFolderError, ZooError
    from gnndiff.family import FamilyPipeline, FamilyResults, FamilyWarning, run_family
    from gnndiff.generators import Generator
    from gnndiff.pipeline import GNNDiffPipeline
    from gnndiff.results import Results
    from gnndiff.rows import Row
    from gnndiff.runs.folder import Run
    from gnndiff.targets import Target, available, register
    from gnndiff.targets.ranges import Float, Int
    from gnndiff.zoo import Zoo
    from gnndiff.zoo.audit import Audit, audit

# Imported on first use: PyG, diffusers and optuna together take seconds.
_MODULES = {
    "Audit": "gnndiff.zoo.audit",
    "BenchError": "gnndiff.errors",
    "Benchmark": "gnndiff.benchmark.bench",
    "Budget": "gnndiff.config",
    "ConfigError": "gnndiff.errors",
    "DamagedFileError": "gnndiff.errors",
    "Float": "gnndiff.targets.ranges",
    "Int": "gnndiff.targets.ranges",
    "FamilyPipeline": "gnndiff.family",
    "FamilyResults": "gnndiff.family",
    "FamilyWarning": "gnndiff.family",
    "GNNDiffError": "gnndiff.errors",
    "GNNDiffPipeline": "gnndiff.pipeline",
    "Generator": "gnndiff.generators",
    "Results": "gnndiff.results",
    "Row": "gnndiff.rows",
    "Run": "gnndiff.runs.folder",
    "RunConfig": "gnndiff.config",
    "RunFolderError": "gnndiff.errors",
    "Target": "gnndiff.targets",
    "Zoo": "gnndiff.zoo",
    "ZooError": "gnndiff.errors",
    "__version__": "dmdgnn",
    "audit": "gnndiff.zoo.audit",
    "available": "gnndiff.targets",
    "bench": "gnndiff.benchmark.bench",
    "register": "gnndiff.targets",
    "run": "gnndiff.api",
    "run_family": "gnndiff.family",
}

__all__ = [
    "Audit",
    "BenchError",
    "Benchmark",
    "Budget",
    "ConfigError",
    "DamagedFileError",
    "FamilyPipeline",
    "FamilyResults",
    "FamilyWarning",
    "Float",
    "GNNDiffError",
    "GNNDiffPipeline",
    "Generator",
    "Int",
    "Results",
    "Row",
    "Run",
    "RunConfig",
    "RunFolderError",
    "Target",
    "Zoo",
    "ZooError",
    "audit",
    "available",
    "bench",
    "register",
    "run",
    "run_family",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value  # `gnndiff.run` is the function, whatever submodules are imported later
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
