import warnings

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import APPNP, SAGEConv
from torch_geometric.nn.models import GAT, GCN, GraphSAGE
from torch_geometric.transforms import Compose, GCNNorm, ToSparseTensor

import graphtasks
from gnndiff.layers import (
    GPRGNN,
    GPS,
    APPNPNet,
    GPRProp,
    SkipGAT,
    SkipGCN,
    SkipSymmetricGCN,
    SymmetricGAT,
    SymmetricGCN,
    SymmetricGraphSAGE,
    SymmetricSAGEConv,
)
from gnndiff.targets import find
from gnndiff.testing import made
from graphtasks.sparse import SparseFeatures, sparse_features

# The directed path 0 -> 1 -> 2 -> 3, and a graph of six nodes whose node 5 has no edge, each edge in both directions.
PATH = torch.tensor([[0, 1, 2], [1, 2, 3]])
HALF = torch.tensor([[0, 0, 1, 2, 3], [1, 2, 2, 3, 4]])
GRAPH = torch.cat([HALF, HALF.flip(0)], dim=1)
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.5]).repeat(2)


def features(rows, columns=5, seed=0):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def matrix(edge_index, edge_weight=None, *, nodes, normalize=True):
    """The sparse adjacency that a model gets in the place of edges, and the edges with their weights."""
    data = Data(edge_index=edge_index, edge_weight=edge_weight, num_nodes=nodes)
    norm = [GCNNorm()] if normalize else []
    with warnings.catch_warnings():  # torch warns once a process that CSR is in beta
        warnings.filterwarnings("ignore", "Sparse")
        data = Compose([*norm, ToSparseTensor("edge_weight", remove_edge_index=False, layout=torch.sparse_csr)])(data)
    return data.adj_t, data.edge_index, data.get("edge_weight")


def dense(edge_index, edge_weight=None, *, nodes):
    """The normalised adjacency, entry (i, j) for the edge from j to i, computed by hand."""
    A = torch.eye(nodes)
    A[edge_index[1], edge_index[0]] = 1.0 if edge_weight is None else edge_weight
    scale = A.sum(dim=1).rsqrt()
    return scale.unsqueeze(1) * A * scale


def build(cls, *args, **kwargs):
    torch.manual_seed(0)
    return cls(*args, **kwargs).eval()


def outputs_and_gradients(model, *inputs):
    out = model(*inputs)
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    return [out, *torch.autograd.grad((weights * out).sum(), list(model.parameters()))]


