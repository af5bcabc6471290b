import json
import os
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from graphtasks import InvalidDataError, available, commands, load, load_splits, save_splits
from graphtasks.catalogue import FACTS
from graphtasks.cli import main
from graphtasks.commands import markdown
from graphtasks.registry import CATALOGUE
from graphtasks.splits import combined_hash
from graphtasks.task import KINDS

KEYS = [
    "name",
    "kind",
    "graphs",
    "nodes",
    "edges",
    "features",
    "classes",
    "directed",
    "outputs",
    "metric",
    "source",
    "licence",
    "protocol",
    "splits",
]


@pytest.fixture(autouse=True)
def narrow_terminal(monkeypatch):
    """Nothing here is a terminal, so that its width must not matter."""
    monkeypatch.setenv("COLUMNS", "80")


def lines(capsys, *args):
    """Lines that a command prints."""
    main(list(args))
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out.splitlines()


def failure(capsys, *args, out=None):
    """The one line on stderr of a command that ends with exit code 2, and prints `out` or nothing else."""
    with pytest.raises(SystemExit) as exit_info:
        main(list(args))
    captured = capsys.readouterr()
    assert exit_info.value.code == 2
    assert (captured.out == "") if out is None else (out in captured.out)
    assert captured.err.startswith("graphtasks: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_command_is_installed():
    (script,) = entry_points(group="console_scripts", name="graphtasks")
    assert script.load() is main


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_list_has_a_line_for_each_task(capsys, kind):
    header, *rows = lines(capsys, "list", *([] if kind is None else ["--kind", kind]))
    assert header.split() == ["name", "kind", "nodes", "edges", "metric", "splits", "source"]
    assert [row.split()[0] for row in rows] == available(kind)


def test_list_is_not_cut_when_piped(capsys):
    rows = {line.split()[0]: line for line in lines(capsys, "list")}
    for name in available():
        entry, facts = CATALOGUE[name], FACTS[name]
        counts = [f"{count:,}" for count in (facts.nodes, facts.edges) if count is not None]
        expected = [entry.kind, *counts, entry.metric, *" ".join(entry.protocols).split(), *entry.source.split()]
        assert rows[name].replace(", ", " ").split() == [name, *" ".join(expected).replace(", ", " ").split()]


def test_list_prints_the_table_of_the_readme(capsys):
    assert "\n".join(lines(capsys, "list", "--markdown")) == markdown()


def test_unknown_kind_fails(capsys):
    error = failure(capsys, "list", "--kind", "nodes")
    assert (
        "no task is of kind 'nodes': did you mean 'node'? use one of node, node-regression, link, graph, temporal"
        in error
    )


@pytest.mark.parametrize("args", [["lists"], ["show"], ["list", "--colour"], []])
def test_wrong_usage_fails(capsys, args):
    with pytest.raises(SystemExit) as exit_info:
        main(args)
    assert exit_info.value.code == 2


def test_show_prints_json(capsys):
    (line,) = lines(capsys, "show", "digits", "--json")
    shown, task = json.loads(line), load("digits")
    assert list(shown) == KEYS
    assert (shown["nodes"], shown["features"], shown["classes"], shown["outputs"]) == (1797, 64, 10, 10)
    assert shown["edges"] == task.data.num_edges
    assert (shown["metric"], shown["directed"]) == ("accuracy", False)
    assert (shown["source"], shown["licence"], shown["protocol"]) == (task.source, task.licence, task.protocol)
    assert shown["splits"] == [{"name": "random", "count": 10, "hash": combined_hash(task.splits)}]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("karate", ["node", 1, 34, 156, 34, 2, False, 2, "accuracy"]),
        ("ring-transfer", ["node", 50, 1000, 2000, 5, 5, False, 5, "accuracy"]),
        ("eccentricity", ["node-regression", 50, None, None, 1, None, False, 1, "mse"]),
        ("diameter", ["graph", 50, None, None, 1, None, False, 1, "mse"]),
        ("advection", ["temporal", 392, 200, 600, 1, None, True, 1, "mse"]),
        ("les-miserables", ["link", 1, 77, 508, 77, None, False, 1, "roc_auc"]),
    ],
)
def test_show_describes_tasks_of_every_kind(capsys, monkeypatch, name, expected):
    small = {"num_graphs": 50} if FACTS[name].graphs >= 1000 else {}
    monkeypatch.setattr(commands, "load", lambda name, **options: load(name, **options, **small))
    (line,) = lines(capsys, "show", name, "--json")
    shown, task = json.loads(line), load(name, **small)
    assert list(shown) == KEYS
    assert shown["name"] == name
    counts = [shown[key] for key in KEYS[1:10]]
    if name in ("eccentricity", "diameter"):
        assert counts[2:4] == [task.num_nodes, task.num_edges]
        counts[2:4] = [None, None]
    assert counts == expected
    assert shown["splits"][0]["hash"] == combined_hash(task.splits)
    table = "\n".join(lines(capsys, "show", name))
    for key in KEYS[:-1]:
        value = shown[key]
        text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        assert any(row.split(maxsplit=1)[0] == key and row.endswith(text) for row in map(str.rstrip, table.split("\n")))


