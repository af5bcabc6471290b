"""Graphs of `.npz` files, alone and in folders."""

import numpy as np
import pytest
import torch

from graphtasks import (
    GraphTask,
    InvalidDataError,
    MissingFilesError,
    Split,
    from_folder,
    random_splits,
    save_splits,
    time_splits,
)
from graphtasks.sources.npz import read_graph
from graphtasks.splits import combined_hash

EDGES = np.array([[0, 1, 2, 3], [1, 2, 3, 3]])
PYG = {"x": np.eye(4, 3), "y": np.array([0, 1, 1, 0]), "edge_index": EDGES}
YANDEX = {"node_features": PYG["x"], "node_labels": PYG["y"], "edges": EDGES.T}
MASKS = {f"{part}_mask": np.arange(4) == i for i, part in enumerate(("train", "val", "test"))}


def write(path, arrays, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, **{key: value for key, value in {**arrays, **changes}.items() if value is not None})
    return path


def both_ways(edge_index):
    """The edges and their reverses, each once, in PyG's order."""
    return sorted({edge for a, b in edge_index.T.tolist() for edge in ((a, b), (b, a))})


@pytest.mark.parametrize("arrays", [PYG, YANDEX])
def test_both_namings_are_read_as_the_same_graph(arrays, tmp_path):
    for path in (write(tmp_path / "graph.npz", arrays), str(tmp_path / "graph.npz")):
        data = read_graph(path)
        assert torch.equal(data.x, torch.eye(4, 3))
        assert (data.y.tolist(), data.edge_index.tolist()) == ([0, 1, 1, 0], EDGES.tolist())
        assert (data.x.dtype, data.y.dtype, data.edge_index.dtype) == (torch.float32, torch.int64, torch.int64)
        assert data.edge_index.is_contiguous()
        assert data.to_dict().keys() == {"x", "y", "edge_index"}


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64])
def test_integers_of_any_width_are_read(dtype, tmp_path):
    changes = {"x": PYG["x"].astype(dtype), "y": PYG["y"].astype(dtype), "edge_index": EDGES.astype(dtype)}
    data = read_graph(write(tmp_path / "graph.npz", PYG, **changes))
    assert (data.x.tolist(), data.y.tolist()) == (np.eye(4, 3).tolist(), [0, 1, 1, 0])
    assert data.edge_index.tolist() == EDGES.tolist()


def test_targets_that_are_floats_stay_floats(tmp_path):
    y = np.array([[0.5, 1.0], [np.nan, 2.0], [3.0, 4.0], [5.0, 6.0]])
    data = read_graph(write(tmp_path / "graph.npz", PYG, y=y))
    assert data.y.dtype == torch.float32
    assert np.array_equal(data.y.numpy(), y, equal_nan=True)


def test_edges_stand_for_both_directions_on_request(tmp_path):
    data = read_graph(write(tmp_path / "graph.npz", YANDEX), undirected=True)
    assert [tuple(edge) for edge in data.edge_index.t().tolist()] == both_ways(EDGES)


def test_edge_weights_are_read(tmp_path):
    data = read_graph(write(tmp_path / "graph.npz", PYG, edge_weight=np.array([1, 2, 3, 4])))
    assert (data.edge_weight.tolist(), data.edge_weight.dtype) == ([1.0, 2.0, 3.0, 4.0], torch.float32)


@pytest.mark.parametrize("twice", [False, True])
def test_edge_weights_go_with_both_directions(twice, tmp_path):
    edges, weights = EDGES, np.array([1.0, 2.0, 3.0, 4.0])
    if twice:  # a file that has both directions already
        edges, weights = np.concatenate([EDGES, EDGES[::-1, :3]], axis=1), np.concatenate([weights, weights[:3]])
    path = write(tmp_path / "graph.npz", PYG, edge_index=edges, edge_weight=weights)
    data = read_graph(path, undirected=True)
    weight = {frozenset(edge): w for edge, w in zip(EDGES.T.tolist(), [1.0, 2.0, 3.0, 4.0], strict=True)}
    assert [tuple(edge) for edge in data.edge_index.t().tolist()] == both_ways(EDGES)
    assert data.edge_weight.tolist() == [weight[frozenset(edge)] for edge in both_ways(EDGES)]


def test_masks_of_both_namings_are_the_same(tmp_path):
    columns = {key: np.stack([mask, mask[::-1]], axis=1) for key, mask in MASKS.items()}
    rows = {f"{key}s": mask.T for key, mask in columns.items()}
    here = read_graph(write(tmp_path / "here.npz", PYG, **columns))
    there = read_graph(write(tmp_path / "there.npz", YANDEX, **rows))
    for key, mask in columns.items():
        assert np.array_equal(here[key].numpy(), mask)
        assert torch.equal(here[key], there[key])
    assert np.array_equal(read_graph(write(tmp_path / "one.npz", PYG, **MASKS)).val_mask.numpy(), MASKS["val_mask"])


