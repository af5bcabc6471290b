import dataclasses
import json
import math
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.transforms import NormalizeFeatures

from contenders import SHORT, TRIAL, Constant, Net, same, tuned
from graphtasks import DivergedError, FitConfig, InvalidDataError, Split, fit
from graphtasks.compare import Contender, compare
from graphtasks.comparison import Comparison
from graphtasks.metrics import METRICS


def test_every_run_is_the_fit_that_its_row_says(task):
    result = compare([Contender("net", Net, {"hidden": [6], "lr": [0.1]})], [task], seeds=(3, 4), config=SHORT)
    assert list(zip(result.runs["split"], result.runs["seed"], strict=True)) == [
        (split, seed) for split in range(3) for seed in (3, 4)
    ]
    for _, row in result.runs.iterrows():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(row["seed"])
            model = Net(task, hidden=6)
        expected = fit(model, task, row["split"], dataclasses.replace(SHORT, lr=0.1, seed=row["seed"]))
        assert (row["val"], row["test"], row["best_epoch"]) == (expected.val, expected.test, expected.best_epoch)
        assert row["split_hash"] == task.splits[row["split"]].hash
        assert row["parameters"] == 3 * 6 + 6 + 6 * 3 + 3
        assert json.loads(row["setting"]) == {"hidden": 6, "lr": 0.1}
        assert json.loads(row["config"])["lr"] == 0.1
        assert (row["metric"], row["direction"], row["status"], row["tried"]) == ("accuracy", "maximize", "ok", 1)
    assert result.runs["test"].nunique() > 1
    assert len(result.trials) == 0


def test_the_winner_has_the_best_validation_score_even_if_its_test_score_is_the_worst(opposite_task):
    contender = Contender("constant", Constant, {"label": [1, 2, 0]})
    result = compare([contender], [opposite_task], trials=3, config=FitConfig(epochs=1))
    assert sorted(result.trials["val"]) == [0, 0, 1]
    assert json.loads(result.runs["setting"][0]) == {"label": 0}
    assert (result.runs["val"][0], result.runs["test"][0]) == (1, 0)
    # The setting that loses would have had the best test score.
    alone = compare([Contender("constant", Constant, {"label": [1]})], [opposite_task], config=FitConfig(epochs=1))
    assert (alone.runs["val"][0], alone.runs["test"][0]) == (0, 1)


def test_the_winner_of_an_error_has_the_lowest(opposite_task):
    wrong = dataclasses.replace(
        opposite_task.metric,
        name="error",
        direction="minimize",
        score=lambda y, pred: float((np.asarray(y) != np.asarray(pred).argmax(axis=1)).mean()),
    )
    contender = Contender("constant", Constant, {"label": [1, 2, 0]})
    result = compare([contender], [opposite_task.replace(metric=wrong)], trials=3, config=FitConfig(epochs=1))
    assert sorted(result.trials["val"]) == [0, 1, 1]
    assert json.loads(result.runs["setting"][0]) == {"label": 0}


def test_the_mean_over_tuning_splits_decides(task):
    result = compare([tuned()], [task], trials=6, tuning_splits=(0, 2), config=SHORT)
    assert list(result.trials["split"]) == [0, 2] * 6
    means = result.trials.groupby("setting", sort=False)["val"].mean()
    assert means.nunique() > 1
    assert set(result.runs["setting"]) == {means.idxmax()}


def test_the_mean_over_tuning_seeds_decides(task):
    result = compare([tuned()], [task], trials=6, seeds=(3, 4), tuning_seeds=(5, 3), config=SHORT)
    assert list(result.trials["seed"]) == [5, 3] * 6
    assert set(result.trials["split"]) == {0}
    means = result.trials.groupby("setting", sort=False)["val"].mean()
    assert means.nunique() > 1
    assert set(result.runs["setting"]) == {means.idxmax()}
    assert list(result.runs["seed"]) == [3, 4] * len(task.splits)


def test_trials_hold_no_test_scores(task, tmp_path):
    rows = []
    result = compare([tuned()], [task], trials=2, config=SHORT, path=tmp_path / "runs.jsonl", callback=rows.append)
    assert "test" not in result.trials
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [{name: value for name, value in line.items() if name != "check"} for line in lines] == rows
    assert [line["phase"] for line in lines] == ["trial"] * 2 + ["run"] * 3
    assert ["test" in line for line in lines] == [False] * 2 + [True] * 3


