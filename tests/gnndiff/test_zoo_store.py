"""Checkpoints on disk: shards and their index."""

import dataclasses
import errno
import json
import os
import signal
import stat
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from faults import failing, limited
from gnndiff.errors import DamagedFileError
from gnndiff.zoo import store as store_module
from gnndiff.zoo.checkpoint import Checkpoint
from gnndiff.zoo.store import _TYPES, CheckpointStore
from graphtasks import FileError

OWNER = "a run"
GOOD = Checkpoint("00001.safetensors", 0, "a" * 64, {"lr": 0.1}, 1, 1, 7, 3, 0.5, "split", 1.5, 2)


MEMBERS = range(10_000, 30_000), range(1, 40, 2), range(0, 40, 2)


def facts(val=0.5):
    return {"setting": {"lr": 0.1}, "root": 0, "seed": 1, "epoch": 2, "val": val, "split_hash": "s", "seconds": 0.5}


def states(count=2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [{"weight": torch.randn(3, 2, generator=rng), "steps": torch.tensor(i)} for i in range(count)]


def filled(folder, members=(0, 1, 2)):
    store = CheckpointStore(folder, OWNER)
    for member in members:
        store.add(member, states(seed=member), [facts(0.1 * member), facts(0.2 * member)])
    return store


def same(left, right):
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


def test_what_is_added_is_read(tmp_path):
    store = filled(tmp_path / "zoo")
    found = CheckpointStore(tmp_path / "zoo", OWNER, "s").checkpoints()
    assert [(each.member, each.row, each.siblings) for each in found] == [(m, r, 2) for m in range(3) for r in range(2)]
    assert all(same(store.read(each), states(seed=each.member)[each.row]) for each in found)
    assert store.complete() == found
    assert store.readable() == (found, [])
    assert {path.name for path in store.folder.iterdir()} == {"index.jsonl", *(each.shard for each in found)}
    assert CheckpointStore(tmp_path / "nothing").checkpoints() == []


def test_the_order_of_adding_and_a_second_time_change_nothing(tmp_path):
    forth, back = filled(tmp_path / "a"), filled(tmp_path / "b", (2, 0, 1, 0))
    assert forth.checkpoints() == back.checkpoints()
    assert forth.digest() == back.digest() != CheckpointStore(tmp_path / "c").digest() is None


def test_many_at_once_are_what_one_after_the_other_is(tmp_path, monkeypatch):
    one = filled(tmp_path / "one", range(7))
    monkeypatch.setattr(store_module, "BATCH", 3)
    all_at_once = CheckpointStore(tmp_path / "all", OWNER)
    many = [(m, states(seed=m), [facts(0.1 * m), facts(0.2 * m)]) for m in range(7)]
    all_at_once.add_all(many[:2])
    found = all_at_once.add_all([*many, many[5]])
    assert sorted(each.member for each in found) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 5, 5, 6, 6]
    left, right = ([dataclasses.replace(e, shard="x", row=0) for e in s.complete()] for s in (all_at_once, one))
    assert left == right
    names = {path.name for path in (tmp_path / "all").glob("*.safetensors")}
    assert names == {"00000-00001.safetensors", "00002.safetensors", "00003-00005.safetensors", "00006.safetensors"}
    assert list(all_at_once.add_all([])) == []


def test_a_shard_that_others_are_in_is_not_written_again(tmp_path):
    store = CheckpointStore(tmp_path, OWNER)
    many = [(m, states(seed=m), [facts()] * 2) for m in range(4)]
    store.add_all(many)
    store.keep([each for each in store.checkpoints() if each.member in (1, 2)])
    store.add_all(many)
    assert [each.member for each in store.complete()] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {f"00000-00003{i}.safetensors" for i in ("", ".1")}
    for each in store.checkpoints():
        assert same(store.read(each), states(seed=each.member)[each.row % 2])


