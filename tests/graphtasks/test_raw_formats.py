"""Each raw format that PyG reads, written by hand: what comes back is what was written, and damage is an error."""

import fnmatch
import gc
import json
import os
import pickle
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from scipy.sparse import coo_matrix, csr_matrix, save_npz
from torch_geometric import datasets as pyg

from graphtasks import GraphTask, InvalidDataError, MissingFilesError, UnknownTaskError, load
from graphtasks.registry import CATALOGUE
from graphtasks.sources.cache import cache_folder
from graphtasks.sources.pyg import LONG_RANGE_DATASETS, PYG_DATASETS

CLASSES = (
    pyg.Planetoid,
    pyg.CitationFull,
    pyg.Amazon,
    pyg.Coauthor,
    pyg.WebKB,
    pyg.WikipediaNetwork,
    pyg.Actor,
    pyg.HeterophilousGraphDataset,
    pyg.LINKXDataset,
    pyg.Twitch,
    pyg.Flickr,
    pyg.Reddit,
    pyg.LRGBDataset,
)

Edges = list[tuple[int, int]]
Parts = tuple[list[int], list[int], list[int]]


@dataclass
class Content:
    """What a task must hold: features before they are normalised, edges in any order, the fixed splits."""

    x: np.ndarray
    y: np.ndarray
    edges: Edges
    splits: list[Parts] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """A dataset, where its files are, and a writer `write(folder, seed)` of tiny ones."""

    name: str
    folder: str
    write: Callable[[Path, int], Content | list[list[Content]]]
    protocol: str
    metric: str = "accuracy"
    normalized: bool = False
    directed: bool = True

    def __str__(self) -> str:
        return f"{self.name}-{self.protocol}"


def tiny(seed: int, nodes: int = 48) -> tuple[np.ndarray, np.ndarray, Edges]:
    """Counts of 5 words, of which node 2 has none, two classes, and distinct one-way edges with a self-loop."""
    rng = np.random.default_rng(seed)
    nodes += 2 * seed
    x = rng.integers(0, 3, (nodes, 5)).astype(np.float64)
    x[2] = 0
    x[0] = [0, 1, 2, 3, 0]
    y = rng.permutation(np.arange(nodes) % 2)
    pairs = {(int(a), int(b)) for a, b in rng.integers(0, nodes, (2 * nodes, 2)) if a < b}
    return x, y, [*sorted(pairs - {(0, 1)}), (0, 1), (3, 3)]


def both_ways(edges: Edges) -> Edges:
    return sorted({*edges, *((b, a) for a, b in edges)})


def ten_splits(nodes: int) -> list[Parts]:
    """Node i trains, node i + 1 validates, all others test."""
    return [([i], [i + 1], [j for j in range(nodes) if j not in (i, i + 1)]) for i in range(10)]


def mask(nodes: int, index: list[int], dtype: type = bool) -> np.ndarray:
    return np.isin(np.arange(nodes), index).astype(dtype)


def write_masks(folder: Path, name: str, splits: list[Parts], nodes: int) -> None:
    for i, split in enumerate(splits):
        # Those of WikipediaNetwork are numbers, not booleans.
        masks = {f"{part}_mask": mask(nodes, split[k], np.uint8) for k, part in enumerate(("train", "val", "test"))}
        np.savez(folder / f"{name}_split_0.6_0.2_{i}.npz", **masks)


def sparse_arrays(matrix: csr_matrix, prefix: str) -> dict[str, np.ndarray]:
    arrays = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr, "shape": matrix.shape}
    return {prefix + key: np.asarray(value) for key, value in arrays.items()}


def adjacency(edges: Edges, nodes: int) -> csr_matrix:
    row, col = np.array(edges).T
    return csr_matrix((np.ones(len(edges)), (row, col)), (nodes, nodes))


def planetoid(name: str, geom_gcn: bool = False) -> Callable[[Path, int], Content]:
    """https://github.com/kimiyoung/planetoid: 4 nodes train, 500 validate, 8 of the last 10 test, out of order."""
    train, known, last = 4, 590, 10

    def write(folder: Path, seed: int) -> Content:
        x, y, edges = tiny(seed, nodes=known + last - 2 * seed)
        test = known + np.array([5, 0, 3, 9, 1, 8, 2, 7] if name == "citeseer" else [5, 0, 3, 9, 1, 8, 2, 7, 6, 4])
        absent = [node for node in range(known, known + last) if node not in test]
        edges = [(a, b) for a, b in both_ways(edges) if a != b and a not in absent and b not in absent]
        x[absent], y[absent] = 0, 0  # isolated nodes, which the files do not list
        onehot = np.eye(2)[y]
        neighbours: dict[int, list[int]] = {node: [] for node in range(known + last)}
        for a, b in [*edges, edges[0], (3, 3)]:
            neighbours[a].append(b)
        objects = {
            "x": csr_matrix(x[:train]),
            "tx": csr_matrix(x[test]),
            "allx": csr_matrix(x[:known]),
            "y": onehot[:train],
            "ty": onehot[test],
            "ally": onehot[:known],
            "graph": neighbours,
        }
        for part, value in objects.items():
            (folder / f"ind.{name}.{part}").write_bytes(pickle.dumps(value, protocol=2))
        (folder / f"ind.{name}.test.index").write_text("".join(f"{node}\n" for node in test))
        splits = [(list(range(train)), list(range(train, train + 500)), sorted(test.tolist()))]
        if geom_gcn:
            splits = ten_splits(len(x))
            write_masks(folder, name, splits, len(x))
        return Content(x, y, edges, splits)

    return write


