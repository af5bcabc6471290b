"""Files of raw formats that are missing, or are replaced, and the cache of what was read of them."""

import os
import re
from pathlib import Path

import pytest
from torch_geometric import datasets as pyg

from graphtasks import MissingFilesError, load
from graphtasks.sources.cache import cache_folder
from raw_files import (
    CASES,
    FORMATS,
    ONE_FILE,
    Case,
    each_case,
    each_format,
    leftovers,
    load_case,
    pairs,
    parts,
    tree,
    write,
)


def file_names(case: Case, folder: Path) -> list[str]:
    """Names of all files of a case, which are written into an empty folder to find out."""
    case.write(folder, 0)
    return sorted(file.name for file in folder.iterdir())


@each_case
def test_missing_files_are_an_error_that_names_dataset_folder_and_files(case, root, tmp_path, no_network):
    (tmp_path / "elsewhere").mkdir()
    files = file_names(case, tmp_path / "elsewhere")
    with pytest.raises(MissingFilesError) as error:
        load(case.name, root=root, split=case.protocol)
    message = str(error.value)
    assert repr(case.name) in message
    assert str(root / case.folder) in message
    assert [file for file in files if file not in message] == []
    assert not root.exists()
    assert leftovers() == []


@pytest.mark.parametrize("case", [case for case in FORMATS if case.name not in ONE_FILE], ids=str)
def test_incomplete_folder_is_named_file_by_file(case, root):
    write(case, root)
    files = sorted((root / case.folder).iterdir())
    for gone in (files[:1], files[-1:], files[1:]):
        contents = {file: file.read_bytes() for file in gone}
        for file in gone:
            file.unlink()
        before = tree(root)
        with pytest.raises(MissingFilesError) as error:
            load(case.name, root=root, split=case.protocol)
        message = str(error.value)
        assert repr(case.name) in message
        assert str(root / case.folder) in message
        named = [file.name for file in files if re.search(rf"[ ,]{re.escape(file.name)}[,;]", message)]
        assert named == [file.name for file in gone]
        assert tree(root) == before
        for file, content in contents.items():
            file.write_bytes(content)
    load_case(case, root)


def test_incomplete_folder_in_the_cache_is_named(root):
    case = CASES["penn94-linkx"]
    write(case, cache_folder())
    (cache_folder() / case.folder / "data.mat").unlink()
    with pytest.raises(MissingFilesError, match=r"missing data\.mat") as error:
        load("penn94", root=root)
    assert str(cache_folder() / case.folder) in str(error.value)


@each_format
def test_files_may_not_be_writable_and_stay_as_they_are(case, root, tmp_path):
    write(case, root)
    paths = [root, *root.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree(root)
    first = load_case(case, root)
    assert load_case(case, root) == first
    assert tree(root) == before
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert set(tmp_path.iterdir()) <= {root, tmp_path / "cache"}
    assert leftovers() == []


@each_format
def test_changed_files_are_read_anew(case, root, tmp_path):
    write(case, root)
    first = load_case(case, root)
    write(case, root, seed=1)
    write(case, tmp_path / "other", seed=1)
    assert load_case(case, root) == load_case(case, tmp_path / "other") != first


def test_file_that_was_replaced_with_its_time_kept_is_read_anew(root, tmp_path):
    # As `cp -p` and `rsync -t` do; the ten files of splits have one size.
    case = CASES["texas-geom-gcn"]
    write(case, root)
    before = parts(load("texas", root=root))
    old, new = (root / case.folder / f"texas_split_0.6_0.2_{i}.npz" for i in (3, 4))
    stat, content = old.stat(), new.read_bytes()
    assert len(content) == stat.st_size
    copy = tmp_path / "copy.npz"
    copy.write_bytes(content)
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    copy.replace(old)
    after = parts(load("texas", root=root))
    assert after[3] == before[4]


@pytest.mark.parametrize("names", [("cora-ml", "cora-ml-directed"), ("cora-ml-directed", "cora-ml")])
def test_two_forms_of_one_file_do_not_meet_in_the_cache(root, names):
    write(CASES["cora-ml-random"], root)
    first = load(names[0], root=root)
    save = pyg.CitationFull.save

    def interrupted(graphs, path):
        save(graphs, path)
        Path(path).write_bytes(Path(path).read_bytes()[:100])
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyg.CitationFull, "save", staticmethod(interrupted))
        with pytest.raises(KeyboardInterrupt):
            load(names[1], root=root)
    assert leftovers() == []
    second = load(names[1], root=root)
    assert {first.directed, second.directed} == {False, True}
    assert {*pairs(first.data.edge_index)} ^ {*pairs(second.data.edge_index)}


def test_cache_folder_may_be_relative(tmp_path, root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    case = CASES["twitch-de-linkx"]
    write(case, tmp_path / "here" / "graphtasks")
    assert load("twitch-de", root=root).num_nodes == 48


def test_download_into_a_folder_that_has_other_files(root, monkeypatch):
    case = CASES["twitch-de-linkx"]
    folder = cache_folder() / case.folder
    folder.mkdir(parents=True)
    (folder / ".directory").write_text("of a file manager")
    monkeypatch.setattr(pyg.Twitch, "download", lambda dataset: case.write(Path(dataset.raw_dir), 0))
    assert load("twitch-de", root=root).num_nodes == 48
    assert (folder / ".directory").read_text() == "of a file manager"
