import math
import re
from itertools import pairwise

import pytest
import torch
from scipy.integrate import solve_ivp
from torch_geometric.data import Data
from torch_geometric.utils import erdos_renyi_graph

from dmdgnn import InputError
from dmdgnn.dynamics import AllenCahn, FeaturePropagation, HeatDiffusion, Kuramoto

F64 = torch.float64
NO_EDGES = torch.empty(2, 0, dtype=torch.long)


def graph(weighted=False, n=9):
    torch.manual_seed(0)
    data = Data(x=torch.randn(n, 2, dtype=F64), edge_index=erdos_renyi_graph(n, 0.4, directed=True))
    if weighted:
        data.edge_weight = torch.rand(data.num_edges, dtype=F64) + 0.1
    return data


def solved(derivative, x, time):
    """The exact flow."""

    def flat(_, state):
        return derivative(torch.as_tensor(state).view_as(x)).flatten().numpy()

    solution = solve_ivp(flat, (0, time), x.flatten().numpy(), rtol=1e-11, atol=1e-12)
    return torch.as_tensor(solution.y[:, -1]).view_as(x)


def differences(x):
    """x_j - x_i at (i, j), for each feature."""
    return x.unsqueeze(0) - x.unsqueeze(1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("direction", ["undirected", "forward"])
def test_allen_cahn_is_the_equation(weighted, direction):
    data = graph(weighted)
    A = FeaturePropagation(direction=direction).adjacency(data).to_dense()
    coupling = 0.7 * torch.where(A != 0, A - 0.2, 0)

    def derivative(x):
        return torch.einsum("ij,ijf->if", coupling, differences(x)) + 1.3 * x * (1 - x**2)

    dynamics = AllenCahn(alpha=0.7, beta=0.2, delta=1.3, time=0.5, direction=direction)
    torch.testing.assert_close(dynamics.snapshots(data)[1], solved(derivative, data.x, 0.5), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frequencies", ["zero", "features"])
@pytest.mark.parametrize("direction", ["undirected", "forward"])
def test_kuramoto_is_the_equation(frequencies, direction):
    data = graph(weighted=True)
    A = FeaturePropagation(direction=direction).adjacency(data).to_dense()

    def derivative(x):
        turning = data.x if frequencies == "features" else 0
        return turning + 1.7 * torch.einsum("ij,ijf->if", A, differences(x).sin())

    dynamics = Kuramoto(coupling=1.7, frequencies=frequencies, direction=direction)
    torch.testing.assert_close(dynamics.snapshots(data)[1], solved(derivative, data.x, 1.0), rtol=1e-4, atol=1e-5)


def test_a_node_alone_falls_into_its_well():
    x = torch.tensor([[0.5], [-0.2], [2.0], [0.0], [1.0]], dtype=F64)
    Y = AllenCahn(delta=1.5, time=0.8).snapshots(Data(x=x, edge_index=NO_EDGES))[1]
    torch.testing.assert_close(Y, x / (x**2 + (1 - x**2) * math.exp(-2 * 1.5 * 0.8)).sqrt(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_agreement_in_a_well_is_at_rest(value):
    data = graph(weighted=True)
    data.x = torch.full_like(data.x, value)
    torch.testing.assert_close(AllenCahn().snapshots(data)[1], data.x)


def test_wells_are_mirror_images():
    data, mirrored = graph(), graph()
    mirrored.x = -data.x
    torch.testing.assert_close(AllenCahn().snapshots(mirrored)[1], -AllenCahn().snapshots(data)[1])


def test_attraction_without_wells_is_heat():
    settings = {"normalization": "rw", "direction": "forward", "time": 1.5}
    data = graph(weighted=True)
    attracted = AllenCahn(alpha=1.0, beta=0.0, delta=0.0, **settings).snapshots(data)[1]
    torch.testing.assert_close(attracted, HeatDiffusion(**settings).snapshots(data)[1], rtol=1e-6, atol=1e-6)


def test_attraction_keeps_states_between_their_extremes():
    data = graph(weighted=True)
    data.x = data.x.abs().clamp(max=1)
    Y = AllenCahn(beta=0.0, steps=5).snapshots(data)[1]
    assert float(Y.min()) >= 0
    assert float(Y.max()) <= 1


def dirichlet(x, A):
    return float((A.unsqueeze(-1) * differences(x).square()).sum())


def test_repulsion_keeps_nodes_apart():
    data = graph()
    A = FeaturePropagation().adjacency(data).to_dense()
    attracted, repelled = (AllenCahn(beta=beta, steps=10, stride=3).snapshots(data)[1][:, -2:] for beta in (0.0, 0.5))
    assert dirichlet(attracted, A) < 1e-2 * dirichlet(data.x, A)
    assert dirichlet(repelled, A) > 0.5 * dirichlet(data.x, A)


def test_two_oscillators_fall_into_step():
    # Their difference d follows d' = -2 (1 / 2) k sin d, so tan(d / 2) decays exponentially.
    start = torch.tensor([[0.4, 2.0, -1.0]], dtype=F64)
    data = Data(x=torch.cat([start / 2, -start / 2]), edge_index=torch.tensor([[0], [1]]))
    Y = Kuramoto(coupling=0.8, time=1.5, substeps=20).snapshots(data)[1]
    expected = 2 * ((start / 2).tan() * math.exp(-0.8 * 1.5)).atan()
    torch.testing.assert_close(Y[:1] - Y[1:], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(Y.sum(dim=0), torch.zeros(3, dtype=F64))


def test_mean_phase_turns_with_the_mean_frequency():
    data = graph()
    mean = data.x.mean(dim=0)
    torch.testing.assert_close(Kuramoto().snapshots(data)[1].mean(dim=0), mean)
    Y = Kuramoto(frequencies="features", time=0.5, stride=4).snapshots(data)[1]
    torch.testing.assert_close(Y.mean(dim=0), mean * (1 + 0.5 * 4))


def test_only_differences_of_phases_matter():
    data, turned = graph(), graph()
    turned.x = data.x + 0.9
    torch.testing.assert_close(Kuramoto().snapshots(turned)[1], Kuramoto().snapshots(data)[1] + 0.9)
    turned.x = data.x.clone()
    turned.x[3] += math.tau
    Y = Kuramoto().snapshots(data)[1]
    Y[3] += math.tau
    torch.testing.assert_close(Kuramoto().snapshots(turned)[1], Y)


def test_coupled_oscillators_lose_energy():
    data = graph()
    A = FeaturePropagation().adjacency(data).to_dense().unsqueeze(-1)
    states = Kuramoto(steps=8, time=0.3).snapshots(data)[1].split(2, dim=1)
    energies = [-float((A * differences(x).cos()).sum()) for x in states]
    assert all(later < earlier for earlier, later in pairwise(energies))


@pytest.mark.parametrize("kind", [AllenCahn, Kuramoto])
def test_substeps_are_of_fourth_order(kind):
    data = graph()
    exact, *coarse = (kind(substeps=substeps).snapshots(data)[1] for substeps in (2000, 40, 80, 160))
    errors = [float((states - exact).norm()) for states in coarse]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(16, rel=0.25)


@pytest.mark.parametrize("dynamics", [AllenCahn(beta=0.5), Kuramoto(coupling=20.0)])
def test_a_hub_needs_the_substeps_that_the_error_names(dynamics):
    leaves = torch.arange(1, 300)
    star = Data(x=torch.randn(300, 1, dtype=F64), edge_index=torch.stack([torch.zeros_like(leaves), leaves]))
    with pytest.raises(InputError, match="are unstable: take substeps=") as caught:
        dynamics.snapshots(star)
    needed = int(re.search(r"take substeps=(\d+)", str(caught.value)).group(1))
    settings = {name: getattr(dynamics, name) for name in ("beta", "coupling") if hasattr(dynamics, name)}
    # Stable: finer steps do not change the largest entry by much.
    coarse, fine = (
        type(dynamics)(**settings, substeps=needed * factor, time=dynamics.time).snapshots(star)[1] for factor in (1, 4)
    )
    assert float((coarse - fine).abs().max()) < 0.05 * float(fine.abs().max())


def test_large_features_need_smaller_steps():
    data = graph()
    data.x *= 1e4
    with pytest.raises(InputError, match="scale the features down to about 1"):
        AllenCahn().snapshots(data)
    data.x[2, 1] = torch.inf
    with pytest.raises(InputError, match="x has 1 NaN or infinite entries"):
        AllenCahn().snapshots(data)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (AllenCahn, {"beta": -0.1}, "beta=-0.1, expected a finite number of at least 0"),
        (AllenCahn, {"alpha": math.nan}, "alpha=nan"),
        (AllenCahn, {"delta": math.inf}, "delta=inf"),
        (AllenCahn, {"delta": 0}, "delta=0 and beta=0.1, .*take delta > 0 or beta = 0"),
        (AllenCahn, {"time": 0}, "time=0, expected a finite number above 0"),
        (Kuramoto, {"substeps": 0}, "substeps=0, expected an integer of at least 1"),
        (Kuramoto, {"coupling": math.inf}, "coupling=inf"),
        (Kuramoto, {"frequencies": "one"}, "frequencies='one', expected 'zero' or 'features'"),
    ],
)
def test_bad_settings(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)
