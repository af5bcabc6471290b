"""Models to compare, and what their comparisons have in common."""

import importlib

import pandas as pd
import torch
from torch import nn

from graphtasks import FitConfig
from graphtasks.compare import Contender

SHORT = FitConfig(epochs=4, lr=0.05)


# The name `graphtasks.compare` may be the function.
MODULE = importlib.import_module("graphtasks.compare")
TRIAL = importlib.import_module("graphtasks.trial")


class Net(nn.Module):
    """Two layers with dropout, which see the features alone."""

    def __init__(self, task, hidden=4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(task.num_features, hidden), nn.Dropout(), nn.Linear(hidden, 3))

    def forward(self, x):
        return self.layers(x)


class Constant(nn.Module):
    """One class for all nodes, or NaN."""

    def __init__(self, task, label=0):
        super().__init__()
        self.scores = nn.Parameter(torch.eye(3)[label] if label >= 0 else torch.full((3,), torch.nan))

    def forward(self, x):
        return self.scores.expand(len(x), 3)


def same(a, b):
    """Whether two comparisons agree in everything but wall clocks."""
    for first, second in ((a.runs, b.runs), (a.trials, b.trials)):
        pd.testing.assert_frame_equal(first.drop(columns="seconds"), second.drop(columns="seconds"))
    return True


def tuned(name="net", **changes):
    return Contender(name, Net, {"hidden": [2, 4, 8], "lr": [0.01, 0.1]}, **changes)


def signs(task):
    data = task.data.clone()
    data.x = data.x.sign()
    return task.replace(data=data)
