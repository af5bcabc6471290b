"""Data that are no graph, or not the one that was meant, are named or warned of, whichever way they come in."""

from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from torch_geometric.data import Batch, HeteroData, TemporalData
from torch_geometric.datasets import FakeDataset
from torch_geometric.transforms import ToSparseTensor

from graphtasks import (
    DataWarning,
    InvalidDataError,
    LinkSplit,
    Split,
    from_data,
    from_folder,
    link_task,
    random_splits,
    save_splits,
)
from small_tasks import CLASSES, THREE, changed, ring, rings

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{text}")
    for text in ("Sparse invariant checks", "Sparse CSR tensor", ".*is left out. links are predicted")
]

LINKS = LinkSplit(
    *(torch.tensor(pairs) for pairs in ([[0, 1], [1, 2]], [[2], [3]], [[3], [4]], [[0], [3]], [[1], [4]])),
    undirected=True,
)

PARTS = Split(torch.arange(2), torch.arange(2, 4), torch.arange(4, 6))


def hetero():
    data = HeteroData()
    data["a"].x = data["b"].x = torch.ones(3, 2)
    return data


NO_GRAPHS = {
    "nothing": (None, "None: was it read at all"),
    "text": ("graphs/mine", "a path, 'graphs/mine': read .npz files with `from_folder`"),
    "path": (Path("graphs"), "a path, 'graphs'"),
    "types": (hetero(), r"a HeteroData of several types of nodes: use its `to_homogeneous\(\)`"),
    "table": (pd.DataFrame({"source": [0], "target": [1]}), "a DataFrame: .*`networkx.from_pandas_edgelist`"),
    "array": (np.array([[0, 1], [1, 0]]), "a ndarray: .*values over time go to `from_series`"),
    "tensor": (torch.tensor([[0, 1], [1, 0]]), "a Tensor: "),
    "matrix": (sparse.eye_array(3, format="csr"), "a csr_array: "),
    "events": (TemporalData(src=torch.ones(1).long()), "a TemporalData"),
    "dictionary": ({"x": torch.ones(3, 2)}, "a dict; expected torch_geometric.data.Data, a networkx graph"),
    "number": (3, "a int; expected"),
}


@pytest.mark.parametrize("kind", NO_GRAPHS)
@pytest.mark.parametrize("many", [False, True])
def test_what_is_no_graph_is_named(kind, many):
    value, message = NO_GRAPHS[kind]
    with pytest.raises(InvalidDataError, match=f"the graph of 'mine' is {message}") as error:
        from_data([value] if many else value, name="mine", splits=THREE)
    assert "\n" not in str(error.value)
    if not many:
        with pytest.raises(InvalidDataError, match=message):
            link_task(value, name="mine")


@pytest.mark.parametrize("make", [list, tuple, iter, lambda graphs: FakeSet(graphs)])
def test_sequences_of_every_form_are_many_graphs(make):
    graphs = rings(lambda n, i: torch.tensor([i % 2]))
    assert len(from_data(make(graphs), splits=THREE).graphs) == 6


class FakeSet(FakeDataset):
    """A dataset of PyG."""

    def __init__(self, graphs):
        super().__init__(num_graphs=1)
        self._all = graphs

    def len(self):
        return len(self._all)

    def __len__(self):
        return len(self._all)

    def __getitem__(self, i):
        return self._all[i]


def test_a_sparse_matrix_alone_is_named():
    data = ToSparseTensor()(ring(y=CLASSES))
    for make in (lambda: from_data(data, splits=[PARTS]), lambda: link_task(data)):
        with pytest.raises(InvalidDataError, match=r"has `adj_t` but no `edge_index`: .*transform\(ToSparseTensor"):
            make()
    task = from_data(ring(y=CLASSES), splits=[PARTS]).transform(ToSparseTensor())
    assert task.graph().get("edge_index") is None


WEIGHTS = {
    "nan": (float("nan"), InvalidDataError, "`edge_weight` of .* is NaN or infinite for 1 edges, first for edge 5"),
    "infinite": (float("inf"), InvalidDataError, "is NaN or infinite for 1 edges"),
    "negative": (-1.0, DataWarning, r"`edge_weight` of .* is negative for 1 of 12 edges, .*: use its abs\(\)"),
}


def weighted(value):
    weight = torch.ones(12)
    weight[5] = value
    return ring(y=CLASSES, edge_weight=weight)


def of_folder(data, folder):
    np.savez(folder / "graph.npz", **{key: value.numpy() for key, value in data.to_dict().items()})
    save_splits([PARTS], folder / "splits.npz")
    return from_folder(folder)


