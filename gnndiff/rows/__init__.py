"""The rows of the comparison, in the order of the table."""

from gnndiff.rows.base import Material, Outcome, Row
from gnndiff.rows.checkpoints import BestCheckpoint, CheckpointEnsemble, CheckpointSoup, NoiseBestOfN
from gnndiff.rows.generated import GeneratedBest, GeneratedEnsemble, GeneratedSoup
from gnndiff.rows.retrained import BestFinalist, CoarseWinner, EqualTimeSearch, FullGrid

ROWS: tuple[Row, ...] = (
    CoarseWinner(),
    BestFinalist(),
    BestCheckpoint(),
    CheckpointSoup(),
    CheckpointEnsemble(),
    NoiseBestOfN(),
    GeneratedBest(),
    GeneratedSoup(),
    GeneratedEnsemble(),
    EqualTimeSearch(),
    FullGrid(),
)

__all__ = ["ROWS", "Material", "Outcome", "Row"]
