"""The spectrum of a graph's dynamics as its embedding."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from dmdgnn import InputError, spectrum_embedding
from dmdgnn.dynamics import AllenCahn, FeaturePropagation


def random_graph(seed: int, nodes: int = 12, features: int = 4) -> Data:
    rng = torch.Generator().manual_seed(seed)
    edges = torch.randint(nodes, (2, 40), generator=rng)
    return Data(x=torch.randn(nodes, features, generator=rng), edge_index=edges)


@pytest.mark.parametrize(
    "dynamics",
    [None, FeaturePropagation(burn_in=1), FeaturePropagation(direction="forward"), AllenCahn()],
)
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_order_of_nodes(dynamics: FeaturePropagation | None, seed: int) -> None:
    data = random_graph(seed)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    moved = Data(x=data.x[order], edge_index=order.argsort()[data.edge_index])
    a, b = (spectrum_embedding(graph, 4, dynamics) for graph in (data, moved))
    assert torch.allclose(a, b, atol=1e-3)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_rotation_of_features(seed: int) -> None:
    data = random_graph(seed)
    Q, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)))
    turned = Data(x=data.x @ Q, edge_index=data.edge_index)
    assert torch.allclose(spectrum_embedding(data, 4), spectrum_embedding(turned, 4), atol=1e-3)


def test_equal_eigenvalues() -> None:
    """Two copies of a pair have each eigenvalue twice; a rotation of its modes changes nothing."""
    pair = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    x = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    a = spectrum_embedding(Data(x=x, edge_index=pair), 4)
    b = spectrum_embedding(Data(x=x[[2, 3, 0, 1]], edge_index=pair), 4)
    assert torch.allclose(a, b, atol=1e-5)
    assert torch.allclose(a[:4], torch.tensor([1.0, 1.0, 0.0, 0.0]), atol=1e-5)
    assert torch.allclose(a[8:12], torch.zeros(4), atol=1e-5)  # all modes are eigenvectors


def test_series() -> None:
    """A rotation by a right angle has the eigenvalues i and -i."""
    turn, x, edges = torch.tensor([[0.0, -1], [1, 0]]), torch.tensor([[1.0], [2.0]]), torch.tensor([[0], [1]])
    states = [torch.linalg.matrix_power(turn, k) @ x for k in range(6)]
    found = spectrum_embedding([Data(x=state, edge_index=edges) for state in states], 2)
    assert torch.allclose(found[:6], torch.tensor([0.0, 0, 1, 1, 0, 0]), atol=1e-5)
    assert torch.allclose(found[10:14], torch.ones(4), atol=1e-5)  # a rotation keeps norms


def test_bad_input() -> None:
    data = random_graph(0)
    with pytest.raises(InputError, match="rank=0"):
        spectrum_embedding(data, 0)
    with pytest.raises(InputError, match="are zero"):
        spectrum_embedding(Data(x=torch.zeros(12, 2), edge_index=data.edge_index))
    with pytest.raises(InputError, match="1 snapshots"):
        spectrum_embedding([data])
