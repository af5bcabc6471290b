"""One training of a setting."""

import dataclasses
import math

import pytest
import torch

from graphtasks import DivergedError, FitConfig, InvalidDataError, fit, metric, seeded, train_once
from learners import Layers, Net, blocks_task

SHORT = FitConfig(epochs=3, seed=5)


class RankError(Exception):
    """Stands for what another library raises where a setting cannot be computed."""


def fail(error):
    raise error


def build(task):
    return Layers(task.num_features, task.num_outputs)


def test_it_is_the_model_of_the_seed_and_fit(noisy_task):
    trial = train_once(build, noisy_task, config=SHORT)
    with seeded(5):
        model = build(noisy_task)
    result = fit(model, noisy_task, config=SHORT)
    assert trial.finished
    assert trial.scores == {"val": result.val, "test": result.test}
    assert (trial.score(noisy_task.metric), trial.score(noisy_task.metric, "test")) == (result.val, result.test)
    assert trial.result.loss_curve == result.loss_curve
    assert trial.parameters == sum(parameter.numel() for parameter in model.parameters())
    other = train_once(build, noisy_task, config=dataclasses.replace(SHORT, seed=6))
    assert other.result.loss_curve != result.loss_curve


@pytest.mark.parametrize("where", ["prepare", "build"])
@pytest.mark.parametrize("error", [DivergedError, RankError])
def test_impossible_settings_lose(noisy_task, where, error):
    makers = {"build": build, "prepare": lambda task: task, where: lambda task: fail(error("rank 9 of 3"))}
    trial = train_once(**makers, task=noisy_task, config=SHORT, impossible=(RankError,))
    assert (trial.finished, trial.status) == (False, f"{error.__name__}: rank 9 of 3")
    assert (trial.scores, trial.result, trial.parameters) == ({}, None, None)
    assert trial.score(noisy_task.metric) == 0.0
    assert trial.score(metric("mse")) == math.inf


def test_other_errors_are_raised(noisy_task):
    with pytest.raises(RankError):
        train_once(lambda task: fail(RankError("rank 9 of 3")), noisy_task, config=SHORT)
    with pytest.raises(InvalidDataError):
        train_once(build, noisy_task, split=3, config=SHORT)


def test_divergence_keeps_what_is_known_of_the_model(noisy_task):
    trial = train_once(build, noisy_task, config=FitConfig(epochs=3, lr=1e30, optimizer="sgd"))
    assert trial.status.startswith("DivergedError: ")
    assert trial.parameters > 0
    assert trial.result is None


def test_a_test_score_that_is_not_asked_for_decides_nothing(noisy_task):
    broken = dataclasses.replace(
        noisy_task.metric, score=lambda y, pred: math.nan if len(y) == 50 else noisy_task.metric.score(y, pred)
    )
    task = noisy_task.replace(metric=broken)  # whose test part has 50 nodes
    assert len(task.targets(0, "test")) == 50
    assert train_once(build, task, config=SHORT, parts=("val",)).finished
    both = train_once(build, task, config=SHORT)
    assert both.status.startswith("not finite: val 0.")
    assert both.status.endswith("test nan")
    assert both.scores == {}


def test_callback_and_metrics_reach_the_training(noisy_task):
    epochs = []
    trial = train_once(
        build, noisy_task, config=SHORT, metrics=["macro_f1"], callback=lambda epoch, val, model: epochs.append(epoch)
    )
    assert epochs == [0, 1, 2]
    assert trial.result.others.keys() == {"macro_f1"}


def test_generators_are_left_alone(noisy_task):
    before = torch.get_rng_state()
    train_once(lambda task: Net(3), noisy_task, config=SHORT)
    train_once(lambda task: Layers(2, 4), blocks_task(), config=SHORT)
    assert torch.equal(before, torch.get_rng_state())
