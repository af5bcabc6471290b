import networkx as nx
import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch_geometric.data import Data
from torch_geometric.datasets import FakeDataset
from torch_geometric.transforms import AddSelfLoops, NormalizeFeatures

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
from graphtasks.metrics import METRICS
from graphtasks.splits import time_splits

NAN = float("nan")
PARTS = ("train", "val", "test")


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


def test_networkx_graph_with_uneven_attributes():
    graph = nx.path_graph(3)
    graph.nodes[0]["x"] = [1.0]
    with pytest.raises(InvalidDataError, match="cannot be converted"):
        from_data(graph)


@pytest.mark.parametrize(
    ("attribute", "values"), [("y", ["Officer", "Mr. Hi", "Officer"]), ("x", [[1.0], [1.0, 2.0], [1.0]])]
)
def test_networkx_attributes_that_are_no_numbers(attribute, values):
    graph = nx.path_graph(3)
    for i, value in enumerate(values):
        graph.nodes[i].update({"x": [1.0], "y": 0, attribute: value})
    with pytest.raises(InvalidDataError, match=f"`{attribute}` .*list"):
        from_data(graph, splits=[Split(*torch.eye(3, dtype=torch.bool))])


# Small tasks of every kind.

THREE = [Split(*torch.arange(6).split(2))]


def ring(num_nodes=6, directed=False, **attributes):
    """A ring whose nodes have two features."""
    nodes = torch.arange(num_nodes)
    edge_index = torch.stack([nodes, nodes.roll(-1)])
    if not directed:
        edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    return Data(x=torch.stack([nodes.float(), torch.ones(num_nodes)], dim=1), edge_index=edge_index, **attributes)


def rings(y, sizes=(3, 4, 5, 6, 7, 8)):
    """Six rings with the targets y(number of nodes, number of the ring)."""
    return [ring(size, y=y(size, i)) for i, size in enumerate(sizes)]


def task_of(kind, data, metric, splits=THREE, directed=False):
    return GraphTask("mine", kind, data, splits, METRICS[metric], directed, "here", "CC0", "one split")


CLASSES = torch.tensor([0, 1, 2, 0, -1, 2])
VALUES = torch.tensor([0.5, 1.5, -1.0, 0.0, NAN, 2.5])
TABLE = torch.stack([VALUES, torch.arange(6.0)], dim=1)
LABELS = torch.tensor([[0.0, 1.0], [1.0, 1.0], [NAN, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, NAN]])

TASKS = {
    "node": lambda: task_of("node", ring(y=CLASSES), "accuracy"),
    "nodes of many graphs": lambda: task_of("node", rings(lambda n, i: (torch.arange(n) + i) % 3), "accuracy"),
    "node values": lambda: task_of("node-regression", ring(y=VALUES), "mse"),
    "node tables": lambda: task_of("node-regression", ring(y=TABLE), "mae"),
    "node values of many graphs": lambda: task_of("node-regression", rings(lambda n, i: torch.ones(n) * i), "mse"),
    "graph": lambda: task_of("graph", rings(lambda n, i: CLASSES[i].view(1)), "accuracy"),
    "graph values": lambda: task_of("graph", rings(lambda n, i: VALUES[i].view(1)), "mae"),
    "graph labels": lambda: task_of("graph", rings(lambda n, i: LABELS[i].view(1, 2)), "ap"),
    "temporal": lambda: task_of("temporal", rings(lambda n, i: torch.ones(n) * i, (6, 6, 6, 6, 6, 6)), "mse"),
    "link": lambda: link_task(ring(30)),
}


@pytest.mark.parametrize(
    ("name", "many", "nodes", "edges", "classes", "outputs"),
    [
        ("node", False, 6, 12, 3, 3),
        ("nodes of many graphs", True, 33, 66, 3, 3),
        ("node values", False, 6, 12, None, 1),
        ("node tables", False, 6, 12, None, 2),
        ("node values of many graphs", True, 33, 66, None, 1),
        ("graph", True, 33, 66, 3, 3),
        ("graph values", True, 33, 66, None, 1),
        ("graph labels", True, 33, 66, None, 2),
        ("temporal", True, 6, 12, None, 1),
        ("link", False, 30, 60, None, 1),
    ],
)
def test_every_kind_is_counted(name, many, nodes, edges, classes, outputs):
    task = TASKS[name]()
    assert (task.many, task.num_nodes, task.num_edges, task.num_outputs) == (many, nodes, edges, outputs)
    assert task.num_features == 2
    assert len(task.graphs) == (6 if many else 1)
    if classes is None:
        with pytest.raises(InvalidDataError, match=f"of kind '{task.kind}' has no classes: use num_outputs"):
            _ = task.num_classes
    else:
        assert task.num_classes == classes


