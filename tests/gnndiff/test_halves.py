"""Halves of a validation part, and scores by stored answers, for every kind of task."""

import pytest
import torch
from one_of_each_kind import TASKS, task_of

import graphtasks
from gnndiff.errors import ConfigError
from gnndiff.evaluation import Evaluator, stack
from gnndiff.halves import Halves
from gnndiff.judge import Judge
from gnndiff.targets import find
from gnndiff.targets.build import Preparations, build
from graphtasks import LinkSplit


def halves_of(task, seed=0):
    return Halves.of(task, 0, torch.Generator().manual_seed(seed))


def prepared(kind):
    task = task_of(kind)
    setting = {"hidden": 4, "num_layers": 2, "norm": "none", "skip": False, "dropout": 0.0}
    task = Preparations(find("gcn"), task)(setting)
    modules = [build(find("gcn"), task, setting, seed, torch.device("cpu")) for seed in range(3)]
    return task, Evaluator(modules[0], task), stack([module.state_dict() for module in modules])


@pytest.mark.parametrize("kind", TASKS)
def test_halves_share_nothing_and_are_all_of_it(kind):
    task = task_of(kind)
    found = halves_of(task)
    together = torch.cat([found.rank, found.choice])
    assert found.nested
    assert together.sort().values.tolist() == list(range(len(task.targets(0, "val"))))
    assert len(found.rank)
    assert len(found.choice)
    assert len(task.replace(splits=[found.split]).targets(0, "val")) == len(found.rank)
    assert torch.equal(task.replace(splits=[found.split]).targets(0, "val"), task.targets(0, "val")[found.rank])


def test_each_class_is_in_both_halves():
    task = graphtasks.load("digits")
    found, y = halves_of(task), task.targets(0, "val")
    assert (y[found.rank].bincount() - y[found.choice].bincount()).abs().max() <= 1


def test_halves_of_links_have_edges_and_negatives_and_leave_messages_as_they_are():
    task = task_of("link")
    found, whole = halves_of(task), task.split(0)
    assert isinstance(found.split, LinkSplit)
    for part in ("train", "val"):
        assert torch.equal(found.split.messages(part), whole.messages(part))
    y = task.targets(0, "val")
    assert set(y[found.rank].tolist()) == set(y[found.choice].tolist()) == {0, 1}


def test_halves_of_a_series_are_in_its_order():
    task = task_of("temporal")
    found = halves_of(task)
    assert found.rank.max() < found.choice.min()
    assert len(found.rank) % task.num_nodes == 0


def test_a_seed_gives_the_same_halves_and_another_gives_others():
    task = graphtasks.load("digits")
    assert torch.equal(halves_of(task).rank, halves_of(task).rank)
    assert not torch.equal(halves_of(task).rank, halves_of(task, seed=1).rank)


def test_a_part_of_one_node_ranks_and_chooses():
    task = graphtasks.load("karate")
    split = task.split(0)
    small = task.replace(splits=[graphtasks.Split(split.train, split.val[:1], split.test)])
    found = halves_of(small)
    assert not found.nested
    assert found.rank.tolist() == found.choice.tolist() == [0]
    assert found.split.hash == small.split(0).hash


def test_halves_that_lack_a_class_of_the_metric_are_the_whole():
    task = graphtasks.load("karate")
    y, split = task.data.y, task.split(0)
    val = torch.tensor([int((y == label).nonzero()[0]) for label in y.unique()])
    rest = [part[~torch.isin(part, val)] for part in (split.train, split.test)]
    small = task.replace(splits=[graphtasks.Split(rest[0], val, rest[1])], metric=graphtasks.metric("roc_auc"))
    assert not halves_of(small).nested


@pytest.mark.parametrize("kind", TASKS)
def test_scores_of_stored_answers_are_those_of_networks(kind):
    task, evaluator, states = prepared(kind)
    judge = Judge(task, 0, halves_of(task))
    answers = judge.answers(evaluator, states)
    for part in ("val", "test"):
        assert len(answers[part]) == 3
        assert judge.scores(answers[part], part) == pytest.approx(evaluator.scores(states, part))
        mean = judge.average(answers[part]).unsqueeze(0)
        assert judge.scores(mean, part)[0] == pytest.approx(evaluator.ensemble(states, part))


def test_scores_of_halves_average_to_that_of_the_whole():
    task, evaluator, states = prepared("node")
    judge = Judge(task, 0, halves_of(task))
    answers = judge.answers(evaluator, states)["val"]
    sizes = [len(judge.halves.rank), len(judge.halves.choice)]
    first, second, whole = (judge.scores(answers, which) for which in ("rank", "choice", "val"))
    for a, b, both in zip(first, second, whole, strict=True):
        assert (sizes[0] * a + sizes[1] * b) / sum(sizes) == pytest.approx(both)


def test_answers_that_are_not_finite_are_the_worst():
    task, evaluator, states = prepared("node-regression")
    judge = Judge(task, 0, halves_of(task))
    answers = judge.answers(evaluator, states)["val"]
    answers[1] = torch.nan
    assert judge.scores(answers, "rank")[1] == float("inf")
    assert all(score < float("inf") for score in judge.scores(answers, "rank")[::2])


def test_what_is_delivered_has_a_name():
    from gnndiff import RunConfig

    with pytest.raises(ConfigError, match="no deliver is called 'both'"):
        RunConfig(deliver="both")
