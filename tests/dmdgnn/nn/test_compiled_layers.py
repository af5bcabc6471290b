"""Layers and models under `torch.compile`: one graph, the values and gradients of eager mode."""

import pytest
import torch
from torch_geometric.nn import GCNConv

from dmdgnn.kernels import Ragged
from dmdgnn.nn import (
    DMDGNN,
    DMDGPS,
    DMDGRU,
    DecoupledDMD,
    DirDMDConv,
    DirDMDGNN,
    DMDConv,
    DMDGPSConv,
    DMDGRUCell,
    GraphDMD,
)

N, F, R = 9, 4, 3
X = torch.randn(N, F, generator=torch.Generator().manual_seed(0))
EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 6, 7, 8]])
GRAPHS = Ragged(torch.tensor([0, 2, 5, N]))
REAL, COMPLEX = torch.tensor([0.9, -0.5, 0.2]), torch.tensor([0.9, 0.3 + 0.4j, 0.3 - 0.4j])
MODES, DUALS = torch.randn(2, N, R, generator=torch.Generator().manual_seed(1))
# Modules to compile, and their arguments.
ON_ONE_GRAPH = {
    "DMDConv": (DMDConv(F, 6, R, skip=True, local=True, gate=0.5), (X, MODES, REAL, EDGES)),
    "DMDConv complex": (DMDConv(F, 6, R, heads=2), (X, MODES, COMPLEX, None, None, None, DUALS)),
    "DMDConv polynomial": (DMDConv(F, 6, R, degree=3), (X, MODES, COMPLEX, None, None, None, DUALS)),
    "DirDMDConv": (DirDMDConv(F, 6, R, local=True), (X, MODES, COMPLEX, DUALS, COMPLEX, EDGES)),
    "DMDGPSConv": (DMDGPSConv(F, GCNConv(F, F), R), (X, EDGES, MODES, REAL)),
    "DMDGRUCell": (DMDGRUCell(F, 6, R), (X, None, MODES, REAL)),
    "GraphDMD": (GraphDMD(F, 6, 2, R, dropout=0.0), (X, MODES, REAL)),
    "DecoupledDMD": (DecoupledDMD(F, 6, 2, R, gate=0.5), (X, EDGES, MODES, REAL)),
    "DMDGNN": (DMDGNN(F, 6, 2, 2, rank=R, local=True), (X, EDGES, MODES, REAL)),
    "DirDMDGNN": (DirDMDGNN(F, 6, 2, 2, rank=R), (X, EDGES, MODES, COMPLEX, DUALS, COMPLEX)),
    "DMDGPS": (DMDGPS(F, 6, 2, 2, rank=R), (X, EDGES, MODES, REAL)),
    "DMDGRU": (DMDGRU(2, 6, 1, R), (X, MODES, REAL)),
}
EIGS = REAL * torch.tensor([[1.0], [0.5], [0.8]])
ON_SEVERAL = {
    "DMDConv": (DMDConv(F, 6, R, degree=2), (X, MODES, EIGS, None, None, GRAPHS)),
    "DirDMDConv": (DirDMDConv(F, 6, R, degree=2), (X, MODES, EIGS, DUALS, EIGS, None, None, GRAPHS)),
    "DMDGPSConv": (DMDGPSConv(F, GCNConv(F, F), R, degree=2), (X, EDGES, MODES, EIGS, GRAPHS)),
}


def value_and_gradients(model, function, arguments):
    value = function(*arguments)
    return value, *torch.autograd.grad(value.square().sum(), list(model.parameters()))


@pytest.mark.parametrize(
    ("model", "arguments"),
    [*ON_ONE_GRAPH.values(), *ON_SEVERAL.values()],
    ids=[*ON_ONE_GRAPH, *(f"{name} on several" for name in ON_SEVERAL)],
)
def test_compiled_in_one_graph(model, arguments):
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    expected = value_and_gradients(model, model, arguments)
    torch.testing.assert_close(value_and_gradients(model, compiled, arguments), expected)


def test_a_batch_vector_breaks_the_graph_and_keeps_the_values():
    torch._dynamo.reset()
    model = DMDGNN(F, 6, 2, 2, rank=R, degree=2)
    arguments = (X, EDGES, MODES, EIGS, None, torch.arange(3).repeat_interleave(GRAPHS.ptr.diff()))
    expected = value_and_gradients(model, model, arguments)
    compiled = torch.compile(model, backend="aot_eager")
    torch.testing.assert_close(value_and_gradients(model, compiled, arguments), expected)