def sparse_npz(file: str, directed: bool = False) -> Callable[[Path, int], Content]:
    """https://github.com/shchur/gnn-benchmark: words are there or not, no self-loops."""

    def write(folder: Path, seed: int) -> Content:
        x, y, edges = tiny(seed)
        arrays = sparse_arrays(csr_matrix(x), "attr_") | sparse_arrays(adjacency(edges, len(x)), "adj_")
        np.savez(folder / file, **arrays, labels=y)
        edges = [(a, b) for a, b in edges if a != b]
        return Content((x > 0) * 1.0, y, edges if directed else both_ways(edges))

    return write


def geom_gcn(splits_name: str, lists: bool = False) -> Callable[[Path, int], Content]:
    """https://github.com/graphdml-uiuc-jlu/geom-gcn; `lists`: as of Actor, columns of ones, and nodes in any order."""

    def write(folder: Path, seed: int) -> Content:
        x, y, edges = tiny(seed)
        order = np.arange(len(x))
        if lists:
            x = (x > 0) * 1.0
            x[:, 0] = 1  # a node without any cannot be written
            order = order[::-1]
        rows = [
            ",".join(map(str, row.nonzero()[0])) if lists else ",".join(str(int(value)) for value in row) for row in x
        ]
        nodes = [f"{node}\t{rows[node]}\t{y[node]}\n" for node in order]
        (folder / "out1_node_feature_label.txt").write_text("node_id\tfeature\tlabel\n" + "".join(nodes))
        pairs = [f"{a}\t{b}\n" for a, b in [*edges[::-1], edges[0]]]
        (folder / "out1_graph_edges.txt").write_text("node_id\tnode_id\n" + "".join(pairs))
        splits = ten_splits(len(x))
        write_masks(folder, splits_name, splits, len(x))
        return Content(x, y, edges, splits)

    return write


def heterophilous(file: str, directed: bool = False) -> Callable[[Path, int], Content]:
    """https://github.com/yandex-research/heterophilous-graphs: each edge once, masks in rows."""

    def write(folder: Path, seed: int) -> Content:
        x, y, edges = tiny(seed)
        splits = ten_splits(len(x))
        masks = {
            f"{part}_masks": np.stack([mask(len(x), split[k]) for split in splits])
            for k, part in enumerate(("train", "val", "test"))
        }
        x = x.astype(np.float32) - 0.5
        np.savez(folder / file, node_features=x, node_labels=y, edges=np.array(edges), **masks)
        return Content(x, y, edges if directed else both_ways(edges), splits)

    return write


def facebook(penn94: bool = False) -> Callable[[Path, int], Content]:
    """https://github.com/CUAI/Non-Homophily-Large-Scale: the second column is the label plus one, the others onehot."""

    def write(folder: Path, seed: int) -> Content:
        x, y, edges = tiny(seed)
        y = y.copy()
        y[:4] = -1
        info = np.concatenate([x[:, :1], y[:, None] + 1, x[:, 1:]], axis=1)
        edges = both_ways(edges)
        savemat(folder / "data.mat", {"A": adjacency(edges, len(x)), "local_info": info})
        if penn94:
            splits = [{"train": np.array([4 + i]), "valid": np.array([20]), "test": np.array([21, 22])} for i in (0, 1)]
            np.save(folder / "fb100-Penn94-splits.npy", np.array(splits, dtype=object))
        onehot = [np.eye(column.max() + 1)[column] for column in (np.unique(c, return_inverse=True)[1] for c in x.T)]
        return Content(np.concatenate(onehot, axis=1), y, edges)

    return write


def twitch(file: str) -> Callable[[Path, int], Content]:
    """https://github.com/benedekrozemberczki/datasets: the edges as they are, repeated ones too."""

    def write(folder: Path, seed: int) -> Content:
        x, y, edges = tiny(seed)
        edges = [*edges, edges[0]]
        np.savez(folder / file, features=x.astype(np.uint8), target=y, edges=np.array(edges, dtype=np.int32))
        return Content(x, y, edges)

    return write


