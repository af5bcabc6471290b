"""Errors of regression."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from definitions import ERRORS, INF, NAN
from graphtasks import DivergedError, InvalidDataError
from graphtasks.metrics import METRICS, mae, mse


def test_errors_of_regression():
    y, pred = np.array([[1.0, 2.0], [NAN, -1.0]]), np.array([[1.0, 5.0], [NAN, 0.0]])
    # Differences 0, 3 and 1; the missing target does not count, and -1 is no missing one.
    assert mse(y, pred) == pytest.approx((0 + 9 + 1) / 3)
    assert mae(y, pred) == pytest.approx((0 + 3 + 1) / 3)


@pytest.mark.parametrize("shape", [(50,), (50, 3)])
def test_errors_of_regression_are_scikit_learns(shape):
    rng = np.random.default_rng(0)
    y, pred = rng.normal(size=shape), rng.normal(size=shape)
    assert mse(y, pred) == pytest.approx(sk.mean_squared_error(y, pred))
    assert mae(y, pred) == pytest.approx(sk.mean_absolute_error(y, pred))


@pytest.mark.parametrize("name", ERRORS)
def test_targets_may_be_integers(name):
    assert METRICS[name].score(np.array([1, -1]), np.array([2, 0])) == 1.0


def test_errors_are_counted_in_float64():
    # In float32 the square is infinite, and in float16 16384 + 1 is 16384.
    assert mse(torch.zeros(10), torch.full((10,), 1e25)) == pytest.approx(1e50)
    y, pred = np.array([16384.0, 1.0], dtype=np.float16), np.array([0.0, 0.0], dtype=np.float16)
    assert mae(y, pred) == 8192.5


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("infinite", [INF, -INF])
def test_infinite_predictions_of_values_diverged(name, infinite):
    with pytest.raises(DivergedError, match="predictions are infinite"):
        METRICS[name].score(np.zeros(2), np.array([0.0, infinite]))
    assert METRICS[name].score(np.array([0.0, NAN]), np.array([1.0, infinite])) == 1.0


@pytest.mark.parametrize("name", ERRORS)
def test_errors_beyond_float64_diverged(name):
    with pytest.raises(DivergedError, match="beyond float64"):
        METRICS[name].score(np.array([-1.5e308]), np.array([1.5e308]))


@pytest.mark.parametrize("name", ERRORS)
def test_infinite_targets_are_errors(name):
    with pytest.raises(InvalidDataError, match="targets are infinite"):
        METRICS[name].score(np.array([0.0, INF]), np.zeros(2))
