import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GAT, GCN, MLP, GCNConv, GraphConv, GraphSAGE, SAGEConv, Sequential, global_mean_pool

from dmdgnn import InputError
from dmdgnn.dynamics import HiddenStates
from dmdgnn.nn import DMDGNN
from dmdgnn.transforms import AddDMDModes

F64 = torch.float64


def graph(n=10, dtype=torch.float32):
    generator = torch.Generator().manual_seed(n)
    edge_index = torch.randint(n, (2, 3 * n), generator=generator)
    x = torch.randn(n, 5, dtype=F64, generator=generator)
    edge_weight = torch.rand(3 * n, dtype=F64, generator=generator) + 0.1
    return Data(x=x.to(dtype), edge_index=edge_index, edge_weight=edge_weight.to(dtype))


def assert_states(model, data, states):
    """The pairs are those of consecutive states, all of one width."""
    X, Y = HiddenStates(model).snapshots(data)
    torch.testing.assert_close(X, torch.cat(states[:-1], dim=1))
    torch.testing.assert_close(Y, torch.cat(states[1:], dim=1))


@pytest.mark.parametrize("options", [{}, {"norm": "batch"}, {"norm": "layer", "act_first": True}, {"act": "tanh"}])
@pytest.mark.parametrize("kind", [GCN, GraphSAGE, GAT])
def test_states_of_basic_gnns(kind, options):
    data, model = graph(), kind(5, 6, num_layers=4, dropout=0.5, **options).eval()
    x, states = data.x, []
    weights = {"edge_weight": data.edge_weight} if kind is GCN else {}
    with torch.no_grad():
        for layer, (conv, norm) in enumerate(zip(model.convs, model.norms, strict=True)):
            x = conv(x, data.edge_index, **weights)
            if layer < 3:
                x = norm(model.act(x)) if model.act_first else model.act(norm(x))
            states.append(x)
        torch.testing.assert_close(x, model(data.x, data.edge_index, **weights))
    assert_states(model, data, states)


def test_the_features_are_the_first_state():
    data, model = graph(), GCN(5, 5, num_layers=2).eval()
    with torch.no_grad():
        first = model.act(model.convs[0](data.x, data.edge_index, data.edge_weight))
        second = model(data.x, data.edge_index, data.edge_weight)
    assert_states(model, data, [data.x, first, second])


def test_only_states_of_one_width_make_a_pair():
    X, Y = HiddenStates(GCN(5, 6, num_layers=3, out_channels=2)).snapshots(graph())
    assert X.shape == Y.shape == (10, 6)


@pytest.mark.parametrize("jk", ["last", "cat", "max", "lstm"])
def test_jumping_knowledge_is_no_layer(jk):
    X, _ = HiddenStates(GCN(5, 6, num_layers=3, out_channels=2, jk=jk)).snapshots(graph())
    assert X.shape == (10, 12)


class Net(torch.nn.Module):
    """As in PyG's examples: the layers are attributes, one is called twice, and the graph is the argument."""

    def __init__(self):
        super().__init__()
        self.conv1 = GraphConv(5, 6)
        self.block = torch.nn.ModuleDict({"conv": SAGEConv(6, 6)})
        self.lin = torch.nn.Linear(6, 2)

    def forward(self, data):
        x = torch.nn.functional.relu_(self.conv1(data.x, data.edge_index))
        for _ in range(2):
            x = x + self.block["conv"](x=x, edge_index=data.edge_index)
            x.tanh_()
        return self.lin(global_mean_pool(x, data.batch))


def test_layers_are_found_in_any_model():
    data, model = graph(), Net()
    conv = model.block["conv"]
    with torch.no_grad():
        first = model.conv1(data.x, data.edge_index).relu()
        second = (first + conv(first, data.edge_index)).tanh()
        third = conv(second, data.edge_index)
    assert_states(model, data, [first, second, third])


def test_layers_of_a_sequence():
    data = graph()
    convs = GCNConv(5, 6), GCNConv(6, 6)
    layers = [(convs[0], "x, edge_index -> x"), torch.nn.Tanh(), (convs[1], "x, edge_index -> x")]
    with torch.no_grad():
        first = convs[0](data.x, data.edge_index).tanh()
        assert_states(Sequential("x, edge_index", layers), data, [first, convs[1](first, data.edge_index)])


def test_one_layer_with_its_input():
    data, conv = graph(), GraphConv(5, 5)
    with torch.no_grad():
        assert_states(conv, data, [data.x, conv(data.x, data.edge_index, data.edge_weight)])