def test_show_prints_a_table(capsys):
    rows = [line.split(maxsplit=1) for line in lines(capsys, "show", "wine", "--split", "random")]
    table = {key: value.strip() for key, value in rows}
    assert (table["name"], table["nodes"], table["features"], table["classes"]) == ("wine", "178", "13", "3")
    assert table["split"] == f"random: 10, hash {combined_hash(load('wine').splits)}"


def test_show_reads_splits_of_a_file(capsys, tmp_path):
    path = str(tmp_path / "mine.npz")
    save_splits(load("wine").splits[:3], path)
    (line,) = lines(capsys, "show", "wine", "--split", path, "--json")
    assert json.loads(line)["splits"] == [
        {"name": path, "count": 3, "hash": combined_hash(load("wine").splits[:3])},
    ]


def test_unknown_name_fails_with_a_suggestion(capsys):
    for command in ("show", "splits", "check"):
        assert "no task is called 'digit': did you mean 'digits'?" in failure(capsys, command, "digit")


def test_unknown_protocol_fails(capsys):
    for command in ("show", "splits"):
        assert "use one of random" in failure(capsys, command, "wine", "--split", "public")


def test_missing_files_fail(capsys, tmp_path):
    for command in ("show", "splits"):
        error = failure(capsys, command, "chameleon-filtered", "--root", str(tmp_path))
        assert "chameleon_filtered.npz" in error
        assert str(tmp_path) in error


@pytest.mark.real_data
def test_show_leaves_out_protocols_without_their_files(capsys, tmp_path, monkeypatch, real_data):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "Amazon").symlink_to(Path(real_data) / "Amazon")

    def protocols():
        (line,) = lines(capsys, "show", "amazon-photo", "--root", str(tmp_path / "root"), "--json")
        return {split["name"]: split["count"] for split in json.loads(line)["splits"]}

    assert protocols() == {"random": 10, "stratified": 10}
    (tmp_path / "root" / "splits").symlink_to(Path(real_data) / "splits")
    assert protocols() == {"random": 10, "stratified": 10, "tunedgnn": 1}


@pytest.mark.parametrize("name", ["wine", "les-miserables"])
def test_splits_are_shown_written_and_compared(capsys, tmp_path, name):
    path, task = tmp_path / "splits.npz", load(name)
    header, *rows, summary, written = lines(capsys, "splits", name, "--out", str(path))
    assert header.split() == ["split", "train", "val", "test", "hash"]
    for i, row in enumerate(rows):
        split = task.split(i)
        sizes = [str(part.size(-1)) for part in (split.train, split.val, split.test)]
        assert row.split() == [str(i), *sizes, split.hash]
    assert len(rows) == 10
    assert summary == f"{task.protocol}; hash of all {combined_hash(task.splits)}"
    assert written == f"written to {path}"
    assert combined_hash(load_splits(path)) == combined_hash(task.splits)
    assert lines(capsys, "splits", name, "--compare", str(path))[-1] == f"{path} holds the same splits"
    assert lines(capsys, "splits", name, "--split", str(path))[1:11] == rows


