"""Parts that models with a row for each node share: channels, normalisation, readout and preparations."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAE, global_mean_pool
from torch_geometric.nn.models import MLP
from torch_geometric.transforms import BaseTransform, Compose, GCNNorm, ToSparseTensor
from torch_geometric.utils import coalesce

from dmdgnn.nn import NeighborOverlap
from gnndiff.errors import ConfigError
from gnndiff.targets.base import Space, Target
from gnndiff.targets.ends import Ends, UnknownUnitsError, child, ends, shared
from gnndiff.targets.modern import modern
from gnndiff.targets.paper import PAPER, experiment
from gnndiff.targets.units import Part, Units, whole
from graphtasks import GraphTask

HIDDEN: Space = {"dropout": (0.1, 0.3, 0.5, 0.7, 0.9), "hidden": (16, 32, 64)}
DECODERS = ("inner", "mlp", "overlap")


class NodeTarget(Target):
    """A model that makes a row for each node.

    Graphs are answered for by the mean of their nodes' rows, and pairs of nodes by the inner product of theirs, by a
    perceptron, or by one that sees common neighbours. :meth:`build` of a derived class passes its network through
    :meth:`read_out`.
    """

    paper: ClassVar[frozenset[str]] = frozenset()
    """Experiments of the GNN-Diff paper that have the model."""

    def space(self, task: GraphTask) -> Space:
        """Dropout and hidden units; on links the decoder, too."""
        return {**HIDDEN, **decoders(task)}

    def paper_space(self, task: GraphTask) -> Space:
        """The paper's choices where it has the model, and otherwise those of :meth:`space`."""
        if experiment(task) not in self.paper:
            return self.space(task)
        return {**PAPER[experiment(task)], **self.paper_own(task)}

    def modern_space(self, task: GraphTask) -> Space:
        """The choices of :meth:`space`, with widths, depths, norms, skips and decoders that are in use today."""
        every: Space = {"decoder": DECODERS} if task.kind == "link" else {}
        return {**self.space(task), **modern(self, task), **every}

    def paper_own(self, task: GraphTask) -> Space:
        """The model's own hyperparameters in the paper, or what the model has instead of those of all models."""
        return {}

    def read_out(self, network: nn.Module, task: GraphTask, hidden: int, decoder: str = "inner") -> nn.Module:
        """The network with what turns rows of nodes into answers to the task.

        On links it becomes the encoder of PyG's autoencoder, which initialises it anew.

        Args:
            network: Makes `task.num_outputs` columns for each node, on links hidden ones, as :func:`channels` says.
            task: The task.
            hidden: Number of hidden columns.
            decoder: 'inner', 'mlp' or 'overlap': how a pair of nodes is scored.
        """
        if decoder not in DECODERS:
            raise ConfigError(f"got decoder {decoder!r}, expected one of {', '.join(DECODERS)}")
        if task.kind == "graph":
            network.register_forward_hook(_mean_over_nodes, with_kwargs=True)
        if task.kind == "link":
            return GAE(network, pair_decoder(decoder, hidden))
        return network

    def units(self, module: nn.Module) -> Sequence[Units] | None:
        """The units between the layers of the network, and on links those that pairs are scored by."""
        try:
            if not isinstance(module, GAE):
                return self.ends(module).inside
            encoder = self.ends(module.encoder).within("encoder.")
            decoder = Ends()
            if isinstance(module.decoder, PairMLP | NeighborOverlap):
                decoder = child(module, "decoder.mlp")
            if isinstance(module.decoder, NeighborOverlap):  # reads counts beside sums of rows
                decoder = replace(decoder, reads=(Part(whole(decoder.reads[0]), 0, module.decoder.channels),))
            return (*encoder.inside, *decoder.inside, shared([encoder], [decoder]))
        except UnknownUnitsError:
            return None

    def ends(self, network: nn.Module) -> Ends:
        """The ends of the network that :meth:`read_out` was given, with the units inside of it.

        Raises:
            UnknownUnitsError: They are not known.
        """
        return ends(network)


