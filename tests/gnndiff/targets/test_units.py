"""Declared units keep the function when they change places; unknown networks declare none."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GATConv, GCNConv, GINConv, PNAConv, TransformerConv
from torch_geometric.nn.models import GAT, GCN, GIN, MLP, PNA, EdgeCNN, GraphSAGE
from torch_geometric.nn.models.basic_gnn import BasicGNN

from dmdgnn.nn import DMDGNN, DMDGPS, DecoupledDMD, DirDMDGNN, GraphDMD
from gnndiff.errors import ConfigError
from gnndiff.layers import GPRGNN, GPS, APPNPNet, MixHop, MixHopBlock, Residual, SkipGAT, SkipGCN
from gnndiff.targets import FunctionTarget
from gnndiff.targets.ends import units_of
from gnndiff.targets.units import Part, Units
from gnndiff.zoo.alignment import align, alignment_error, check_alignment
from graphtasks import GraphTask, Split

X = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 1], [1, 2, 3, 4, 5, 0, 0]])
MODES, EIGS = torch.linalg.qr(X[:, :4]).Q, torch.tensor([0.9, 0.5, 0.2, 0.1])
SPECTRUM = (X, EDGES, MODES, EIGS)

KNOWN = {
    "mlp": (lambda: MLP([5, 8, 3], norm=None), (X,)),
    "mlp deep": (lambda: MLP([5, 8, 8, 3], norm="layer_norm"), (X,)),
    "gcn": (lambda: GCN(5, 8, 2, 3), (X, EDGES)),
    "gcn, batch norm": (lambda: GCN(5, 8, 3, 3, norm="batch_norm"), (X, EDGES)),
    "gcn, graph norm": (lambda: GCN(5, 8, 3, 3, norm="graph_norm"), (X, EDGES)),
    "gcn, jk cat": (lambda: GCN(5, 8, 3, 3, jk="cat"), (X, EDGES)),
    "gcn, jk max": (lambda: GCN(5, 8, 3, 3, jk="max", norm="batch_norm"), (X, EDGES)),
    "gcn, jk lstm": (lambda: GCN(5, 8, 2, 3, jk="lstm"), (X, EDGES)),
    "gcn, jk last": (lambda: GCN(5, 8, 2, 3, jk="last"), (X, EDGES)),
    "sage": (lambda: GraphSAGE(5, 8, 2, 3), (X, EDGES)),
    "sage deep": (lambda: GraphSAGE(5, 8, 3, 3), (X, EDGES)),
    "gin": (lambda: GIN(5, 8, 3, 3), (X, EDGES)),
    "gin, batch norm": (lambda: GIN(5, 8, 2, 3, norm="batch_norm"), (X, EDGES)),
    "gat": (lambda: GAT(5, 8, 2, 3, heads=2), (X, EDGES)),
    "gat, version 2": (lambda: GAT(5, 8, 3, 4, v2=True, heads=2), (X, EDGES)),
    "gat, jk cat": (lambda: GAT(5, 8, 2, 4, heads=4, jk="cat"), (X, EDGES)),
    "edge cnn": (lambda: EdgeCNN(5, 8, 2, 3), (X, EDGES)),
    # The rank is the width: the filter must not be taken for a row of units.
    "dmdgnn": (lambda: DMDGNN(5, 4, 2, 3, rank=4, skip=True, local=True), SPECTRUM),
    "dmdgnn, filters of heads": (lambda: DMDGNN(5, 4, 3, 4, rank=4, heads=2, degree=4, skip=True, gate=1.0), SPECTRUM),
    "dmdgnn, one layer": (lambda: DMDGNN(5, 4, 1, 4, rank=4, jk="last", norm="layer_norm"), SPECTRUM),
    "graphdmd": (lambda: GraphDMD(5, 4, 3, rank=4, act="relu", skip=True, heads=2), (X, MODES, EIGS)),
    "decoupled": (lambda: DecoupledDMD(5, 4, 3, rank=4, num_layers=3, gate=1.0, local=None), SPECTRUM),
    "dmdgnn-dir": (
        lambda: DirDMDGNN(5, 4, 3, 3, rank=4, heads=2, skip=True, local=True, gate=1.0),
        (*SPECTRUM, MODES.roll(1, 0), EIGS),
    ),
    "gcn with skip": (lambda: SkipGCN(5, 8, 2, 3), (X, EDGES)),
    "gat with skip": (lambda: SkipGAT(5, 8, 2, 3, heads=2), (X, EDGES)),
    "appnp": (lambda: APPNPNet(5, 8, 2, 3), (X, EDGES)),
    "gprgnn, residual": (lambda: GPRGNN(5, 8, 3, 3, residual=True), (X, EDGES)),
    "mixhop": (lambda: MixHop(5, 4, 3, 3, norm="batch_norm"), (X, EDGES, torch.rand(7))),
    "mixhop, residual": (lambda: Residual(5, 4, 2, 3, MixHopBlock, norm="layer_norm"), (X, EDGES, torch.rand(7))),
    "gps": (lambda: GPS(5, 8, 2, 3, heads=2), (X, EDGES)),
    "gps, linear attention": (lambda: GPS(5, 8, 2, 3, attn_type="performer", norm=None), (X, EDGES)),
    "dmdgps": (lambda: DMDGPS(5, 4, 2, 3, rank=4, gate=0.5), SPECTRUM),
    "dmdgps, filters of heads": (lambda: DMDGPS(5, 8, 3, 3, rank=4, heads=2, degree=8, norm="layer_norm"), SPECTRUM),
    "perceptron of torch": (
        lambda: nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)),
        (X,),
    ),
}


class Own(BasicGNN):
    """A user's network of PyG's layers, which is not mentioned anywhere."""

    supports_edge_weight = False
    supports_edge_attr = False

    def init_conv(self, in_channels, out_channels, **kwargs):
        return TransformerConv(in_channels, out_channels // 2, heads=2)


KNOWN["own"] = (lambda: Own(5, 8, 2, 4), (X, EDGES))


def error(name, seed=0):
    torch.manual_seed(seed)
    build, arguments = KNOWN[name]
    model = build().eval()

    def outputs(state):
        model.load_state_dict(state)
        with torch.no_grad():
            return model(*arguments)

    return alignment_error(model.state_dict(), units_of(model), outputs)


@pytest.mark.parametrize("name", KNOWN)
def test_units_change_places_without_a_change_of_outputs(name):
    assert error(name) < 1e-5


@pytest.mark.parametrize("name", KNOWN)
def test_alignment_undoes_a_reordering(name):
    torch.manual_seed(0)
    model = KNOWN[name][0]()
    state, units = model.state_dict(), units_of(model)
    noise = {key: torch.randn(value.shape) if value.is_floating_point() else value for key, value in state.items()}
    moved = align(state, noise, units)
    assert any(not torch.equal(moved[key], state[key]) for key in state)
    restored = align(moved, state, units)
    for key, tensor in state.items():
        torch.testing.assert_close(restored[key], tensor, rtol=0, atol=0)


def test_alignment_comes_closer():
    torch.manual_seed(0)
    first, second = (GAT(5, 8, 3, 4, heads=2) for _ in range(2))
    aligned = align(first.state_dict(), second.state_dict(), units_of(first))

    def distance(state):
        return sum(float((state[key] - tensor).square().sum()) for key, tensor in second.state_dict().items())

    assert distance(aligned) < distance(first.state_dict())


@pytest.mark.parametrize("name", ["gat", "dmdgnn, filters of heads"])
def test_whole_heads_change_places(name):
    torch.manual_seed(0)
    model = KNOWN[name][0]()
    units = units_of(model)
    heads = next(each for each in units if each.heads == 2)
    state = model.state_dict()
    width = len(state["convs.0.lin.weight"])
    order = torch.arange(width).roll(width // 2)
    swapped = dict(state)
    for part in heads.rows:
        tensor = state[part]
        swapped[part] = tensor.reshape(width, -1)[order].reshape(tensor.shape)
    for part in heads.columns:
        columns = order if state[part].size(1) == width else torch.tensor([1, 0])
        swapped[part] = state[part][:, columns]
    restored = align(swapped, state, units)
    for key, tensor in state.items():
        assert torch.equal(restored[key], tensor), key


@pytest.mark.parametrize("name", ["gps", "dmdgps"])
def test_all_hidden_units_of_blocks_change_places(name):
    units = units_of(KNOWN[name][0]())
    names = {part for each in units for part in (*each.rows, *each.columns)}
    assert {"lin_in.weight", "lin_out.weight", "blocks.1.mlp.0.weight", "blocks.1.conv.lin.weight"} <= names
    assert len(units) == 3  # those that residuals carry, and those inside of two blocks


def test_alignment_changes_no_input_and_takes_parameters_alone():
    torch.manual_seed(0)
    model, other = (GCN(5, 8, 2, 3, norm="batch_norm") for _ in range(2))
    first = {key: tensor.detach() for key, tensor in model.named_parameters()}
    before = {key: tensor.clone() for key, tensor in first.items()}
    aligned = align(first, dict(other.named_parameters()), units_of(model))
    assert aligned.keys() == first.keys()
    assert all(torch.equal(first[key], before[key]) for key in before)


class Conv(nn.Module):
    """A network of the user with a residual past its second layer."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = GCNConv(5, 8), GCNConv(8, 8), GCNConv(8, 3)

    def forward(self, x, edge_index):
        x = self.conv1(x, edge_index).relu()
        return self.conv3(x + self.conv2(x, edge_index).relu(), edge_index)