def test_absent_file_is_an_error(tmp_path):
    with pytest.raises(MissingFilesError, match=r"there is no file .*graph\.npz"):
        read_graph(tmp_path / "graph.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None}, r"no array x \(or node_features\): it has edge_index, y"),
        ({"y": None}, r"no array y \(or node_labels\)"),
        ({"edge_index": None}, r"no array edge_index \(or edges\)"),
        ({"x": None, "y": None}, r"no array x \(or node_features\), y \(or node_labels\): it has edge_index"),
        ({"edge_index": EDGES.T}, r"the edges of .* have shape \(4, 2\)"),
        ({"edge_index": EDGES[0]}, r"the edges of .* have shape \(4,\)"),
        ({"edge_index": EDGES * 1.0}, "dtype torch.float64, expected `edge_index`"),
        ({"edge_index": EDGES * 1j}, "dtype torch.complex128, expected `edge_index`"),
        ({"edge_index": EDGES > 0}, "dtype torch.bool, expected `edge_index`"),
        ({"edge_index": None, "edges": EDGES}, r"the edges of .* have shape \(4, 2\)"),
        ({"edge_index": None, "edges": EDGES[0]}, r"the edges of .* have shape \(4,\)"),
        ({"edge_index": None, "edges": EDGES.reshape(2, 2, 2)}, r"the edges of .* have shape \(2, 2, 2\)"),
        ({"x": np.array(["a", "b", "c", "d"])}, r"graph\.npz cannot be read \(TypeError: .*: replace it"),
        ({"y": np.array([0, 1, None, 1], dtype=object)}, r"graph\.npz cannot be read \(ValueError: .*: replace it"),
    ],
)
@pytest.mark.parametrize("undirected", [True, False])
def test_file_of_something_else_is_an_error(changes, message, undirected, tmp_path):
    with pytest.raises(InvalidDataError, match=message):
        read_graph(write(tmp_path / "graph.npz", PYG, **changes), undirected=undirected)


@pytest.mark.parametrize("undirected", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"x": np.array(1.0)},
        {"x": np.ones(4)},
        {"x": np.ones((3, 3))},
        {"x": np.ones((4, 3)) * 1j},
        {"x": np.full((4, 3), np.nan)},
        {"x": np.ones((0, 3)), "y": np.ones(0, dtype=int), "edge_index": np.ones((2, 0), dtype=int)},
        {"y": np.array(1)},
        {"y": np.arange(3)},
        {"y": np.array([0, 1, 1, -2])},
        {"y": np.array([0, 1, 1, np.inf])},
        {"edge_index": EDGES + 1},
        {"edge_index": EDGES - 1},
        {"edge_weight": np.ones(9)},
        {"edge_weight": np.ones((4, 2))},
        {"train_mask": np.ones(3, dtype=bool)},
        {"train_mask": np.array([0, 2, 1, 1])},
        {"train_mask": np.ones((4, 2, 2), dtype=bool)},
        {"train_mask": None, "train_masks": np.ones((2, 2, 4), dtype=bool)},
        {"val_mask": None},
        {"val_mask": np.arange(4) == 0},
    ],
)
def test_graph_that_cannot_be_learned_from_is_an_error(changes, undirected, tmp_path):
    path = write(tmp_path / "graph.npz", {**PYG, **MASKS})
    assert from_folder(tmp_path).num_nodes == 4
    write(path, {**PYG, **MASKS}, **changes)
    with pytest.raises(InvalidDataError):
        from_folder(tmp_path, undirected=undirected)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_file_is_an_error_or_read_as_it_was(save, tmp_path):
    path = tmp_path / "graph.npz"
    with path.open("wb") as file:
        save(file, **PYG)
    whole, errors = path.read_bytes(), 0
    positions = range(0, len(whole), 3)
    for i in positions:
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :])
        try:
            data = read_graph(path)
        except InvalidDataError:
            errors += 1
        else:
            assert torch.equal(data.x, torch.eye(4, 3))
            assert (data.y.tolist(), data.edge_index.tolist()) == ([0, 1, 1, 0], EDGES.tolist())
    assert errors > len(positions) // 2


def test_truncated_file_is_an_error(tmp_path):
    path = write(tmp_path / "graph.npz", PYG)
    whole = path.read_bytes()
    for end in range(0, len(whole), 13):
        path.write_bytes(whole[:end])
        with pytest.raises(InvalidDataError, match="cannot be read"):
            read_graph(path)


