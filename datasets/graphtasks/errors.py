"""Errors of graphtasks: each says what was got, what was expected and what to do."""


class GraphTasksError(Exception):
    """Base of every error that graphtasks raises on purpose."""


class UnknownTaskError(GraphTasksError, ValueError):
    """No task, split protocol or option has the given name."""


class MissingFilesError(GraphTasksError, FileNotFoundError):
    """The raw files of a dataset are neither in the root folder nor downloadable."""


class FileError(GraphTasksError, OSError):
    """A file cannot be read or written, or is another's, which is never replaced."""


class InvalidDataError(GraphTasksError, ValueError):
    """A graph, a split or a prediction does not satisfy what its task needs."""


class DivergedError(GraphTasksError, ArithmeticError):
    """A training left the finite numbers."""


class OutOfMemoryError(GraphTasksError, MemoryError):
    """The memory of the machine or of its accelerator does not hold a training or a prediction."""


class DataWarning(UserWarning):
    """Data can be learned from, but perhaps not as they were meant."""
