"""A run: its folder, its configuration and its seeds."""

from gnndiff.runs.folder import Run

__all__ = ["Run"]
