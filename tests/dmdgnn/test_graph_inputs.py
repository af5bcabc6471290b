"""All forms that a graph may come in give the same modes, or are refused by name."""

import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.nn import APPNP, GCNConv
from torch_geometric.nn.models import GCN
from torch_geometric.utils import to_torch_csc_tensor, to_torch_csr_tensor

from dmdgnn import DMDGNNError, InputError, plot
from dmdgnn.dynamics import AllenCahn, FeaturePropagation, HeatDiffusion, HiddenStates, PersonalizedPageRank
from dmdgnn.nn import (
    DMDGNN,
    DMDGPS,
    DecoupledDMD,
    DirDMDConv,
    DMDConv,
    DMDEncoder,
    NeighborOverlap,
)
from dmdgnn.nn.overlap import common_neighbors
from dmdgnn.transforms import AddDMDModes

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")
N, F = 6, 4
DYNAMICS = [
    *(FeaturePropagation(direction=direction) for direction in ("undirected", "forward", "backward")),
    FeaturePropagation(normalization="rw"),
    HeatDiffusion(),
    PersonalizedPageRank(tolerance=1e-3),
    AllenCahn(substeps=100),
    HiddenStates(GCN(F, F, 2)),
]


@st.composite
def graphs(draw, parallel=True):
    """Edges with and without weights, loops, parallel and reverse edges, and nodes without any."""
    pairs = st.tuples(st.integers(0, N - 1), st.integers(0, N - 1))
    edges = draw(st.lists(pairs, min_size=1, max_size=12, unique=not parallel))
    data = Data(edge_index=torch.tensor(edges).T.contiguous())
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    data.x = torch.randn(N, F, generator=generator, dtype=draw(st.sampled_from([torch.float32, torch.float64])))
    if draw(st.booleans()):
        data.edge_weight = torch.rand(len(edges), generator=generator, dtype=data.x.dtype) + 0.1
    return data


def with_edges(data, **form):
    given = Data(x=data.x)
    for name, value in form.items():
        given[name] = value
    return given


def forms(data):
    """The same graph as each form that PyG has."""
    index, weight, size = data.edge_index, data.get("edge_weight"), (N, N)
    values = torch.ones(index.size(1), dtype=data.x.dtype) if weight is None else weight
    coo = torch.sparse_coo_tensor(index.flip(0), values, size)
    yield with_edges(data, adj_t=coo)
    yield with_edges(data, adj_t=coo.coalesce())
    yield with_edges(data, adj_t=to_torch_csr_tensor(index.flip(0), values, size))
    yield with_edges(data, adj_t=to_torch_csc_tensor(index.flip(0), values, size))
    yield with_edges(data, edge_index=to_torch_csr_tensor(index.flip(0), values, size))
    extra = {} if weight is None else {"edge_weight": weight}
    yield with_edges(data, edge_index=EdgeIndex(index, sparse_size=size), **extra)
    yield with_edges(data, edge_index=EdgeIndex(index.int(), sparse_size=size), **extra)
    if weight is not None:
        yield with_edges(data, edge_index=index, edge_weight=weight.double())


def has_parallel_loops(data):
    loops = data.edge_index[0][data.edge_index[0] == data.edge_index[1]]
    return len(loops.unique()) < len(loops)


@given(graphs(), st.sampled_from(DYNAMICS))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_forms_of_a_graph_have_the_same_snapshots(data, dynamics):
    if has_parallel_loops(data):  # a sparse matrix sums them, GCNConv takes one
        return
    expected = dynamics.snapshots(data)
    for form in forms(data):
        keys = form.to_dict().keys()
        for own, other in zip(dynamics.snapshots(form), expected, strict=True):
            torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)
        assert form.to_dict().keys() == keys


@given(graphs())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_parallel_edges_count_as_in_gcn(data):
    forward = FeaturePropagation(direction="forward").adjacency(data).to_dense()
    conv = GCNConv(N, N, bias=False).to(data.x.dtype)
    conv.lin.weight.data = torch.eye(N, dtype=data.x.dtype)
    identity = torch.eye(N, dtype=data.x.dtype)
    expected = conv(identity, data.edge_index, data.get("edge_weight")).detach()
    torch.testing.assert_close(forward, expected)
    # With all reverse edges given, undirected modes see the graph that the local term sees.
    both = data.clone()
    both.edge_index = torch.cat([data.edge_index, data.edge_index.flip(0)], dim=1)
    if "edge_weight" in data:
        both.edge_weight = data.edge_weight.repeat(2)
    undirected = FeaturePropagation().adjacency(both).to_dense()
    torch.testing.assert_close(undirected, undirected.T)
    local = conv(identity, both.edge_index, both.get("edge_weight")).detach()
    torch.testing.assert_close(undirected, local)
    mean = APPNP(1, 0.0)(identity, both.edge_index, both.get("edge_weight"))
    torch.testing.assert_close(undirected, mean)


