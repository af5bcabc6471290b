import pytest
import torch
from sklearn import metrics as sk
from torch_geometric.data import Data
from torch_geometric.transforms import AddSelfLoops, NormalizeFeatures

from graphtasks import DivergedError, InvalidDataError, Split, random_splits
from small_tasks import CLASSES, NAN, PARTS, TABLE, TASKS, THREE, VALUES, changed, ring, rings, task_of


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
