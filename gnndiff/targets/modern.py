"""The hyperparameters that models have in common today: width, depth, normalisation, and residuals or skips."""

from __future__ import annotations

from gnndiff.targets.base import Space, Target, takes
from gnndiff.targets.paper import Experiment, experiment
from graphtasks import GraphTask

MODERN: Space = {"dropout": (0.2, 0.5, 0.8), "hidden": (64, 128)}

_FORMS: dict[Experiment, Space] = {
    "small": {"num_layers": (2, 3), "norm": ("none", "batch_norm"), "skip": (False, True)},
    "link": {"num_layers": (2, 3), "norm": ("none", "batch_norm"), "skip": (False, True)},
    "large": {"num_layers": (2, 3), "norm": ("batch_norm",), "skip": (False, True), "hidden": (128, 256)},
    # Many hops need depth, and depth needs residuals.
    "long-range": {
        "num_layers": (4, 8),
        "norm": ("batch_norm",),
        "residual": (True,),
        "dropout": (0.0, 0.2, 0.5),
    },
}


def modern(target: Target, task: GraphTask) -> Space:
    """Widths and dropouts, and of depths, normalisations, residuals and skips those that a target's module takes.

    Skips, linear maps beside each layer, are what graphs ask for whose neighbours differ in class. The choices are
    those of `"Classic GNNs are Strong Baselines" <https://arxiv.org/abs/2406.08993>`_, thinned out for some tens of
    trials.
    """
    forms = _FORMS[experiment(task)]
    return {**MODERN, **{name: choices for name, choices in forms.items() if name in MODERN or takes(target, name)}}
