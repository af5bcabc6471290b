import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv, SAGEConv
from torch_geometric.transforms import Compose

from dmdgnn import DMD, InputError
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DirDMDConv, DirDMDGNN, DMDConv
from dmdgnn.transforms import AddDMDModes

R = 3
# A cycle of five nodes with a shortcut, and two nodes downstream of it.
EDGES = torch.tensor([[0, 1, 2, 3, 4, 0, 2, 5], [1, 2, 3, 4, 0, 2, 5, 6]])
WEIGHTS = torch.linspace(0.5, 2, EDGES.size(1), dtype=torch.float64)
DIRECTIONS = {"out": "forward", "in": "backward"}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(6)


def dynamics(name):
    return FeaturePropagation(burn_in=1, direction=DIRECTIONS[name])


def prepared(edge_index=EDGES, nodes=7, rank=R, **attributes):
    data = Data(x=torch.randn(nodes, 4, dtype=torch.float64), edge_index=edge_index, **attributes)
    both = [AddDMDModes(rank, dynamics=dynamics(name), attr=f"dmd_{name}", duals=True) for name in DIRECTIONS]
    return Compose(both)(data)


def spectra(data, *names):
    return [data[f"dmd_{name}_{part}"] for name in names or DIRECTIONS for part in ("modes", "eigs")]


def duals(data):
    return {f"{name}_duals": data[f"dmd_{name}_duals"] for name in DIRECTIONS}


def call(conv, data):
    return conv(data.x, *spectra(data), data.edge_index, data.get("edge_weight"), **duals(data))


