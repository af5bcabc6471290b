"""Predictions of a trained model outside of its training, and forecasts."""

import math

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GAE
from torch_geometric.nn.models import GCN

from graphtasks import (
    DivergedError,
    FitConfig,
    GraphTask,
    InvalidDataError,
    fit,
    forecast,
    predict,
    score_pairs,
    time_splits,
)
from graphtasks.averages import average
from learners import Layers, Ordered, arrows_task, blocks_task, node_task, parity

EDGES = torch.tensor([[0, 1], [1, 0]])


@pytest.mark.parametrize("settings", [{"neighbors": (2, 2), "batch_size": 16}, {"clusters": 6}, {}])
def test_nodes_are_predicted_on_the_whole_graph_however_they_were_trained(settings):
    task, model = node_task(parity), Layers(3, 2)
    config = FitConfig(epochs=2, **settings)
    fit(model, task, config=config)
    with torch.no_grad():
        assert torch.equal(predict(model, task, config=config), model(task.data.x, task.data.edge_index))
    assert torch.equal(predict(model, task, 0, "train", config), predict(model, task, 0, "test"))


def test_pairs_of_training_have_no_prediction():
    with pytest.raises(InvalidDataError, match="the train part has no fixed negatives"):
        predict(Layers(2, 4), blocks_task(), 0, "train")


@pytest.mark.parametrize("make", [lambda: Layers(2, 8), lambda: Ordered(2), lambda: GAE(GCN(2, 8, num_layers=1))])
@pytest.mark.parametrize("part", ["val", "test"])
def test_own_pairs_are_scored_as_those_of_the_split(make, part, monkeypatch):
    monkeypatch.setattr("graphtasks.prediction.MAX_PAIRS", 7)
    task = arrows_task()
    torch.manual_seed(0)
    model = make()
    pairs, _ = task.split(0).pairs(part)
    scores = score_pairs(model, task, pairs, part=part)
    torch.testing.assert_close(scores, predict(model, task, 0, part))
    turned = score_pairs(model, task, pairs.flip(0), part=part)
    assert torch.allclose(turned, scores) != isinstance(model, Ordered)
    assert model.training
    assert not scores.requires_grad


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (torch.tensor([[0], [60]]), "names nodes 0 to 60, but the graph has nodes 0 to 59"),
        (torch.tensor([[0, 1, 2]]), r"shape \(1, 3\)"),
        (torch.tensor([[0.0], [1.0]]), "torch.float32"),
    ],
)
def test_pairs_that_are_none_are_errors(pairs, message):
    with pytest.raises(InvalidDataError, match=message):
        score_pairs(Layers(2, 8), blocks_task(), pairs)


def test_only_links_have_pairs():
    with pytest.raises(InvalidDataError, match="only link tasks have pairs to score"):
        score_pairs(Layers(3, 2), node_task(parity), EDGES)


class Linear(nn.Module):
    """The next values as a linear map of the last ones, (L,) to (H,)."""

    def __init__(self, weight) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, x):
        return x @ self.weight


def lagged_task(values: torch.Tensor, lags: int, horizon: int = 1) -> GraphTask:
    """Values (N, T) of which the next ones are to be told from the last."""
    snapshots = [
        Data(
            x=values[:, step - lags : step].clone(),
            y=values[:, step : step + horizon].clone() if horizon > 1 else values[:, step].clone(),
            edge_index=EDGES,
        )
        for step in range(lags, values.size(1) - horizon + 1)
    ]
    return GraphTask.from_data(snapshots, kind="temporal", splits=time_splits(len(snapshots)), metric="mse")


def fibonacci(steps: int) -> torch.Tensor:
    values = [[1.0, 2.0], [1.0, 3.0]]
    for _ in range(steps - 2):
        values.append([a + b for a, b in zip(values[-1], values[-2], strict=True)])
    return torch.tensor(values).t()


