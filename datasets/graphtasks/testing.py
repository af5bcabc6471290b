"""Tests that every kind of task passes, for your own tasks to inherit."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphtasks import kinds
from graphtasks.calling import forward
from graphtasks.config import FitConfig
from graphtasks.metrics import metric as find_metric
from graphtasks.prediction import device_of, predict
from graphtasks.randomness import seeded
from graphtasks.task import GraphTask
from graphtasks.training import fit
from graphtasks.trial import train_once


class KindTestCase(ABC):
    """Tests that hold for a task of any kind and a model that can learn it.

    Inherit from it in a class that pytest collects, and give a small task and a model::

        class TestMine(KindTestCase):
            def task(self):
                return graphtasks.from_data(...)

            def model(self, task):
                return GCN(task.num_features, 8, 2, task.num_outputs)
    """

    config = FitConfig(epochs=3)

    @abstractmethod
    def task(self) -> GraphTask:
        """A task, which may be made anew by each call."""

    @abstractmethod
    def model(self, task: GraphTask) -> nn.Module:
        """An untrained model for the task, by the generators that :func:`~graphtasks.seeded` seeds."""

    def build(self, task: GraphTask, seed: int = 0) -> nn.Module:
        """The model of a seed."""
        with seeded(seed):
            return self.model(task)

    def outputs(self, task: GraphTask, count: int = 3) -> list[Tensor]:
        """Predictions of the validation part by models of different seeds."""
        return [predict(self.build(task, seed), task, 0, "val", self.config) for seed in range(count)]

    def test_a_kind_is_found_by_the_name_of_the_task_s(self) -> None:
        task = self.task()
        assert kinds.find(task.kind).name == task.kind
        assert kinds.find(task.kind).form(task) == task.form

    def test_predictions_are_scored_as_in_the_training(self) -> None:
        task = self.task()
        model = self.build(task)
        result = fit(model, task, config=self.config)
        for part, expected in (("val", result.val), ("test", result.test)):
            assert task.evaluate(predict(model, task, 0, part, self.config), 0, part) == expected  # type: ignore[arg-type]

    def test_predicting_leaves_the_model_and_the_generators_alone(self) -> None:
        task = self.task()
        model = self.build(task)
        next(model.children(), model).eval()
        modes = [module.training for module in model.modules()]
        before = {name: value.clone() for name, value in model.state_dict().items()}
        generator = torch.get_rng_state()
        first, second = (predict(model, task, 0, "val", self.config) for _ in range(2))
        assert torch.equal(first, second)
        assert not first.requires_grad
        assert [module.training for module in model.modules()] == modes
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert torch.equal(torch.get_rng_state(), generator)

    def test_inputs_and_read_make_the_prediction(self) -> None:
        task = self.task()
        model = self.build(task).eval()
        predictor = kinds.find(task.kind).predictor(task, 0, "test", self.config, device_of(model))
        with torch.no_grad():
            rows = [predictor.read(model, forward(model, data), data, "test") for data in predictor.inputs("test")]
        assert torch.equal(torch.cat(rows), predict(model, task, 0, "test", self.config))

    def test_one_network_is_its_own_ensemble(self) -> None:
        task = self.task()
        (output,) = self.outputs(task, 1)
        for outputs in ([output], [output] * 3, torch.stack([output] * 2)):
            average = task.average(outputs)
            assert average.shape == output.shape
            assert math.isclose(task.evaluate(average, 0, "val"), task.evaluate(output, 0, "val"), rel_tol=1e-5)

    def test_an_ensemble_is_the_mean_of_answers_in_any_order(self) -> None:
        task = self.task()
        outputs = self.outputs(task)
        average = task.average(outputs)
        forms: dict[str, Callable[[Tensor], Tensor]] = {
            "classes": lambda out: out.softmax(dim=-1),
            "labels": torch.sigmoid,
            "links": torch.sigmoid,
            "values": lambda out: out,
        }
        answers = forms[task.form]
        mean = torch.stack([answers(output) for output in outputs]).mean(dim=0)
        torch.testing.assert_close(answers(average), mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(task.average(outputs[::-1]), average, atol=1e-5, rtol=1e-4)
        assert math.isfinite(task.evaluate(average, 0, "val"))

    def test_a_training_follows_from_its_seed(self) -> None:
        task = self.task()
        first, second = (train_once(self.model, task, config=self.config) for _ in range(2))
        assert first.finished
        assert first.scores == second.scores
        assert first.result is not None
        assert second.result is not None
        assert first.result.loss_curve == second.result.loss_curve

    def test_a_loss_is_the_mean_of_labelled_targets(self) -> None:
        task = self.task()
        model = self.build(task)
        with seeded(0):
            batches = kinds.find(task.kind).batches(task, 0, self.config, device_of(model))
            losses = list(batches.losses(model))
        assert all(loss.dim() == 0 and bool(loss.isfinite()) and count > 0 for loss, count in losses)
        losses[0][0].backward()
        assert any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in model.parameters())

    def test_a_training_that_diverges_gets_the_worst_score(self) -> None:
        task = self.task()

        def build(task: GraphTask) -> nn.Module:
            model = self.model(task)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.fill_(math.nan)
            return model

        trial = train_once(build, task, config=self.config)
        assert trial.status.startswith("DivergedError: ")
        assert trial.score(task.metric) == task.metric.worst
        result = fit(self.build(task), task, config=self.config)
        assert not task.metric.better(trial.score(task.metric), result.val)

    def test_the_task_says_what_it_is_in_one_line(self) -> None:
        task = self.task()
        text = repr(task)
        assert "\n" not in text
        assert len(text) < 200
        assert all(word in text for word in (task.name, task.kind, task.metric.name))
        assert find_metric(task.metric.name) == task.metric
