import builtins
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

from graphtasks import GraphTask, InvalidDataError, MissingFilesError
from graphtasks.catalogue import FACTS
from graphtasks.sources.ogb import OGB_DATASETS, read_link, read_node

TASKS = {dataset.task_name: dataset for dataset in OGB_DATASETS}
SPLITS = {"ogbn-arxiv": "time", "ogbn-products": "sales_ranking", "ogbl-collab": "time", "ogbl-ppa": "throughput"}
NODES = 6
# As many edges as nodes, so that a swap with the features is not seen by the number of rows alone.
EDGES = np.array([[0, 1], [2, 1], [3, 2], [3, 4], [5, 4], [0, 5]])
LABELS = np.array([3, 0, np.nan, 39, 3, 1])
INDICES = {"train": [4, 0], "valid": [1, 2], "test": [5, 3]}
NEW_EDGES = {"valid": np.array([[0, 2], [1, 3], [0, 1]]), "test": np.array([[2, 4], [3, 1]])}
NEGATIVES = {"valid": np.array([[0, 4], [1, 5]]), "test": np.array([[2, 5], [0, 3], [1, 4]])}


def features(name: str) -> np.ndarray:
    """One-hot species for ogbl-ppa, else real numbers."""
    if name == "ogbl-ppa":
        return np.eye(4, dtype=np.int64)[np.arange(NODES) % 4]
    return np.random.default_rng(0).normal(size=(NODES, 3)).astype(np.float32)


def write_csv(path: Path, table: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table).to_csv(path, header=False, index=False, compression="gzip")


def link_arrays(part: str) -> dict[str, np.ndarray]:
    edges = EDGES if part == "train" else NEW_EDGES[part]
    arrays = {"edge": edges, "weight": np.arange(len(edges)) + 1, "year": np.full(len(edges), 2017)}
    return arrays if part == "train" else {**arrays, "edge_neg": NEGATIVES[part]}


def write(root: Path, name: str, save: Callable[[object, Path], None] = torch.save) -> Path:
    """A graph of six nodes in the layout and formats of OGB's downloads."""
    folder = root / "ogb" / name.replace("-", "_")
    raw, split = folder / "raw", folder / "split" / SPLITS[name]
    write_csv(raw / "edge.csv.gz", EDGES)
    write_csv(raw / "node-feat.csv.gz", features(name))
    write_csv(raw / "num-node-list.csv.gz", [NODES])
    write_csv(raw / "num-edge-list.csv.gz", [len(EDGES)])
    write_csv(raw / "node_year.csv.gz", np.full(NODES, 2013))
    write_csv(raw / "edge_weight.csv.gz", np.ones(len(EDGES), dtype=int))
    write_csv(raw / "edge_year.csv.gz", np.full(len(EDGES), 2013))
    if name.startswith("ogbn"):
        write_csv(raw / "node-label.csv.gz", LABELS)
        for part, index in INDICES.items():
            write_csv(split / f"{part}.csv.gz", index)
    else:
        split.mkdir(parents=True)
        for part in INDICES:
            save(link_arrays(part), split / f"{part}.pt")
    (folder / "RELEASE_v1.txt").touch()
    return folder


def save_like_numpy_1(arrays: object, path: Path) -> None:
    """The format of torch < 1.6, with the module names of numpy < 2."""
    torch.save(arrays, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert b"cnumpy._core.multiarray\n" in content
    path.write_bytes(content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))


def save_tensors(arrays: dict[str, np.ndarray], path: Path) -> None:
    torch.save({key: torch.from_numpy(array) for key, array in arrays.items()}, path)


def load(root: Path, name: str) -> GraphTask:
    return TASKS[name].load("ogb", root)


