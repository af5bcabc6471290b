import networkx as nx
import pytest
import torch
from torch_geometric.data import Data

from graphtasks import DivergedError, GraphTask, InvalidDataError, Split, UnknownTaskError, from_data


def changed(data: Data, **changes) -> Data:
    data = data.clone()
    for key, value in changes.items():
        data[key] = value
    return data


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


@pytest.mark.parametrize(("graph", "directed"), [(nx.Graph(), False), (nx.DiGraph(), True)])
def test_networkx_graph_becomes_a_task(graph, directed):
    part = {"a": "train", "b": "val", "c": "test"}
    for i, node in enumerate("cab"):
        masks = {f"{name}_mask": part[node] == name for name in ("train", "val", "test")}
        graph.add_node(node, x=[float(i), 1.0], y=i, **masks)
    graph.add_edge("a", "b")
    task = from_data(graph)
    assert task.data.x.tolist() == [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
    assert task.data.y.tolist() == [0, 1, 2]
    assert task.data.edge_index.tolist() == ([[1], [2]] if directed else [[1, 2], [2, 1]])
    assert [task.split(0)[name].tolist() for name in ("train", "val", "test")] == [[1], [2], [0]]
    assert task.directed is directed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": torch.eye(6).long()}, r"`x` .*int64.*float32"),
        ({"x": torch.ones(6)}, r"`x` .*shape \(6,\)"),
        ({"x": torch.ones(6, 0)}, r"`x` .*shape \(6, 0\)"),
        ({"y": torch.zeros(6)}, r"`y` .*float32.*int64"),
        ({"y": torch.zeros(6, 1, dtype=torch.int64)}, r"`y` .*shape \(6, 1\)"),
        ({"y": torch.full((6,), -1)}, "`y` of"),
        ({"edge_index": torch.tensor([[0, 6], [1, 0]])}, "names nodes 0 to 6, but the graph has nodes 0 to 5"),
        ({"edge_index": torch.tensor([[0, -1], [1, 0]])}, "names nodes -1 to 1"),
        ({"edge_index": torch.tensor([[0, 1]])}, r"`edge_index` .*shape \(1, 2\)"),
        ({"edge_index": torch.tensor([[0.0], [1.0]])}, r"`edge_index` .*float32"),
        ({"edge_index": None}, "has no `edge_index`"),
        ({"y": None}, "has no `y`"),
        ({"val_mask": None}, "has no splits: pass `splits`, or set train_mask, val_mask and test_mask"),
        ({"val_mask": torch.arange(6) < 3}, "2 nodes are in more than one part"),
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
    with pytest.raises(UnknownTaskError, match="got metric 'f2', expected one of accuracy, macro_f1, roc_auc"):
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
    with pytest.raises(InvalidDataError, match=r"expected class scores \(N, C\) or labels"):
        from_data(path_data).evaluate(torch.rand(6), 0, "val")


def test_bfloat16_predictions(path_data):
    assert from_data(path_data).evaluate(torch.eye(6).bfloat16(), 0, "train") == 1.0


def test_networkx_graph_with_uneven_attributes():
    graph = nx.path_graph(3)
    graph.nodes[0]["x"] = [1.0]
    with pytest.raises(InvalidDataError, match="cannot be converted"):
        from_data(graph)
