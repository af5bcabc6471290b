import dataclasses

import pytest
import torch

from graphtasks import (
    FileError,
    InvalidDataError,
    MissingFilesError,
    Split,
    UnknownTaskError,
    available,
    load,
    random_splits,
    save_splits,
)
from graphtasks.catalogue import FACTS
from graphtasks.registry import CATALOGUE, check_counts, find
from graphtasks.splits import combined_hash
from graphtasks.task import KINDS

NO_FILES = ["breast-cancer", "csbm", "digits", "karate", "les-miserables", "wine"]


def test_names_are_sorted_and_complete():
    names = available()
    assert names == sorted(CATALOGUE)
    assert {*NO_FILES, "cora", "citeseer", "pubmed", "texas", "chameleon-filtered"} <= set(names)


def test_kind_filters_names():
    assert available("node") == [name for name in available() if CATALOGUE[name].kind == "node"]
    assert available("temporal") == [name for name in available() if CATALOGUE[name].kind == "temporal"]
    assert "cora" not in available("graph")
    assert sorted(name for kind in KINDS for name in available(kind)) == available()


@pytest.mark.parametrize("name", NO_FILES)
def test_catalogue_says_what_loading_gives(name):
    task, entry = load(name), CATALOGUE[name]
    assert (task.name, task.kind, task.metric.name, task.source) == (name, entry.kind, entry.metric, entry.source)


@pytest.mark.parametrize("name", ["breast-cancer", "Breast_Cancer", "BREAST-CANCER"])
def test_name_may_be_spelt_in_other_ways(name):
    assert find(name) == load(name).name == "breast-cancer"


@pytest.mark.parametrize(
    ("name", "meant"), [("digit", "digits"), ("Kora", "cora"), ("chameleon_filterd", "chameleon-")]
)
def test_unknown_name_gets_a_suggestion(name, meant):
    with pytest.raises(UnknownTaskError, match=f"no task is called '{name}': did you mean '{meant}"):
        load(name)


def test_name_like_no_other_gets_no_suggestion():
    with pytest.raises(UnknownTaskError, match=r"no task is called 'zzz': `graphtasks list`"):
        load("zzz")


@pytest.mark.parametrize(("name", "known"), [("cora", "public, geom-gcn, .*"), ("les-miserables", "random")])
def test_unknown_protocol_is_rejected_with_the_known_ones(name, known):
    with pytest.raises(
        UnknownTaskError, match=f"'{name}' has no split protocol 'linkx': use one of {known}, or a .npz"
    ):
        load(name, split="linkx")


def test_known_protocol_may_be_named():
    assert combined_hash(load("wine", split="random").splits) == combined_hash(load("wine").splits)


@pytest.mark.parametrize("name", ["wine", "les-miserables"])
def test_splits_may_come_from_a_file(name, tmp_path):
    task, path = load(name), str(tmp_path / "mine.npz")
    chosen = [task.split(7), task.split(2)]
    save_splits(chosen, path)
    other = load(name, split=path)
    assert [split.hash for split in other.splits] == [split.hash for split in chosen]
    assert other.protocol == f"splits of a file, hash {combined_hash(chosen)}"
    assert (other.name, other.kind, other.num_nodes) == (task.name, task.kind, task.num_nodes)
    assert len(load(name).splits) == 10


def test_splits_of_a_file_must_fit_the_task(tmp_path):
    save_splits(load("les-miserables").splits, tmp_path / "links.npz")
    with pytest.raises(InvalidDataError, match="split 0 of 'wine' is a LinkSplit, which does not fit kind 'node'"):
        load("wine", split=str(tmp_path / "links.npz"))
    save_splits([Split(torch.tensor([0]), torch.tensor([1]), torch.tensor([178]))], tmp_path / "large.npz")
    with pytest.raises(InvalidDataError, match="split 0 of 'wine' names node 178, but the graph has 178 nodes"):
        load("wine", split=str(tmp_path / "large.npz"))
    (tmp_path / "broken.npz").write_bytes(b"broken")
    with pytest.raises(InvalidDataError, match=r"broken\.npz cannot be read as splits"):
        load("wine", split=str(tmp_path / "broken.npz"))


def test_absent_file_of_splits_is_an_error(tmp_path):
    with pytest.raises(MissingFilesError, match=r"there is no split file .*none\.npz"):
        load("wine", split=str(tmp_path / "none.npz"))


def test_file_of_splits_is_read_for_a_series(tmp_path):
    mine = Split(torch.arange(50), torch.arange(60, 70), torch.arange(80, 99))
    save_splits([mine], tmp_path / "mine.npz")
    assert load("advection", split=tmp_path / "mine.npz").split(0).hash == mine.hash
    save_splits(random_splits(392, count=1), tmp_path / "shuffled.npz")
    with pytest.raises(InvalidDataError, match="not by time, train before val before test"):
        load("advection", split=tmp_path / "shuffled.npz")


def test_option_of_a_generator_is_passed_on():
    assert load("csbm", num_nodes=200, num_features=9).num_nodes == 200
    with pytest.raises(InvalidDataError, match="got num_nodes=10"):
        load("csbm", num_nodes=10)


@pytest.mark.parametrize("name", ["csbm", "digits"])
def test_unknown_option_is_rejected(name):
    with pytest.raises(UnknownTaskError, match=f"'{name}' does not take the option 'colour': it takes"):
        load(name, colour="red")


def test_known_data_of_other_counts_are_an_error():
    task, facts = load("karate"), FACTS["karate"]
    check_counts(task, facts)
    check_counts(task, dataclasses.replace(facts, edges=154, counted=False))
    for other in ({"edges": 154}, {"nodes": 33}):
        with pytest.raises(InvalidDataError, match=r"'karate' has 34 nodes and 156 edges, expected .*cut off"):
            check_counts(task, dataclasses.replace(facts, **other))


@pytest.mark.parametrize("options", [{"root": "a\0b"}, {"split": []}, {"split": {}}, {"root": 3}])
def test_what_is_no_path_is_named(options):
    with pytest.raises(FileError, match="expected a"):
        load("wine", **options)
