import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn import metrics as sk

from graphtasks import DivergedError, InvalidDataError, UnknownTaskError, metrics
from graphtasks.metrics import (
    METRICS,
    accuracy,
    average_precision,
    balanced_accuracy,
    hits,
    macro_f1,
    mae,
    metric,
    mrr,
    mse,
    roc_auc,
)

SETTINGS = settings(deadline=None, derandomize=True, max_examples=30)
COUNTING = ["accuracy", "balanced_accuracy", "macro_f1"]
AREAS = ["roc_auc", "ap"]
ERRORS = ["mse", "mae"]
RANKINGS = ["hits@20", "hits@50", "hits@100", "mrr"]
NAN, INF = np.nan, np.inf


def auc_by_definition(positive, score):
    """Chance that a positive scores above a negative, ties counting half."""
    difference = score[positive][:, None] - score[~positive][None, :]
    return np.mean((difference > 0) + 0.5 * (difference == 0))


def ap_by_definition(positive, score):
    """Mean over positives of the share of positives among all that score at least as much."""
    return np.mean([positive[score >= threshold].mean() for threshold in score[positive]])


def hits_by_definition(positive, score, k):
    """Share of positives with fewer than k negatives that score at least as much."""
    return np.mean([(score[~positive] >= own).sum() < k for own in score[positive]])


def mrr_by_definition(positive, score):
    """Mean reciprocal of the rank in the middle of those that tie."""
    others = score[~positive]
    return np.mean([1 / (1 + (others > own).sum() + (others == own).sum() / 2) for own in score[positive]])


def example(name, size=240, seed=0):
    """Labels of 0 and 1, half of each, and predictions with ties, of a shape that the metric scores."""
    rng = np.random.default_rng(seed)
    y, pred = rng.permutation(np.arange(size) % 2), rng.normal(size=size).round(1)
    if metric(name).task == "classification":
        pred = rng.normal(size=(size, 2)).round(1)
    return (y.astype(float) if metric(name).task == "regression" else y), pred


# Classification


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


# Many labels


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


# Regression


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


# Ranking


def test_hits_counts_positives_strictly_above_the_kth_best_negative():
    y = np.array([1, 1, 1, 0, 0, 0])
    pred = np.array([0.9, 0.5, 0.2, 0.5, 0.3, 0.1])
    # The best negatives are 0.5, 0.3 and 0.1; there is no fourth.
    assert [hits(y, pred, k) for k in (1, 2, 3, 4)] == pytest.approx([1 / 3, 2 / 3, 1, 1])


def test_mrr_puts_ties_in_the_middle():
    y = np.array([1, 1, 1, 0, 0, 0])
    pred = np.array([0.9, 0.5, 0.0, 0.5, 0.5, 0.1])
    # Nothing above 0.9; two tie with 0.5, which is 1 + 2 / 2; three are above 0.
    assert mrr(y, pred) == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)


def links(positives=30, negatives=80, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(positives + negatives) < positives).astype(int)
    return y, (rng.normal(size=len(y)) + 0.5 * y).round(1)


@pytest.mark.parametrize("k", [1, 3, 20, 79, 80, 81, 1000])
def test_hits_follow_their_definition_and_are_ogbs(k):
    from ogb.linkproppred import Evaluator

    y, pred = links()
    evaluator = Evaluator("ogbl-collab")
    evaluator.K = k
    expected = evaluator.eval({"y_pred_pos": pred[y == 1], "y_pred_neg": pred[y == 0]})[f"hits@{k}"]
    assert hits(y, pred, k) == metric(f"hits@{k}").score(y, pred) == expected
    assert expected == pytest.approx(hits_by_definition(y == 1, pred, k))


