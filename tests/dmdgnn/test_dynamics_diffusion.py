import math

import pytest
import torch
from scipy.linalg import expm
from torch_geometric.data import Data
from torch_geometric.nn import APPNP
from torch_geometric.transforms import GDC
from torch_geometric.utils import add_remaining_self_loops, erdos_renyi_graph

from dmdgnn import InputError
from dmdgnn.dynamics import HeatDiffusion, PersonalizedPageRank
from dmdgnn.dynamics.diffusion import _poisson

F64 = torch.float64
TIMES = [0.01, 1.0, 5.0, 60.0]


def graph(directed=False, weighted=False):
    torch.manual_seed(0)
    edge_index = erdos_renyi_graph(12, 0.25, directed=directed)
    data = Data(x=torch.randn(12, 3, dtype=F64), edge_index=edge_index)
    if weighted:
        source, target = edge_index
        data.edge_weight = (0.5 + ((source + 1) * (target + 1) % 5)).double()  # the same both ways
    return data


def adjacency(dynamics, data):
    return dynamics.adjacency(data).to_dense()


def of_gdc(data, method, **options):
    edge_index, edge_weight = add_remaining_self_loops(
        data.edge_index, data.get("edge_weight", torch.ones(data.num_edges, dtype=F64)), 1.0, data.num_nodes
    )
    gdc = GDC(exact=True)
    edge_index, edge_weight = gdc.transition_matrix(edge_index, edge_weight, data.num_nodes, "sym")
    return gdc.diffusion_matrix_exact(edge_index, edge_weight, data.num_nodes, method=method, **options)


@pytest.mark.parametrize("weighted", [False, True])
def test_kernels_agree_with_gdc(weighted):
    data = graph(weighted=weighted)
    heat = of_gdc(data, "heat", t=2.0)
    torch.testing.assert_close(HeatDiffusion(time=2.0).snapshots(data)[1], heat @ data.x)
    pagerank = of_gdc(data, "ppr", alpha=0.15)
    dynamics = PersonalizedPageRank(alpha=0.15, tolerance=1e-14)
    torch.testing.assert_close(dynamics.snapshots(data)[1], pagerank @ data.x)


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("normalization", ["sym", "rw"])
@pytest.mark.parametrize("direction", ["undirected", "forward", "backward"])
def test_heat_is_the_exponential_of_the_laplacian(time, normalization, direction):
    data = graph(directed=True, weighted=True)
    dynamics = HeatDiffusion(time=time, normalization=normalization, direction=direction)
    laplacian = torch.eye(12, dtype=F64) - adjacency(dynamics, data)
    expected = torch.as_tensor(expm(-time * laplacian.numpy())) @ data.x
    torch.testing.assert_close(dynamics.snapshots(data)[1], expected, rtol=1e-12, atol=1e-14)


def test_heat_in_single_precision():
    data = graph()
    expected = HeatDiffusion(time=5.0).snapshots(data)[1]
    data.x = data.x.float()
    torch.testing.assert_close(HeatDiffusion(time=5.0).snapshots(data)[1], expected.float(), rtol=1e-5, atol=1e-6)


def test_two_steps_of_heat_are_one_of_twice_the_time():
    X, Y = HeatDiffusion(time=0.7, burn_in=1, stride=2).snapshots(graph())
    torch.testing.assert_close(X, HeatDiffusion(time=0.7).snapshots(graph())[1])
    torch.testing.assert_close(Y, HeatDiffusion(time=2.1).snapshots(graph())[1])


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_after_a_long_time_heat_is_spread_by_degrees(dtype):
    nodes = torch.arange(5)
    ring = Data(x=torch.randn(5, 2, dtype=dtype), edge_index=torch.stack([nodes, (nodes + 1) % 5]))
    Y = HeatDiffusion(time=2000.0).snapshots(ring)[1]  # e^-2000 is zero
    rounding = 2000 * torch.finfo(dtype).eps  # of as many products
    torch.testing.assert_close(Y, ring.x.mean(dim=0).expand(5, 2), rtol=0, atol=rounding)