@given(graphs(), st.sampled_from(["undirected", "forward", "backward"]), st.sampled_from(["sym", "rw"]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_parallel_edges_are_one_with_the_sum_of_weights(data, direction, normalization):
    if has_parallel_loops(data):
        return
    dynamics = FeaturePropagation(direction=direction, normalization=normalization)
    weight = data.get("edge_weight")
    weight = torch.ones(data.num_edges, dtype=data.x.dtype) if weight is None else weight
    summed = torch.sparse_coo_tensor(data.edge_index, weight, (N, N)).coalesce()
    one = Data(x=data.x, edge_index=summed.indices(), edge_weight=summed.values())
    torch.testing.assert_close(dynamics.adjacency(data).to_dense(), dynamics.adjacency(one).to_dense())


@given(graphs(parallel=False))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_graphs_in_a_batch_come_in_all_forms(data):
    transform = AddDMDModes(1, dynamics=FeaturePropagation(direction="forward"))
    expected = transform(Batch.from_data_list([data, data])).dmd_eigs
    for form in forms(data):
        if not isinstance(form.get("edge_index"), EdgeIndex):
            batch = transform(Batch.from_data_list([form, form.clone()]))
            torch.testing.assert_close(batch.dmd_eigs, expected, rtol=1e-4, atol=1e-4)


X = torch.randn(N, F, generator=torch.Generator().manual_seed(0))
EDGES = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
WEIGHT = torch.rand(4)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch says once that such tensors are in beta
    ADJACENCY, SMALL = torch.eye(N).to_sparse_csr(), torch.eye(5).to_sparse_csr()
    IN_BLOCKS, SPARSE_X = torch.eye(N).to_sparse_bsr((2, 2)), X.to_sparse_csr()
BAD = [
    ({"edge_index": EDGES.T}, "shape (4, 2), expected (2, E), sources in the first row: transpose it"),
    ({"edge_index": EDGES[:1]}, "shape (1, 4), expected (2, E)"),
    ({"edge_index": EDGES.unsqueeze(0)}, "shape (1, 2, 4), expected (2, E)"),
    ({"edge_index": torch.tensor([])}, "shape (0,), expected (2, E)"),
    ({"edge_index": EDGES.float()}, "torch.float32, expected torch.int64: convert it with .long()"),
    ({"edge_index": EDGES.int()}, "torch.int32, expected torch.int64"),
    ({"edge_index": EDGES.tolist()}, "edge_index as list, expected a tensor"),
    ({"edge_index": EDGES.numpy()}, "edge_index as ndarray, expected a tensor"),
    ({"edge_index": EDGES - 1}, "names nodes -1 to 3, but the graph has nodes 0 to 5"),
    ({"edge_weight": WEIGHT.unsqueeze(1)}, "shape (4, 1) and torch.float32, expected (4,): drop the last dimension"),
    ({"edge_weight": WEIGHT[:3]}, "shape (3,) and torch.float32, expected (4,)"),
    ({"edge_weight": torch.tensor(1.0)}, "shape () and torch.float32, expected (4,)"),
    ({"edge_weight": WEIGHT.tolist()}, "edge_weight of list, expected (4,)"),
    ({"edge_weight": WEIGHT.to(torch.complex64)}, "torch.complex64, expected (4,): give one real number"),
    (
        {"edge_weight": torch.tensor([1, float("nan"), 1, 1])},
        "edge_weight has 1 NaN or infinite entries, the first at (1,)",
    ),
    ({"edge_weight": torch.tensor([-3.0, 1, 1, 1])}, "node 0 has the degree -2"),
    ({"x": X.to_sparse()}, "sparse features, expected a dense matrix (N, F): convert them with x.to_dense()"),
    ({"x": SPARSE_X}, "sparse features"),
    ({"x": X.numpy()}, "features as ndarray, expected a tensor (N, F)"),
    ({"x": X.to(torch.complex64)}, "torch.complex64, expected (N, F) of torch.float32 or torch.float64"),
    ({"x": X.index_fill(0, torch.tensor(3), float("inf"))}, "x has 4 NaN or infinite entries, the first at (3, 0)"),
    ({"num_nodes": 9}, "num_nodes=9 and features of 6 nodes"),
    ({"edge_index": None, "adj_t": SMALL}, "adjacency of shape (5, 5), expected (6, 6)"),
    ({"edge_index": None, "adj_t": ADJACENCY.to_dense()}, "adj_t as a dense Tensor, expected a sparse matrix"),
    ({"edge_index": ADJACENCY.to_dense()}, "of a dense adjacency, take torch_geometric.utils.dense_to_sparse"),
    ({"edge_index": None, "adj_t": IN_BLOCKS}, "expected CSR, CSC or COO"),
    ({"edge_index": None, "adj_t": ADJACENCY, "edge_weight": WEIGHT}, "and edge_weight: leave one out"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_other_forms_are_refused_by_name(change, message):
    data = Data(x=X, edge_index=EDGES)
    for name, value in change.items():
        data[name] = value
    for dynamics in (FeaturePropagation(), FeaturePropagation(normalization="rw")):
        with pytest.raises(DMDGNNError, match=re.escape(message)):
            AddDMDModes(2, dynamics=dynamics)(data)


def test_one_type_of_nodes_is_expected():
    hetero = HeteroData()
    hetero["a"].x = X
    hetero["a", "to", "a"].edge_index = EDGES
    for dynamics in (FeaturePropagation(), HiddenStates(GCN(F, F, 2))):
        with pytest.raises(InputError, match=r"got HeteroData, expected .*Data: .* to_homogeneous\(\)"):
            AddDMDModes(2, dynamics=dynamics)(hetero)


def test_negative_weights_that_leave_degrees_positive_are_a_signed_graph():
    data = Data(x=X, edge_index=EDGES, edge_weight=torch.tensor([-0.5, 1.0, -0.2, 0.3]))
    adjacency = FeaturePropagation().adjacency(data).to_dense()
    torch.testing.assert_close(adjacency[0, 1], torch.tensor(-0.5) / torch.tensor(0.5 * 1.5).sqrt())
    clamped = Data(x=X, edge_index=EDGES, edge_weight=torch.tensor([-9.0, 1, 1, 1]).clamp(min=0))
    assert AddDMDModes(2)(clamped).dmd_modes.isfinite().all()


def test_a_node_without_any_weight_keeps_nothing():
    data = Data(x=X, edge_index=torch.tensor([[0, 1], [0, 2]]), edge_weight=torch.tensor([0.0, 1.0]))
    for normalization in ("sym", "rw"):
        assert not FeaturePropagation(normalization=normalization).adjacency(data).to_dense()[0].any()


MODELS = {
    "DMDConv": (DMDConv(F, 3, 2, local=True), ()),
    "DMDGNN": (DMDGNN(F, 8, 2, 3, rank=2, local=True), ("edges first",)),
    "DecoupledDMD": (DecoupledDMD(F, 8, 3, rank=2), ("edges first",)),
    "DMDGPS": (DMDGPS(F, 8, 2, 3, rank=2).eval(), ("edges first",)),
    "DMDEncoder": (DMDEncoder(F, 8, 3, rank=2), ("edges first",)),
    "DirDMDConv": (DirDMDConv(F, 3, 2, local=True), ("twice",)),
}


def call(name, data, edges, weight=None):
    model, flags = MODELS[name]
    modes = (data.dmd_modes, data.dmd_eigs) * (2 if "twice" in flags else 1)
    inputs = (data.x, edges, *modes) if "edges first" in flags else (data.x, *modes, edges)
    return model(*inputs, edge_weight=weight)


@pytest.mark.parametrize("name", MODELS)
def test_layers_take_all_forms(name):
    data = AddDMDModes(2)(Data(x=X, edge_index=EDGES, edge_weight=WEIGHT))
    expected = call(name, data, data.edge_index, data.edge_weight)
    for form in forms(data):
        adjacency = form.get("adj_t") if form.get("edge_index") is None else form.edge_index
        torch.testing.assert_close(call(name, data, adjacency, form.get("edge_weight")), expected)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("edges", [EDGES.T, EDGES.float(), EDGES.tolist(), None, np.array([[0], [1]])], ids=str)
def test_layers_refuse_other_forms_by_name(name, edges):
    data = AddDMDModes(2)(Data(x=X, edge_index=EDGES))
    with pytest.raises(InputError, match="edge_index"):
        call(name, data, edges)
    with pytest.raises(InputError, match="edge_weight"):
        call(name, data, EDGES, WEIGHT.unsqueeze(1))
    for adjacency, message in ((SMALL, "expected (6, 6)"), (IN_BLOCKS, "expected CSR, CSC or COO")):
        with pytest.raises(InputError, match=re.escape(message)):
            call(name, data, adjacency)


def test_decoders_and_figures_take_all_forms():
    data = Data(x=X, edge_index=EDGES)
    pairs, decoder = torch.tensor([[0, 1, 0], [2, 3, 5]]), NeighborOverlap(F)
    torch.nn.init.ones_(decoder.mlp.lins[-1].weight)
    place, node = common_neighbors(pairs, EDGES, N)
    assert (place.tolist(), node.tolist()) == ([0, 1], [1, 2])
    for form in forms(data):
        edges = form.get("adj_t") if form.get("edge_index") is None else form.edge_index
        assert torch.equal(common_neighbors(pairs, edges, N)[1], node)
        assert torch.equal(decoder(X, pairs, edges), decoder(X, pairs, EDGES))
        ax = plot.mode(form, X, 0, X[:, :2], Figure().subplots())
        assert len(ax.collections[0].get_segments()) == 4
    for wrong in (EDGES.T, EDGES.float(), EDGES + 3, EDGES - 1, EDGES.tolist(), SMALL, IN_BLOCKS):
        for use in (
            lambda edges: common_neighbors(pairs, edges, N),
            lambda edges: decoder(X, pairs, edges),
            lambda edges: decoder(X, edges, EDGES),
            lambda edges: plot.mode(edges, X, 0, X[:, :2], Figure().subplots()),
        ):
            with pytest.raises(InputError, match=r"expected|but the graph has nodes"):
                use(wrong)
