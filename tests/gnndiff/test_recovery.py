"""Recovery of known distributions by generators that learn from as many trainings as a zoo has."""

import pytest
import torch

from gnndiff.generators import FlowMatching, Gaussian, LatentDiffusion
from gnndiff.generators.conditions import ZooConditions
from graphtasks.metrics import metric

CENTRE, WIDTH, SHARE = torch.tensor([1.0, -1.0]), torch.tensor([[0.3, 0.0], [0.2, 0.1]]), 0.3


def modes(n, seed):
    """Two correlated Gaussians around 3 with weights 0.7 and 0.3, and which of them each vector is of."""
    rng = torch.Generator().manual_seed(seed)
    side = (torch.rand(n, 1, generator=rng) < SHARE).float()
    return 3 + (2 * side - 1) * CENTRE + torch.randn(n, 2, generator=rng) @ WIDTH.mT, side


def fitted(cls, vectors, scores, steps, seed=0):
    conditions = ZooConditions.of_scores(scores, metric("accuracy"))
    return cls(steps).fit(vectors, conditions, rng=torch.Generator().manual_seed(seed))


def drawn(generator, n=1000, **options):
    return generator.sample(n, rng=torch.Generator().manual_seed(1), **options)


def energy_distance(x, y):
    """0 for two samples of one distribution, up to chance."""
    within = [torch.cdist(each, each).sum() / (len(each) * (len(each) - 1)) for each in (x, y)]
    return float(2 * torch.cdist(x, y).mean() - within[0] - within[1])


@pytest.fixture(scope="module", params=[LatentDiffusion, FlowMatching], ids=lambda cls: cls.name)
def learned(request):
    vectors, side = modes(1000, seed=0)
    return fitted(request.param, vectors, side.squeeze().tolist(), steps=500)


def test_conditions_give_their_mode(learned):
    vectors, side = modes(1000, seed=0)
    for score in (0.0, 1.0):
        own, got = vectors[side.squeeze() == score], drawn(learned, condition=torch.tensor([score]))
        right = ((got[:, 0] > 3) == bool(score)).float()
        assert right.mean() > 0.97
        torch.testing.assert_close(got.mean(dim=0), own.mean(dim=0), atol=0.1, rtol=0)
        torch.testing.assert_close(got.mT.cov(), own.mT.cov(), atol=0.06, rtol=0)


def test_without_a_condition_modes_keep_their_weights(learned):
    got = drawn(learned, guidance=0.0)
    assert float((got[:, 0] > 3).float().mean()) == pytest.approx(SHARE, abs=0.08)


def test_of_many_trainings_more_is_learned_than_the_gaussian(learned):
    vectors, side = modes(1000, seed=0)
    fresh = modes(1000, seed=1)[0]
    gaussian = fitted(Gaussian, vectors, side.squeeze().tolist(), steps=1)
    assert learned.facts["steps"] > 0
    assert learned.facts["held_out_error"] < 0.9 * learned.facts["held_out_error_of_gaussian"]
    own = energy_distance(drawn(learned, guidance=0.0), fresh)
    assert own < 0.5 * energy_distance(drawn(gaussian), fresh)


@pytest.mark.parametrize("cls", [LatentDiffusion, FlowMatching])
@pytest.mark.parametrize(("n", "size"), [(16, 2), (16, 100), (100, 10)])
def test_no_budget_is_worse_than_the_gaussian_on_trainings_that_were_held_out(cls, n, size):
    rng = torch.Generator().manual_seed(n + size)
    vectors = torch.linspace(0.5, 2, size) * torch.randn(n, size, generator=rng)
    facts = fitted(cls, vectors, torch.rand(n, generator=rng).tolist(), steps=60).facts
    assert facts["held_out_error"] <= facts["held_out_error_of_gaussian"]


@pytest.mark.parametrize("cls", [LatentDiffusion, FlowMatching])
def test_where_nothing_is_learned_it_draws_what_the_gaussian_draws(cls):
    vectors = torch.randn(16, 100, generator=torch.Generator().manual_seed(0))
    learned, gaussian = (fitted(each, vectors, [0.0] * 16, steps=60) for each in (cls, Gaussian))
    assert learned.facts["steps"] == 0
    assert torch.equal(drawn(learned, 5), drawn(gaussian, 5))
