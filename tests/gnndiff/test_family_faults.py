"""Runs over families that are killed, damaged, mixed up or on bad disks end in the same table or a named error."""

import dataclasses
import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest

import gnndiff
import graphtasks
from faults import FAULTS, failing, flipped, listing, small_disk
from gnndiff import GNNDiffError, cli
from gnndiff.errors import DamagedFileError, RunFolderError
from gnndiff.family.config import FamilyBudget
from gnndiff.family.folder import FamilyFolder, Vectors
from gnndiff.family.rows import FamilyResults
from gnndiff.family.stages import Stages
from graphtasks import FileError, GraphTasksError

NAMED = (GNNDiffError, GraphTasksError)
TINY = FamilyBudget(
    trials=2, searched=1, epochs=3, patience=3, shared_steps=12, generator_steps=5, latents=2, samples=2, labels=8
)
SPACE = {"hidden": (4, 8), "num_layers": (2,), "dropout": (0.0,), "lr": (0.01,), "weight_decay": (0.0,)}
# Made again with other times, or with lines in another order.
TIMED = {"stages.json", "shared/index.jsonl", "zoo/index.jsonl"}


@pytest.fixture(scope="module")
def family():
    whole = graphtasks.family("csbm-family", members=6, num_nodes=30, num_features=3)
    return dataclasses.replace(whole, shares=(0.45, 0.15))


@pytest.fixture(scope="module")
def go(family):
    """Runs what has not finished, and gives all that must be the same: all but times."""

    def run(folder, seed=0):
        results = gnndiff.run_family("mlp", family, budget=TINY, seed=seed, out=folder, space=SPACE, quiet=True)
        return {**results.as_json(), "seconds": None}

    return run


@pytest.fixture(scope="module")
def whole(go, tmp_path_factory):
    """A finished run, its table and the seconds that its stages took."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    table = go(folder)
    return folder, table, sum(FamilyFolder.load(folder).seconds().values())


@pytest.fixture(scope="module")
def other(go, tmp_path_factory):
    """A run of another seed."""
    folder = tmp_path_factory.mktemp("other") / "run"
    go(folder, seed=1)
    return folder


@pytest.fixture
def copy(whole, tmp_path):
    """A copy of it to damage."""
    return shutil.copytree(whole[0], tmp_path / "run")


@pytest.fixture
def outcome(go, whole, tmp_path):
    """'same' or the message of the error of a run in a copy of the finished one that is damaged by a function."""

    def run(damage, forget=()):
        folder = shutil.copytree(whole[0], tmp_path / "damaged")
        try:
            for name in forget:
                (folder / name).unlink()
            damage(folder)
            table = go(folder)
        except NAMED as error:
            found = str(error)
        else:
            found = "same"
            assert table == whole[1]
        finally:
            shutil.rmtree(folder)
        assert "\n" not in found
        assert found == "same" or str(folder) in found
        return found

    return run


def artefacts(folder):
    return [name for name in listing(folder) if name != ".lock"]


def some(values, rng, count):
    """All of them where many faults are tried."""
    return values if FAULTS > 100 else rng.sample(values, min(count, len(values)))


def forgotten(name, *, own=()):
    """Files without which a run reads more of the others: all that is made from an artefact is looked for, or made."""
    sets = [[], ["results.json"], ["results.json", "stages.json"]]
    early = name.startswith(("search", "shared", "zoo"))  # what comes before it takes no time
    return [[n for n in each if n not in own] for each in (sets if early or FAULTS > 100 else sets[:2])]


def remade(names, lost):
    """Whether some files are made again without a look at them, as no record says what they were."""
    return "stages.json" in lost and all(name == "results.json" or name.startswith("pipeline") for name in names)


def killed(go, folder, seconds):
    """Whether a run in a process of its own was killed after some seconds, before it ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - it ends with the process
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            go(folder)
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_killed_runs_end_in_the_same_table_fault(go, whole, tmp_path):
    rng, kills, runs = random.Random(FAULTS), 0, 0
    while kills < FAULTS // 8:
        folder = tmp_path / str(runs)
        while kills < FAULTS // 8 and killed(go, folder, rng.uniform(0.01, whole[2])):
            kills += 1
        assert go(folder) == whole[1]
        assert not list(folder.rglob("*.part"))
        assert artefacts(folder) == artefacts(whole[0])
        runs += 1


def test_flipped_bits_are_refused_fault(whole, outcome):
    rng, every = random.Random(FAULTS), artefacts(whole[0])
    for number in range(max(FAULTS, len(every))):
        name = every[number % len(every)]

        def flip(folder, name=name):
            [(_, damaged)] = flipped((folder / name).read_bytes(), 1, rng.randrange(2**31))
            (folder / name).write_bytes(damaged)

        lost = rng.choice(forgotten(name, own=[name]))
        assert (outcome(flip, lost) == "same") == remade([name], lost), (name, lost)


