import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional
from torch_geometric.data import Data

from graphtasks import GraphTask, InvalidDataError, Split, link_task
from graphtasks.losses import training_loss

EDGES = torch.tensor([[0, 1], [1, 0]])


def node_task(y: torch.Tensor, metric: str | None = None, **options) -> GraphTask:
    """Nodes of which the last two validate and test, all others train."""
    n = len(y)
    data = Data(x=torch.ones(n, 1), y=y, edge_index=EDGES)
    splits = [Split(torch.arange(n - 2), torch.tensor([n - 2]), torch.tensor([n - 1]))]
    return GraphTask.from_data(data, splits=splits, metric=metric, **options)


def graph_task(y: list[torch.Tensor], **options) -> GraphTask:
    graphs = [Data(x=torch.ones(2, 1), y=target, edge_index=EDGES) for target in y]
    n = len(graphs)
    splits = [Split(torch.arange(n - 2), torch.tensor([n - 2]), torch.tensor([n - 1]))]
    return GraphTask.from_data(graphs, kind="graph", splits=splits, **options)


def ring_links() -> GraphTask:
    ring = torch.stack([torch.arange(30), (torch.arange(30) + 1) % 30])
    return link_task(Data(x=torch.ones(30, 1), edge_index=torch.cat([ring, ring.flip(0)], dim=1)))


def test_cross_entropy_by_hand():
    loss = training_loss(node_task(torch.tensor([0, 1, 0, 1])), 0)
    pred = torch.tensor([[0.0, 0.0], [0.0, math.log(3)]])
    # Both classes at 1/2, and the right one at 3/4.
    assert float(loss(pred, torch.tensor([0, 1]))) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)


def test_cross_entropy_is_that_of_scikit_learn():
    loss = training_loss(node_task(torch.arange(12) % 3), 0)
    pred, y = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 3
    assert float(loss(pred, y)) == pytest.approx(log_loss(y.numpy(), pred.double().softmax(1).numpy()), rel=1e-5)


def test_unlabelled_classes_do_not_count():
    loss = training_loss(node_task(torch.tensor([0, 1, 0, 1])), 0)
    pred = torch.tensor([[1.0, 0.0], [5.0, -7.0], [0.0, 2.0]], requires_grad=True)
    value = loss(pred, torch.tensor([0, -1, 1]))
    assert value.item() == pytest.approx(loss(pred[[0, 2]], torch.tensor([0, 1])).item())
    value.backward()
    assert pred.grad[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("metric", "expected"), [("mse", (1.0 + 9.0) / 2), ("mae", (1.0 + 3.0) / 2), (None, (1.0 + 9.0) / 2)]
)
def test_error_of_values_is_the_one_of_the_metric(metric, expected):
    loss = training_loss(node_task(torch.tensor([0.5, -1.0, 2.0, 1.0]), metric), 0)
    pred, y = torch.tensor([1.0, 2.0, 7.0]), torch.tensor([2.0, -1.0, torch.nan])
    assert float(loss(pred, y)) == pytest.approx(expected)


def test_missing_values_have_no_gradient():
    loss = training_loss(node_task(torch.tensor([[0.5, torch.nan]] * 4), "mse"), 0)
    pred = torch.zeros(2, 2, requires_grad=True)
    loss(pred, torch.tensor([[1.0, torch.nan], [torch.nan, 2.0]])).backward()
    assert pred.grad.tolist() == [[-1.0, 0.0], [0.0, -2.0]]


def test_several_labels_by_hand_with_missing_ones():
    task = graph_task([torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, torch.nan]])] * 3)
    assert task.metric.name == "ap"
    loss = training_loss(task, 0)
    pred = torch.tensor([[0.0, math.log(3)], [-math.log(3), 100.0]])
    y = torch.tensor([[1.0, 0.0], [0.0, torch.nan]])
    # 1/2 for the one, 1/4 for the zero with score log 3, 3/4 for the zero with score -log 3.
    assert float(loss(pred, y)) == pytest.approx((math.log(2) + math.log(4) + math.log(4 / 3)) / 3)


