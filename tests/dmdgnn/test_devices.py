"""No tensor is made on another device than that of the inputs: everything runs on the meta device, and what reads
values runs on the CPU while the default device is another."""

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GAE, GATConv, GCNConv
from torch_geometric.nn.models import GCN

from dmdgnn import DMD, MRDMD, LowRankOperator, OptDMD, dynamics, nn
from dmdgnn.dynamics import Dynamics, Evolution, FeaturePropagation, HiddenStates
from dmdgnn.dynamics.propagation import Propagation
from dmdgnn.loader import ModeLoader
from dmdgnn.nn import (
    DMDGNN,
    DMDGPS,
    DMDGRU,
    DecoupledDMD,
    DirDMDConv,
    DirDMDGNN,
    DMDConv,
    DMDEncoder,
    DMDGPSConv,
    DMDGRUCell,
    GraphDMD,
    ModeFilter,
    PolynomialFilter,
)
from dmdgnn.series import AddSeriesModes
from dmdgnn.transforms import AddDMDModes

N, F, R = 8, 4, 3
EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7, 0]])
X, MODES = torch.randn(2, N, F, generator=torch.Generator().manual_seed(0)).split([1, 1])
X, MODES = X[0], MODES[0, :, :R]
EIGS = {
    "real": torch.tensor([0.9, -0.5, 0.2]),
    "complex": torch.tensor([0.9, 0.3 + 0.4j, 0.3 - 0.4j]),
    "blocks": torch.diag(torch.tensor([0.9, -0.5, 0.2])).unsqueeze(0),
}


def gcn(i, o):
    return GCNConv(i, o, normalize=False)  # self-loops are found by their values, which the meta device has not


def gat(i, o):
    return GATConv(i, o, add_self_loops=False)


# Makers of modules, and the arguments of these for each kind of eigenvalues.
MODULES = {
    "DMDConv": (lambda: DMDConv(F, 5, R, skip=True, local=gcn, gate=0.5), lambda e: (X, MODES, e, EDGES)),
    "DirDMDConv": (lambda: DirDMDConv(F, 5, R, degree=2, local=gcn), lambda e: (X, MODES, e, MODES, e, EDGES)),
    "DMDGPSConv": (lambda: DMDGPSConv(F, gcn(F, F), R), lambda e: (X, EDGES, MODES, e)),
    "DMDGRUCell": (lambda: DMDGRUCell(F, 5, R), lambda e: (X, None, MODES, e)),
    "DMDGRU": (lambda: DMDGRU(2, 5, 1, R), lambda e: (X, MODES, e)),
    "GraphDMD": (lambda: GraphDMD(F, 5, 2, R, act="relu", skip=True), lambda e: (X, MODES, e)),
    "DecoupledDMD": (lambda: DecoupledDMD(F, 5, 2, R, local=gcn), lambda e: (X, EDGES, MODES, e)),
    "DMDEncoder": (lambda: GAE(DMDEncoder(F, 5, 2, R, local=gcn)), lambda e: (X, EDGES, MODES, e)),
    "DMDGNN": (
        lambda: DMDGNN(F, 5, 2, 2, rank=R, local=gat, norm="batch_norm", jk="cat"),
        lambda e: (X, EDGES, MODES, e),
    ),
    "DirDMDGNN": (lambda: DirDMDGNN(F, 5, 2, 2, rank=R), lambda e: (X, EDGES, MODES, e, MODES, e)),
    "DMDGPS": (lambda: DMDGPS(F, 5, 2, 2, rank=R, local=gcn), lambda e: (X, EDGES, MODES, e)),
    "ModeFilter": (lambda: ModeFilter(R), lambda e: (e[..., 0, :] if e.dim() == 3 else e,)),
    "PolynomialFilter": (lambda: PolynomialFilter(3), lambda e: (e[..., 0, :] if e.dim() == 3 else e,)),
}


def test_all_layers_and_models_are_here():
    # The shape of common neighbours follows from the edges' values, which the meta device does not have.
    assert set(MODULES) == set(nn.__all__) - {"NeighborOverlap"}


@pytest.mark.parametrize("kind", EIGS)
@pytest.mark.parametrize("name", MODULES)
def test_layers_and_models_run_on_the_meta_device(name, kind):
    make, arguments = MODULES[name]
    module, inputs = make(), arguments(EIGS[kind])
    expected = module(*inputs)
    out = module.to("meta")(*(value if value is None else value.to("meta") for value in inputs))
    assert (out.is_meta, out.shape, out.dtype) == (True, expected.shape, expected.dtype)


BATCH = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
SEVERAL = {
    "DMDConv": (lambda: DMDConv(F, 5, R, local=True), lambda e: (X, MODES, e, EDGES, None, BATCH)),
    "DMDGNN": (
        lambda: DMDGNN(F, 5, 2, 2, rank=R, degree=2, norm="graph_norm"),
        lambda e: (X, EDGES, MODES, e, None, BATCH),
    ),
    "DirDMDGNN": (
        lambda: DirDMDGNN(F, 5, 2, 2, rank=R, local=True),
        lambda e: (X, EDGES, MODES, e, MODES, e, None, BATCH),
    ),
    "DMDGPS": (lambda: DMDGPS(F, 5, 2, 2, rank=R, norm="graph_norm"), lambda e: (X, EDGES, MODES, e, None, BATCH)),
    "DMDGRU": (lambda: DMDGRU(2, 5, 1, R), lambda e: (X, MODES, e, None, None, BATCH)),
}


