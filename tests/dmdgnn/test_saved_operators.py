"""Operators in files: damage is named, and no file of somebody else is replaced."""

import os
import stat

import pytest
import safetensors.torch
import torch

from dmdgnn import FileError, LowRankOperator
from faults import FAULTS, failing, flipped, limited, listing


@pytest.fixture
def saved(tmp_path):
    """A ragged operator and its file."""
    generator = torch.Generator().manual_seed(0)
    left, core = torch.randn(5, 2, generator=generator), torch.randn(2, 2, 2, generator=generator)
    operator = LowRankOperator(left, core, ptr=torch.tensor([0, 2, 5]))
    operator.save(tmp_path / "operator.safetensors")
    return operator, tmp_path / "operator.safetensors"


def equal(a, b):
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("left", "core", "right", "ptr"))


def test_faults_of_bytes_give_no_other_operator(saved):
    operator, path = saved
    content = path.read_bytes()
    for place, damaged in flipped(content, 5 * FAULTS):
        path.write_bytes(damaged)
        try:
            assert equal(LowRankOperator.load(path), operator), place
        except FileError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_faults_of_ends_are_named(saved):
    _, path = saved
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(FileError, match="it is damaged or another file"):
            LowRankOperator.load(path)


def test_files_without_a_hash_are_read(saved):
    operator, path = saved
    safetensors.torch.save_file(safetensors.torch.load_file(path), path)
    assert equal(LowRankOperator.load(path), operator)


def test_other_files_are_named_and_left(saved, tmp_path):
    operator, _ = saved
    other = tmp_path / "other"
    safetensors.torch.save_file({"weight": torch.ones(3)}, other)
    for content in (other.read_bytes(), b"years of work", b"{}", bytes(100)):
        other.write_bytes(content)
        with pytest.raises(FileError, match="other"):
            LowRankOperator.load(other)
        with pytest.raises(FileError, match="other"):
            operator.save(other)
        assert other.read_bytes() == content
    for path in (tmp_path, tmp_path / "none", "/dev/null"):
        with pytest.raises(FileError):
            LowRankOperator.load(path)
    for path in (tmp_path, tmp_path / "none" / "a", "/dev/null", tmp_path / "a\0", tmp_path / ("n" * 300)):
        with pytest.raises(FileError):
            operator.save(path)


@pytest.mark.parametrize("function", ["replace", "fsync", "open"])
def test_a_write_that_fails_leaves_the_old_file(saved, tmp_path, monkeypatch, function):
    operator, path = saved
    before = listing(tmp_path)
    with failing(monkeypatch, function), pytest.raises(FileError, match="No space left on device"):
        operator.T.save(path)
    with limited(50), pytest.raises(FileError, match="File too large"):
        operator.T.save(path)
    assert listing(tmp_path) == before


def test_files_have_the_mode_of_the_umask(saved, tmp_path):
    operator, path = saved
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~os.umask(os.umask(0o022))
    path.chmod(0o640)
    operator.T.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert equal(LowRankOperator.load(path), operator.T)


@pytest.mark.parametrize("nothing", [None, 3, b"a"])
def test_what_is_no_path_is_refused(saved, nothing):
    for function in (LowRankOperator.load, saved[0].save):
        with pytest.raises(FileError, match="expected a path"):
            function(nothing)
