import torch
from torch_geometric.nn.models import GCN

import graphtasks
from gnndiff.layers import SymmetricGCN
from gnndiff.targets import find


def test_outputs_and_gradients_are_those_of_pyg_s_gcn_on_edges():
    task = graphtasks.load("wine")
    torch.manual_seed(0)
    model = find("gcn").build(task, hidden=8, dropout=0.0)
    assert isinstance(model, SymmetricGCN)
    peer = GCN(task.num_features, 8, num_layers=2, out_channels=task.num_classes)
    peer.load_state_dict(model.state_dict())

    data = find("gcn").prepare(task).data
    assert data.adj_t.layout == torch.sparse_csr
    outputs, expected = graphtasks.forward(model, data), peer(task.data.x, task.data.edge_index)
    torch.testing.assert_close(outputs, expected)
    weights = torch.linspace(-1, 1, outputs.numel()).view_as(outputs)
    gradients = torch.autograd.grad((weights * outputs).sum(), model.parameters())
    peers = torch.autograd.grad((weights * expected).sum(), peer.parameters())
    for gradient, of_peer in zip(gradients, peers, strict=True):
        torch.testing.assert_close(gradient, of_peer, atol=1e-5, rtol=1e-4)


def test_directed_graphs_keep_pyg_s_own():
    task = graphtasks.load("wine").replace(directed=True)
    assert type(find("gcn").build(task, hidden=8, dropout=0.0)) is GCN