@pytest.mark.parametrize("kind", EIGS)
@pytest.mark.parametrize("name", SEVERAL)
def test_batches_of_graphs_stay_on_their_device(name, kind):
    make, arguments = SEVERAL[name]
    eigs = EIGS[kind] if kind == "blocks" else EIGS[kind].unsqueeze(0)
    module, inputs = make(), arguments(torch.cat([eigs, 0.5 * eigs]))
    expected = module(*inputs)
    with torch.device("meta"):
        torch.testing.assert_close(module(*inputs), expected)


def all_dynamics():
    kinds = [getattr(dynamics, name) for name in dynamics.__all__]
    concrete = [kind for kind in kinds if issubclass(kind, Propagation) and not kind.__abstractmethods__]
    assert set(kinds) - {Dynamics, Evolution, HiddenStates, *concrete} <= {Propagation}
    return [*(kind() for kind in concrete), FeaturePropagation(direction="forward"), HiddenStates(GCN(F, F, 2))]


GRAPH = Data(x=X, edge_index=EDGES)


@pytest.mark.parametrize("data", [GRAPH, Batch.from_data_list([GRAPH, Data(x=X[:5], edge_index=EDGES[:, :4])])])
@pytest.mark.parametrize("kind", all_dynamics(), ids=lambda kind: type(kind).__name__)
def test_transforms_stay_on_the_device_of_the_graph(kind, data):
    transform = AddDMDModes(rank=2, dynamics=kind, duals=True)
    expected = transform(data)
    with torch.device("meta"):
        added = transform(data)
    for name in ("dmd_modes", "dmd_eigs", "dmd_duals"):
        torch.testing.assert_close(added[name], expected[name])


def test_series_and_their_operator_stay_on_the_device_of_the_states():
    states = torch.stack([torch.arange(9.0), torch.ones(9), 2 - torch.arange(9.0)])  # a trend, without an eigenbasis
    expected = AddSeriesModes(states, rank=2)
    with torch.device("meta"):
        torch.testing.assert_close(AddSeriesModes(states, rank=2).dmd_eigs, expected.dmd_eigs)
        K = LowRankOperator(X[:, :2], torch.ones(2, device="cpu"))
        for tensor in (K.to_dense(), K.power(2).to_dense(), *K.spectrum(), *K.real_form(), K.eigs, K.modes):
            assert tensor.device.type == "cpu"


@pytest.mark.parametrize("context", [None, 1, 3])
@pytest.mark.parametrize("seeds", [None, [0, 5], torch.tensor([True] * 4 + [False] * 4)])
def test_batches_of_nodes_stay_on_the_device_of_the_graph(context, seeds):
    data = AddDMDModes(2)(GRAPH)
    with torch.device("meta"):
        batch = ModeLoader(data, seeds, context).collate([0, 1])
    assert {value.device.type for _, value in batch if isinstance(value, torch.Tensor)} == {"cpu"}
    assert torch.equal(batch.x, X[batch.n_id])


def test_products_run_on_the_meta_device():
    K = DMD(2, modes="projected").fit(X, X.roll(1, 0)).operator.to("meta")
    assert (K @ X.to("meta")).is_meta
    assert K.power(3).to_dense().shape == (N, N)


def test_common_neighbours_stay_on_the_device_of_the_edges():
    decoder, pairs = nn.NeighborOverlap(F), EDGES[:, :3]
    expected = decoder(X, pairs, EDGES)
    with torch.device("meta"):
        torch.testing.assert_close(decoder(X, pairs, EDGES), expected)


SERIES = torch.randn(6, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
FITS = {
    "plain": lambda: DMD(4).fit(SERIES),
    "centred": lambda: DMD(4, center=True, opt=True, delays=2).fit(SERIES),
    "symmetric": lambda: DMD(4, center=True, constraint="symmetric").fit(SERIES),
    "circulant": lambda: DMD(constraint="circulant").fit(SERIES),
    "several": lambda: DMD(4, center=True, opt=True).fit([SERIES[:, :10], SERIES[:, 10:]]),
    "complex": lambda: DMD(3, opt=True, svd="randomized").fit(SERIES + 1j * SERIES.flip(0)),
    "regression": lambda: DMD(3, estimator="rrr", ridge=0.1).fit(SERIES),
    "noisy": lambda: DMD(3, total_least_squares=True, forward_backward=True).fit(SERIES),
    "updated": lambda: DMD().fit(SERIES[:, :20]).update(SERIES[:, 20:]),
    "chosen": lambda: DMD(4).fit(SERIES).select(by="contribution").stabilise(),
    "optimised": lambda: OptDMD(3, trials=5).fit(SERIES),
    "conjugate": lambda: OptDMD(4, constraint="conjugate").fit(SERIES + 1j * SERIES.flip(0)),
    "resolved": lambda: MRDMD(levels=2).fit(SERIES),
}
RESULTS = ("times", "amplitudes", "dynamics", "reconstructed_data", "contributions", "residuals", "deviation")


@pytest.mark.parametrize("name", FITS)
def test_estimates_stay_on_the_device_of_the_snapshots(name):
    kind = type(FITS[name]())
    wanted = [result for result in RESULTS if hasattr(kind, result) or result in kind.__annotations__]
    if name in ("circulant", "regression"):
        wanted.remove("residuals")
    if name == "conjugate":
        wanted.remove("deviation")

    def results():
        dmd = FITS[name]()
        ahead = [] if name == "resolved" else [dmd.forecast(2)]
        return [getattr(dmd, result) for result in wanted] + ahead

    expected = results()
    with torch.device("meta"):
        torch.testing.assert_close(results(), expected)
        if name == "optimised":
            assert {bound.device.type for bound in FITS[name]().interval()} == {"cpu"}
