"""Weights of edges in any precision: layers, models and transforms compute in that of the features."""

import warnings

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, GraphConv
from torch_geometric.utils import to_torch_csr_tensor

from dmdgnn.nn import DMDGNN, DMDGPS, DMDGRU, DecoupledDMD, DirDMDConv, DirDMDGNN, DMDConv, DMDGPSConv
from dmdgnn.transforms import AddDMDModes

N, F, R = 6, 4, 2
EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 0], [1, 2, 3, 4, 5, 0, 3]])
WEIGHTS = torch.tensor([1, 2, 1, 3, 1, 2, 1])
PRECISIONS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64]

SPECTRUM = torch.randn(N, R), torch.rand(1, R)
LAYERS = {
    "DMDConv": (lambda: DMDConv(F, 3, R, local=True), lambda x, *g: (x, *SPECTRUM, *g)),
    "DirDMDConv": (lambda: DirDMDConv(F, 3, R, local=True), lambda x, *g: (x, *SPECTRUM, *SPECTRUM, *g)),
    "DMDGPSConv": (lambda: DMDGPSConv(F, GraphConv(F, F), R), None),
    "DMDGNN": (lambda: DMDGNN(F, 5, 2, 3, rank=R, local=True), lambda x, e, *w: (x, e, *SPECTRUM, *w)),
    "DirDMDGNN": (lambda: DirDMDGNN(F, 5, 2, 3, rank=R, local=True), lambda x, e, *w: (x, e, *2 * SPECTRUM, *w)),
    "DMDGPS": (lambda: DMDGPS(F, 5, 2, 3, rank=R), lambda x, e, *w: (x, e, *SPECTRUM, *w)),
    "DecoupledDMD": (lambda: DecoupledDMD(F, 5, 3, rank=R, local=True), lambda x, e, *w: (x, e, *SPECTRUM, *w)),
    "DMDGRU": (lambda: DMDGRU(2, 5, 1, R, local=True), lambda x, *g: (x, *SPECTRUM, *g)),
}


def called(name, layer, x, *graph):
    _, arguments = LAYERS[name]
    if arguments is None:
        named = {"edge_weight": graph[1]} if len(graph) > 1 else {}
        return layer(x, graph[0], *(part.to(x) for part in SPECTRUM), **named)
    return layer(
        *(part.to(x) if part.is_floating_point() and part is not graph[-1] else part for part in arguments(x, *graph))
    )


@pytest.mark.parametrize("of_features", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_any_precision_of_weights_gives_the_result_of_that_of_the_features(name, of_features):
    layer = LAYERS[name][0]().to(of_features).eval()
    x = torch.randn(N, F, dtype=of_features)
    expected = called(name, layer, x, EDGES, WEIGHTS.to(of_features))
    assert expected.dtype == of_features
    for dtype in PRECISIONS:
        torch.testing.assert_close(called(name, layer, x, EDGES, WEIGHTS.to(dtype)), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_entries_of_sparse_adjacencies_are_weights(dtype):
    x, layer = torch.randn(N, F), DMDConv(F, 3, R, local=GraphConv)
    expected = layer(x, *SPECTRUM, EDGES, WEIGHTS.float())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of its beta state
        adjacency = to_torch_csr_tensor(EDGES.flip(0), WEIGHTS.to(dtype), (N, N))
    torch.testing.assert_close(layer(x, *SPECTRUM, adjacency), expected)


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_gradients_reach_weights_of_another_precision_and_modes_do_not_change(dtype):
    x, layer = torch.randn(N, F), DMDConv(F, 3, R, local=GCNConv)
    weights = WEIGHTS.to(dtype).requires_grad_(dtype.is_floating_point)
    layer(x, *SPECTRUM, EDGES, weights).square().sum().backward()
    assert weights.grad is None or (weights.grad.dtype == dtype and bool(weights.grad.any()))
    modes, expected = (
        AddDMDModes(2)(Data(x=x, edge_index=EDGES, edge_weight=w)).dmd_modes
        for w in (WEIGHTS.to(dtype), WEIGHTS.float())
    )
    torch.testing.assert_close(modes, expected)
