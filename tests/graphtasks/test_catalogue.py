"""The catalogue and the table in datasets/README.md say what the tasks are."""

import os
import re
from pathlib import Path

import pytest

from graphtasks import available, load
from graphtasks.catalogue import FACTS
from graphtasks.commands import markdown, statistics
from graphtasks.metrics import METRICS
from graphtasks.registry import CATALOGUE
from graphtasks.task import KINDS

README = (Path(__file__).parents[2] / "datasets" / "README.md").read_text()
ROOT = os.environ.get("GRAPHTASKS_ROOT")
WITHOUT_FILES = [name for name, entry in CATALOGUE.items() if entry.found is None]
FOUND = [name for name, entry in CATALOGUE.items() if ROOT and entry.found and entry.found(Path(ROOT))]


def check(name):
    """A task is what the catalogue says before it is loaded."""
    task, entry, facts = load(name), CATALOGUE[name], FACTS[name]
    assert statistics(task) == {
        "graphs": facts.graphs,
        "nodes": facts.nodes,
        "edges": facts.edges,
        "features": facts.features,
        "classes": facts.classes,
        "directed": facts.directed,
    }
    assert (task.name, task.kind, task.metric.name) == (name, entry.kind, entry.metric)
    assert (task.source, task.licence) == (entry.source, facts.licence)
    some = [task.graph()] if task.kind == "link" else task.graphs[:20]
    assert task.directed is any(graph.is_directed() for graph in some)


def test_every_task_has_facts_and_every_fact_a_task():
    assert sorted(FACTS) == sorted(CATALOGUE) == available()


def test_table_of_the_readme_is_the_catalogue():
    (table,) = re.findall("<!-- tasks: graphtasks list --markdown -->\n(.*?)\n<!-- /tasks -->", README, re.DOTALL)
    assert table == markdown()


def test_table_has_a_row_for_each_task():
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown().splitlines()]
    assert {len(row) for row in rows} == {len(rows[0])}
    named = {row[0].strip("*` "): dict(zip(rows[0], row, strict=True)) for row in rows[2:]}
    assert list(named) == list(CATALOGUE)
    assert {key: named["cora"][key] for key in ("kind", "graphs", "nodes", "edges", "features", "classes")} == {
        "kind": "node",
        "graphs": "1",
        "nodes": "2,708",
        "edges": "10,556",
        "features": "1,433",
        "classes": "7",
    }
    assert (named["cora"]["directed"], named["texas"]["directed"]) == ("no", "yes")
    assert named["chickenpox"]["classes"] == ""
    for name, row in named.items():
        assert row["task"] == (f"`{name}`" if FACTS[name].counted else f"`{name}` *")
        assert (row["MB"] == "none") == (name in WITHOUT_FILES)


@pytest.mark.parametrize("name", CATALOGUE)
def test_entries_are_well_formed(name, tmp_path):
    entry, facts = CATALOGUE[name], FACTS[name]
    assert name == name.lower().replace("_", "-")
    assert entry.kind in KINDS
    assert entry.metric in METRICS
    assert entry.protocols
    assert len(set(entry.protocols)) == len(entry.protocols)
    assert entry.source
    assert facts.licence
    assert (facts.graphs > 1) or entry.kind not in ("graph", "temporal")
    classes = METRICS[entry.metric].task == "classification" and entry.kind in ("node", "graph")
    assert (facts.classes is not None) == classes
    if facts.counted:
        counts = (facts.nodes, facts.edges, facts.features, facts.directed, facts.megabytes)
        assert None not in counts
    if entry.found is not None:
        assert not entry.found(tmp_path)


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_tasks_without_files(name):
    check(name)


@pytest.mark.real_data
@pytest.mark.parametrize("name", FOUND)
def test_tasks_from_files(name, real_data):
    check(name)
