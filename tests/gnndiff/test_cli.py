"""Bad input ends in one line on stderr and exit code 2, and overwrites nothing."""

import json
import shutil

import pytest
from filelock import FileLock

from gnndiff.cli import main
from graphtasks import metric


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of a finished run to damage, and a function that runs a stage on it."""
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)

    def call(stage, *arguments):
        given = ["--task", "wine", "--budget", "tiny", "--zoo", "independent", "--quiet", "--out", str(folder)]
        main([stage, *given, *arguments])

    return folder, call


def tree(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def fails(capsys, call, *arguments):
    """The one line that a failing call leaves on stderr."""
    with pytest.raises(SystemExit) as caught:
        call(*arguments)
    assert caught.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("gnndiff: ")
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "wien"], "no task is called 'wien': did you mean 'wine'?"),
        (["--task", "wine", "--model", "gcnn"], "did you mean 'gcn'?"),
        (["--task", "wine", "--budget", "huge"], "no budget is called 'huge'"),
        (["--task", "wine", "--split", "10"], "'wine' has 10 split(s): use 0 to 9"),
        (["--task", "wine", "--device", "tpu"], "device 'tpu' cannot be used"),
        (["--task", "wine", "--device", "meta"], "choose cpu or cuda"),
        (["--task", "cora", "--root", "nowhere"], "'cora' is not in"),
    ],
)
def test_bad_settings_write_nothing(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("torch_geometric.datasets.Planetoid.download", lambda dataset: 1 / 0)
    assert message in fails(capsys, main, ["run", "--out", str(tmp_path / "run"), *arguments])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("stage", ["collect", "train", "generate", "compare"])
def test_a_stage_names_the_one_that_it_lacks(stage, tmp_path, capsys):
    line = fails(capsys, main, [stage, "--task", "wine", "--budget", "tiny", "--out", str(tmp_path / "run")])
    assert "first" in line


def test_a_finished_run_prints_its_table(copy, capsys):
    folder, call = copy
    main(["report", str(folder)])
    before = tree(folder)
    call("run")
    printed = capsys.readouterr().out.partition(".html\n")[2]
    for row in json.loads((folder / "results.json").read_text())["rows"]:
        assert metric("accuracy").format(row["test"]["mean"]).removesuffix(" %") in printed
    assert tree(folder) == before


def test_a_stage_that_finished_can_be_run_again(copy, capsys):
    folder, call = copy
    before = (folder / "generated" / "candidates.safetensors").read_bytes()
    call("generate")
    assert (folder / "generated" / "candidates.safetensors").read_bytes() == before


def test_folder_of_another_configuration(copy, capsys):
    folder, call = copy
    before = tree(folder)
    line = fails(capsys, call, "run", "--seed", "5")
    assert "another configuration (seed 0, now 5)" in line
    assert "--out" in line
    assert tree(folder) == before


@pytest.mark.parametrize("storage", ["nonsense", "sqlite:////no/such/folder/x.db", "oracle://me:secret@host/db"])
def test_storage_that_cannot_be_used(storage, tmp_path, capsys):
    arguments = ["search", "--task", "wine", "--budget", "tiny", "--out", str(tmp_path / "run"), "--storage", storage]
    line = fails(capsys, main, arguments)
    assert "check the URL of --storage" in line
    assert "secret" not in line


def test_folder_below_a_file(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    line = fails(capsys, main, ["run", "--task", "wine", "--out", str(tmp_path / "file" / "run")])
    assert "Not a directory" in line


def test_folder_that_another_process_works_in(copy, finished, capsys):
    folder, call = copy
    lock = FileLock(folder / ".lock")
    with lock:
        assert "another process works in" in fails(capsys, call, "run")
    call("run")


def test_folder_of_something_else(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("precious")
    line = fails(capsys, main, ["run", "--task", "wine", "--out", str(tmp_path)])
    assert "is not empty and holds no run" in line
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


AGAIN = "delete it, and `gnndiff run` makes it again"


def damage(path):
    path.write_bytes(path.read_bytes()[:-7] + b"garbage")


@pytest.mark.parametrize(
    ("file", "stage", "remedy"),
    [
        ("zoo/00001.safetensors", "train", AGAIN),
        ("zoo/index.jsonl", "train", AGAIN),
        ("generator/parameters/config.json", "generate", AGAIN),
        ("generator/model_index.json", "generate", AGAIN),
        ("generated/candidates.safetensors", "compare", AGAIN),
        ("config.json", "run", "choose another folder with --out"),
        ("search.db", "collect", "delete the file to search again"),
    ],
)
def test_damaged_files(copy, file, stage, remedy, capsys):
    folder, call = copy
    path = folder / file
    if file == "search.db" or path.name == "candidates.safetensors":
        path.write_bytes(b"garbage" * 1000)
    else:
        damage(path)
    before = tree(folder)
    line = fails(capsys, call, stage)
    assert str(path) in line
    assert remedy in line
    assert tree(folder) == before


def test_a_checkpoint_that_was_deleted_is_trained_again(copy, finished, capsys):
    folder, call = copy
    name = "00001.safetensors"
    (folder / "zoo" / name).unlink()
    assert "run `gnndiff collect` first" in fails(capsys, call, "train")
    call("collect")
    assert (folder / "zoo" / name).read_bytes() == (finished.folder / "zoo" / name).read_bytes()


def test_an_unknown_stage_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["sing"])
    assert caught.value.code == 2
