"""Samplers, pruners, records, finalists, and searches in several processes or on a Ray cluster."""

import math
import os
import random
import signal
import threading
import time
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gnndiff
from gnndiff import Float, Int, Run, RunConfig
from gnndiff.config import Method
from gnndiff.errors import ConfigError, DamagedFileError, GNNDiffError
from gnndiff.search import (
    budget_curve,
    finalists,
    finished_trials,
    jobs,
    ranked_trials,
    read_state,
    record,
    retrain,
    search,
)
from gnndiff.search.records import score
from gnndiff.search.samplers import ROUND, Random, key, sampler
from gnndiff.search.trials import complete, file_of
from gnndiff.targets.base import check_setting
from gnndiff.targets.ranges import from_plain, plain
from graphtasks import InvalidDataError, metric

TINY = {"task": "karate", "model": "mlp", "budget": "mini", "quiet": True}
SPACE = {"hidden": [2, 4, 8], "lr": Float(1e-3, 1e-1, log=True), "num_layers": Int(1, 3)}


def opened(folder, space=None, **changes):
    return Run(RunConfig(**{**TINY, "out": folder, **changes}), space=space)


def content(run):
    return [(t.params, t.value, t.user_attrs.get("test")) for t in finished_trials(run, "search")]


def same(left, right):
    return left.keys() == right.keys() and all(left[name].equal(right[name]) for name in left)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_random_settings_of_choices_come_once_each(sizes, seed):
    space = {f"p{i}": list(range(size)) for i, size in enumerate(sizes)}
    order = Random(space, seed)
    assert order.total(10**6) == order.total(None) == math.prod(sizes)
    drawn = [order.setting(number, {}) for number in range(order.total(None))]
    assert len({key(setting) for setting in drawn}) == math.prod(sizes)
    again = Random(space, seed)
    assert again.setting(len(drawn) - 1, {}) == drawn[-1]
    assert again.setting(0, {}) == drawn[0]


def test_a_space_as_large_as_any_is_never_a_product():
    space = {f"p{i}": list(range(100)) for i in range(50)}
    assert len(Random(space, 0).setting(53, {})) == 50


