"""Options of another type, or numbers that are not finite, are named before anything is computed."""

import math

import numpy as np
import pytest
import torch
from torch_geometric.nn.models import GCN

import graphtasks
from graphtasks import Contender, FitConfig, GraphTasksError, InvalidDataError, UnknownTaskError, compare, fit
from graphtasks.values import checked, shown

NOT_WHOLE = (math.nan, math.inf, 1e30, 2.5, "3", True, [1], torch.tensor(2))
NOT_REAL = (math.nan, math.inf, -math.inf, "3", True, [1], torch.tensor(2))
COUNTS = ("epochs", "patience", "batch_size", "clusters", "seed")


@pytest.fixture(scope="module")
def task():
    return graphtasks.load("karate")


def contender():
    return Contender("gcn", lambda task: GCN(task.num_features, 4, 2, task.num_classes), {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in COUNTS for value in NOT_WHOLE),
        *((name, value) for name in ("lr", "weight_decay") for value in (*NOT_REAL, -1, None)),
        *((name, None) for name in ("epochs", "seed")),
        ("seed", 2**63),
        *(("neighbors", value) for value in (3, 2.5, "3", (True,), (2.5,), torch.tensor(2), {1: 2})),
        *(("class_weights", value) for value in (0, 1, "no", None)),
        *((name, value) for name in ("optimizer", "schedule") for value in (3, None, ["adam"])),
    ],
)
def test_a_config_of_another_type_is_named(name, value):
    with pytest.raises(InvalidDataError, match=rf"^got .*{name}.*, expected ") as caught:
        FitConfig(**{name: value})
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_become_those_of_python():
    config = FitConfig(epochs=np.int64(3), lr=np.float32(0.5), neighbors=np.array([2, 3]), weight_decay=0)
    assert config == FitConfig(epochs=3, lr=0.5, neighbors=(2, 3), weight_decay=0)
    assert [type(value) for value in (config.epochs, config.lr, *config.neighbors)] == [int, float, int, int]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, [value]) for name in ("seeds", "splits", "tuning_splits", "tuning_seeds") for value in NOT_WHOLE),
        *((name, value) for name in ("seeds", "splits", "tuning_splits", "tuning_seeds") for value in (3, "12", 1.5)),
        *((name, [2**63]) for name in ("seeds", "tuning_seeds")),
        *(("trials", value) for value in (*NOT_WHOLE, 0, -1, None)),
        *(("seconds", value) for value in (*NOT_REAL, -1)),
        *(("threads", value) for value in (*NOT_WHOLE, 0, -1)),
        *(("metrics", value) for value in (3, "f1", [3], None)),
        *(("config", value) for value in (3, {}, "fast")),
    ],
)
def test_an_argument_of_compare_of_another_type_is_named(name, value, task, tmp_path):
    with pytest.raises(GraphTasksError, match=rf"^got .*{name.rstrip('s')}.*expected ") as caught:
        compare([contender()], [task], **{"config": FitConfig(epochs=1), "path": tmp_path / "runs.jsonl", name: value})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("runs.html"))


def test_tuning_takes_any_seed(task):
    space = {"lr": [0.1, 0.01]}
    tuned = Contender("gcn", contender().build, space)
    result = compare([tuned], [task], splits=[0], seeds=[-1], trials=2, config=FitConfig(epochs=1, seed=-1))
    assert result.runs["seed"].tolist() == [-1]


@pytest.mark.parametrize("split", [*NOT_WHOLE, None])
def test_an_index_of_a_split_is_a_whole_number(split, task):
    with pytest.raises(InvalidDataError, match=r"^got split="):
        fit(GCN(34, 4, 2, 2), task, split, FitConfig(epochs=1))


@pytest.mark.parametrize("metrics", [3, "f1", [3]])
def test_further_metrics_are_names(metrics, task):
    with pytest.raises(InvalidDataError, match=r"^got metrics="):
        fit(GCN(34, 4, 2, 2), task, 0, FitConfig(epochs=1), metrics=metrics)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        *(("csbm", option, value) for option in ("num_nodes", "num_features", "seed") for value in (*NOT_WHOLE, None)),
        *(("csbm", option, value) for option in ("homophily", "degree", "excess") for value in (*NOT_REAL, None)),
        ("ring-transfer", "hops", 2.5),
        ("advection", "speed", "fast"),
        ("diameter", "num_graphs", "10"),
    ],
)
def test_an_option_of_a_task_of_another_type_is_named(name, option, value):
    with pytest.raises(InvalidDataError, match=rf"^got {option}=.*, expected "):
        graphtasks.load(name, **{option: value})


@pytest.mark.parametrize("option", ["members", "num_nodes", "seed"])
@pytest.mark.parametrize("value", NOT_WHOLE)
def test_an_option_of_a_family_of_another_type_is_named(option, value):
    with pytest.raises(InvalidDataError, match=rf"^got {option}=.*, expected "):
        graphtasks.family("csbm-family", **{option: value})


@pytest.mark.parametrize("name", [None, 3, ["csbm-family"]])
def test_a_family_that_is_no_name(name):
    with pytest.raises(UnknownTaskError, match="there is no family"):
        graphtasks.family(name)


@pytest.mark.parametrize(("option", "value"), [("count", 0), ("count", 2.5), ("seed", "1"), ("seed", None)])
def test_draws_of_splits(option, value):
    y = torch.tensor([0, 1] * 10)
    for draw in (
        lambda **options: graphtasks.random_splits(20, **options),
        lambda **options: graphtasks.stratified_splits(y, **options),
        lambda **options: graphtasks.per_class_splits(y, 2, **options),
    ):
        with pytest.raises(InvalidDataError, match=rf"^got {option}="):
            draw(**{option: value})


def test_values_are_told_in_one_short_line():
    assert shown(torch.zeros(4, 4)).count("\n") == 0
    assert len(shown(list(range(1000)))) == 80


def test_other_annotations_are_left_alone():
    value = object()
    assert checked("x", value, "Tensor | None") is value
    assert checked("x", value, "int | str") is value
