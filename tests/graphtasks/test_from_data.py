"""Tasks that `from_data` makes of graphs of PyG."""

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.datasets import FakeDataset

from graphtasks import (
    DivergedError,
    GraphTask,
    InvalidDataError,
    Split,
    UnknownTaskError,
    from_data,
    link_task,
    random_splits,
)
from graphtasks.splits import time_splits
from small_tasks import CLASSES, LABELS, TABLE, TASKS, THREE, VALUES, changed, ring, rings


def test_data_with_masks_becomes_a_task(path_data):
    task = from_data(path_data, name="path")
    assert (task.name, task.kind, task.metric.name, task.directed) == ("path", "node", "accuracy", True)
    assert (task.num_nodes, task.num_features, task.num_classes) == (6, 6, 3)
    assert [task.split(0)[part].tolist() for part in ("train", "val", "test")] == [[0, 1], [2, 3], [4, 5]]


def test_undirected_data_become_an_undirected_task(path_data):
    both = torch.cat([path_data.edge_index, path_data.edge_index.flip(0)], dim=1)
    assert not from_data(changed(path_data, edge_index=both)).directed


def test_mask_columns_become_splits(path_data):
    columns = torch.stack([path_data.train_mask, path_data.test_mask], dim=1)
    task = from_data(changed(path_data, train_mask=columns, test_mask=columns.flip(1)))
    assert [split.train.tolist() for split in task.splits] == [[0, 1], [4, 5]]
    assert [split.test.tolist() for split in task.splits] == [[4, 5], [0, 1]]
    assert [split.val.tolist() for split in task.splits] == [[2, 3], [2, 3]]


def test_given_splits_replace_masks(path_data):
    split = Split(torch.tensor([5]), torch.tensor([4]), torch.tensor([3]))
    assert from_data(path_data, splits=[split]).splits == [split]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": torch.eye(6).long()}, r"`x` .*int64.*float32"),
        ({"x": torch.ones(6)}, r"`x` .*shape \(6,\)"),
        ({"x": torch.ones(6, 0)}, r"`x` .*shape \(6, 0\)"),
        ({"y": torch.zeros(6).double()}, r"`y` .*float64.*expected finite torch.float32"),
        ({"y": torch.zeros(6).int()}, r"`y` .*int32.*expected torch.int64 classes"),
        ({"y": torch.full((6,), -2)}, r"`y` .*expected torch.int64 classes of shape \(6,\), -1 where unlabelled"),
        ({"y": torch.tensor([0, 1])}, r"`y` .*shape \(2,\)"),
        ({"y": torch.tensor(1)}, r"`y` .*shape \(\)"),
        ({"y": torch.full((6,), float("inf"))}, "expected finite torch.float32"),
        ({"y": torch.zeros(6, 1, dtype=torch.int64)}, r"`y` .*shape \(6, 1\)"),
        ({"y": torch.full((6,), -1)}, r"unlabelled nodes \(-1\) in its train part"),
        ({"edge_index": torch.tensor([[0, 6], [1, 0]])}, "names nodes 0 to 6, but the graph has nodes 0 to 5"),
        ({"edge_index": torch.tensor([[0, -1], [1, 0]])}, "names nodes -1 to 1"),
        ({"edge_index": torch.tensor([[0, 1]])}, r"`edge_index` .*shape \(1, 2\)"),
        ({"edge_index": torch.tensor([[0.0], [1.0]])}, r"`edge_index` .*float32"),
        ({"edge_index": None}, r"has no `edge_index`: set data.edge_index to \(2, E\) edges"),
        ({"edge_weight": torch.ones(4)}, r"`edge_weight` .*shape \(4,\), expected \(5,\)"),
        ({"edge_weight": torch.ones(5, 1)}, r"`edge_weight` .*shape \(5, 1\), expected \(5,\)"),
        ({"x": np.eye(6)}, "`x` .*ndarray"),
        ({"x": torch.eye(6).to_sparse()}, "`x` .*sparse"),
        ({"y": np.arange(6) % 3}, "`y` .*ndarray"),
        ({"y": None}, r"has no `y`: set data.y to \(6,\) labels"),
        ({"val_mask": None}, "has no splits: pass `splits`, or set train_mask, val_mask and test_mask"),
        ({"val_mask": torch.arange(6) < 3}, "2 entries are in more than one part"),
        ({"train_mask": torch.zeros(6, dtype=torch.bool)}, "the train part of the split is empty"),
        ({"train_mask": torch.arange(8) == 7}, r"train_mask has shape \(8,\)"),
        ({"y": torch.tensor([0, -1, 2, 0, 1, 2])}, r"unlabelled nodes \(-1\) in its train part"),
    ],
)
def test_data_that_cannot_be_learned_from_are_rejected(path_data, changes, message):
    with pytest.raises(InvalidDataError, match=message):
        from_data(changed(path_data, **changes))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_error_names_the_first_row_that_is_not_finite(path_data, value):
    x = torch.eye(6)
    x[3, 1] = x[5, 0] = value
    with pytest.raises(InvalidDataError, match="NaN or infinite in 2 rows, first in row 3"):
        from_data(changed(path_data, x=x))


