"""Several workers on one storage: each training is done once, and a dead one's is done by another."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faults import FAULTS
from gnndiff import Run, RunConfig
from gnndiff.errors import ConfigError
from gnndiff.search import finished_trials, jobs, search, study

TRIALS = 8

# A worker that says what it trains, slowly, with a short heartbeat.
WORKER = """
import json, sys, time
from gnndiff import Run, RunConfig, config
from gnndiff.search import jobs, search, study, trials
from gnndiff.stages import STAGES
budget, settings, pause = json.loads(sys.argv[1])
config.BUDGETS["mini"] = config.Budget(**budget)
study.HEARTBEAT, trials.POLL = 1, 0.2
train = jobs.train_once
def slow(*arguments, **options):
    print("starts", flush=True)
    time.sleep(pause)
    result = train(*arguments, **options)
    print("ends", flush=True)
    return result
jobs.train_once = slow
search(Run(RunConfig(**settings)))
"""


def settings(folder, url=None, **changes):
    own = {"task": "karate", "budget": "mini", "trials": TRIALS, "out": str(folder), "quiet": True}
    return {**own, "storage": url, **changes}


def worker(folder, url, pause=0.3):
    from gnndiff import config

    given = json.dumps([vars(config.BUDGETS["mini"]), settings(folder, url), pause])
    return subprocess.Popen([sys.executable, "-c", WORKER, given], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def content(run):
    return [(trial.params, trial.value, trial.user_attrs["test"]) for trial in finished_trials(run, "search")]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Results of one process."""
    run = Run(RunConfig(**settings(tmp_path_factory.mktemp("alone") / "run")))
    search(run)
    return content(run)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """URL of a PostgreSQL server in a folder of its own, run by a user without privileges."""
    pytest.importorskip("psycopg2", reason="needs the extra [postgres]")
    found = shutil.which("initdb") or next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    if found is None:
        pytest.skip("no PostgreSQL server is installed")
    tools = Path(found).resolve().parent
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())  # open to that user, unlike pytest's
    as_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    if as_user:
        os.chown(folder, 65534, 65534)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "password").write_text("se%cret?")
    init = [tools / "initdb", "-D", folder / "data", "-U", "me", "-A", "md5", f"--pwfile={folder / 'password'}"]
    subprocess.run([*as_user, *init], check=True, capture_output=True, cwd=folder)
    serve = [tools / "postgres", "-D", folder / "data", "-p", str(port), "-k", folder, "-c", "fsync=off"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*as_user, *serve], stderr=log, cwd=folder)
    url = f"postgresql://me:se%25cret%3F@127.0.0.1:{port}/postgres"
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0 and "ready to accept" in (folder / "log").read_text():
                    break
            time.sleep(0.1)
        yield url
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shared.db'}"
    server, name = request.getfixturevalue("postgres"), f"test{abs(hash(request.node.name))}"
    import psycopg2

    with contextlib.closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
    return server.removesuffix("postgres") + name


def test_two_workers_do_each_trial_once_and_a_dead_ones_again_fault(url, expected, tmp_path):
    first, second = (worker(tmp_path / name, url) for name in ("first", "second"))
    for _ in range(random.Random(FAULTS).randrange(1, 4)):
        first.stdout.readline()
    first.stdout.readline()
    first.kill()
    lines = first.communicate()[0].decode()
    out, err = (text.decode() for text in second.communicate(timeout=300))
    assert second.returncode == 0, err
    assert "Traceback" not in err
    run = Run(RunConfig(**settings(tmp_path / "second", url)))
    assert content(run) == expected
    assert [trial.user_attrs["index"] for trial in finished_trials(run, "search")] == list(range(TRIALS))
    every = study.read_trials(run, study.open_study(run, "search"))
    complete = [trial.user_attrs["index"] for trial in every if trial.state.name == "COMPLETE"]
    assert sorted(complete) == list(range(TRIALS))
    assert "RUNNING" not in {trial.state.name for trial in every}
    for name in ("first", "second"):
        texts = [path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()]
        assert texts
        assert not any(word in text for text in texts for word in (b"se%", b"127.0.0.1", b"shared.db"))
    if url.startswith("postgresql"):  # SQLite may give one trial to both: the same result, once
        assert out.count("ends") + lines.count("ends") <= TRIALS + 1  # the finalist