def test_contenders_of_the_same_space_try_the_same_settings(task):
    result = compare([tuned("a"), tuned("b")], [task, task.replace(name="again")], trials=4, config=SHORT)
    tried = [list(part["setting"]) for _, part in result.trials.groupby(["task", "model"], sort=False)]
    assert len(tried) == 4
    assert all(settings == tried[0] for settings in tried)
    assert len(set(tried[0])) == 4
    assert set(result.runs["tried"]) == {4}


def test_the_seed_of_the_configuration_draws_the_settings(task):
    drawn = [
        set(
            compare(
                [tuned()], [task], splits=[0], trials=2, config=dataclasses.replace(SHORT, seed=seed)
            ).trials.setting
        )
        for seed in range(4)
    ]
    assert any(settings != drawn[0] for settings in drawn)


def test_small_grids_are_used_whole(task):
    small = Contender("small", Net, {"hidden": np.array([2, 4])})
    result = compare([small, Contender("fixed", Net), tuned()], [task], splits=[0], trials=3, config=SHORT)
    assert {json.loads(text)["hidden"] for text in result.trials["setting"][result.trials["model"] == "small"]} == {
        2,
        4,
    }
    assert result.trials["model"].value_counts().to_dict() == {"small": 2, "net": 3}
    assert dict(zip(result.runs["model"], result.runs["tried"], strict=True)) == {"small": 2, "fixed": 1, "net": 3}
    assert json.loads(result.runs["setting"][1]) == {}


