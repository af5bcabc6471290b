"""Filters of modes, by themselves and in a convolution."""

import pytest
import torch
from numpy.polynomial import Chebyshev
from torch_geometric.data import Batch, Data

from dmdgnn import DMD, InputError, LowRankOperator
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DMDConv, ModeFilter, PolynomialFilter
from dmdgnn.transforms import AddDMDModes

F64 = torch.float64
REAL = torch.tensor([0.9, 0.5, -0.4], dtype=F64)
COMPLEX = torch.tensor([0.9, 0.3 + 0.4j, 0.3 - 0.4j], dtype=torch.complex128)


def randomise(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module.double()


def graph(nodes=7, features=9, directed=False):
    ring = torch.stack([torch.arange(nodes), (torch.arange(nodes) + 1) % nodes])
    chord = torch.tensor([[0, 1], [nodes // 2, nodes - 1]])
    edges = torch.cat([ring, chord], dim=1)
    if not directed:
        edges = torch.cat([edges, edges.flip(0)], dim=1)
    return Data(x=torch.randn(nodes, features, dtype=F64), edge_index=edges)


@pytest.mark.parametrize("eigs", [REAL, COMPLEX])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("make", [lambda heads: ModeFilter(3, heads), lambda heads: PolynomialFilter(4, heads)])
def test_filters_start_as_the_identity(eigs, heads, make):
    gains = make(heads).double()(eigs)
    assert gains.shape == (3, heads)
    assert (gains == eigs.unsqueeze(-1)).all()


def test_mode_filter_adds_an_offset():
    filter = randomise(ModeFilter(3, heads=2))
    torch.testing.assert_close(filter(REAL), REAL.unsqueeze(-1) + filter.theta)


@pytest.mark.parametrize("degree", [1, 2, 7])
def test_polynomial_filter_is_numpys(degree):
    filter = randomise(PolynomialFilter(degree, heads=2))
    for head in range(2):
        coefficients = filter.coefficients[:, head].tolist()
        for eigs in (REAL, COMPLEX):
            expected = torch.from_numpy(Chebyshev(coefficients)(eigs.numpy()))
            torch.testing.assert_close(filter(eigs)[:, head], expected)


@pytest.mark.parametrize("degree", [0, -1, 2.0, True, None])
def test_bad_degree(degree):
    with pytest.raises(InputError, match="expected a positive integer"):
        PolynomialFilter(degree)


@pytest.mark.parametrize("heads", [0, 3, True])
def test_heads_divide_the_channels(heads):
    with pytest.raises(InputError, match="expected a divisor"):
        DMDConv(4, 8, rank=3, heads=heads)


@pytest.mark.parametrize("eigs", [REAL, COMPLEX])
@pytest.mark.parametrize("degree", [None, 3])
def test_heads_are_convolutions_side_by_side(eigs, degree):
    x, modes = torch.randn(6, 4, dtype=F64), torch.randn(6, 3, dtype=F64)
    conv = randomise(DMDConv(4, 8, rank=3, heads=2, degree=degree))
    parts = []
    for head, channels in enumerate(torch.arange(8).chunk(2)):
        part = DMDConv(4, 4, rank=3, degree=degree).double()
        with torch.no_grad():
            part.lin.weight.copy_(conv.lin.weight[channels])
            part.bias.copy_(conv.bias[channels])
            for mine, whole in zip(part.filter.parameters(), conv.filter.parameters(), strict=True):
                mine.copy_(whole[:, head : head + 1])
        parts.append(part(x, modes, eigs))
    torch.testing.assert_close(conv(x, modes, eigs), torch.cat(parts, dim=1))


def identity_conv(channels, rank, degree):
    """A convolution that is nothing but its filter on the modes."""
    conv = DMDConv(channels, channels, rank, degree=degree, bias=False).double()
    with torch.no_grad():
        conv.lin.weight.copy_(torch.eye(channels))
    return conv


@pytest.mark.parametrize("directed", [False, True])
def test_polynomial_is_that_of_the_operator(directed):
    data = graph(directed=directed)
    dynamics = FeaturePropagation(direction="forward" if directed else "undirected")
    dmd = DMD(rank=7, modes="projected").fit(*dynamics.snapshots(data))
    A = dynamics.adjacency(data).to_dense()
    conv = identity_conv(9, 7, degree=3)
    with torch.no_grad():
        conv.filter.coefficients.copy_(torch.tensor([[0.0], [0.0], [0.0], [1.0]]))
    expected = (4 * torch.linalg.matrix_power(A, 3) - 3 * A) @ data.x
    modes, eigs, duals = dmd.operator.spectrum()
    torch.testing.assert_close(conv(data.x, modes, eigs, duals=duals), expected)
    torch.testing.assert_close(conv(data.x, dmd.operator), expected)
    data = AddDMDModes(rank=7, dynamics=dynamics, duals=True)(data)
    torch.testing.assert_close(conv(data.x, data.dmd_modes, data.dmd_eigs, duals=data.dmd_duals), expected)


def test_output_knows_neither_sign_nor_order_nor_rotation_of_modes():
    data = AddDMDModes(rank=5)(graph())
    conv = randomise(DMDConv(9, 4, rank=5, degree=4, heads=2))
    modes, eigs = data.dmd_modes, data.dmd_eigs.flatten().clone()
    eigs[2] = eigs[1]
    expected = conv(data.x, modes, eigs)
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0], dtype=F64)
    torch.testing.assert_close(conv(data.x, modes * signs, eigs), expected)
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(conv(data.x, modes[:, order], eigs[order]), expected)
    rotated = modes.clone()
    rotated[:, 1] = 0.6 * modes[:, 1] + 0.8 * modes[:, 2]
    rotated[:, 2] = -0.8 * modes[:, 1] + 0.6 * modes[:, 2]
    torch.testing.assert_close(conv(data.x, rotated, eigs), expected)


def test_output_does_not_know_the_phase_of_a_complex_pair():
    modes, x = torch.randn(6, 3, dtype=F64), torch.randn(6, 9, dtype=F64)
    conv = randomise(DMDConv(9, 4, rank=3, degree=4))
    turned = modes.clone()
    turned[:, 1] = 0.6 * modes[:, 1] + 0.8 * modes[:, 2]
    turned[:, 2] = -0.8 * modes[:, 1] + 0.6 * modes[:, 2]
    torch.testing.assert_close(conv(x, turned, COMPLEX), conv(x, modes, COMPLEX))
    other = torch.tensor([1, 2, 0])
    torch.testing.assert_close(conv(x, modes[:, other], COMPLEX[other]), conv(x, modes, COMPLEX))


@pytest.mark.parametrize("degree", [None, 3])
@pytest.mark.parametrize("directed", [False, True])
def test_graphs_of_a_batch_are_convolved_each_for_itself(degree, directed):
    dynamics = FeaturePropagation(burn_in=1, direction="forward" if directed else "undirected")
    graphs = [AddDMDModes(rank=4, dynamics=dynamics)(graph(nodes, directed=directed)) for nodes in (5, 9, 6, 9)]
    batch = Batch.from_data_list(graphs)
    conv = randomise(DMDConv(9, 4, rank=4, degree=degree, skip=True, local=True))
    out = conv(batch.x, batch.dmd_modes, batch.dmd_eigs, batch.edge_index, batch=batch.batch)
    each = [conv(data.x, data.dmd_modes, data.dmd_eigs, data.edge_index) for data in graphs]
    torch.testing.assert_close(out, torch.cat(each))


def test_a_ragged_operator_carries_its_graphs():
    graphs = [graph(nodes) for nodes in (5, 9, 6)]
    batch = Batch.from_data_list(graphs)
    dmd = DMD(rank=4, modes="projected").fit(*FeaturePropagation().snapshots(batch), ptr=batch.ptr)
    conv = randomise(DMDConv(9, 4, rank=4, degree=2))
    modes, eigs, duals = dmd.operator.spectrum()
    expected = conv(batch.x, modes, eigs, batch=batch.batch, duals=duals)
    torch.testing.assert_close(conv(batch.x, dmd.operator), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eigs": torch.rand(2, 3)}, "or pass batch for several graphs"),
        ({"eigs": torch.rand(2, 3), "batch": torch.tensor([0, 1, 0, 1, 0, 1])}, "must be sorted"),
        ({"eigs": torch.rand(3), "batch": torch.zeros(6, dtype=torch.int64)}, r"\(3,\), expected \(graphs, r\)"),
        ({"eigs": None}, "without eigenvalues"),
        ({"duals": torch.rand(6, 2)}, r"dual modes \(6, 2\), expected the shape of the modes \(6, 3\)"),
    ],
)
def test_mismatch_is_an_error(change, message):
    arguments = {"x": torch.rand(6, 4), "modes": torch.rand(6, 3), "eigs": torch.rand(3)} | change
    with pytest.raises(InputError, match=message):
        DMDConv(4, 8, rank=3)(**arguments)


def test_gate_switches_the_modes_off():
    x, modes = torch.randn(6, 4, dtype=F64), torch.randn(6, 3, dtype=F64)
    conv = DMDConv(4, 8, rank=3, skip=True, gate=0.0).double()
    torch.testing.assert_close(conv(x, modes, REAL), conv.skip(x))
    conv(x, modes, REAL).sum().backward()
    assert conv.gate.grad.abs() > 0
    with torch.no_grad():
        conv.gate.fill_(2.0)
    bare = DMDConv(4, 8, rank=3, bias=False).double()
    bare.load_state_dict({name: value for name, value in conv.state_dict().items() if name in bare.state_dict()})
    torch.testing.assert_close(conv(x, modes, REAL), conv.skip(x) + 2 * bare(x, modes, REAL))
    conv.reset_parameters()
    assert conv.gate == 0


def test_spectrum_of_an_operator():
    left, right = torch.randn(8, 4, dtype=F64), torch.randn(8, 4, dtype=F64)
    core = torch.block_diag(torch.tensor([[1.0, 2.0], [-3.0, 1.0]]), torch.randn(2, 2)).double()
    K = LowRankOperator(left, core @ torch.linalg.inv(right.T @ left), right)
    modes, eigs, duals = K.spectrum()
    assert not modes.is_complex()
    torch.testing.assert_close(duals.T @ modes, torch.eye(4, dtype=F64))
    blocks = torch.diag(eigs.real)
    for i in (eigs.imag > 0).nonzero().flatten().tolist():
        assert eigs[i + 1] == eigs[i].conj()
        blocks[i, i + 1], blocks[i + 1, i] = eigs[i].imag, -eigs[i].imag
    assert (eigs.imag != 0).any()
    torch.testing.assert_close(modes @ blocks @ duals.T, K.to_dense())
    assert (eigs.abs().diff() <= 1e-12).all()
