"""Rankings of links."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from definitions import AREAS, INF, NAN, RANKINGS, hits_by_definition, links, mrr_by_definition
from graphtasks import InvalidDataError
from graphtasks.metrics import METRICS, average_precision, hits, metric, mrr, roc_auc


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


@given(
    positives=st.lists(st.sampled_from([-INF, -1.0, 0.0, 0.5, 2.0, INF]), min_size=1, max_size=8),
    negatives=st.lists(st.sampled_from([-INF, -1.0, 0.0, 0.5, 2.0, INF]), min_size=1, max_size=8),
)
def test_mrr_is_ogbs_where_scores_tie_and_are_infinite(positives, negatives):
    from ogb.linkproppred import Evaluator

    y = np.array([1] * len(positives) + [0] * len(negatives))
    inputs = {"y_pred_pos": np.array(positives), "y_pred_neg": np.array([negatives] * len(positives))}
    expected = Evaluator("ogbl-citation2").eval({k: torch.from_numpy(v) for k, v in inputs.items()})["mrr_list"]
    assert mrr(y, np.array(positives + negatives)) == pytest.approx(expected.double().mean().item(), rel=1e-12)


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
