"""Uncertainty of predictions against cases with known values, and scikit-learn."""

import itertools

import numpy as np
import pytest
import torch
from one_of_each_kind import task_of
from sklearn import metrics as sk

import graphtasks
from gnndiff.calibration import calibration, calibration_error, misclassification_auroc


def test_probabilities_that_are_the_frequencies_have_no_error():
    confidence = torch.tensor([0.75] * 4 + [0.5] * 2)
    right = torch.tensor([True, True, True, False, True, False])
    assert calibration_error(confidence, right) == pytest.approx(0.0)


def test_sure_and_wrong_is_an_error_of_one():
    assert calibration_error(torch.ones(3), torch.zeros(3, dtype=torch.bool)) == 1.0


def test_error_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    confidence, right = rng.uniform(0.1, 1, 500), rng.random(500) < 0.7
    edges, expected = np.linspace(0, 1, 11), 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    got = calibration_error(torch.from_numpy(confidence), torch.from_numpy(right), bins=10)
    assert got == pytest.approx(expected)


def test_auroc_is_scikit_learns_with_ties():
    rng = np.random.default_rng(0)
    confidence, right = rng.integers(1, 6, 300) / 5, rng.random(300) < 0.8
    got = misclassification_auroc(torch.from_numpy(confidence), torch.from_numpy(right))
    assert got == pytest.approx(sk.roc_auc_score(~right, -confidence))
    assert misclassification_auroc(torch.rand(3), torch.ones(3, dtype=torch.bool)) is None


def test_uncertainty_of_classes():
    task = graphtasks.load("karate")
    y = task.targets(0, "test")
    scores = torch.randn(len(y), task.num_classes, generator=torch.Generator().manual_seed(0))
    found = calibration(task, scores, 0, "test")
    assert found.nll == pytest.approx(
        sk.log_loss(y, scores.double().softmax(dim=1), labels=range(task.num_classes)), rel=1e-5
    )
    even = calibration(task, torch.zeros_like(scores), 0, "test")
    assert even.nll == pytest.approx(np.log(task.num_classes))
    assert calibration(task, 5 * scores, 0, "test").ece > found.ece


def test_uncertainty_of_links():
    task = task_of("link")
    y = task.targets(0, "test")
    scores = torch.randn(len(y), generator=torch.Generator().manual_seed(0))
    found = calibration(task, scores, 0, "test")
    assert found.nll == pytest.approx(sk.log_loss(y, scores.double().sigmoid()), rel=1e-5)
    confident = calibration(task, 20 * (2.0 * y - 1), 0, "test")
    assert (confident.ece, confident.auroc) == (pytest.approx(0.0, abs=1e-6), None)


def test_values_have_no_probabilities_and_what_is_not_finite_none():
    task = task_of("node-regression")
    assert calibration(task, task.targets(0, "test"), 0, "test") is None
    task = graphtasks.load("karate")
    scores = torch.full((len(task.targets(0, "test")), task.num_classes), torch.nan)
    assert vars(calibration(task, scores, 0, "test")) == {"nll": None, "ece": None, "auroc": None}
