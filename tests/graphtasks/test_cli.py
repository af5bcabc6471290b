import json

import pytest

from graphtasks import available, load
from graphtasks.cli import main
from graphtasks.splits import combined_hash


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def failure(capsys, *args):
    """The one line on stderr of a command that ends with exit code 2 and prints nothing else."""
    with pytest.raises(SystemExit) as exit_info:
        main(list(args))
    captured = capsys.readouterr()
    assert exit_info.value.code == 2
    assert captured.out == ""
    assert captured.err.startswith("graphtasks: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("args", [["list"], ["list", "--kind", "node"]])
def test_list_has_a_line_for_each_task(capsys, args):
    main(args)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *available("node")]


def test_show_prints_json(capsys):
    main(["show", "digits", "--json"])
    shown, task = json.loads(capsys.readouterr().out), load("digits")
    assert (shown["nodes"], shown["features"], shown["classes"]) == (1797, 64, 10)
    assert shown["edges"] == task.data.num_edges
    assert (shown["metric"], shown["directed"]) == ("accuracy", False)
    assert shown["splits"] == [{"name": "random", "count": 10, "hash": combined_hash(task.splits)}]


def test_show_prints_a_table(capsys):
    main(["show", "wine", "--split", "random"])
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    table = {key: value.strip() for key, value in rows}
    assert (table["name"], table["nodes"], table["features"], table["classes"]) == ("wine", "178", "13", "3")
    assert table["split"] == f"random: 10, hash {combined_hash(load('wine').splits)}"


def test_unknown_name_fails_with_a_suggestion(capsys):
    assert "did you mean 'digits'?" in failure(capsys, "show", "digit")


def test_unknown_protocol_fails(capsys):
    assert "use one of random" in failure(capsys, "show", "wine", "--split", "public")


def test_unknown_kind_fails(capsys):
    assert "no task is of kind 'nodes'" in failure(capsys, "list", "--kind", "nodes")


def test_missing_files_fail(capsys, tmp_path):
    error = failure(capsys, "show", "chameleon-filtered", "--root", str(tmp_path))
    assert "chameleon_filtered.npz" in error
    assert str(tmp_path) in error


def test_list_shows_whole_names_when_piped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    main(["list"])
    shown = capsys.readouterr().out
    assert [name for name in available() if name not in shown] == []
