"""Does the DMD model embed nodes for link prediction better than known encoders that are tuned with the same effort?

All encoders are those of PyG's graph autoencoder, whose decoder is the inner product of two rows. They have two layers
and see the same choices of learning rate and dropout and, but for GraphSAGE, which has one anyway, of a linear map
beside each layer; the DMD model also has those of its modes. These come from the edges that messages pass along, never
from one to predict: for the training and the validation part from training edges, for the test part from those of
validation, too. Settings and epochs are chosen by the ROC-AUC of the validation part.
"""

from __future__ import annotations

from functools import partial

from scores import main
from torch import nn
from torch_geometric.nn import GAE, GCNConv
from torch_geometric.transforms import Compose

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DMDEncoder
from dmdgnn.transforms import AddDMDModes
from gnndiff.layers import SymmetricGCNConv
from gnndiff.registry import target_model
from gnndiff.space import Params, Space
from gnndiff.target import TargetModel, is_symmetric
from graphtasks import Contender, FitConfig, GraphTask

TASKS = ("cora-link", "citeseer-link", "amazon-photo-link")
METRICS = ("ap", "hits@20", "mrr")
TRAINING: Space = {
    "lr": (0.01, 0.005),
    "weight_decay": (0.0,),
    "dropout": (0.0, 0.3, 0.5),
    "hidden": (64,),
}
RANKS = (32, 64, 128)
SKIP: Space = {"skip": (0, 1)}
DYNAMICS: Space = {"burn_in": (0, 2), "modes": ("projected", "exact"), **SKIP}


def dmd_space(task: GraphTask) -> Space:
    """The hyperparameters of modes, with no rank that features of low rank do not have."""
    most = max(int(rank) for rank in target_model("dmdgnn").own(task)["rank"])
    return {"rank": tuple(rank for rank in RANKS if rank <= most) or (most,), **DYNAMICS}


def dmd_autoencoder(task: GraphTask, params: Params) -> nn.Module:
    """The DMD model with a local term, whose adjacency is normalised already."""
    hidden = int(params["hidden"])
    conv = SymmetricGCNConv if is_symmetric(task) else GCNConv
    encoder = DMDEncoder(
        task.num_features,
        hidden,
        hidden,
        rank=int(params["rank"]),
        skip=bool(params["skip"]),
        local=partial(conv, normalize=False, bias=False),
        dropout=float(params["dropout"]),
    )
    return GAE(encoder)


def modes(params: Params) -> Compose:
    """The modes, and what the local term needs."""
    dynamics = FeaturePropagation(burn_in=int(params["burn_in"]))
    add_modes = AddDMDModes(int(params["rank"]), dynamics=dynamics, modes=params["modes"])  # type: ignore[arg-type]
    return Compose([add_modes, target_model("gcn").prepare(params)])


def autoencoder(name: str) -> TargetModel:
    """The graph autoencoder with this encoder."""
    if name == "dmd":
        return TargetModel(
            dmd_autoencoder, dmd_space, prepare=modes, prepared_by=("rank", "burn_in", "modes"), optional=()
        )
    known = target_model(name)
    shape = {key: choices for key, choices in SKIP.items() if key in known.optional}
    return TargetModel(
        lambda task, params: GAE(known.build(task, params)), lambda task: shape, prepare=known.prepare, optional=()
    )


def contender(name: str, task: GraphTask) -> Contender:
    """A graph autoencoder, to be tuned."""
    model = autoencoder(name)
    return model.contender(name, task, {**TRAINING, **model.own(task)})


if __name__ == "__main__":
    main(
        __doc__,
        tasks=TASKS,
        models={name: partial(contender, name) for name in ("gcn", "sage", "dmd")},
        config=FitConfig(epochs=200, patience=40),
        kinds=("link",),
        trials=8,
        tuning_splits=range(2),
        seconds=600,
        metrics=METRICS,
        ours="dmd",
    )