def test_mrr_follows_its_definition_and_is_ogbs():
    from ogb.linkproppred import Evaluator

    y, pred = links()
    positives, negatives = torch.from_numpy(pred[y == 1]), torch.from_numpy(pred[y == 0])
    inputs = {"y_pred_pos": positives, "y_pred_neg": negatives.expand(len(positives), -1)}
    expected = Evaluator("ogbl-citation2").eval(inputs)["mrr_list"].mean().item()
    assert mrr(y, pred) == pytest.approx(expected)
    assert mrr(y, pred) == pytest.approx(mrr_by_definition(y == 1, pred))


@pytest.mark.parametrize("block", [1, 80, 7 * 80 + 3])
def test_mrr_does_not_depend_on_its_blocks(monkeypatch, block):
    y, pred = links()
    expected = mrr(y, pred)
    monkeypatch.setattr(metrics, "BLOCK", block)
    assert mrr(y, pred) == pytest.approx(expected, rel=1e-12)


def test_areas_of_links_are_scikit_learns():
    y, pred = links()
    assert roc_auc(y, pred) == pytest.approx(sk.roc_auc_score(y, pred))
    assert average_precision(y.astype(np.float32), pred) == pytest.approx(sk.average_precision_score(y, pred))


@pytest.mark.parametrize("name", [*RANKINGS, *AREAS, "hits@3"])
def test_infinite_scores_rank_as_the_highest_and_the_lowest(name):
    y, pred = links(negatives=120)
    infinite = pred.copy()
    infinite[pred > 1], infinite[pred < -1] = INF, -INF
    assert metric(name).score(y, infinite) == metric(name).score(y, pred.clip(-1.1, 1.1))


def test_all_scores_infinite_are_ties():
    y, pred = links()
    pred = np.full_like(pred, INF)
    assert (hits(y, pred, 20), roc_auc(y, pred)) == (0.0, 0.5)
    assert mrr(y, pred) == pytest.approx(1 / 41)


@pytest.mark.parametrize("score", [lambda y, pred: hits(y, pred, 3), mrr])
def test_without_negatives_every_positive_is_first_and_without_positives_there_is_nothing(score):
    assert score(np.ones(4), np.zeros(4)) == 1.0
    with pytest.raises(InvalidDataError, match="no positive"):
        score(np.zeros(4), np.zeros(4))


@pytest.mark.parametrize("name", RANKINGS)
@pytest.mark.parametrize("wrong", [-1, 2, 0.5, NAN])
def test_links_are_positive_or_negative(name, wrong):
    with pytest.raises(InvalidDataError, match="labels other than 0 and 1"):
        METRICS[name].score(np.array([1, 0, wrong]), np.ones(3))


@pytest.mark.parametrize("k", [0, -1])
def test_hits_need_a_negative_to_beat(k):
    with pytest.raises(InvalidDataError, match=f"got hits@{k}"):
        hits(np.array([1, 0]), np.ones(2), k)


# All metrics


def test_metrics_have_their_names_directions_and_tasks():
    assert list(METRICS) == [*COUNTING, *AREAS, *ERRORS, *RANKINGS]
    assert [entry.name for entry in METRICS.values()] == list(METRICS)
    assert {name for name, entry in METRICS.items() if entry.direction == "minimize"} == set(ERRORS)
    assert {name for name, entry in METRICS.items() if entry.task == "regression"} == set(ERRORS)
    assert {name for name, entry in METRICS.items() if entry.task == "ranking"} == set(RANKINGS)


def test_metrics_are_found_in_any_case():
    for name in METRICS:
        assert metric(name) is metric(name.upper()) is METRICS[name]
    tenth = metric("HITS@10")
    assert (tenth.name, tenth.direction, tenth.task) == ("hits@10", "maximize", "ranking")
    assert tenth == metric("hits@10") != metric("hits@11")
    y, pred = links()
    assert tenth.score(y, pred) == hits(y, pred, 10)


@pytest.mark.parametrize("name", [*METRICS, "hits@7"])
def test_metrics_can_be_sent_to_other_processes(name):
    y, pred = example(name)
    assert pickle.loads(pickle.dumps(metric(name))).score(y, pred) == metric(name).score(y, pred)


