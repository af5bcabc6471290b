import pytest
import torch
from torch import nn

from gnndiff.errors import ConfigError
from gnndiff.generators import Gaussian, KernelDensity, LatentDiffusion, Mixture, find
from gnndiff.generators.conditions import ZooConditions
from gnndiff.generators.trainings import held_out, pick, weights
from gnndiff.testing import GeneratorTestCase
from gnndiff.zoo import Zoo


def zoo_of(vectors, members=None):
    """A zoo of networks with the parameters (n, P)."""
    models = []
    for vector in vectors:
        model = nn.Linear(vectors.size(1) - 1, 1)
        nn.utils.vector_to_parameters(vector, model.parameters())
        models.append(model.state_dict())
    scores = torch.linspace(0, 1, len(vectors)).tolist()
    return Zoo.from_states(models, scores, nn.Linear(vectors.size(1) - 1, 1), lambda module: 0.0, members=members)


def fitted(cls, zoo, steps=3):
    rng = torch.Generator().manual_seed(0)
    conditions = ZooConditions.of_scores(zoo.scores, zoo.metric)
    return cls(steps).fit(zoo.vectors, conditions, rng=rng, members=zoo.members, layout=zoo.layout)


def gaussian_vectors(n, size, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return 3 + torch.linspace(0.5, 2, size) * torch.randn(n, size, generator=rng)


class _Case(GeneratorTestCase):
    generator: type

    def create_generator(self):
        return self.generator(3)

    def create_zoo(self):
        return zoo_of(gaussian_vectors(12, 5), [i // 2 for i in range(12)])


class TestGaussian(_Case):
    generator = Gaussian


class TestKernelDensity(_Case):
    generator = KernelDensity


class TestMixture(_Case):
    generator = Mixture


class TestLatentDiffusion(_Case):
    generator = LatentDiffusion


@pytest.mark.parametrize(("n", "size"), [(16, 2), (60, 100), (1000, 10)])
@pytest.mark.parametrize("cls", [Gaussian, KernelDensity])
def test_mean_and_total_variance_are_the_zoo_s(cls, n, size):
    vectors = gaussian_vectors(n, size)
    drawn = fitted(cls, zoo_of(vectors)).sample(4000, rng=torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn.mean(dim=0), vectors.mean(dim=0), atol=0.15, rtol=0)
    whole = vectors.var(dim=0, correction=0).sum()
    torch.testing.assert_close(drawn.var(dim=0).sum(), whole, atol=0, rtol=0.06)


def test_many_trainings_give_the_covariance():
    vectors = gaussian_vectors(1000, 10)
    drawn = fitted(Gaussian, zoo_of(vectors)).sample(4000, rng=torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn.mT.cov(), vectors.mT.cov(), atol=0.25, rtol=0.1)


def test_shrunk_variances_are_nearer_to_the_truth_than_those_of_few_trainings():
    vectors = 3 + torch.randn(16, 10, generator=torch.Generator().manual_seed(0))
    generator = fitted(Gaussian, zoo_of(vectors))
    basis = generator.autoencoder.scale.unsqueeze(1) * generator.autoencoder.basis
    truth = torch.eye(10)
    shrunk, plain = basis * generator.variances @ basis.mT, basis @ basis.mT
    assert (shrunk - truth).norm() < 0.8 * (plain - truth).norm()


def test_a_kernel_density_keeps_the_weights_of_modes():
    rng = torch.Generator().manual_seed(0)
    side = (torch.arange(200) < 60).float().unsqueeze(1)
    vectors = 10 * side + 0.1 * torch.randn(200, 3, generator=rng)
    drawn = fitted(KernelDensity, zoo_of(vectors)).sample(4000, rng=rng)
    assert float((drawn[:, 0] > 5).float().mean()) == pytest.approx(0.3, abs=0.05)


def test_scale_zero_is_the_mean():
    zoo = zoo_of(gaussian_vectors(12, 5))
    drawn = fitted(Gaussian, zoo).sample(2, rng=torch.Generator(), scale=0.0)
    torch.testing.assert_close(drawn, zoo.vectors.mean(dim=0).expand(2, -1), atol=1e-4, rtol=0)


def test_mixtures_lie_between_the_trainings_and_large_concentrations_give_their_mean():
    zoo = zoo_of(gaussian_vectors(12, 5))
    mixture, rng = fitted(Mixture, zoo), torch.Generator().manual_seed(0)
    drawn = mixture.sample(100, rng=rng)
    lowest, highest = zoo.vectors.min(dim=0).values, zoo.vectors.max(dim=0).values
    assert ((drawn > lowest - 1e-3) & (drawn < highest + 1e-3)).all()
    torch.testing.assert_close(
        mixture.sample(1, rng=rng, concentration=1e6)[0], zoo.vectors.mean(dim=0), atol=0.02, rtol=0
    )


def test_trainings_are_the_unit():
    members = [0, 0, 0, 1]
    torch.testing.assert_close(weights(members), torch.tensor([1 / 6, 1 / 6, 1 / 6, 1 / 2]))
    drawn = pick(members, 4000, torch.Generator().manual_seed(0))
    assert float((drawn == 3).float().mean()) == pytest.approx(0.5, abs=0.03)


def test_whole_trainings_are_held_out():
    members = [i % 6 for i in range(24)]
    mask = held_out(members, torch.Generator().manual_seed(0))
    chosen = {member for member, out in zip(members, mask.tolist(), strict=True) if out}
    assert len(chosen) == 1
    assert mask.tolist() == [member in chosen for member in members]
    assert not held_out([0, 1, 0, 1], torch.Generator()).any()


def test_too_few_trainings_give_the_gaussian():
    zoo = zoo_of(gaussian_vectors(4, 3), [0, 0, 1, 1])
    facts = fitted(LatentDiffusion, zoo).facts
    assert facts["steps"] == 0
    assert facts["learned"] == "nothing beyond mean and covariance"
    assert facts["reconstruction_error"] is None


def test_unknown_names_and_numbers_out_of_range():
    with pytest.raises(ConfigError, match=r"'gauss': did you mean 'gaussian'\? use one of gaussian, kde"):
        find("gauss")
    zoo = zoo_of(gaussian_vectors(6, 3))
    with pytest.raises(ConfigError, match="scale=-1"):
        fitted(Gaussian, zoo).sample(1, scale=-1)
    with pytest.raises(ConfigError, match="concentration=0"):
        fitted(Mixture, zoo).sample(1, concentration=0)
