"""Errors of dmdgnn: each says what was got, what was expected and what to do."""


class DMDGNNError(Exception):
    """Base of every error that dmdgnn raises on purpose."""


class InputError(DMDGNNError, ValueError):
    """An argument has a wrong shape, dtype, device or value."""


class NotFittedError(InputError, AttributeError):
    """A result was asked for before there is one."""


class RankError(DMDGNNError, ValueError):
    """The rank asked for is above what the data have."""


class FactorizationError(DMDGNNError, ArithmeticError):
    """A factorisation did not converge."""


class GradientError(DMDGNNError, RuntimeError):
    """A gradient was asked for that there is not."""


class MissingPackageError(DMDGNNError, ImportError):
    """An optional package is not installed."""


class FileError(DMDGNNError, OSError):
    """A file cannot be read or written, is damaged, or is another's, which is never replaced."""