def flickr(folder: Path, seed: int) -> Content:
    """https://github.com/GraphSAINT/GraphSAINT."""
    x, y, edges = tiny(seed)
    np.savez(folder / "adj_full.npz", **sparse_arrays(adjacency(edges, len(x)), ""))
    np.save(folder / "feats.npy", x - 0.5)
    (folder / "class_map.json").write_text(json.dumps({str(node): int(y[node]) for node in reversed(range(len(y)))}))
    (split,) = splits = [([5, 1, 3], [0, 2], [*range(6, len(x)), 4])]
    (folder / "role.json").write_text(json.dumps(dict(zip(("tr", "va", "te"), split, strict=True))))
    return Content(x - 0.5, y, edges, splits)


def reddit(folder: Path, seed: int) -> Content:
    """https://data.dgl.ai/dataset/reddit.zip: types of nodes 1 to 3."""
    x, y, edges = tiny(seed)
    row, col = np.array([*edges, edges[0]]).T
    save_npz(folder / "reddit_graph.npz", coo_matrix((np.ones(len(row)), (row, col)), (len(x), len(x))))
    types = np.arange(len(x)) % 3 + 1
    np.savez(folder / "reddit_data.npz", feature=x - 0.5, label=y, node_types=types)
    return Content(x - 0.5, y, edges, [tuple((types == i).nonzero()[0].tolist() for i in (1, 2, 3))])


def long_range(name: str) -> Callable[[Path, int], list[list[Content]]]:
    """https://github.com/vijaydwivedi75/lrgb: 3, 2 and 1 graphs, each (x, edge_attr, edge_index, y)."""

    def write(folder: Path, seed: int) -> list[list[Content]]:
        parts = []
        for k, part in enumerate(("train", "val", "test")):
            contents, graphs = [], []
            for i in range(3 - k):
                x, y, edges = tiny(seed + 10 * k + i, nodes=4)
                edges = both_ways(edges)
                table, labels = torch.from_numpy(x), y.tolist()
                if name == "coco-sp":
                    labels, y = [0, 13, 90, *labels[3:]], np.array([0, 12, 80, *y[3:]])
                elif name.startswith("peptides"):
                    table = table.long()
                    y = (x[:1, [0, 1, 2, 3, 4] * 2] > 1) * 1.0 if name.endswith("func") else np.arange(11.0)[None] / 8
                    labels = torch.from_numpy(y).float()
                graphs.append((table, torch.ones(len(edges), 3), torch.tensor(edges).t().contiguous(), labels))
                contents.append(Content(x, y, edges))
            parts.append(contents)
            if name.endswith("-sp"):
                (folder / f"{part}.pickle").write_bytes(pickle.dumps(graphs))
            else:
                torch.save(graphs, folder / f"{part}.pt")
        return parts

    return write


def cases() -> Iterator[Case]:
    for name in ("Cora", "CiteSeer", "PubMed"):
        key = name.lower()
        yield Case(key, f"Planetoid/{name}/raw", planetoid(key), "public", normalized=True, directed=False)
        folder, write = f"Planetoid/{name}/geom-gcn/raw", planetoid(key, geom_gcn=True)
        yield Case(key, folder, write, "geom-gcn", normalized=True, directed=False)
    for key, name in (
        ("cora-full", "cora"),
        ("cora-ml", "cora_ml"),
        ("citeseer-full", "citeseer"),
        ("dblp", "dblp"),
        ("pubmed-full", "pubmed"),
    ):
        folder, file = f"CitationFull/{name}/raw", f"{name}.npz"
        yield Case(key, folder, sparse_npz(file), "random", normalized=True, directed=False)
        yield Case(f"{key}-directed", folder, sparse_npz(file, directed=True), "random", normalized=True)
    for key, folder, file in (
        ("amazon-computers", "Amazon/Computers/raw", "amazon_electronics_computers.npz"),
        ("amazon-photo", "Amazon/Photo/raw", "amazon_electronics_photo.npz"),
        ("coauthor-cs", "Coauthor/CS/raw", "ms_academic_cs.npz"),
        ("coauthor-physics", "Coauthor/Physics/raw", "ms_academic_phy.npz"),
    ):
        yield Case(key, folder, sparse_npz(file), "random", normalized=True, directed=False)
    for key in ("texas", "wisconsin", "cornell"):
        yield Case(key, f"WebKB/{key}/raw", geom_gcn(key), "geom-gcn")
    for key in ("chameleon", "squirrel"):
        yield Case(key, f"WikipediaNetwork/{key}/geom_gcn/raw", geom_gcn(key), "geom-gcn")
    yield Case("actor", "Actor/raw", geom_gcn("film", lists=True), "geom-gcn")
    for key in ("roman-empire", "amazon-ratings", "minesweeper", "tolokers", "questions"):
        name = key.replace("-", "_")
        folder, write = f"HeterophilousGraphDataset/{name}/raw", heterophilous(f"{name}.npz")
        metric = "accuracy" if key in ("roman-empire", "amazon-ratings") else "roc_auc"
        yield Case(key, folder, write, "public", metric, directed=False)
    for key in ("penn94", "reed98", "amherst41", "cornell5", "johnshopkins55"):
        yield Case(key, f"LINKXDataset/{key}/raw", facebook(key == "penn94"), "linkx", directed=False)
    for name in ("DE", "EN", "ES", "FR", "PT", "RU"):
        yield Case(f"twitch-{name.lower()}", f"Twitch/{name}/raw", twitch(f"{name}.npz"), "linkx", "roc_auc")
    yield Case("flickr", "Flickr/raw", flickr, "public")
    yield Case("reddit", "Reddit/raw", reddit, "public")
    for key, metric in (
        ("pascalvoc-sp", "macro_f1"),
        ("coco-sp", "macro_f1"),
        ("peptides-func", "ap"),
        ("peptides-struct", "mae"),
    ):
        yield Case(key, f"LRGBDataset/{key}/raw", long_range(key), "public", metric, directed=False)
    for name in ("chameleon", "squirrel"):
        write = heterophilous(f"{name}_filtered.npz")
        yield Case(f"{name}-filtered", "heterophilous_npz", write, "public", directed=False)
        write = heterophilous(f"{name}_filtered_directed.npz", directed=True)
        yield Case(f"{name}-filtered-directed", "heterophilous_npz", write, "public")


