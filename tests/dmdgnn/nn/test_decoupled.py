import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import APPNP

from dmdgnn import InputError
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DecoupledDMD
from dmdgnn.transforms import AddDMDModes

N, R = 6, 3
EDGES = torch.tensor([[0, 1, 1, 2, 2, 3, 3, 4, 4, 5], [1, 0, 2, 1, 3, 2, 4, 3, 5, 4]])
EIGS = {"real": torch.tensor([[0.9, -0.5, 0.2]]), "complex": torch.tensor([[0.9, 0.3 + 0.4j, 0.3 - 0.4j]])}
BLOCKS = {
    "real": torch.diag(EIGS["real"][0]),
    "complex": torch.tensor([[0.9, 0.0, 0.0], [0.0, 0.3, 0.4], [0.0, -0.4, 0.3]]),
}


@pytest.mark.parametrize("kind", EIGS)
def test_propagates_what_the_perceptron_gives(kind):
    x, modes = torch.randn(N, 4), torch.randn(N, R)
    model = DecoupledDMD(4, 8, 2, R, gate=0.5)
    weight = torch.rand(EDGES.size(1))
    h = model.mlp(x)
    expected = APPNP(K=10, alpha=0.1)(h, EDGES, weight) + 0.5 * modes @ BLOCKS[kind] @ modes.T @ h
    torch.testing.assert_close(model(x, EDGES, modes, EIGS[kind], weight), expected)


def test_starts_without_the_modes_and_learns_to_open_the_gate():
    x, modes = torch.randn(N, 4), torch.randn(N, R)
    model = DecoupledDMD(4, 8, 2, R)
    out = model(x, EDGES, modes, EIGS["real"])
    torch.testing.assert_close(out, APPNP(K=10, alpha=0.1)(model.mlp(x), EDGES))
    out.square().sum().backward()
    assert model.prop.gate.grad


def test_one_step_of_the_dynamics_that_the_modes_are_of():
    # As many modes as nodes, read as they are orthonormal: the term of the modes is a step of propagation.
    graph = Data(x=torch.randn(N, 8, dtype=torch.float64), edge_index=EDGES)
    graph = AddDMDModes(rank=N, dynamics=FeaturePropagation(), modes="projected")(graph)
    model = DecoupledDMD(8, 8, 2, N, gate=1.0, local=lambda i, o: APPNP(K=1, alpha=0.0)).double()
    h = model.mlp(graph.x)
    step = APPNP(K=1, alpha=0.0)(h, EDGES)
    torch.testing.assert_close(model(graph.x, EDGES, graph.dmd_modes, graph.dmd_eigs), 2 * step)


def test_the_modes_alone():
    x, modes = torch.randn(N, 4), torch.randn(N, R)
    model = DecoupledDMD(4, 8, 2, R, gate=1.0, local=None)
    expected = modes @ BLOCKS["real"] @ modes.T @ model.mlp(x)
    torch.testing.assert_close(model(x, EDGES, modes, EIGS["real"]), expected)


def test_drops_in_training_only():
    x, modes = torch.randn(N, 4), torch.randn(N, R)
    model = DecoupledDMD(4, 8, 2, R, dropout=1.0)
    assert not model(x, EDGES, modes, EIGS["real"]).any()
    assert model.eval()(x, EDGES, modes, EIGS["real"]).any()


def test_graphs_of_a_batch_are_graphs_one_by_one():
    graphs = [Data(x=torch.randn(n, 4), edge_index=torch.tensor([[0, 1], [1, 0]])) for n in (3, 5, 4)]
    modes, eigs = [torch.randn(g.num_nodes, R) for g in graphs], torch.randn(3, R)
    model = DecoupledDMD(4, 6, 2, R, degree=2, gate=1.0, norm="graph_norm")
    batch = Batch.from_data_list(graphs)
    together = model(batch.x, batch.edge_index, torch.cat(modes), eigs, batch=batch.batch)
    zeros = [torch.zeros(g.num_nodes, dtype=torch.int64) for g in graphs]
    alone = [model(g.x, g.edge_index, modes[i], eigs[i : i + 1], batch=zeros[i]) for i, g in enumerate(graphs)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_reset_parameters_is_a_new_start():
    model = DecoupledDMD(4, 8, 2, R)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    model.reset_parameters()
    assert not model.prop.gate
    assert not model.prop.filter.theta.any()
    assert not any((parameter == 7.0).any() for parameter in model.parameters())


def test_modes_of_another_graph():
    model = DecoupledDMD(4, 8, 2, R)
    with pytest.raises(InputError, match="compute the modes of this graph"):
        model(torch.randn(N, 4), EDGES, torch.randn(N + 1, R), EIGS["real"])
