"""An audit of generated networks: whether they are more than copies or blends of the checkpoints.

Zeng et al., "Generative modeling of weights: generalization or memorization?" (https://arxiv.org/abs/2506.07998), find
that most published generators replicate or interpolate their checkpoints. Distances of weights, and overlaps of wrong
predictions, tell such networks from new ones.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gnndiff.errors import ZooError
from gnndiff.evaluation import Evaluator
from gnndiff.scores import order
from gnndiff.stacked import States
from gnndiff.zoo.zoo import Zoo
from graphtasks import kinds
from graphtasks.splits import Part

if TYPE_CHECKING:
    from gnndiff.generators import Generator


@dataclass(frozen=True)
class ConditionEffect:
    """Difference that the condition makes at fixed noise.

    Args:
        distance: Mean distance of two networks of the same noise, one for the best and one for the worst validation
            score of the zoo, in units of the distance of a checkpoint to the nearest other training. 0 where the
            generator knows of no condition.
        gain: By how much the mean validation score is better for the best score than for the worst; below 0 where
            asking for less gives more.
        networks: Number of such pairs.
    """

    distance: float
    gain: float
    networks: int


@dataclass(frozen=True)
class Audit:
    """Means over some networks. A value that does not exist is None.

    Args:
        networks: Number of them.
        distance: Distance to the nearest checkpoint.
        same: Distance of a checkpoint to the nearest one of its own training; None where each training has one.
        other: Distance of a checkpoint to the nearest one of another training; None where there is one training.
        overlap: Largest overlap (intersection over union) of wrong predictions with those of a checkpoint; None of
            values, which are not right or wrong.
        overlap_same: The same between a checkpoint and others of its own training.
        overlap_other: The same between a checkpoint and those of other trainings.
        condition: Effect of the condition, where a generator was given.
    """

    networks: int
    distance: float
    same: float | None
    other: float | None
    overlap: float | None
    overlap_same: float | None
    overlap_other: float | None
    condition: ConditionEffect | None = None

    @property
    def in_same(self) -> float | None:
        """Distance in units of that of two checkpoints of one training; 1 and below: as near as another snapshot."""
        return self.distance / self.same if self.same else None

    @property
    def in_other(self) -> float | None:
        """Distance in units of that of the nearest other training; 1 and above: as new as another training."""
        return self.distance / self.other if self.other else None

    def to_dict(self) -> dict[str, Any]:
        """All fields and ratios, for JSON."""
        return {**asdict(self), "in_same": self.in_same, "in_other": self.in_other}

    @property
    def meaning(self) -> str:
        """One sentence of what the distances mean."""
        if self.in_same is not None and self.in_same <= 1:
            return "No farther from a checkpoint than another snapshot of the same training: copies."
        if self.in_other is not None and self.in_other < 1:
            return "Farther from all checkpoints than snapshots of one training, nearer than another training: blends."
        return "As far from all checkpoints as another training."

    def __str__(self) -> str:
        def text(value: float | None) -> str:
            return "none" if value is None else f"{value:.2f}"

        lines = [
            f"distance to the nearest checkpoint  {text(self.in_same)} of the same training's, "
            f"{text(self.in_other)} of the nearest other training's",
            f"overlap of wrong predictions        {text(self.overlap)}, of checkpoints of one training "
            f"{text(self.overlap_same)}, of two {text(self.overlap_other)}",
        ]
        if self.condition is not None:
            lines.append(
                f"effect of the condition             moves by {self.condition.distance:.2f} of the nearest other "
                f"training's distance, validation better by {self.condition.gain:.4f}"
            )
        return "\n".join([*lines, self.meaning])


class Auditor:
    """Audits networks against the checkpoints of a zoo, which are measured once.

    Args:
        zoo: The zoo.
        part: Part whose wrong predictions are compared. Nothing is chosen by it.
    """

    def __init__(self, zoo: Zoo, part: Part = "test") -> None:
        self.zoo, self.part = zoo, part
        members = torch.tensor(zoo.members)
        own = members.unsqueeze(0) == members.unsqueeze(1)
        itself = torch.eye(len(zoo), dtype=torch.bool)
        self._masks = own & ~itself, ~own
        distances = _distances(zoo.vectors, zoo.vectors)
        self.same, self.other = (_mean_nearest(-distances, mask, -1.0) for mask in self._masks)
        self._wrong = self._wrong_of(zoo.vectors)
        self.overlap_same = self.overlap_other = None
        if self._wrong is not None:
            overlaps = overlap(self._wrong, self._wrong)
            self.overlap_same, self.overlap_other = (_mean_nearest(overlaps, mask) for mask in self._masks)

    def __call__(self, vectors: Tensor, generator: Generator | None = None, *, pairs: int = 8, seed: int = 0) -> Audit:
        """The audit of networks by their vectors (m, P); arguments as of :func:`audit`."""
        if vectors.dim() != 2 or not len(vectors) or vectors.size(1) != self.zoo.layout.size:
            raise ZooError(
                f"got vectors of shape {tuple(vectors.shape)}, expected at least one, (m, {self.zoo.layout.size})"
            )
        wrong = None if self._wrong is None else self._wrong_of(vectors)
        found = None
        if wrong is not None and self._wrong is not None:
            found = float(overlap(wrong, self._wrong).amax(dim=1).mean())
        return Audit(
            len(vectors),
            float(_distances(vectors, self.zoo.vectors).amin(dim=1).mean()),
            self.same,
            self.other,
            found,
            self.overlap_same,
            self.overlap_other,
            None if generator is None else self.condition_effect(generator, pairs, seed),
        )

    def condition_effect(self, generator: Generator, pairs: int = 8, seed: int = 0) -> ConditionEffect:
        """Effect of asking a generator for the best instead of the worst validation score of the zoo."""
        ranking = order(self.zoo.scores, self.zoo.metric)
        ends = [torch.tensor([float(self.zoo.scores[i])]) for i in (ranking[0], ranking[-1])]
        best, worst = (generator.sample(pairs, condition=end, rng=torch.Generator().manual_seed(seed)) for end in ends)
        unit = self.other or self.same or 1.0
        means = [statistics.fmean(self.zoo.score(vectors)) for vectors in (best, worst)]
        gain = self.zoo.metric.sign * (means[0] - means[1])
        return ConditionEffect(float((best - worst).norm(dim=1).mean()) / unit, gain, pairs)

    def _wrong_of(self, vectors: Tensor) -> Tensor | None:
        """Which answers of networks (n, M) are wrong, None where they cannot be."""
        if not isinstance(self.zoo.evaluator, Evaluator):
            return None
        return wrong_answers(self.zoo.evaluator, self.zoo.layout.unflatten(vectors), self.part)


def audit(
    zoo: Zoo,
    vectors: Tensor,
    generator: Generator | None = None,
    *,
    part: Part = "test",
    pairs: int = 8,
    seed: int = 0,
) -> Audit:
    """Audit generated networks: are they copies or blends of the checkpoints, and does the condition matter?

    Args:
        zoo: The checkpoints that the generator was fitted to.
        vectors: Vectors (m, P) of the generated networks.
        generator: The generator, for the effect of its condition.
        part: Part whose wrong predictions are compared. Nothing is chosen by it.
        pairs: Pairs of networks of the same noise behind the effect of the condition.
        seed: Seed of that noise.

    Raises:
        ZooError: The vectors are not of the zoo's architecture.

    >>> states = [torch.nn.Linear(2, 1).state_dict() for _ in range(3)]
    >>> zoo = Zoo.from_states(states, [0.3, 0.1, 0.2], torch.nn.Linear(2, 1), lambda module: float(module.bias))
    >>> audit(zoo, zoo.vectors).in_other
    0.0
    """
    return Auditor(zoo, part)(vectors, generator, pairs=pairs, seed=seed)


def wrong_answers(evaluator: Evaluator, states: States, part: Part) -> Tensor | None:
    """Which answers of stacked networks to the labelled targets of a part are wrong (n, M); None where they are values.

    A class is wrong by the highest score, a label or a link by the sign of its score.
    """
    task, split = evaluator.task, evaluator.split
    if task.form == "values":
        return None
    y, rows = task.targets(split, part), kinds.find(task.kind).rows(task, split, part)
    labelled = ~y.isnan() if y.is_floating_point() else y >= 0
    found = []
    for outputs in evaluator.outputs(states, part):
        answers = (outputs if rows is None else outputs[:, rows]).cpu()
        guessed = answers.argmax(dim=-1) if task.form == "classes" else answers.reshape(-1, *y.shape) > 0
        found.append((guessed != y)[:, labelled])
    return torch.cat(found)


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (n, m) of sets (n, M) and (m, M) as masks; 1 of two empty ones.

    >>> overlap(torch.tensor([[True, True, False]]), torch.tensor([[False, True, True], [True, True, False]]))
    tensor([[0.3333, 1.0000]])
    """
    a, b = first.float(), second.float()
    both = a @ b.T
    union = a.sum(dim=1, keepdim=True) + b.sum(dim=1) - both
    return torch.where(union > 0, both / union.clamp(min=1), torch.ones_like(both))


def _distances(first: Tensor, second: Tensor) -> Tensor:
    # Not by products, in whose rounding the distance of a near copy is lost.
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")


def _mean_nearest(nearness: Tensor, mask: Tensor, sign: float = 1.0) -> float | None:
    """Mean over rows of the largest value where the mask is true, times a sign; None where it is so in no row."""
    rows = mask.any(dim=1)
    if not bool(rows.any()):
        return None
    return sign * float(nearness.masked_fill(~mask, -torch.inf).amax(dim=1)[rows].mean())
