"""Rows of a form of a pool."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from gnndiff.rows.base import Material, Outcome, Row
from gnndiff.rows.forms import Form
from gnndiff.rows.pools import Pool

NAMES = {
    "checkpoint_best": "best_checkpoint",
    "noise_best": "noise_best_of_n",
}
"""Names of rows that are not put together of pool and form."""


class PooledRow(Row):
    """One form of one pool.

    Args:
        pool: Name of the pool.
        make: Makes the pool.
        form: The form.
    """

    def __init__(self, pool: str, make: Callable[[Material], Pool], form: Form) -> None:
        name = f"{pool}_{form.name}"
        super().__init__(NAMES.get(name, name), pool, form.name, ensemble=form.ensemble)
        self._make, self._form = make, form

    def applies(self, material: Material) -> bool:
        """Whether there is such a row: the generator is no control of itself, trainings of the winner none, either."""
        if self.pool == "retrained" and self.form == "matched_best":
            return False
        return self.pool != type(material.generator).name

    def outcome(self, material: Material) -> Outcome:
        """Make it of each draw, and score it."""
        pool, judge = material.pool(self.pool, self._make), material.judge
        start = perf_counter()
        made = self._form.make(material, pool)
        spent = (perf_counter() - start) / len(made)
        of = pool.few if self.form == "matched_best" else pool.draws[0].count
        limits = material.run.limits
        title = self._form.title.format(
            few=pool.few,
            members=limits.members,
            epochs=limits.refine_epochs,
            start="best" if pool.good is None else "average of the best",
        )
        note = f"{pool.title}: {title}"
        if self.form in ("soup", "greedy_soup") and pool.good is not None:
            left = int((~pool.good).sum())
            note += f"; {pool.zoo.alignment}" + (f", {left} beyond a barrier left out" if left else "")
        return Outcome.judged(judge, made, of, pool.seconds + spent, note)
