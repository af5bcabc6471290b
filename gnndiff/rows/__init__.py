"""The rows of the comparison, in the order of the table."""

from gnndiff.rows.base import Made, Material, Outcome, Row
from gnndiff.rows.forms import FORMS
from gnndiff.rows.pooled import PooledRow
from gnndiff.rows.pools import checkpoints, controls, generated, noise, retrainings
from gnndiff.rows.retrained import BestFinalist, CoarseWinner, EqualTimeSearch, FullGrid

POOLS = {
    "retrained": retrainings,
    "checkpoint": checkpoints,
    "noise": noise,
    "gaussian": controls("gaussian", "networks of the Gaussian of the trainings"),
    "kde": controls("kde", "networks of a kernel density of the checkpoints"),
    "mixture": controls("mixture", "random averages of the trainings"),
    "generated": generated,
}
"""Pools of networks by name, the simplest first."""

ROWS: tuple[Row, ...] = (
    CoarseWinner(),
    BestFinalist(),
    *(PooledRow(name, make, form) for name, make in POOLS.items() for form in FORMS),
    EqualTimeSearch(),
    FullGrid(),
)

__all__ = ["FORMS", "POOLS", "ROWS", "Made", "Material", "Outcome", "Row"]
