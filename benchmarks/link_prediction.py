"""Does the DMD model embed nodes for link prediction better than known encoders that are tuned with the same effort?

All encoders are those of PyG's graph autoencoder, with three decoders of pairs: the inner product of two rows, a
perceptron on their product (`-mlp`), and one that also sees common neighbours (`-overlap`). They have two layers and
see the same choices of learning rate and dropout and, but for GraphSAGE, which has one anyway, of a linear map beside
each layer; the DMD model also has those of its modes. These come from the edges that messages pass along, never from
one to predict: for the training and the validation part from training edges, for the test part from those of
validation, too. Settings and epochs are chosen by the ROC-AUC of the validation part.
"""

from __future__ import annotations

from functools import partial

from scores import grid, main
from torch import nn
from torch_geometric.nn import GAE, GCNConv
from torch_geometric.transforms import GCNNorm

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DMDEncoder
from dmdgnn.transforms import AddDMDModes
from gnndiff.layers import SymmetricGCNConv
from gnndiff.targets import Space, Target, find, takes
from gnndiff.targets.nodes import DECODERS, is_symmetric, pair_decoder, sparse
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


class DMDAutoencoder(Target):
    """The DMD model with a local term, whose adjacency is normalised already."""

    name = "dmd"
    kinds = frozenset({"link"})

    def space(self, task: GraphTask) -> Space:
        """The hyperparameters of modes, with no rank that features of low rank do not have."""
        most = max(int(rank) for rank in grid(find("dmdgnn").space(task))["rank"])
        return {"rank": tuple(rank for rank in RANKS if rank <= most) or (most,), **DYNAMICS}

    def prepare(self, task: GraphTask, *, rank: int, burn_in: int, modes: str) -> GraphTask:
        """The modes, and what the local term needs."""
        dynamics = FeaturePropagation(burn_in=burn_in)
        return sparse(task, AddDMDModes(rank, dynamics=dynamics, modes=modes), GCNNorm())  # type: ignore[arg-type]

    def build(
        self, task: GraphTask, *, rank: int, skip: bool, hidden: int, dropout: float, decoder: str = "inner"
    ) -> nn.Module:
        """The autoencoder."""
        conv = SymmetricGCNConv if is_symmetric(task) else GCNConv
        encoder = DMDEncoder(
            task.num_features,
            hidden,
            hidden,
            rank=rank,
            skip=bool(skip),
            local=partial(conv, normalize=False, bias=False),
            dropout=float(dropout),
        )
        return GAE(encoder, pair_decoder(decoder, hidden))


def contender(encoder: str, decoder: str, task: GraphTask) -> Contender:
    """A graph autoencoder, to be tuned."""
    name = encoder if decoder == "inner" else f"{encoder}-{decoder}"
    pairs: Space = {} if decoder == "inner" else {"decoder": (decoder,)}
    if encoder == "dmd":
        dmd = DMDAutoencoder()
        return dmd.contender(name, task, {**TRAINING, **dmd.space(task), **pairs})
    target = find(encoder)
    return target.contender(name, task, {**TRAINING, **(SKIP if takes(target, "skip") else {}), **pairs})


MODELS = {
    encoder if decoder == "inner" else f"{encoder}-{decoder}": partial(contender, encoder, decoder)
    for decoder in DECODERS
    for encoder in ("gcn", "sage", "dmd")
}


if __name__ == "__main__":
    main(
        __doc__,
        tasks=TASKS,
        models=MODELS,
        config=FitConfig(epochs=200, patience=40),
        kinds=("link",),
        trials=8,
        tuning_splits=range(2),
        seconds=600,
        metrics=METRICS,
        ours="dmd",
    )
