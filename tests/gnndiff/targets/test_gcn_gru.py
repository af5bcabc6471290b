import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv

from dmdgnn.nn.dmd_gru import DMDGRU
from gnndiff.layers.gcn_gru import GCNGRU, GCNGRUCell

N, F, H = 4, 2, 5
EDGES = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]])
NO_EDGES = torch.empty(2, 0, dtype=torch.long)


def filled(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module.double().eval()


def peer_of(cell):
    """The unit of torch whose weights are those that a node has for itself where there are no edges."""
    peer = torch.nn.GRUCell(cell.in_channels, cell.out_channels).double()
    with torch.no_grad():
        for conv, side in ((cell.conv_x, "ih"), (cell.conv_h, "hh")):
            gcn = getattr(conv, "conv", conv)
            own = gcn.lin.weight if gcn is conv else gcn.lin.weight + conv.lin.weight
            getattr(peer, f"weight_{side}").copy_(own)
            getattr(peer, f"bias_{side}").copy_(gcn.bias)
    return peer


@pytest.mark.parametrize("skip", [False, True])
def test_without_edges_it_is_the_unit_of_torch(skip):
    cell = filled(GCNGRUCell(F, H, skip))
    x, h = torch.randn(N, F).double(), torch.randn(N, H).double()
    torch.testing.assert_close(cell(x, h, NO_EDGES), peer_of(cell)(x, h))
    torch.testing.assert_close(cell(x, None, NO_EDGES), peer_of(cell)(x))


@pytest.mark.parametrize("skip", [False, True])
def test_without_edges_the_model_is_that_of_torch(skip):
    model = filled(GCNGRU(F, H, 3, skip=skip))
    peer = torch.nn.GRU(F, H, batch_first=True).double()
    with torch.no_grad():
        for name, value in peer_of(model.cell).state_dict().items():
            getattr(peer, f"{name}_l0").copy_(value)
    x = torch.randn(N, 4, F).double()
    expected = model.lin(peer(x)[0][:, -1])
    torch.testing.assert_close(model(x, NO_EDGES), expected)
    torch.testing.assert_close(model(x.flatten(1), NO_EDGES), expected)


def test_gates_see_the_neighbours():
    # A candidate of the input alone: the layer of PyG and a tanh.
    cell = filled(GCNGRUCell(F, H, skip=False))
    with torch.no_grad():
        cell.conv_x.bias[H : 2 * H] = -1e4  # the update gate takes the candidate
    gcn = GCNConv(F, H).double()
    with torch.no_grad():
        gcn.lin.weight.copy_(cell.conv_x.lin.weight[2 * H :])
        gcn.bias.copy_(cell.conv_x.bias[2 * H :])
        cell.conv_h.bias[2 * H :] = 0
    x, weight = torch.randn(N, F).double(), torch.rand(EDGES.size(1)).double()
    torch.testing.assert_close(cell(x, None, EDGES, weight), gcn(x, EDGES, weight).tanh())


def test_the_graph_is_normalised_once_for_all_steps():
    model, cell = filled(GCNGRU(1, H, 1)), GCNGRUCell(1, H).double()
    cell.load_state_dict(model.cell.state_dict())
    x, weight = torch.randn(N, 3).double(), torch.rand(EDGES.size(1)).double()
    h = None
    for t in range(3):
        h = cell(x[:, t : t + 1], h, EDGES, weight)
    torch.testing.assert_close(model(x, EDGES, weight), model.lin(h))


def test_a_batch_gives_what_each_snapshot_gives():
    model = filled(GCNGRU(1, H, 2))
    snapshots = [Data(x=torch.randn(N, 3).double(), edge_index=EDGES) for _ in range(2)]
    batch = Batch.from_data_list(snapshots)
    expected = torch.cat([model(snapshot.x, EDGES) for snapshot in snapshots])
    torch.testing.assert_close(model(batch.x, batch.edge_index), expected)


def test_nodes_may_be_permuted():
    model, order = filled(GCNGRU(1, H, 1)), torch.randperm(N)
    x, weight = torch.randn(N, 3).double(), torch.rand(EDGES.size(1)).double()
    permuted = model(x[order], order.argsort()[EDGES], weight)
    torch.testing.assert_close(permuted, model(x, EDGES, weight)[order])


def test_has_the_parameters_of_its_rival_but_for_the_filters():
    counts = [
        sum(p.numel() for name, p in model.named_parameters() if "theta" not in name)
        for model in (GCNGRU(F, H, 3), DMDGRU(F, H, 3, rank=2))
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("skip", [False, True])
def test_reset_parameters_is_a_new_start(skip):
    model = GCNGRU(F, H, 1, skip=skip)
    torch.manual_seed(1)
    model.reset_parameters()
    first = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    torch.manual_seed(1)
    model.reset_parameters()
    assert all(torch.equal(value, first[name]) for name, value in model.state_dict().items())


def test_repr_tells_the_sizes():
    assert repr(GCNGRUCell(F, H)) == "GCNGRUCell(2, 5)"