def test_time_ends_tuning_of_each_contender_alike(task, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(TRIAL, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def build(task, duration, **hyperparameters):
        clock[0] += duration
        return Net(task, **hyperparameters)

    hidden = list(range(2, 8))
    contenders = [
        Contender(f"{duration} s", build, {"duration": [duration], "hidden": hidden}) for duration in (0, 2, 5, 50)
    ]
    result = compare(contenders, [task], splits=[1], trials=6, seconds=10, config=SHORT)
    counts = {"0 s": 6, "2 s": 5, "5 s": 2, "50 s": 1}
    assert result.trials["model"].value_counts().to_dict() == counts
    assert dict(zip(result.runs["model"], result.runs["tried"], strict=True)) == counts
    assert list(result.runs["seconds"]) == [0, 2, 5, 50]
    none_left = compare(contenders, [task], splits=[1], trials=6, seconds=0, config=SHORT)
    assert set(none_left.runs["tried"]) == {1}
    assert set(none_left.runs["status"]) == {"ok"}


def test_a_setting_that_diverges_loses(task):
    contender = Contender("constant", Constant, {"label": [-1, 0, 1]})
    result = compare([contender], [task], trials=3, tuning_splits=(0, 1), config=SHORT)
    lost = result.trials[result.trials["setting"] == '{"label": -1}']
    assert list(lost["split"]) == [0], "its second split is not trained"
    assert lost["status"].item().startswith("DivergedError: the training loss is nan in epoch 0")
    assert lost["val"].isna().all()
    assert lost["best_epoch"].isna().all()
    assert result.runs["setting"].nunique() == 1
    assert json.loads(result.runs["setting"][0])["label"] in (0, 1)
    assert result.runs["test"].notna().all()


def test_a_score_that_is_not_finite_loses(task, monkeypatch):
    def fake(model, task, split, config, metrics, callback=None):
        val = math.inf if config.lr == 0.1 else 0.5
        return SimpleNamespace(val=val, test=math.nan if split == 1 else 0.25, best_epoch=0)

    monkeypatch.setattr(TRIAL, "fit", fake)
    result = compare([Contender("net", Net, {"lr": [0.1, 0.2]})], [task], trials=2, tuning_splits=[1], config=SHORT)
    assert dict(zip(result.trials["setting"], result.trials["status"], strict=True)) == {
        '{"lr": 0.1}': "not finite: val inf",
        '{"lr": 0.2}': "ok",
    }
    assert set(result.runs["setting"]) == {'{"lr": 0.2}'}
    assert list(result.runs["status"]) == ["ok", "not finite: val 0.5, test nan", "ok"]
    assert result.runs["test"].equals(pd.Series([0.25, math.nan, 0.25]))


def test_others_go_on_when_a_contender_fails(task, tmp_path):
    contenders = [Contender("broken", Constant, {"label": [-1], "lr": [0.1, 0.2]}), Contender("net", Net)]
    path = tmp_path / "runs.jsonl"
    result = compare(contenders, [task], trials=2, seeds=(0, 1), config=SHORT, path=path)
    broken = result.runs[result.runs["model"] == "broken"]
    assert len(broken) == 6
    assert broken["test"].isna().all()
    assert set(broken["setting"]) == {"null"}
    assert broken["status"].str.startswith("none of 2 settings finished, the last failed with DivergedError: ").all()
    assert result.runs["test"].notna().sum() == 6
    assert same(Comparison.read(path), result)
    assert "failed (6 of 6)" in result.to_markdown()


def test_initialisation_that_diverges_is_a_failed_run(task):
    def build(task):
        raise DivergedError("no modes")

    result = compare([Contender("net", build)], [task], splits=[0], config=SHORT)
    assert result.runs["status"][0] == "DivergedError: no modes"
    assert pd.isna(result.runs["parameters"][0])


def test_same_seeds_same_table(task):
    torch.manual_seed(0)
    first = compare([tuned()], [task], trials=2, seeds=(0, 1), config=SHORT)
    torch.manual_seed(1)
    assert same(first, compare([tuned()], [task], trials=2, seeds=(0, 1), config=SHORT))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contenders": []}, "`contenders` is empty"),
        ({"tasks": []}, "`tasks` is empty"),
        ({"splits": []}, "`splits` is empty"),
        ({"seeds": ()}, "`seeds` is empty"),
        ({"tuning_splits": ()}, "`tuning_splits` is empty"),
        ({"tuning_seeds": ()}, "`tuning_seeds` is empty"),
        ({"tuning_seeds": (1, 1)}, "`tuning_seeds` has 1 more than once"),
        ({"seeds": (1, 2, 1)}, "`seeds` has 1 more than once"),
        ({"splits": (0, 0)}, "`splits` has 0 more than once"),
        ({"splits": [3]}, r"got split 3, but 'noisy' has 3 split\(s\)"),
        ({"tuning_splits": [-1]}, "got split -1"),
        ({"trials": 0}, "got trials=0, expected at least 1"),
        ({"contenders": [Contender("net", Net), Contender("net", Constant)]}, "`contenders` has 'net' more than once"),
        ({"space": {"hiden": [1]}}, r"build\(task, hiden=\.\.\.\), got an unexpected keyword argument 'hiden'"),
        ({"space": {"task": [1]}}, "multiple values for argument 'task'"),
        ({"space": {"hidden": []}}, r"hidden=\[\], expected different values"),
        ({"space": {"hidden": [2, 4, 2]}}, r"hidden=\[2, 4, 2\], expected different values"),
        ({"space": {"hidden": 2}}, "hidden=2, expected a list"),
        ({"space": {"optimizer": "adam"}}, "optimizer='adam', expected a list"),
        ({"space": {"hidden": [Net]}}, "cannot be written as JSON"),
        ({"space": {"optimizer": ["adam", "lion"]}}, "got optimizer 'lion', expected one of adam"),
        ({"space": {"epochs": [0]}}, "got epochs=0"),
        ({"space": {"seed": [0, 1]}}, "use `seeds`"),
    ],
)
def test_errors_come_before_the_first_training(task, changes, message, monkeypatch):
    monkeypatch.setattr(TRIAL, "fit", None)
    if "space" in changes:
        changes = {"contenders": [Contender("fine", Net), Contender("net", Net, changes["space"])]}
    with pytest.raises(InvalidDataError, match=message):
        compare(**{"contenders": [Contender("net", Net)], "tasks": [task], **changes})


def test_missing_targets_of_several_graphs_stay_missing(noisy_task):
    y = noisy_task.data.x[:, 0].clone()
    y[0] = torch.nan
    graphs = [Data(x=noisy_task.data.x + i, edge_index=noisy_task.data.edge_index, y=y) for i in range(4)]
    split = Split(torch.tensor([0, 1]), torch.tensor([2]), torch.tensor([3]))
    task = noisy_task.replace(kind="node-regression", data=graphs, splits=[split], metric=METRICS["mse"])

    class Linear(nn.Linear):
        def forward(self, x):
            return super().forward(x)[:, 0]

    def build(task):
        return Linear(3, 1)

    def same(task):
        return task.transform(NormalizeFeatures())

    def filled(task):
        return task.replace(data=[*graphs[:3], Data(x=graphs[3].x, edge_index=graphs[3].edge_index, y=y.nan_to_num())])

    def shorter(task):
        return task.replace(data=[*graphs, graphs[0]])

    result = compare([Contender("linear", build, {"lr": [1e-3, 1e-2]}, prepare=same)], [task], trials=2, config=SHORT)
    assert result.runs["val"].item() == result.trials["val"].min() < result.trials["val"].max()
    assert result.runs["direction"].item() == "minimize"
    for prepare in (filled, shorter):
        with pytest.raises(InvalidDataError, match="changes labels"):
            compare([Contender("linear", build, prepare=prepare)], [task], config=SHORT)


