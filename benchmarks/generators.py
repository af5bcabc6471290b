"""Held-out errors of the learned generators against the Gaussian's on the zoo of a run, and which `auto` takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

from gnndiff.generators import FlowMatching, LatentDiffusion, LatentGenerator
from gnndiff.generators.auto import Auto
from gnndiff.generators.conditions import ZooConditions
from gnndiff.runs.collect import read_zoo
from gnndiff.runs.folder import Run


@dataclass(frozen=True)
class Config:
    """Settings of the benchmark.

    Args:
        run: Folder of a run whose zoo is collected.
        steps: Optimisation steps at most.
        seeds: Choices of the trainings that are held out.
        root: Folder of raw data files.
    """

    run: Annotated[Path, tyro.conf.Positional]
    steps: int = 1500
    seeds: int = 5
    root: Path | None = None


def main(config: Config) -> None:
    """Fit each learned generator with each seed, then `auto`; one line a fit."""
    run = Run.load(config.run, root=config.root)
    with run.threaded():
        zoo = read_zoo(run)
        print(f"{zoo}, effective rank {zoo.effective_rank:.1f}")
        conditions = ZooConditions.of_scores(zoo.scores, zoo.metric)
        for cls in (FlowMatching, LatentDiffusion, Auto):
            for seed in range(config.seeds):
                rng, start = torch.Generator().manual_seed(seed), time.perf_counter()
                generator: LatentGenerator = cls(config.steps, run.method)
                fitted = generator.fit(
                    zoo.vectors, conditions, members=zoo.members, layout=zoo.layout, judge=zoo, rng=rng
                )
                print(cls.name, seed, told(fitted.facts), f"{time.perf_counter() - start:.1f} s", flush=True)


def told(facts: dict[str, object]) -> str:
    """Facts of a generator in one line."""
    if "chosen" in facts:
        scores = facts["scores"]
        assert isinstance(scores, dict)
        return f"{facts['chosen']} ({facts['why']}): " + ", ".join(f"{k} {v:.4f}" for k, v in scores.items())
    return (
        f"held-out error {facts['held_out_error']:.3f} (Gaussian {facts['held_out_error_of_gaussian']:.3f}) after "
        f"{facts['steps']} steps, reconstruction {facts['reconstruction_error']:.2f}"
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