NETS = {
    "appnp": (APPNPNet, {}),
    "gprgnn": (GPRGNN, {}),
    "gps": (GPS, {}),
    "gps-performer": (GPS, {"attn_type": "performer"}),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("weight", [None, WEIGHTS])
def test_edges_and_sparse_matrices_give_the_same_outputs_and_gradients(name, weight):
    cls, options = NETS[name]
    x = features(6)
    A, edges, weights = matrix(GRAPH, weight, nodes=6)
    expected = outputs_and_gradients(build(cls, 5, 8, 2, 3, **options), x, GRAPH, weight)
    for given in (
        (build(cls, 5, 8, 2, 3, normalize=False, **options), x, edges, weights),
        (build(cls, 5, 8, 2, 3, normalize=False, **options), x, A),
        (build(cls, 5, 8, 2, 3, normalize=False, symmetric=True, **options), x, A),
    ):
        for tensor, other in zip(outputs_and_gradients(*given), expected, strict=True):
            torch.testing.assert_close(tensor, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_outputs_follow_the_order_of_the_nodes(name):
    cls, options = NETS[name]
    model, x = build(cls, 5, 8, 2, 3, **options), features(6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    place = order.argsort()
    torch.testing.assert_close(model(x[order], place[GRAPH]), model(x, GRAPH)[order], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_sparse_features_give_the_same_outputs_and_gradients(name):
    cls, options = NETS[name]
    x = torch.eye(6, 30)
    assert isinstance(sparse_features(x), SparseFeatures)
    model = build(cls, 30, 8, 2, 3, **options)
    for tensor, other in zip(
        outputs_and_gradients(model, sparse_features(x), GRAPH), outputs_and_gradients(model, x, GRAPH), strict=True
    ):
        torch.testing.assert_close(tensor, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NETS)
def test_reset_parameters_reaches_all(name):
    cls, options = NETS[name]
    model = build(cls, 5, 8, 2, 3, **options)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(10)
    model.reset_parameters()
    for key, tensor in model.named_parameters():
        assert tensor.abs().max() < 5, key


@pytest.mark.parametrize(("edge_index", "weight", "nodes"), [(PATH, None, 4), (PATH, WEIGHTS[:3], 4), (GRAPH, None, 6)])
def test_appnp_is_the_power_series_of_personalised_pagerank(edge_index, weight, nodes):
    model, x = build(APPNPNet, 5, 8, 2, 3, K=4, alpha=0.2), features(nodes)
    A, z = dense(edge_index, weight, nodes=nodes), model.mlp(x)
    terms = [0.2 * 0.8**k * torch.linalg.matrix_power(A, k) @ z for k in range(4)]
    expected = sum(terms) + 0.8**4 * torch.linalg.matrix_power(A, 4) @ z
    torch.testing.assert_close(model(x, edge_index, weight), expected, atol=1e-5, rtol=1e-4)


def test_full_teleport_leaves_the_predictions_alone():
    x = features(6)
    for cls in (APPNPNet, GPRGNN):
        model = build(cls, 5, 8, 2, 3, alpha=1.0)
        torch.testing.assert_close(model(x, GRAPH), model.mlp(x))


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.9])
def test_generalised_pagerank_starts_as_the_personalised_one(alpha):
    prop, x = GPRProp(10, alpha), features(6)
    assert prop.gamma.sum().item() == pytest.approx(1)
    torch.testing.assert_close(prop(x, GRAPH), APPNP(10, alpha)(x, GRAPH), atol=1e-6, rtol=1e-5)


def test_generalised_pagerank_is_a_polynomial_of_the_adjacency():
    prop, x = GPRProp(2, 0.1), features(4)
    with torch.no_grad():
        prop.gamma.copy_(torch.tensor([1.0, -2.0, 0.5]))
    A = dense(PATH, nodes=4)
    torch.testing.assert_close(prop(x, PATH), x - 2 * A @ x + 0.5 * A @ A @ x)
    prop(x, PATH).sum().backward()
    torch.testing.assert_close(prop.gamma.grad, torch.stack([x.sum(), (A @ x).sum(), (A @ A @ x).sum()]))


def test_dropout_stands_before_the_propagation():
    model = build(GPRGNN, 5, 8, 2, 3, dropout=1.0).train()
    assert not model(features(6), GRAPH).any()


@pytest.mark.parametrize("attn_type", ["multihead", "performer"])
def test_attention_reaches_nodes_without_a_path(attn_type):
    model, x = build(GPS, 5, 8, 1, 3, attn_type=attn_type), features(6).requires_grad_()
    (gradient,) = torch.autograd.grad(model(x, GRAPH)[0].sum(), x)
    assert gradient[5].any()


def test_attention_stays_within_a_graph():
    model, x = build(GPS, 5, 8, 2, 3), features(10)
    both = model(x, torch.cat([GRAPH, PATH + 6], dim=1), batch=torch.tensor([0] * 6 + [1] * 4))
    torch.testing.assert_close(both[:6], model(x[:6], GRAPH), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both[6:], model(x[6:], PATH), atol=1e-5, rtol=1e-4)


def test_the_performer_has_as_many_parameters_as_multihead_attention_without_biases_of_its_inputs():
    count = {
        kind: sum(tensor.numel() for tensor in GPS(5, 8, 1, 3, attn_type=kind).parameters())
        for kind in ("multihead", "performer")
    }
    assert count["multihead"] - count["performer"] == 3 * 8


@pytest.mark.parametrize("in_channels", [5, 20])
def test_symmetric_sage_is_pyg_s(in_channels):
    x = features(6, in_channels)
    peer, model = build(GraphSAGE, in_channels, 8, 3, 3), build(SymmetricGraphSAGE, in_channels, 8, 3, 3)
    A, *_ = matrix(GRAPH, nodes=6, normalize=False)
    expected = outputs_and_gradients(peer, x, GRAPH)
    for given in (A, GRAPH):
        for tensor, other in zip(outputs_and_gradients(model, x, given), expected, strict=True):
            torch.testing.assert_close(tensor, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("in_channels", [5, 20])
@pytest.mark.parametrize("options", [{"bias": False}, {"root_weight": False}, {"bias": False, "root_weight": False}])
def test_symmetric_sage_layer_without_some_terms_is_pyg_s(in_channels, options):
    x = features(6, in_channels)
    peer, conv = (build(cls, in_channels, 8, **options) for cls in (SAGEConv, SymmetricSAGEConv))
    A, *_ = matrix(GRAPH, nodes=6, normalize=False)
    torch.testing.assert_close(conv(x, A), peer(x, GRAPH), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("scale", [1, 1000])
def test_symmetric_gat_is_pyg_s(heads, scale):
    x = scale * features(6).double()
    loops = torch.arange(6).repeat(2, 1)
    A, *_ = matrix(torch.cat([GRAPH, loops], dim=1), nodes=6, normalize=False)
    peer, model = (build(cls, 5, 8, 3, 3, heads=heads).double() for cls in (GAT, SymmetricGAT))
    expected = outputs_and_gradients(peer, x, GRAPH)
    for given in (A, GRAPH):
        for tensor, other in zip(outputs_and_gradients(model, x, given), expected, strict=True):
            torch.testing.assert_close(tensor, other, atol=1e-9 * scale, rtol=1e-7)


def test_derivatives_of_sparse_attention():
    A, *_ = matrix(torch.cat([GRAPH, torch.arange(6).repeat(2, 1)], dim=1), nodes=6, normalize=False)
    model = build(SymmetricGAT, 5, 8, 2, 3, heads=2).double()
    x = features(6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x, A.double()), x)


def test_dropped_attention_is_scaled_up_on_average():
    A, *_ = matrix(torch.cat([GRAPH, torch.arange(6).repeat(2, 1)], dim=1), nodes=6, normalize=False)
    model = build(SymmetricGAT, 5, 8, 1, 4, heads=2, dropout=0.5)
    x, kept = features(6), build(SymmetricGAT, 5, 8, 1, 4, heads=2)(features(6), A)
    model.train()
    torch.manual_seed(0)
    mean = torch.stack([model(x, A) for _ in range(2000)]).mean(dim=0)
    torch.testing.assert_close(mean, kept, atol=0.05, rtol=0.05)


def test_heads_divide_hidden_channels():
    with pytest.raises(ValueError, match="got 9 hidden channels for 2 heads"):
        SymmetricGAT(5, 9, 2, 3, heads=2)


@pytest.mark.parametrize(
    ("cls", "peer", "options"),
    [(SkipGCN, GCN, {}), (SkipSymmetricGCN, SymmetricGCN, {}), (SkipGAT, SymmetricGAT, {"heads": 2})],
)
def test_a_skip_of_zeros_is_the_model_without_it(cls, peer, options):
    model, plain, x = build(cls, 5, 8, 3, 3, **options), build(peer, 5, 8, 3, 3, **options), features(6)
    for conv in model.convs:
        torch.nn.init.zeros_(conv.lin.weight)
    state = model.state_dict()
    plain.load_state_dict({key.replace(".conv", "", 1): state[key] for key in state if ".conv." in key})
    torch.testing.assert_close(model(x, GRAPH), plain(x, GRAPH))


def test_a_skip_sees_what_the_layer_does_not():
    model = build(SkipGCN, 5, 8, 1, 3)
    x = features(6)
    model.convs[0].conv.lin.weight.data.zero_()
    torch.testing.assert_close(model(x, GRAPH), model.convs[0].lin(x))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["appnp", "gprgnn"])
def test_rivals_learn_cora(name, real_data):
    task = graphtasks.load("cora", root=real_data)
    prepared, model = made(find(name), task, {"hidden": 64, "dropout": 0.5, "alpha": 0.1})
    result = graphtasks.fit(model, prepared, 0, graphtasks.FitConfig(epochs=60))
    assert result.test > 0.8