def test_snapshots_may_have_edges_of_their_own():
    graphs = [ring(4, directed=True, y=torch.ones(4)), ring(5, y=torch.ones(5)), *[ring(3, y=torch.ones(3))] * 4]
    task = task_of("temporal", graphs, "mse")
    assert (task.num_nodes, task.num_edges) == (5, 10)


@pytest.mark.parametrize("name", [name for name, make in TASKS.items() if make().many])
def test_part_holds_its_graphs(name):
    order = torch.arange(6) if name == "temporal" else torch.arange(6).flip(0)
    task = TASKS[name]().replace(splits=[*THREE, Split(*order.split([1, 2, 3]))])
    assert [len(task.part(1, part)) for part in PARTS] == [1, 2, 3]
    assert task.part(0, "val")[0] is task.graphs[2]
    assert task.part(1, "val") == [task.graphs[i] for i in sorted(order[1:3].tolist())]
    for part in PARTS:
        assert torch.equal(
            task.targets(1, part).nan_to_num(9.0), torch.cat([graph.y for graph in task.part(1, part)]).nan_to_num(9.0)
        )
    with pytest.raises(InvalidDataError, match="'mine' has 6 graphs: use `graphs`"):
        task.graph()


@pytest.mark.parametrize("name", ["node", "node values", "node tables"])
def test_one_graph_is_seen_as_a_whole(name):
    task = TASKS[name]()
    assert task.graph() is task.data
    assert task.graph(0, "test") is task.data
    assert task.targets(0, "test").nan_to_num(9.0).tolist() == task.data.y[4:].nan_to_num(9.0).tolist()
    with pytest.raises(InvalidDataError, match="'mine' has one graph: use `graph`"):
        task.part(0, "train")


@pytest.mark.parametrize("name", TASKS)
def test_what_is_out_of_range_is_an_error(name):
    task = TASKS[name]()
    pred = torch.zeros(task.num_nodes, task.num_outputs)
    for index in (-1, len(task.splits)):
        with pytest.raises(
            InvalidDataError, match=rf"got split {index}, but .* has {len(task.splits)} split\(s\): use"
        ):
            task.evaluate(pred, index, "val")
        with pytest.raises(InvalidDataError, match=f"got split {index}"):
            task.targets(index, "val")
    for call in (lambda: task.evaluate(pred, 0, "valid"), lambda: task.targets(0, "valid")):
        with pytest.raises(InvalidDataError, match="got part 'valid', expected 'train', 'val' or 'test'"):
            call()


@pytest.mark.parametrize("name", TASKS)
def test_perfect_predictions_have_the_best_score(name):
    task = TASKS[name]()
    part = "val" if task.kind == "link" else "train"
    y = task.data.y if not task.many and task.kind != "link" else task.targets(0, part)
    best = {"accuracy": 1.0, "roc_auc": 1.0, "ap": 1.0, "mse": 0.0, "mae": 0.0}[task.metric.name]
    classes = task.kind in ("node", "graph") and not y.is_floating_point()
    perfect = torch.nn.functional.one_hot(y.clamp(min=0), 3).float() if classes else y.float().nan_to_num(7.0)
    assert task.evaluate(perfect, 0, part) == best
    assert task.evaluate(perfect.requires_grad_(), 0, part) == best
    assert task.evaluate(perfect.bfloat16(), 0, part) == best
    if classes:
        assert task.evaluate(y, 0, part) == best
    elif y.dim() == 1:
        assert task.evaluate(perfect.view(-1, 1), 0, part) == best


@pytest.mark.parametrize("name", TASKS)
def test_predictions_need_a_row_for_each_target(name):
    task = TASKS[name]()
    whole = not task.many and task.kind != "link"
    rows = task.num_nodes if whole else len(task.targets(0, "test"))
    what = f"{rows} nodes" if whole else f"{rows} targets of the test part"
    for shape in [(rows - 1, task.num_outputs), (rows + 1,), (), (rows, task.num_outputs, 1), (0, 1)]:
        with pytest.raises(
            InvalidDataError, match=rf"got predictions of shape .*, expected one row for each of {what}"
        ):
            task.evaluate(torch.zeros(shape), 0, "test")