CASES = {str(case): case for case in cases()}
GRAPHS = [case for case in CASES.values() if case.folder.split("/")[0] != "LRGBDataset"]
SETS = [case for case in CASES.values() if case not in GRAPHS]
# One for each way that files are read.
FORMATS = [
    CASES[key]
    for key in (
        "cora-public",
        "citeseer-geom-gcn",
        "cora-ml-random",
        "coauthor-cs-random",
        "texas-geom-gcn",
        "chameleon-geom-gcn",
        "actor-geom-gcn",
        "minesweeper-public",
        "cornell5-linkx",
        "penn94-linkx",
        "twitch-de-linkx",
        "flickr-public",
        "reddit-public",
        "pascalvoc-sp-public",
        "peptides-func-public",
        "chameleon-filtered-public",
    )
]
ONE_FILE = ("cora-ml", "coauthor-cs", "minesweeper", "cornell5", "twitch-de", "chameleon-filtered")

each_graph = pytest.mark.parametrize("case", GRAPHS, ids=str)
each_set = pytest.mark.parametrize("case", SETS, ids=str)
each_format = pytest.mark.parametrize("case", FORMATS, ids=str)
each_case = pytest.mark.parametrize("case", CASES.values(), ids=str)


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """A cache folder and a default root of the test's own; who downloads fails the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GRAPHTASKS_ROOT", raising=False)
    for cls in CLASSES:
        monkeypatch.setattr(cls, "download", lambda dataset: pytest.fail(f"{dataset} was downloaded"))


@pytest.fixture
def no_network(offline, monkeypatch):
    """Downloads are tried, and raise what an absent network does."""

    def download(dataset):
        raise OSError("no network")

    for cls in CLASSES:
        monkeypatch.setattr(cls, "download", download)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "root"


def write(case: Case, root: Path, seed: int = 0) -> Content:
    folder = root / case.folder
    folder.mkdir(parents=True, exist_ok=True)
    return case.write(folder, seed)


def tree(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """All that is under a folder, with times and contents."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")}


def pairs(edge_index: torch.Tensor) -> Edges:
    return sorted(map(tuple, edge_index.t().tolist()))


def parts(task: GraphTask) -> list[Parts]:
    return [(split.train.tolist(), split.val.tolist(), split.test.tolist()) for split in task.splits]


def sum_to_one(x: np.ndarray) -> np.ndarray:
    x = x - x.min()
    return x / x.sum(axis=1, keepdims=True).clip(min=1)


def test_every_dataset_with_a_class_is_written_here():
    assert {case.name for case in CASES.values() if case.folder != "heterophilous_npz"} == {
        dataset.task_name for dataset in (*PYG_DATASETS, *LONG_RANGE_DATASETS)
    }
    assert {dataset.cls for dataset in PYG_DATASETS} <= set(CLASSES)


@each_graph
def test_graph_is_what_was_written(case, root):
    content = write(case, root)
    task = load(case.name, root=root, split=case.protocol)
    x = sum_to_one(content.x) if case.normalized else content.x
    np.testing.assert_allclose(task.data.x.numpy(), x, rtol=1e-6)
    assert task.data.y.tolist() == content.y.tolist()
    assert pairs(task.data.edge_index) == sorted(content.edges)
    assert task.directed is case.directed
    assert (task.kind, task.metric.name, task.name) == ("node", case.metric, case.name)
    if content.splits:
        assert parts(task) == [tuple(map(sorted, split)) for split in content.splits]


