"""Batches of nodes of one graph."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.nn.models import GCN, GraphSAGE
from torch_geometric.transforms import ToSparseTensor

from echoes import (
    Alone,
    Echo,
    Recorder,
    check_same,
    class_task,
    clustered,
    loss_and_gradients,
    numbered_task,
    sampled,
    whole,
)
from graphtasks import GraphTask, InvalidDataError, Split

pytestmark = [
    # torch says once a process that these layouts are in beta.
    pytest.mark.filterwarnings("ignore:Sparse C"),
    pytest.mark.filterwarnings("ignore:Sparse invariant checks"),
]


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


def with_matrix(task, **options):
    return task.transform(lambda data: ToSparseTensor(layout=torch.sparse_csr, **options)(copy.copy(data)))


def test_batches_of_nodes_need_edges():
    task = class_task()
    bare = with_matrix(task)
    for make in (lambda: sampled(bare, 4, [2]), lambda: clustered(bare, 1, 2)):
        with pytest.raises(InvalidDataError, match=r"need `edge_index`, but 'custom' has `adj_t` alone: leave"):
            make()


def test_batches_of_nodes_have_edges_in_the_place_of_a_matrix():
    task = with_matrix(class_task(), remove_edge_index=False)
    for batches in (sampled(task, 4, [2]), clustered(task, 1, 2)):
        for batch in batches.loader:
            assert "adj_t" not in batch
            assert batch.edge_index.max() < batch.num_nodes


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
