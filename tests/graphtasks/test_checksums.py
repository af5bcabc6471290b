"""Known raw files are those that were published."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from graphtasks import InvalidDataError, load
from graphtasks.sources import checksums
from graphtasks.sources.checksums import check_file

KNOWN = dict(checksums.KNOWN)  # before a fixture empties it


@pytest.fixture
def copied(real_data, tmp_path, monkeypatch):
    """A function that copies a folder of the real root to one that may be changed, and returns the new root."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def copy(*folders: str) -> Path:
        for folder in folders:
            target = shutil.copytree(Path(real_data) / folder, tmp_path / "root" / folder)
            for file in target.rglob("*"):
                file.chmod(0o755 if file.is_dir() else 0o644)
        return tmp_path / "root"

    return copy


def exchange(first: Path, second: Path) -> None:
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def test_list_of_checksums_is_well_formed():
    assert list(KNOWN) == sorted(KNOWN)
    assert len(set(KNOWN.values())) > 100
    for name, digest in KNOWN.items():
        assert re.fullmatch("[0-9a-f]{64}", digest)
        assert not name.startswith(("/", "."))


def test_other_content_under_a_known_name_is_an_error(tmp_path, monkeypatch):
    file = tmp_path / "data.npz"
    file.write_bytes(b"published")
    monkeypatch.setitem(checksums.KNOWN, "A/raw/data.npz", hashlib.sha256(b"published").hexdigest())
    check_file(file, "A/raw/data.npz")
    file.write_bytes(b"publishee")
    with pytest.raises(InvalidDataError, match=r"data\.npz is not A/raw/data\.npz as published .* replace it"):
        check_file(file, "A/raw/data.npz")
    check_file(file, "B/raw/data.npz")
    assert file.read_bytes() == b"publishee"


@pytest.mark.real_data
@pytest.mark.parametrize("name", KNOWN)
def test_files_at_hand_are_the_published_ones(real_data, name):
    file = Path(real_data) / name
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    check_file(file, name)


@pytest.mark.real_data
def test_exchanged_files_of_equal_form_are_an_error(copied):
    root = copied("WebKB/texas/raw", "WebKB/cornell/raw")
    texas, cornell = (root / "WebKB" / name / "raw" / f"{name}_split_0.6_0.2_3.npz" for name in ("texas", "cornell"))
    exchange(texas, cornell)
    for name in ("texas", "cornell"):
        with pytest.raises(InvalidDataError, match=rf"{name}_split_0.6_0.2_3\.npz as published"):
            load(name, root=root)
    exchange(texas, cornell)
    load("texas", root=root)
    other = texas.with_name("texas_split_0.6_0.2_4.npz")
    exchange(texas, other)
    with pytest.raises(InvalidDataError, match=r"split_0.6_0.2_3\.npz as published"):
        load("texas", root=root)


@pytest.mark.real_data
def test_edges_that_were_cut_at_a_line_end_are_missed(copied):
    root = copied("WebKB/texas/raw")
    edges = root / "WebKB" / "texas" / "raw" / "out1_graph_edges.txt"
    edges.write_text("".join(edges.read_text().splitlines(keepends=True)[:-40]))
    with pytest.raises(InvalidDataError, match=r"out1_graph_edges\.txt as published"):
        load("texas", root=root)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("task", "split", "folder", "file"),
    [
        ("cora", None, "Planetoid/Cora/raw", "ind.cora.allx"),
        ("johnshopkins55", None, "LINKXDataset/johnshopkins55/raw", "data.mat"),
        ("chameleon-filtered", None, "heterophilous_npz", "chameleon_filtered.npz"),
        ("amazon-photo", "tunedgnn", "splits", "amazon-photo_split.npz"),
    ],
)
def test_a_flipped_byte_is_an_error(copied, task, split, folder, file):
    root = copied(folder, "Amazon/Photo/raw") if split else copied(folder)
    path = root / folder / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(bytes(content))
    with pytest.raises(InvalidDataError, match=rf"{re.escape(file)} is not .* as published"):
        load(task, root=root, split=split)
    assert path.read_bytes() == bytes(content)