@pytest.mark.parametrize(
    "data", [nx.Graph(), Data(x=torch.ones(0, 2), y=torch.ones(0).long(), edge_index=torch.ones(2, 0).long())]
)
def test_empty_graph_is_rejected(data):
    with pytest.raises(InvalidDataError, match="empty"):
        from_data(data)


def test_unknown_metric_is_rejected(path_data):
    with pytest.raises(UnknownTaskError, match=r"got metric 'f2', expected one of accuracy, .*macro_f1, roc_auc"):
        from_data(path_data, metric="f2")


def test_graph_without_edges_is_a_task(path_data):
    task = from_data(changed(path_data, edge_index=torch.empty(2, 0, dtype=torch.int64)))
    assert task.data.num_edges == 0


@pytest.mark.parametrize("index", [-1, 1])
def test_split_index_out_of_range_is_rejected(path_data, index):
    task = from_data(path_data)
    with pytest.raises(InvalidDataError, match=rf"got split {index}, but 'custom' has 1 split\(s\)"):
        task.split(index)
    with pytest.raises(InvalidDataError, match=f"got split {index}"):
        task.evaluate(torch.eye(6), index, "val")


def test_evaluate_scores_one_part_alone(path_data):
    task = from_data(path_data)
    pred = torch.tensor([0, 1, 2, 9, 9, 9])
    assert [task.evaluate(pred, 0, part) for part in ("train", "val", "test")] == [1.0, 0.5, 0.0]
    scores = torch.nn.functional.one_hot(pred).float().requires_grad_()
    assert [task.evaluate(scores, 0, part) for part in ("train", "val", "test")] == [1.0, 0.5, 0.0]


def test_evaluate_uses_the_split_it_is_asked_for(path_data):
    first = Split(torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))
    second = Split(torch.tensor([0]), torch.tensor([2]), torch.tensor([1]))
    task = from_data(path_data, splits=[first, second])
    pred = torch.tensor([0, 1, 0, 0, 0, 0])
    assert (task.evaluate(pred, 0, "val"), task.evaluate(pred, 1, "val")) == (1.0, 0.0)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_unlabelled_nodes_do_not_count(path_data, metric):
    task = from_data(changed(path_data, y=torch.tensor([0, 1, 2, -1, -1, 2])), metric=metric)
    for wrong in (0, 1, 2):
        assert task.evaluate(torch.tensor([0, 1, 2, wrong, wrong, 2]), 0, "val") == 1.0
        assert task.evaluate(torch.tensor([0, 1, 2, wrong, wrong, 0]), 0, "test") == 0.0


