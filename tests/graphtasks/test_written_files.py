"""Files are written as a whole or not at all, and no file of somebody else is touched."""

import json
import os
import pathlib
import stat

import pytest
from hypothesis import given, settings

import graphtasks
from faults import failing, limited, listing, names, small_disk
from graphtasks import FileError, InvalidDataError, MissingFilesError
from graphtasks.files import read_bytes, read_json, sha256, write_bytes, write_json, write_text


def refuse(path):
    raise InvalidDataError("another file")


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, 2.5, None]})
    assert read_json(path) == {"b": [1, 2.5, None]}
    assert path.read_text().endswith("}\n")
    write_text(path, "a\r\nü")
    assert read_bytes(path) == "a\r\nü".encode()


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_new_files_have_the_mode_of_the_umask(tmp_path, umask):
    old = os.umask(umask)
    try:
        write_bytes(tmp_path / "a", b"1")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


def test_replaced_files_keep_mode_and_links(tmp_path):
    path, link = tmp_path / "a", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to("a")
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert len(listing(tmp_path)) == 2


@pytest.mark.parametrize("function", ["replace", "fsync", "open", "fdopen", "chmod"])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, function):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with (
        failing(monkeypatch, function),
        pytest.raises(FileError, match=r"No space left on device.: free some space"),
    ):
        write_bytes(path, b"new")
    assert listing(tmp_path) == {"a": b"old"}


def test_a_write_that_stops_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with limited(1000), pytest.raises(FileError, match="File too large"):
        write_bytes(path, bytes(5000))
    assert listing(tmp_path) == {"a": b"old"}


def test_a_full_disk_leaves_the_old_file(tmp_path):
    with small_disk(tmp_path / "disk"):
        path = tmp_path / "disk" / "a"
        write_bytes(path, b"old")
        with pytest.raises(FileError, match="free some space"):
            write_bytes(path, bytes(1 << 20))
        assert listing(tmp_path) == {"disk/a": b"old"}


def test_what_is_not_ours_is_left(tmp_path):
    path = tmp_path / "thesis.txt"
    path.write_bytes(b"years of work")
    with pytest.raises(FileError, match=r"thesis\.txt is there and is not a split file, so it is left as it is"):
        write_bytes(path, b"new", ours=refuse, what="a split file")
    assert path.read_bytes() == b"years of work"
    (tmp_path / "empty").touch()
    write_bytes(tmp_path / "empty", b"new", ours=refuse)
    assert (tmp_path / "empty").read_bytes() == b"new"


def test_folders_devices_and_circles_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for path, message in (
        (tmp_path / "folder", "is a folder: give the path of a file"),
        ("", "is a folder"),
        (tmp_path / "pipe", "is no regular file"),
        ("/dev/null", "is no regular file"),
        (tmp_path / "a", "cannot write"),
        (tmp_path / "null\0", "cannot write"),
        (tmp_path / ("n" * 300), "File name too long.*choose a shorter name"),
    ):
        with pytest.raises(FileError, match=message):
            write_bytes(path, b"new")
    with pytest.raises(MissingFilesError, match=r"there is no folder .*none: make it, or write a elsewhere"):
        write_bytes(tmp_path / "none" / "a", b"new")


def test_a_protected_file_is_left(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda *args: False)  # as root may write everywhere
    with pytest.raises(FileError, match="write-protected"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: restore it"),
        (b"null", "a JSON NoneType, expected an object"),
        (b"[]", "a JSON list"),
        (b"3", "a JSON int"),
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "is no JSON .*nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"9" * 10_000, "is no JSON|a JSON int"),
    ],
)
def test_json_of_something_else_is_named(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InvalidDataError, match=message) as error:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(error.value)


def test_missing_files_are_named(tmp_path):
    for path in (tmp_path / "none", tmp_path, "a\0"):
        with pytest.raises(MissingFilesError, match="there is no file"):
            read_json(path)
    with pytest.raises(FileError, match="cannot read"):
        sha256(tmp_path)


def test_values_that_are_no_json_leave_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1})
    for value in ({"b": float("nan")}, {"b": object()}):
        with pytest.raises((TypeError, ValueError)):
            write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": 1}


@settings(max_examples=50, deadline=None)
@given(name=names)
def test_faults_of_names(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("names")
    try:
        write_bytes(folder / name, b"1")
    except FileError as error:
        assert "cannot write" in str(error)  # noqa: PT017
        assert listing(folder) == {}
    else:
        assert listing(folder) == {name: b"1"}


@pytest.mark.parametrize("nothing", [None, 3, b"a", []])
def test_what_is_no_path_is_refused(nothing):
    for function in (graphtasks.from_folder, graphtasks.load_splits, read_bytes, lambda path: write_bytes(path, b"")):
        with pytest.raises(FileError, match="expected a path"):
            function(nothing)


@pytest.mark.parametrize("nothing", [None, 3, pathlib.Path("karate")])
def test_what_is_no_name_is_refused(nothing):
    with pytest.raises(graphtasks.UnknownTaskError, match="as the name of a task"):
        graphtasks.load(nothing)
    with pytest.raises(FileError, match="expected a path"):
        graphtasks.load("karate", split=3)
    with pytest.raises(FileError, match="expected a path"):
        graphtasks.load("karate", root=3)
