"""The simplest generator that no other beats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Self

from gnndiff.config import Method
from gnndiff.errors import ConfigError, ZooError
from gnndiff.files import read_json
from gnndiff.generators.base import Judge
from gnndiff.generators.data import Data, Fold
from gnndiff.generators.flow_matching import FlowMatching
from gnndiff.generators.gaussian import Gaussian
from gnndiff.generators.latent import LatentGenerator
from gnndiff.generators.latent_diffusion import LatentDiffusion
from gnndiff.generators.members import KernelDensity, Mixture
from gnndiff.generators.subspace import Subspace
from gnndiff.progress import Advance
from gnndiff.scores import best

CANDIDATES: tuple[type[LatentGenerator], ...] = (
    Gaussian,
    KernelDensity,
    Mixture,
    FlowMatching,
    LatentDiffusion,
    Subspace,
)
"""Generators to choose from, the simplest first."""

PAIRS = 20
"""Paired draws of each."""

SIZE = 10
"""Networks in a draw, of which the best by validation counts."""

LEVEL = 0.05
"""Level of the comparison of one with all others."""


class Auto(LatentGenerator):
    """The simplest generator that no other beats in paired draws.

    Each candidate learns the same trainings and draws `PAIRS` times `SIZE` networks, in each pair with the same seed. A
    draw is worth the best validation score in it, as what is delivered will be chosen so. One candidate beats another
    where the mean difference is in its favour and the two-sided signed-rank test of
    :meth:`graphtasks.Comparison.differences` has a p value of less than `LEVEL` over the number of others. The pairs
    are draws of one fit each: they compare these generators, not what others on other trainings would be. `facts` say
    which was chosen, as `chosen`, and why.

    Needs :class:`gnndiff.generators.base.Judge`, as which a zoo may be passed.
    """

    name = "auto"
    files = tuple(sorted({name for candidate in CANDIDATES for name in candidate.files}))

    chosen: LatentGenerator

    @classmethod
    def check(cls, method: Method) -> None:
        """Raise `ConfigError` where a candidate cannot use the method."""
        for candidate in CANDIDATES:
            candidate.check(method)

    def sample_latents(
        self, n: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None, **options: Any
    ) -> Tensor:
        """Draw latents (n, k) of the chosen generator, with its options."""
        return self.chosen.sample_latents(n, condition=condition, rng=rng, **options)

    def _learn(
        self, data: Data, fold: Fold | None, judge: Judge | None, rng: torch.Generator, advance: Advance
    ) -> None:
        if judge is None:
            raise ConfigError("the generator 'auto' compares others by validation scores: pass a zoo as `judge`")
        seed = int(torch.randint(2**31, (), generator=rng))
        laws: dict[str, LatentGenerator] = {}
        scores: dict[str, list[float]] = {}
        for cls in CANDIDATES:
            law = cls(self.steps, self.method, self.device)
            law.autoencoder, law.standardised, law.wanted = self.autoencoder, self.standardised, self.wanted
            law.facts = dict(self.facts)
            try:
                law._learn(data, fold, judge, torch.Generator().manual_seed(seed), lambda text: None)
            except ZooError:  # of a judge that knows scores alone
                continue
            laws[law.name] = law
            scores[law.name] = [_score(law, judge, seed + pair) for pair in range(PAIRS)]
            advance(f"{law.name} {judge.metric.format(sum(scores[law.name]) / PAIRS)}")
        name, facts = choice(scores, judge)
        self.chosen = laws[name]
        self.facts = self.chosen.facts | facts

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the chosen generator, and why it was chosen."""
        self.chosen.facts = self.facts
        self.chosen.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> Self:
        """Read what :meth:`save_pretrained` wrote."""
        facts = read_json(Path(folder) / "parameters" / "config.json")["facts"]
        chosen = next(each for each in CANDIDATES if each.name == facts["chosen"]).from_pretrained(folder)
        generator = cls(chosen.steps, chosen.method)
        for name in ("autoencoder", "standardised", "wanted", "facts"):
            setattr(generator, name, getattr(chosen, name))
        generator.chosen = chosen
        return generator

    def _own_tensors(self) -> dict[str, Tensor]:
        return self.chosen._own_tensors()

    def _set_tensors(self, tensors: dict[str, Tensor]) -> None:
        self.chosen._set_tensors(tensors)


def choice(scores: dict[str, list[float]], judge: Judge) -> tuple[str, dict[str, Any]]:
    """The first of several generators that no other beats, and facts that say why.

    Args:
        scores: Scores of paired draws by name, the simplest generator first.
        judge: Knows the metric.
    """
    import pandas as pd

    from graphtasks import Comparison

    metric, level = judge.metric, LEVEL / max(1, len(scores) - 1)
    shared = {"task": "zoo", "protocol": "draws", "split": 0, "metric": metric.name, "direction": metric.direction}
    rows = [
        {**shared, "model": name, "seed": pair, "val": score, "test": score}
        for name, each in scores.items()
        for pair, score in enumerate(each)
    ]
    comparison = Comparison(pd.DataFrame(rows))
    means = {name: sum(each) / len(each) for name, each in scores.items()}
    beaten: dict[str, str] = {}
    for name in scores:
        others = comparison.differences(name)
        better = others[(others["difference"] > 0) & (others["p"] < level)]
        if not len(better):
            break
        top = better.loc[better["difference"].idxmax()]
        beaten[name] = f"beaten by {top['model']} (p {top['p']:.2g})"
    why = f"the simplest that no other beats in {len(scores[name])} paired draws of {SIZE}"
    return name, {"chosen": name, "why": "; ".join([why, *(f"{k} is {v}" for k, v in beaten.items())]), "scores": means}


def _score(law: LatentGenerator, judge: Judge, seed: int) -> float:
    """The best validation score of one draw."""
    vectors = law.sample(SIZE, rng=torch.Generator().manual_seed(seed))
    return best(judge.score(vectors), judge.metric)
