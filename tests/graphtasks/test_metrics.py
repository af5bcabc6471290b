"""Properties of all metrics."""

import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from definitions import (
    AREAS,
    COUNTING,
    ERRORS,
    INF,
    NAN,
    RANKINGS,
    SETTINGS,
    ap_by_definition,
    auc_by_definition,
    example,
    hits_by_definition,
    links,
    mrr_by_definition,
)
from graphtasks import DivergedError, InvalidDataError, UnknownTaskError, metrics
from graphtasks.metrics import METRICS, average_precision, hits, metric, mrr, roc_auc


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


@pytest.mark.parametrize("name", [*METRICS, "hits@7"])
def test_better_worst_and_shares_agree(name):
    chosen = metric(name)
    good, bad = (0.9, 0.1) if chosen.direction == "maximize" else (0.1, 0.9)
    assert chosen.better(good, bad)
    assert not chosen.better(bad, good)
    assert not chosen.better(good, good)
    assert chosen.better(bad, math.nan)
    assert not chosen.better(math.nan, bad)
    assert not chosen.better(math.nan, math.nan)
    assert not chosen.better(chosen.worst, bad)
    assert chosen.worst == (0.0 if chosen.direction == "maximize" else math.inf)
    assert chosen.is_share == (name not in ("mse", "mae"))


@given(st.floats(allow_nan=True), st.floats(allow_nan=True), st.sampled_from(["accuracy", "mse"]))
def test_of_two_scores_at_most_one_is_better(a, b, name):
    chosen = metric(name)
    assert not (chosen.better(a, b) and chosen.better(b, a))
    if a == a and b == b and a != b:
        assert chosen.better(a, b) != chosen.better(b, a)


@pytest.mark.parametrize(
    ("name", "value", "std", "text"),
    [
        ("accuracy", 0.97416, None, "97.42 %"),
        ("hits@20", 1.0, 0.0, "100.00 ± 0.00 %"),
        ("mse", 0.000123456, None, "0.0001235"),
        ("mse", 0.0123456, 0.001, "0.01235 ± 0.00100"),
        ("mae", 12345.0, 10.0, "1.234e+04 ± 10"),
        ("mae", math.inf, None, "inf"),
        ("accuracy", math.nan, 0.1, "none"),
        ("accuracy", 0.5, math.nan, "50.00 %"),
    ],
)
def test_scores_as_text(name, value, std, text):
    assert metric(name).format(value, std) == text
