"""Comparisons that go on where they stopped."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from contenders import SHORT, TRIAL, Constant, Net, same, signs, tuned
from graphtasks import FitConfig, InvalidDataError, Split
from graphtasks.compare import Contender, compare
from graphtasks.comparison import Comparison


def arguments(task):
    contenders = [tuned("a"), Contender("b", Constant, {"label": [-1, 0]}), Contender("c", Net, prepare=signs)]
    return {"contenders": contenders, "tasks": [task], "splits": [0, 2], "trials": 2, "config": SHORT}


def test_a_resumed_comparison_equals_an_uninterrupted_one(task, tmp_path):
    whole = compare(**arguments(task), path=tmp_path / "whole.jsonl")
    total = len(whole.runs) + len(whole.trials)
    assert total == 10

    class Killed(Exception):
        pass

    for stop in range(1, total + 1):
        path = tmp_path / "killed" / f"{stop}.jsonl"
        rows = []

        def kill(row, rows=rows, stop=stop):
            rows.append(row)
            if len(rows) == stop:
                raise Killed

        with pytest.raises(Killed):
            compare(**arguments(task), path=path, callback=kill)
        # A write that the kill cut short, within a character of two bytes.
        with path.open("ab") as file:
            file.write('{"phase": "run", "task": "é'.encode()[:-1])
        assert len(Comparison.read(path).runs) == sum(row["phase"] == "run" for row in rows)
        resumed = compare(**arguments(task), path=path, callback=rows.append)
        assert same(resumed, whole)
        assert len(rows) == total, "no training was lost and none was repeated"
        assert same(Comparison.read(path), whole)


def test_time_limits_hold_over_interruptions(task, monkeypatch, tmp_path):
    clock = [0.0]
    monkeypatch.setattr(TRIAL, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def build(task, **hyperparameters):
        clock[0] += 1
        return Net(task, **hyperparameters)

    class Killed(Exception):
        pass

    def kill(row):
        raise Killed

    contender = Contender("net", build, {"hidden": list(range(2, 8))})
    path = tmp_path / "runs.jsonl"
    for _ in range(2):
        with pytest.raises(Killed):
            compare([contender], [task], trials=6, seconds=3, config=SHORT, path=path, callback=kill)
    result = compare([contender], [task], trials=6, seconds=3, config=SHORT, path=path)
    assert len(result.trials) == 3


def test_what_changes_is_trained_anew(task, tmp_path):
    path = tmp_path / "runs.jsonl"

    def trained(tasks, *, contender=None, **changes):
        rows = []
        contender = contender or Contender("net", Net)
        compare([contender], tasks, path=path, callback=rows.append, **{"config": SHORT, **changes})
        return len(rows)

    assert trained([task], splits=[0, 1]) == 2
    assert trained([task], splits=[0, 1]) == 0
    assert trained([task]) == 1
    assert trained([task], seeds=(0, 1)) == 3
    assert trained([task], config=dataclasses.replace(SHORT, weight_decay=0.0)) == 3
    # The seeds of runs are `seeds`, whatever the configuration's.
    assert trained([task], config=dataclasses.replace(SHORT, seed=5)) == 0
    assert trained([task], contender=Contender("net", Net, version="2")) == 3
    assert trained([task], contender=Contender("net", Net, {"hidden": [5]})) == 3
    assert trained([task.replace(protocol="other")]) == 3
    assert trained([task.replace(name="other")]) == 3
    changed = [*task.splits[:2], Split(task.splits[2].train[1:], task.splits[2].val, task.splits[2].test)]
    assert trained([task.replace(splits=changed)]) == 1
    assert trained([task]) == 0
    with pytest.raises(InvalidDataError, match="runs of 'net' on 'noisy' with several settings, configurations or"):
        Comparison.read(path)


def test_the_file_tells_how_many_settings_were_tried_at_last(task, tmp_path, monkeypatch):
    trained = []

    def fake(model, task, split, config, metrics, callback=None):
        trained.append(config.lr)
        return SimpleNamespace(val=float(config.lr == trained[0]), test=0.5, best_epoch=0)

    monkeypatch.setattr(TRIAL, "fit", fake)
    path = tmp_path / "runs.jsonl"
    contender = Contender("net", Net, {"lr": [0.1, 0.2, 0.3]})
    for trials, total in ((2, 2 + 3), (3, 3 + 3)):
        result = compare([contender], [task], trials=trials, path=path)
        assert len(trained) == total, "only what is new is trained"
        assert set(result.runs["tried"]) == {trials}
        assert set(Comparison.read(path).runs["tried"]) == {trials}
    assert len(Comparison.read(path).runs) == 3


def test_files_of_something_else_are_refused(task, tmp_path):
    path = tmp_path / "runs.jsonl"
    for line in ("{}", "[1]", "no json", "3"):
        path.write_text(line + "\n")
        with pytest.raises(InvalidDataError, match=r"line 1 of .*runs\.jsonl is not a training"):
            compare([Contender("net", Net)], [task], path=path)
        assert path.read_text() == line + "\n"


def test_trainings_on_other_data_are_not_taken_for_these(noisy_task, tmp_path):
    path = tmp_path / "runs.jsonl"
    other = noisy_task.transform(lambda data: data.update({"x": torch.zeros_like(data.x)}))
    tests = [
        compare(
            [Contender("m", Net)],
            [task],
            config=FitConfig(epochs=5),
            path=path,
        )
        .runs["test"]
        .tolist()
        for task in (noisy_task, other, noisy_task)
    ]
    assert tests[0] == tests[2] != tests[1]
    assert len(path.read_text().splitlines()) == 2


def test_keys_do_not_change_with_prepare(task, tmp_path):
    path = tmp_path / "runs.jsonl"
    compare([Contender("net", Net, {"hidden": [4]})], [task], path=path, config=SHORT)
    lines = path.read_text()
    for prepare in (signs, lambda task, scale=1: task):
        rows = []
        compare(
            [Contender("net", Net, {"hidden": [4]}, prepare)], [task], path=path, config=SHORT, callback=rows.append
        )
        assert not rows
    assert path.read_text() == lines
