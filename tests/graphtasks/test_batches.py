import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAE, VGAE
from torch_geometric.nn.models import GCN, GraphSAGE
from torch_geometric.transforms import LocalDegreeProfile, ToSparseTensor
from torch_geometric.utils import remove_self_loops, to_torch_csr_tensor

from graphtasks import GraphTask, InvalidDataError, LinkSplit, Split, forward, link_task
from graphtasks.batches import Batches, GraphBatches, Links, NodeBatches, WholeGraph, decode
from graphtasks.losses import training_loss
from graphtasks.randomness import seeded

CPU = torch.device("cpu")

pytestmark = [
    # torch says once a process that these layouts are in beta.
    pytest.mark.filterwarnings("ignore:Sparse C"),
    pytest.mark.filterwarnings("ignore:Sparse invariant checks"),
]


class Echo(nn.Module):
    """Gives what its one feature holds, and has a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x[:, :1] + self.zero


class Alone(nn.Module):
    """A layer for each node alone, so that all batches are as good."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x):
        return self.layer(x)


class Recorder:
    """A loss that keeps what it was given."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def __call__(self, pred: Tensor, target: Tensor) -> Tensor:
        self.pairs.append((pred.detach().clone(), target.clone()))
        return pred.sum()

    @property
    def pred(self) -> list[float]:
        return torch.cat([pred for pred, _ in self.pairs]).view(-1).tolist()


def random_graph(n: int, e: int, seed: int) -> Tensor:
    return torch.randint(0, n, (2, e), generator=torch.Generator().manual_seed(seed))


def numbered_task(n: int = 40, e: int = 100, seed: int = 0) -> GraphTask:
    """A directed graph whose nodes have their numbers as features and as values."""
    number = torch.arange(n).float()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    data = Data(x=number.view(-1, 1), y=number.clone(), edge_index=random_graph(n, e, seed))
    third = max(n // 3, 1)
    return GraphTask.from_data(data, splits=[Split(order[:third], order[third : 2 * third], order[2 * third :])])


def numbered_graphs(count: int = 11, kind: str = "graph") -> GraphTask:
    """Graphs of different sizes, of which each value is a number of its own."""
    graphs, start = [], 0
    for i in range(count):
        size = 2 + i % 3
        number = torch.arange(start, start + size).float()
        y = number if kind != "graph" else number[:1]
        graphs.append(Data(x=number.view(-1, 1), y=y, edge_index=torch.tensor([[0, 1], [1, 0]])))
        start += size
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    order = torch.arange(count) if kind == "temporal" else shuffled
    return GraphTask.from_data(graphs, kind=kind, splits=[Split(order[:6], order[6:8], order[8:])], metric="mse")


class First(Echo):
    """One row for each graph: what its first node holds."""

    def forward(self, x, ptr):
        return super().forward(x)[ptr[:-1]]


def class_task(n: int = 40, e: int = 120, seed: int = 0) -> GraphTask:
    generator = torch.Generator().manual_seed(seed)
    data = Data(
        x=torch.randn(n, 5, generator=generator),
        y=torch.arange(n) % 3,
        edge_index=random_graph(n, e, seed),
        edge_weight=torch.rand(e, generator=generator),
    )
    order = torch.randperm(n, generator=generator)
    return GraphTask.from_data(data, splits=[Split(order[: n // 2], order[n // 2 : -5], order[-5:])])


def link_graph(seed: int = 0, undirected: bool = True, **options) -> GraphTask:
    edges = random_graph(30, 100, seed)
    if undirected:
        edges = torch.cat([edges, edges.flip(0)], dim=1)
    x = torch.randn(30, 6, generator=torch.Generator().manual_seed(seed))
    return link_task(Data(x=x, edge_index=edges), **options)


def whole(task: GraphTask, loss=None) -> WholeGraph:
    return WholeGraph(task, 0, loss or training_loss(task, 0), CPU)


def sampled(task: GraphTask, batch_size: int, neighbors: list[int], loss=None) -> NodeBatches:
    loss = loss or training_loss(task, 0)
    return NodeBatches(task, 0, loss, CPU, batch_size=batch_size, neighbors=neighbors, clusters=None)


def clustered(task: GraphTask, batch_size: int, clusters: int, loss=None) -> NodeBatches:
    loss = loss or training_loss(task, 0)
    return NodeBatches(task, 0, loss, CPU, batch_size=batch_size, neighbors=None, clusters=clusters)


def link_batches(task: GraphTask, batch_size: int | None = None, loss=None) -> Links:
    return Links(task, 0, loss or training_loss(task, 0), CPU, batch_size=batch_size)


def loss_and_gradients(batches: Batches, model: nn.Module) -> tuple[float, list[Tensor]]:
    model.zero_grad()
    total, count = 0.0, 0
    for loss, size in batches.losses(model):
        (loss * size).backward()
        total, count = total + size * loss.item(), count + size
    return total / count, [parameter.grad / count for parameter in model.parameters()]


def check_same(first: Batches, second: Batches, model: nn.Module) -> None:
    (loss, gradients), (other_loss, other_gradients) = (loss_and_gradients(b, model) for b in (first, second))
    assert loss == pytest.approx(other_loss, rel=1e-5)
    assert any(gradient.any() for gradient in gradients)
    for gradient, other in zip(gradients, other_gradients, strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-6, rtol=1e-4)


# How a graph reaches a model


class Sum(nn.Module):
    def forward(self, x, edge_index, edge_weight=None):
        return x, edge_index, edge_weight


def test_forward_puts_adj_t_in_the_place_of_edges(path_data):
    path_data.edge_weight = torch.rand(5)
    path_data.adj_t = to_torch_csr_tensor(path_data.edge_index.flip(0), size=(6, 6))
    x, edges, weight = forward(Sum(), path_data)
    assert x is path_data.x
    assert edges is path_data.adj_t
    assert weight is None, "the weights would count twice"


def test_forward_gives_adj_t_to_a_model_that_names_it(path_data):
    class Named(nn.Module):
        def forward(self, adj_t):
            return adj_t

    with pytest.raises(InvalidDataError, match="needs `adj_t`, which the graph lacks"):
        forward(Named(), path_data)
    path_data.adj_t = to_torch_csr_tensor(path_data.edge_index.flip(0), size=(6, 6))
    assert forward(Named(), path_data) is path_data.adj_t


def test_forward_of_adj_t_is_that_of_edges():
    task = class_task()
    torch.manual_seed(0)
    model = GCN(5, 8, num_layers=2, out_channels=3)
    edges = remove_self_loops(task.data.edge_index.unique(dim=1))[0]  # PyG adds others to those of a matrix
    unweighted = Data(x=task.data.x, edge_index=edges)
    matrix = ToSparseTensor(layout=torch.sparse_csr)(copy.copy(unweighted))
    assert matrix.edge_index is None
    torch.testing.assert_close(forward(model, matrix), forward(model, unweighted), atol=1e-6, rtol=1e-5)


def test_task_takes_what_to_sparse_tensor_makes():
    task = class_task()
    matrix = task.transform(lambda data: ToSparseTensor(layout=torch.sparse_csr)(copy.copy(data)))
    torch.manual_seed(0)
    model = GraphSAGE(5, 8, num_layers=2, out_channels=3)
    assert loss_and_gradients(whole(matrix), model)[0] > 0


def test_forward_encodes_with_an_autoencoder(path_data):
    torch.manual_seed(0)
    encoder = GCN(6, 4, num_layers=1, out_channels=2)
    assert torch.equal(forward(GAE(encoder), path_data), encoder(path_data.x, path_data.edge_index))


def test_forward_of_an_autoencoder_names_what_is_missing(path_data):
    del path_data.edge_index
    with pytest.raises(InvalidDataError, match=r"GCN\.forward needs `edge_index`"):
        forward(GAE(GCN(6, 4, num_layers=1, out_channels=2)), path_data)


def test_forward_runs_hooks(path_data):
    seen, model = [], Echo()
    model.register_forward_hook(lambda *args: seen.append(True))
    forward(model, path_data)
    assert seen == [True]


# One graph


def test_whole_graph_is_one_batch_of_the_train_nodes():
    task, loss = numbered_task(), Recorder()
    sizes = [size for _, size in whole(task, loss).losses(Echo())]
    assert sizes == [len(task.split(0).train)]
    assert sorted(loss.pred) == task.split(0).train.tolist()
    assert torch.equal(*loss.pairs[0])


@settings(max_examples=25, deadline=None)
@given(
    st.integers(5, 30),
    st.integers(0, 60),
    st.integers(1, 12),
    st.lists(st.sampled_from([-1, 1, 2]), min_size=1, max_size=2),
    st.integers(0, 2**20),
)
def test_sampled_batches_hold_each_train_node_once(n, e, batch_size, neighbors, seed):
    torch.manual_seed(seed)
    task, loss = numbered_task(n, e, seed), Recorder()
    batches = sampled(task, batch_size, neighbors, loss)
    for _ in range(2):
        loss.pairs.clear()
        sizes = [size for _, size in batches.losses(Echo())]
        assert sorted(loss.pred) == task.split(0).train.tolist()
        assert sizes == [len(pred) for pred, _ in loss.pairs]
        assert max(sizes) <= batch_size
        assert all(torch.equal(pred, target) for pred, target in loss.pairs), "a node met the target of another"


@settings(max_examples=25, deadline=None)
@given(st.integers(5, 30), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**20))
def test_batches_of_clusters_hold_each_train_node_once(n, clusters, batch_size, seed):
    torch.manual_seed(seed)
    task, loss = numbered_task(n, n, seed), Recorder()
    task.data.edge_index = torch.cat([task.data.edge_index, torch.arange(n).expand(2, -1)], dim=1)
    batches = clustered(task, batch_size, clusters, loss)
    for _ in range(2):
        loss.pairs.clear()
        sizes = [size for _, size in batches.losses(Echo())]
        assert sorted(loss.pred) == task.split(0).train.tolist()
        assert sizes == [len(pred) for pred, _ in loss.pairs]
        assert all(torch.equal(pred, target) for pred, target in loss.pairs), "a node met the target of another"


@pytest.mark.parametrize(
    ("edges", "clusters"),
    [([[0, 1], [1, 0]], 3), ([[1, 2, 3, 4, 5], [0, 0, 0, 0, 0]], 6), ([[0, 1], [1, 0]], 9), ([[], []], 1)],
    ids=["isolated nodes", "no outgoing edges", "more clusters than nodes", "no edges"],
)
def test_clusters_without_edges_are_trained_on_as_others(edges, clusters):
    task, loss = numbered_task(6), Recorder()
    task.data.edge_index = torch.tensor(edges, dtype=torch.int64)
    list(clustered(task, 1, clusters, loss).losses(Echo()))
    assert sorted(loss.pred) == task.split(0).train.tolist()


def test_batches_of_an_epoch_are_not_those_of_the_one_before():
    torch.manual_seed(0)
    for make in (
        lambda loss: sampled(numbered_task(), 3, [1], loss),
        lambda loss: clustered(numbered_task(), 2, 4, loss),
    ):
        loss = Recorder()
        batches, epochs = make(loss), []
        for _ in range(3):
            loss.pairs.clear()
            list(batches.losses(Echo()))
            epochs.append(loss.pred)
        assert epochs[0] != epochs[1] or epochs[1] != epochs[2]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_neighbours_in_one_batch_are_the_whole_graph(seed):
    task = class_task(seed=seed)
    torch.manual_seed(seed)
    model = GraphSAGE(5, 8, num_layers=2, out_channels=3)
    check_same(whole(task), sampled(task, 1000, [-1, -1]), model)


def test_all_neighbours_in_small_batches_add_up_to_the_whole_graph():
    task = class_task()
    torch.manual_seed(0)
    check_same(whole(task), sampled(task, 3, [-1, -1]), GraphSAGE(5, 8, num_layers=2, out_channels=3))


def test_too_few_hops_are_not_the_whole_graph():
    task = class_task()
    torch.manual_seed(0)
    model = GraphSAGE(5, 8, num_layers=2, out_channels=3)
    losses = [loss_and_gradients(batches, model)[0] for batches in (whole(task), sampled(task, 1000, [-1]))]
    assert abs(losses[0] - losses[1]) > 1e-4


@pytest.mark.parametrize("model", [GCN, GraphSAGE])
def test_one_cluster_is_the_whole_graph(model):
    task = class_task()
    torch.manual_seed(0)
    check_same(whole(task), clustered(task, 1, 1), model(5, 8, num_layers=2, out_channels=3))


def test_all_clusters_in_one_batch_are_the_whole_graph():
    task = class_task()
    torch.manual_seed(0)
    check_same(whole(task), clustered(task, 4, 4), GCN(5, 8, num_layers=2, out_channels=3))


def test_messages_flow_into_the_nodes_that_train():
    # 1 -> 0: node 0 hears node 1, and node 1 nobody, in batches as on the whole graph.
    data = Data(x=torch.eye(4), y=torch.arange(4), edge_index=torch.tensor([[1], [0]]))
    task = GraphTask.from_data(data, splits=[Split(torch.tensor([0, 1]), torch.tensor([2]), torch.tensor([3]))])
    seen = {}

    class Listen(Echo):
        def forward(self, x, edge_index):
            heard = torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])
            seen.update({int(i): row.tolist() for i, row in zip(x.argmax(1), heard, strict=True)})
            return x + self.zero

    list(sampled(task, 1, [1]).losses(Listen()))
    assert seen[0] == [0.0, 1.0, 0.0, 0.0]
    torch.manual_seed(0)
    seen.clear()
    list(sampled(task, 2, [1]).losses(Listen()))
    assert (seen[0], seen[1]) == ([0.0, 1.0, 0.0, 0.0], [0.0] * 4)


@pytest.mark.parametrize("make", [lambda t: sampled(t, 2, [1]), lambda t: clustered(t, 1, 8)], ids=["hops", "clusters"])
def test_missing_values_in_batches_are_left_out_as_on_the_whole_graph(make):
    task = numbered_task()
    train = task.split(0).train
    task.data.y[train[: len(train) // 2]] = torch.nan
    loops = torch.arange(task.num_nodes).expand(2, -1)
    task.data.edge_index = torch.cat([task.data.edge_index, loops], dim=1)
    torch.manual_seed(0)
    check_same(whole(task), make(task), Alone())


def test_predictions_of_batches_are_those_of_the_whole_graph():
    task = class_task()
    torch.manual_seed(0)
    model = GCN(5, 8, num_layers=2, out_channels=3).eval()
    expected = model(task.data.x, task.data.edge_index, task.data.edge_weight)
    for batches in (whole(task), sampled(task, 4, [1]), clustered(task, 1, 4)):
        assert torch.equal(batches.predict(model, "test"), expected)


def test_batches_of_nodes_need_edges():
    task = class_task().transform(
        lambda data: ToSparseTensor(layout=torch.sparse_csr, remove_edge_index=False)(copy.copy(data))
    )
    for make in (lambda: sampled(task, 4, [2]), lambda: clustered(task, 1, 2)):
        with pytest.raises(
            InvalidDataError, match=r"need `edge_index`, but 'custom' has `adj_t`: leave ToSparseTensor"
        ):
            make()


def test_graph_of_the_task_is_left_alone():
    task = class_task()
    keys, x, edges = list(task.data.keys()), task.data.x.clone(), task.data.edge_index.clone()
    for batches in (whole(task), sampled(task, 4, [2]), clustered(task, 1, 3)):
        list(batches.losses(GCN(5, 8, num_layers=2, out_channels=3)))
    assert list(task.data.keys()) == keys
    assert torch.equal(task.data.x, x)
    assert torch.equal(task.data.edge_index, edges)


@pytest.mark.parametrize("rows", [39, 41])
def test_model_must_give_a_row_for_each_node(rows):
    class Other(Echo):
        def forward(self, x):
            return torch.ones(rows, 3) * self.zero

    with pytest.raises(InvalidDataError, match=f"the model gave {rows} rows for 40 targets"):
        list(whole(class_task()).losses(Other()))


@pytest.mark.parametrize("columns", [1, 2])
def test_model_must_have_a_score_for_each_class(columns):
    class Narrow(Echo):
        def forward(self, x):
            return x[:, :columns] + self.zero

    with pytest.raises(InvalidDataError, match="class"):
        list(whole(class_task()).losses(Narrow()))


def test_values_may_have_a_column_or_none():
    task, curves = numbered_task(), []
    for shape in ((-1,), (-1, 1)):

        class Shaped(Echo):
            def forward(self, x, shape=shape):
                return super().forward(x).view(shape) + 1

        curves.append(loss_and_gradients(whole(task), Shaped())[0])
    assert curves == [1.0, 1.0]


def test_model_must_give_as_many_values_as_there_are():
    class Wide(Echo):
        def forward(self, x):
            return torch.cat([x, x], dim=1) + self.zero

    with pytest.raises(InvalidDataError, match=r"values of shape \(40, 2\), expected \(40,\)"):
        list(whole(numbered_task()).losses(Wide()))


# Many graphs


@pytest.mark.parametrize(("kind", "model"), [("graph", First), ("node-regression", Echo), ("temporal", Echo)])
def test_each_training_graph_is_in_one_batch(kind, model):
    torch.manual_seed(0)
    task, loss, epochs = numbered_graphs(kind=kind), Recorder(), []
    batches = GraphBatches(task, 0, loss, CPU, batch_size=4)
    expected = sorted(task.targets(0, "train").tolist())
    for _ in range(3):
        loss.pairs.clear()
        sizes = [size for _, size in batches.losses(model())]
        assert sorted(loss.pred) == expected
        assert all(torch.equal(pred, target) for pred, target in loss.pairs)
        assert sizes == [pred.numel() for pred, _ in loss.pairs]
        assert len(sizes) == 2
        epochs.append(loss.pred)
    assert epochs[0] != epochs[1] or epochs[1] != epochs[2]


@pytest.mark.parametrize(("kind", "model"), [("graph", First), ("node-regression", Echo), ("temporal", Echo)])
@pytest.mark.parametrize("part", ["val", "test"])
def test_predictions_of_graphs_are_in_the_order_of_their_targets(kind, model, part):
    task = numbered_graphs(kind=kind)
    batches = GraphBatches(task, 0, training_loss(task, 0), CPU, batch_size=2)
    pred = batches.predict(model(), part)
    assert torch.equal(pred.view(-1), task.targets(0, part))
    assert task.evaluate(pred, 0, part) == 0.0


def test_edges_of_a_batch_stay_within_graphs():
    task = numbered_graphs(kind="node-regression")
    pairs = set()

    class Edges(Echo):
        def forward(self, x, edge_index):
            pairs.update(map(tuple, x[edge_index, 0].t().tolist()))
            return super().forward(x)

    list(GraphBatches(task, 0, training_loss(task, 0), CPU, batch_size=3).losses(Edges()))
    expected = {tuple(graph.x[graph.edge_index, 0].t()[i].tolist()) for graph in task.part(0, "train") for i in (0, 1)}
    assert pairs == expected


def test_graphs_without_labels_are_left_out():
    y = [torch.tensor([float("nan") if i % 2 else float(i)]) for i in range(10)]
    graphs = [Data(x=torch.ones(2, 1), y=target, edge_index=torch.tensor([[0], [1]])) for target in y]
    splits = [Split(torch.arange(6), torch.arange(6, 8), torch.arange(8, 10))]
    task = GraphTask.from_data(graphs, kind="graph", splits=splits)
    batches = GraphBatches(task, 0, training_loss(task, 0), CPU, batch_size=1)
    losses = list(batches.losses(First()))
    assert [size for _, size in losses] == [1, 1, 1]
    assert all(bool(loss.isfinite()) for loss, _ in losses)


def test_sizes_count_known_labels():
    nan = torch.nan
    rows = torch.tensor([[1.0, 0.0], [nan, 1.0], [nan, nan], [0.0, nan], [1.0, 0.0], [0.0, 1.0]])
    graphs = [Data(x=torch.ones(2, 1), y=row, edge_index=torch.tensor([[0], [1]])) for row in rows.split(1)]
    splits = [Split(torch.arange(4), torch.tensor([4]), torch.tensor([5]))]
    task = GraphTask.from_data(graphs, kind="graph", splits=splits)

    class Two(First):
        def forward(self, x, ptr):
            return super().forward(x, ptr).expand(-1, 2)

    sizes = [size for _, size in GraphBatches(task, 0, training_loss(task, 0), CPU, batch_size=4).losses(Two())]
    assert sizes == [4]


def test_models_of_graphs_must_pool():
    task = numbered_graphs()
    batches = GraphBatches(task, 0, training_loss(task, 0), CPU, batch_size=100)
    with pytest.raises(
        InvalidDataError, match=r"rows for 6 targets: pool the nodes of each graph, as with global_mean"
    ):
        list(batches.losses(Echo()))


# Links


def key(edges: Tensor, undirected: bool = True) -> set[tuple[int, int]]:
    return set(map(tuple, (edges.sort(dim=0).values if undirected else edges).t().tolist()))


class Pairs(Echo):
    """Gives the numbers of nodes, and keeps the pairs that it is to score."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[Tensor] = []

    def forward(self, x, edge_index):
        return x + self.zero

    def decode(self, z, pairs):
        self.pairs.append(pairs)
        return z[pairs[0], 0] * z[pairs[1], 0]