def test_no_line_is_there_before_its_shard_has_reached_the_disk(tmp_path, monkeypatch):
    store, synced = filled(tmp_path, (0,)), []
    original = os.fsync

    def fsync(descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        lines = store.index.read_bytes().count(b"\n")
        assert lines == 2 or path == str(store.index)
        synced.append(path)
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store.add_all((m, states(seed=m), [facts()] * 2) for m in range(1, 5))
    assert [os.path.basename(path) for path in synced[1:]] == [tmp_path.name, "index.jsonl"]
    assert len(store.complete()) == 10


def test_indices_of_others_are_refused(tmp_path):
    filled(tmp_path)
    with pytest.raises(DamagedFileError, match="of another run"):
        CheckpointStore(tmp_path, "another run").checkpoints()
    with pytest.raises(DamagedFileError, match="another split"):
        CheckpointStore(tmp_path, OWNER, "other").checkpoints()


def test_reading_touches_one_shard(tmp_path):
    store = filled(tmp_path)
    best = max(store.checkpoints(), key=lambda each: each.val)
    for path in tmp_path.glob("*.safetensors"):
        if path.name != best.shard:
            path.unlink()
    assert same(store.read(best), states(seed=2)[1])


def test_damage_is_named_and_the_rest_is_readable(tmp_path):
    store = filled(tmp_path)
    content = bytearray((tmp_path / "00001.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "00001.safetensors").write_bytes(content)
    (tmp_path / "00002.safetensors").unlink()
    (tmp_path / "00002.safetensors").symlink_to(tmp_path / "00000.safetensors")
    good, problems = store.readable()
    assert [each.member for each in good] == [0, 0, 1]  # the other checkpoint of the damaged shard is whole
    assert [problem.split("zoo", 1)[-1].count("00002") for problem in problems] == [0, 1, 1]
    assert {each.member for each in store.complete()} == {0}
    store.keep(store.complete())
    (tmp_path / "00002.safetensors").unlink()
    filled(tmp_path)
    assert len(store.complete()) == 6


def test_a_line_that_names_a_file_outside_costs_its_checkpoint_alone(tmp_path):
    store = filled(tmp_path / "zoo")
    outside = dataclasses.replace(GOOD, shard="../../passwd.safetensors", member=9)
    with store.index.open("ab") as file:
        file.write(outside.line(OWNER))
    with pytest.raises(DamagedFileError, match=r"line 7: got shard='../../passwd"):
        store.checkpoints()
    good, problems = store.readable()
    assert len(good) == 6
    assert len(problems) == 1
    with pytest.raises(DamagedFileError, match="another folder"):
        store.read(outside)


@pytest.mark.parametrize(
    "changes",
    [
        {"shard": "/etc/passwd"},
        {"shard": "a/b.safetensors"},
        {"shard": "..safetensors"},
        {"shard": "x.pt"},
        {"shard": None},
        {"row": -1},
        {"sha256": "short"},
        {"setting": []},
        {"member": -1},
        {"member": 1.5},
        {"member": True},
        {"root": None},
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
    (tmp_path / "index.jsonl").write_text(json.dumps({**dataclasses.asdict(GOOD), **changes}) + "\n")
    with pytest.raises(DamagedFileError, match="got "):
        CheckpointStore(tmp_path, OWNER).checkpoints()


def test_a_line_twice_has_a_name(tmp_path):
    (tmp_path / "index.jsonl").write_bytes(2 * GOOD.line(OWNER))
    with pytest.raises(DamagedFileError, match="twice"):
        CheckpointStore(tmp_path, OWNER).checkpoints()


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_any_bytes_are_an_index_or_damaged(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("zoo")
    (folder / "index.jsonl").write_bytes(GOOD.line(OWNER) + content)
    try:
        assert CheckpointStore(folder, OWNER).checkpoints()[0] == GOOD
    except DamagedFileError as error:
        assert "index.jsonl" in str(error)  # noqa: PT017


@given(st.integers(0, 10**6))
@settings(deadline=None)
def test_an_index_cut_anywhere_loses_the_end_alone_and_takes_more(tmp_path_factory, place):
    store = filled(tmp_path_factory.mktemp("zoo"), (0, 1))
    content, before = store.index.read_bytes(), store.checkpoints()
    store.index.write_bytes(content[: place % len(content)])
    left = store.checkpoints()
    assert left == before[: len(left)]
    assert len(left) >= content[: place % len(content)].count(b"\n")
    store.keep(store.complete())
    filled(store.folder)
    assert [each.member for each in store.complete()] == [0, 0, 1, 1, 2, 2]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    store = filled(tmp_path, (0,))
    before = store.index.read_bytes()
    with failing(monkeypatch, "fsync"), pytest.raises(FileError, match="free some space"):
        filled(tmp_path)
    for function in ("pwrite", "ftruncate"):
        with failing(monkeypatch, function), pytest.raises(FileError, match="free some space"):
            store.add(1, states(), [facts()] * 2)
    with limited(len(before) + 100), pytest.raises(FileError):  # a line is written half
        store.add(1, states(1), [{**facts(), "setting": {}}])
    assert store.index.read_bytes() == before
    assert len(filled(tmp_path).complete()) == 6
    assert not list(tmp_path.glob(".*.part"))


def test_a_folder_that_is_only_read(tmp_path, monkeypatch):
    store = filled(tmp_path, (0,))
    with failing(monkeypatch, "replace", errno.EROFS), pytest.raises(FileError, match="on another disk"):
        store.add(1, states(), [facts()] * 2)
    assert len(store.complete()) == 2


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_two_writers_lose_nothing_and_a_killed_one_holds_nobody(tmp_path):
    store = CheckpointStore(tmp_path, OWNER)
    children = []
    for start in (0, 1, 2):
        child = os.fork()
        if child == 0:
            for member in MEMBERS[start]:
                store.add(member, states(seed=member), [facts()] * 2)
            os._exit(0)
        children.append(child)
    time.sleep(0.1)
    os.kill(children[0], signal.SIGKILL)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [-signal.SIGKILL, 0, 0]
    found = store.complete()
    assert {each.member for each in found if each.member < 10_000} == set(range(40))
    assert all(same(store.read(each), states(seed=each.member)[each.row]) for each in found)
    store.add(50_000, states(), [facts()] * 2)


def test_files_have_the_mode_of_the_umask_and_tied_tensors(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    store = CheckpointStore(tmp_path, OWNER)
    before = os.umask(0o027)
    try:
        store.add(1, [model.state_dict()], [facts()])
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}
    assert same(store.read(store.checkpoints()[0]), model.state_dict())


def test_a_shard_is_a_file_of_safetensors_with_every_type(tmp_path):
    rng = torch.Generator().manual_seed(0)
    state = {f"a.{i}": torch.randn(3, i, generator=rng).to(dtype) for i, dtype in enumerate(_TYPES)}
    state["scalar"] = torch.tensor(2.5)
    store = CheckpointStore(tmp_path, OWNER)
    store.add(7, [state, {name: tensor.mT for name, tensor in state.items() if tensor.dim() == 2}], [facts()] * 2)
    read = load_file(tmp_path / "00007.safetensors")
    assert same({name.removeprefix("0/"): each for name, each in read.items() if name.startswith("0/")}, state)
    first, second = store.checkpoints()
    assert same(store.read(first), state)
    assert store.read(second)["a.2"].equal(state["a.2"].mT)
