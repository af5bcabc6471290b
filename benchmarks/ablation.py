"""How much do the modes add to the same model without them?

`dmd` is the model of `node_classification.py` whose modes stand behind a gate, which starts closed: where labels are
many GraphSAGE with a term of modes, where they are few `DecoupledDMD`, GPRGNN with one. `dmd-closed` is the same model
with the gates kept closed: the same initialisation and choices, and no modes in what it computes. Each is tuned for
itself, with as many trials in the same time.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import node_classification
from scores import main
from torch import nn

from dmdgnn.nn import DMDConv
from gnndiff.errors import ConfigError
from graphtasks import Contender, GraphTask

TASKS = (
    "actor",
    "minesweeper",
    "amazon-photo:tunedgnn",
    "amazon-computers:tunedgnn",
    "coauthor-cs:tunedgnn",
    "cora:geom-gcn",
    "citeseer:geom-gcn",
    "cora-ml-directed",
)


def contender(name: str, task: GraphTask) -> Contender:
    """The model with its modes, or without."""
    if task.many:
        raise ConfigError(f"{task.name!r} has many graphs: its model has no gate to keep closed")
    made = node_classification.contender("dmd", task)
    if "form" in made.space:
        made = dataclasses.replace(made, space={**made.space, "form": ("propagate",)})
    return made if name == "dmd" else dataclasses.replace(made, build=_closed(made.build))


def _closed(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    @functools.wraps(build)
    def closed(task: GraphTask, **setting: Any) -> nn.Module:
        model = build(task, **setting)
        for module in model.modules():
            if isinstance(module, DMDConv) and module.gate is not None:
                module.gate.requires_grad_(False)
        return model

    return closed


if __name__ == "__main__":
    main(
        __doc__,
        tasks=TASKS,
        models={name: partial(contender, name) for name in ("dmd-closed", "dmd")},
        ours="dmd",
        **node_classification.PROTOCOL,
    )