@pytest.mark.parametrize("name", ["", "f2", "hits", "hits@", "hits@0", "hits@-1", "hits@1.5", "hits@x", "hits@3 "])
def test_unknown_metrics_are_errors(name):
    with pytest.raises(UnknownTaskError, match=f"got metric '{name}', expected one of accuracy, .*mrr, or hits@K"):
        metric(name)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_score_as_arrays(name, dtype):
    y, pred = example(name)
    pred = torch.from_numpy(pred).to(dtype)
    expected = METRICS[name].score(y, pred.double().numpy())
    for labels in (y, torch.from_numpy(y)):
        assert METRICS[name].score(labels, pred) == expected
        assert METRICS[name].score(labels, pred.clone().requires_grad_()) == expected
        assert METRICS[name].score(labels, pred.numpy()) == expected
    assert type(expected) is float


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", METRICS)
def test_tensors_of_a_device_score_as_arrays(name):
    y, pred = example(name)
    on_device = METRICS[name].score(torch.from_numpy(y).cuda(), torch.from_numpy(pred).cuda())
    assert on_device == METRICS[name].score(y, pred)


@pytest.mark.parametrize("name", METRICS)
def test_half_precision_and_views_are_scored(name):
    y, pred = example(name)
    half = torch.from_numpy(pred).bfloat16()
    assert METRICS[name].score(y, half) == METRICS[name].score(y, half.double().numpy())
    reversed_views = np.broadcast_to(y, y.shape)[::-1], np.broadcast_to(pred, pred.shape)[::-1]
    assert METRICS[name].score(*reversed_views) == pytest.approx(METRICS[name].score(y, pred))


@pytest.mark.parametrize("name", METRICS)
def test_arguments_stay_as_they_are(name):
    y, pred = example(name)
    before = y.copy(), pred.copy()
    METRICS[name].score(y, pred)
    assert np.array_equal(y, before[0])
    assert np.array_equal(pred, before[1])


@pytest.mark.parametrize("name", [*COUNTING, *AREAS, *ERRORS, "hits@1", "hits@3", "mrr"])
@SETTINGS
@given(order=st.permutations(range(12)), seed=st.integers(0, 9))
def test_order_of_entries_does_not_matter(name, order, seed):
    y, pred = example(name, size=12, seed=seed)
    assert metric(name).score(y[order], pred[order]) == pytest.approx(metric(name).score(y, pred))


@SETTINGS
@given(
    labels=st.lists(st.integers(0, 1), min_size=2, max_size=12).filter(lambda labels: 0 < sum(labels) < len(labels)),
    data=st.data(),
)
def test_rankings_follow_their_definitions(labels, data):
    y = np.array(labels)
    pred = np.array(data.draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=len(y), max_size=len(y))))
    k = data.draw(st.integers(1, int((y == 0).sum())))
    assert hits(y, pred, k) == pytest.approx(hits_by_definition(y == 1, pred, k))
    assert mrr(y, pred) == pytest.approx(mrr_by_definition(y == 1, pred))
    assert roc_auc(y, pred) == pytest.approx(auc_by_definition(y == 1, pred))
    assert average_precision(y, pred) == pytest.approx(ap_by_definition(y == 1, pred))


@pytest.mark.parametrize("name", METRICS)
def test_nan_predictions_diverged(name):
    y, pred = example(name)
    pred[3] = NAN
    with pytest.raises(DivergedError, match="predictions hold NaN"):
        METRICS[name].score(y, pred)


@pytest.mark.parametrize("name", COUNTING)
def test_infinite_class_scores_count_where_one_class_is_highest(name):
    y = np.array([0, 1, 1])
    pred = np.array([[INF, 0.0], [-INF, 0.0], [2.0, -INF]])
    assert METRICS[name].score(y, pred) == METRICS[name].score(y, np.array([0, 1, 0]))
    for row in ([INF, INF], [-INF, -INF]):
        with pytest.raises(DivergedError, match="infinite highest score"):
            METRICS[name].score(y, np.array([[1.0, 0.0], row, [0.0, 1.0]]))