@pytest.mark.parametrize("time", [1e-9, *TIMES, 1000.0])
@pytest.mark.parametrize("epsilon", [2.0**-23, 2.0**-52])
def test_jumps_that_are_left_out_are_rounding(time, epsilon):
    weights = _poisson(time, epsilon)
    assert math.fsum(weights) == pytest.approx(1, abs=1e-15)
    assert min(weights) >= 0
    assert len(weights) <= time + 8 * math.sqrt(time) + 20
    later = [math.exp(k * math.log(time) - time - math.lgamma(k + 1)) for k in range(len(weights), len(weights) + 200)]
    assert math.fsum(later) <= epsilon
    mean = math.fsum(jumps * weight for jumps, weight in enumerate(weights))
    assert mean == pytest.approx(time, rel=1e-4)


@pytest.mark.parametrize("normalization", ["sym", "rw"])
@pytest.mark.parametrize("direction", ["undirected", "forward", "backward"])
def test_pagerank_solves_its_system(normalization, direction):
    data = graph(directed=True, weighted=True)
    dynamics = PersonalizedPageRank(
        alpha=0.2, tolerance=1e-15, normalization=normalization, direction=direction, burn_in=1
    )
    X, Y = dynamics.snapshots(data)
    system = torch.eye(12, dtype=F64) - 0.8 * adjacency(dynamics, data)
    torch.testing.assert_close(system @ X, 0.2 * data.x)
    torch.testing.assert_close(system @ Y, 0.2 * X)


def test_pagerank_is_appnp():
    data = graph()
    expected = APPNP(K=28, alpha=0.3)(data.x, data.edge_index)
    assert 0.7**28 < 5e-5 < 0.7**27
    torch.testing.assert_close(PersonalizedPageRank(alpha=0.3, tolerance=5e-5).snapshots(data)[1], expected)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-10])
def test_pagerank_is_as_exact_as_asked(tolerance):
    data = graph()
    exact = of_gdc(data, "ppr", alpha=0.1) @ data.x
    error = PersonalizedPageRank(tolerance=tolerance).snapshots(data)[1] - exact
    assert float(error.norm()) <= tolerance * float((data.x - exact).norm())


def test_pagerank_cut_short_is_symmetric():
    data = graph()
    data.x = torch.eye(12, dtype=F64)
    K = PersonalizedPageRank(tolerance=0.5).snapshots(data)[1]
    torch.testing.assert_close(K, K.T)


def test_the_walk_that_always_returns_stays():
    Y = PersonalizedPageRank(alpha=1 - 1e-12).snapshots(graph())[1]
    torch.testing.assert_close(Y, graph().x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (HeatDiffusion, {"time": 0.0}, "time=0.0, expected a finite number above 0$"),
        (HeatDiffusion, {"time": -1}, "time=-1, expected"),
        (HeatDiffusion, {"time": math.inf}, "time=inf, expected"),
        (HeatDiffusion, {"time": math.nan}, "time=nan, expected"),
        (HeatDiffusion, {"time": "long"}, "time='long', expected"),
        (HeatDiffusion, {"time": True}, "time=True, expected"),
        (PersonalizedPageRank, {"alpha": 0.0}, "alpha=0.0, expected a finite number above 0 and below 1"),
        (PersonalizedPageRank, {"alpha": 1.0}, "alpha=1.0, expected"),
        (PersonalizedPageRank, {"tolerance": 0.0}, "tolerance=0.0, expected"),
        (PersonalizedPageRank, {"tolerance": 1.0}, "tolerance=1.0, expected"),
    ],
)
def test_bad_settings(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)


@pytest.mark.parametrize("dynamics", [HeatDiffusion(), PersonalizedPageRank()])
def test_negative_weights_have_no_diffusion(dynamics):
    data = graph(weighted=True)
    data.edge_weight[2] = -1.5
    with pytest.raises(InputError, match=r"edge weights down to -1\.5, expected none below 0"):
        dynamics.snapshots(data)
