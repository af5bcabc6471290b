import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import SAGEConv

from dmdgnn import InputError
from dmdgnn.nn import DMDGNN, DMDConv, GraphDMD
from dmdgnn.transforms import AddDMDModes

N, R = 6, 3
EDGES = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 5, 5]])
EIGS = {"real": torch.tensor([[0.9, -0.5, 0.2]]), "complex": torch.tensor([[0.9, 0.3 + 0.4j, 0.3 - 0.4j]])}


@pytest.fixture
def graph():
    return torch.randn(N, 4), torch.randn(N, R)


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_graph_dmd_is_two_linear_maps_around_the_filter(graph):
    x, modes = graph
    model = GraphDMD(4, 8, 2, R).eval()
    with torch.no_grad():
        model.conv.filter.theta.normal_()
        model.conv.bias.normal_()
    spectral = EIGS["real"].flatten() + model.conv.filter.theta.flatten()
    hidden = modes * spectral @ modes.T @ x @ model.conv.lin.weight.T + model.conv.bias
    torch.testing.assert_close(model(x, modes, EIGS["real"]), hidden @ model.lin.weight.T + model.lin.bias)


def test_graph_dmd_drops_outputs_in_training_only(graph):
    x, modes = graph
    model = GraphDMD(4, 8, 2, R, dropout=1.0)
    assert not model(x, modes, EIGS["real"]).any()
    assert model.eval()(x, modes, EIGS["real"]).all()
    kept = GraphDMD(4, 8, 500, R)(x, modes, EIGS["real"]) != 0
    assert float(kept.float().mean()) == pytest.approx(0.2, abs=0.03)


def test_graph_dmd_with_a_silent_global_term_is_a_perceptron(graph):
    x, modes = graph
    model = GraphDMD(4, 8, 2, R, dropout=0.0, act="relu", skip=True)
    torch.nn.init.zeros_(model.conv.lin.weight)
    hidden = (x @ model.conv.skip.weight.T + model.conv.bias).relu()
    torch.testing.assert_close(model(x, modes, EIGS["complex"]), hidden @ model.lin.weight.T + model.lin.bias)


def test_graph_dmd_drops_hidden_samples_before_the_last_map(graph):
    x, modes = graph
    model = GraphDMD(4, 8, 2, R, dropout=1.0, act="relu")
    torch.testing.assert_close(model(x, modes, EIGS["real"]), model.lin.bias.expand(N, 2))


def test_one_layer_is_one_convolution(graph):
    x, modes = graph
    model, conv = DMDGNN(4, 4, num_layers=1, out_channels=2, rank=R, skip=True), DMDConv(4, 2, R, skip=True)
    conv.load_state_dict(model.convs[0].state_dict())
    for eigs in EIGS.values():
        torch.testing.assert_close(model(x, EDGES, modes, eigs), conv(x, modes, eigs))


def test_layers_are_composed_with_the_activation_between(graph):
    x, modes = graph
    weight = torch.rand(EDGES.size(1))
    model = DMDGNN(4, 5, num_layers=2, out_channels=2, rank=R, local=True, act="tanh")
    first, second = DMDConv(4, 5, R, local=True), DMDConv(5, 2, R, local=True)
    first.load_state_dict(model.convs[0].state_dict())
    second.load_state_dict(model.convs[1].state_dict())
    for eigs in EIGS.values():
        expected = second(first(x, modes, eigs, EDGES, weight).tanh(), modes, eigs, EDGES, weight)
        torch.testing.assert_close(model(x, EDGES, modes, eigs, weight), expected)


@pytest.mark.parametrize("jk", [None, "last", "cat", "max", "lstm"])
@pytest.mark.parametrize("norm", [None, "BatchNorm", "LayerNorm"])
def test_options_of_basic_gnn(graph, jk, norm):
    x, modes = graph
    model = DMDGNN(4, 8, num_layers=3, out_channels=2, rank=R, skip=True, local=True, jk=jk, norm=norm, dropout=0.1)
    out = model(x, EDGES, modes, EIGS["complex"], batch=torch.zeros(N, dtype=torch.long))
    assert tuple(out.shape) == (N, 2)
    out.square().sum().backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads.values())
    assert all(grads[f"convs.{i}.filter.theta"].any() for i in range(3))


