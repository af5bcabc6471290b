"""Properties of all dynamics."""

import dataclasses
import pickle

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCN
from torch_geometric.utils import erdos_renyi_graph

from dmdgnn import InputError
from dmdgnn.dynamics import (
    AllenCahn,
    Dynamics,
    Evolution,
    FeaturePropagation,
    HeatDiffusion,
    HiddenStates,
    Kuramoto,
    PersonalizedPageRank,
    WaveEquation,
)

F64 = torch.float64
LINEAR = [FeaturePropagation, HeatDiffusion, PersonalizedPageRank, WaveEquation]
EVOLUTIONS = [*LINEAR, AllenCahn, Kuramoto]
DIRECTED = [kind for kind in EVOLUTIONS if kind is not WaveEquation]


def hidden():
    torch.manual_seed(0)
    return HiddenStates(GCN(3, 3, num_layers=3).double())


ALL = [*(kind() for kind in EVOLUTIONS), Kuramoto(frequencies="features"), hidden()]


def graph(n=8, seed=0, weighted=False, dtype=F64):
    """A directed one, with a self-loop at node 1, and no edges at the last node."""
    torch.manual_seed(seed)
    edge_index = torch.cat([erdos_renyi_graph(n - 1, 0.3, directed=True), torch.tensor([[1], [1]])], dim=1)
    data = Data(x=torch.randn(n, 3, dtype=dtype), edge_index=edge_index)
    if weighted:
        data.edge_weight = torch.rand(edge_index.size(1), dtype=dtype) + 0.1
    return data


def matrix(dynamics, data):
    """The matrix of linear dynamics: the images of the unit vectors."""
    data = data.clone()
    data.x = torch.eye(data.num_nodes, dtype=F64)
    X, Y = dynamics.snapshots(data)
    torch.testing.assert_close(X, data.x)
    return Y