def test_forecast_of_a_recurrence_is_the_recurrence():
    values = fibonacci(30)
    task, model = lagged_task(values[:, :20], lags=2), Linear([1.0, 1.0])
    first = 2 + int(task.split(0).test[0])
    torch.testing.assert_close(forecast(model, task, 5), values[:, first : first + 5])
    assert torch.equal(forecast(model, task, 1).view(-1), task.part(0, "test")[0].y)
    torch.testing.assert_close(forecast(model, task, 8, start=-1), values[:, 19:27])
    assert model.training


def test_forecast_moves_on_by_the_horizon():
    values = fibonacci(30)
    # The next two values are a + b and a + 2 b.
    task, model = lagged_task(values[:, :20], lags=2, horizon=2), Linear([[1.0, 1.0], [1.0, 2.0]])
    torch.testing.assert_close(forecast(model, task, 5, start=0), values[:, 2:7])


def test_forecast_reads_nothing_that_comes_later():
    values = fibonacci(20)
    task, model = lagged_task(values, lags=3), Linear([0.0, 1.0, 1.0])
    start = int(task.split(0).test[0])
    changed = values.clone()
    changed[:, start + 3 :] = -7.0
    assert torch.equal(forecast(model, task, 6), forecast(model, lagged_task(changed, lags=3), 6))


def test_series_that_are_no_lags_are_errors():
    task = lagged_task(fibonacci(12), lags=2)
    task.graphs[4].x[0, 1] += 1.0
    with pytest.raises(InvalidDataError, match=r"`x` of snapshot 4 of .* is not that of snapshot 3"):
        forecast(Linear([1.0, 1.0]), task, 2)
    with pytest.raises(InvalidDataError, match="only series have steps to come"):
        forecast(Layers(3, 2), node_task(parity), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"steps": 0}, "got steps=0"), ({"steps": 1, "start": 10}, "got start 10, but .* has 10 snapshots")],
)
def test_forecasts_out_of_range_are_errors(arguments, message):
    with pytest.raises(InvalidDataError, match=message):
        forecast(Linear([1.0, 1.0]), lagged_task(fibonacci(12), lags=2), **arguments)


def test_forecast_that_explodes_says_when():
    with pytest.raises(DivergedError, match="not finite in step"):
        forecast(Linear([0.0, 1e30]), lagged_task(fibonacci(12), lags=2), 5)


def test_averages_by_hand():
    classes = [torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.0, 0.0]])]  # (1/4, 3/4) and (1/2, 1/2)
    torch.testing.assert_close(average(classes, "classes").exp(), torch.tensor([[0.375, 0.625]]))
    links = [torch.tensor([math.log(3)]), torch.tensor([0.0])]
    torch.testing.assert_close(average(links, "links").sigmoid(), torch.tensor([0.625]))
    assert average([torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.0])], "values").tolist() == [2.0, 2.0]


def test_averages_of_large_scores_stay_apart():
    links = average([torch.tensor([40.0, 60.0, -90.0, -120.0])] * 3, "links")
    torch.testing.assert_close(links, torch.tensor([40.0, 60.0, -90.0, -120.0]))
    classes = average([torch.tensor([[0.0, 200.0, 300.0]])] * 3, "classes")
    assert classes.isfinite().all()
    assert classes.argsort().tolist() == [[0, 1, 2]]


def test_nothing_has_no_average():
    with pytest.raises(InvalidDataError, match="no predictions to average"):
        average([], "values")


def test_a_model_without_parameters_predicts_too():
    class Fixed(nn.Module):
        def forward(self, x):
            return x

    task = node_task(parity)
    assert torch.equal(predict(Fixed(), task), task.data.x)


@pytest.mark.parametrize("form", ["classes", "links", "values"])
def test_weighted_averages_of_parts_are_that_of_the_whole(form):
    outputs = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(0))
    parts = [average(outputs[:2], form), average(outputs[2:], form)]
    assert torch.allclose(average(parts, form, [2, 3]), average(outputs, form), atol=1e-6)
    assert torch.allclose(average(outputs, form, [0, 1, 0, 0, 0]), average(outputs[1:2], form), atol=1e-6)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0], [math.inf, 1.0]])
def test_weights_that_are_none(weights):
    with pytest.raises(InvalidDataError, match="give each one"):
        average(torch.zeros(2, 3), "values", weights)