def test_artefacts_of_another_run_are_refused(whole, other, outcome):
    every = [name for name in artefacts(whole[0]) if (other / name).is_file()]
    every = [name for name in every if (other / name).read_bytes() != (whole[0] / name).read_bytes()]
    assert len(every) > 15
    together = [[n for n in every if n.split("/")[0] == part] for part in ("shared", "zoo", "rows", "pipeline")]
    for group in [*([name] for name in every), *together, ["stages.json", "results.json"]]:

        def exchange(folder, group=group):
            for name in group:
                shutil.copy(other / name, folder / name)

        for lost in forgotten(group[0], own=group):
            assert (outcome(exchange, lost) == "same") == remade(group, lost), (group, lost)


def test_artefacts_that_nothing_says_are_there(whole, other, outcome):
    """Without a record rows of another run or member are refused, and a pipeline is made again."""
    rows = sorted(name for name in artefacts(whole[0]) if name.startswith("rows/"))
    assert len(rows) > 1
    for source in (other / rows[0], whole[0] / rows[1]):
        damage = lambda folder, source=source: shutil.copy(source, folder / rows[0])  # noqa: E731
        assert "of another run or place" in outcome(damage, ["results.json", "stages.json"])

    def exchange(folder):
        shutil.rmtree(folder / "pipeline")
        shutil.copytree(other / "pipeline", folder / "pipeline")

    assert outcome(exchange, ["results.json", "stages.json"]) == "same"


def test_artefacts_that_are_exchanged_are_refused(whole, outcome):
    contents = {name: content for name, content in listing(whole[0]).items() if name != ".lock"}
    pairs = [(a, b) for a, b in combinations(contents, 2) if contents[a] != contents[b]]
    beside = [(a, b) for a, b in pairs if a.split("/")[:-1] == b.split("/")[:-1]]
    assert len(beside) > 20
    for a, b in [*beside, *some(pairs, random.Random(0), 10)]:

        def exchange(folder, a=a, b=b):
            (folder / a).write_bytes(contents[b])
            (folder / b).write_bytes(contents[a])

        for lost in forgotten(a, own=(a, b))[::2]:
            assert (outcome(exchange, lost) == "same") == remade([a, b], lost), (a, b, lost)


def test_what_is_missing_is_made_again(go, whole, copy):
    every = [name for name in artefacts(whole[0]) if name != "config.json"]
    before = listing(whole[0])
    for name in some(every, random.Random(0), 3):
        (copy / name).unlink()
        assert go(copy) == whole[1]
        made = listing(copy)
        assert made.keys() == before.keys()
        assert [n for n in made if n not in TIMED and made[n] != before[n]] == [], name
    for part in ("shared", "zoo", "rows", "pipeline"):
        shutil.rmtree(copy / part)
    assert go(copy) == whole[1]
    (copy / "config.json").unlink()
    with pytest.raises(RunFolderError, match=r"no config\.json"):
        go(copy)


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b'{"run": ', b"[" * 100_000, b"\xff\xfe", b"1e999"])
def test_json_of_something_else(content, whole, outcome):
    for name in artefacts(whole[0]):
        if name.endswith((".json", ".jsonl")):
            result = outcome(lambda folder, name=name: (folder / name).write_bytes(content))
            assert f"damaged/{name}" in result


def test_every_file_cut_short_is_refused(whole, outcome):
    for name, content in listing(whole[0]).items():
        if name != ".lock":
            result = outcome(lambda folder, name=name, content=content: (folder / name).write_bytes(content[:-9]))
            assert name.split("/")[0] in result


def test_a_finished_run_computes_nothing(go, whole, monkeypatch):
    monkeypatch.setattr(Stages, "all", lambda stages: pytest.fail("something is computed"))
    before = listing(whole[0])
    assert go(whole[0]) == whole[1]
    assert listing(whole[0]) == before


def test_a_stage_that_leaves_something_else_ends_what_follows(family, copy):
    run = FamilyFolder.load(copy)
    (copy / "search.json").write_bytes((copy / "rows" / artefacts(copy / "rows")[0]).read_bytes())
    run.finish("search", 0.0, ["search.json"])
    assert list(run.seconds()) == ["search"]