@pytest.mark.parametrize("shape", [(5, 3), (7,), (6, 3, 1), ()])
def test_predictions_of_another_shape_are_rejected(path_data, shape):
    with pytest.raises(InvalidDataError, match="one row for each of 6 nodes"):
        from_data(path_data).evaluate(torch.zeros(shape), 0, "test")


def test_predictions_with_nan_are_rejected(path_data):
    pred = torch.eye(6)
    pred[4, 0] = float("nan")
    task = from_data(path_data)
    with pytest.raises(DivergedError, match="NaN"):
        task.evaluate(pred, 0, "test")
    assert task.evaluate(pred, 0, "train") == 1.0


def test_copies_leave_the_task_alone(path_data):
    task = from_data(path_data, name="path")

    def doubled(data: Data) -> Data:
        return changed(data, x=2 * data.x)

    assert task.replace(name="other").name == "other"
    assert torch.equal(task.transform(doubled).data.x, 2 * torch.eye(6))
    assert task.name == "path"
    assert torch.equal(task.data.x, torch.eye(6))


def test_every_task_is_checked_however_it_is_made(path_data):
    task = from_data(path_data)
    outside = Split(torch.tensor([0]), torch.tensor([1]), torch.tensor([6]))
    with pytest.raises(InvalidDataError, match="names node 6"):
        task.replace(splits=[outside])
    with pytest.raises(InvalidDataError, match="row 0"):
        task.transform(lambda data: changed(data, x=data.x / 0))
    assert isinstance(task, GraphTask)


@pytest.mark.parametrize(
    "data", [Data(), Data(y=torch.zeros(3, dtype=torch.int64), edge_index=torch.zeros(2, 1, dtype=torch.int64))]
)
def test_data_without_features_is_rejected(data):
    with pytest.raises(InvalidDataError, match="has no `x`"):
        from_data(data)


def test_split_beyond_the_graph_is_rejected(path_data):
    with pytest.raises(InvalidDataError, match=r"split 0 .* names node 7, but the graph has 6 nodes"):
        from_data(path_data, splits=[Split(torch.tensor([0]), torch.tensor([1]), torch.tensor([7]))])


def test_task_without_splits_is_rejected(path_data):
    with pytest.raises(InvalidDataError, match="has no splits"):
        from_data(path_data, splits=[])


def test_part_without_labels_is_an_error(path_data):
    path_data.y[2:4] = -1
    with pytest.raises(InvalidDataError, match="no labelled node"):
        from_data(path_data).evaluate(torch.eye(6), 0, "val")


def test_scores_of_one_column_are_no_classes(path_data):
    with pytest.raises(InvalidDataError, match=r"expected class scores \(M, C\) or integer labels"):
        from_data(path_data).evaluate(torch.rand(6), 0, "val")


def test_bfloat16_predictions(path_data):
    assert from_data(path_data).evaluate(torch.eye(6).bfloat16(), 0, "train") == 1.0


@pytest.mark.parametrize(
    ("data", "kind", "metric"),
    [
        (ring(y=CLASSES), "node", "accuracy"),
        (ring(y=VALUES), "node-regression", "mse"),
        (ring(y=TABLE), "node-regression", "mse"),
        (ring(y=LABELS), "node-regression", "ap"),
        (rings(lambda n, i: torch.arange(n) % 3), "node", "accuracy"),
        (rings(lambda n, i: torch.ones(n)), "node-regression", "mse"),
        (rings(lambda n, i: torch.tensor([i % 2])), "graph", "accuracy"),
        (rings(lambda n, i: torch.tensor([i % 2 + 0.5])), "graph", "mse"),
        (rings(lambda n, i: LABELS[i].view(1, 2)), "graph", "ap"),
        (rings(lambda n, i: TABLE[i].view(1, 2)), "graph", "mse"),
    ],
)
def test_kind_and_metric_are_guessed_from_the_targets(data, kind, metric):
    task = from_data(data, splits=THREE)
    assert (task.kind, task.metric.name, task.directed) == (kind, metric, False)
    assert task.many is isinstance(data, list)


