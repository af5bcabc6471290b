"""Scores of classes and of labels."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as sk

from definitions import AREAS, COUNTING, INF, NAN, ap_by_definition, auc_by_definition, example
from graphtasks import DivergedError, InvalidDataError
from graphtasks.metrics import METRICS, accuracy, average_precision, balanced_accuracy, macro_f1, roc_auc


def test_accuracy_counts_hits():
    scores = np.array([[3.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 5.0, 4.0], [9.0, 8.0, 7.0]])
    assert accuracy(np.array([0, 2, 2, 1]), scores) == 0.5
    assert accuracy(np.array([0, 2, 2, 1]), np.array([0, 2, 1, 0])) == 0.5


def test_balanced_accuracy_averages_the_recall_of_classes():
    # Class 0: 3 of 4. Class 1: 0 of 1. Class 3: 1 of 1. Class 2 is predicted alone, and has no recall.
    y, pred = np.array([0, 0, 0, 0, 1, 3]), np.array([0, 0, 0, 2, 2, 3])
    assert balanced_accuracy(y, pred) == pytest.approx((3 / 4 + 0 + 1) / 3)


def test_macro_f1_gives_each_class_the_same_weight():
    y, pred = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])
    # Class 0: 1 hit, 1 missed. Class 1: 1 hit, 2 false alarms. Class 2: never hit.
    assert macro_f1(y, pred) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_roc_auc_counts_ties_half():
    assert roc_auc(np.array([0, 1, 1]), np.array([0.3, 0.3, 0.9])) == pytest.approx(0.75)


def test_average_precision_takes_ties_together():
    # Both positives at 0.3 are among 3 of 4; the one at 0.9 is alone.
    assert average_precision(np.array([1, 1, 1, 0]), np.array([0.9, 0.3, 0.3, 0.3])) == pytest.approx(
        (1 + 2 * 3 / 4) / 3
    )


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize(("score", "reference"), [(roc_auc, auc_by_definition), (average_precision, ap_by_definition)])
def test_areas_of_two_classes_follow_their_definitions(score, reference, columns):
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 2, 50), rng.normal(size=(50, columns)).round(1)
    single = scores[:, 0] if columns == 1 else scores[:, 1] - scores[:, 0]
    pred = scores[:, 0] if columns == 1 else scores
    assert score(y, pred) == pytest.approx(reference(y == 1, single))


@pytest.mark.parametrize(
    ("score", "reference"), [(roc_auc, sk.roc_auc_score), (average_precision, sk.average_precision_score)]
)
def test_areas_of_two_classes_are_those_of_the_softmax(score, reference):
    rng = np.random.default_rng(1)
    y, scores = rng.integers(0, 2, 50), rng.normal(size=(50, 2))
    assert score(y, scores) == pytest.approx(reference(y, softmax(scores, axis=1)[:, 1]))
    assert score(y, scores[:, 1]) == pytest.approx(reference(y, scores[:, 1]))


@pytest.mark.parametrize(("score", "reference"), [(roc_auc, auc_by_definition), (average_precision, ap_by_definition)])
def test_areas_of_many_classes_average_one_against_the_rest(score, reference):
    rng = np.random.default_rng(0)
    y, scores = rng.permutation(np.arange(60) % 3), rng.normal(size=(60, 3))
    share = softmax(scores, axis=1)
    expected = np.mean([reference(y == label, share[:, label]) for label in range(3)])
    assert score(y, scores) == pytest.approx(expected)


def test_areas_of_many_classes_are_scikit_learns():
    rng = np.random.default_rng(2)
    y, scores = rng.permutation(np.arange(70) % 4), rng.normal(size=(70, 4))
    share = softmax(scores, axis=1)
    assert roc_auc(y, scores) == pytest.approx(sk.roc_auc_score(y, share, multi_class="ovr"))
    assert average_precision(y, scores) == pytest.approx(sk.average_precision_score(y, share, average="macro"))


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("accuracy", sk.accuracy_score),
        ("balanced_accuracy", sk.balanced_accuracy_score),
        ("macro_f1", lambda y, pred: sk.f1_score(y, pred, average="macro")),
    ],
)
def test_scores_of_class_scores_are_scikit_learns_of_labels(name, reference):
    rng = np.random.default_rng(0)
    y, scores = rng.integers(0, 4, 80), rng.normal(size=(80, 4))
    expected = reference(y, scores.argmax(axis=1))
    assert METRICS[name].score(y, scores) == pytest.approx(expected)
    assert METRICS[name].score(y, scores.argmax(axis=1)) == pytest.approx(expected)


@pytest.mark.parametrize("name", COUNTING + AREAS)
def test_perfect_class_scores_score_one(name):
    y = np.array([0, 1, 2, 1, 0])
    assert METRICS[name].score(y, np.eye(3)[y]) == 1.0


@pytest.mark.parametrize("name", COUNTING + AREAS)
def test_small_parts_of_many_classes_are_scored(name):
    y = np.arange(31) % 30  # scikit-learn 1.6 and 1.7 warn of more classes than half of more than 20 entries
    assert METRICS[name].score(y, np.eye(30)[y]) == 1.0


@pytest.mark.parametrize("name", COUNTING + AREAS)
def test_unlabelled_entries_do_not_count_whatever_is_predicted(name):
    y, pred = example(name)
    expected = METRICS[name].score(y, pred)
    more = np.concatenate([pred, np.array([[NAN, 0.0], [INF, INF], [9.0, -9.0]])])
    assert METRICS[name].score(np.concatenate([y, [-1, -1, -1]]), more) == expected
    assert METRICS[name].score(np.concatenate([y, [NAN, -1.0, NAN]]), more) == expected


@pytest.mark.parametrize(("title", "score"), [("ROC-AUC", roc_auc), ("average precision", average_precision)])
def test_areas_without_a_class_are_errors(title, score):
    with pytest.raises(InvalidDataError, match=rf"{title} needs every class in the part, got none of \[0\]"):
        score(np.array([1, 1]), np.array([0.1, 0.2]))
    with pytest.raises(InvalidDataError, match=r"none of \[2\]"):
        score(np.array([0, 1, 1]), np.eye(3))
    with pytest.raises(InvalidDataError, match=r"none of \[2\]"):
        score(np.array([0, 1, -1]), np.eye(3))


@pytest.mark.parametrize("score", [roc_auc, average_precision])
def test_one_score_cannot_tell_three_classes(score):
    with pytest.raises(InvalidDataError, match="got the label 2, but scores"):
        score(np.array([0, 1, 2]), np.array([0.1, 0.2, 0.3]))


@pytest.mark.parametrize("name", COUNTING + AREAS)
def test_classes_beyond_the_scores_are_errors(name):
    with pytest.raises(InvalidDataError, match="got the label 2, but scores of 2 classes"):
        METRICS[name].score(np.array([0, 1, 2]), np.ones((3, 2)))


@pytest.mark.parametrize("name", COUNTING)
def test_scores_of_one_column_are_no_labels(name):
    with pytest.raises(InvalidDataError, match=r"shape \(3,\) and float64, expected class scores \(M, C\) or integer"):
        METRICS[name].score(np.array([0, 1, 1]), np.array([0.0, 1.0, 0.7]))


@pytest.mark.parametrize("name", COUNTING + AREAS)
@pytest.mark.parametrize("y", [[0.5, 1.0], [-2, 1], [INF, 1.0]])
def test_labels_that_are_no_classes_are_errors(name, y):
    with pytest.raises(InvalidDataError, match="labels that are no classes"):
        METRICS[name].score(np.array(y), np.eye(2))


def many_labels(rows, columns, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, (rows, columns)).astype(float)
    y[rng.random((rows, columns)) < 0.3] = NAN
    return y, rng.normal(size=(rows, columns)).round(1)


def test_areas_of_many_labels_average_the_columns_with_both_values():
    y = np.array([[1.0, 1.0, NAN, 0.0], [0.0, NAN, NAN, 1.0], [1.0, 1.0, NAN, 1.0], [NAN, 1.0, NAN, 0.0]])
    pred = np.array([[0.9, 0.0, 0.0, 0.4], [0.5, 0.0, 0.0, 0.2], [0.1, 0.0, 0.0, 0.6], [1.0, 0.0, 0.0, 0.0]])
    # Column 0: positives 0.9 and 0.1 against 0.5. Columns 1 and 2: one value, none. Column 3: 0.2, 0.6 against 0.4, 0.
    assert roc_auc(y, pred) == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert average_precision(y, pred) == pytest.approx(((1 + 2 / 3) / 2 + (2 / 3 + 1) / 2) / 2)


@pytest.mark.parametrize(
    ("name", "key", "dataset", "columns"), [("roc_auc", "rocauc", "ogbg-molhiv", 1), ("ap", "ap", "ogbg-molpcba", 128)]
)
def test_areas_of_many_labels_are_ogbs(name, key, dataset, columns):
    from ogb.graphproppred import Evaluator

    y, pred = many_labels(40, columns)
    y[:, 1:4] = [0.0, 1.0, NAN][: columns - 1]
    assert METRICS[name].score(y, pred) == pytest.approx(Evaluator(dataset).eval({"y_true": y, "y_pred": pred})[key])


def test_roc_auc_of_many_labels_is_ogbs_of_tox21():
    from ogb.graphproppred import Evaluator

    y, pred = many_labels(40, 12)
    assert roc_auc(y, pred) == pytest.approx(Evaluator("ogbg-moltox21").eval({"y_true": y, "y_pred": pred})["rocauc"])


@pytest.mark.parametrize("name", AREAS)
def test_one_column_of_labels_is_two_classes(name):
    y, _ = example(name)
    pred = np.linspace(-1, 1, len(y)).round(1)
    assert METRICS[name].score(y[:, None], pred[:, None]) == METRICS[name].score(y, pred)


@pytest.mark.parametrize("name", AREAS)
def test_missing_labels_do_not_count_whatever_is_predicted(name):
    y, pred = many_labels(30, 5)
    expected = METRICS[name].score(y, pred)
    assert METRICS[name].score(y, np.where(np.isnan(y), NAN, pred)) == expected
    pred[~np.isnan(y)] = NAN
    with pytest.raises(DivergedError, match="predictions hold NaN"):
        METRICS[name].score(y, pred)


@pytest.mark.parametrize("name", AREAS)
def test_many_labels_of_one_value_each_are_errors(name):
    with pytest.raises(InvalidDataError, match="needs a label with both values"):
        METRICS[name].score(np.array([[0.0, 1.0], [NAN, 1.0]]), np.ones((2, 2)))


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize("wrong", [-1.0, 2.0, 0.5, INF])
def test_many_labels_must_be_zero_or_one(name, wrong):
    with pytest.raises(InvalidDataError, match="other than 0 and 1"):
        METRICS[name].score(np.array([[0.0, 1.0], [1.0, wrong]]), np.ones((2, 2)))
