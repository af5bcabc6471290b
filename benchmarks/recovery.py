"""Distance of drawn to fresh vectors, for Gaussian trainings and for two modes of them, in the regime of zoos.

    python benchmarks/recovery.py --steps 800

One line a case and generator: the energy distance of 1,500 draws to as many fresh vectors, and for learned generators
the number of steps and the held-out errors. Trainings are of 2 to 100 dimensions.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor

from gnndiff.generators import FlowMatching, Gaussian, KernelDensity, LatentDiffusion, LatentGenerator
from gnndiff.generators.conditions import ZooConditions
from graphtasks.metrics import metric

FRESH = 1500
CASES = {
    "gaussian": ((16, 2), (16, 10), (16, 100), (100, 10)),
    "modes": ((16, 2), (100, 10), (1000, 2), (1000, 10), (1000, 100)),
}


def truth(kind: str, n: int, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Vectors (n, size) around 3, and scores (n,), which tell the mode where there are two, of weights 0.7 and 0.3."""
    spread = torch.linspace(0.3, 1.5, size)
    if kind == "gaussian":
        return 3 + spread * torch.randn(n, size, generator=rng), torch.rand(n, generator=rng)
    side = (torch.rand(n, generator=rng) < 0.3).float()
    centres = (2 * side - 1).unsqueeze(1) * torch.ones(size)
    vectors = 3 + centres + 0.25 * spread * torch.randn(n, size, generator=rng)
    return vectors, side + 0.05 * torch.randn(n, generator=rng)


def energy_distance(x: Tensor, y: Tensor) -> float:
    """0 for two samples (n, size) of one distribution, up to chance."""
    within = [torch.cdist(each, each).sum() / (len(each) * (len(each) - 1)) for each in (x, y)]
    return float(2 * torch.cdist(x, y).mean() - within[0] - within[1])


def main() -> None:
    """Print a line for each case, seed and generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800, help="optimisation steps at most")
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    generators: tuple[type[LatentGenerator], ...] = (Gaussian, KernelDensity, FlowMatching, LatentDiffusion)
    for kind, cases in CASES.items():
        for n, size in cases:
            for seed in range(args.seeds):
                rng = torch.Generator().manual_seed(seed + 100)
                vectors, scores = truth(kind, n, size, rng)
                fresh, _ = truth(kind, FRESH, size, rng)
                conditions = ZooConditions.of_scores(scores.tolist(), metric("accuracy"))
                for cls in generators:
                    fitted = cls(args.steps).fit(vectors, conditions, rng=torch.Generator().manual_seed(seed))
                    # Drawn without a condition, which only learned generators look at.
                    options: dict[str, Any] = {"guidance": 0.0} if cls in (FlowMatching, LatentDiffusion) else {}
                    drawn = fitted.sample(FRESH, rng=torch.Generator().manual_seed(1), **options)
                    distance = energy_distance(drawn, fresh)
                    line = f"{kind} {n} x {size} seed {seed} {cls.name}: energy distance {distance:.4f}"
                    if "held_out_error" in fitted.facts:
                        own, other = fitted.facts["held_out_error"], fitted.facts["held_out_error_of_gaussian"]
                        line += f", {fitted.facts['steps']} steps, error {own:.3f} of {other:.3f}"
                    print(line, flush=True)


if __name__ == "__main__":
    main()
