"""Runs that are killed, damaged, mixed up, on full disks and under odd names end in the same table or a named error."""

import errno
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from faults import FAULTS, flipped, listing, names, small_disk
from gnndiff import GNNDiffError, GNNDiffPipeline, Results, Run, RunConfig, cli
from gnndiff.errors import ConfigError, DamagedFileError, RunFolderError
from gnndiff.files import SEAL
from gnndiff.generators import LatentDiffusion
from gnndiff.generators.denoiser import Denoiser
from gnndiff.generators.modules import loaded
from gnndiff.pipeline import files_of
from gnndiff.runs import deliver
from gnndiff.runs.deliver import Best
from gnndiff.runs.generate import CANDIDATES
from gnndiff.search import finished_trials, search
from gnndiff.stages import STAGES, run_all
from gnndiff.targets.base import check_setting
from gnndiff.zoo.store import CheckpointStore
from graphtasks import GraphTasksError

NAMED = (GNNDiffError, GraphTasksError)
# Made again with other times, or not at all.
TIMED = {"config.json", "stages.json", "results.json", "search.db", "zoo/index.jsonl", ".lock", "report.html"}


def config(folder, **changes):
    return RunConfig(**{"task": "karate", "budget": "mini", "out": folder, "quiet": True, **changes})


def go(folder, **changes):
    """Run what has not finished, as `gnndiff run` does."""
    run = Run(config(folder, **changes))
    run.create()
    with run.locked():
        return run_all(run)


def table(results):
    """Parts of the results that must be the same: all but times."""
    return {**results, "stages": None, "rows": [{**row, "seconds": None} for row in results["rows"]]}