def of_networkx(data, folder):
    graph = nx.DiGraph()
    for i in range(6):
        graph.add_node(i, x=data.x[i].tolist(), y=int(data.y[i]))
    graph.add_weighted_edges_from(zip(*data.edge_index.tolist(), data.edge_weight.tolist(), strict=True))
    return from_data(graph, splits=[PARTS])


ENTRANCES = {
    "from_data": lambda data, folder: from_data(data, splits=[PARTS]),
    "many": lambda data, folder: from_data([data] * 6, splits=THREE),
    "from_folder": of_folder,
    "networkx": of_networkx,
    "link_task": lambda data, folder: link_task(data, splits=[LINKS]),
    "transform": lambda data, folder: from_data(ring(y=CLASSES), splits=[PARTS]).transform(lambda _: data),
    "replace": lambda data, folder: from_data(ring(y=CLASSES), splits=[PARTS]).replace(data=data),
    "sparse": lambda data, folder: from_data(ring(y=CLASSES), splits=[PARTS]).transform(lambda _: to_sparse(data)),
    "transform of links": lambda data, folder: (
        link_task(ring(30)).transform(lambda graph: graph.update({"edge_weight": bad(graph, data)})).graph()
    ),
}


def to_sparse(data):
    return ToSparseTensor(attr="edge_weight")(data)


def bad(graph, data):
    weight = torch.ones(graph.num_edges)
    weight[5] = data.edge_weight[5]
    return weight


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_that_are_none_are_named_at_every_entrance(tmp_path, entrance, kind):
    value, expected, message = WEIGHTS[kind]
    if entrance in ("sparse", "networkx", "transform of links"):
        message = message.replace(", first for edge 5", "").replace("edge_weight", ".*").replace("of 12", "of .*")
    if expected is DataWarning:
        with pytest.warns(DataWarning, match=message):
            ENTRANCES[entrance](weighted(value), tmp_path)
    else:
        with pytest.raises(expected, match=message):
            ENTRANCES[entrance](weighted(value), tmp_path)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(12).double(), r"has dtype torch.float64, expected torch.float32: use data.edge_weight.float\(\)"),
        (torch.ones(12).long(), "has dtype torch.int64"),
        ([1.0] * 12, "is a list, expected a torch.Tensor"),
        (torch.ones(3), r"has shape \(3,\), expected \(12,\)"),
    ],
)
def test_weights_of_another_form_are_named(weight, message):
    with pytest.raises(InvalidDataError, match=message):
        from_data(ring(y=CLASSES, edge_weight=weight), splits=[PARTS])


@pytest.mark.parametrize("labels", [[0, 1, 10**6, 0, 1, 0], [2019, 2020, 2021, 2019, 2020, 2021], [0, 200, 1, 0, 1, 0]])
@pytest.mark.parametrize("entrance", ["from_data", "from_folder", "replace", "graphs"])
def test_labels_that_are_identifiers_are_named(tmp_path, entrance, labels):
    y = torch.tensor(labels)
    make = ENTRANCES.get(entrance, lambda data, folder: from_data(rings(lambda n, i: y[i].view(1)), splits=THREE))
    with pytest.raises(InvalidDataError, match=r"has \d classes with numbers up to \d+, .*torch.unique\(y, return_inv"):
        make(ring(y=y), tmp_path)


def test_labels_of_a_part_of_many_classes_pass():
    assert from_data(ring(y=torch.tensor([0, 99, 3, 7, -1, 2])), splits=[PARTS]).num_classes == 100


@pytest.mark.parametrize("key", ["w", "edge_attr", "capacity"])
@pytest.mark.parametrize("columns", [(), (2,)])
def test_numbers_of_edges_that_no_model_takes_are_warned_of(key, columns):
    data = changed(ring(y=CLASSES), **{key: torch.rand(12, *columns)})
    advice = "" if columns else f"; as weights of the edges, set data.edge_weight = data.{key}"
    message = f"`{key}` of the edges of 'custom' reaches only models whose `forward` names it{advice}"
    for make in (lambda: from_data(data, splits=[PARTS]), lambda: from_data([data] * 6, splits=THREE)):
        with pytest.warns(DataWarning, match=message):
            make()