def test_other_splits_fail_to_compare(capsys, tmp_path):
    path, task = tmp_path / "splits.npz", load("wine")
    for splits in (task.splits[::-1], task.splits[:9], load("les-miserables").splits):
        save_splits(splits, path)
        error = failure(capsys, "splits", "wine", "--compare", str(path), out=combined_hash(task.splits))
        assert f"{path} holds other splits, with hash {combined_hash(splits)}" in error


def test_file_that_holds_no_splits_fails_to_compare(capsys, tmp_path):
    (tmp_path / "splits.npz").write_bytes(b"no splits")
    error = failure(capsys, "splits", "wine", "--compare", str(tmp_path / "splits.npz"), out="split")
    assert "splits.npz cannot be read as splits" in error
    assert "there is no split file" in failure(capsys, "splits", "wine", "--compare", str(tmp_path / "no"), out="split")


def test_splits_that_cannot_be_written_fail(capsys, tmp_path):
    assert "none" in failure(capsys, "splits", "wine", "--out", str(tmp_path / "none" / "splits.npz"), out="split")


def test_paths_are_shown_as_they_are(capsys, tmp_path):
    folder = tmp_path / "a[b]c"
    folder.mkdir()
    shown = lines(capsys, "splits", "karate", "--out", str(folder / "s.npz"))
    assert shown[-1] == f"written to {folder / 's.npz'}"
    assert (
        f"{folder / 's.npz'} holds the same"
        in lines(capsys, "splits", "karate", "--compare", str(folder / "s.npz"))[-1]
    )


def write_wikipedia(root, name, graph, features=3, classes=5):
    """A graph in the format of yandex-research/heterophilous-graphs."""
    nodes = len(graph)
    parts = np.arange(nodes) % 3
    (root / "heterophilous_npz").mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        root / "heterophilous_npz" / name,
        node_features=np.zeros((nodes, features), dtype=np.float32),
        node_labels=np.arange(nodes) % classes,
        edges=np.array(list(graph.edges)),
        **{f"{part}_masks": (parts == i)[None] for i, part in enumerate(("train", "val", "test"))},
    )


def checked(capsys, *args):
    """Exit code and output of `graphtasks check`."""
    code = 0
    try:
        main(["check", *args])
    except SystemExit as error:
        code = error.code
    return code, capsys.readouterr().out


def test_check_agrees_with_files_of_the_catalogues_counts(capsys, tmp_path):
    write_wikipedia(tmp_path, "chameleon_filtered.npz", nx.gnm_random_graph(890, 8854, seed=0), features=2325)
    code, out = checked(capsys, "--root", str(tmp_path))
    assert code == 0
    (row,) = (line for line in out.splitlines() if "chameleon" in line)
    assert row.split() == ["chameleon-filtered", "1", "890", "17,708", "2,325", "5", "False", "agrees"]
    assert f"1 of 1 tasks in {tmp_path} agree with the catalogue" in out


def test_check_fails_on_files_with_other_counts(capsys, tmp_path):
    write_wikipedia(tmp_path, "chameleon_filtered.npz", nx.cycle_graph(30), classes=4)
    code, out = checked(capsys, "--root", str(tmp_path))
    assert code == 1
    (row,) = (line for line in out.splitlines() if "chameleon" in line)
    assert row.split()[:7] == ["chameleon-filtered", "1", "30", "60", "3", "4", "False"]
    assert row.rstrip().endswith("nodes 890, edges 17,708, features 2,325, classes 5")
    assert f"0 of 1 tasks in {tmp_path} agree with the catalogue" in out


def test_check_names_the_direction_of_the_catalogue(capsys, tmp_path):
    write_wikipedia(tmp_path, "chameleon_filtered_directed.npz", nx.cycle_graph(30).to_directed())
    code, out = checked(capsys, "--root", str(tmp_path))
    assert code == 1
    (row,) = (line for line in out.splitlines() if "chameleon" in line)
    assert row.split()[6] == "False"
    assert row.rstrip().endswith("directed True")