def test_two_living_workers_repeat_nothing(url, expected, tmp_path):
    running = [worker(tmp_path / str(i), url, pause=2.5) for i in range(2)]  # longer than two heartbeats
    ended = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], ended
    run = Run(RunConfig(**settings(tmp_path / "0", url)))
    assert content(run) == expected
    if url.startswith("postgresql"):
        assert sum(out.decode().count("ends") for out, _ in ended) <= TRIALS + 1  # the finalist


def test_a_renamed_folder_keeps_its_search(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    search(Run(RunConfig(**settings(tmp_path / "old", url))))
    (tmp_path / "old").rename(tmp_path / "new")
    monkeypatch.setattr(jobs, "train_once", None)
    run = Run(RunConfig(**settings(tmp_path / "new", url)))
    assert run.finished("search")
    search(run)


def test_a_wrong_url_does_not_poison_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GNNDIFF_STORAGE", f"sqlite:///{tmp_path}/no/folder.db")
    with pytest.raises(ConfigError, match="check the URL of --storage"):
        search(Run(RunConfig(**settings(tmp_path / "run"))))
    monkeypatch.setenv("GNNDIFF_STORAGE", f"sqlite:///{tmp_path}/folder.db")
    run = Run(RunConfig(**settings(tmp_path / "run")))
    search(run)
    assert (tmp_path / "folder.db").is_file()
    assert run.finished("search")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite+pysqlite:///:memory:"])
def test_a_storage_in_memory_is_refused(url, tmp_path):
    with pytest.raises(ConfigError, match="ends with the process"):
        search(Run(RunConfig(**settings(tmp_path / "run", url))))


def test_a_search_in_a_folder_goes_on_there(tmp_path, monkeypatch):
    search(Run(RunConfig(**settings(tmp_path / "run"))))
    monkeypatch.setenv("GNNDIFF_STORAGE", "nonsense")
    assert Run(RunConfig(**settings(tmp_path / "run"))).finished("search")


@pytest.mark.parametrize(
    "wrong",
    ["postgresql://me:hush@127.0.0.1:9/x", "postgresql://127.0.0.1:9/x?password=hush", "oracle://me:hush@h/x", "hush"],
    ids=range(4),
)
def test_no_password_is_told(wrong, tmp_path):
    run = Run(RunConfig(**settings(tmp_path / "run", wrong)))
    with pytest.raises(ConfigError) as caught:
        search(run)
    texts = [str(caught.value), repr(caught.value.__cause__), repr(run.config), repr(run)]
    texts += [path.read_text(errors="ignore") for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not any("hush" in text for text in texts)


def test_trials_that_were_altered_are_refused(tmp_path):
    import sqlite3

    run = Run(RunConfig(**settings(tmp_path / "run")))
    search(run)
    for change in (
        "update trial_values set value = 1 - value",
        "update trial_params set param_value = 1 - param_value where param_value < 2",
        "update trial_user_attributes set value_json = replace(value_json, 'test', 'text') where key = 'facts'",
        "update trial_user_attributes set value_json = '0' where key = 'index'",
        "update study_user_attributes set value_json = '\"other\"'",
    ):
        saved = (tmp_path / "run" / "search.db").read_bytes()
        with sqlite3.connect(tmp_path / "run" / "search.db") as database:
            assert database.execute(change).rowcount
        database.close()
        with pytest.raises(study.DamagedFileError, match="to search again"):
            finished_trials(run, "search")
        (tmp_path / "run" / "search.db").write_bytes(saved)
    assert run.finished("search")
