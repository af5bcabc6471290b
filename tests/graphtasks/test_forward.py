"""How a graph reaches a model."""

import copy

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GAE
from torch_geometric.nn.models import GCN, GraphSAGE
from torch_geometric.transforms import ToSparseTensor
from torch_geometric.utils import remove_self_loops, to_torch_csr_tensor

from echoes import Echo, class_task, loss_and_gradients, whole
from graphtasks import InvalidDataError, forward

pytestmark = [
    # torch says once a process that these layouts are in beta.
    pytest.mark.filterwarnings("ignore:Sparse C"),
    pytest.mark.filterwarnings("ignore:Sparse invariant checks"),
]


class Sum(nn.Module):
    def forward(self, x, edge_index, edge_weight=None):
        return x, edge_index, edge_weight


def test_forward_puts_adj_t_in_the_place_of_edges(path_data):
    path_data.edge_weight = torch.rand(5)
    path_data.adj_t = to_torch_csr_tensor(path_data.edge_index.flip(0), size=(6, 6))
    x, edges, weight = forward(Sum(), path_data)
    assert x is path_data.x
    assert edges is path_data.adj_t
    assert weight is None, "the weights would count twice"


def test_forward_gives_adj_t_to_a_model_that_names_it(path_data):
    class Named(nn.Module):
        def forward(self, adj_t):
            return adj_t

    with pytest.raises(InvalidDataError, match="needs `adj_t`, which the graph lacks"):
        forward(Named(), path_data)
    path_data.adj_t = to_torch_csr_tensor(path_data.edge_index.flip(0), size=(6, 6))
    assert forward(Named(), path_data) is path_data.adj_t


def test_forward_of_adj_t_is_that_of_edges():
    task = class_task()
    torch.manual_seed(0)
    model = GCN(5, 8, num_layers=2, out_channels=3)
    edges = remove_self_loops(task.data.edge_index.unique(dim=1))[0]  # PyG adds others to those of a matrix
    unweighted = Data(x=task.data.x, edge_index=edges)
    matrix = ToSparseTensor(layout=torch.sparse_csr)(copy.copy(unweighted))
    assert matrix.edge_index is None
    torch.testing.assert_close(forward(model, matrix), forward(model, unweighted), atol=1e-6, rtol=1e-5)


def test_task_takes_what_to_sparse_tensor_makes():
    task = class_task()
    matrix = task.transform(lambda data: ToSparseTensor(layout=torch.sparse_csr)(copy.copy(data)))
    torch.manual_seed(0)
    model = GraphSAGE(5, 8, num_layers=2, out_channels=3)
    assert loss_and_gradients(whole(matrix), model)[0] > 0


def test_forward_encodes_with_an_autoencoder(path_data):
    torch.manual_seed(0)
    encoder = GCN(6, 4, num_layers=1, out_channels=2)
    assert torch.equal(forward(GAE(encoder), path_data), encoder(path_data.x, path_data.edge_index))


def test_forward_of_an_autoencoder_names_what_is_missing(path_data):
    del path_data.edge_index
    with pytest.raises(InvalidDataError, match=r"GCN\.forward needs `edge_index`"):
        forward(GAE(GCN(6, 4, num_layers=1, out_channels=2)), path_data)


def test_forward_runs_hooks(path_data):
    seen, model = [], Echo()
    model.register_forward_hook(lambda *args: seen.append(True))
    forward(model, path_data)
    assert seen == [True]