def test_check_goes_on_after_a_file_that_cannot_be_read(capsys, tmp_path):
    folder = tmp_path / "a[b]c"
    write_wikipedia(folder, "chameleon_filtered.npz", nx.cycle_graph(30))
    write_wikipedia(folder, "squirrel_filtered.npz", nx.cycle_graph(30))
    (folder / "heterophilous_npz" / "chameleon_filtered.npz").write_bytes(b"broken")
    code, out = checked(capsys, "--root", str(folder))
    assert code == 1
    first, second = (line for line in out.splitlines() if "filtered" in line)
    assert f"{folder}/heterophilous_npz/chameleon_filtered.npz cannot be read" in first
    assert "nodes 2,223" in second
    assert f"0 of 2 tasks in {folder} agree" in out


def test_check_of_one_task_leaves_others_out(capsys, tmp_path):
    write_wikipedia(tmp_path, "chameleon_filtered.npz", nx.cycle_graph(30))
    write_wikipedia(tmp_path, "squirrel_filtered.npz", nx.cycle_graph(30))
    code, out = checked(capsys, "Squirrel_Filtered", "--root", str(tmp_path))
    assert code == 1
    assert "squirrel-filtered" in out
    assert "chameleon" not in out


def test_check_of_a_root_without_files_fails(capsys, tmp_path):
    assert f"no raw files of known tasks are in {tmp_path}" in failure(capsys, "check", "--root", str(tmp_path))


def test_check_says_which_of_the_named_tasks_has_no_files(capsys, tmp_path):
    code, out = checked(capsys, "chameleon-filtered", "karate", "--root", str(tmp_path))
    assert code == 1
    assert "'chameleon-filtered' needs chameleon_filtered.npz" in out
    assert "1 of 2 tasks" in out


def test_check_takes_its_root_from_the_environment(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHTASKS_ROOT", str(tmp_path))
    assert f"tasks are in {tmp_path}" in failure(capsys, "check")
    assert os.listdir(tmp_path) == []


def program(*args, **options):
    """The command line in a process of its own."""
    return subprocess.run([sys.executable, "-m", "graphtasks", *args], capture_output=True, text=True, **options)


def test_version(capsys):
    assert lines(capsys, "--version") == [f"graphtasks {version('dmdgnn')}"]


def test_program_runs_as_a_module():
    done = program("list", "--kind", "temporal")
    assert (done.returncode, done.stderr) == (0, "")
    assert "chickenpox" in done.stdout
    assert program("--help").stdout.startswith("usage: graphtasks ")


@pytest.mark.parametrize("args", [[], ["list"], ["show"], ["splits"], ["check"]])
def test_help_fits_a_screen_and_names_its_command(capsys, args):
    with pytest.raises(SystemExit) as ended:
        main([*args, "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert text.startswith(" ".join(["usage: graphtasks", *args]))
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines()[1:])) <= 120


def test_help_comes_without_torch():
    code = "import sys, graphtasks.cli\ntry: graphtasks.cli.main(['--help'])\nfinally: sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["show", "digitz"], "did you mean 'digits'"),
        (["show", "chickenpocks"], "did you mean 'chickenpox'"),
        (["list", "--kind", "grph"], "did you mean 'graph'"),
        (["splits", "digits", "--split", "randon"], "did you mean 'random'"),
    ],
)
def test_names_that_are_close_are_offered(capsys, args, hint):
    assert hint in failure(capsys, *args)


def test_ctrl_c_while_torch_is_imported_ends_in_one_line():
    code = """
import os, signal, sys

class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have switched off
sys.meta_path.insert(0, Impatient())
from graphtasks.cli import main
main(["show", "karate"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "graphtasks: stopped\n")


def test_a_reader_that_has_enough_is_no_fault():
    """As of `graphtasks list | head`."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "graphtasks", "--version"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "there is not enough memory: close other programs"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "there is not enough memory"),
        (PermissionError(13, "Permission denied", "/root"), "Permission denied"),
        (InvalidDataError("two\nlines"), "graphtasks: two lines"),
    ],
)
def test_errors_of_the_machine_end_in_one_line(capsys, monkeypatch, error, message):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(commands, "load", fail)
    assert message in failure(capsys, "show", "karate")


def test_faults_of_the_program_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(commands, "load", lambda *args, **options: [][0])
    with pytest.raises(IndexError):
        main(["show", "karate"])
