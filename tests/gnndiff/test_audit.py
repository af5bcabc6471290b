"""The audit of generated networks where its outcome is known."""

import pytest
import torch
from torch import nn

import graphtasks
from gnndiff import Zoo
from gnndiff.errors import ZooError
from gnndiff.generators import Gaussian
from gnndiff.generators.conditions import ZooConditions
from gnndiff.zoo.audit import Auditor, audit, overlap, wrong_answers
from graphtasks import forward


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(13, 3, bias=False)

    def forward(self, x, edge_index):
        return self.lin(x)


@pytest.fixture(scope="module")
def zoo():
    """Three trainings of two snapshots each; snapshots are 1 apart, trainings are 10 apart in other directions."""
    vectors = torch.zeros(6, 39)
    for training in range(3):
        vectors[2 * training : 2 * training + 2, training] = 10 / 2**0.5
        vectors[2 * training + 1, 10 + training] = 1.0
    states = [{"lin.weight": vector.view(3, 13)} for vector in vectors]
    return Zoo.from_states(states, [0.9, 0.1, 0.2, 0.3, 0.4, 0.5], Linear(), "wine", members=[0, 0, 1, 1, 2, 2])


def test_a_copy_is_a_copy(zoo):
    found = audit(zoo, zoo.vectors)
    assert (found.distance, found.in_same, found.in_other) == (0.0, 0.0, 0.0)
    assert found.overlap == 1.0
    assert "copies" in found.meaning


def test_units_are_distances_within_and_between_trainings(zoo):
    found = Auditor(zoo)
    assert found.same == pytest.approx(1.0)
    assert found.other == pytest.approx((10 * 3 + 3 * (10**2 + 1) ** 0.5) / 6)


def test_a_blend_is_nearer_than_another_training(zoo):
    first, other = (zoo.vectors[zoo.members.index(member)] for member in (0, 1))
    found = audit(zoo, ((first + other) / 2).unsqueeze(0))
    assert found.in_same > 1 > found.in_other
    assert "blends" in found.meaning


def test_what_is_far_from_all_is_new(zoo):
    vector = torch.zeros(1, 39)
    vector[0, 30] = 30.0
    found = audit(zoo, vector)
    assert found.in_other > 1
    assert found.overlap < 1
    assert "another training" in str(found)


def test_overlap_counts_common_mistakes():
    first = torch.tensor([[True, False, True, False], [False] * 4])
    assert overlap(first, first).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert overlap(first[:1], ~first[:1]).tolist() == [[0.0]]


def test_wrong_answers_are_those_that_accuracy_counts(zoo):
    task = graphtasks.load("wine")
    states = zoo.layout.unflatten(zoo.vectors)
    wrong = wrong_answers(zoo.evaluator, states, "test")
    shares = 1 - wrong.float().mean(dim=1)
    assert shares.tolist() == pytest.approx(zoo.score(zoo.vectors, "test"))
    module = Linear()
    module.load_state_dict({"lin.weight": zoo.vectors[0].view(3, 13)})
    y = task.targets(0, "test")
    assert torch.equal(wrong[0], forward(module, task.graph())[task.split(0).test].argmax(dim=1) != y)


def test_a_gaussian_knows_of_no_condition(zoo):
    conditions = ZooConditions.of_scores(zoo.scores, zoo.metric)
    generator = Gaussian().fit(zoo.vectors, conditions, members=zoo.members, rng=torch.Generator().manual_seed(0))
    effect = audit(zoo, zoo.vectors, generator, pairs=3).condition
    assert (effect.distance, effect.gain, effect.networks) == (0.0, 0.0, 3)


def test_a_condition_that_moves_networks_is_seen(zoo):
    class Moved:
        def sample(self, n, *, condition, rng):
            return torch.randn(n, 39, generator=rng) + 10 * float(condition)

    effect = Auditor(zoo).condition_effect(Moved(), pairs=4)
    assert effect.distance * Auditor(zoo).other == pytest.approx(10 * 0.8 * 39**0.5, rel=1e-5)


def test_single_snapshots_and_trainings_have_no_unit():
    states = [Linear().state_dict() for _ in range(2)]
    alone = audit(Zoo.from_states(states, [0.1, 0.2], Linear(), "wine"), torch.zeros(1, 39))
    assert alone.same is None
    one = audit(Zoo.from_states(states, [0.1, 0.2], Linear(), "wine", members=[0, 0]), torch.zeros(1, 39))
    assert one.other is None
    assert "none" in str(one)


def test_vectors_of_another_architecture_are_refused(zoo):
    with pytest.raises(ZooError, match=r"\(m, 39\)"):
        audit(zoo, torch.zeros(2, 5))
