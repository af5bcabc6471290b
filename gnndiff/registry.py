"""The target models by name, with their search spaces."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv, SAGEConv
from torch_geometric.nn.models import GCN, MLP, GraphSAGE
from torch_geometric.transforms import (
    AddSelfLoops,
    BaseTransform,
    Compose,
    GCNNorm,
    RemoveSelfLoops,
    ToSparseTensor,
)
from torch_geometric.utils import is_undirected

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DMDGNN, DMDGPS, DecoupledDMD, DirDMDGNN, GraphDMD
from dmdgnn.nn.dmd_gru import DMDGRU
from dmdgnn.transforms import AddDMDModes
from gnndiff.errors import ConfigError
from gnndiff.layers import (
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
    SymmetricSAGEConv,
)
from gnndiff.layers.gcn_gru import GCNGRU
from gnndiff.layers.gpr_gnn import GPRProp
from gnndiff.space import Params, Space
from gnndiff.target import OPTIONAL, TargetModel, is_symmetric
from gnndiff.temporal import step_channels, training_states, with_graph_modes, with_series_modes
from graphtasks import GraphTask

DMD_RANKS = (16, 32, 64, 128)
# Of exact modes, as the one-layer model has them, the energy that they keep of the features. The paper has 0.85.
EXACT_ENERGIES = (0.7, 0.85, 0.99)
GRAPHDMD_FORMS: dict[str, dict[str, Any]] = {
    "linear": {},
    "relu": {"act": "relu"},
    "skip": {"act": "relu", "skip": True},
}
# Of modes from the steps of few features, which are all alike after some tens of steps.
STEP_RANKS = (16, 48)
SERIES_RANKS = (1, 2, 4)
# The largest graph whose pairs of nodes an attention layer can afford on a CPU.
MAX_ATTENTION = 2500


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
        if norm == "batch_norm":
            # A whole graph is one batch: its own statistics are exact, where running ones lag by tens of epochs.
            arguments["norm_kwargs"] = {"track_running_stats": len(task.graphs) > 1}
        if normalized:
            arguments |= {"normalize": False, "symmetric": is_symmetric(task)}
        return cls(
            **_channels(task, params),
            num_layers=params.get("num_layers", 2),
            dropout=float(params["dropout"]),
            **arguments,
        )

    return build


def _channels(task: GraphTask, params: Params) -> dict[str, Any]:
    return {
        "in_channels": task.num_features,
        "hidden_channels": params["hidden"],
        # Pairs of nodes are scored by the product of their rows.
        "out_channels": params["hidden"] if task.kind == "link" else task.num_outputs,
    }


def _features(task: GraphTask) -> Tensor:
    """Those of the one graph whose modes each have a gain."""
    if task.many:
        raise ConfigError(
            f"this model has a gain for each mode of one graph, but {task.name!r} has {len(task.graphs)} graphs: "
            "choose one whose filter is a function of the eigenvalue, as 'dmdgps'"
        )
    return task.graph().x


def _ranks(task: GraphTask, ranks: tuple[int, ...]) -> tuple[int, ...]:
    """Those that the features have twice over, so that the modes of smoothed features have them, too."""
    x = _features(task)
    most = 2 * max(ranks)
    if x.size(1) > most:  # a product with random columns has the same rank, up to their number
        x = x @ torch.randn(x.size(1), most, generator=torch.Generator().manual_seed(0))
    limit = int(torch.linalg.matrix_rank(x))
    return tuple(rank for rank in ranks if rank <= limit // 2) or (max(1, limit // 2),)


def _exact_ranks(task: GraphTask) -> tuple[int, ...]:
    """Those that keep the shares of energy, different ones, in their order."""
    energies = torch.linalg.svdvals(_features(task)).square().cumsum(0)
    ranks = (int((energies < share * energies[-1]).sum()) + 1 for share in EXACT_ENERGIES)
    return tuple(dict.fromkeys(ranks))


def _dmd_space(task: GraphTask) -> Space:
    return {"rank": _ranks(task, DMD_RANKS), "burn_in": (0, 2), "local": ("none", "gcn", "sage")}


def _dmdgnn(task: GraphTask, params: Params) -> nn.Module:
    gcn = partial(SymmetricGCNConv if is_symmetric(task) else GCNConv, bias=False, normalize=False)
    sage = partial(SAGEConv if task.directed else SymmetricSAGEConv, bias=False, root_weight=False)
    local = {"none": False, "gcn": gcn, "sage": sage}[str(params["local"])]
    return _pyg(DMDGNN, "rank", skip=True, local=local, gate=0.0)(task, params)


def _dmd_transform(params: Params) -> Compose:
    modes = AddDMDModes(rank=int(params["rank"]), dynamics=FeaturePropagation(burn_in=int(params["burn_in"])))
    return Compose([modes, (_PLAIN if params["local"] == "sage" else _NORMALIZED)(params)])


def _graphdmd(task: GraphTask, params: Params) -> nn.Module:
    form = str(params["form"])
    arguments = {**_channels(task, params), "rank": params["rank"], "dropout": float(params["dropout"])}
    if form == "propagate":
        symmetric = is_symmetric(task)
        return DecoupledDMD(**arguments, local=lambda i, o: GPRProp(10, 0.1, normalize=False, symmetric=symmetric))
    return GraphDMD(**arguments, **GRAPHDMD_FORMS[form])


def _graphdmd_transform(params: Params) -> Compose:
    modes = AddDMDModes(rank=int(params["rank"]), dynamics=FeaturePropagation(stride=2), modes="exact")
    return Compose([modes, _NORMALIZED(params)])


def _dir_dmd_space(task: GraphTask) -> Space:
    return _dmd_space(task) | {"local": ("none", "gcn")}


def _dir_dmdgnn(task: GraphTask, params: Params) -> nn.Module:
    return _pyg(DirDMDGNN, "rank", skip=True, local=params["local"] == "gcn", gate=0.0)(task, params)


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
# A mean over neighbours knows no weights.
_PLAIN = _sparse(weight=None)


def _gcn(task: GraphTask, params: Params) -> nn.Module:
    plain, symmetric = (SkipGCN, SkipSymmetricGCN) if params.get("skip") else (GCN, SymmetricGCN)
    return _pyg(symmetric if is_symmetric(task) else plain, normalize=False)(task, params)


def _sage(task: GraphTask, params: Params) -> nn.Module:
    # Without weights only edges without a reverse matter.
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


MODELS = {
    "mlp": TargetModel(_pyg(MLP)),
    "gcn": TargetModel(_gcn, prepare=_NORMALIZED, optional=OPTIONAL),
    "sage": TargetModel(_sage, prepare=_PLAIN),
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
        own=lambda task: {"rank": _exact_ranks(task), "form": (*GRAPHDMD_FORMS, "propagate")},
        prepare=_graphdmd_transform,
        prepared_by=("rank",),
        optional=(),
    ),
    "dmdgnn": TargetModel(
        _dmdgnn,
        own=_dmd_space,
        prepare=_dmd_transform,
        prepared_by=("rank", "burn_in", "local"),
    ),
    "dmdgnn-dir": TargetModel(
        _dir_dmdgnn,
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
