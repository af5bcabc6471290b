"""Parameters for graphs never seen: one generator for the graphs of a family."""

from gnndiff.family.pipeline import FamilyPipeline, FamilyWarning
from gnndiff.family.rows import FamilyResults
from gnndiff.family.run import run_family

__all__ = ["FamilyPipeline", "FamilyResults", "FamilyWarning", "run_family"]