def test_links_have_binary_cross_entropy():
    loss = training_loss(ring_links(), 0)
    value = loss(torch.tensor([0.0, math.log(3)]), torch.tensor([1.0, 0.0]))
    assert float(value) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_labels_of_nodes_have_binary_cross_entropy():
    task = node_task(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]))
    pred = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    expected = functional.binary_cross_entropy_with_logits(pred, task.data.y)
    assert float(training_loss(task, 0)(pred, task.data.y)) == pytest.approx(float(expected))


def test_class_weights_are_the_balanced_ones_of_scikit_learn():
    y = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 0, 1])
    loss = training_loss(node_task(y), 0, class_weights=True)
    train = y[:-2]
    weights = compute_class_weight("balanced", classes=np.arange(3), y=train.numpy())
    pred = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    expected = functional.cross_entropy(pred, train, torch.tensor(weights, dtype=torch.float32))
    assert float(loss(pred, train)) == pytest.approx(float(expected))
    unweighted = training_loss(node_task(y), 0)
    assert abs(float(loss(pred, train)) - float(unweighted(pred, train))) > 0.01


def test_with_class_weights_each_class_counts_the_same():
    y = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 0, 1])
    loss = training_loss(node_task(y), 0, class_weights=True)
    pred, train = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), y[:-2]
    each = functional.cross_entropy(pred, train, reduction="none")
    by_hand = sum(float(each[train == c].mean()) for c in range(3)) / 3
    assert float(loss(pred, train)) == pytest.approx(by_hand)


def test_class_weights_leave_out_classes_that_do_not_train():
    y = torch.tensor([0, 0, 0, 2, 1, 1])  # class 1 validates and tests alone
    loss = training_loss(node_task(y), 0, class_weights=True)
    pred, train = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), y[:4]
    each = functional.cross_entropy(pred, train, reduction="none")
    assert float(loss(pred, train)) == pytest.approx(float(each[:3].mean() + each[3]) / 2)


def test_class_weights_of_batches_add_up_to_those_of_the_whole():
    # Else a class that is alone in its batches would count as if it had no weight.
    y = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 0, 1])
    loss = training_loss(node_task(y), 0, class_weights=True)
    pred, train = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), y[:-2]
    one_by_one = sum(float(loss(pred[i : i + 1], train[i : i + 1])) for i in range(8)) / 8
    assert one_by_one == pytest.approx(float(loss(pred, train)))


def test_class_weights_count_training_graphs():
    y = [torch.tensor([c]) for c in (0, 0, 0, 1, 1, 1)]
    loss = training_loss(graph_task(y), 0, class_weights=True)
    pred, train = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 0, 1])
    each = functional.cross_entropy(pred, train, reduction="none")
    assert float(loss(pred, train)) == pytest.approx(float(each[:3].mean() + each[3]) / 2)


def test_weights_of_several_labels_make_ones_count_as_zeros():
    nan = torch.nan
    rows = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, nan], [1.0, 0.0], [0.0, 1.0]])
    loss = training_loss(graph_task(list(rows.split(1))), 0, class_weights=True)
    y = rows[:4]  # one 1 and three 0, two 1 and one 0
    pred = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    each = functional.binary_cross_entropy_with_logits(pred, y.nan_to_num(), reduction="none")
    factor = torch.tensor([[3.0, 0.5], [1.0, 0.5], [1.0, 1.0], [1.0, 0.0]])
    assert float(loss(pred, y)) == pytest.approx(float((factor * each).sum() / 7))
    # The total weight of ones is that of zeros, for each label.
    ones, known = (factor * (y == 1)).sum(0), (factor * (y == 0)).sum(0)
    assert ones.tolist() == known.tolist()


@pytest.mark.parametrize("task", [node_task(torch.tensor([0.5, 1.0, 2.0, 3.0])), ring_links()])
def test_class_weights_need_classes(task):
    with pytest.raises(InvalidDataError, match=f"class weights need classes, but .* is of kind '{task.kind}'"):
        training_loss(task, 0, class_weights=True)
