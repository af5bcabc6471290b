"""Errors of gnndiff: each says what was got, what was expected and what to do."""


class GNNDiffError(Exception):
    """Base of every error that gnndiff raises on purpose."""


class ConfigError(GNNDiffError, ValueError):
    """A setting is unknown or out of range."""


class RunFolderError(GNNDiffError):
    """A run folder belongs to another configuration, or a stage's results are missing."""


class DamagedFileError(GNNDiffError):
    """A file of a run does not hold what was written to it."""


class ZooError(GNNDiffError, ValueError):
    """The checkpoints cannot be learned from."""


class BenchError(GNNDiffError):
    """Some models of a benchmark have no rows on some tasks."""