def tree(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """All that is under a folder, with times and contents."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")}


@pytest.fixture(autouse=True)
def no_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "input", lambda *args: pytest.fail("asked a question"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: pytest.fail("went to the network"))
    monkeypatch.setattr(shutil, "rmtree", lambda *args, **kwargs: pytest.fail("deleted a folder"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.mark.parametrize("name", ["ogbn-arxiv", "ogbn-products"])
def test_node_files_are_read_as_they_mean(root, name):
    write(root, name)
    data, (split,) = read_node(name, root)
    np.testing.assert_array_equal(data.x.numpy(), features(name))
    assert data.x.dtype == torch.float32
    assert data.y.dtype == torch.int64
    assert data.y.tolist() == [3, 0, -1, 39, 3, 1]
    if name == "ogbn-arxiv":
        assert data.edge_index.tolist() == EDGES.T.tolist()
    else:
        assert data.edge_index[:, 0::2].tolist() == EDGES.T.tolist()
        assert data.edge_index[:, 1::2].tolist() == EDGES.T[::-1].tolist()
    assert [part.tolist() for part in (split.train, split.val, split.test)] == [[0, 4], [1, 2], [3, 5]]


@pytest.mark.parametrize("save", [torch.save, save_like_numpy_1, save_tensors])
@pytest.mark.parametrize("name", ["ogbl-collab", "ogbl-ppa"])
def test_link_files_are_read_as_they_mean(root, name, save):
    write(root, name, save)
    data, (split,) = read_link(name, root)
    assert data.keys() == ["x"]
    assert data.x.dtype == torch.float32
    np.testing.assert_array_equal(data.x.numpy(), features(name))
    np.testing.assert_array_equal(split.train, EDGES.T)
    np.testing.assert_array_equal(split.val, NEW_EDGES["valid"].T)
    np.testing.assert_array_equal(split.test, NEW_EDGES["test"].T)
    np.testing.assert_array_equal(split.val_neg, NEGATIVES["valid"].T)
    np.testing.assert_array_equal(split.test_neg, NEGATIVES["test"].T)
    assert split.train.dtype == torch.int64
    assert split.undirected


def reconstructors() -> Iterator[object]:
    yield from (np.ndarray, np.dtype, np.empty(0).__reduce__()[0], type(np.dtype("int64")))


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")  # ogb's own
def test_node_arrays_agree_with_those_of_ogb(root):
    from ogb.nodeproppred import PygNodePropPredDataset

    folder = write(root, "ogbn-products")
    ours, (split,) = read_node("ogbn-products", root)
    with torch.serialization.safe_globals([Data, DataEdgeAttr, DataTensorAttr, GlobalStorage]):
        theirs = PygNodePropPredDataset("ogbn-products", root=str(folder.parent))
    assert torch.equal(ours.edge_index, theirs[0].edge_index)
    assert torch.equal(ours.x, theirs[0].x)
    assert torch.equal(ours.y.float(), theirs[0].y.view(-1).nan_to_num(-1))
    for part, index in theirs.get_idx_split().items():
        assert torch.equal(split["val" if part == "valid" else part], index.sort().values)


def test_link_arrays_agree_with_those_of_ogb(root):
    from ogb.linkproppred import PygLinkPropPredDataset

    folder = write(root, "ogbl-collab")
    ours, (split,) = read_link("ogbl-collab", root)
    safe = [Data, DataEdgeAttr, DataTensorAttr, GlobalStorage, *reconstructors()]
    with torch.serialization.safe_globals(safe):
        theirs = PygLinkPropPredDataset("ogbl-collab", root=str(folder.parent))
        edges = theirs.get_edge_split()
    assert torch.equal(ours.x, theirs[0].x)
    assert torch.equal(theirs[0].edge_index[:, ::2], split.train)
    assert torch.equal(split.train, edges["train"]["edge"].t())
    assert torch.equal(split.val, edges["valid"]["edge"].t())
    assert torch.equal(split.test, edges["test"]["edge"].t())
    assert torch.equal(split.val_neg, edges["valid"]["edge_neg"].t())
    assert torch.equal(split.test_neg, edges["test"]["edge_neg"].t())


def test_table_agrees_with_that_of_ogb():
    import ogb

    for name, dataset in TASKS.items():
        table = "nodeproppred" if dataset.kind == "node" else "linkproppred"
        theirs = pd.read_csv(Path(ogb.__file__).parent / table / "master.csv", index_col=0)[name]
        assert dataset.metric == {"acc": "accuracy"}.get(theirs["eval metric"], theirs["eval metric"])
        assert dataset.directed == (theirs["add_inverse_edge"] == "False")
        assert theirs["split"] == SPLITS[name]


@pytest.mark.parametrize("name", list(TASKS))
def test_task_says_what_it_is(root, name, monkeypatch):
    write(root, name)
    monkeypatch.setenv("GRAPHTASKS_ROOT", str(root))
    task, dataset = TASKS[name].load("ogb", None), TASKS[name]
    assert (task.name, task.kind, task.metric.name) == (name, dataset.kind, dataset.metric)
    assert (task.source, task.licence) == (f"Open Graph Benchmark, {name}", FACTS[name].licence)
    assert task.protocol == f"OGB's one split by {SPLITS[name].replace('_', ' ')}"
    assert len(task.splits) == 1
    assert task.directed == (name == "ogbn-arxiv")
    assert dataset.protocols == ("ogb",)


def test_perfect_predictions_have_the_highest_score(root):
    write(root, "ogbn-arxiv")
    task = load(root, "ogbn-arxiv")
    assert task.evaluate(task.data.y.clamp(min=0), 0, "test") == 1


@pytest.mark.parametrize("name", list(TASKS))
def test_loading_says_nothing_and_writes_nothing(root, name, capfd):
    folder = write(root, name)
    capfd.readouterr()
    for path in [*root.rglob("*"), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree(root)
    load(root, name)
    assert tree(root) == before
    assert capfd.readouterr() == ("", "")
    for path in [root, folder.parent, *folder.parent.rglob("*")]:
        path.chmod(0o755)


def test_files_of_another_release_are_read_without_a_question(root):
    folder = write(root, "ogbn-arxiv")
    (folder / "RELEASE_v1.txt").unlink()
    before = tree(root)
    assert load(root, "ogbn-arxiv").num_nodes == NODES
    assert tree(root) == before


@pytest.mark.parametrize("known", [[], [np.ndarray]])
def test_what_torch_loads_safely_stays_what_it_was(root, known):
    write(root, "ogbl-ppa")
    with torch.serialization.safe_globals(known):
        before = set(torch.serialization.get_safe_globals())
        load(root, "ogbl-ppa")
        assert set(torch.serialization.get_safe_globals()) == before
        (root / "ogb/ogbl_ppa/split/throughput/train.pt").write_bytes(b"")
        with pytest.raises(InvalidDataError):
            load(root, "ogbl-ppa")
        assert set(torch.serialization.get_safe_globals()) == before


class Trap:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.path), "w")


def save_plain_pickle(content: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


def save_legacy(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, save_legacy, save_plain_pickle])
@pytest.mark.parametrize("hidden", [False, True])
def test_pickles_of_anything_else_are_not_executed(root, tmp_path, save, hidden):
    folder = write(root, "ogbl-collab")
    sprung = tmp_path / "sprung"
    path = folder / "split/time/valid.pt"
    content: dict[str, object] = dict(link_arrays("valid"))
    content["weight"] = np.array([Trap(sprung)], dtype=object) if hidden else Trap(sprung)
    save(content, path)
    before = tree(root)
    with pytest.raises(InvalidDataError, match=r"valid\.pt is damaged or holds more than arrays") as error:
        load(root, "ogbl-collab")
    assert "weights_only=False" not in str(error.value)
    assert not sprung.exists()
    assert tree(root) == before
    # The trap works: an unsafe loader springs it.
    pickle.loads(pickle.dumps(Trap(sprung))).close()
    assert sprung.exists()


@pytest.mark.parametrize("name", list(TASKS))
def test_missing_folder_is_an_error_that_says_what_to_do(root, name):
    with pytest.raises(MissingFilesError) as error:
        load(root, name)
    message = str(error.value)
    folder = root / "ogb" / name.replace("-", "_")
    download = {"ogbn-arxiv": "nodeproppred/arxiv", "ogbn-products": "nodeproppred/products"}
    download |= {"ogbl-collab": "linkproppred/collab", "ogbl-ppa": "linkproppred/ppassoc"}
    assert f"{name!r} is not in {folder}:" in message
    assert f"http://snap.stanford.edu/ogb/data/{download[name]}.zip" in message
    assert not root.exists()
    assert not TASKS[name].found(root)
    write(root, name)
    assert TASKS[name].found(root)
    named = message.split("missing ")[1].split(";")[0].split(", ")
    assert all((folder / file).is_file() for file in named)


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("ogbn-arxiv", ["raw/edge.csv.gz"]),
        ("ogbn-arxiv", ["raw/node-label.csv.gz", "split/time/valid.csv.gz"]),
        ("ogbn-products", ["raw/node-feat.csv.gz"]),
        ("ogbl-collab", ["raw/num-node-list.csv.gz", "raw/num-edge-list.csv.gz"]),
        ("ogbl-ppa", ["split/throughput/train.pt", "split/throughput/test.pt"]),
    ],
)
def test_partial_folder_is_an_error_that_names_each_missing_file(root, name, gone):
    folder = write(root, name)
    for file in gone:
        (folder / file).unlink()
    before = tree(root)
    with pytest.raises(MissingFilesError, match=f"{name!r} is incomplete in {folder}") as error:
        load(root, name)
    assert set(str(error.value).split("missing ")[1].split(";")[0].split(", ")) == set(gone)
    assert tree(root) == before


RAW = ("edge", "node-feat", "num-node-list", "num-edge-list")


@pytest.mark.parametrize("size", [0, 1, 2])
@pytest.mark.parametrize(
    ("name", "file"),
    [("ogbn-arxiv", f"raw/{file}.csv.gz") for file in (*RAW, "node-label")]
    + [("ogbn-arxiv", f"split/time/{part}.csv.gz") for part in INDICES]
    + [("ogbl-collab", f"raw/{file}.csv.gz") for file in RAW]
    + [("ogbl-collab", f"split/time/{part}.pt") for part in INDICES],
)
def test_truncated_file_is_an_error_that_names_it_and_deletes_nothing(root, name, file, size):
    path = write(root, name) / file
    content = path.read_bytes()
    path.write_bytes(content[: (0, len(content) // 2, len(content) - 1)[size]])
    before = tree(root)
    with pytest.raises(InvalidDataError, match=str(path)):
        load(root, name)
    assert tree(root) == before


@pytest.mark.parametrize(
    ("name", "first", "second", "cause"),
    [
        ("ogbn-arxiv", "raw/edge.csv.gz", "raw/node-feat.csv.gz", r"edge\.csv\.gz has 3 columns, expected 2"),
        ("ogbl-ppa", "raw/edge.csv.gz", "raw/node-feat.csv.gz", r"edge\.csv\.gz has 4 columns, expected 2"),
        ("ogbn-arxiv", "raw/node-label.csv.gz", "raw/node_year.csv.gz", r"node-label\.csv\.gz has labels other than"),
        ("ogbn-arxiv", "raw/node-label.csv.gz", "raw/edge.csv.gz", r"edge\.csv\.gz has 1 columns, expected 2"),
        ("ogbn-arxiv", "raw/num-node-list.csv.gz", "raw/edge.csv.gz", r"num-node-list\.csv\.gz cannot be read"),
        ("ogbn-arxiv", "split/time/test.csv.gz", "raw/edge.csv.gz", r"edge\.csv\.gz has 2 rows.*edge-list\S* says 6"),
        ("ogbl-collab", "split/time/train.pt", "split/time/valid.pt", r"train\.pt has 3 edges, but .* has 6"),
        ("ogbl-collab", "split/time/train.pt", "raw/edge.csv.gz", r"edge\.csv\.gz cannot be read \(BadGzipFile"),
    ],
)
def test_swapped_files_are_an_error_that_deletes_nothing(root, name, first, second, cause):
    folder = write(root, name)
    content = (folder / first).read_bytes()
    (folder / first).write_bytes((folder / second).read_bytes())
    (folder / second).write_bytes(content)
    before = tree(root)
    with pytest.raises(InvalidDataError, match=cause) as error:
        load(root, name)
    assert str(folder) in str(error.value)
    assert tree(root) == before


EXTRA = [[0, 0]]


@pytest.mark.parametrize(
    ("name", "file", "table", "cause"),
    [
        ("ogbn-arxiv", "raw/edge", [*EDGES, *EXTRA], r"edge\.csv\.gz has 7 rows, but num-edge-list\.csv\.gz says 6"),
        ("ogbl-ppa", "raw/edge", [*EDGES, *EXTRA], r"edge\.csv\.gz has 7 rows, but num-edge-list\.csv\.gz says 6"),
        ("ogbn-arxiv", "raw/edge", EDGES[:5], r"edge\.csv\.gz has 5 rows, but num-edge-list\.csv\.gz says 6"),
        ("ogbn-arxiv", "raw/node-feat", np.ones((7, 3)), r"node-feat\.csv\.gz has 7 rows, but num-node-list\S* says 6"),
        ("ogbn-arxiv", "raw/node-label", [0] * 7, r"node-label\.csv\.gz has shape \(7, 1\), expected \(6, 1\)"),
        ("ogbn-arxiv", "raw/node-label", np.zeros((6, 2)), r"node-label\.csv\.gz has shape \(6, 2\)"),
        ("ogbn-arxiv", "raw/node-label", [0, 1, 2, 3, 4, 40], r"node-label\.csv\.gz has labels other than 0 to 39"),
        ("ogbn-products", "raw/node-label", [0, 1, 2, 3, 4, 0.5], "has labels other than 0 to 46"),
        ("ogbn-arxiv", "raw/node-label", list("abcdef"), r"node-label\.csv\.gz cannot be read \(ValueError"),
        ("ogbn-arxiv", "raw/num-node-list", [3, 3], r"num-node-list\.csv\.gz cannot be read"),
        ("ogbn-arxiv", "raw/edge", EDGES + 1, r"edge\.csv\.gz names nodes 1 to 6, but the graph has nodes 0 to 5"),
        ("ogbl-ppa", "raw/edge", EDGES - 1, r"edge\.csv\.gz names nodes -1 to 4"),
        ("ogbn-arxiv", "raw/edge", [*EDGES[:5], [0, np.nan]], r"edge\.csv\.gz names nodes"),
        ("ogbn-arxiv", "raw/edge", [["a", "b"]] * 6, r"raw cannot be read \(ValueError"),
        ("ogbn-arxiv", "raw/node-feat", np.diag([1.0, 1, 1, 1, 1, np.nan]), r"node-feat\.csv\.gz has NaN"),
        ("ogbl-ppa", "raw/node-feat", [["a"]] * 6, r"raw cannot be read \(ValueError"),
        ("ogbn-arxiv", "split/time/train", [0, 4, 0], "time lists 7 nodes, but the graph has 6"),
        ("ogbn-arxiv", "split/time/train", [0], "time lists 5 nodes, but the graph has 6"),
        ("ogbn-arxiv", "split/time/train", [0, 1], "time holds no split of the nodes"),
        ("ogbn-arxiv", "split/time/train", [0, 6], r"train\.csv\.gz is no column of nodes from 0 to 5"),
        ("ogbn-arxiv", "split/time/test", [[5, 3]], r"test\.csv\.gz is no column of nodes"),
        ("ogbn-arxiv", "split/time/test", [5.5, 3], r"test\.csv\.gz cannot be read \(TypeError"),
    ],
)
def test_table_with_other_rows_is_an_error_that_deletes_nothing(root, name, file, table, cause):
    folder = write(root, name)
    write_csv(folder / f"{file}.csv.gz", table)
    before = tree(root)
    with pytest.raises(InvalidDataError, match=cause) as error:
        load(root, name)
    assert str(folder) in str(error.value)
    assert tree(root) == before


@pytest.mark.parametrize(
    ("part", "content", "cause"),
    [
        ("train", {"edge": np.concatenate([EDGES, EXTRA])}, r"train\.pt has 7 edges, but .*edge\.csv\.gz has 6"),
        ("train", {"edge": EDGES.T}, r"'edge' of .*train\.pt has shape \(2, 6\)"),
        ("train", {"edge": EDGES.astype(np.float32)}, "dtype float32, expected"),
        ("train", {"edge": torch.from_numpy(EDGES).to_sparse()}, r"train\.pt cannot be read \(TypeError"),
        ("train", {"weight": EDGES}, r"train\.pt cannot be read \(KeyError: 'edge'"),
        ("train", [EDGES], r"train\.pt cannot be read \(TypeError"),
        ("valid", {"edge": EDGES}, r"valid\.pt cannot be read \(KeyError: 'edge_neg'"),
        (
            "valid",
            {"edge": EDGES, "edge_neg": torch.empty(0, 2, dtype=torch.int64)},
            r"'edge_neg' of .*valid\.pt has shape \(0, 2\)",
        ),
        ("test", {"edge": EDGES + 1, "edge_neg": EDGES}, r"'edge' of .*test\.pt names nodes 1 to 6"),
        ("test", {"edge": EDGES, "edge_neg": EDGES - 1}, r"'edge_neg' of .*test\.pt names nodes -1 to 4"),
    ],
)
def test_link_split_with_bad_content_is_an_error_that_deletes_nothing(root, part, content, cause):
    folder = write(root, "ogbl-collab")
    torch.save(content, folder / f"split/time/{part}.pt")
    before = tree(root)
    with pytest.raises(InvalidDataError, match=cause) as error:
        load(root, "ogbl-collab")
    assert str(folder) in str(error.value)
    assert tree(root) == before


def test_integers_of_32_bits_are_taken(root):
    folder = write(root, "ogbl-collab")
    torch.save({"edge": EDGES.astype(np.int32)}, folder / "split/time/train.pt")
    np.testing.assert_array_equal(load(root, "ogbl-collab").splits[0].train, EDGES.T)


def test_importing_the_library_does_not_import_ogb():
    code = "import sys, graphtasks, graphtasks.sources.ogb; sys.exit('ogb' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
