"""Charts of a run's networks: checkpoints and generated ones on one map, and what novelty costs."""

from __future__ import annotations

import torch
from torch import Tensor

from gnndiff.pipeline import GNNDiffPipeline
from gnndiff.runs.collect import read_zoo
from gnndiff.runs.folder import Run
from gnndiff.runs.generate import load_candidates
from graphtasks.report import Series, chart, paragraph

LARGEST = 2**27
"""Numbers in all networks beyond which they are not put on a map."""


def networks(run: Run) -> list[str]:
    """How the zoo lies, a map of all networks by their first two principal directions, and score by novelty."""
    zoo, candidates = read_zoo(run), load_candidates(run)
    facts = zoo.geometry()
    parts = [paragraph(facts.meaning(run.method.least_spread)), f"<pre>{facts}</pre>"]
    latents, scores = candidates.latents[0], candidates.vals[0].tolist()
    if (len(latents) + len(zoo)) * zoo.layout.size > LARGEST:
        return parts
    made = GNNDiffPipeline.from_pretrained(run.folder / "generator").generator.autoencoder.decode(latents)
    name = run.task.metric.name
    return [
        *parts,
        f"<div class='charts'>{_map(zoo.vectors, zoo.scores, made, scores, name)}"
        f"{_novelty(zoo.best_of_each(), zoo.vectors, made, scores, name)}</div>",
    ]


def _map(kept: Tensor, kept_scores: list[float], made: Tensor, scores: list[float], metric: str) -> str:
    centre = kept.mean(dim=0)
    _, _, directions = torch.pca_lowrank(torch.cat([kept, made]) - centre, q=2, center=False, niter=4)
    series = []
    for name, vectors, values in (("checkpoints", kept, kept_scores), ("generated networks", made, scores)):
        x, y = ((vectors - centre) @ directions).mT.tolist()
        labels = [f"{name}: validation {metric} {value:.4g}" for value in values]
        series.append(Series(name, x, y, labels))
    return chart(
        series, x="first principal direction of all networks", y="second", name="map of checkpoints and generated"
    )


def _novelty(trainings: Tensor, kept: Tensor, made: Tensor, scores: list[float], metric: str) -> str:
    unit = float(torch.pdist(trainings).mean()) if len(trainings) > 1 else 1.0
    nearest = (torch.cdist(made, kept).amin(dim=1) / (unit or 1.0)).tolist()
    labels = [f"{value:.4g} at distance {far:.3g}" for far, value in zip(nearest, scores, strict=True)]
    return chart(
        [Series("", nearest, scores, labels)],
        x="distance to the nearest checkpoint (mean distance of two trainings = 1)",
        y=f"validation {metric}",
    )