def test_arguments_of_build_without_a_value_are_named(task):
    with pytest.raises(InvalidDataError, match=r"build\(task\), missing a required argument: 'hidden'"):
        compare([Contender("net", lambda task, hidden: Net(task, hidden))], [task])


def test_tasks_of_one_name_need_different_protocols(task):
    with pytest.raises(InvalidDataError, match=r"`tasks` has \('noisy', .*\) more than once"):
        compare([Contender("net", Net)], [task, task.replace(splits=task.splits[:1])])
    both = compare([Contender("net", Net)], [task, task.replace(protocol="other")], splits=[0], config=SHORT)
    assert len(both.runs) == 2


def test_random_states_are_left_alone(task):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    compare([tuned()], [task], trials=2, config=SHORT)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_seconds_are_those_of_building_and_training(task):
    def build(task):
        time.sleep(0.05)
        return Net(task)

    start = time.perf_counter()
    result = compare([Contender("net", build)], [task], splits=[0], config=SHORT)
    assert 0.05 <= result.runs["seconds"][0] <= time.perf_counter() - start


@pytest.mark.parametrize(
    ("space", "prepare", "message"),
    [
        ({"hidden": [2]}, lambda task, rank: task, r"prepared as prepare\(task\), missing a required argument: 'rank'"),
        ({"rnak": [2]}, lambda task, rank=1: task, r"build\(task, rnak=\.\.\.\), got an unexpected keyword"),
        ({"rank": [2]}, lambda task, **names: task, r"build\(task, rank=\.\.\.\), got an unexpected keyword"),
    ],
)
def test_hyperparameters_that_nothing_takes_are_named(task, space, prepare, message):
    with pytest.raises(InvalidDataError, match=message):
        compare([Contender("net", Net, space, prepare)], [task])


def test_further_metrics_score_the_runs_and_choose_nothing(task, tmp_path):
    path, rows = tmp_path / "x.jsonl", []
    options = {"trials": 3, "config": SHORT, "path": path, "callback": rows.append}
    plain = compare([tuned()], [task], **options)
    rows.clear()
    more = compare([tuned()], [task], **options, metrics=("macro_f1", "accuracy"))
    assert [row["phase"] for row in rows] == ["run"] * 3  # tuning is the same
    assert same(plain, Comparison(more.runs.drop(columns="others"), more.trials))
    assert list(more.under("accuracy").runs["test"]) == list(plain.runs["test"])
    assert more.under("accuracy").runs["val"].isna().all()

    scored, setting = task.replace(metric=METRICS["macro_f1"]), json.loads(more.runs["setting"][0])
    for _, row in more.under("macro_f1").runs.iterrows():
        assert (row["metric"], row["direction"]) == ("macro_f1", "maximize")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = Net(task, hidden=setting["hidden"])
        fit(model, task, row["split"], dataclasses.replace(SHORT, lr=setting["lr"]))
        assert row["test"] == scored.evaluate(model(task.data.x), row["split"], "test")

    rows.clear()
    again = compare([tuned()], [task], **options, metrics=("accuracy",))
    assert same(compare([tuned()], [task], **options), again)
    assert not rows
    more.to_csv(tmp_path / "x.csv")
    assert same(Comparison(Comparison.read(tmp_path / "x.csv").runs, more.trials), more)


def test_further_metrics_of_runs_that_failed_are_missing(task, tmp_path):
    options = {"config": SHORT, "path": tmp_path / "x.jsonl", "metrics": ("macro_f1",)}
    contenders = [Contender("nan", Constant, {"label": [-1]}), Contender("nans", Constant, {"label": [-1, -2]})]
    for _ in range(2):
        rows = []
        failed = compare(contenders, [task], trials=2, **options, callback=rows.append)
        assert failed.under("macro_f1").runs["test"].isna().all()
    assert not rows


def test_further_metrics_must_fit_and_be_there(task):
    with pytest.raises(InvalidDataError, match="'noisy' predicts classes, which 'mse' does not score"):
        compare([tuned()], [task], metrics=("mse",))
    with pytest.raises(InvalidDataError, match="some runs have no score of 'ap': pass `metrics`"):
        compare([Contender("net", Net)], [task], config=SHORT).under("ap")