@each_set
def test_graphs_are_what_was_written(case, root):
    contents = write(case, root)
    task = load(case.name, root=root)
    flat = [content for part in contents for content in part]
    assert len(task.data) == len(flat)
    for graph, content in zip(task.data, flat, strict=True):
        assert graph.x.tolist() == content.x.tolist()
        assert graph.y.tolist() == content.y.tolist()
        assert pairs(graph.edge_index) == content.edges
    assert parts(task) == [([0, 1, 2], [3, 4], [5])]
    assert task.directed is False
    assert task.kind == ("node" if case.name.endswith("-sp") else "graph")
    assert task.metric.name == case.metric
    assert task.num_outputs == {"pascalvoc-sp": 2, "coco-sp": 81, "peptides-func": 10, "peptides-struct": 11}[case.name]


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("name", ["cora-public", "cora-ml-random", "coauthor-cs-random", "texas-geom-gcn"])
def test_features_are_normalised_or_not_on_request(root, name, normalize):
    case = CASES[name]
    content = write(case, root)
    task = load(case.name, root=root, normalize=normalize)
    np.testing.assert_allclose(task.data.x.numpy(), sum_to_one(content.x) if normalize else content.x, rtol=1e-6)


@each_set
def test_graphs_have_no_option_to_normalise(case, root):
    with pytest.raises(UnknownTaskError, match="normalize"):
        load(case.name, root=root, normalize=True)