@pytest.mark.filterwarnings("ignore::gnndiff.FamilyWarning")
def test_a_finished_run_on_a_read_only_disk_prints_its_table(go, whole, tmp_path, family, capsys):
    graph = family.members("unseen")[0].graph()
    np.savez(tmp_path / "graph.npz", x=graph.x.numpy(), edge_index=graph.edge_index.numpy())
    with small_disk(tmp_path / "disk", 4096):
        folder = shutil.copytree(whole[0], tmp_path / "disk" / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        assert go(folder) == whole[1]
        cli.main(["show", str(folder)])
        assert "| generated_mean |" in capsys.readouterr().out
        cli.main(["predict", str(folder), "--data", str(tmp_path / "graph.npz"), "--out", str(tmp_path / "out.npz")])
        assert (tmp_path / "out.npz").is_file()
    with small_disk(tmp_path / "other", 4096):
        folder = shutil.copytree(whole[0], tmp_path / "other" / "run")
        (folder / "results.json").unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "other")], check=True)
        with pytest.raises(FileError, match="choose a path on another disk"):
            go(folder)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_disk_that_fails_fault(function, go, whole, tmp_path, monkeypatch):
    rng, original = random.Random(FAULTS), getattr(os, function)
    for number in range(max(1, FAULTS // 30)):
        left = [rng.randrange(14)]

        def fail(*arguments, left=left, **options):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*arguments, **options)

        folder = tmp_path / str(number)
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(FileError, match="free some space"):
                go(folder)
        assert go(folder) == whole[1]


def test_a_disk_without_space_for_a_folder(go, tmp_path, monkeypatch):
    with failing(monkeypatch, "mkdir"), pytest.raises(FileError, match="free some space"):
        go(tmp_path / "run")


def test_new_files_have_the_mode_of_the_umask(whole):
    umask = os.umask(0)
    os.umask(umask)
    files = [whole[0] / name for name in artefacts(whole[0])]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o666 & ~umask}


def test_a_pipeline_of_another_run_answers_nothing(copy, other, family, tmp_path, capsys):
    results = FamilyResults.load(copy)
    shutil.rmtree(copy / "pipeline")
    with pytest.raises(RunFolderError, match="no finished pipeline"):
        _ = results.pipeline
    shutil.copytree(other / "pipeline", copy / "pipeline")
    with pytest.raises(DamagedFileError, match=r"pipeline/hashes\.json is not as"):
        _ = results.pipeline
    graph = family.members("unseen")[0].graph()
    np.savez(tmp_path / "graph.npz", x=graph.x.numpy(), edge_index=graph.edge_index.numpy())
    with pytest.raises(SystemExit):
        cli.main(["predict", str(copy), "--data", str(tmp_path / "graph.npz"), "--out", str(tmp_path / "out.npz")])
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_commands_of_other_runs_name_the_folder(copy, capsys):
    for arguments in (["show", str(copy.parent)], ["zoo", str(copy)], ["predict", str(copy)]):
        with pytest.raises(SystemExit) as caught:
            cli.main(arguments)
        assert caught.value.code == 2
        [line] = capsys.readouterr().err.splitlines()
        assert str(copy.parent) in line


def test_tensors_of_another_setting_or_number_are_refused(copy, family):
    run = FamilyFolder.load(copy)
    [first, *_] = run.store("zoo").checkpoints()
    hashes = {each.member: each.split_hash for each in run.store("zoo").checkpoints()}
    assert Vectors(run, "zoo", first.setting, hashes).found().keys() == hashes.keys()
    others = [{**first.setting, "start": "0" * 64}, {**first.setting, "lr": 1.0}]
    for setting, numbers in [*((setting, hashes) for setting in others), (first.setting, {})]:
        with pytest.raises(DamagedFileError, match=r"zoo/index\.jsonl has a line of another"):
            Vectors(run, "zoo", setting, numbers).found()


def test_files_of_somebody_else_are_refused_before_anything_is_computed(go, whole, copy, monkeypatch):
    monkeypatch.setattr(Stages, "all", lambda stages: pytest.fail("something is computed"))
    (copy / "results.json").unlink()
    for name in ("pipeline", "shared", "zoo", "rows"):
        shutil.move(copy / name, copy.parent / "kept")
        (copy / name).write_text("mine")
        with pytest.raises(RunFolderError, match="move it elsewhere"):
            go(copy)
        assert (copy / name).read_text() == "mine"
        (copy / name).unlink()
        shutil.move(copy.parent / "kept", copy / name)
    (copy / "pipeline" / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="move it elsewhere"):
        go(copy)
    assert (copy / "pipeline" / "mine.txt").read_text() == "mine"


def test_links_are_not_followed(go, copy, tmp_path):
    path = next((copy / "zoo").glob("*.safetensors"))
    path.rename(tmp_path / path.name)
    path.symlink_to(tmp_path / path.name)
    (copy / "stages.json").unlink()
    with pytest.raises(DamagedFileError, match="which is not followed"):
        go(copy)