def perturbed(module):
    """The same module, its gains, gates and biases no longer at their start."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.double()


def swap(conv):
    """The same layer with the roles of the two directions exchanged."""
    twin = DirDMDConv(4, 2, R, alpha=1 - conv.alpha, skip=True, local=True, gate=1.0).double()
    swapped = {"conv_out": "conv_in", "conv_in": "conv_out", "local_out": "local_in", "local_in": "local_out"}
    state = {}
    for name, value in conv.state_dict().items():
        part, _, rest = name.partition(".")
        state[f"{swapped.get(part, part)}.{rest}".rstrip(".")] = value
    twin.load_state_dict(state)
    return twin


def test_both_directions_of_a_ring_turn():
    ring = torch.stack([torch.arange(5), (torch.arange(5) + 1) % 5])
    data = Data(x=torch.eye(5, dtype=torch.float64), edge_index=ring)
    for name, direction in DIRECTIONS.items():
        out = AddDMDModes(5, dynamics=FeaturePropagation(direction=direction), attr=f"dmd_{name}", duals=True)(data)
        roots = (1 + torch.exp(2j * torch.pi * torch.arange(5, dtype=torch.float64) / 5)) / 2
        distance = (out[f"dmd_{name}_eigs"].unsqueeze(-1) - roots).abs()
        assert float(distance.min(dim=-1).values.max()) < 1e-12
        assert float(distance.min(dim=-2).values.max()) < 1e-12


def test_graphs_of_these_tests_have_pairs():
    data = prepared()
    for name in DIRECTIONS:
        assert float(data[f"dmd_{name}_eigs"].imag.max()) > 0.05


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("degree", [None, 2])
@pytest.mark.parametrize("weight", [None, WEIGHTS])
def test_the_layer_is_two_convolutions_and_what_they_share(heads, degree, weight):
    data = prepared(edge_weight=weight)
    conv = perturbed(DirDMDConv(4, 2, R, 0.3, heads, degree, skip=True, local=True, gate=0.7))
    total = 0
    for name, share, edges in (("out", 0.3, EDGES), ("in", 0.7, EDGES.flip(0))):
        alone = DMDConv(4, 2, R, heads, degree, bias=False).double()
        alone.load_state_dict(getattr(conv, f"conv_{name}").state_dict())
        near = GCNConv(4, 2, bias=False).double()
        near.load_state_dict(getattr(conv, f"local_{name}").state_dict())
        modes = alone(data.x, *spectra(data, name), duals=data[f"dmd_{name}_duals"])
        total = total + share * (conv.gate * modes + near(data.x, edges, weight))
    torch.testing.assert_close(call(conv, data), total + data.x @ conv.skip.weight.T + conv.bias)


def test_shared_terms_are_there_once():
    names = [name for name, _ in DirDMDConv(4, 2, R, skip=True, gate=0.0).named_parameters()]
    assert sorted(names) == sorted(
        [f"conv_{side}.{part}" for side in DIRECTIONS for part in ("lin.weight", "filter.theta")]
        + ["skip.weight", "gate", "bias"]
    )


@pytest.mark.parametrize(("alpha", "name"), [(1.0, "out"), (0.0, "in")])
def test_all_of_one_direction_is_the_convolution_on_its_modes(alpha, name):
    data = prepared()
    conv = perturbed(DirDMDConv(4, 2, R, alpha))
    alone = DMDConv(4, 2, R).double()
    alone.load_state_dict({**getattr(conv, f"conv_{name}").state_dict(), "bias": conv.bias})
    torch.testing.assert_close(call(conv, data), alone(data.x, *spectra(data, name), duals=data[f"dmd_{name}_duals"]))


def test_reversed_edges_exchange_the_directions():
    data = prepared(edge_weight=WEIGHTS)
    conv = perturbed(DirDMDConv(4, 2, R, 0.3, skip=True, local=True, gate=0.7))
    torch.manual_seed(6)
    back = prepared(EDGES.flip(0), edge_weight=WEIGHTS)
    torch.testing.assert_close(back.dmd_out_eigs, data.dmd_in_eigs)
    assert not torch.allclose(call(conv, back), call(conv, data), atol=0.1)
    torch.testing.assert_close(call(swap(conv), back), call(conv, data))


@pytest.mark.parametrize("weight", [None, WEIGHTS.repeat(2)])
def test_on_an_undirected_graph_the_layer_is_the_plain_one(weight):
    data = prepared(torch.cat([EDGES, EDGES.flip(0)], dim=1), edge_weight=weight)
    plain = AddDMDModes(R, dynamics=FeaturePropagation(burn_in=1))(data)
    one = perturbed(DMDConv(4, 2, R, skip=True, local=True, gate=0.7))
    state = {}
    for name, value in one.state_dict().items():
        targets = {"lin": "conv_{}.lin", "filter": "conv_{}.filter", "local": "local_{}"}
        part, _, rest = name.partition(".")
        for side in DIRECTIONS:
            state[f"{targets.get(part, part).format(side)}.{rest}".rstrip(".")] = value
    conv = DirDMDConv(4, 2, R, 0.3, skip=True, local=True, gate=0.7).double()
    conv.load_state_dict(state)
    expected = one(data.x, plain.dmd_modes, plain.dmd_eigs, data.edge_index, weight)
    torch.testing.assert_close(call(conv, data), expected)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_the_layer_starts_as_the_operators(alpha):
    data = prepared()
    conv = DirDMDConv(4, 4, R, alpha).double()
    with torch.no_grad():
        for part in (conv.conv_out, conv.conv_in):
            part.lin.weight.copy_(torch.eye(4))
    out, into = (DMD(R, modes="projected").fit(*dynamics(name).snapshots(data)).predict(data.x) for name in DIRECTIONS)
    torch.testing.assert_close(call(conv, data), alpha * out + (1 - alpha) * into)


def test_operators_stand_for_modes():
    data = prepared()
    conv = perturbed(DirDMDConv(4, 2, R))
    out, into = (DMD(R, modes="projected").fit(*dynamics(name).snapshots(data)).operator for name in DIRECTIONS)
    along, against = out.spectrum(), into.spectrum()
    duals = {"out_duals": along[2], "in_duals": against[2]}
    expected = conv(data.x, *along[:2], *against[:2], **duals)
    torch.testing.assert_close(conv(data.x, out, None, into, None), expected)


def test_a_given_convolution_is_local_in_each_direction():
    data = prepared()
    conv = DirDMDConv(4, 2, R, 0.3, local=lambda i, o: SAGEConv(i, o, root_weight=False), gate=0.0, bias=False).double()
    near = 0.3 * conv.local_out(data.x, EDGES) + 0.7 * conv.local_in(data.x, EDGES.flip(0))
    torch.testing.assert_close(call(conv, data), near)


def test_derivatives():
    data = prepared()
    conv = perturbed(DirDMDConv(4, 2, R, degree=2, skip=True, local=True, gate=0.7))
    names = [name for name, _ in conv.named_parameters()]

    def output(x, *parameters):
        arguments = (x, *spectra(data), EDGES)
        return torch.func.functional_call(conv, dict(zip(names, parameters, strict=True)), arguments, duals(data))

    parameters = [parameter.detach().requires_grad_() for parameter in conv.parameters()]
    assert torch.autograd.gradcheck(output, (data.x.clone().requires_grad_(), *parameters))


def model(**options):
    return perturbed(DirDMDGNN(4, 6, 2, 2, rank=R, skip=True, local=True, act="tanh", **options))


def outputs(network, data, **more):
    names = [f"dmd_{name}_{part}" for name in DIRECTIONS for part in ("modes", "eigs", "duals")]
    return network(data.x, data.edge_index, **{name: data[name] for name in names}, **more)


@pytest.mark.parametrize("weight", [None, WEIGHTS])
def test_layers_are_composed_with_the_activation_between(weight):
    data = prepared(edge_weight=weight)
    network = model(alpha=0.3)
    first, second = (DirDMDConv(*size, R, 0.3, skip=True, local=True).double() for size in ((4, 6), (6, 2)))
    first.load_state_dict(network.convs[0].state_dict())
    second.load_state_dict(network.convs[1].state_dict())
    hidden = call(first, data).tanh()
    expected = second(hidden, *spectra(data), EDGES, weight, **duals(data))
    torch.testing.assert_close(outputs(network, data, edge_weight=weight), expected)


@pytest.mark.parametrize("options", [{"degree": 2, "gate": 1.0}, {"jk": "cat"}], ids=str)
def test_batches_of_graphs_are_graphs_one_by_one(options):
    ring = torch.stack([torch.arange(5), (torch.arange(5) + 1) % 5])
    graphs = [prepared(), prepared(ring, nodes=5), prepared(EDGES.flip(0))]
    batch = Batch.from_data_list(graphs)
    network = model(**options)
    together = outputs(network, batch, batch=batch.batch)
    torch.testing.assert_close(together, torch.cat([outputs(network, graph) for graph in graphs]))


def test_nodes_may_be_permuted():
    data, network = prepared(), model(norm="LayerNorm", jk="max")
    order = torch.randperm(7)
    moved = data.clone()
    moved.edge_index = order.argsort()[EDGES]
    for name in ["x", *(f"dmd_{side}_{part}" for side in DIRECTIONS for part in ("modes", "duals"))]:
        moved[name] = data[name][order]
    torch.testing.assert_close(outputs(network, moved), outputs(network, data)[order])


def test_heads_where_they_divide_the_channels():
    network = model(heads=3)
    assert [(conv.conv_out.heads, conv.conv_in.heads) for conv in network.convs] == [(3, 3), (1, 1)]


def test_reset_parameters_is_a_new_start():
    conv = DirDMDConv(4, 2, R, skip=True, local=True, gate=0.7)
    torch.manual_seed(2)
    conv.reset_parameters()
    first = {name: value.clone() for name, value in conv.state_dict().items()}
    perturbed(conv).float()
    torch.manual_seed(2)
    conv.reset_parameters()
    torch.testing.assert_close(dict(conv.state_dict()), first, rtol=0, atol=0)
    torch.manual_seed(3)
    conv.reset_parameters()
    for name, value in conv.named_parameters():
        if name.endswith("weight"):
            assert not torch.equal(value, first[name]), name


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_alpha_is_a_share(alpha):
    with pytest.raises(InputError, match="expected a number from 0 to 1"):
        DirDMDConv(4, 2, R, alpha)


def test_inputs_that_do_not_fit():
    data = prepared()
    with pytest.raises(InputError, match="this layer has a local term: pass edge_index"):
        DirDMDConv(4, 2, R, local=True).double()(data.x, *spectra(data))
    with pytest.raises(InputError, match="compute the modes of this graph with this rank"):
        DirDMDConv(4, 2, R + 1).double()(data.x, *spectra(data))
