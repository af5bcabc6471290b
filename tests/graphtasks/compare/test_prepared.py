"""Tasks that contenders prepare before they train on them."""

import dataclasses
import json
import weakref

import pytest

from contenders import MODULE, SHORT, Net, signs
from graphtasks import DivergedError, FitConfig, InvalidDataError
from graphtasks.compare import Contender, compare


def test_each_contender_trains_on_what_it_prepares_once_a_task(task):
    seen = []

    def prepare(task):
        seen.append(task.name)
        return signs(task)

    def build(task):
        assert bool((task.data.x.abs() == 1).all())
        return Net(task)

    contenders = [Contender(name, build, prepare=prepare) for name in "ab"] + [Contender("c", Net)]
    result = compare(contenders, [task, task.replace(name="again")], seeds=(0, 1), config=SHORT)
    assert seen == ["noisy", "again"]
    scores = {model: list(part["test"]) for model, part in result.runs.groupby("model")}
    assert scores["a"] == scores["b"] != scores["c"]
    plain = compare([Contender("c", Net)], [task], seeds=(0, 1), config=SHORT)
    assert list(plain.runs["test"]) == scores["c"][:6], "the others see the task as it was"


@pytest.mark.parametrize("what", ["labels", "splits", "metric"])
def test_preparation_cannot_change_what_is_compared(task, what):
    def prepare(task):
        if what == "labels":
            data = task.data.clone()
            data.y[0] = (data.y[0] + 1) % 3
            return task.replace(data=data)
        if what == "splits":
            return task.replace(splits=task.splits[::-1])
        return task.replace(metric=dataclasses.replace(task.metric, name="other"))

    with pytest.raises(InvalidDataError, match="`prepare` of 'net' changes labels, splits or metric of 'noisy'"):
        compare([Contender("net", Net, prepare=prepare)], [task], config=SHORT)


def test_a_prepare_that_changes_the_task_itself_is_an_error(noisy_task):
    def prepare(task):
        task.graph().x.mul_(0)
        return task

    with pytest.raises(InvalidDataError, match="'m' changes 'custom' itself, for all contenders"):
        compare(
            [Contender("m", Net, prepare=prepare)],
            [noisy_task],
            config=FitConfig(epochs=1),
        )


def test_what_prepare_names_is_prepared_once_for_each_value(task):
    prepared, built = [], []

    def prepare(task, scale, shift=0):
        prepared.append((scale, shift))
        return task.transform(lambda data: data.update({"x": scale * data.x + shift}))

    def build(task, hidden, scale):
        built.append((hidden, scale, float(task.graph().x.abs().max())))
        return Net(task, hidden)

    space = {"hidden": [2, 4], "scale": [1, 2], "lr": [0.01]}
    result = compare(
        [Contender("net", build, space, prepare)], [task], trials=4, splits=[0], seeds=(0, 1), config=SHORT
    )
    assert sorted(prepared) == [(1, 0), (2, 0)], "neither for each setting nor for each seed"
    largest = float(task.graph().x.abs().max())
    assert {(scale, x) for _, scale, x in built} == {(1, largest), (2, 2 * largest)}
    assert len(built) == 4 + 2
    chosen = json.loads(result.runs["setting"][0])
    direct = compare(
        [Contender("net", Net, {"hidden": [chosen["hidden"]], "lr": [0.01]})],
        [prepare(task, chosen["scale"])],
        splits=[0],
        seeds=(0, 1),
        config=SHORT,
    )
    assert list(direct.runs["test"]) == list(result.runs["test"])


def test_hyperparameters_of_prepare_alone_stay_out_of_build(task):
    def prepare(task, *, scale):
        return task.transform(lambda data: data.update({"x": scale * data.x}))

    result = compare(
        [Contender("net", Net, {"hidden": [4], "scale": [0.5, 2]}, prepare)], [task], trials=2, config=SHORT
    )
    assert result.trials["val"].notna().all()
    assert {json.loads(text)["scale"] for text in result.trials["setting"]} == {0.5, 2}


def test_only_the_last_few_prepared_tasks_are_kept(task):
    prepared = []

    def prepare(task, scale):
        alive = task.transform(lambda data: data.update({"x": scale * data.x}))
        prepared.append(weakref.ref(alive))
        return alive

    counts = []

    def build(task):
        counts.append(sum(made() is not None for made in prepared))
        return Net(task)

    space = {"scale": list(range(1, 9))}
    compare([Contender("net", build, space, prepare)], [task], trials=8, splits=[0], config=SHORT)
    assert max(counts) == MODULE.MAX_PREPARED < len(space["scale"])


def test_a_setting_that_cannot_be_prepared_loses(task):
    def prepare(task, rank):
        if rank > 5:
            raise DivergedError("the features have rank 5")
        return task

    result = compare([Contender("net", Net, {"rank": [4, 8]}, prepare)], [task], trials=2, config=SHORT)
    assert sorted(result.trials["status"]) == ["DivergedError: the features have rank 5", "ok"]
    assert set(result.runs["setting"]) == {'{"rank": 4}'}