DEGREE = torch.ones(4)
UNKNOWN = {
    "pna": lambda: PNA(5, 8, 2, 3, aggregators=["mean", "max"], scalers=["identity", "amplification"], deg=DEGREE),
    "own": Conv,
    "means over heads of hidden layers are known, sums of towers are not": lambda: PNAConv(
        5, 8, ["mean"], ["identity"], DEGREE
    ),
    "prelu": lambda: GCN(5, 8, 2, 3, act=nn.PReLU(8)),
    "recurrent": lambda: nn.GRU(3, 4),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_networks_that_are_not_known_are_not_aligned(name):
    assert units_of(UNKNOWN[name]()) is None
    assert FunctionTarget(lambda task: None, {}).units(UNKNOWN[name]()) is None


def task():
    nodes = torch.arange(6)
    data = Data(x=X, y=nodes % 3, edge_index=EDGES)
    return GraphTask.from_data(data, splits=[Split(nodes[:3], nodes[3:5], nodes[5:])])


def stream(*names):
    rows = tuple(f"{name}.{part}" for name in ("conv1", "conv2") for part in ("lin.weight", "bias"))
    return [Units(rows, tuple(f"{name}.lin.weight" for name in names))]


def test_an_own_network_with_a_residual_declares_what_the_residual_carries():
    assert check_alignment(Conv(), task(), stream("conv2", "conv3")) < 1e-5


@pytest.mark.parametrize(
    "units",
    [
        stream("conv3"),
        [Units(("conv1.lin.weight", "conv1.bias"), ("conv2.lin.weight",))],
        [Units(("conv3.bias",))],
    ],
)
def test_a_wrong_declaration_changes_outputs(units):
    model = Conv()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    assert check_alignment(model, task(), units) > 0.01
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_what_is_constant_at_first_hides_no_mistake():
    # Biases start at zero, statistics at zero and one: a declaration that forgets them seems right.
    model = GCN(5, 8, 2, 3, norm="batch_norm")
    forgets = [Units(("convs.0.lin.weight",), ("convs.1.lin.weight",))]
    assert check_alignment(model, task(), forgets) > 0.01


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (Units(("conv1.weight",)), "name the tensor 'conv1.weight', which the module has not"),
        (Units(("conv1.bias",), ("conv2.bias",)), r"name columns of 'conv2.bias', which has shape \(8,\)"),
        (Units(("conv1.bias", "conv3.bias")), "name rows of 'conv3.bias', which has 3, expected one for each of 8"),
        (Units(("conv1.bias",), heads=3), "got 8 units in 3 heads, expected a multiple"),
        (Units(()), "units without rows and columns"),
    ],
)
def test_declarations_that_do_not_fit(units, message):
    with pytest.raises(ConfigError, match=message):
        check_alignment(Conv(), task(), [units])


def test_units_of_recurrent_layers_have_parts():
    torch.manual_seed(0)
    gru = nn.GRU(3, 4, batch_first=True)
    names = list(gru.state_dict())
    rows = tuple(Part(name, gate * 4, (gate + 1) * 4) for name in names for gate in range(3))
    # The state itself is what is given: compare it in the order of the units.
    moved = align(gru.state_dict(), {key: torch.randn_like(t) for key, t in gru.state_dict().items()}, [
        Units(rows, ("weight_hh_l0",))
    ])  # fmt: skip
    x = torch.randn(2, 5, 3)
    before = gru(x)[0]
    gru.load_state_dict(moved)
    after = gru(x)[0]
    assert not torch.allclose(after, before)
    torch.testing.assert_close(after.flatten().sort().values, before.flatten().sort().values)


def test_gin_of_a_user_s_perceptrons():
    perceptron = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    layer = GINConv(perceptron)
    assert check_alignment(layer, task(), units_of(layer)) < 1e-5


def test_means_over_heads_change_places():
    layer = GATConv(5, 3, heads=4, concat=False)
    assert check_alignment(layer, task(), units_of(layer)) < 1e-5
    assert units_of(layer)[0].count == 4
