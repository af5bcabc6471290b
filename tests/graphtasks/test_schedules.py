"""Learning rates over a training."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from graphtasks import FitConfig, GraphTask, fit
from learners import Net, node_task, values


@pytest.fixture
def rates():
    """The learning rate of each step."""
    seen: list[float] = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, args, kwargs: seen.append(optimizer.param_groups[0]["lr"])
    )
    yield seen
    handle.remove()


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        ("constant", lambda share: 1.0),
        ("linear", lambda share: 1 - share),
        ("cosine", lambda share: (1 + math.cos(math.pi * share)) / 2),
    ],
)
@pytest.mark.parametrize("epochs", [1, 10])
def test_schedules_follow_their_formula(noisy_task, rates, schedule, factor, epochs):
    fit(Net(), noisy_task, config=FitConfig(epochs=epochs, lr=0.2, schedule=schedule))
    assert rates == pytest.approx([0.2 * factor(epoch / epochs) for epoch in range(epochs)])


def test_rate_is_the_same_in_all_steps_of_an_epoch(noisy_task, rates):
    fit(Net(), noisy_task, config=FitConfig(epochs=3, lr=0.3, schedule="linear", neighbors=(1,), batch_size=10))
    assert rates == pytest.approx([0.3] * 3 + [0.2] * 3 + [0.1] * 3)


class Scripted(nn.Module):
    """Gives the next value of a script in each epoch, whatever it is trained to."""

    def __init__(self, script: list[float]) -> None:
        super().__init__()
        self.zero, self.script, self.epoch = nn.Parameter(torch.zeros(())), script, 0

    def forward(self, x):
        self.epoch += self.training
        return self.zero * 0 + torch.full((len(x),), self.script[self.epoch - 1])


def scripted_task(direction: str) -> GraphTask:
    """Scores are the prediction itself, or less it where less is better."""
    task = node_task(values)
    sign = 1.0 if direction == "maximize" else -1.0
    metric = dataclasses.replace(task.metric, direction=direction, score=lambda y, pred: sign * float(pred[0]))
    return task.replace(metric=metric)


DIRECTIONS = pytest.mark.parametrize("direction", ["maximize", "minimize"])


@DIRECTIONS
@pytest.mark.parametrize("level", [-2.0, 0.0, 3.0])
def test_plateau_halves_the_rate_where_the_score_stands_still(rates, direction, level):
    fit(Scripted([level] * 36), scripted_task(direction), config=FitConfig(epochs=36, lr=0.4, schedule="plateau"))
    # Steps of the first epoch, which is the best one, of more than 10 without a better one, and so on.
    halvings = [sum(rate == 0.4 / 2**i for rate in rates) for i in range(4)]
    assert halvings in ([12, 11, 11, 2], [11, 10, 10, 5])


@DIRECTIONS
@pytest.mark.parametrize("start", [-3.0, 2.0])
def test_plateau_keeps_the_rate_while_the_score_rises(rates, direction, start):
    script = [start + 0.01 * epoch for epoch in range(30)]
    fit(Scripted(script), scripted_task(direction), config=FitConfig(epochs=30, lr=0.4, schedule="plateau"))
    assert set(rates) == {0.4}


@DIRECTIONS
@pytest.mark.parametrize("start", [-3.0, 2.0])
def test_plateau_halves_the_rate_while_the_score_falls(rates, direction, start):
    script = [start - 1e-6 * epoch for epoch in range(14)]
    fit(Scripted(script), scripted_task(direction), config=FitConfig(epochs=14, lr=0.4, schedule="plateau"))
    assert rates[-1] == 0.2


@DIRECTIONS
def test_best_epoch_and_patience_follow_the_direction(direction):
    script = [0.0, 1.0, 3.0, 2.0, 3.0, 2.5, 9.0]
    result = fit(Scripted(script), scripted_task(direction), config=FitConfig(epochs=7, patience=3))
    sign = 1.0 if direction == "maximize" else -1.0
    assert result.best_epoch == 2, "of equal scores the first is the best"
    assert result.val_curve == [sign * value for value in script[:6]]
    assert result.val == sign * 3.0
