"""Batches of graphs."""

import pytest
import torch
from torch_geometric.data import Data

from echoes import CPU, Echo, First, Recorder, numbered_graphs
from graphtasks import GraphTask, InvalidDataError, Split
from graphtasks.batches import GraphBatches
from graphtasks.losses import training_loss


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