@pytest.mark.parametrize("name", [name for name in TASKS if name != "link"])
def test_predictions_need_the_columns_of_their_targets(name):
    task = TASKS[name]()
    rows = len(task.targets(0, "train")) if task.many else task.num_nodes
    for shape in [(rows,), (rows, 1)] if task.num_outputs > 1 else [(rows, 2)]:
        with pytest.raises(InvalidDataError, match="of shape"):
            task.evaluate(torch.zeros(shape), 0, "train")


@pytest.mark.parametrize("name", TASKS)
def test_nan_and_infinite_predictions_are_errors(name):
    task = TASKS[name]()
    part = "val" if task.kind == "link" else "train"
    rows = task.num_nodes if not task.many and task.kind != "link" else len(task.targets(0, part))
    shape = (rows, task.num_outputs) if task.num_outputs > 1 else (rows,)
    with pytest.raises(DivergedError, match="NaN"):
        task.evaluate(torch.full(shape, NAN), 0, part)
    if task.metric.task == "regression":
        with pytest.raises(DivergedError, match="infinite"):
            task.evaluate(torch.full(shape, torch.inf), 0, part)


def test_scores_are_those_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    y, labels = torch.rand(40, 2, generator=generator), torch.randint(2, (40, 3), generator=generator).float()
    splits = random_splits(40, count=2)
    graphs = [ring(3, y=row.view(1, -1)) for row in y]
    many = [ring(3, y=row.view(1, -1)) for row in labels]
    for i in range(2):
        for part in PARTS:
            chosen = splits[i][part]
            pred = torch.rand(len(chosen), 2, generator=generator)
            scores = torch.rand(len(chosen), 3, generator=generator)
            expected = sk.mean_squared_error(y[chosen], pred)
            assert task_of("graph", graphs, "mse", splits).evaluate(pred, i, part) == pytest.approx(expected)
            expected = sk.average_precision_score(labels[chosen], scores)
            assert task_of("graph", many, "ap", splits).evaluate(scores, i, part) == pytest.approx(expected)


def test_scores_of_the_second_of_two_classes():
    y = torch.tensor([0, 1, 0, 1, 0, 1])
    task = task_of("node", ring(y=y), "roc_auc")
    scores = torch.tensor([0.1, 0.2, 0.9, 0.3, 0.5, 0.5])
    assert [task.evaluate(scores, 0, part) for part in PARTS] == [1.0, 0.0, 0.5]
    both = torch.stack([-scores, scores], dim=1)
    assert [task.evaluate(both, 0, part) for part in PARTS] == [1.0, 0.0, 0.5]


def test_what_is_predicted_without_a_label_is_not_read():
    pred = VALUES.clone()
    pred[5] += 2.0
    assert TASKS["node values"]().evaluate(pred, 0, "test") == 4.0  # node 4 has no value, and NaN is predicted
    table = TABLE.clone()
    table[5] += 3.0
    assert TASKS["node tables"]().evaluate(table, 0, "test") == 2.0  # errors 0, 3 and 3
    assert TASKS["node"]().evaluate(torch.tensor([9, 9, 9, 9, 9, 2]), 0, "test") == 1.0


