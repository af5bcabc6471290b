import math

import pytest
import torch
from scipy.special import eval_chebyt
from torch_geometric.data import Data
from torch_geometric.utils import erdos_renyi_graph

from dmdgnn import DMD, InputError
from dmdgnn.dynamics import WaveEquation

F64 = torch.float64


def graph(n=12):
    torch.manual_seed(0)
    return Data(x=torch.randn(n, 3, dtype=F64), edge_index=erdos_renyi_graph(n, 0.3, directed=True))


def laplacian(dynamics, data):
    return torch.eye(data.num_nodes, dtype=F64) - dynamics.adjacency(data).to_dense()


def averaging(dynamics, data):
    return torch.eye(data.num_nodes, dtype=F64) - dynamics.tau**2 / 2 * laplacian(dynamics, data)


def chebyshev(degree, matrix):
    """T_k of a symmetric matrix by its eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * torch.as_tensor(eval_chebyt(degree, values.numpy())) @ vectors.T


@pytest.mark.parametrize("tau", [0.1, 1.0, math.sqrt(2)])
@pytest.mark.parametrize("degree", [1, 2, 3, 10, 50])
def test_states_are_chebyshev_polynomials(tau, degree):
    data, dynamics = graph(), WaveEquation(tau=tau, stride=degree)
    X, Y = dynamics.snapshots(data)
    assert torch.equal(X, data.x)
    expected = chebyshev(degree, averaging(dynamics, data)) @ data.x
    torch.testing.assert_close(Y, expected, rtol=1e-10, atol=1e-11)


def test_steps_are_leapfrog_from_rest():
    data, tau = graph(), 0.8
    for normalization in ("sym", "rw"):
        dynamics = WaveEquation(steps=6, tau=tau, normalization=normalization)
        L = laplacian(dynamics, data)
        X, Y = dynamics.snapshots(data)
        states = [*X.split(3, dim=1), Y[:, -3:]]
        torch.testing.assert_close(states[1], states[0] - tau**2 / 2 * L @ states[0])
        for before, now, after in zip(states, states[1:], states[2:], strict=False):
            torch.testing.assert_close((after - 2 * now + before) / tau**2, -L @ now)


@pytest.mark.parametrize("tau", [0.3, 1.0, math.sqrt(2)])
def test_energy_is_kept(tau):
    data, dynamics = graph(), WaveEquation(steps=500, tau=tau)
    L = laplacian(dynamics, data)
    before, after = (side.view(12, 500, 3).transpose(0, 1) for side in dynamics.snapshots(data))
    kinetic = ((after - before) / tau).square().sum(dim=(1, 2))
    potential = (after * (L @ before)).sum(dim=(1, 2))
    torch.testing.assert_close(kinetic + potential, (kinetic + potential)[:1].expand(500))
    assert float(kinetic.std()) > 0.1 * float(kinetic.mean())  # while one energy turns into the other


def test_small_steps_approach_the_wave_equation():
    data = graph()
    values, vectors = torch.linalg.eigh(laplacian(WaveEquation(), data))
    exact = vectors * values.clamp(min=0).sqrt().mul(2.0).cos() @ vectors.T @ data.x  # at time 2
    errors = [
        float((WaveEquation(tau=2 / steps, stride=steps).snapshots(data)[1] - exact).norm()) for steps in (20, 40, 80)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)  # of second order
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def test_a_star_is_stable_up_to_the_limit():
    # The eigenvalue of its Laplacian nearest to 2.
    data = Data(
        x=torch.randn(200, 2, dtype=F64), edge_index=torch.stack([torch.zeros(199), torch.arange(1, 200)]).long()
    )
    Y = WaveEquation(stride=1000, tau=math.sqrt(2)).snapshots(data)[1]
    assert float(Y.norm()) <= float(data.x.norm())
    L = laplacian(WaveEquation(), data)
    assert 1.0 < float(torch.linalg.eigvalsh(L)[-1]) < 2


@pytest.mark.parametrize("stride", [1, 4])
def test_dmd_reads_the_frequencies(stride):
    data, dynamics = graph(5), WaveEquation(stride=stride)
    data.x = torch.randn(5, 5, dtype=F64)
    angles = torch.linalg.eigvalsh(averaging(dynamics, data)).clamp(-1, 1).acos()
    eigs = DMD(constraint="symmetric").fit(*dynamics.snapshots(data)).eigs
    torch.testing.assert_close(eigs.sort().values, (stride * angles).cos().sort().values)


@pytest.mark.parametrize(
    ("options", "symmetric"),
    [
        ({}, True),
        ({"stride": 5}, True),
        ({"burn_in": 1}, False),
        ({"steps": 2}, False),
        ({"normalization": "rw"}, False),
    ],
)
def test_one_pair_from_rest_is_symmetric(options, symmetric):
    assert WaveEquation(**options).symmetric == symmetric


def test_a_later_pair_fits_a_ratio_of_polynomials():
    data, dynamics = graph(), WaveEquation(burn_in=2, stride=3)
    data.x = torch.eye(12, dtype=F64)
    X, Y = dynamics.snapshots(data)
    C = averaging(dynamics, data)
    K = torch.linalg.solve(X, Y, left=False)
    torch.testing.assert_close(K, chebyshev(5, C) @ chebyshev(2, C).inverse())
    torch.testing.assert_close(K, K.T)
    assert float(torch.linalg.eigvalsh(K).abs().max()) > 1.5  # no state grows, but the operator would let it


def test_several_pairs_have_a_memory():
    data, dynamics = graph(), WaveEquation(stride=2, steps=3)
    (first, second, third), (_, _, last) = (side.split(3, dim=1) for side in dynamics.snapshots(data))
    double = 2 * chebyshev(2, averaging(dynamics, data))
    torch.testing.assert_close(third + first, double @ second)
    torch.testing.assert_close(last + second, double @ third)
    data.x = torch.eye(12, dtype=F64)
    X, Y = dynamics.snapshots(data)
    residual = DMD().fit(X, Y).predict(X) - Y
    assert float(residual.norm()) > 0.1 * float(Y.norm())  # no operator fits all of them


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 1.5}, "tau=1.5, expected at most sqrt.*smaller steps"),
        ({"tau": 0.0}, "tau=0.0, expected a finite number above 0"),
        ({"direction": "forward"}, "direction='forward', expected 'undirected'"),
        ({"direction": "backward"}, "direction='backward', expected 'undirected'"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(InputError, match=message):
        WaveEquation(**options)


def test_negative_weights_have_no_waves():
    data = graph()
    data.edge_weight = torch.full((data.num_edges,), -0.5)
    with pytest.raises(InputError, match=r"edge weights down to -0\.5"):
        WaveEquation().snapshots(data)