def test_attributes_of_networkx_edges_are_warned_of():
    graph = nx.cycle_graph(6, create_using=nx.DiGraph)  # as many edges as nodes
    nx.set_node_attributes(graph, {i: {"x": [float(i)], "y": i % 2, "size": i} for i in graph})
    for key, shown in (("w", "w"), ("size", "edge_size")):
        marked = graph.copy()
        nx.set_edge_attributes(marked, 2.0, key)
        with pytest.warns(DataWarning, match=f"`{shown}` of the edges of 'custom'"):
            from_data(marked, splits=[PARTS])
    nx.set_edge_attributes(graph, "road", "kind")
    from_data(graph, splits=[PARTS])


def test_weights_of_a_link_task_are_warned_of():
    with pytest.warns(DataWarning, match="`edge_weight` of 'custom-link' is left out"):
        link_task(changed(ring(30), edge_weight=torch.ones(60)))


def test_arrays_of_a_file_that_are_not_read_are_warned_of(tmp_path):
    data = ring(y=CLASSES)
    with pytest.warns(DataWarning, match=r"graph\.npz has arrays that are not read: w, weights; weights of edges are"):
        of_folder(changed(data, w=torch.ones(12), weights=torch.ones(12)), tmp_path)


FLOATS = {
    "classes of nodes": (lambda: ring(y=torch.tensor([0.0, 1, 2, 0, 1, 2])), "3 different whole numbers", "long"),
    "classes of graphs": (lambda: rings(lambda n, i: torch.tensor([i % 2 + 0.0])), "2 different whole", "long"),
    "a column": (lambda: ring(y=torch.tensor([[0.0], [1], [2], [0], [1], [2]])), "3 different whole numbers", "long"),
    "unknown ones": (lambda: ring(y=torch.tensor([0.0, 1, torch.nan, 0, 1, 2])), "3 different whole numbers", "long"),
    "one-hot": (lambda: ring(y=torch.eye(3).repeat(2, 1)), "one 1 in each row", "argmax"),
}


@pytest.mark.parametrize("form", FLOATS)
def test_floats_that_look_like_classes_are_warned_of(form):
    make, seen, remedy = FLOATS[form]
    many = isinstance(make(), list)
    with pytest.warns(DataWarning, match=f"with {seen}.* for classes use data.y.{remedy}"):
        from_data(make(), splits=THREE if many else [PARTS])
    kind = "graph" if many else "node-regression"
    from_data(make(), splits=THREE if many else [PARTS], kind=kind)


def test_whole_numbers_that_count_pass():
    y = torch.arange(6.0) * 7
    from_data(ring(y=y), splits=[PARTS])
    from_data(ring(y=-y), splits=[PARTS])
    from_data(ring(y=torch.tensor([[0.0, 1.0], [1, 1], [0, 0], [1, 0], [0, 1], [1, 1]])), splits=[PARTS])


@pytest.mark.parametrize("size", [4, 9])
def test_masks_of_another_length_are_named(size):
    masks = [torch.arange(size) % 3 == i for i in range(3)]
    split = Split(*masks)
    for make in (
        lambda: from_data(ring(y=CLASSES), splits=[split]),
        lambda: from_data(ring(y=CLASSES), splits=[PARTS]).replace(splits=[split]),
        lambda: from_data(rings(lambda n, i: torch.tensor([i % 2])), splits=[split]),
    ):
        with pytest.raises(InvalidDataError, match=rf"made of masks for {size} (node|graph)s, but there are 6"):
            make()
    with pytest.raises(InvalidDataError, match=rf"masks of the split have lengths {min(5, size)}, {max(5, size)}"):
        Split(masks[0], masks[1], torch.ones(5, dtype=torch.bool))
    assert Split(*(torch.arange(6) % 3 == i for i in range(3))).mask_length == 6
    assert random_splits(9)[0].mask_length is None


@pytest.mark.parametrize("mask", [[True] * 6, np.ones(6, dtype=bool), None])
def test_parts_that_are_no_tensors_are_named(mask):
    with pytest.raises(InvalidDataError, match=r"train part of the split is a .*expected a torch.Tensor"):
        Split(mask, torch.tensor([1]), torch.tensor([2]))
    if mask is not None:
        data = ring(y=CLASSES, train_mask=mask, val_mask=torch.arange(6) == 1, test_mask=torch.arange(6) == 2)
        with pytest.raises(InvalidDataError, match=r"train_mask is a .*expected a torch.Tensor"):
            from_data(data)


def test_a_batch_of_graphs_is_one_graph():
    batch = Batch.from_data_list(rings(lambda n, i: torch.arange(n) % 2))
    assert from_data(batch, splits=[Split(*torch.arange(33).split(11))]).num_nodes == 33