@pytest.mark.parametrize("name", ["node", "node values"])
def test_part_without_a_label_has_no_score(name):
    task = TASKS[name]().replace(splits=[Split(torch.arange(4), torch.tensor([5]), torch.tensor([4]))])
    with pytest.raises(InvalidDataError, match="the test part of split 0 of 'mine' has no labelled node to score"):
        task.evaluate(torch.zeros(6, task.num_outputs), 0, "test")


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("nodes", ring(y=CLASSES), "got kind 'nodes', expected one of node, node-regression, link, graph, temporal"),
        ("graph", ring(y=CLASSES), "of kind 'graph' has one graph, expected a sequence of graphs"),
        ("temporal", ring(y=VALUES), "of kind 'temporal' has one graph, expected a sequence of graphs"),
        ("link", [ring()] * 6, "of kind 'link' has several graphs, expected one"),
        ("node", [], "'mine' has no graphs: give it at least one"),
        ("node", ring(y=VALUES), r"`y` of 'mine' .*float32, expected torch.int64 classes of shape \(6,\)"),
        ("node-regression", ring(y=CLASSES), r"expected finite torch.float32 of shape \(6,\) or \(6, T\), NaN where"),
        ("temporal", rings(lambda n, i: torch.ones(n).long()), "expected finite torch.float32"),
        ("temporal", rings(lambda n, i: torch.ones(1)), r"shape \(1,\) .* expected .* of shape \(3,\) or \(3, T\)"),
        (
            "graph",
            rings(lambda n, i: torch.ones(n).long()),
            r"shape \(3,\) .* expected torch.int64 classes of shape \(1",
        ),
        ("graph", rings(lambda n, i: torch.tensor(1)), r"shape \(\) .* expected torch.int64 classes of shape \(1,\)"),
        ("graph", rings(lambda n, i: torch.ones(1, 2).long()), r"shape \(1, 2\) and dtype torch.int64"),
        ("graph", rings(lambda n, i: torch.ones(n)), r"shape \(3,\) .* expected finite torch.float32 of shape \(1,\)"),
        ("graph", rings(lambda n, i: None), r"the graph of 'mine' has no `y`: set data.y to \(1,\) values"),
        ("graph", rings(lambda n, i: torch.ones(1, 1 + i % 2)), "graphs of 'mine' differ in .*`y`"),
        ("graph", rings(lambda n, i: torch.ones(1) if i % 2 else torch.ones(1).long()), "graphs of 'mine' differ in"),
        ("node-regression", rings(lambda n, i: torch.ones(n, 1 + i % 2)), "graphs of 'mine' differ in .*`y`"),
        ("graph", [*rings(lambda n, i: torch.ones(1)), Data()], "has no `x`"),
    ],
)
def test_data_that_do_not_fit_the_kind_are_rejected(kind, data, message):
    with pytest.raises(InvalidDataError, match=message):
        task_of(kind, data, "accuracy")


def test_graphs_need_the_same_features():
    graphs = rings(lambda n, i: torch.ones(1))
    graphs[4].x = torch.ones(7, 3)
    with pytest.raises(InvalidDataError, match="the graphs of 'mine' differ in their number of features"):
        task_of("graph", graphs, "mse")


def test_graphs_have_weights_together():
    graphs = rings(lambda n, i: torch.ones(1))
    graphs[4].edge_weight = torch.ones(graphs[4].num_edges)
    with pytest.raises(InvalidDataError, match="`edge_weight`"):
        task_of("graph", graphs, "mse")


@pytest.mark.parametrize("name", ["nodes of many graphs", "graph", "temporal"])
def test_splits_of_many_graphs_name_graphs(name):
    with pytest.raises(InvalidDataError, match="split 1 of 'mine' names graph 6, but the task has 6 graphs"):
        TASKS[name]().replace(splits=[*THREE, Split(torch.tensor([0]), torch.tensor([6]), torch.tensor([2]))])


@pytest.mark.parametrize("name", ["graph", "graph values", "graph labels", "node values"])
def test_training_needs_labels(name):
    task = TASKS[name]()
    none = torch.full_like(task.graphs[0].y, -1 if name == "graph" else NAN)
    graphs = [changed(graph, y=none) for graph in task.graphs]
    with pytest.raises(InvalidDataError, match=r"split 0 of 'mine' has unlabelled .* in its train part"):
        task.replace(data=graphs if task.many else graphs[0])


def test_some_nodes_of_a_graph_in_training_may_be_unlabelled():
    graphs = rings(lambda n, i: torch.tensor([i % 2, *[-1] * (n - 1)]))
    task = task_of("node", graphs, "accuracy")
    pred = torch.full((7,), 9)
    pred[0], pred[3] = 0, 1
    assert task.evaluate(pred, 0, "train") == 1.0


@pytest.mark.parametrize("name", TASKS)
def test_changes_make_a_copy(name):
    task = TASKS[name]()
    x = [graph.x.clone() for graph in task.graphs]

    def doubled_in_place(data):
        data.x = 2 * data.x
        return data

    for transform in (doubled_in_place, NormalizeFeatures(), AddSelfLoops()):
        other = task.transform(transform)
        assert (other.name, other.kind, other.metric, other.splits) == (task.name, task.kind, task.metric, task.splits)
        assert all(torch.equal(graph.x, before) for graph, before in zip(task.graphs, x, strict=True))
    doubled = task.transform(doubled_in_place)
    seen = doubled.graphs if task.many else [doubled.graph()]
    assert all(torch.equal(graph.x, 2 * before) for graph, before in zip(seen, x, strict=True))
    assert task.replace(name="other").name == "other"
    assert task.name != "other"


