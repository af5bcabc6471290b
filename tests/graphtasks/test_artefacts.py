"""Checks of the files of graphtasks before their use: damage is named or harmless, and never gives something else."""

import contextlib
import io
import os

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from faults import FAULTS, failing, flipped, listing, names, small_disk
from graphtasks import FileError, GraphTasksError, InvalidDataError, load, load_splits, random_link_splits, save_splits
from graphtasks.cli import main
from graphtasks.comparison import Comparison
from graphtasks.splits import combined_hash, random_splits
from small_tasks import ring


def runs(**changes):
    """Two models on one task."""
    table = {"task": "rings", "protocol": "random", "model": ["a", "b"], "split": 0, "seed": 0, "val": 0.1}
    return Comparison(pd.DataFrame(table | {"test": [0.1, 0.7], "metric": "mse", "direction": "minimize"} | changes))


def links():
    return random_link_splits(ring(60).edge_index, 60, undirected=True, count=2)


def value_of(path):
    """Content of a file, as text."""
    if path.suffix == ".csv":
        return Comparison.read(path).runs[list(runs().runs)].to_csv(index=False)
    return combined_hash(load_splits(path))


@pytest.fixture
def folder(tmp_path):
    """Everything that is written into files of a user's choice."""
    save_splits(random_splits(40, count=3), tmp_path / "nodes.npz")
    save_splits(links(), tmp_path / "links.npz")
    runs().to_csv(tmp_path / "runs.csv")
    return tmp_path


def test_faults_of_bytes_give_nothing_else(folder):
    for name, content in listing(folder).items():
        path = folder / name
        whole = value_of(path)
        for place, damaged in flipped(content, 5 * FAULTS):
            path.write_bytes(damaged)
            try:
                assert value_of(path) == whole, place
            except GraphTasksError as error:
                assert len(str(error)) > 20  # noqa: PT017


def test_faults_of_ends_give_nothing_else(folder):
    for name, content in listing(folder).items():
        path = folder / name
        lines = content.split(b"\n")
        for end in range(0, len(content) - 1, max(1, len(content) // FAULTS)):
            path.write_bytes(content[:end])
            if path.suffix == ".csv" and content[end - 1 : end + 1].count(b"\n") and end > len(lines[0]):
                continue  # a table of fewer whole lines
            with pytest.raises(GraphTasksError):
                value_of(path)


def test_nothing_else_is_replaced(folder):
    writers = {
        "nodes.npz": lambda path: save_splits(random_splits(9), path),
        "links.npz": lambda path: save_splits(links(), path),
        "runs.csv": lambda path: runs().to_csv(path),
    }
    foreign = {"text": b"years of work", "csv": b"a,b\n1,2\n", "zip": b"PK\x03\x04", "json": b"{}"}
    for name, write in writers.items():
        write(folder / name)
        before = listing(folder)
        for other in set(writers) - {name} - ({"links.npz", "nodes.npz"} if name.endswith("npz") else set()):
            with pytest.raises(FileError, match="so it is left as it is: use another path, or remove it"):
                write(folder / other)
        assert listing(folder) == before
        for kind, content in foreign.items():
            (folder / kind).write_bytes(content)
            with pytest.raises(FileError, match="so it is left as it is"):
                write(folder / kind)
            assert (folder / kind).read_bytes() == content
            (folder / kind).unlink()
    np.savez(folder / "graph.npz", x=np.ones(3))
    with pytest.raises(FileError, match="is not a split file"):
        save_splits(links(), folder / "graph.npz")


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_file(folder, monkeypatch, function):
    before = listing(folder)
    for write in (
        lambda: save_splits(random_splits(9), folder / "nodes.npz"),
        lambda: runs().to_csv(folder / "runs.csv"),
    ):
        with failing(monkeypatch, function), pytest.raises(FileError, match="free some space"):
            write()
    assert listing(folder) == before


def test_runs_of_an_altered_table_are_named(folder):
    path = folder / "runs.csv"
    path.write_text(path.read_text().replace("0.7", "0.9"))
    with pytest.raises(InvalidDataError, match=r"run 2 in .*runs\.csv is not as it was written"):
        Comparison.read(path)
    pd.read_csv(path).drop(columns="check").to_csv(path, index=False)
    assert Comparison.read(path).runs["test"].tolist() == [0.1, 0.9]
    for content in (b"", b"\xff\xfe", b"a,b\n1,2,3\n", b'a"b\n"', b"\0\0"):
        path.write_bytes(content)
        with pytest.raises(InvalidDataError, match="is no table of runs"):
            Comparison.read(path)


@settings(max_examples=60, deadline=None)
@given(name=st.text(min_size=1) | names)
def test_faults_of_names_in_tables(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("tables") / "runs.csv"
    before = runs(model=[name, name + "b"], task=name)
    before.to_csv(path)
    pd.testing.assert_frame_equal(Comparison.read(path).runs, before.runs)


def test_splits_of_two_kinds_or_none_are_refused(tmp_path):
    for splits in ([], [*links(), *random_splits(9)]):
        with pytest.raises(InvalidDataError, match="expected at least one, and all of the same kind"):
            save_splits(splits, tmp_path / "a.npz")
    assert listing(tmp_path) == {}


def command(*args):
    """Exit code, output and errors of the command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(args))
        except SystemExit as ended:
            return ended.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


@settings(max_examples=30, deadline=None)
@given(name=names)
def test_faults_of_names_in_commands(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("commands")
    path = f"{folder}/{name}"
    code, _, err = command("splits", "karate", "--out", path)
    if code == 0:
        assert list(listing(folder)) == [name]
        assert command("splits", "karate", f"--compare={path}")[0] == 0
        if name.endswith(".npz"):
            assert load("karate", split=path).splits[3].hash == load("karate").splits[3].hash
    else:
        assert (code, listing(folder)) == (2, {})
        assert err.startswith("graphtasks: cannot write ")
        assert err.count("\n") == 1
    for args in (
        ["splits", "karate", "--compare", f"{path}x"],
        ["show", path],
        ["show", "karate", "--split", path + "x"],
    ):
        code, _, err = command(*args)
        assert code == 2
        assert err.startswith("graphtasks: ")
        assert err.count("\n") == 1


def test_full_disks_end_commands_in_one_line(tmp_path):
    with small_disk(tmp_path / "disk", 4):
        path = tmp_path / "disk" / "a.npz"
        code, _, err = command("splits", "digits", "--out", str(path))
        assert code == 2
        assert err.count("\n") == 1
        assert "free some space" in err
        assert listing(tmp_path) == {}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_output_that_cannot_be_written_ends_in_one_line(capfd):
    with open("/dev/full", "w") as full, contextlib.redirect_stdout(full), pytest.raises(SystemExit) as ended:
        main(["list"])
    assert ended.value.code == 2
    assert "No space left" in capfd.readouterr().err


def test_masks_keep_their_meaning_in_split_files(tmp_path):
    masks = dict(zip(("train", "val", "test"), torch.eye(3, dtype=torch.bool).repeat(1, 5), strict=True))
    np.savez(tmp_path / "masks.npz", **{f"0.{part}": mask.numpy() for part, mask in masks.items()})
    with pytest.raises(InvalidDataError, match="split 0 of 'karate' was made of masks for 15 nodes, but there are 34"):
        load("karate", split=tmp_path / "masks.npz")
