"""Messages in blocks: the same numbers, with fewer of them at once."""

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg

from graphtasks import messages
from graphtasks.messages import bounded_messages

N, E, F = 60, 400, 6
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(N, F, generator=GENERATOR)
EDGES = torch.randint(0, N - 1, (2, E), generator=GENERATOR)  # the last node has no edge
EDGES = EDGES[:, EDGES[1] != 7]  # and none leads to node 7
WEIGHT = torch.rand(EDGES.size(1), generator=GENERATOR)
DEGREES = torch.bincount(torch.bincount(EDGES[1], minlength=N))

LAYERS = {
    "GCN": lambda: pyg.GCNConv(F, 4),
    "SAGE, max": lambda: pyg.SAGEConv(F, 4, aggr="max"),
    "SAGE, median": lambda: pyg.SAGEConv(F, 4, aggr="median"),
    "SAGE, LSTM": lambda: pyg.SAGEConv(F, 4, aggr="lstm"),
    "GAT": lambda: pyg.GATConv(F, 4, heads=3),
    "GATv2": lambda: pyg.GATv2Conv(F, 4, heads=2),
    "Transformer": lambda: pyg.TransformerConv(F, 4, heads=2),
    "PNA": lambda: pyg.PNAConv(F, 4, ["mean", "max", "std"], ["identity", "amplification"], DEGREES),
    "EdgeConv": lambda: pyg.EdgeConv(nn.Linear(2 * F, 4)),
    "APPNP": lambda: pyg.APPNP(3, 0.1),
    "Cheb": lambda: pyg.ChebConv(F, 4, 3),
    "GPS": lambda: pyg.GPSConv(F, pyg.GATv2Conv(F, F), heads=2),
    "GCN, against edges": lambda: pyg.GCNConv(F, 4, flow="target_to_source"),
}
WEIGHTED = ("GCN", "APPNP", "Cheb", "GCN, against edges")


@pytest.fixture(autouse=True)
def _any_size(monkeypatch):
    monkeypatch.setattr(messages, "MIN_EDGES", 0)


def counted(layer: nn.Module) -> list[int]:
    """Numbers of edges that messages are made for at once, filled as they are."""
    sizes: list[int] = []
    for module in layer.modules():
        if isinstance(module, pyg.MessagePassing):
            module.register_message_forward_hook(lambda module, inputs, out: sizes.append(out.shape[module.node_dim]))
    return sizes


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("limit", [1, 300])
def test_blocks_change_nothing(name, limit):
    torch.manual_seed(0)
    layer = LAYERS[name]().eval()
    edges = EDGES[:, EDGES[1].argsort(stable=True)]  # as an LSTM wants them
    arguments = (X, edges, WEIGHT) if name in WEIGHTED else (X, edges)
    sizes = counted(layer)
    with torch.no_grad():
        whole = layer(*arguments)
        calls = len(sizes)
        with bounded_messages(layer, E, limit):
            blocks = layer(*arguments)
    torch.testing.assert_close(whole, blocks)
    # Products within a message are rounded in another order where there are fewer rows.
    assert torch.equal(whole, blocks) or name in ("PNA", "EdgeConv")
    if name not in ("SAGE, median", "SAGE, LSTM"):
        assert len(sizes) > 2 * calls, "there were no blocks"
        assert max(sizes[calls:]) < max(sizes[:calls])


def test_layers_are_as_before_afterwards():
    layer = pyg.GCNConv(F, 4)
    before = set(vars(layer))
    with pytest.raises(KeyError), torch.no_grad(), bounded_messages(layer, E, 1):
        raise KeyError
    assert set(vars(layer)) == before


def test_gradients_are_left_alone():
    layer = pyg.GCNConv(F, 4)
    sizes = counted(layer)
    with bounded_messages(layer, E, 1):
        layer(X, EDGES).sum().backward()
    assert len(sizes) == 1
    assert layer.lin.weight.grad.any()


def test_as_many_nodes_as_edges_are_not_taken_apart():
    layer, loop = pyg.GCNConv(F, 4, add_self_loops=False), torch.arange(N).expand(2, -1)
    with torch.no_grad():
        whole = layer(X, loop)
        with bounded_messages(layer, N, 1):
            assert torch.equal(whole, layer(X, loop))