def test_a_compiled_model_is_its_original():
    data, model = graph(), GCN(5, 6, num_layers=3)
    expected = HiddenStates(model).snapshots(data)
    compiled = HiddenStates(torch.compile(model)).snapshots(data)
    assert all(torch.equal(side, other) for side, other in zip(compiled, expected, strict=True))


def test_a_batch_runs_as_one():
    graphs = [graph(n) for n in (4, 9, 6)]
    dynamics = HiddenStates(GCN(5, 6, num_layers=3, norm="GraphNorm"))
    X, Y = dynamics.snapshots(Batch.from_data_list(graphs))
    alone = [dynamics.snapshots(data) for data in graphs]
    torch.testing.assert_close(X, torch.cat([pair[0] for pair in alone]))
    torch.testing.assert_close(Y, torch.cat([pair[1] for pair in alone]))


@pytest.mark.parametrize("of_features", [torch.float32, F64])
@pytest.mark.parametrize("of_model", [torch.float32, F64])
def test_features_and_model_may_differ_in_type(of_features, of_model):
    model, data = GCN(5, 6, num_layers=3).double(), graph(dtype=F64)
    expected = HiddenStates(model).snapshots(data)
    other = graph(dtype=of_features)
    for side, precise in zip(HiddenStates(model.to(of_model)).snapshots(other), expected, strict=True):
        assert side.dtype == of_features
        torch.testing.assert_close(side.double(), precise, rtol=1e-4, atol=1e-5)
    assert other.x.dtype == other.edge_weight.dtype == of_features


def test_the_model_stays_as_it_is():
    model = GCN(5, 6, num_layers=3, norm="batch", dropout=0.5)
    model.convs[1].eval()
    modes = [module.training for module in model.modules()]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    X, _ = HiddenStates(model).snapshots(graph())
    assert [module.training for module in model.modules()] == modes
    assert not X.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_model_that_fails_is_left_clean():
    model = GCN(7, 6, num_layers=3)
    with pytest.raises(RuntimeError):
        HiddenStates(model).snapshots(graph())
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_dropout_is_off():
    dynamics = HiddenStates(GCN(5, 6, num_layers=3, dropout=0.9))
    assert torch.equal(dynamics.snapshots(graph())[1], dynamics.snapshots(graph())[1])


def test_modes_follow_the_weights():
    data, model = graph(), GCN(5, 6, num_layers=3)
    transform = AddDMDModes(rank=3, dynamics=HiddenStates(model))
    first = transform(data)
    assert torch.equal(transform(data).dmd_modes, first.dmd_modes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(data.x, data.edge_index).square().mean().backward()
        optimizer.step()
    refreshed = transform(first)
    assert not torch.isclose(refreshed.dmd_modes.abs(), first.dmd_modes.abs(), rtol=0.01).all()
    torch.testing.assert_close(refreshed.dmd_eigs, AddDMDModes(rank=3, dynamics=HiddenStates(model))(data).dmd_eigs)


def test_a_model_on_modes_may_refresh_its_own():
    model = DMDGNN(5, 6, num_layers=3, rank=3, skip=True)
    data = AddDMDModes(rank=3)(graph())
    refreshed = AddDMDModes(rank=3, dynamics=HiddenStates(model))(data)
    assert refreshed.dmd_modes.shape == data.dmd_modes.shape
    assert not torch.equal(refreshed.dmd_modes, data.dmd_modes)


def test_equal_is_the_same_model():
    model, other = GCN(5, 6, num_layers=3), GCN(5, 6, num_layers=3)
    assert HiddenStates(model) == HiddenStates(model)
    assert hash(HiddenStates(model)) == hash(HiddenStates(model))
    assert HiddenStates(model) != HiddenStates(other)
    assert repr(HiddenStates(model)) == "HiddenStates(model=GCN(5, 6, num_layers=3))"


class Transposed(GCNConv):
    def forward(self, x, edge_index):
        return super().forward(x, edge_index).T


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (GCN(5, 6, num_layers=2, out_channels=3), r"states of GCN have widths \[5, 6, 3\], expected two consecutive"),
        (MLP([5, 6, 6]), "MLP has neither `convs` nor message passing modules: give a network on graphs"),
        (DMDGNN(5, 6, num_layers=2, rank=3), "DMDGNN.forward needs `dmd_modes`, which the graph lacks: set data.dmd_m"),
        (Transposed(5, 6), r"got a state \(6, 10\) of a layer, expected a row for each of 10 nodes"),
    ],
)
def test_models_without_such_states(model, message):
    with pytest.raises(InputError, match=message):
        HiddenStates(model).snapshots(graph())