@pytest.mark.parametrize("name", AREAS)
def test_areas_of_infinite_class_scores_need_a_difference(name):
    y, finite = np.array([0, 1, 1]), np.array([[9.0, 0.0], [-9.0, 0.0], [2.0, 1.0]])
    infinite = np.array([[INF, 0.0], [-INF, 0.0], [2.0, 1.0]])
    assert METRICS[name].score(y, infinite) == METRICS[name].score(y, finite)
    for rows in ([[INF, INF], [0.0, 1.0]], [[-INF, -INF], [0.0, 1.0]]):
        with pytest.raises(DivergedError, match="cannot be compared"):
            METRICS[name].score(np.array([0, 1]), np.array(rows))
    masked = np.array([[1.0, 0.0, -INF], [0.0, 1.0, -INF], [0.0, 0.0, 1.0]])
    assert METRICS[name].score(np.arange(3), masked) == 1.0
    masked[0, 0] = INF
    with pytest.raises(DivergedError, match="cannot be compared"):
        METRICS[name].score(np.arange(3), masked)


@pytest.mark.parametrize(
    ("names", "y", "pred"),
    [
        (COUNTING + AREAS, (3,), (4, 2)),
        (COUNTING + AREAS, (3,), (3, 1)),
        (COUNTING + AREAS, (3,), (3, 2, 2)),
        (COUNTING + AREAS, (3,), ()),
        (COUNTING + AREAS, (), ()),
        (COUNTING + AREAS, (3, 1), (3,)),
        (COUNTING, (3, 2), (3, 2)),
        (AREAS, (3, 2), (3, 3)),
        (ERRORS, (3,), (3, 1)),
        (ERRORS, (3, 1), (3,)),
        (ERRORS, (3, 2), (3, 3)),
        (ERRORS, (), ()),
        (RANKINGS, (3,), (2,)),
        (RANKINGS, (3,), (3, 2)),
        (RANKINGS, (3, 1), (3, 1)),
    ],
)
def test_other_shapes_are_errors_that_name_them(names, y, pred):
    for name in names:
        with pytest.raises(InvalidDataError) as error:
            METRICS[name].score(np.ones(y, dtype=int), np.ones(pred))
        assert f"labels of shape {y} and predictions of shape {pred}" in str(error.value)
        assert "expected" in str(error.value)


@pytest.mark.parametrize("name", METRICS)
def test_empty_parts_are_errors(name):
    with pytest.raises(InvalidDataError, match="no labelled entry"):
        METRICS[name].score(np.zeros(0, dtype=int), np.zeros(0, dtype=int))


@pytest.mark.parametrize(
    ("names", "y"),
    [(COUNTING, [-1, -1]), (AREAS, [-1, -1]), (AREAS, [[NAN, NAN], [NAN, NAN]]), (ERRORS, [[NAN] * 2] * 2)],
)
def test_parts_without_labels_are_errors(names, y):
    for name in names:
        with pytest.raises(InvalidDataError, match="no labelled entry"):
            METRICS[name].score(np.array(y), np.eye(2))


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("values", [np.array([1j, 0j]), torch.tensor([1j, 0j]), np.array(["a", "b"])])
def test_values_must_be_real(name, values):
    with pytest.raises(InvalidDataError, match="got values of dtype"):
        METRICS[name].score(np.array([0, 1]), values)


def test_ogb_is_imported_by_functions_alone():
    # At the top of a module it would cost every user seconds, and a question to a server.
    for path in Path(metrics.__file__).parent.rglob("*.py"):
        assert not re.search(r"^(import|from) ogb\b", path.read_text(encoding="utf-8"), re.MULTILINE), path
