import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import APPNP, SimpleConv
from torch_geometric.utils import erdos_renyi_graph

from dmdgnn import InputError
from dmdgnn.dynamics import FeaturePropagation

ONE_EDGE = Data(x=torch.eye(2), edge_index=torch.tensor([[0], [1]]))


def random_graph(directed=False, dtype=torch.float64):
    torch.manual_seed(0)
    edge_index = erdos_renyi_graph(9, 0.3, directed=directed)
    return Data(x=torch.randn(9, 4, dtype=dtype), edge_index=edge_index)


@pytest.mark.parametrize(
    ("normalization", "direction", "expected"),
    [
        ("sym", "undirected", [[0.5, 0.5], [0.5, 0.5]]),
        ("rw", "undirected", [[0.5, 0.5], [0.5, 0.5]]),
        ("sym", "forward", [[1.0, 0.0], [0.5**0.5, 0.5]]),
        ("rw", "forward", [[1.0, 0.0], [0.5, 0.5]]),
        ("sym", "backward", [[0.5, 0.5**0.5], [0.0, 1.0]]),
        ("rw", "backward", [[0.5, 0.5], [0.0, 1.0]]),
    ],
)
def test_adjacency_of_one_edge(normalization, direction, expected):
    dynamics = FeaturePropagation(normalization=normalization, direction=direction)
    torch.testing.assert_close(dynamics.adjacency(ONE_EDGE).to_dense(), torch.tensor(expected))


def test_adjacency_of_a_star():
    data = Data(x=torch.ones(4, 1), edge_index=torch.tensor([[0, 0, 0], [1, 2, 3]]))  # degrees 4, 2, 2, 2 with loops
    symmetric = FeaturePropagation().adjacency(data).to_dense()
    torch.testing.assert_close(symmetric[0], torch.tensor([1 / 4, 8**-0.5, 8**-0.5, 8**-0.5]))
    mean = FeaturePropagation(normalization="rw").adjacency(data).to_dense()
    torch.testing.assert_close(mean[:2], torch.tensor([[1 / 4] * 4, [1 / 2, 1 / 2, 0, 0]]))


@pytest.mark.parametrize("direction", ["undirected", "forward"])
@pytest.mark.parametrize("weighted", [False, True])
def test_sym_agrees_with_appnp_without_teleport(direction, weighted):
    data = random_graph(directed=direction == "forward")
    if weighted:
        source, target = data.edge_index
        data.edge_weight = 0.5 + ((source + 1) * (target + 1) % 5).double()  # the same both ways
    X, Y = FeaturePropagation(burn_in=2, stride=3, direction=direction).snapshots(data)
    for snapshot, hops in ((X, 2), (Y, 5)):
        expected = APPNP(K=hops, alpha=0.0)(data.x, data.edge_index, data.get("edge_weight"))
        torch.testing.assert_close(snapshot, expected)


@pytest.mark.parametrize("direction", ["undirected", "forward", "backward"])
def test_rw_agrees_with_the_mean_of_simple_conv(direction):
    data = random_graph(directed=direction != "undirected")
    edge_index = data.edge_index.flip(0) if direction == "backward" else data.edge_index
    Y = FeaturePropagation(normalization="rw", direction=direction).snapshots(data)[1]
    torch.testing.assert_close(Y, SimpleConv(aggr="mean", combine_root="self_loop")(data.x, edge_index))


@pytest.mark.parametrize("normalization", ["sym", "rw"])
@pytest.mark.parametrize(("burn_in", "stride", "steps"), [(0, 1, 1), (2, 1, 1), (1, 2, 3), (0, 3, 2)])
def test_snapshots_are_powers_of_the_adjacency(normalization, burn_in, stride, steps):
    data = random_graph(directed=True)
    dynamics = FeaturePropagation(burn_in, stride, steps, normalization, "forward")
    A = dynamics.adjacency(data).to_dense()
    X, Y = dynamics.snapshots(data)
    blocks = [torch.linalg.matrix_power(A, burn_in + i * stride) @ data.x for i in range(steps)]
    torch.testing.assert_close(X, torch.cat(blocks, dim=1))
    torch.testing.assert_close(Y, torch.linalg.matrix_power(A, stride) @ X)


