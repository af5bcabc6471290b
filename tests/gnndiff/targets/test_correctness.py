"""Targets give what PyG's own layers give on plain edges, or what is computed by hand."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import ChebConv, MixHopConv, SGConv
from torch_geometric.nn.models import GIN

import graphtasks
from gnndiff.layers import H2GCN, Residual
from gnndiff.layers.h2gcn import hops
from gnndiff.targets import find
from gnndiff.testing import made
from graphtasks import GraphTask, Split

NODES = torch.arange(6)
# Node 5 has no edge.
HALF = torch.tensor([[0, 0, 1, 2, 3], [1, 2, 2, 3, 4]])
GRAPH = torch.cat([HALF, HALF.flip(0)], dim=1)
WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.5])


def task(*, directed=False, weighted=False, columns=9):
    x = torch.randn(6, columns, generator=torch.Generator().manual_seed(0))
    edges, weights = (HALF, WEIGHTS) if directed else (GRAPH, WEIGHTS.repeat(2))
    data = Data(x=x, y=NODES % 3, edge_index=edges, edge_weight=weights if weighted else None)
    return GraphTask.from_data(data, splits=[Split(NODES[:3], NODES[3:5], NODES[5:])])


def given(plain):
    data = plain.graph()
    return data.x, data.edge_index, data.get("edge_weight")


def close(name, plain, setting, peer, *, gradients=True):
    """Outputs, and gradients of all parameters, are those of a function of the same parameters."""
    prepared, model = made(find(name), plain, setting)
    out, expected = graphtasks.forward(model, prepared.graph()), peer(model)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-4)
    weights = torch.linspace(-1, 1, out.numel()).view_as(out)
    ours, theirs = (torch.autograd.grad((weights * o).sum(), list(model.parameters())) for o in (out, expected))
    for gradient, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-4, rtol=1e-3)


def with_state(layer, state):
    """A function of inputs that shares the parameters of a module."""
    return lambda *inputs: torch.func.functional_call(layer, state, inputs)


@pytest.mark.parametrize("columns", [2, 9])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("directed", [False, True])
def test_sgc_is_pyg_s(directed, weighted, columns):
    plain = task(directed=directed, weighted=weighted, columns=columns)
    peer = SGConv(columns, 3, K=3)
    close("sgc", plain, {"K": 3}, lambda model: with_state(peer, dict(model.named_parameters()))(*given(plain)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("directed", [False, True])
def test_mixhop_is_pyg_s(directed, weighted):
    plain = task(directed=directed, weighted=weighted)

    def peer(model):
        x, *edges = given(plain)
        for i, conv in enumerate(model.convs):
            layer = MixHopConv(x.size(1), 4)
            x = with_state(layer, dict(conv.named_parameters()))(x, *edges).relu()
            assert x.shape == (6, 12), i
        return model.lin(x)

    close("mixhop", plain, {"hidden": 4, "dropout": 0.0}, peer)


@pytest.mark.parametrize("K", [1, 2, 3, 4])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("directed", [False, True])
def test_cheb_is_pyg_s(directed, weighted, K):
    plain = task(directed=directed, weighted=weighted)

    def peer(model):
        x, *edges = given(plain)
        first, second = (ChebConv(conv.in_channels, conv.out_channels, K) for conv in model.convs)
        x = with_state(first, dict(model.convs[0].named_parameters()))(x, *edges).relu()
        return with_state(second, dict(model.convs[1].named_parameters()))(x, *edges)

    close("cheb", plain, {"hidden": 4, "dropout": 0.0, "K": K}, peer)


@pytest.mark.parametrize("directed", [False, True])
def test_gin_is_pyg_s(directed):
    plain = task(directed=directed, weighted=True)

    def peer(model):
        network = GIN(9, 4, 2, 3)
        return with_state(network, dict(model.named_parameters()))(*given(plain)[:2])

    close("gin", plain, {"hidden": 4, "dropout": 0.0}, peer)


def test_hops_of_a_path():
    one, two = hops(torch.tensor([[0, 1, 2, 0], [1, 2, 3, 0]]), 5)  # directed, with a self-loop; node 4 is alone
    half = 0.5**0.5
    expected = torch.zeros(5, 5)
    expected[0, 1] = expected[2, 3] = half
    expected[1, 2] = 0.5
    torch.testing.assert_close(one.to_dense(), expected + expected.T)
    expected = torch.zeros(5, 5)
    expected[0, 2] = expected[1, 3] = 1
    torch.testing.assert_close(two.to_dense(), expected + expected.T)


def test_neighbours_of_one_hop_are_not_of_two():
    triangle = torch.tensor([[0, 1, 2], [1, 2, 0]])
    one, two = hops(triangle, 3)
    torch.testing.assert_close(one.to_dense(), (1 - torch.eye(3)) / 2)
    assert not two.to_dense().any()


@pytest.mark.parametrize("rounds", [1, 2])
def test_h2gcn_by_hand(rounds):
    plain = task()
    A = torch.zeros(6, 6)
    A[GRAPH[0], GRAPH[1]] = 1
    far = ((A @ A > 0) & (A == 0)).float().fill_diagonal_(0)

    def peer(model):
        scaled = []
        for matrix in (A, far):
            scale = matrix.sum(dim=1).clamp(min=1).rsqrt()
            scaled.append(scale.unsqueeze(1) * matrix * scale)
        r = [model.lin_in(plain.graph().x).relu()]
        for _ in range(rounds):
            r.append(torch.cat([matrix @ r[-1] for matrix in scaled], dim=1))
        return model.lin_out(torch.cat(r, dim=1))

    close("h2gcn", plain, {"hidden": 4, "dropout": 0.0, "rounds": rounds}, peer)


def test_h2gcn_gives_scores_without_a_softmax():
    out = H2GCN(9, 4, 3)(*given(task())[:2])
    assert not torch.allclose(out.exp().sum(dim=1), torch.ones(6))
    assert (out < 0).any()


def test_residuals_by_hand():
    model, x = Residual(5, 4, num_layers=3, out_channels=2), torch.randn(6, 5)
    h = model.lin_in(x)
    for layer in model.layers:
        h = h + layer(h).relu()
    torch.testing.assert_close(model(x), model.lin_out(h))


@pytest.mark.parametrize("name", ["appnp", "gprgnn"])
def test_a_residual_perceptron_is_propagated(name):
    setting = {"hidden": 4, "dropout": 0.0, "alpha": 0.2, "K": 3, "num_layers": 8, "residual": True}
    prepared, model = made(find(name), task(), setting)
    data = prepared.graph()
    torch.testing.assert_close(graphtasks.forward(model, data), model.prop(model.mlp(data.x), data.adj_t))


def test_residual_sgc_is_a_perceptron_of_propagated_features():
    setting = {"hidden": 4, "K": 2, "num_layers": 8, "residual": True}
    plain = task()
    prepared, model = made(find("sgc"), plain, setting)
    peer = SGConv(9, 4, K=2)
    h = with_state(peer, dict(model.lin_in.named_parameters()))(*given(plain))
    for layer in model.layers:
        h = h + layer(h).relu()
    torch.testing.assert_close(graphtasks.forward(model, prepared.graph()), model.lin_out(h), atol=1e-5, rtol=1e-4)


def test_gat_gives_the_mean_of_its_heads():
    _, model = made(find("gat"), task(), {"hidden": 8, "dropout": 0.0, "heads": 4})
    assert model(*given(task())[:2]).shape == (6, 3)
