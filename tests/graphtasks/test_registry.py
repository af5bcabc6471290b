import pytest

from graphtasks import UnknownTaskError, available, load
from graphtasks.registry import CATALOGUE

NO_FILES = ["breast-cancer", "csbm", "digits", "karate", "wine"]


def test_names_are_sorted_and_complete():
    names = available()
    assert names == sorted(CATALOGUE)
    assert {*NO_FILES, "cora", "citeseer", "pubmed", "texas", "chameleon-filtered"} <= set(names)


def test_kind_filters_names():
    assert available("node") == [name for name in available() if CATALOGUE[name].kind == "node"]
    assert available("temporal") == [name for name in available() if CATALOGUE[name].kind == "temporal"]
    assert "cora" not in available("graph")


@pytest.mark.parametrize("name", NO_FILES)
def test_catalogue_says_what_loading_gives(name):
    task, entry = load(name), CATALOGUE[name]
    assert (task.name, task.kind, task.metric.name, task.source) == (name, entry.kind, entry.metric, entry.source)


@pytest.mark.parametrize("name", ["breast-cancer", "Breast_Cancer", "BREAST-CANCER"])
def test_name_may_be_spelt_in_other_ways(name):
    assert load(name).name == "breast-cancer"


@pytest.mark.parametrize(
    ("name", "meant"), [("digit", "digits"), ("Kora", "cora"), ("chameleon_filterd", "chameleon-")]
)
def test_unknown_name_gets_a_suggestion(name, meant):
    with pytest.raises(UnknownTaskError, match=f"no task is called '{name}': did you mean '{meant}"):
        load(name)


def test_name_like_no_other_gets_no_suggestion():
    with pytest.raises(UnknownTaskError, match=r"no task is called 'zzz': `graphtasks list`"):
        load("zzz")


def test_unknown_protocol_is_rejected_with_the_known_ones():
    with pytest.raises(UnknownTaskError, match="'cora' has no split protocol 'random': use one of public, geom-gcn"):
        load("cora", split="random")


@pytest.mark.parametrize("name", ["csbm", "digits"])
def test_unknown_option_is_rejected(name):
    with pytest.raises(UnknownTaskError, match=f"'{name}' does not take these options: .*'colour'"):
        load(name, colour="red")
