import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as sk

from graphtasks import InvalidDataError
from graphtasks.metrics import METRICS, accuracy, macro_f1, roc_auc


def auc_by_definition(positive, score):
    """Chance that a positive node scores above a negative one, ties counting half."""
    difference = score[positive][:, None] - score[~positive][None, :]
    return np.mean((difference > 0) + 0.5 * (difference == 0))


def test_accuracy_counts_hits():
    scores = np.array([[3.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 5.0, 4.0], [9.0, 8.0, 7.0]])
    assert accuracy(np.array([0, 2, 2, 1]), scores) == 0.5
    assert accuracy(np.array([0, 2, 2, 1]), np.array([0, 2, 1, 0])) == 0.5


def test_macro_f1_gives_each_class_the_same_weight():
    y, pred = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])
    # Class 0: 1 hit, 1 missed. Class 1: 1 hit, 2 false alarms. Class 2: never hit.
    assert macro_f1(y, pred) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_roc_auc_counts_ties_half():
    assert roc_auc(np.array([0, 1, 1]), np.array([0.3, 0.3, 0.9])) == pytest.approx(0.75)


@pytest.mark.parametrize("columns", [1, 2])
def test_roc_auc_of_two_classes_is_the_ranking_probability(columns):
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 2, 50), rng.normal(size=(50, columns)).round(1)
    single = scores[:, 0] if columns == 1 else scores[:, 1] - scores[:, 0]
    pred = scores[:, 0] if columns == 1 else scores
    assert roc_auc(y, pred) == pytest.approx(auc_by_definition(y == 1, single))


def test_roc_auc_of_two_classes_is_that_of_the_softmax():
    rng = np.random.default_rng(1)
    y, scores = rng.integers(0, 2, 50), rng.normal(size=(50, 2))
    assert roc_auc(y, scores) == pytest.approx(sk.roc_auc_score(y, softmax(scores, axis=1)[:, 1]))


def test_roc_auc_of_many_classes_averages_one_against_the_rest():
    rng = np.random.default_rng(0)
    y, scores = rng.permutation(np.arange(60) % 3), rng.normal(size=(60, 3))
    share = softmax(scores, axis=1)
    expected = np.mean([auc_by_definition(y == label, share[:, label]) for label in range(3)])
    assert roc_auc(y, scores) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "reference"),
    [("accuracy", sk.accuracy_score), ("macro_f1", lambda y, pred: sk.f1_score(y, pred, average="macro"))],
)
def test_scores_of_class_scores_are_scikit_learns_of_labels(name, reference):
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 4, 80), rng.normal(size=(80, 4))
    expected = reference(y, scores.argmax(axis=1))
    assert METRICS[name].score(y, scores) == pytest.approx(expected)
    assert METRICS[name].score(y, scores.argmax(axis=1)) == pytest.approx(expected)


@pytest.mark.parametrize("name", METRICS)
def test_perfect_predictions_score_one_and_more_is_better(name):
    y = np.array([0, 1, 2, 1, 0])
    assert METRICS[name].score(y, np.eye(3)[y]) == 1.0
    assert METRICS[name].direction == "maximize"
    assert METRICS[name].name == name


def test_roc_auc_of_one_class_is_an_error():
    with pytest.raises(InvalidDataError, match=r"needs every class in the part, got none of \[0\]"):
        roc_auc(np.array([1, 1]), np.array([0.1, 0.2]))


def test_roc_auc_without_one_of_three_classes_is_an_error():
    with pytest.raises(InvalidDataError, match=r"none of \[2\]"):
        roc_auc(np.array([0, 1, 1]), np.eye(3))