def command(name, folder):
    return [name, "--task", "karate", "--budget", "mini", "--quiet", f"--out={folder}"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run, its table and the seconds that it took."""
    folder, start = tmp_path_factory.mktemp("whole") / "run", time.monotonic()
    return folder, table(go(folder)), time.monotonic() - start


@pytest.fixture
def copy(whole, tmp_path):
    """A copy of it to damage."""
    return shutil.copytree(whole[0], tmp_path / "run")


def artefacts(folder):
    return [name for name in listing(folder) if name != ".lock"]


class Killer:
    """A standard error that kills the process at a line of progress."""

    def __init__(self, lines):
        self.lines = lines

    def write(self, text):
        self.lines -= text.count("\n")
        if self.lines < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def flush(self):
        pass

    def isatty(self):
        return False


def killed(folder, rng, whole):
    """Whether a run in a process of its own was killed, at a line of progress or at some time, before it ended."""
    lines, seconds = (rng.randrange(8), 0.0) if rng.random() < 0.5 else (10**9, rng.uniform(0.01, whole))
    child = os.fork()
    if child == 0:
        sys.stderr = Killer(lines)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        code = 1
        try:
            go(folder)
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_killed_runs_end_in_the_same_table_fault(whole, tmp_path):
    rng, kills, runs = random.Random(FAULTS), 0, 0
    while kills < FAULTS * 2 // 5:
        folder = tmp_path / str(runs)
        while kills < FAULTS * 2 // 5 and killed(folder, rng, whole[2]):
            kills += 1
        assert table(go(folder)) == whole[1]
        assert not list(folder.rglob("*.part"))
        assert artefacts(folder) == artefacts(whole[0])
        runs += 1
        shutil.rmtree(folder)


def outcome(folder, expected):
    """'same' or the class of the error of a run."""
    try:
        results = go(folder)
    except NAMED as error:
        return type(error).__name__
    assert table(results) == expected
    return "same"


def test_flipped_bits_never_give_another_table_fault(whole, tmp_path):
    rng, seen = random.Random(FAULTS), {}
    every = artefacts(whole[0])
    for number in range(FAULTS):
        name = every[number % len(every)]
        folder = shutil.copytree(whole[0], tmp_path / "run")
        again = rng.random() < 0.5 and name != "results.json"
        if again:  # the comparison is made again from what is there
            (folder / "results.json").unlink()
        [(_, damaged)] = flipped((folder / name).read_bytes(), 1, rng.randrange(2**31))
        (folder / name).write_bytes(damaged)
        result = outcome(folder, whole[1])
        seen[result] = seen.get(result, 0) + 1
        unread = name.startswith("trials/retrain") and not again  # by a run whose comparison is there
        spare = unread or name == "search.db" or name.startswith("best") or name.endswith(".json")
        assert result != "same" or spare, name
        shutil.rmtree(folder)
    print(seen)  # the figures of docs/reliability.md
    assert seen["DamagedFileError"] > FAULTS / 2


def test_flipped_bits_are_found_without_the_run_fault(copy):
    for part, read in (("generator", GNNDiffPipeline.from_pretrained), ("best", Best.load)):
        for name, content in listing(copy / part).items():
            for place, damaged in flipped(content, max(2, FAULTS // 15)):
                (copy / part / name).write_bytes(damaged)
                with pytest.raises(DamagedFileError, match=part):
                    pytest.fail(f"{name} {place} {read(copy / part)}")
            (copy / part / name).write_bytes(content)
        read(copy / part)


def test_artefacts_of_another_run_are_refused_fault(whole, tmp_path):
    other = tmp_path / "other"
    go(other, seed=1)
    every = [name for name in artefacts(whole[0]) if (other / name).is_file()]
    every = [name for name in every if (other / name).read_bytes() != (whole[0] / name).read_bytes()]
    assert len(every) > 15
    groups = [[name] for name in every] + [["stages.json", "results.json"], every, [n for n in every if "." in n[1:9]]]
    for group in groups if FAULTS > 100 else [*groups[::2], *groups[-3:]]:
        folder = shutil.copytree(whole[0], tmp_path / "run")
        for name in group:
            shutil.copy(other / name, folder / name)
        if "results.json" not in group:
            (folder / "results.json").unlink()
        remade = group[0].startswith("best/") and len(group) == 1  # by the comparison, which is missing
        assert (outcome(folder, whole[1]) == "same") == remade, group
        shutil.rmtree(folder)


def test_what_is_missing_is_made_again_fault(whole, tmp_path):
    every = [name for name in artefacts(whole[0]) if name != "config.json"]
    for name in every if FAULTS > 100 else random.Random(0).sample(every, 8):
        folder = shutil.copytree(whole[0], tmp_path / "run")
        (folder / name).unlink()
        assert outcome(folder, whole[1]) == "same", name
        made, before = listing(folder), listing(whole[0])
        assert made.keys() == before.keys()
        assert name in TIMED or made[name] == before[name], name
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b"{}", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"1e999"]
)
def test_json_of_something_else(content, whole, copy, capsys):
    for name in artefacts(copy):
        if not name.endswith((".json", ".jsonl")):
            continue
        good = (copy / name).read_bytes()
        (copy / name).write_bytes(content)
        if name == "zoo/index.jsonl" and not content:
            continue
        with pytest.raises(SystemExit) as caught:
            cli.main(command("run", copy))
        assert caught.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("gnndiff: ")
        (copy / name).write_bytes(good)


@pytest.mark.parametrize("function", ["fsync", "replace", "open"])
def test_a_disk_that_fails_fault(function, whole, tmp_path, monkeypatch, capsys):
    rng, original = random.Random(FAULTS), getattr(os, function)
    for number in range(max(1, FAULTS // 30)):
        left = [rng.randrange(25)]

        def fail(path, *arguments, left=left, **options):
            left[0] -= function != "open" or ".part" in str(path)
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(path, *arguments, **options)

        folder = tmp_path / str(number)
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fail)
            with pytest.raises(SystemExit) as caught:
                cli.main(command("run", folder))
        assert caught.value.code == 2
        assert "free some space" in capsys.readouterr().err.splitlines()[-1]
        assert table(go(folder)) == whole[1]


@pytest.mark.parametrize("kilobytes", [40, 200, 400] if FAULTS < 100 else range(40, 500, 40))
def test_a_full_disk_fault(kilobytes, tmp_path, capsys):
    with small_disk(tmp_path / "disk", kilobytes), pytest.raises(SystemExit) as caught:
        cli.main(command("run", tmp_path / "disk" / "run"))
    assert caught.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "free some space" in line
    assert "delete" not in line


def test_a_finished_run_on_a_read_only_disk_prints_its_table(whole, tmp_path, capsys, monkeypatch):
    disk = tmp_path / "disk"
    with small_disk(disk, 4096):
        folder = shutil.copytree(whole[0], disk / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        before = listing(disk)
        for arguments in (command("run", folder), ["show", str(folder)]):
            cli.main(arguments)
            assert "greedy_soup" in capsys.readouterr().out
        cli.main(["predict", str(folder), "--out", str(tmp_path / "new.npz")])
        assert (tmp_path / "new.npz").is_file()
        assert listing(disk) == before
        capsys.readouterr()
        with pytest.raises(SystemExit):
            cli.main(command("generate", folder))
        assert "choose a path on another disk" in capsys.readouterr().err


def test_new_files_have_the_mode_of_the_umask(whole):
    umask = os.umask(0)
    os.umask(umask)
    modes = {
        stat.S_IMODE(path.stat().st_mode) for path in whole[0].rglob("*") if path.is_file() and path.name != ".lock"
    }
    assert modes == {0o666 & ~umask}


@settings(max_examples=max(3, FAULTS // 10), deadline=None, suppress_health_check=list(HealthCheck))
@given(name=names)
def test_any_name_of_a_folder_fault(whole, tmp_path, capsys, name):
    base = tmp_path / "names"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    try:
        folder = shutil.copytree(whole[0], base / name)
    except OSError:  # the system has no such names
        return
    (folder / "search.db").unlink()
    for arguments in (["show", str(folder)], command("run", folder), command("search", folder)):
        cli.main(arguments)
    cli.main(["predict", str(folder), "--out", str(folder / "new.npz")])
    assert os.listdir(base) == [name]
    assert {*artefacts(folder)} == {*artefacts(whole[0]), "new.npz", "report.html"}
    assert "greedy_soup" in capsys.readouterr().out


def test_an_odd_name_that_does_not_work_is_refused_in_one_line(tmp_path, capsys):
    for name in ("x" * 300, "a\0b", "\n" + "y" * 300):
        with pytest.raises(SystemExit) as caught:
            cli.main(command("search", f"{tmp_path}/{name}"))
        assert caught.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_times_do_not_follow_a_clock_that_is_set_back(tmp_path, monkeypatch):
    import datetime

    from optuna.storages._rdb import storage

    class Backwards(datetime.datetime):
        times = iter(range(10**6))

        @classmethod
        def now(cls, tz=None):
            return datetime.datetime(2026, 1, 1, tzinfo=tz) - datetime.timedelta(days=next(cls.times))

    monkeypatch.setattr(storage, "datetime", Backwards)
    run = Run(config(tmp_path / "run"))
    search(run)
    assert all(trial.duration.total_seconds() < 0 for trial in finished_trials(run, "search"))
    assert run.seconds()["search"] >= 0


@pytest.mark.parametrize(
    "changes",
    [
        {"shard": "../../etc/passwd.safetensors"},
        {"shard": "/etc/passwd"},
        {"split_hash": "0" * 16},
        {"epoch": -1},
        {"val": "1"},
        {"setting": {}},
        {"hidden": 10**7},
        {"hidden": "16"},
        {"member": True},
    ],
)
def test_fields_of_an_index_that_are_of_no_run(changes, copy):
    run = Run(config(copy))
    store = CheckpointStore(copy / "zoo", run.identity_hash)
    first, *others = store.checkpoints()
    values = {**vars(first), **{name: value for name, value in changes.items() if name != "hidden"}}
    if "hidden" in changes:
        values["setting"] = {**first.setting, "hidden": changes["hidden"]}
    store.keep([type(first)(**values), *others])
    with pytest.raises(DamagedFileError, match=r"index\.jsonl"):
        STAGES["collect"](run)


def test_an_index_cut_at_a_line_end_or_with_a_line_twice(whole, copy):
    path = copy / "zoo" / "index.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for damaged in (lines[:-1], [*lines, lines[-1]]):
        path.write_text("".join(damaged))
        assert outcome(copy, whole[1]) == "DamagedFileError"
    path.write_text("".join(lines[:-1]))
    STAGES["collect"](Run(config(copy)))
    assert outcome(copy, whole[1]) == "same"


def test_settings_of_files_are_those_of_the_space(tmp_path):
    space = {"hidden": (16, 32), "act": ["relu", None], "sizes": ((1, 2), (3,))}
    check_setting({"hidden": 16, "act": None, "sizes": [1, 2]}, space, tmp_path)
    for wrong in ({"hidden": 16}, {"hidden": 17, "act": None, "sizes": [3]}, None, [], "hidden"):
        with pytest.raises(DamagedFileError, match="none of the run's"):
            check_setting(wrong, space, tmp_path)


@pytest.mark.parametrize("name", ["width", "blocks", "latent_dim"])
def test_a_saved_module_is_not_built_larger_than_its_file(name):
    module = Denoiser("diffusion", 3, 2, width=8, blocks=1)
    again = loaded(Denoiser, module.config, module.state_dict())
    assert all(tensor.equal(module.state_dict()[key]) for key, tensor in again.state_dict().items())
    for value in (10**7, 2 * module.config[name]):
        with pytest.raises((ValueError, RuntimeError)):
            loaded(Denoiser, {**module.config, name: value}, module.state_dict())


def test_a_network_of_another_form_is_named(copy, monkeypatch):
    run = Run(config(copy))
    best = Best.load(copy / "best")
    wrong = {name: tensor.repeat(2, *[1] * (tensor.dim() - 1)) for name, tensor in best.state_dict.items()}
    Best([wrong], best.weights, best.setting, best.val, best.test, best.row, best.facts).save(copy / "best")
    monkeypatch.setattr(Run, "require", lambda run, stage: None)
    from gnndiff.predict import predict_run

    with pytest.raises(DamagedFileError, match="of another form"):
        predict_run(run)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (lambda: torch.empty(2**60), 2, "not enough memory"),
        (lambda: [0] * 2**60, 2, "not enough memory"),
        (lambda: signal.raise_signal(signal.SIGINT), 130, "stopped"),
    ],
)
def test_memory_and_ctrl_c(error, code, message, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_run", lambda args: error())
    with pytest.raises(SystemExit) as caught:
        cli.main([])
    assert caught.value.code == code
    assert message in capsys.readouterr().err


def test_faults_of_the_program_keep_their_traceback(monkeypatch):
    monkeypatch.setattr(cli, "_run", lambda args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main([])


def test_results_of_another_run_are_not_shown(whole, copy):
    results = json.loads((copy / "results.json").read_text())
    (copy / "results.json").write_text(json.dumps({**results, "seed": 3}))
    with pytest.raises(DamagedFileError, match=r"results\.json is not as"):
        Results.load(copy)
    (copy / "results.json").unlink()
    with pytest.raises(RunFolderError, match="no finished run"):
        Results.load(copy)


def test_a_run_searched_in_a_storage_asks_for_it(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    search(Run(config(tmp_path / "run", storage=url)))
    alone = Run(config(tmp_path / "run"))
    assert alone.finished("search")
    with pytest.raises(ConfigError, match="GNNDIFF_STORAGE"):
        finished_trials(alone, "search")


def test_folders_hold_what_they_are_said_to(whole, copy):
    """The lists of files by which those of somebody else are found."""
    for name, files in (("best", deliver.FILES), ("generated", [CANDIDATES]), ("generator", files_of(LatentDiffusion))):
        assert listing(copy / name).keys() == {*files, SEAL}


@pytest.mark.parametrize("part", ["generator", "generated", "best"])
def test_files_of_somebody_else_are_refused_before_anything_is_computed(part, copy, monkeypatch):
    monkeypatch.setattr(Run, "threaded", lambda run: pytest.fail("something is computed"))
    for damage in ("stray", "alone", "file"):
        if damage == "alone":
            shutil.rmtree(copy / part)
            (copy / part).mkdir()
        own = copy / part / "mine.txt"
        if damage == "file":
            shutil.rmtree(copy / part)
            own = copy / part
        own.write_text("mine")
        (copy / "stages.json").unlink(missing_ok=True)
        with pytest.raises(RunFolderError, match="move it elsewhere"):
            go(copy)
        assert own.read_text() == "mine"


def test_folders_beside_ours_stay_as_they_are(whole, copy, tmp_path):
    """Folders that are written have no name that somebody else may have chosen."""
    for part in ("generator", "generated", "best"):
        shutil.rmtree(copy / part)
        (copy / f"{part}.partial").mkdir()
        (copy / f"{part}.partial" / "mine.txt").write_text("mine")
    assert outcome(copy, whole[1]) == "same"
    for part in ("generator", "generated", "best"):
        assert (copy / f"{part}.partial" / "mine.txt").read_text() == "mine"


def test_links_to_folders_stay_links(whole, copy, tmp_path):
    """A stage that another disk was linked in for writes there."""
    for part in ("generator", "best"):
        (copy / part).rename(tmp_path / part)
        (copy / part).symlink_to(tmp_path / part)
        (tmp_path / part / SEAL).unlink()
    assert outcome(copy, whole[1]) == "same"
    assert (copy / "best").is_symlink()
    assert (tmp_path / "best" / SEAL).is_file()


def test_what_a_killed_write_left_is_removed(whole, copy):
    (copy / ".0123456789ab.part").mkdir()
    (copy / "zoo" / ".0123456789ab.part").write_text("a half")
    (copy / "results.json").unlink()
    assert outcome(copy, whole[1]) == "same"
    assert not list(copy.rglob("*.part"))
