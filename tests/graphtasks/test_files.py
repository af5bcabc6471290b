import gc
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch_geometric import datasets as pyg

from graphtasks import InvalidDataError, MissingFilesError, load
from graphtasks.sources.cache import cache_folder

REAL_ROOT = os.environ.get("GRAPHTASKS_ROOT", "")
CORA = "Planetoid/Cora/raw"
TEXAS = "WebKB/texas/raw"
PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
TRAIN, VAL, TEST = 4, 500, 6
NODES = TRAIN + VAL + TEST
LABELS = np.arange(NODES) % 2
# Node 2 has no feature at all; the others have 1 to 3 of them.
FEATURES = np.stack([LABELS == 0, LABELS == 1, np.arange(NODES) % 3 == 1, np.arange(NODES) % 5 == 1], axis=1) * 1.0
FEATURES[2] = 0


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """A cache folder and a default root of the test's own, and no network."""

    def download(dataset):
        raise OSError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHTASKS_ROOT", raising=False)
    monkeypatch.setattr(pyg.Planetoid, "download", download)
    monkeypatch.setattr(pyg.WebKB, "download", download)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def write_splits(folder: Path, name: str, nodes: int) -> None:
    """Ten splits: node i trains, node i + 1 validates, all others test."""
    for i in range(10):
        train, val = np.arange(nodes) == i % nodes, np.arange(nodes) == (i + 1) % nodes
        masks = {"train_mask": train, "val_mask": val, "test_mask": ~(train | val)}
        np.savez(folder / f"{name}_split_0.6_0.2_{i}.npz", **masks)


def write_cora(folder: Path, labels: np.ndarray = LABELS) -> None:
    """A ring of nodes in the format of https://github.com/kimiyoung/planetoid, its test nodes out of order."""
    folder.mkdir(parents=True, exist_ok=True)
    test = np.array([5, 0, 3, 1, 4, 2]) + TRAIN + VAL
    known, onehot = slice(TRAIN + VAL), np.eye(2)[labels]
    objects = {
        "x": csr_matrix(FEATURES[:TRAIN]),
        "tx": csr_matrix(FEATURES[test]),
        "allx": csr_matrix(FEATURES[known]),
        "y": onehot[:TRAIN],
        "ty": onehot[test],
        "ally": onehot[known],
        "graph": {i: [(i - 1) % NODES, (i + 1) % NODES] for i in range(NODES)},
    }
    for part, value in objects.items():
        (folder / f"ind.cora.{part}").write_bytes(pickle.dumps(value, protocol=2))
    (folder / "ind.cora.test.index").write_text("".join(f"{node}\n" for node in test))


def write_texas(folder: Path) -> None:
    """Four web pages with a link to the next one each, in the format of Geom-GCN."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = ["0\t1,0,0\t0", "1\t0,1,0\t1", "2\t0,0,1\t2", "3\t1,1,0\t0"]
    edges = ["0\t1", "1\t2", "2\t3", "3\t3"]
    (folder / "out1_node_feature_label.txt").write_text("\n".join(["node_id\tfeature\tlabel", *nodes, ""]))
    (folder / "out1_graph_edges.txt").write_text("\n".join(["node_id\tnode_id", *edges, ""]))
    write_splits(folder, "texas", 4)


def write_chameleon(folder: Path, name: str, **changes: np.ndarray | None) -> None:
    """Four nodes on a path with two splits, in the format of yandex-research/heterophilous-graphs."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "node_features": np.eye(4, 3),
        "node_labels": np.array([0, 1, 2, 0]),
        "edges": np.array([[0, 1], [1, 2], [2, 3]]),
        "train_masks": np.array([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=bool),
        "val_masks": np.array([[0, 0, 1, 0], [1, 0, 0, 0]], dtype=bool),
        "test_masks": np.array([[0, 0, 0, 1], [0, 1, 0, 0]], dtype=bool),
        **changes,
    }
    np.savez(folder / name, **{key: array for key, array in arrays.items() if array is not None})


