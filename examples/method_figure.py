"""The figure of docs/method.md: spectrum, a mode, a learned filter and the error over the rank, of the karate club.

python examples/method_figure.py --out docs/method.png
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import torch
import tyro
from matplotlib.figure import Figure

import graphtasks
from dmdgnn import plot
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import GraphDMD
from dmdgnn.transforms import AddDMDModes


@dataclass(frozen=True)
class Config:
    """Settings.

    Args:
        out: Image file; its ending says the format.
        rank: Number of modes.
    """

    out: Path = Path("method.png")
    rank: int = 16


def main(config: Config) -> Figure:
    """Train on split 0, and draw."""
    dynamics = FeaturePropagation(burn_in=2)
    task = graphtasks.load("karate").transform(AddDMDModes(config.rank, dynamics=dynamics))
    data = task.graph()
    torch.manual_seed(0)
    model = GraphDMD(task.num_features, 16, task.num_classes, config.rank, dropout=0.5)
    graphtasks.fit(model, task, split=0, config=graphtasks.FitConfig(epochs=200, lr=0.01, weight_decay=1e-4))

    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 6.6), dpi=120, layout="constrained")
        axes = figure.subplots(2, 2).flat
        plot.spectrum(data.dmd_eigs, axes[0]).set_title("Spectrum")
        graph = plot.mode(data, data.dmd_modes, 1, ax=axes[1])
        figure.colorbar(graph.collections[-1], ax=graph)
        graph.set_title("Mode 1 of the club")
        plot.learned_filter(model.conv, data.dmd_eigs, axes[2]).set_title("Filter after training")
        error = plot.reconstruction_error(
            *dynamics.snapshots(data), range(1, 33), axes[3], modes="projected", constraint="symmetric"
        )
        error.set_title("Error and energy over the rank")
        figure.savefig(config.out)
    return figure


if __name__ == "__main__":
    main(tyro.cli(Config))