@pytest.mark.parametrize(
    "case", [case for case in GRAPHS if case.protocol == CATALOGUE[case.name].protocols[0]], ids=str
)
def test_each_protocol_splits_as_it_says(case, root):
    content = write(case, root)
    labelled = (content.y >= 0).nonzero()[0].tolist()
    for protocol in CATALOGUE[case.name].protocols:
        if protocol in ("public", "geom-gcn") or (protocol == "tunedgnn" and "Planetoid" not in case.folder):
            continue  # they are in files, and other tests compare them
        task = load(case.name, root=root, split=protocol)
        for split in parts(task):
            train, val, test = split
            counts = [[int((content.y[part] == label).sum()) for label in (0, 1)] for part in split]
            if protocol == "tunedgnn":
                assert counts[0] == [20, 20]
                assert (len(val), len(test)) == (500, 60)
            else:
                assert sorted([*train, *val, *test]) == labelled
            if protocol == "random":
                assert counts[0] == [20, 20]
                assert len(val) == min(500, (len(labelled) - 40) // 2)
            elif protocol == "linkx":
                assert [len(part) for part in split] == [len(labelled) // 2, len(labelled) // 4, len(labelled) // 4]
            elif protocol == "stratified":
                for label in (0, 1):
                    size = int((content.y == label).sum())
                    assert [count[label] for count in counts] == pytest.approx(
                        [0.6 * size, 0.2 * size, 0.2 * size], abs=1
                    )
        assert len(task.splits) == {"random": 10, "stratified": 10, "linkx": 5, "tunedgnn": 1}[protocol]
        assert len({tuple(train) for train, _, _ in parts(task)}) == len(task.splits)
        assert parts(load(case.name, root=root, split=protocol)) == parts(task)


def content_of(task: GraphTask) -> list[object]:
    """All that a reader takes from the files, as something to compare."""
    graphs = [(graph.x.tolist(), graph.y.tolist(), graph.edge_index.tolist()) for graph in task.graphs]
    return [graphs, parts(task), task.directed]


def load_case(case: Case, root: Path) -> list[object]:
    return content_of(load(case.name, root=root, split=case.protocol))


def file_names(case: Case, folder: Path) -> list[str]:
    """Names of all files of a case, which are written into an empty folder to find out."""
    case.write(folder, 0)
    return sorted(file.name for file in folder.iterdir())


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


def leftovers() -> list[str]:
    """Unfinished folders in the cache."""
    return [path.name for path in cache_folder().glob("partial-*")]


@each_case
def test_missing_files_are_an_error_that_names_dataset_folder_and_files(case, root, tmp_path, no_network):
    (tmp_path / "elsewhere").mkdir()
    files = file_names(case, tmp_path / "elsewhere")
    with pytest.raises(MissingFilesError) as error:
        load(case.name, root=root, split=case.protocol)
    message = str(error.value)
    assert repr(case.name) in message
    assert str(root / case.folder) in message
    assert [file for file in files if file not in message] == []
    assert not root.exists()
    assert leftovers() == []


@pytest.mark.parametrize("case", [case for case in FORMATS if case.name not in ONE_FILE], ids=str)
def test_incomplete_folder_is_named_file_by_file(case, root):
    write(case, root)
    files = sorted((root / case.folder).iterdir())
    for gone in (files[:1], files[-1:], files[1:]):
        contents = {file: file.read_bytes() for file in gone}
        for file in gone:
            file.unlink()
        before = tree(root)
        with pytest.raises(MissingFilesError) as error:
            load(case.name, root=root, split=case.protocol)
        message = str(error.value)
        assert repr(case.name) in message
        assert str(root / case.folder) in message
        named = [file.name for file in files if re.search(rf"[ ,]{re.escape(file.name)}[,;]", message)]
        assert named == [file.name for file in gone]
        assert tree(root) == before
        for file, content in contents.items():
            file.write_bytes(content)
    load_case(case, root)


def test_incomplete_folder_in_the_cache_is_named(root):
    case = CASES["penn94-linkx"]
    write(case, cache_folder())
    (cache_folder() / case.folder / "data.mat").unlink()
    with pytest.raises(MissingFilesError, match=r"missing data\.mat") as error:
        load("penn94", root=root)
    assert str(cache_folder() / case.folder) in str(error.value)


@each_format
def test_files_may_not_be_writable_and_stay_as_they_are(case, root, tmp_path):
    write(case, root)
    paths = [root, *root.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree(root)
    first = load_case(case, root)
    assert load_case(case, root) == first
    assert tree(root) == before
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert set(tmp_path.iterdir()) <= {root, tmp_path / "cache"}
    assert leftovers() == []


@each_format
def test_changed_files_are_read_anew(case, root, tmp_path):
    write(case, root)
    first = load_case(case, root)
    write(case, root, seed=1)
    write(case, tmp_path / "other", seed=1)
    assert load_case(case, root) == load_case(case, tmp_path / "other") != first


def test_file_that_was_replaced_with_its_time_kept_is_read_anew(root, tmp_path):
    # As `cp -p` and `rsync -t` do; the ten files of splits have one size.
    case = CASES["texas-geom-gcn"]
    write(case, root)
    before = parts(load("texas", root=root))
    old, new = (root / case.folder / f"texas_split_0.6_0.2_{i}.npz" for i in (3, 4))
    stat, content = old.stat(), new.read_bytes()
    assert len(content) == stat.st_size
    copy = tmp_path / "copy.npz"
    copy.write_bytes(content)
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    copy.replace(old)
    after = parts(load("texas", root=root))
    assert after[3] == before[4]


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("CORA", "cora-public"),
        ("Cora_ML", "cora-ml-random"),
        ("citeseer_FULL_Directed", "citeseer-full-directed-random"),
        ("Amazon_Photo", "amazon-photo-random"),
        ("Coauthor-CS", "coauthor-cs-random"),
        ("Roman_empire", "roman-empire-public"),
        ("TWITCH_de", "twitch-de-linkx"),
        ("Penn94", "penn94-linkx"),
        ("PascalVOC-SP", "pascalvoc-sp-public"),
        ("Squirrel_Filtered", "squirrel-filtered-public"),
    ],
)
def test_names_may_be_in_any_case_and_have_underscores(root, name, case):
    write(CASES[case], root)
    assert load(name, root=root).name == CASES[case].name


TUNED_GNN = [
    CASES[f"{name}-random"] for name in ("amazon-computers", "amazon-photo", "coauthor-cs", "coauthor-physics")
]


def write_tuned_gnn(case: Case, root: Path, **arrays: object) -> Path:
    path = root / "splits" / f"{case.name}_split.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **{key: np.asarray(value) for key, value in arrays.items()})
    return path


@pytest.mark.parametrize("case", TUNED_GNN, ids=str)
def test_tuned_gnn_split_comes_from_its_file(case, root):
    write(case, root)
    with pytest.raises(MissingFilesError, match=rf"{case.name}_split\.npz") as error:
        load(case.name, root=root, split="tunedgnn")
    assert repr(case.name) in str(error.value)
    assert str(root / "splits") in str(error.value)
    write_tuned_gnn(case, root, train=[4, 0, 2], valid=[3, 1], test=range(47, 20, -1))
    task = load(case.name, root=root, split="tunedgnn")
    assert parts(task) == [([0, 2, 4], [1, 3], list(range(21, 48)))]


@pytest.mark.parametrize(
    "changes",
    [
        {"train": [1, 4]},
        {"train": [0, 48]},
        {"train": [-1]},
        {"train": [0, 0]},
        {"train": []},
        {"train": 0},
        {"train": [[0]]},
        {"train": [0.5]},
        {"train": ["0"]},
        {"train": [True] * 48},
        {"other": [5]},
    ],
    ids=str,
)
def test_tuned_gnn_file_with_bad_content_is_an_error_that_names_it(root, changes):
    case = TUNED_GNN[1]
    write(case, root)
    write_tuned_gnn(case, root, **({"train": [0, 2], "valid": [1], "test": [3, 4]} | changes))
    with pytest.raises(InvalidDataError, match="amazon-photo"):
        load(case.name, root=root, split="tunedgnn")


# Damage that leaves a file which can be read, and which means something else; by file, and what was done to it.
UNNOTICED = {
    "*": ["of another dataset"],
    "ind.*.test.index": ["cut *", "twice", "last line twice", "zeros at the end"],
    "ind.*.y": ["as ind.*"],
    "out1_*.txt": ["cut *", "zeros at the end"],
    "*_split_*.npz": ["as *_split_*.npz"],
    "*.pickle": ["as *"],
    "*.pt": ["as *"],
    "*.npy": ["zeros at the end"],
    "*.mat": ["zeros at the end"],
}


def damages(file: Path, others: Iterable[Path], foreign: Path) -> dict[str, bytes]:
    """What a file may hold instead of what it should: parts of it, more than it, other files."""
    good = file.read_bytes()
    half = len(good) // 2
    ends = {"half": half, "most": 7 * len(good) // 8, "all but 1": len(good) - 1}
    broken = {f"cut to {name}": good[:end] for name, end in ends.items()}
    broken |= {"empty": b"", "zeros at the end": good[:half] + bytes(len(good) - half)}
    broken |= {"zeros appended": good + bytes(9), "text appended": good + b"no data\n", "twice": good + good}
    if file.suffix in (".txt", ".index"):
        broken |= {"last line twice": good + good.splitlines(keepends=True)[-1]}
    broken |= {f"as {other.name}": other.read_bytes() for other in others}
    return {**broken, "of another dataset": foreign.read_bytes()}


def attempt(case: Case, root: Path, file: Path, good: list[object], protocol: str | None = None) -> str:
    """What becomes of a load: 'same' or 'other' data, an 'error' that names dataset or file, or what else it is."""
    try:
        task = load(case.name, root=root, split=protocol or case.protocol)
    except (InvalidDataError, MissingFilesError) as error:
        message = str(error)
        return "error" if repr(case.name) in message or file.name in message else f"names nothing: {message}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "same" if content_of(task) == good else "other"


def allowed(file: str, damage: str) -> tuple[str, ...]:
    unnoticed = any(
        fnmatch.fnmatch(file, pattern) and any(fnmatch.fnmatch(damage, each) for each in done)
        for pattern, done in UNNOTICED.items()
    )
    return ("error", "same", "other") if unnoticed else ("error", "same")


def files_to_damage(case: Case) -> list[str]:
    """The files of a format, of ten files of splits one or two."""
    name, parent = case.name, case.folder.split("/")[0]
    if parent == "Planetoid":
        files = [f"ind.{name}.{part}" for part in ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")]
        if case.protocol == "public":
            return files
        return [files[-1], f"{name}_split_0.6_0.2_3.npz"]
    if parent in ("WebKB", "WikipediaNetwork", "Actor"):
        splits = "film" if name == "actor" else name
        if name == "chameleon":  # its text files are read as those of texas
            return [f"{splits}_split_0.6_0.2_{i}.npz" for i in (3, 4)]
        return [f"{splits}_split_0.6_0.2_3.npz", "out1_node_feature_label.txt", "out1_graph_edges.txt"]
    return []


# numpy leaves broken archives open, which shows when the exceptions are collected.
broken_archives = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@broken_archives
@pytest.mark.parametrize("case", [case for case in FORMATS if case.name not in ("coauthor-cs", "cornell5")], ids=str)
def test_damaged_file_is_an_error_or_does_not_matter(case, root, tmp_path):
    write(case, root)
    write(case, tmp_path / "other", seed=1)
    good = load_case(case, root)
    names = files_to_damage(case) or sorted(file.name for file in (root / case.folder).iterdir())
    wrong = {}
    for i, name in enumerate(names):
        path = root / case.folder / name
        content = path.read_bytes()
        others = [path.with_name(other) for other in [*names[:i], *names[i + 1 :]][-2:]]
        for damage, broken in damages(path, others, tmp_path / "other" / case.folder / name).items():
            path.write_bytes(broken)
            before = tree(root)
            outcome = attempt(case, root, path, good)
            if outcome not in allowed(name, damage):
                wrong[name, damage] = outcome
            assert tree(root) == before
            assert leftovers() == []
        path.write_bytes(content)
    gc.collect()
    assert load_case(case, root) == good
    assert wrong == {}


@broken_archives
@pytest.mark.parametrize(
    ("case", "path"),
    [
        (CASES["chameleon-filtered-public"], "heterophilous_npz/chameleon_filtered.npz"),
        (TUNED_GNN[1], "splits/amazon-photo_split.npz"),
    ],
    ids=str,
)
def test_changed_byte_of_a_compressed_file_is_an_error_or_does_not_matter(case, path, root):
    write(case, root)
    write_tuned_gnn(TUNED_GNN[1], root, train=range(0, 16), valid=range(16, 32), test=range(32, 48))
    path = root / path
    np.savez_compressed(path, **arrays_of(path))
    content = path.read_bytes()
    protocol = "tunedgnn" if "splits" in path.parts else "public"
    good = content_of(load(case.name, root=root, split=protocol))
    wrong = {}
    for position in range(0, len(content), 13):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x2A]) + content[position + 1 :])
        outcome = attempt(case, root, path, good, protocol)
        if outcome not in ("error", "same"):
            wrong[position] = outcome
    gc.collect()
    assert wrong == {}


