"""Writers of tiny files in each raw format that PyG reads, with what a task of them must hold."""

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from scipy.sparse import coo_matrix, csr_matrix, save_npz
from torch_geometric import datasets as pyg

from graphtasks import GraphTask, load
from graphtasks.sources.cache import cache_folder

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
    """Content that a task must have: features before they are normalised, edges in any order, the fixed splits."""

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
        # Masks of WikipediaNetwork are numbers, not booleans.
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


def content_of(task: GraphTask) -> list[object]:
    """All that a reader takes from the files, as something to compare."""
    graphs = [(graph.x.tolist(), graph.y.tolist(), graph.edge_index.tolist()) for graph in task.graphs]
    return [graphs, parts(task), task.directed]


def load_case(case: Case, root: Path) -> list[object]:
    return content_of(load(case.name, root=root, split=case.protocol))


def leftovers() -> list[str]:
    """Unfinished folders in the cache."""
    return [path.name for path in cache_folder().glob("partial-*")]


TUNED_GNN = [
    CASES[f"{name}-random"] for name in ("amazon-computers", "amazon-photo", "coauthor-cs", "coauthor-physics")
]


def write_tuned_gnn(case: Case, root: Path, **arrays: object) -> Path:
    path = root / "splits" / f"{case.name}_split.npz"
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **{key: np.asarray(value) for key, value in arrays.items()})
    return path