def test_kind_and_metric_may_be_given():
    graphs = rings(lambda n, i: torch.arange(n) + 0.5, (6,) * 10)
    options = {"name": "heat", "protocol": "by time", "source": "here", "licence": "CC0"}
    task = from_data(graphs, kind="temporal", metric="mae", splits=time_splits(10), **options)
    assert (task.kind, task.metric.name, task.splits[0].train.tolist()) == ("temporal", "mae", list(range(7)))
    assert {key: getattr(task, key) for key in options} == options
    assert from_data(ring(y=CLASSES), metric="Balanced_Accuracy", splits=THREE).metric.name == "balanced_accuracy"


def test_one_directed_graph_among_many_makes_the_task_directed():
    graphs = rings(lambda n, i: torch.tensor([i % 2]))
    assert not from_data(graphs, splits=THREE).directed
    graphs[3] = ring(5, directed=True, y=torch.tensor([1]))
    assert from_data(graphs, splits=THREE).directed


def test_dataset_of_pyg_becomes_a_task():
    dataset = FakeDataset(num_graphs=12, avg_num_nodes=8, num_channels=5, num_classes=3, task="graph")
    task = from_data(dataset, splits=random_splits(12, count=2))
    assert (task.kind, task.many, len(task.graphs), task.num_features) == ("graph", True, 12, 5)
    assert task.num_classes == dataset.num_classes
    assert task.targets(0, "train").tolist() == dataset.y[task.split(0).train].tolist()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "has no graphs|has several graphs and no splits"),
        (
            rings(lambda n, i: torch.tensor([1])),
            "'custom' has several graphs and no splits: pass `splits`, as `random_",
        ),
        ([nx.path_graph(3), nx.Graph()], "the graph of 'custom' (is empty: give it at least one node|has no `x`)"),
    ],
)
def test_several_graphs_that_make_no_task(data, message):
    with pytest.raises(InvalidDataError, match=message):
        from_data(data)


def test_graph_of_a_link_task_is_given_otherwise():
    with pytest.raises(InvalidDataError, match="`link_task`"):
        from_data(ring(y=CLASSES), kind="link", splits=link_task(ring(30)).splits)


def test_data_hash_is_of_all_that_a_model_may_see():
    task = TASKS["node"]()
    data = task.graph()
    assert task.replace(name="other").data_hash == task.data_hash
    changed = [
        data.clone().update({"x": data.x + 1}),
        data.clone().update({"edge_index": data.edge_index.flip(0)}),
        data.clone().update({"y": data.y.roll(1)}),
        data.clone().update({"edge_weight": torch.ones(data.num_edges)}),
    ]
    hashes = [task.replace(data=other).data_hash for other in changed]
    assert len({task.data_hash, *hashes}) == 5


@pytest.mark.parametrize(
    ("name", "metric"), [("node", "mse"), ("node", "hits@5"), ("node values", "accuracy"), ("link", "accuracy")]
)
def test_metric_that_does_not_fit_is_rejected(name, metric):
    with pytest.raises(InvalidDataError, match=f"which '{metric}' does not score"):
        TASKS[name]().replace(metric=metric)


def test_series_are_split_by_time():
    task = TASKS["temporal"]()
    backwards = Split(torch.tensor([4, 5]), torch.tensor([2, 3]), torch.tensor([0, 1]))
    with pytest.raises(InvalidDataError, match="not by time, train before val before test: use `time_splits`"):
        task.replace(splits=[backwards])


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (float("nan"), "are of type float, expected a list of Split"),
        ("splits.npz", "is a str, which does not fit"),
        ([3], "is a int, which does not fit"),
        ([(torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))], "is a tuple, which does not fit"),
    ],
)
def test_splits_that_are_none_are_named(path_data, splits, message):
    with pytest.raises(InvalidDataError, match=message):
        from_data(path_data, splits=splits)