UNUSABLE = [
    {"node_labels": -np.ones(48, int)},
    {"node_labels": np.zeros(0, int)},
    {"node_labels": np.zeros((48, 1), int)},
    {"node_labels": np.arange(12)},
    {"node_labels": np.linspace(0, 1, 48)},
    {"node_features": np.float32(1)},
    {"node_features": np.ones(48, np.float32)},
    {"node_features": np.ones((0, 3), np.float32)},
    {"node_features": np.full((48, 3), np.nan, np.float32)},
    {"edges": np.zeros((2, 2, 2), int)},
    {"edges": np.array([[0, 48]])},
    {"edges": np.array([[-1, 0]])},
]


@broken_archives
@pytest.mark.parametrize("key", ["minesweeper-public", "chameleon-filtered-public"])
def test_content_that_cannot_be_learned_from_is_an_error_that_names_it(root, key):
    case = CASES[key]
    write(case, root)
    (path,) = (root / case.folder).iterdir()
    arrays = arrays_of(path)
    wrong = {}
    for changes in UNUSABLE:
        np.savez(path, **(arrays | changes))
        for protocol in ("public", "stratified"):
            outcome = attempt(case, root, path, [], protocol)
            if outcome != "error":
                wrong[protocol, str(changes)] = outcome
    gc.collect()
    assert wrong == {}