def test_counts_follow_a_transform():
    task = TASKS["graph"]()
    assert (task.num_edges, task.num_classes) == (66, 3)
    assert task.transform(AddSelfLoops()).num_edges == 66 + 33
    assert task.replace(data=rings(lambda n, i: torch.tensor([i % 2]))).num_classes == 2


# Guesses of `from_data`.


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
        (rings(lambda n, i: torch.tensor([i % 2 + 0.0])), "graph", "mse"),
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


def named(graph):
    """A networkx graph of four named nodes: features tell the node, labels whether it is a vowel."""
    masks = dict(zip("ebac", ("train", "train", "val", "test"), strict=True))
    for i, node in enumerate("ebac"):
        graph.add_node(node, x=[float(ord(node)), float(i)], y=int(node in "ae"))
        graph.nodes[node].update({f"{part}_mask": masks[node] == part for part in PARTS})
    graph.add_edges_from([("c", "a"), ("a", "e"), ("e", "b")])
    return graph


@pytest.mark.parametrize("graph", [nx.DiGraph(), nx.Graph()])
def test_nodes_with_names_keep_their_labels_and_edges(graph):
    task = from_data(named(graph))
    names = [chr(int(code)) for code in task.data.x[:, 0]]
    assert {name: int(label) for name, label in zip(names, task.data.y, strict=True)} == {
        "e": 1,
        "b": 0,
        "a": 1,
        "c": 0,
    }
    edges = {(names[a], names[b]) for a, b in task.data.edge_index.t().tolist()}
    forth = {("c", "a"), ("a", "e"), ("e", "b")}
    assert edges == (forth if graph.is_directed() else forth | {(b, a) for a, b in forth})
    assert {part: sorted(names[i] for i in task.split(0)[part]) for part in PARTS} == {
        "train": ["b", "e"],
        "val": ["a"],
        "test": ["c"],
    }
    assert task.directed is graph.is_directed()


def test_networkx_weights_are_edge_weights():
    graph = named(nx.DiGraph())
    for weight, edge in enumerate([("c", "a"), ("a", "e"), ("e", "b")]):
        graph.edges[edge]["edge_weight"] = weight + 0.5
    data = from_data(graph).data
    names = [chr(int(code)) for code in data.x[:, 0]]
    weights = {
        (names[a], names[b]): w for (a, b), w in zip(data.edge_index.t().tolist(), data.edge_weight, strict=True)
    }
    assert weights == {("c", "a"): 0.5, ("a", "e"): 1.5, ("e", "b"): 2.5}


@pytest.mark.parametrize("label", [lambda i: [i % 3], lambda i: i % 3])
def test_networkx_graphs_become_a_task_of_graphs(label):
    graphs = []
    for i in range(6):
        graph = nx.cycle_graph(3 + i)
        graph.graph["y"] = label(i)
        nx.set_node_attributes(graph, [1.0, float(i)], "x")
        graphs.append(graph)
    task = from_data(graphs, splits=THREE)
    assert (task.kind, task.metric.name, task.num_nodes, task.num_edges) == ("graph", "accuracy", 33, 66)
    assert task.targets(0, "val").tolist() == [2, 0]
    assert task.graphs[4].x.tolist() == [[1.0, 4.0]] * 7


def test_networkx_graphs_with_node_labels_become_a_task_of_nodes():
    graphs = [nx.path_graph(4) for _ in range(6)]
    for i, graph in enumerate(graphs):
        for node in graph:
            graph.nodes[node].update(x=[float(node)], y=(node + i) % 2)
    task = from_data(graphs, splits=THREE)
    assert (task.kind, task.many, task.num_classes) == ("node", True, 2)
    assert task.targets(0, "val").tolist() == [0, 1, 0, 1, 1, 0, 1, 0]


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


def test_weights_of_a_networkx_graph_are_edge_weights():
    graph = nx.Graph()
    graph.add_weighted_edges_from([(0, 1, 2.0), (1, 2, 3.0)])
    nx.set_node_attributes(graph, {i: {"x": [float(i)], "y": i % 2} for i in range(3)})
    split = Split(torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))
    assert sorted(from_data(graph, splits=[split]).graph().edge_weight.tolist()) == [2.0, 2.0, 3.0, 3.0]
