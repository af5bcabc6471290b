"""The table in datasets/README.md says what the tasks are."""

from pathlib import Path

import pytest

from graphtasks import available, load
from graphtasks.registry import CATALOGUE

TABLE = (Path(__file__).parents[2] / "datasets" / "README.md").read_text()
ROWS = {
    cells[0].strip("`"): cells[1:]
    for cells in (
        [cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("| `")
    )
}
EMBEDDED = ("digits", "wine", "breast-cancer", "karate")
FILES = ("cora", "citeseer", "texas", "wisconsin", "cornell", "chameleon-filtered", "chameleon-filtered-directed")


def check(name):
    nodes, edges, features, classes, directed, splits, _ = ROWS[name]
    task = load(name)
    counts = [task.num_nodes, task.data.num_edges, task.num_features, task.num_classes]
    assert [int(cell.replace(",", "")) for cell in (nodes, edges, features, classes)] == counts
    assert directed == ("yes" if task.directed else "no")
    protocols = [(protocol, len(load(name, split=protocol).splits)) for protocol in CATALOGUE[name].protocols]
    assert splits == ", ".join(f"{protocol} ({count})" for protocol, count in protocols)


def test_every_task_has_a_row():
    assert sorted(ROWS) == available()


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_tasks(name):
    check(name)


@pytest.mark.real_data
@pytest.mark.parametrize("name", FILES)
def test_tasks_from_files(name, real_data):
    check(name)
