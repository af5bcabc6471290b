"""Each raw format that PyG reads, written by hand: the content comes back as it was written."""

import numpy as np
import pytest

from graphtasks import MissingFilesError, UnknownTaskError, load
from graphtasks.registry import CATALOGUE
from graphtasks.sources.pyg import LONG_RANGE_DATASETS, PYG_DATASETS
from raw_files import CASES, CLASSES, GRAPHS, TUNED_GNN, each_graph, each_set, pairs, parts, write, write_tuned_gnn


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