@pytest.fixture
def one(tmp_path):
    """A folder with one graph and its masks."""
    write(tmp_path / "mine" / "graph.npz", PYG, **MASKS)
    return tmp_path / "mine"


@pytest.fixture
def many(tmp_path):
    """A folder with twelve graphs of 3 to 14 nodes."""
    for i in range(12):
        arrays = {"x": np.full((3 + i, 2), i), "y": np.array([i % 3]), "edge_index": EDGES % 3}
        write(tmp_path / "graphs" / f"{i:02}.npz", arrays)
    return tmp_path / "graphs"


def test_folder_with_one_graph_is_a_task_of_nodes(one):
    task = from_folder(one)
    assert (task.name, task.kind, task.metric.name, task.source) == ("mine", "node", "accuracy", str(one))
    assert (task.many, task.num_nodes, task.num_edges, task.num_classes, task.directed) == (False, 4, 4, 2, True)
    assert [task.split(0)[part].tolist() for part in ("train", "val", "test")] == [[0], [1], [2]]


def test_folder_of_undirected_edges(one):
    task = from_folder(str(one), undirected=True)
    assert (task.num_edges, task.directed) == (7, False)


def test_folder_with_several_graphs_is_a_task_of_graphs(many):
    task = from_folder(many, splits=random_splits(12, count=2))
    assert (task.name, task.kind, task.many, len(task.graphs), len(task.splits)) == ("graphs", "graph", True, 12, 2)
    assert [graph.num_nodes for graph in task.graphs] == list(range(3, 15))
    assert [int(graph.x[0, 0]) for graph in task.graphs] == list(range(12))
    assert task.num_classes == 3


def test_file_of_splits_in_the_folder_is_used(many):
    splits = random_splits(12, count=3, seed=5)
    save_splits(splits, many / "splits.npz")
    task = from_folder(many)
    assert len(task.graphs) == 12
    assert combined_hash(task.splits) == combined_hash(splits)
    others = random_splits(12, count=1)
    assert GraphTask.from_folder(many, splits=others).splits == others


def test_file_of_splits_goes_before_masks(one):
    save_splits([Split(torch.tensor([3]), torch.tensor([2]), torch.tensor([0]))], one / "splits.npz")
    assert from_folder(one).split(0).train.tolist() == [3]


def test_options_are_those_of_from_data(many):
    options = {"kind": "graph", "metric": "macro_f1", "protocol": "mine", "source": "here", "licence": "CC0"}
    task = from_folder(many, splits=random_splits(12), name="other", **options)
    assert (task.name, task.metric.name, task.protocol) == ("other", "macro_f1", "mine")
    assert (task.source, task.licence) == ("here", "CC0")


def test_snapshots_of_a_folder_are_a_series(tmp_path):
    for t in range(10):
        write(tmp_path / f"{t}.npz", PYG, y=np.full(4, float(t)), edge_weight=np.ones(4))
    task = from_folder(tmp_path, kind="temporal", splits=time_splits(10))
    assert (task.kind, task.metric.name, task.num_nodes, task.num_outputs) == ("temporal", "mse", 4, 1)
    assert [float(graph.y[0]) for graph in task.graphs] == list(range(10))


@pytest.mark.parametrize("folder", ["absent", "empty", "splits"])
def test_folder_without_graphs_is_an_error(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "splits").mkdir()
    save_splits(random_splits(10), tmp_path / "splits" / "splits.npz")
    with pytest.raises(MissingFilesError, match=rf"there are no graphs in .*{folder}: put a .npz file there for each"):
        from_folder(tmp_path / folder)


def test_several_graphs_need_splits(many):
    with pytest.raises(InvalidDataError, match="'graphs' has several graphs and no splits: pass `splits`"):
        from_folder(many)


def test_one_graph_needs_splits(one):
    write(one / "graph.npz", PYG)
    with pytest.raises(InvalidDataError, match="'mine' has no splits: pass `splits`, or set train_mask"):
        from_folder(one)


def test_splits_beyond_the_graphs_are_an_error(many):
    save_splits(random_splits(13), many / "splits.npz")
    with pytest.raises(InvalidDataError, match="split 0 of 'graphs' names graph 12, but the task has 12 graphs"):
        from_folder(many)


def test_damaged_file_of_splits_is_an_error(one):
    (one / "splits.npz").write_bytes(b"no splits")
    with pytest.raises(InvalidDataError, match=r"splits\.npz cannot be read as splits"):
        from_folder(one)


def test_damaged_graph_among_others_is_named(many):
    (many / "07.npz").write_bytes(b"no graph")
    with pytest.raises(InvalidDataError, match=r"07\.npz cannot be read"):
        from_folder(many, splits=random_splits(12))