@broken_archives
@pytest.mark.parametrize("key", ["minesweeper-public", "chameleon-filtered-public"])
def test_file_without_masks_is_an_error_that_names_it(root, key):
    case = CASES[key]
    write(case, root)
    (path,) = (root / case.folder).iterdir()
    np.savez(path, **{name: array for name, array in arrays_of(path).items() if name != "val_masks"})
    with pytest.raises(InvalidDataError, match="val_mask") as error:
        load(case.name, root=root)
    assert repr(case.name) in str(error.value) or path.name in str(error.value)
    del error
    gc.collect()


def test_features_of_whole_numbers_are_an_error_that_names_the_task_also_if_normalised(root):
    case = CASES["minesweeper-public"]
    write(case, root)
    (path,) = (root / case.folder).iterdir()
    np.savez(path, **(arrays_of(path) | {"node_features": np.eye(48, 3, dtype=int)}))
    for normalize in (False, True):
        with pytest.raises(InvalidDataError, match="'minesweeper'"):
            load("minesweeper", root=root, normalize=normalize)


@pytest.mark.parametrize("names", [("cora-ml", "cora-ml-directed"), ("cora-ml-directed", "cora-ml")])
def test_two_forms_of_one_file_do_not_meet_in_the_cache(root, names):
    write(CASES["cora-ml-random"], root)
    first = load(names[0], root=root)
    save = pyg.CitationFull.save

    def interrupted(graphs, path):
        save(graphs, path)
        Path(path).write_bytes(Path(path).read_bytes()[:100])
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyg.CitationFull, "save", staticmethod(interrupted))
        with pytest.raises(KeyboardInterrupt):
            load(names[1], root=root)
    assert leftovers() == []
    second = load(names[1], root=root)
    assert {first.directed, second.directed} == {False, True}
    assert {*pairs(first.data.edge_index)} ^ {*pairs(second.data.edge_index)}


@pytest.mark.parametrize("key", ["twitch-de-linkx", "peptides-func-public"])
@pytest.mark.parametrize("kept", [0, 100])
def test_broken_cache_is_made_again_or_an_error(root, key, kept):
    case = CASES[key]
    write(case, root)
    good = load_case(case, root)
    for path in cache_folder().rglob("processed/*.pt"):
        path.write_bytes(path.read_bytes()[:kept])
    assert attempt(case, root, root, good) in ("same", "error")


def test_cache_folder_may_be_relative(tmp_path, root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    case = CASES["twitch-de-linkx"]
    write(case, tmp_path / "here" / "graphtasks")
    assert load("twitch-de", root=root).num_nodes == 48


def test_download_into_a_folder_that_has_other_files(root, monkeypatch):
    case = CASES["twitch-de-linkx"]
    folder = cache_folder() / case.folder
    folder.mkdir(parents=True)
    (folder / ".directory").write_text("of a file manager")
    monkeypatch.setattr(pyg.Twitch, "download", lambda dataset: case.write(Path(dataset.raw_dir), 0))
    assert load("twitch-de", root=root).num_nodes == 48
    assert (folder / ".directory").read_text() == "of a file manager"