@pytest.mark.parametrize("undirected", [True, False])
@pytest.mark.parametrize("batch_size", [None, 7, 1000])
def test_each_training_edge_is_in_one_batch_with_as_many_negatives(undirected, batch_size):
    torch.manual_seed(0)
    task, loss, model = link_graph(undirected=undirected), Recorder(), Pairs()
    batches = link_batches(task, batch_size, loss)
    train = task.split(0).train
    for _ in range(2):
        loss.pairs.clear()
        model.pairs.clear()
        sizes = [size for _, size in batches.losses(model)]
        positives, negatives = [], []
        for pairs, (_, labels) in zip(model.pairs, loss.pairs, strict=True):
            positives.append(pairs[:, labels == 1])
            negatives.append(pairs[:, labels == 0])
            assert positives[-1].size(1) == negatives[-1].size(1)
        assert sizes == [edges.size(1) for edges in positives]
        assert max(sizes) <= (batch_size or max(sizes))
        assert sorted(torch.cat(positives, dim=1).t().tolist()) == sorted(train.t().tolist())
        drawn = torch.cat(negatives, dim=1)
        assert not key(drawn, undirected) & key(train, undirected)
        assert bool((drawn[0] != drawn[1]).all())


def negatives_of(task: GraphTask, epochs: int = 1) -> list[set[tuple[int, int]]]:
    """The negatives that are drawn in each epoch, from one node to another."""
    model = Pairs()
    batches = link_batches(task)
    for _ in range(epochs):
        list(batches.losses(model))
    return [key(pairs[:, pairs.size(1) // 2 :], undirected=False) for pairs in model.pairs]


def test_negatives_of_each_epoch_are_others():
    torch.manual_seed(0)
    first, second = negatives_of(link_graph(), epochs=2)
    assert len(first & second) < 0.5 * len(first)


def test_negatives_are_no_training_edges_whatever_a_transform_does_to_the_messages():
    torch.manual_seed(0)

    def thin(data: Data) -> Data:
        data.edge_index = data.edge_index[:, :4]
        return data

    task = link_graph().transform(thin)
    (negatives,) = negatives_of(task)
    assert not negatives & key(task.split(0).messages("train"), undirected=False)


def test_links_take_adj_t():
    torch.manual_seed(0)
    plain = link_graph()
    task = plain.transform(ToSparseTensor(layout=torch.sparse_csr))
    model = GCN(6, 8, num_layers=2)
    list(link_batches(task).losses(model))
    torch.testing.assert_close(
        link_batches(task).predict(model, "test"), link_batches(plain).predict(model, "test"), atol=1e-5, rtol=1e-4
    )


class Memory(nn.Module):
    """Looks the pairs up among the edges that it was given: leaks would give it the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))
        self.messages: set[tuple[int, int]] = set()

    def forward(self, x, edge_index):
        self.messages = key(edge_index)
        return x + self.zero

    def decode(self, z, pairs):
        found = torch.tensor([tuple(sorted(pair)) in self.messages for pair in pairs.t().tolist()])
        return found.float() + self.zero


@pytest.mark.parametrize("undirected", [True, False])
def test_messages_hold_no_edge_that_is_to_be_predicted(undirected):
    # Without reciprocal edges, whose reverse may well be a message.
    edges = torch.tensor([[a, b] for a in range(40) for b in range(a + 1, 40) if (3 * a + 5 * b) % 7 == 0]).t()
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    both = torch.cat([edges, edges.flip(0)], dim=1)
    task = link_task(Data(x=x, edge_index=both if undirected else edges), metric="roc_auc")
    batches, model = link_batches(task), Memory()
    loss = Recorder()
    for part in ("val", "test"):
        pred = batches.predict(model, part)
        chance = 0.5 if undirected else pytest.approx(0.5, abs=0.15)  # its negatives may be reversed messages
        assert task.evaluate(pred, 0, part) == chance
        later = task.split(0).test if part == "test" else torch.cat([task.split(0).val, task.split(0).test], dim=1)
        assert not key(later) & model.messages
    # The lookup does find what it was given.
    list(link_batches(task, loss=loss).losses(model))
    pred, labels = loss.pairs[0]
    assert bool((pred[labels == 1] == 1).all())


def test_test_messages_add_the_validation_edges():
    task, seen = link_graph(), []

    class See(Pairs):
        def forward(self, x, edge_index):
            seen.append(key(edge_index))
            return super().forward(x, edge_index)

    batches = link_batches(task)
    for part in ("val", "test"):
        batches.predict(See(), part)
    split = task.split(0)
    assert seen == [key(split.train), key(split.train) | key(split.val)]


def test_predictions_of_links_are_in_the_order_of_their_targets():
    task = link_graph()
    for part in ("val", "test"):
        model = Pairs()
        link_batches(task).predict(model, part)
        assert torch.equal(model.pairs[0], task.split(0).pairs(part)[0])


def test_decode_is_the_inner_product_of_rows():
    z, pairs = torch.randn(5, 3), torch.tensor([[0, 1, 4], [2, 1, 0]])
    expected = [float(z[a] @ z[b]) for a, b in pairs.t().tolist()]
    assert decode(nn.Identity(), z, pairs).tolist() == pytest.approx(expected)
    assert decode(GAE(nn.Identity()), z, pairs).tolist() == pytest.approx(expected)


def test_decode_of_a_model_may_have_a_column():
    class Column(nn.Module):
        def decode(self, z, pairs):
            return z[pairs[0]]

    assert decode(Column(), torch.tensor([[1.0], [2.0]]), torch.tensor([[1, 0], [0, 0]])).tolist() == [2.0, 1.0]


class Encoder(nn.Module):
    """Means and logarithms of deviations."""

    def __init__(self) -> None:
        super().__init__()
        self.mu, self.logstd = nn.Linear(6, 2), nn.Linear(6, 2)

    def forward(self, x):
        return self.mu(x), self.logstd(x)


def test_divergence_of_a_variational_autoencoder_is_in_the_loss():
    torch.manual_seed(0)
    task, loss = link_graph(), training_loss(link_graph(), 0)
    model, seen = VGAE(Encoder()).eval(), []

    def recorded(pred, target):
        value = loss(pred, target)
        seen.append(value.item())
        return value

    ((value, _),) = link_batches(task, loss=recorded).losses(model)
    mu, logstd = model.encoder(task.data.x)
    divergence = (-0.5 * (1 + 2 * logstd - mu**2 - logstd.exp() ** 2)).sum(dim=1).mean()
    assert value.item() == pytest.approx(seen[0] + divergence.item() / 60, rel=1e-5)


def test_model_of_links_must_give_a_row_for_each_node():
    class Pooled(Echo):
        def forward(self, x):
            return x.mean(dim=0, keepdim=True) + self.zero

    with pytest.raises(InvalidDataError, match=r"1 rows? for 30"):
        list(link_batches(link_graph()).losses(Pooled()))


def test_decode_must_give_a_score_for_each_pair():
    class Two(Pairs):
        def decode(self, z, pairs):
            return z[pairs[0], :2]

    with pytest.raises(InvalidDataError, match="pairs"):
        list(link_batches(link_graph()).losses(Two()))


def test_links_without_a_pair_to_draw_train_on_the_edges():
    complete = torch.combinations(torch.arange(4)).t()
    everything = LinkSplit(
        complete[:, :4], complete[:, 4:5], complete[:, 5:], torch.tensor([[0], [0]]), torch.tensor([[1], [1]]), True
    )
    graph = Data(x=torch.randn(4, 3), edge_index=torch.cat([complete, complete.flip(0)], dim=1))
    ((loss, size),) = link_batches(link_task(graph, splits=[everything])).losses(GCN(3, 4, num_layers=1))
    assert size == 4
    assert bool(loss.isfinite())


def test_features_made_of_messages_are_those_of_the_part():
    task = link_graph().transform(LocalDegreeProfile())
    links = link_batches(task)
    for part in ("train", "val", "test"):
        assert torch.equal(links.graphs[part].x + 0, task.graph(0, part).x), part
    assert not torch.equal(links.graphs["test"].x + 0, links.graphs["train"].x + 0)


@pytest.mark.parametrize("cls", [GAE, VGAE])
def test_compiled_autoencoders_score_and_learn_as_others(cls):
    task = link_graph()
    scores, losses = [], []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = cls(Encoder() if cls is VGAE else GCN(task.num_features, 4, num_layers=1)).eval()
        links = link_batches(task)
        called = torch.compile(model, backend="eager") if compiled else model
        with seeded(0):
            ((loss, _),) = links.losses(called)
        losses.append(loss.item())
        scores.append(links.predict(called, "val"))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert torch.allclose(scores[0], scores[1], atol=1e-6)
    assert float(scores[0].detach().min()) < 0  # before a sigmoid


@pytest.mark.parametrize(("count", "batch_size"), [(65, 32), (33, 32), (5, 4), (4, 4), (3, 1)])
def test_no_batch_of_several_is_left_with_one_graph(count, batch_size):
    graphs = [
        Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]), y=torch.ones(1, 1)) for _ in range(count + 2)
    ]
    split = Split(torch.arange(count), torch.tensor([count]), torch.tensor([count + 1]))
    task = GraphTask.from_data(graphs, kind="graph", splits=[split], metric="mse")
    batches = GraphBatches(task, 0, training_loss(task, 0), torch.device("cpu"), batch_size=batch_size)
    sizes = [batch.num_graphs for batch in batches.train]
    assert sum(sizes) == count
    assert batch_size == 1 or min(sizes) > 1
