"""Checkpoints on disk and their index."""

import dataclasses
import json
import os
import stat

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gnndiff.errors import DamagedFileError
from gnndiff.files import sha256, write_tensors
from gnndiff.zoo.members import Checkpoint, read_checkpoint, read_index, write_index

OWNER = "a run"
GOOD = Checkpoint("0001-0.safetensors", "a" * 64, {"lr": 0.1}, 1, 7, 3, 0.5, "split", 1.5, 2)


def test_what_is_written_is_read(tmp_path):
    others = [GOOD, dataclasses.replace(GOOD, file="0001-1.safetensors", val=float("inf"))]
    write_index(tmp_path, others, OWNER)
    assert read_index(tmp_path, OWNER) == read_index(tmp_path, OWNER, "split") == others
    assert read_index(tmp_path / "nothing", OWNER) == []
    with pytest.raises(DamagedFileError, match="of another run"):
        read_index(tmp_path, "another run")


@pytest.mark.parametrize(
    "changes",
    [
        {"file": "../../etc/passwd"},
        {"file": "/etc/passwd"},
        {"file": "a/b.safetensors"},
        {"file": "..safetensors"},
        {"file": "x.pt"},
        {"file": None},
        {"sha256": "short"},
        {"setting": []},
        {"member": -1},
        {"member": 1.5},
        {"member": True},
        {"epoch": "3"},
        {"val": "high"},
        {"val": float("nan")},
        {"seconds": -1.0},
        {"siblings": 0},
        {"split_hash": ""},
        {"more": 1},
    ],
)
def test_a_line_with_wrong_values_has_a_name(tmp_path, changes):
    line = json.dumps({**dataclasses.asdict(GOOD), **changes})
    (tmp_path / "index.jsonl").write_text(line + "\n")
    with pytest.raises(DamagedFileError, match="got "):
        read_index(tmp_path, OWNER)


def test_a_line_twice_and_another_split_have_a_name(tmp_path):
    write_index(tmp_path, [GOOD, GOOD], OWNER)
    with pytest.raises(DamagedFileError, match="twice"):
        read_index(tmp_path, OWNER)
    write_index(tmp_path, [GOOD], OWNER)
    with pytest.raises(DamagedFileError, match="another split"):
        read_index(tmp_path, OWNER, "other")


@given(st.binary(max_size=60))
def test_any_bytes_are_an_index_or_damaged(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("zoo")
    write_index(folder, [GOOD], OWNER)
    line = (folder / "index.jsonl").read_bytes()
    (folder / "index.jsonl").write_bytes(line + content)
    try:
        assert read_index(folder, OWNER)[0] == GOOD
    except DamagedFileError as error:
        assert "index.jsonl" in str(error)  # noqa: PT017


def test_files_have_the_mode_of_the_umask_and_tied_tensors(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    before = os.umask(0o027)
    try:
        write_tensors(tmp_path / "0001-0.safetensors", model.state_dict())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "0001-0.safetensors").stat().st_mode) == 0o640
    checkpoint = dataclasses.replace(GOOD, sha256=sha256(tmp_path / "0001-0.safetensors"))
    state = read_checkpoint(tmp_path, checkpoint)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["0001-0.safetensors"]
    with pytest.raises(DamagedFileError, match="another hash"):
        read_checkpoint(tmp_path, GOOD)