class PairMLP(nn.Module):
    """Scores of pairs of nodes by a perceptron on the product of their rows, in the form of PyG's decoders."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = MLP([channels, channels, 1], norm=None)

    def forward(self, z: Tensor, edge_index: Tensor, sigmoid: bool = True) -> Tensor:
        """Scores (M,) of pairs (2, M) of rows (N, D), through a sigmoid or not."""
        scores: Tensor = self.mlp(z[edge_index[0]] * z[edge_index[1]]).view(-1)
        return scores.sigmoid() if sigmoid else scores


def pair_decoder(name: str, channels: int) -> nn.Module | None:
    """The decoder of PyG's autoencoder with a name of `DECODERS`; None is its inner product."""
    if name == "inner":
        return None
    return PairMLP(channels) if name == "mlp" else NeighborOverlap(channels)


def channels(task: GraphTask, hidden: int) -> dict[str, Any]:
    """Sizes of inputs, hidden units and outputs in the names of PyG's models; links get rows of hidden units."""
    outputs = hidden if task.kind == "link" else task.num_outputs
    return {"in_channels": task.num_features, "hidden_channels": hidden, "out_channels": outputs}


def arguments(
    task: GraphTask, *, hidden: int, dropout: float, num_layers: int = 2, norm: str = "none"
) -> dict[str, Any]:
    """Arguments that all models of PyG's form take, in PyG's names.

    Args:
        task: The task.
        hidden: Number of hidden units.
        dropout: Dropout probability.
        num_layers: Number of layers.
        norm: Name of a normalisation of PyG's such as 'batch_norm', or 'none'.
    """
    return {
        **channels(task, hidden),
        "num_layers": num_layers,
        "dropout": float(dropout),
        **normalisation(task, norm),
    }


def normalisation(task: GraphTask, norm: str) -> dict[str, Any]:
    """Arguments `norm` and `norm_kwargs` of PyG's models for the name of a normalisation, or 'none'."""
    if norm != "batch_norm":
        return {"norm": None if norm == "none" else norm}
    # A whole graph is one batch: its own statistics are exact, where running ones lag by tens of epochs.
    return {"norm": norm, "norm_kwargs": {"track_running_stats": len(task.graphs) > 1}}


def decoders(task: GraphTask) -> Space:
    """The choice of a decoder that sees embeddings alone, which links have."""
    return {"decoder": ("inner", "mlp")} if task.kind == "link" else {}


def is_symmetric(task: GraphTask) -> bool:
    """Whether each edge has a reverse of the same weight, to rounding."""
    return not task.directed and all(map(_symmetric_weights, task.graphs))


def normalized(task: GraphTask) -> GraphTask:
    """The task with an adjacency that is normalised once, with self-loops, by both degrees.

    The parameters of a model on it are those of a model that normalises by itself.
    """
    return sparse(task, GCNNorm())


def unweighted(task: GraphTask) -> GraphTask:
    """The task with an adjacency of ones, for means over neighbours, which know no weights."""
    return sparse(task, weight=None)


def sparse(task: GraphTask, *transforms: BaseTransform, weight: str | None = "edge_weight") -> GraphTask:
    """The task with a sparse matrix beside its edges, after some transforms.

    One sparse product for each propagation gives the numbers of a gather and a scatter in half the time.
    """
    return task.transform(lambda data: with_sparse(data, *transforms, weight=weight))


def with_sparse(data: Data, *transforms: BaseTransform, weight: str | None = "edge_weight") -> Data:
    """A graph with a sparse matrix beside its edges, after some transforms; without a `weight`, edges lose theirs."""
    transform = Compose([*transforms, ToSparseTensor(weight, remove_edge_index=False, layout=torch.sparse_csr)])
    with warnings.catch_warnings():
        # torch warns once a process that CSR is in beta and that its invariants are not checked.
        warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
        prepared: Data = transform(data)
    if weight is None and prepared.get("edge_weight") is not None:
        del prepared.edge_weight
    return prepared


def _symmetric_weights(data: Data) -> bool:
    weight = data.get("edge_weight")
    if weight is None or data.get("edge_index") is None:
        return True
    (edges, forth), (reverse, back) = (coalesce(e, weight) for e in (data.edge_index, data.edge_index.flip(0)))
    return torch.equal(edges, reverse) and torch.allclose(forth, back)


def _mean_over_nodes(model: nn.Module, args: Any, inputs: Mapping[str, Any], out: Tensor) -> Tensor:
    return global_mean_pool(out, inputs.get("batch"))