@pytest.mark.parametrize("normalization", ["sym", "rw"])
@pytest.mark.parametrize("direction", ["undirected", "forward", "backward"])
@pytest.mark.parametrize("weighted", [False, True])
def test_symmetric_says_whether_the_matrix_is(normalization, direction, weighted):
    data = random_graph(directed=True)
    if weighted:
        data.edge_weight = torch.rand(data.num_edges, dtype=torch.float64) + 0.1
    dynamics = FeaturePropagation(normalization=normalization, direction=direction)
    A = dynamics.adjacency(data).to_dense()
    assert dynamics.symmetric == torch.allclose(A, A.T)
    if normalization == "rw":  # a mean leaves constants as they are
        torch.testing.assert_close(A.sum(1), torch.ones(9, dtype=torch.float64))
    if dynamics.symmetric:
        torch.testing.assert_close(torch.linalg.eigvalsh(A)[-1], torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_loops_and_reverse_edges_are_not_counted_twice(normalization):
    data = Data(x=torch.eye(2), edge_index=torch.tensor([[0, 1, 0], [1, 0, 0]]))
    A = FeaturePropagation(normalization=normalization).adjacency(data)
    torch.testing.assert_close(A.to_dense(), torch.full((2, 2), 0.5))


def test_weighted_mean():
    data = ONE_EDGE.clone()
    data.edge_weight = torch.tensor([3.0])  # against the loop's 1
    A = FeaturePropagation(normalization="rw").adjacency(data)
    torch.testing.assert_close(A.to_dense(), torch.tensor([[0.25, 0.75], [0.75, 0.25]]))


def test_without_edges_nothing_moves():
    data = Data(x=torch.randn(3, 2), edge_index=torch.empty(2, 0, dtype=torch.long))
    for normalization in ("sym", "rw"):
        X, Y = FeaturePropagation(burn_in=1, normalization=normalization).snapshots(data)
        torch.testing.assert_close(X, data.x)
        torch.testing.assert_close(Y, data.x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_that_of_the_features(dtype):
    data = random_graph(dtype=dtype)
    data.edge_weight = torch.ones(data.num_edges, dtype=torch.float32)
    for normalization in ("sym", "rw"):
        X, Y = FeaturePropagation(normalization=normalization).snapshots(data)
        assert X.dtype == Y.dtype == dtype


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"burn_in": -1}, "burn_in=-1, stride=1, steps=1, expected integers burn_in >= 0"),
        ({"stride": 0}, "stride=0.*expected.*stride >= 1"),
        ({"steps": 0}, "steps=0.*expected.*steps >= 1"),
        ({"normalization": "row"}, "normalization='row', expected 'sym' or 'rw'"),
        ({"direction": "both"}, "direction='both', expected 'undirected', 'forward' or 'backward'"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(InputError, match=message):
        FeaturePropagation(**options)


EDGES = torch.tensor([[0, 1], [1, 2]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Data(edge_index=EDGES, num_nodes=3), "lacks x or edge_index"),
        (Data(x=torch.ones(3), edge_index=EDGES), r"features of shape \(3,\)"),
        (Data(x=torch.ones(3, 2, dtype=torch.int64), edge_index=EDGES), r"torch\.int64"),
        (Data(x=torch.ones(3, 2, dtype=torch.complex64), edge_index=EDGES), r"torch\.complex64"),
        (Data(x=torch.ones(3, 2, dtype=torch.float16), edge_index=EDGES), r"torch\.float16"),
        (Data(x=torch.ones(2, 2), edge_index=torch.tensor([[0], [2]])), "names nodes 0 to 2, but .* nodes 0 to 1"),
        (Data(x=torch.ones(0, 2), edge_index=EDGES[:, :0]), "has no nodes"),
        (Data(x=torch.ones(3, 2)), "lacks x or edge_index"),
    ],
)
def test_bad_graphs(data, message):
    with pytest.raises(InputError, match=message):
        FeaturePropagation().snapshots(data)