def test_hidden_size_is_the_output_size_by_default(graph):
    x, modes = graph
    assert tuple(DMDGNN(4, 8, num_layers=2, rank=R)(x, EDGES, modes, EIGS["real"]).shape) == (N, 8)


@pytest.mark.parametrize(
    "make", [lambda: GraphDMD(4, 8, 2, R), lambda: DMDGNN(4, 8, 2, 2, rank=R, local=True, jk="cat")]
)
def test_reset_parameters_is_a_new_start(make):
    torch.manual_seed(1)
    model = make()
    torch.manual_seed(2)
    model.reset_parameters()
    first = weights(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    torch.manual_seed(2)
    model.reset_parameters()
    torch.testing.assert_close(weights(model), first, rtol=0, atol=0)
    torch.manual_seed(3)
    model.reset_parameters()
    assert not torch.equal(model.lin.weight, first["lin.weight"])


def test_nodes_may_be_permuted(graph):
    x, modes = graph
    model = DMDGNN(4, 8, 2, 2, rank=R, skip=True, local=True, norm="LayerNorm", jk="max").eval()
    order = torch.randperm(N)
    permuted = model(x[order], order.argsort()[EDGES], modes[order], EIGS["complex"])
    torch.testing.assert_close(permuted, model(x, EDGES, modes, EIGS["complex"])[order])


@pytest.mark.parametrize("model", [DMDGNN(4, 8, 2, 2, rank=2), DMDGNN(4, 8, 2, 2, rank=R + 1)], ids=["less", "more"])
def test_modes_of_another_rank(graph, model):
    x, modes = graph
    with pytest.raises(InputError, match="compute the modes of this graph with this rank"):
        model(x, EDGES, modes, EIGS["real"])


def test_a_batch_of_graphs_is_refused():
    # One filter has one set of eigenvalues: the modes of two graphs side by side are not one operator.
    graph = AddDMDModes(rank=R)(Data(x=torch.randn(N, 4), edge_index=EDGES))
    batch = Batch.from_data_list([graph, graph])
    with pytest.raises(InputError, match=r"eigenvalues \(2, 3\)"):
        DMDGNN(4, 8, 2, 2, rank=R)(batch.x, batch.edge_index, batch.dmd_modes, batch.dmd_eigs)


def test_heads_where_they_divide_the_channels(graph):
    x, modes = graph
    model = DMDGNN(4, 6, num_layers=2, out_channels=2, rank=R, heads=3)
    assert [conv.heads for conv in model.convs] == [3, 1]
    assert tuple(model(x, EDGES, modes, EIGS["real"]).shape) == (N, 2)


def test_batches_of_graphs_are_graphs_one_by_one():
    graphs = [Data(x=torch.randn(n, 4), edge_index=torch.tensor([[0, 1], [1, 0]])) for n in (3, 5, 4)]
    modes, duals = [torch.randn(g.num_nodes, R) for g in graphs], [torch.randn(g.num_nodes, R) for g in graphs]
    eigs = torch.randn(3, R)
    model = DMDGNN(4, 6, num_layers=3, out_channels=2, rank=R, skip=True, local=True, degree=2)
    batch = Batch.from_data_list(graphs)
    together = model(batch.x, batch.edge_index, torch.cat(modes), eigs, batch=batch.batch, dmd_duals=torch.cat(duals))
    alone = [model(g.x, g.edge_index, modes[i], eigs[i : i + 1], dmd_duals=duals[i]) for i, g in enumerate(graphs)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_any_convolution_is_the_local_term(graph):
    x, modes = graph
    conv = DMDConv(4, 2, R, local=lambda i, o: SAGEConv(i, o, bias=False))
    plain = DMDConv(4, 2, R)
    plain.load_state_dict({name: value for name, value in conv.state_dict().items() if "local" not in name})
    expected = plain(x, modes, EIGS["complex"]) + conv.local(x, EDGES)
    torch.testing.assert_close(conv(x, modes, EIGS["complex"], EDGES), expected)
