import math

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from dmdgnn import DMD, InputError, RankError
from dmdgnn.series import AddSeriesModes

F64 = torch.float64


def series(A, steps):
    """States of a linear system, which starts at different places of its nodes."""
    states = [torch.arange(1.0, 1 + len(A), dtype=F64)]
    for _ in range(steps - 1):
        states.append(A @ states[-1])
    return torch.stack(states, dim=1)


def test_decay_of_each_node_has_its_rate():
    A = torch.diag(torch.tensor([0.9, 0.5, 0.2], dtype=F64))
    data = AddSeriesModes(series(A, 6), rank=3)(Data(num_nodes=3))
    torch.testing.assert_close(data.dmd_eigs.real, torch.tensor([[0.9, 0.5, 0.2]], dtype=F64))
    # A mode is a node, up to its length.
    assert (data.dmd_modes / data.dmd_modes.norm(dim=0)).abs().allclose(torch.eye(3, dtype=F64), atol=1e-8)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_stride_is_a_power_of_the_dynamics(stride):
    A = torch.tensor([[0.9, 0.3, 0.0], [0.0, 0.5, 0.2], [0.1, 0.0, 0.7]], dtype=F64)
    data = AddSeriesModes(series(A, 9), rank=3, stride=stride)(Data(num_nodes=3))
    order = data.dmd_eigs[0].abs().argsort()
    expected = torch.linalg.eigvals(torch.linalg.matrix_power(A, stride))
    torch.testing.assert_close(data.dmd_eigs[0][order].abs(), expected.abs().sort().values)


def test_turning_states_have_a_complex_pair_in_real_columns():
    angle = torch.tensor(math.tau / 7, dtype=F64)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    data = AddSeriesModes(series(0.9 * turn, 6), rank=2)(Data(num_nodes=2))
    assert data.dmd_modes.dtype == data.dmd_duals.dtype == F64
    expected = 0.9 * torch.polar(torch.ones(2, dtype=F64), torch.stack([angle, -angle]))
    torch.testing.assert_close(data.dmd_eigs[0], expected)


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_modes_and_duals_make_up_the_operator(rank):
    torch.manual_seed(0)
    states = torch.randn(5, 12, dtype=F64)
    data = AddSeriesModes(states, rank=rank)(Data(num_nodes=5))
    operator = data.dmd_modes.T.new_zeros(rank, rank)
    for k, eig in enumerate(data.dmd_eigs[0]):
        operator[k, k] = eig.real
        if eig.imag != 0:
            operator[k, k + (1 if eig.imag > 0 else -1)] = eig.imag
    expected = DMD(rank, modes="projected").fit(states).operator.to_dense()
    torch.testing.assert_close(data.dmd_modes @ operator @ data.dmd_duals.T, expected)
    torch.testing.assert_close(data.dmd_duals.T @ data.dmd_modes, torch.eye(rank, dtype=F64))


def test_later_states_change_nothing_before_they_are_given():
    torch.manual_seed(0)
    states = torch.randn(5, 12, dtype=F64)
    later = torch.cat([states[:, :8], torch.full((5, 4), 1e3, dtype=F64)], dim=1)
    first, second = (AddSeriesModes(s[:, :8], rank=2)(Data(num_nodes=5)) for s in (states, later))
    assert torch.equal(first.dmd_modes, second.dmd_modes)


def test_the_given_snapshot_stays_as_it_is():
    data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]))
    out = AddSeriesModes(torch.tensor([[1.0, 0.5], [2.0, 1.0]]), rank=1)(data)
    assert set(data.keys()) == {"x", "edge_index"}
    assert set(out.keys()) == {"x", "edge_index", "dmd_modes", "dmd_eigs", "dmd_duals"}


def test_batches_have_the_eigenvalues_of_each_snapshot():
    add = AddSeriesModes(torch.randn(3, 6, generator=torch.Generator().manual_seed(0)), rank=2)
    snapshots = [add(Data(x=torch.full((3, 1), float(i)))) for i in range(4)]
    (batch,) = DataLoader(snapshots, batch_size=4)
    assert batch.dmd_modes.shape == batch.dmd_duals.shape == (12, 2)
    assert batch.dmd_eigs.shape == (4, 2)
    again = Batch.from_data_list(snapshots).to_data_list()
    assert all(torch.equal(data.dmd_eigs, add.dmd_eigs) for data in again)


@pytest.mark.parametrize(
    ("shape", "stride"), [((6,), 1), ((2, 3, 6), 1), ((3, 6), 6), ((3, 6), 0), ((3, 1), 1)], ids=str
)
def test_states_are_a_series(shape, stride):
    with pytest.raises(InputError, match=rf"stride={stride}, expected \(N, T\)"):
        AddSeriesModes(torch.ones(shape), rank=1, stride=stride)


def test_snapshots_have_the_nodes_of_the_states():
    add = AddSeriesModes(torch.eye(3), rank=1)
    with pytest.raises(InputError, match="4 nodes, expected the 3 of the states"):
        add(Data(num_nodes=4))


def test_rank_is_at_most_that_of_the_states():
    with pytest.raises(RankError, match="use rank <= 1"):
        AddSeriesModes(torch.ones(3, 6), rank=2)


def test_repr_tells_rank_and_stride():
    assert repr(AddSeriesModes(torch.eye(3), rank=1, stride=2)) == (
        "AddSeriesModes(DMD(rank=1, modes='projected', constraint=None), stride=2)"
    )
