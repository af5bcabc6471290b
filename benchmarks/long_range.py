"""Does the term of the modes carry answers over many hops, where models of the same size and depth do not?

All models have the same number of layers and, by their width, about the same number of parameters. Graphs are many and
new in each part, so that nothing can be learned by heart. They see the same choices of learning rate, beside those of
their own: a linear map beside each layer of GCN and GAT and the attention heads of the latter, normalisation of both
blocks, rank and degree of the DMD block. `gcn-deep` is a GCN of as many layers as half the nodes of the largest graph,
which are the hops between the two sides of a ring. The attention of GPS has no positional encodings.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from scores import grid, main, own
from torch import nn

from gnndiff.targets import Space, find, takes
from graphtasks import Contender, FitConfig, GraphTask

TASKS = (
    *(f"ring-transfer:hops={hops}:num_graphs=500" for hops in (10, 20, 40)),
    "eccentricity",
    "shortest-path",
)
MODELS = ("gcn", "gat", "gps", "dmdgps", "gcn-deep")
LAYERS = 4
PARAMETERS = 16_000

TRAINING: Space = {"lr": (0.01, 0.003), "weight_decay": (0.0,), "dropout": (0.0,)}
LOCAL: Space = {"norm": ("batch_norm",), "skip": (0, 1)}
# Eight heads would make the widths that there are too coarse for about the same number of parameters.
HEADS: Space = {"heads": (2, 4)}


def contender(name: str, task: GraphTask) -> Contender:
    """A target, as wide as makes it nearest to the number of parameters."""
    known = name.removesuffix("-deep")
    model = find(known)
    layers = LAYERS if known == name else max(graph.num_nodes for graph in task.graphs) // 2
    local = LOCAL if takes(model, "skip") else {}
    heads = HEADS if known == "gat" else {}
    space = grid({**TRAINING, **own(model, task), **local, **heads, "num_layers": (layers,)})
    made = model.contender(name, task, {**space, "hidden": (1,)})
    widths: dict[str, int] = {}

    def build(task: GraphTask, **params: Any) -> nn.Module:
        key = str(sorted(params.items()))
        if key not in widths:
            widths[key] = width(partial(made.build, task, **params), step=_step(known, params))
        return made.build(task, **params, hidden=widths[key])

    return Contender(name, build, space, made.prepare)


def width(build: partial[nn.Module], step: int) -> int:
    """The multiple of a step whose number of parameters is nearest to the one of all models."""

    def parameters(hidden: int) -> int:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in build(hidden=hidden).parameters())

    low, high = 1, 2
    while parameters(high * step) < PARAMETERS:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(middle * step) < PARAMETERS else (low, middle)
    return min((low * step, high * step), key=lambda hidden: abs(parameters(hidden) - PARAMETERS))


def _step(name: str, params: dict[str, Any]) -> int:
    """Heads of attention, of which the width must be a multiple."""
    return int(params["heads"]) if name == "gat" else 4 if name == "gps" else 1


if __name__ == "__main__":
    main(
        __doc__,
        tasks=TASKS,
        models={name: partial(contender, name) for name in MODELS},
        config=FitConfig(epochs=60, patience=20, schedule="cosine", batch_size=64),
        kinds=("node", "node-regression", "graph"),
        trials=4,
        seeds=3,
        ours="dmdgps",
    )
