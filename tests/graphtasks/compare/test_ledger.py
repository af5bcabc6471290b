"""The file of a comparison loses no training and takes no other file for its own."""

import errno
import json
import os
import random
import signal
import time

import pytest

from contenders import SHORT, Constant, Net, same, tuned
from faults import FAULTS, failing, flipped, limited, listing, small_disk
from graphtasks import Contender, FileError, InvalidDataError, compare
from graphtasks.comparison import Comparison
from graphtasks.ledger import Ledger


def arguments(task):
    contenders = [tuned("a"), Contender("b", Constant, {"label": [-1, 0]})]
    return {"contenders": contenders, "tasks": [task], "splits": [0, 2], "trials": 2, "config": SHORT}


@pytest.fixture
def finished(task, tmp_path):
    """A ledger, and the comparison that wrote it."""
    path = tmp_path / "runs.jsonl"
    return path, compare(**arguments(task), path=path)


FOREIGN = {
    "json": b'{"my": "settings"}',
    "json of several lines": b'{\n  "my": "settings"\n}',
    "list": b"[]",
    "text": b"years of work",
    "lines of text": b"years\nof\nwork\n",
    "binary": bytes(range(256)),
    "binary in lines": b"\x89PNG\r\n\x1a\n\0\0\0",
    "jsonl": b'{"phase": "run"}\n{"phase": "run"}\n',
    "start of a row alone": b'{"phase": "run", "task": "noi',
    "zeros": bytes(4096),
    "line break": b"\n",
    "rows nested deeply": b'{"phase": ' + b"[" * 100_000 + b"\n",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=list(FOREIGN))
def test_other_files_are_left_as_they_are(task, tmp_path, content):
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    before = path.stat()
    for act in (lambda: compare([Contender("net", Net)], [task], path=path), lambda: Comparison.read(path)):
        with pytest.raises(InvalidDataError, match=r"mine\.json .*`compare`") as error:
            act()
        assert "\n" not in str(error.value)
    assert listing(tmp_path) == {"mine.json": content}
    assert path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("notes", [b"my notes", b"{}", b'{"task": "x"', b"\xff\xfe"])
def test_what_others_wrote_behind_rows_is_left(task, finished, notes):
    path, _ = finished
    path.write_bytes(path.read_bytes() + notes)
    before = path.read_bytes()
    with pytest.raises(InvalidDataError, match="ends within a line that `compare` did not write"):
        compare(**arguments(task), path=path)
    assert path.read_bytes() == before


def test_a_row_that_was_cut_short_is_trained_again(task, finished):
    path, whole = finished
    content = path.read_bytes()
    start = content.rindex(b"\n", 0, -1) + 1
    for end in (*range(start, len(content), 97), len(content) - 1):
        for rest in (b"", b"\0" * 7):
            path.write_bytes(content[:end] + rest)
            if end == len(content) - 1 and rest:  # whole but for what follows
                continue
            assert same(compare(**arguments(task), path=path), whole)
            assert len(path.read_bytes().splitlines()) == len(content.splitlines())


def test_a_last_line_break_that_an_editor_took_is_put_back(task, finished):
    path, whole = finished
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    rows = []
    assert same(Comparison.read(path), whole)
    assert same(compare(**arguments(task), path=path, callback=rows.append), whole)
    assert rows == []
    assert path.read_bytes() == content


def test_faults_of_bytes_give_no_other_table(task, finished):
    path, whole = finished
    content = path.read_bytes()
    refused = 0
    for place, damaged in flipped(content, FAULTS):
        path.write_bytes(damaged)
        try:
            again = compare(**arguments(task), path=path)
        except InvalidDataError as error:
            assert path.read_bytes() == damaged
            assert "\n" not in str(error)  # noqa: PT017
            refused += 1
        else:
            assert same(again, whole), place
    assert refused > 0.9 * FAULTS


def test_rows_of_earlier_versions_are_read(task, finished):
    path, whole = finished
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["check"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = []
    assert same(compare(**arguments(task), path=path, callback=rows.append), whole)
    assert rows == []
    for name, value in (("split", "0"), ("setting", ["a"]), ("phase", "else"), ("others", "3"), ("task", None)):
        changed = [{**lines[0], name: value}, *lines[1:]]
        path.write_text("".join(json.dumps(line) + "\n" for line in changed))
        with pytest.raises(InvalidDataError, match=r"line 1 of .* is not a training"):
            compare(**arguments(task), path=path)


def test_one_process_writes_at_a_time(task, finished):
    path, whole = finished
    before = path.read_bytes()
    with Ledger(path, None):
        with pytest.raises(FileError, match=r"another process writes to .*runs.jsonl: wait for its end"):
            compare(**arguments(task), path=path)
        child = os.fork()
        if child == 0:
            try:
                compare(**arguments(task), path=path)
            except FileError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert path.read_bytes() == before
    assert same(compare(**arguments(task), path=path), whole)


def test_the_lock_ends_with_an_error(task, tmp_path):
    class Killed(Exception):
        pass

    def kill(row):
        raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            compare(**arguments(task), path=tmp_path / "runs.jsonl", callback=kill)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_faults_of_kills_lose_no_training(task, tmp_path):
    whole = compare(**arguments(task))
    rng = random.Random(0)
    for number in range(FAULTS * 2 // 15):
        path = tmp_path / f"{number}.jsonl"
        done = 0
        for limit in (0.05, 0.1, 0.2):
            child = os.fork()
            if child == 0:
                compare(**arguments(task), path=path)
                os._exit(0)
            time.sleep(rng.uniform(0, limit))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            rows = len(path.read_bytes().splitlines()) if path.exists() else 0
            assert rows >= done
            done = rows
        assert same(compare(**arguments(task), path=path), whole)


@pytest.mark.parametrize("function", ["write", "fsync", "open", "ftruncate"])
def test_a_write_that_fails_is_named_and_leaves_whole_rows(task, finished, monkeypatch, function):
    path, whole = finished
    before = path.read_bytes()
    more = arguments(task) | {"seeds": (0, 1)}
    with failing(monkeypatch, function), pytest.raises(FileError, match=r"runs.jsonl .No space left on device.: free"):
        compare(**more, path=path)
    assert path.read_bytes() == before
    assert same(compare(**arguments(task), path=path), whole)
    with failing(monkeypatch, function, errno.EIO), pytest.raises(FileError, match="check the disk"):
        compare(**more, path=path)


def test_a_disk_that_fills_up_leaves_whole_rows(task, finished):
    path, whole = finished
    size = path.stat().st_size
    more = arguments(task) | {"seeds": (0, 1)}
    with limited(size + 300), pytest.raises(FileError, match="File too large"):
        compare(**more, path=path)
    assert path.stat().st_size == size
    assert same(compare(**arguments(task), path=path), whole)


def test_a_full_disk_leaves_whole_rows(task, tmp_path):
    with small_disk(tmp_path / "disk", 8):
        path = tmp_path / "disk" / "runs.jsonl"
        with pytest.raises(FileError, match="free some space"):
            compare(**arguments(task) | {"seeds": range(10)}, path=path)
        assert path.read_bytes().endswith(b"}\n")
        assert len(Comparison.read(path).runs)


def test_paths_that_are_no_files_are_refused(task, tmp_path):
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/null", tmp_path / "file" / "runs.jsonl", tmp_path / ("n" * 300)):
        with pytest.raises(FileError):
            compare([Contender("net", Net)], [task], path=path)
    assert (tmp_path / "file").read_text() == "mine"