@pytest.mark.parametrize("dynamics", ALL, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_batch_has_the_snapshots_of_each_graph(dynamics, weighted):
    graphs = [graph(n, seed=n, weighted=weighted) for n in (8, 5, 11)]
    graphs.append(graphs[0].clone())
    graphs[-1].edge_index, graphs[-1].edge_weight = torch.empty(2, 0, dtype=torch.long), torch.empty(0, dtype=F64)
    together = dynamics.snapshots(Batch.from_data_list(graphs if weighted else graphs[:3]))
    alone = [dynamics.snapshots(data) for data in (graphs if weighted else graphs[:3])]
    for side, sides in zip(together, zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(side, torch.cat(sides))


@pytest.mark.parametrize("dynamics", ALL, ids=str)
def test_dtype_is_that_of_the_features(dynamics):
    double, single = graph(weighted=True), graph(weighted=True)
    single.x = single.x.float()
    for precise, side in zip(dynamics.snapshots(double), dynamics.snapshots(single), strict=True):
        assert precise.dtype == F64
        assert side.dtype == torch.float32
        torch.testing.assert_close(side, precise.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dynamics", ALL, ids=str)
def test_nodes_may_be_permuted(dynamics):
    data, order = graph(weighted=True), torch.randperm(8)
    permuted = Data(x=data.x[order], edge_index=order.argsort()[data.edge_index], edge_weight=data.edge_weight)
    for side, other in zip(dynamics.snapshots(data), dynamics.snapshots(permuted), strict=True):
        torch.testing.assert_close(other, side[order])


@pytest.mark.parametrize("dynamics", ALL, ids=str)
def test_the_graph_stays_as_it_is(dynamics):
    data = graph(weighted=True)
    before = data.clone()
    X, _ = dynamics.snapshots(data)
    X.zero_()
    assert all(torch.equal(data[key], before[key]) for key in before.keys())  # noqa: SIM118
    assert data.keys() == before.keys()


@pytest.mark.parametrize("dynamics", ALL, ids=str)
def test_weights_of_one_are_no_weights(dynamics):
    data = graph()
    expected = dynamics.snapshots(data)
    data.edge_weight = torch.ones(data.num_edges, dtype=F64)
    for side, other in zip(dynamics.snapshots(data), expected, strict=True):
        torch.testing.assert_close(side, other)


@pytest.mark.parametrize("kind", EVOLUTIONS)
@pytest.mark.parametrize(("burn_in", "stride", "steps"), [(2, 1, 1), (1, 2, 2), (0, 3, 2)])
def test_snapshots_are_states_of_the_trajectory(kind, burn_in, stride, steps):
    data = graph(weighted=True)
    states = torch.cat([data.x, kind(steps=7).snapshots(data)[1]], dim=1).split(3, dim=1)
    X, Y = kind(burn_in, stride, steps).snapshots(data)
    first = [burn_in + pair * stride for pair in range(steps)]
    torch.testing.assert_close(X, torch.cat([states[index] for index in first], dim=1))
    torch.testing.assert_close(Y, torch.cat([states[index + stride] for index in first], dim=1))


@pytest.mark.parametrize("kind", DIRECTED)
@pytest.mark.parametrize("normalization", ["sym", "rw"])
def test_backward_is_forward_along_reversed_edges(kind, normalization):
    data = graph(weighted=True)
    Y = kind(direction="backward", normalization=normalization).snapshots(data)[1]
    data.edge_index = data.edge_index.flip(0)
    torch.testing.assert_close(Y, kind(direction="forward", normalization=normalization).snapshots(data)[1])


@pytest.mark.parametrize("kind", DIRECTED)
def test_forward_sends_along_the_edges_only(kind):
    data = Data(x=torch.randn(3, 2, dtype=F64), edge_index=torch.tensor([[0], [1]]))
    states = kind(direction="forward").snapshots(data)[1]
    data.x[1] = 2.0
    moved = kind(direction="forward").snapshots(data)[1]
    assert torch.equal(moved[[0, 2]], states[[0, 2]])
    data.x[0] = 2.0
    assert not torch.isclose(kind(direction="forward").snapshots(data)[1][1], moved[1]).any()


@pytest.mark.parametrize("kind", LINEAR)
def test_linear_dynamics_leave_nodes_without_edges(kind):
    torch.testing.assert_close(kind(stride=3).snapshots(graph())[1][-1], graph().x[-1])


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("normalization", ["sym", "rw"])
@pytest.mark.parametrize("direction", ["undirected", "forward"])
def test_symmetric_says_whether_the_matrix_is(kind, normalization, direction):
    if direction == "forward" and kind is WaveEquation:
        return
    dynamics = kind(normalization=normalization, direction=direction, stride=2)
    K = matrix(dynamics, graph())
    assert dynamics.symmetric == torch.allclose(K, K.T)
    torch.testing.assert_close(K @ graph().x, dynamics.snapshots(graph())[1])  # linear
    if normalization == "rw":  # a mean leaves constants as they are
        torch.testing.assert_close(K.sum(dim=1), torch.ones(8, dtype=F64))


@pytest.mark.parametrize("dynamics", [dynamics for dynamics in ALL if type(dynamics) not in LINEAR], ids=str)
def test_what_is_not_linear_is_not_symmetric(dynamics):
    one, other, both = graph(), graph(), graph()
    other.x = torch.randn(8, 3, dtype=F64)
    both.x = one.x + other.x
    parts = [dynamics.snapshots(data)[1] for data in (one, other)]
    assert not dynamics.symmetric
    assert not torch.allclose(dynamics.snapshots(both)[1], sum(parts), rtol=1e-2)


@pytest.mark.parametrize("kind", EVOLUTIONS)
def test_settings_are_values(kind):
    one, other = kind(burn_in=2), kind(2, 1, 1, "sym", "undirected")
    assert one == other
    assert hash(one) == hash(other)
    assert one != kind(burn_in=1)
    assert one != dataclasses.replace(one, normalization="rw")
    assert pickle.loads(pickle.dumps(one)) == one
    assert eval(repr(one), {kind.__name__: kind}) == one
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.burn_in = 3


def test_kinds_differ():
    assert len({kind() for kind in EVOLUTIONS}) == len(EVOLUTIONS)


EDGES = torch.tensor([[0, 1], [1, 2]])


@pytest.mark.parametrize("dynamics", ALL, ids=str)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Data(edge_index=EDGES, num_nodes=3), "lacks x or edge_index"),
        (Data(x=torch.ones(3)), "lacks x or edge_index"),
        (Data(x=torch.ones(3, dtype=F64), edge_index=EDGES), r"features of shape \(3,\)"),
        (Data(x=torch.ones(3, 3, dtype=torch.int64), edge_index=EDGES), r"torch\.int64"),
        (Data(x=torch.ones(2, 3), edge_index=EDGES), "names nodes 0 to 2, but .* nodes 0 to 1"),
    ],
)
def test_bad_graphs(dynamics, data, message):
    with pytest.raises(InputError, match=message):
        dynamics.snapshots(data)


@pytest.mark.parametrize("kind", EVOLUTIONS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride=0.*expected.*stride >= 1"),
        ({"burn_in": 0.5}, "burn_in=0.5.*expected integers"),
        ({"normalization": "row"}, "normalization='row', expected 'sym' or 'rw'"),
        ({"direction": "both"}, "direction='both', expected 'undirected'"),
    ],
)
def test_bad_settings(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)


def test_a_subclass_says_what_the_states_are():
    @dataclasses.dataclass(frozen=True)
    class Decay(Evolution):
        factor: float = 0.5

        @property
        def symmetric(self):
            return True

        def trajectory(self, data):
            x = data.x
            while True:
                yield x
                x = self.factor * x

    X, Y = Decay(burn_in=1, stride=2).snapshots(graph())
    torch.testing.assert_close(X, graph().x / 2)
    torch.testing.assert_close(Y, graph().x / 8)
    with pytest.raises(TypeError, match="abstract"):
        Evolution()
    with pytest.raises(TypeError, match="abstract"):
        Dynamics()