def tree(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """All that is under a folder, with times and contents."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")}


# numpy leaves a broken archive open, which shows when the exception is collected.
broken_archive = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_planetoid_files_are_read_as_they_mean(root):
    write_cora(root / CORA)
    task = load("cora", root=root)
    sums = FEATURES.sum(axis=1, keepdims=True).clip(min=1)
    np.testing.assert_allclose(task.data.x.numpy(), FEATURES / sums, rtol=1e-6)
    assert task.data.y.tolist() == LABELS.tolist()
    edges = {tuple(edge) for edge in task.data.edge_index.t().tolist()}
    assert edges == {(i, j % NODES) for i in range(NODES) for j in (i + 1, i - 1 + NODES)}
    assert not task.directed
    (split,) = task.splits
    assert split.train.tolist() == list(range(TRAIN))
    assert split.val.tolist() == list(range(TRAIN, TRAIN + VAL))
    assert split.test.tolist() == list(range(TRAIN + VAL, NODES))


def test_other_splits_of_planetoid_have_a_folder_of_their_own(root):
    folder = root / "Planetoid/Cora/geom-gcn/raw"
    write_cora(folder)
    write_splits(folder, "cora", NODES)
    task = load("cora", root=root, split="geom-gcn")
    assert [(split.train.tolist(), split.val.tolist()) for split in task.splits] == [([i], [i + 1]) for i in range(10)]
    with pytest.raises(MissingFilesError):
        load("cora", root=root, split="public")


def test_webkb_files_are_read_as_they_mean(root):
    write_texas(root / TEXAS)
    task = load("texas", root=root)
    assert task.data.x.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert task.data.y.tolist() == [0, 1, 2, 0]
    assert task.data.edge_index.tolist() == [[0, 1, 2, 3], [1, 2, 3, 3]]
    assert task.directed
    assert [split.train.tolist() for split in task.splits] == [[i % 4] for i in range(10)]


@pytest.mark.parametrize(
    ("name", "edges"),
    [
        ("chameleon-filtered", {(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)}),
        ("chameleon-filtered-directed", {(0, 1), (1, 2), (2, 3)}),
    ],
)
def test_filtered_wikipedia_files_are_read_as_they_mean(root, name, edges):
    write_chameleon(root / "heterophilous_npz", f"{name.replace('-', '_')}.npz")
    task = load(name, root=root)
    assert {tuple(edge) for edge in task.data.edge_index.t().tolist()} == edges
    assert task.data.num_edges == len(edges)
    assert task.directed is name.endswith("directed")
    assert (task.num_nodes, task.num_features, task.num_classes) == (4, 3, 3)
    assert [split.train.tolist() for split in task.splits] == [[0, 1], [2, 3]]
    assert [split.test.tolist() for split in task.splits] == [[3], [1]]


def test_nothing_is_written_into_the_root(root):
    write_cora(root / CORA)
    write_texas(root / TEXAS)
    write_chameleon(root / "heterophilous_npz", "chameleon_filtered.npz")
    before = tree(root)
    for name in ("cora", "texas", "chameleon-filtered", "cora"):
        load(name, root=root)
    assert tree(root) == before


def test_root_may_come_from_the_environment(root, monkeypatch):
    write_texas(root / TEXAS)
    monkeypatch.setenv("GRAPHTASKS_ROOT", str(root))
    assert load("texas").num_nodes == 4


def test_argument_goes_before_the_environment(root, monkeypatch):
    write_texas(root / TEXAS)
    monkeypatch.setenv("GRAPHTASKS_ROOT", str(root / "elsewhere"))
    assert load("texas", root=str(root)).num_nodes == 4


def test_relative_root_is_found_from_any_folder(root, monkeypatch):
    write_texas(root / TEXAS)
    monkeypatch.chdir(root.parent)
    load("texas", root=root.name)
    monkeypatch.chdir(root)
    assert load("texas", root=f"../{root.name}").num_nodes == 4


def test_changed_files_give_changed_data(root):
    write_cora(root / CORA)
    assert load("cora", root=root).data.y.tolist() == LABELS.tolist()
    write_cora(root / CORA, labels=1 - LABELS)
    assert load("cora", root=root).data.y.tolist() == (1 - LABELS).tolist()


def test_two_roots_do_not_share_a_cache(root, tmp_path):
    write_cora(root / CORA)
    write_cora(tmp_path / "other" / CORA, labels=1 - LABELS)
    for part in PARTS:
        stat = (root / CORA / f"ind.cora.{part}").stat()
        os.utime(tmp_path / "other" / CORA / f"ind.cora.{part}", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    first, second = load("cora", root=root), load("cora", root=tmp_path / "other")
    assert torch.equal(first.data.y, 1 - second.data.y)


def test_second_load_reads_the_cache(root, monkeypatch):
    write_cora(root / CORA)
    first = load("cora", root=root)
    monkeypatch.setattr(pyg.Planetoid, "process", lambda dataset: pytest.fail("processed twice"))
    assert torch.equal(load("cora", root=root).data.x, first.data.x)


@pytest.mark.parametrize("gone", [("graph",), ("x", "test.index")])
def test_incomplete_folder_is_an_error_that_names_each_missing_file(root, gone):
    write_cora(root / CORA)
    for part in gone:
        (root / CORA / f"ind.cora.{part}").unlink()
    with pytest.raises(MissingFilesError) as error:
        load("cora", root=root)
    named = str(error.value).split("missing ")[1].split(";")[0].split(", ")
    assert set(named) == {f"ind.cora.{part}" for part in gone}
    assert str(root / CORA) in str(error.value)


def test_missing_file_without_network_is_an_error_that_says_what_to_do(root):
    with pytest.raises(MissingFilesError) as error:
        load("cora", root=root)
    message = str(error.value)
    assert "'cora'" in message
    assert str(root / CORA) in message
    assert "no network" in message
    assert all(f"ind.cora.{part}" in message for part in PARTS)
    assert isinstance(error.value, FileNotFoundError)
    assert not root.exists()


def test_missing_npz_is_an_error_that_names_it(root):
    with pytest.raises(MissingFilesError, match=r"'squirrel-filtered' needs squirrel_filtered\.npz") as error:
        load("squirrel-filtered", root=root)
    assert str(root / "heterophilous_npz") in str(error.value)


def test_download_goes_to_the_cache_folder_once(root, monkeypatch):
    calls = []

    def download(dataset):
        calls.append(dataset.raw_dir)
        write_cora(Path(dataset.raw_dir))

    monkeypatch.setattr(pyg.Planetoid, "download", download)
    for _ in range(2):
        assert load("cora", root=root).num_nodes == NODES
        assert load("cora").num_nodes == NODES
    assert len(calls) == 1
    assert (cache_folder() / CORA / "ind.cora.x").is_file()
    assert not root.exists()


def test_interrupted_download_leaves_nothing(root, monkeypatch):
    def interrupted(dataset):
        write_cora(Path(dataset.raw_dir))
        (Path(dataset.raw_dir) / "ind.cora.graph").unlink()
        raise OSError("connection lost")

    monkeypatch.setattr(pyg.Planetoid, "download", interrupted)
    with pytest.raises(MissingFilesError, match="cannot be downloaded"):
        load("cora", root=root)
    assert list(cache_folder().iterdir()) == []
    monkeypatch.setattr(pyg.Planetoid, "download", lambda dataset: write_cora(Path(dataset.raw_dir)))
    assert load("cora", root=root).num_nodes == NODES


def test_interrupted_processing_is_done_again(root, monkeypatch):
    write_cora(root / CORA)
    with monkeypatch.context() as patch:
        patch.setattr(pyg.Planetoid, "process", lambda dataset: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(InvalidDataError, match="disk full"):
            load("cora", root=root)
    assert load("cora", root=root).num_nodes == NODES


@pytest.mark.parametrize("part", ["allx", "ty", "graph"])
@pytest.mark.parametrize("loaded_before", [False, True])
def test_truncated_planetoid_file_is_an_error_that_deletes_nothing(root, part, loaded_before):
    write_cora(root / CORA)
    if loaded_before:
        load("cora", root=root)
    truncate(root / CORA / f"ind.cora.{part}")
    before = tree(root)
    with pytest.raises(InvalidDataError, match="'cora' cannot be read") as error:
        load("cora", root=root)
    assert str(root / CORA) in str(error.value)
    assert tree(root) == before
    write_cora(root / CORA)
    assert load("cora", root=root).num_nodes == NODES


@broken_archive
@pytest.mark.parametrize("file", ["out1_node_feature_label.txt", "texas_split_0.6_0.2_3.npz"])
def test_truncated_webkb_file_is_an_error_that_deletes_nothing(root, file):
    write_texas(root / TEXAS)
    truncate(root / TEXAS / file)
    before = tree(root)
    with pytest.raises(InvalidDataError):
        load("texas", root=root)
    gc.collect()
    assert tree(root) == before


@broken_archive
def test_truncated_npz_is_an_error_that_deletes_nothing(root):
    path = root / "heterophilous_npz/chameleon_filtered.npz"
    write_chameleon(path.parent, path.name)
    truncate(path)
    before = tree(root)
    with pytest.raises(InvalidDataError, match=r"chameleon_filtered\.npz cannot be read"):
        load("chameleon-filtered", root=root)
    gc.collect()
    assert tree(root) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": None}, r"no array edge_index \(or edges\)"),
        ({"node_labels": np.array(["a", None, "b", "c"], dtype=object)}, "ValueError"),
        ({"edges": np.array([[0, 4]])}, "names nodes 0 to 4"),
        ({"node_features": np.full((4, 3), np.nan)}, "first in row 0"),
    ],
)
def test_npz_with_bad_content_is_an_error(root, changes, message):
    write_chameleon(root / "heterophilous_npz", "chameleon_filtered_directed.npz", **changes)
    with pytest.raises(InvalidDataError, match=message):
        load("chameleon-filtered-directed", root=root)


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_ROOT, reason="GRAPHTASKS_ROOT is not set")
@pytest.mark.parametrize(
    ("name", "split", "counts", "directed", "sizes"),
    [
        ("cora", "public", (2708, 10556, 1433, 7), False, [(140, 500, 1000)]),
        ("cora", "geom-gcn", (2708, 10556, 1433, 7), False, [(1192, 796, 497)] * 10),
        ("citeseer", "public", (3327, 9104, 3703, 6), False, [(120, 500, 1000)]),
        ("texas", None, (183, 325, 1703, 5), True, [(87, 59, 37)] * 10),
        ("wisconsin", None, (251, 515, 1703, 5), True, [(120, 80, 51)] * 10),
        ("cornell", None, (183, 298, 1703, 5), True, [(87, 59, 37)] * 10),
        ("chameleon-filtered", None, (890, 17708, 2325, 5), False, None),
        ("chameleon-filtered-directed", None, (890, 13584, 2325, 5), True, None),
    ],
)
def test_real_files_have_published_statistics(name, split, counts, directed, sizes):
    task = load(name, root=REAL_ROOT, split=split)
    assert (task.num_nodes, task.data.num_edges, task.num_features, task.num_classes) == counts
    assert task.directed is directed
    got = [tuple(len(each[part]) for part in ("train", "val", "test")) for each in task.splits]
    assert len(got) == 10 or split == "public"
    assert got == sizes if sizes else got[0] == (409, 287, 194)


@pytest.mark.parametrize(
    ("nodes", "features", "message"),
    [(0, np.ones((0, 3), np.float32), "empty"), (4, np.full((4, 3), np.nan, np.float32), "NaN or infinite in 4 rows")],
)
def test_graph_in_a_file_that_cannot_be_learned_from(root, nodes, features, message):
    masks = {f"{part}_masks": np.ones((10, nodes), bool) for part in ("train", "val", "test")}
    edges, labels = np.zeros((0, 2), np.int64), np.zeros(nodes, np.int64)
    write_chameleon(
        root / "heterophilous_npz",
        "chameleon_filtered.npz",
        node_features=features,
        node_labels=labels,
        edges=edges,
        **masks,
    )
    with pytest.raises(InvalidDataError, match=message):
        load("chameleon-filtered", root=root)