@given(st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_draws_stay_within_their_ranges(seed):
    rng = random.Random(seed)
    for choices in (Float(1e-4, 1.0, log=True), Float(-1, 2), Int(-3, 5), Int(1, 1000, log=True)):
        value = choices.draw(rng)
        assert value in choices
        assert choices.around(value, 0.25).draw(rng) in choices
        assert from_plain(plain(choices)) == choices


@pytest.mark.parametrize("wrong", [(1.0, 1.0), (2, 1), (0.0, 1.0), (float("nan"), 1.0), (True, 3)])
def test_ranges_without_order_are_refused(wrong):
    with pytest.raises(ConfigError, match="got Float"):
        Float(*wrong, log=True)


def test_logarithmic_ranges_are_drawn_by_their_logarithm():
    rng, rates = random.Random(0), Float(1e-4, 1.0, log=True)
    assert abs(sum(rates.draw(rng) < 1e-2 for _ in range(2000)) / 2000 - 0.5) < 0.05


class Ended:
    """A trial that ended."""

    def __init__(self, params, value):
        import optuna

        self.params, self.value, self.state = params, value, optuna.trial.TrialState.COMPLETE
        self.intermediate_values = {}


@pytest.mark.parametrize("name", ["tpe", "coarse-to-fine"])
def test_adaptive_samplers_come_closer_than_random_ones(name):
    space = {"x": Float(-1.0, 1.0), "y": Float(-1.0, 1.0)}

    def found(chosen):
        trials = {}
        for number in range(3 * ROUND):
            setting = chosen.setting(number, trials)
            check_setting(setting, space, None)
            trials[number] = Ended(setting, -((setting["x"] - 0.3) ** 2) - (setting["y"] + 0.5) ** 2)
        return max(trial.value for trial in trials.values())

    accuracy = metric("accuracy")
    pairs = [[found(sampler(n, space, seed, accuracy)) for n in (name, "random")] for seed in range(3)]
    assert sum(own for own, _ in pairs) > sum(other for _, other in pairs)


@pytest.mark.parametrize("name", ["random", "tpe", "coarse-to-fine"])
def test_a_killed_search_ends_in_the_same_trials(name, tmp_path, monkeypatch):
    changes = {"sampler": name, "trials": ROUND + 3, "epochs": 2}
    whole = opened(tmp_path / "whole", SPACE, **changes)
    search(whole)
    original, left = jobs.train_once, [5, 9, 4, 10**6]

    def interrupted(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            left.pop(0)
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(jobs, "train_once", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            search(opened(tmp_path / "run", SPACE, **changes))
    run = opened(tmp_path / "run", SPACE, **changes)
    search(run)
    assert content(run) == content(whole)
    assert Run.load(tmp_path / "run").space["lr"] == SPACE["lr"]


def test_records_hold_the_curve_and_predictions_that_give_the_scores(tmp_path):
    run = opened(tmp_path / "run", model="gcn")
    search(run)
    trials = finished_trials(run, "search")
    kept = [record(run, "search", trial) for trial in trials]
    for trial, each in zip(trials, kept, strict=True):
        assert len(each.curve) == trial.user_attrs["epochs"]
        assert max(each.curve) == each.curve[each.best_epoch] == trial.value == score(run, [each], "val")
        assert score(run, [each], "test") == trial.user_attrs["test"]
        assert each.outputs["val"].dtype == torch.float16
        torch.testing.assert_close(
            each.outputs["val"].float().exp().sum(1), torch.ones(len(each.outputs["val"])), atol=1e-2, rtol=0
        )
    assert 0 <= score(run, kept, "test") <= 1
    curve = budget_curve(run)
    assert curve[-1]["val"] == max(trial.value for trial in trials)
    assert curve[-1]["epochs"] == sum(trial.user_attrs["epochs"] for trial in trials)
    path = file_of(run, "search", 0, "record")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError, match="search-0000"):
        finished_trials(run, "search")


@pytest.mark.parametrize("name", ["median", "hyperband"])
def test_pruned_trials_say_so_and_count_their_epochs(name, tmp_path):
    run = opened(tmp_path / "run", task="wine", pruner=name, trials=20, epochs=30, patience=30)
    search(run)
    trials = finished_trials(run, "search")
    pruned = [trial for trial in trials if "pruned" in trial.user_attrs.get("reason", "")]
    assert pruned
    for trial in pruned:
        assert trial.user_attrs["reason"] == f"pruned after {trial.user_attrs['epochs']} epochs"
        assert trial.user_attrs["epochs"] < 30
    best = ranked_trials(run)
    assert len(best) == len([trial for trial in trials if complete(trial)])
    assert run.finished("search")


def test_the_winner_has_the_best_mean_of_finalists(tmp_path):
    run = opened(tmp_path / "run", trials=6, finalists=3, finalist_trainings=2)
    search(run)
    found = finalists(run)
    means = {}
    for each in found:
        means.setdefault(key(each.setting), []).append(each.val)
    assert len(found) == 6
    best = max(means.values(), key=sum)
    assert sum(means[key(ranked_trials(run)[0].params)]) == sum(best)
    from safetensors.torch import load_file

    state = load_file(found[0].state)
    network = run.build(found[0].setting, 0)
    network.load_state_dict(state)
    scored = run.evaluator(found[0].setting).scores({name: t.unsqueeze(0) for name, t in state.items()}, "val")
    assert scored == [found[0].val]


def test_finalists_are_one_study_that_goes_on_without_training_again(tmp_path, monkeypatch):
    changes = {"trials": 4, "finalists": 2, "finalist_trainings": 3}
    run = opened(tmp_path / "run", **changes)
    original, left = jobs.train_once, [8]

    def counted(*args, **kwargs):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(jobs, "train_once", counted)
    with pytest.raises(KeyboardInterrupt):
        search(run)
    assert len(finished_trials(run, "finalists")) == 4
    left[0] = 2
    search(opened(tmp_path / "run", **changes))
    found = finalists(run)
    assert left == [0]
    assert len(found) == 6
    assert len({key(each.setting) for each in found[:3]}) == len({key(each.setting) for each in found[3:]}) == 1
    assert len({each.seed for each in found}) == 6


def test_the_zoo_has_the_states_of_finalists_and_of_retrainings(tmp_path, monkeypatch):
    from gnndiff.runs import collect

    changes = {"zoo": "branches", "settings": 2, "initialisations": 2, "finalist_trainings": 2, "retrainings": 2}
    run = opened(tmp_path / "run", model="gcn", **changes)
    search(run)
    collect.collect(run)  # three trainings from scratch: both of the winner's as a finalist, and one of its retrainings
    anew = [each for each in collect.store(run).checkpoints() if each.root == each.member]
    winner = ranked_trials(run)[0].params
    own = [each for each in finalists(run) if each.setting == winner]
    again = retrain(run, run.limits.trials, 1)[1]
    assert [each.seed for each in anew] == [each.seed for each in (*own, *again)]
    assert [each.seconds for each in anew] == [0.0, 0.0, again[0].seconds]
    for checkpoint, training in zip(anew, (*own, *again), strict=True):
        assert checkpoint.val == training.val
        assert same(collect.store(run).read(checkpoint), read_state(run, training))
    monkeypatch.setattr(jobs, "train_once", None)
    assert [each.seed for each in retrain(run, run.limits.trials, 1)[1]] == [again[0].seed]


def test_a_state_that_another_machine_has_is_trained_again(tmp_path):
    run = opened(tmp_path / "run", storage=f"sqlite:///{tmp_path / 'shared.db'}")
    search(run)
    first = finalists(run)[0]
    state = read_state(run, first)
    first.state.unlink()
    assert same(state, read_state(run, first))
    first.state.write_bytes(b"x")
    with pytest.raises(DamagedFileError, match="finalists-"):
        read_state(run, first)


def _kill_children():
    """Kill one training process of this one as soon as there is one."""
    import multiprocessing

    for _ in range(600):
        children = multiprocessing.active_children()
        if children:
            time.sleep(0.3)
            os.kill(children[0].pid, signal.SIGKILL)
            return
        time.sleep(0.02)


def test_workers_find_what_one_process_finds_though_one_is_killed(tmp_path):
    alone = opened(tmp_path / "alone", trials=6)
    search(alone)
    run = opened(tmp_path / "run", trials=6, workers=2)
    killer = threading.Thread(target=_kill_children)
    killer.start()
    search(run)
    killer.join()
    assert content(run) == content(alone)


def test_an_error_in_a_worker_is_told(tmp_path):
    run = opened(tmp_path / "run", workers=2, model="gcn")
    run.space["hidden"] = ["wide"]
    with pytest.raises(GNNDiffError, match="'gcn' cannot be built with"):
        search(run)


BAD = {
    "sampler": ({"sampler": "sobol"}, "no sampler is called 'sobol'"),
    "pruner": ({"pruner": "best"}, "no pruner is called 'best'"),
    "workers": ({"workers": 0}, "got workers=0"),
    "both": ({"workers": 2, "ray": "local"}, "workers of its own"),
    "cluster": ({"pruner": "median", "ray": "1.2.3.4:6379"}, "give --storage"),
    "grid": ({"sampler": "grid", "space": {"lr": Float(0.1, 0.2)}}, "lr is a range"),
    "space": ({"space": "large"}, "no space is called 'large'"),
    "parameters": ({"parameters": "convs.*"}, r"no parameter of the network with \{.*\} matches 'convs.*lins.0.weight"),
    "some networks": ({"parameters": "lins.2.*", "space": {"num_layers": [3, 2]}}, "'num_layers': 2"),
    "zoo": ({"zoo": "rings"}, "no zoo is called 'rings'"),
    "one training": ({"settings": 1, "initialisations": 1}, "a zoo of one training"),
    "generator": ({"generator": "gan"}, "no generator is called 'gan'"),
    "scheduler": ({"method": partial(Method, scheduler="Sun")}, "no scheduler of diffusion is called 'Sun'"),
    "block": ({"method": partial(Method, block=0)}, "got method.block=0, expected at least 1"),
    "levels": ({"method": partial(Method, noise_levels=())}, "finite numbers"),
    "device": ({"device": "abacus"}, "device 'abacus' cannot be used"),
    "schedule": ({"schedule": "moon"}, "got schedule 'moon'"),
}


def started(folder, method=Method, **changes):
    return gnndiff.run("mlp", "karate", out=folder, quiet=True, method=method(), **changes)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_before_anything_is_written(name, tmp_path):
    changes, message = BAD[name]
    with pytest.raises((ConfigError, InvalidDataError), match=message) as caught:
        started(tmp_path / "run", **changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_ray_is_named_where_it_is_missing(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"dmdgnn\[ray\]"):
        search(opened(tmp_path / "run", ray="local"))


RAY = """
import os, sys, threading, time
from gnndiff import Run, RunConfig, config
from gnndiff.search import search, finished_trials
config.BUDGETS["mini"] = config.Budget(**{budget})

def kill():
    import psutil
    for _ in range(600):
        for process in psutil.Process().children(recursive=True):
            try:
                if "_on_cluster" in " ".join(process.cmdline()) + process.name():
                    process.kill()
                    print("killed", flush=True)
                    return
            except psutil.Error:
                pass
        time.sleep(0.05)

if __name__ == "__main__":
    import ray
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    threading.Thread(target=kill, daemon=True).start()
    run = Run(RunConfig(task="karate", model="mlp", budget="mini", trials=6, quiet=True, out=sys.argv[1], ray="local"))
    search(run)
    print(repr([(t.params, t.value, t.user_attrs["test"]) for t in finished_trials(run, "search")]))
"""


def test_a_ray_cluster_finds_the_same_though_a_worker_is_killed(tmp_path):
    pytest.importorskip("ray", reason="needs the extra [ray]")
    pytest.importorskip("psutil", reason="kills a process of the cluster by psutil")
    import subprocess
    import sys

    from gnndiff import config

    alone = opened(tmp_path / "alone", trials=6)
    search(alone)
    (tmp_path / "on_ray.py").write_text(RAY.replace("{budget}", repr(vars(config.BUDGETS["mini"]))))
    command = [sys.executable, str(tmp_path / "on_ray.py"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == repr(content(alone))
    assert "killed" in done.stdout


def test_a_wrong_address_of_ray_is_named(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray", reason="needs the extra [ray]")

    def refuse(**options):
        raise ConnectionError("me:hush@nowhere")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ConfigError, match="no Ray cluster answers") as caught:
        search(opened(tmp_path / "run", ray="nowhere:1"))
    assert "hush" not in str(caught.value)
