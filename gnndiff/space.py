"""Target models and their search spaces."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import itertools
import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv
from torch_geometric.nn.models import GCN, MLP, GraphSAGE
from torch_geometric.transforms import (
    AddSelfLoops,
    BaseTransform,
    Compose,
    GCNNorm,
    RemoveSelfLoops,
    ToSparseTensor,
    ToUndirected,
)
from torch_geometric.utils import coalesce, is_undirected

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.errors import FactorizationError, RankError
from dmdgnn.nn import DMDGNN, DMDGPS, DirDMDGNN, GraphDMD
from dmdgnn.nn.dmd_gru import DMDGRU
from dmdgnn.transforms import AddDMDModes
from gnndiff.config import Budget
from gnndiff.errors import ConfigError
from gnndiff.models import (
    GPRGNN,
    GPS,
    APPNPNet,
    SkipGAT,
    SkipGCN,
    SkipSymmetricGCN,
    SymmetricGAT,
    SymmetricGCN,
    SymmetricGCNConv,
    SymmetricGraphSAGE,
)
from gnndiff.models.gcn_gru import GCNGRU
from gnndiff.temporal import step_channels, training_states, with_graph_modes, with_series_modes
from graphtasks import Contender, DivergedError, FitConfig, GraphTask

Choice = str | int | float
Params = Mapping[str, Choice]
Space = dict[str, tuple[Choice, ...]]

TRAINING: Space = {
    "optimizer": ("sgd", "adam"),
    "lr": (0.005, 0.01, 0.05, 0.1, 0.5, 1.0),
    "weight_decay": (5e-4, 5e-3, 5e-2),
    "dropout": (0.1, 0.3, 0.5, 0.7, 0.9),
    "hidden": (16, 32, 64),
}
DMD_RANKS = (16, 32, 64, 128)
# Of modes from the steps of few features, which are all alike after some tens of steps.
STEP_RANKS = (16, 48)
SERIES_RANKS = (1, 2, 4)


# Hyperparameters of architecture that a model may be given, and that are otherwise: two layers, no normalisation of
# hidden units ("none", else a name of PyG's such as "batch_norm"), no linear map beside each layer.
OPTIONAL = ("num_layers", "norm", "skip")


@dataclass(frozen=True)
class TargetModel:
    """A model whose hyperparameters are searched and whose parameters are generated.

    Args:
        build: `build(task, params)` makes the module.
        own: `own(task)` gives the hyperparameters it has beside those of training.
        prepare: `prepare(params)` gives the transform of the graph that it needs, if any.
        prepare_series: `prepare_series(task, params)` gives the task with what it needs of the whole series.
        prepared_by: Names of the hyperparameters that `prepare` or `prepare_series` reads.
        temporal: Whether it is for series, and for these alone.
        optional: Those of `OPTIONAL` that `build` takes.
    """

    build: Callable[[GraphTask, Params], nn.Module]
    own: Callable[[GraphTask], Space] = lambda task: {}
    prepare: Callable[[Params], Callable[[Data], Data] | None] = lambda params: None
    prepare_series: Callable[[GraphTask, Params], GraphTask] = lambda task, params: task
    prepared_by: tuple[str, ...] = ()
    temporal: bool = False
    optional: tuple[str, ...] = ("num_layers", "norm")

    def space(self, task: GraphTask) -> Space:
        """All hyperparameters with their choices.

        Raises:
            ConfigError: The model is for series, and the task is of another kind.
        """
        if self.temporal and task.kind != "temporal":
            raise ConfigError(
                f"this model forecasts series, but {task.name!r} is of kind {task.kind!r}: choose a task of kind "
                "'temporal', or another model"
            )
        return TRAINING | self.own(task)

    def contender(
        self,
        name: str,
        task: GraphTask,
        space: Mapping[str, Sequence[Choice]] | None = None,
        *,
        undirected: bool = False,
    ) -> Contender:
        """The model as one of :func:`graphtasks.compare`.

        Settings whose modes cannot be computed lose, as those that diverge do.

        Args:
            name: Name in the table.
            task: The task it is compared on.
            space: Hyperparameters with their choices, by default those of :meth:`space`. Fields of
                :class:`~graphtasks.FitConfig` and names in `optional` may be added, or fields left out.
            undirected: Add the reverse of each edge first; of two that differ in weight both get the mean.

        Raises:
            ConfigError: The model does not take a hyperparameter, or lacks one, or is for tasks of another kind.
        """
        needed = {name: choices for name, choices in self.space(task).items() if name not in _FIT}
        space = self.space(task) if space is None else space
        unknown = [key for key in space if key not in {*needed, *self.optional, *_FIT}]
        if unknown:
            raise ConfigError(
                f"{name!r} does not take {unknown[0]!r}: it takes {', '.join([*needed, *self.optional])} and fields of "
                "FitConfig"
            )
        missing = [key for key in needed if key not in space]
        if missing:
            raise ConfigError(f"the space of {name!r} lacks {missing[0]!r}: give its choices, as {needed[missing[0]]}")

        def build(task: GraphTask, **params: Choice) -> nn.Module:
            return self.build(task, params)

        def prepare(task: GraphTask, **params: Choice) -> GraphTask:
            if undirected:
                task = task.transform(ToUndirected(reduce="mean")).replace(directed=False)
            try:
                task = self.prepare_series(task, params)
                transform = self.prepare(params)
                prepared = task if transform is None else task.transform(transform)
                if task.kind == "link":
                    prepared.graph()  # where a transform of messages fails, it does so here
                return prepared
            except (RankError, FactorizationError) as error:
                raise DivergedError(str(error)) from error

        # `compare` reads there which hyperparameters a preparation depends on.
        first = inspect.Parameter("task", inspect.Parameter.POSITIONAL_ONLY)
        others = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY) for key in self.prepared_by]
        prepare.__signature__ = inspect.Signature([first, *others])  # type: ignore[attr-defined]
        return Contender(name, build, dict(space), prepare)


_FIT = frozenset(field.name for field in dataclasses.fields(FitConfig))


def is_symmetric(task: GraphTask) -> bool:
    """Whether each edge has a reverse of the same weight, to rounding."""
    return not task.directed and all(map(_symmetric_weights, task.graphs))


def _symmetric_weights(data: Data) -> bool:
    weight = data.get("edge_weight")
    if weight is None or data.get("edge_index") is None:
        return True
    (edges, forth), (reverse, back) = (coalesce(e, weight) for e in (data.edge_index, data.edge_index.flip(0)))
    return torch.equal(edges, reverse) and torch.allclose(forth, back)


def _pyg(
    cls: Callable[..., nn.Module], *own: str, normalized: bool = False, **fixed: Any
) -> Callable[[GraphTask, Params], nn.Module]:
    """`build` of a class of PyG's form.

    Args:
        cls: The class.
        *own: Hyperparameters that go to it under their names.
        normalized: Whether it takes `normalize` and `symmetric`, and gets an adjacency that is normalised already.
        **fixed: Other arguments.
    """

    def build(task: GraphTask, params: Params) -> nn.Module:
        norm = params.get("norm", "none")
        arguments = {**fixed, **{name: params[name] for name in own}, "norm": None if norm == "none" else norm}
        if normalized:
            arguments |= {"normalize": False, "symmetric": is_symmetric(task)}
        return cls(
            in_channels=task.num_features,
            hidden_channels=params["hidden"],
            # Pairs of nodes are scored by the product of their rows.
            out_channels=params["hidden"] if task.kind == "link" else task.num_outputs,
            num_layers=params.get("num_layers", 2),
            dropout=float(params["dropout"]),
            **arguments,
        )

    return build


def _ranks(task: GraphTask, ranks: tuple[int, ...]) -> tuple[int, ...]:
    """Those that the features have twice over, so that the modes of smoothed features have them, too."""
    x = task.graph().x
    most = 2 * max(ranks)
    if x.size(1) > most:  # a product with random columns has the same rank, up to their number
        x = x @ torch.randn(x.size(1), most, generator=torch.Generator().manual_seed(0))
    limit = int(torch.linalg.matrix_rank(x))
    return tuple(rank for rank in ranks if rank <= limit // 2) or (max(1, limit // 2),)


def _dmd_space(task: GraphTask) -> Space:
    return {"rank": _ranks(task, DMD_RANKS), "burn_in": (0, 2), "local": (0, 1)}


def _dmdgnn(task: GraphTask, params: Params) -> nn.Module:
    conv = partial(SymmetricGCNConv if is_symmetric(task) else GCNConv, bias=False, normalize=False)
    return _pyg(DMDGNN, "rank", skip=True, local=conv if params["local"] else False)(task, params)


def _dmd_transform(params: Params) -> Compose:
    modes = AddDMDModes(rank=int(params["rank"]), dynamics=FeaturePropagation(burn_in=int(params["burn_in"])))
    return Compose([modes, _NORMALIZED(params)])


def _graphdmd(task: GraphTask, params: Params) -> nn.Module:
    return GraphDMD(
        task.num_features,
        int(params["hidden"]),
        int(params["hidden"]) if task.kind == "link" else task.num_outputs,
        rank=int(params["rank"]),
        dropout=float(params["dropout"]),
        act=None if params["act"] == "none" else str(params["act"]),
        skip=bool(params["skip"]),
    )


def _graphdmd_transform(params: Params) -> AddDMDModes:
    return AddDMDModes(rank=int(params["rank"]), dynamics=FeaturePropagation(stride=2), modes="exact")


def _dir_dmd_space(task: GraphTask) -> Space:
    return {name: choices for name, choices in _dmd_space(task).items() if name in ("rank", "burn_in", "local")}


def _dir_dmd_transform(params: Params) -> Compose:
    rank, burn_in = int(params["rank"]), int(params["burn_in"])
    along, against = (FeaturePropagation(burn_in=burn_in, direction=way) for way in ("forward", "backward"))
    # These modes are not orthonormal.
    return Compose(
        [
            AddDMDModes(rank, dynamics=along, attr="dmd_out", duals=True),
            AddDMDModes(rank, dynamics=against, attr="dmd_in", duals=True),
        ]
    )


def _sparse(
    *transforms: BaseTransform, weight: str | None = "edge_weight"
) -> Callable[[Params], Callable[[Data], Data]]:
    """One sparse product for each propagation instead of a gather and a scatter: the same numbers in half the time."""
    transform = Compose([*transforms, ToSparseTensor(weight, remove_edge_index=False, layout=torch.sparse_csr)])

    def prepare(data: Data) -> Data:
        with warnings.catch_warnings():
            # torch warns once a process that CSR is in beta and that its invariants are not checked.
            warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
            prepared: Data = transform(data)
        return prepared

    return lambda params: prepare


# The adjacency is normalised once, by the transform; the parameters are those of a model that does it itself.
_NORMALIZED = _sparse(GCNNorm())


def _gcn(task: GraphTask, params: Params) -> nn.Module:
    plain, symmetric = (SkipGCN, SkipSymmetricGCN) if params.get("skip") else (GCN, SymmetricGCN)
    return _pyg(symmetric if is_symmetric(task) else plain, normalize=False)(task, params)


def _sage(task: GraphTask, params: Params) -> nn.Module:
    # Its mean over neighbours knows no weights, so that only edges without a reverse matter.
    return _pyg(GraphSAGE if task.directed else SymmetricGraphSAGE)(task, params)


def _gat(task: GraphTask, params: Params) -> nn.Module:
    return _pyg(SkipGAT if params.get("skip") else SymmetricGAT, "heads")(task, params)


_WITH_LOOPS = _sparse(RemoveSelfLoops(), AddSelfLoops(), weight=None)


def _gat_transform(params: Params) -> Callable[[Data], Data]:
    def prepare(data: Data) -> Data:
        return _WITH_LOOPS(params)(data) if is_undirected(data.edge_index, num_nodes=data.num_nodes) else data

    return prepare


def _gps(task: GraphTask, params: Params) -> nn.Module:
    largest = max(int(graph.num_nodes) for graph in task.graphs)
    attention = "multihead" if largest <= MAX_ATTENTION else "performer"
    return _pyg(GPS, normalized=True, attn_type=attention)(task, params)


def _gru(cls: Callable[..., nn.Module], *own: str) -> Callable[[GraphTask, Params], nn.Module]:
    """`build` of a recurrent class, which takes the hyperparameters `own` under their names."""

    def build(task: GraphTask, params: Params) -> nn.Module:
        return cls(
            in_channels=step_channels(task),
            hidden_channels=params["hidden"],
            out_channels=task.num_outputs,
            dropout=float(params["dropout"]),
            **{name: params[name] for name in own},
        )

    return build


def _series_space(task: GraphTask) -> Space:
    limit = min(training_states(task).shape)
    return {"rank": tuple(rank for rank in SERIES_RANKS if rank <= limit), "modes": ("graph", "series")}


def _series_modes(task: GraphTask, params: Params) -> GraphTask:
    make = with_graph_modes if params["modes"] == "graph" else with_series_modes
    return make(task, int(params["rank"]))


def _dmd_gps(task: GraphTask, params: Params) -> nn.Module:
    conv = SymmetricGCNConv if is_symmetric(task) else GCNConv
    return _pyg(DMDGPS, "rank", "degree", local=partial(conv, normalize=False))(task, params)


def _dmd_gps_space(task: GraphTask) -> Space:
    largest = max(int(graph.num_nodes) for graph in task.graphs)
    ranks = tuple(sorted({min(rank, largest) for rank in STEP_RANKS}))
    return {"rank": ranks, "degree": (8, 16), "norm": ("none", "batch_norm")}


def _dmd_gps_transform(params: Params) -> Callable[[Data], Data]:
    rank = int(params["rank"])

    def prepare(data: Data) -> Data:
        # Features fewer than modes span them with the steps that follow.
        steps = 1 if data.num_features >= rank else rank
        modes = AddDMDModes(rank, dynamics=FeaturePropagation(steps=steps))
        # A batch of one graph gets zeros for modes that the graph lacks. Later steps are nearly sums of those before:
        # in float64 they span twice as much.
        exact = Data(x=data.x.double(), edge_index=data.edge_index, edge_weight=data.get("edge_weight"))
        (graph,) = modes(Batch.from_data_list([exact])).to_data_list()
        data.dmd_modes, data.dmd_eigs = graph.dmd_modes.to(data.x.dtype), graph.dmd_eigs.to(data.x.dtype)
        return _NORMALIZED(params)(data)

    return prepare


# The largest graph whose pairs of nodes an attention layer can afford on a CPU.
MAX_ATTENTION = 2500

MODELS = {
    "mlp": TargetModel(_pyg(MLP)),
    "gcn": TargetModel(_gcn, prepare=_NORMALIZED, optional=OPTIONAL),
    "sage": TargetModel(_sage, prepare=_sparse(weight=None)),
    "gat": TargetModel(_gat, own=lambda task: {"heads": (2, 4, 8)}, prepare=_gat_transform, optional=OPTIONAL),
    "appnp": TargetModel(
        _pyg(APPNPNet, "alpha", normalized=True), own=lambda task: {"alpha": (0.1, 0.2, 0.5)}, prepare=_NORMALIZED
    ),
    "gprgnn": TargetModel(
        _pyg(GPRGNN, "alpha", normalized=True), own=lambda task: {"alpha": (0.1, 0.5, 0.9)}, prepare=_NORMALIZED
    ),
    "gps": TargetModel(
        _gps, own=lambda task: {"norm": ("none", "batch_norm")}, prepare=_NORMALIZED, optional=("num_layers",)
    ),
    "dmdgps": TargetModel(
        _dmd_gps, own=_dmd_gps_space, prepare=_dmd_gps_transform, prepared_by=("rank",), optional=("num_layers",)
    ),
    "graphdmd": TargetModel(
        _graphdmd,
        own=lambda task: {"rank": _ranks(task, (64, 256)), "act": ("none", "relu"), "skip": (0, 1)},
        prepare=_graphdmd_transform,
        prepared_by=("rank",),
        optional=(),
    ),
    "dmdgnn": TargetModel(
        _dmdgnn,
        own=_dmd_space,
        prepare=_dmd_transform,
        prepared_by=("rank", "burn_in"),
    ),
    "dmdgnn-dir": TargetModel(
        _pyg(DirDMDGNN, "rank", "local", skip=True),
        own=_dir_dmd_space,
        prepare=_dir_dmd_transform,
        prepared_by=("rank", "burn_in"),
    ),
    "gcn-gru": TargetModel(_gru(GCNGRU), optional=(), temporal=True),
    "dmdgru": TargetModel(
        _gru(DMDGRU, "rank"),
        own=_series_space,
        prepare_series=_series_modes,
        prepared_by=("rank", "modes"),
        optional=(),
        temporal=True,
    ),
}


def target_model(name: str) -> TargetModel:
    """The target model with this name."""
    if name.lower() not in MODELS:
        close = difflib.get_close_matches(name.lower(), MODELS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"no target model is called {name!r}: {hint}Use one of {', '.join(MODELS)}")
    return MODELS[name.lower()]


def architecture(params: Params) -> dict[str, Choice]:
    """The hyperparameters that networks must share for their parameters to mean the same."""
    return {name: choice for name, choice in params.items() if name == "hidden" or name not in TRAINING}


def sample_grid(space: Space, count: int | None, seed: int) -> list[Params]:
    """The first `count` configurations of the grid in an order fixed by the seed; None gives the whole grid."""
    grid: list[Params] = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    random.Random(seed).shuffle(grid)
    return grid[:count]


def fit_config(params: Params, limits: Budget, seed: int) -> FitConfig:
    """Training settings of a configuration."""
    return FitConfig(
        epochs=limits.epochs,
        patience=limits.patience,
        lr=float(params["lr"]),
        weight_decay=float(params["weight_decay"]),
        optimizer=params["optimizer"],  # type: ignore[arg-type]
        seed=seed,
    )
