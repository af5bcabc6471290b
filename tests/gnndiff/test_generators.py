import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy
from torch_geometric.nn.models import GCN

import graphtasks
from gnndiff.errors import ConfigError
from gnndiff.generators import (
    GENERATORS,
    Auto,
    FlowMatching,
    Gaussian,
    KernelDensity,
    LatentDiffusion,
    Mixture,
    Subspace,
    find,
)
from gnndiff.generators.auto import choice
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
    return cls(steps).fit(zoo.vectors, conditions, rng=rng, members=zoo.members, layout=zoo.layout, judge=zoo)


def gaussian_vectors(n, size, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return 3 + torch.linspace(0.5, 2, size) * torch.randn(n, size, generator=rng)


def corners(n, size=4):
    """A zoo of networks around the corners of a cube, whose score is the nearness to one of them."""
    rng = torch.Generator().manual_seed(0)
    sides = 2.0 * torch.randint(2, (n, size), generator=rng) - 1
    zoo = zoo_of(sides + 0.02 * torch.randn(n, size, generator=rng))

    def score(module):
        vector = nn.utils.parameters_to_vector(module.parameters())
        return -float((vector.abs() - 1).norm())

    zoo.evaluator.function = score
    return zoo


def build(task):
    return GCN(task.num_features, 4, num_layers=1, out_channels=task.num_classes)


def zoo_of_task():
    """A zoo of twelve networks that have learned little."""
    task = graphtasks.load("wine")
    states = []
    for seed in range(12):
        torch.manual_seed(seed)
        module, rows = build(task), task.split(0).train
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
        for _ in range(5):
            optimizer.zero_grad()
            out = module(task.graph().x, task.graph().edge_index)
            cross_entropy(out[rows], task.graph().y[rows]).backward()
            optimizer.step()
        states.append(module.state_dict())
    return Zoo.from_states(states, None, build, task)


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


class TestFlowMatching(_Case):
    generator = FlowMatching


class TestAuto(_Case):
    generator = Auto


class TestSubspace(_Case):
    generator = Subspace

    def create_zoo(self):
        return zoo_of_task()


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


@pytest.mark.parametrize("cls", [LatentDiffusion, FlowMatching])
def test_too_few_trainings_give_the_gaussian(cls):
    zoo = zoo_of(gaussian_vectors(4, 3), [0, 0, 1, 1])
    generator, rng = fitted(cls, zoo), torch.Generator()
    drawn = generator.sample(5, rng=rng.manual_seed(1))
    assert torch.equal(drawn, fitted(Gaussian, zoo).sample(5, rng=rng.manual_seed(1)))
    facts = generator.facts
    assert facts["steps"] == 0
    assert facts["learned"] == "nothing beyond mean and covariance"
    assert facts["reconstruction_error"] is None


def test_gradients_are_those_of_the_training_loss():
    zoo = zoo_of_task()
    losses, gradients = zoo.gradients(zoo.vectors[:2])
    assert gradients.shape == (2, zoo.layout.size)
    direction = torch.randn(zoo.layout.size, generator=torch.Generator().manual_seed(0))
    after, _ = zoo.gradients(zoo.vectors[:2] + 1e-3 * direction)
    torch.testing.assert_close((after - losses) / 1e-3, gradients @ direction, atol=0.5, rtol=0.02)
    task = zoo.evaluator.task
    rows, module = task.split(0).train, zoo.evaluator.module
    module.load_state_dict(zoo.states(zoo.vectors[:1])[0])
    out = module(task.graph().x, task.graph().edge_index)
    torch.testing.assert_close(losses[0], cross_entropy(out[rows], task.graph().y[rows], reduction="sum").detach())


def test_descent_lowers_the_training_loss_and_stays_near_the_mean():
    zoo = zoo_of_task()
    gaussian, subspace = fitted(Gaussian, zoo), fitted(Subspace, zoo)
    rng = torch.Generator()
    before, after = (each.sample(50, rng=rng.manual_seed(1)) for each in (gaussian, subspace))
    assert zoo.gradients(after)[0].mean() < 0.8 * zoo.gradients(before)[0].mean()
    assert subspace.facts["descent_steps"] > 0
    assert subspace.facts["mean_validation"] >= subspace.facts["mean_validation_of_gaussian"]
    assert (subspace.mean.square() / gaussian.variances).mean() < 4


def test_the_simplest_that_no_other_beats_is_chosen():
    zoo = zoo_of(gaussian_vectors(12, 5))
    low, same, high = [0.1, 0.2, 0.3] * 4, [0.1, 0.2, 0.3] * 4, [0.2, 0.3, 0.4] * 4
    assert choice({"gaussian": low, "kde": same}, zoo)[0] == "gaussian"
    name, facts = choice({"gaussian": low, "kde": high, "mixture": high}, zoo)
    assert name == "kde"
    assert "gaussian is beaten by kde" in facts["why"]
    noisy = [score + 0.1 * (-1) ** place for place, score in enumerate(low)]
    assert choice({"gaussian": low, "kde": noisy}, zoo)[0] == "gaussian"


def test_auto_finds_the_generator_that_makes_the_better_networks():
    zoo = corners(400, 8)
    auto = fitted(Auto, zoo, steps=50)
    assert auto.facts["chosen"] == "kde"  # a Gaussian's draws lie between the corners
    assert set(auto.facts["scores"]) == {"gaussian", "kde", "mixture", "flow-matching", "latent-diffusion"}
    rng = torch.Generator()
    assert torch.equal(
        auto.sample(3, rng=rng.manual_seed(1)), fitted(KernelDensity, zoo).sample(3, rng=rng.manual_seed(1))
    )


LOAD = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from gnndiff.generators import GENERATORS
for name in sys.argv[2:]:
    generator = GENERATORS[name].from_pretrained(Path(sys.argv[1]) / name)
    drawn = generator.sample(3, rng=torch.Generator().manual_seed(1))
    save_file({"drawn": drawn}, Path(sys.argv[1]) / f"{name}.safetensors")
"""


def test_a_fresh_process_draws_the_same(tmp_path):
    zoo, drawn = zoo_of_task(), {}
    for name, cls in GENERATORS.items():
        generator = fitted(cls, zoo)
        generator.facts |= {"steps": 1}  # as if more than the Gaussian had been learned
        generator.save_pretrained(tmp_path / name)
        drawn[name] = generator.sample(3, rng=torch.Generator().manual_seed(1))
    subprocess.run([sys.executable, "-c", LOAD, str(tmp_path), *drawn], check=True)
    for name, vectors in drawn.items():
        assert torch.equal(load_file(tmp_path / f"{name}.safetensors")["drawn"], vectors), name


@pytest.mark.parametrize("cls", [Auto, Subspace])
def test_generators_that_need_a_judge_say_so(cls):
    vectors = gaussian_vectors(6, 3)
    conditions = ZooConditions.of_scores([0.0] * 6, zoo_of(vectors).metric)
    with pytest.raises(ConfigError, match="pass a zoo as `judge`"):
        cls(3).fit(vectors, conditions, rng=torch.Generator())
    with pytest.raises(ConfigError, match="got 5 members for 6 vectors"):
        cls(3).fit(vectors, conditions, rng=torch.Generator(), members=range(5))


def test_unknown_names_and_numbers_out_of_range():
    with pytest.raises(ConfigError, match=r"'gauss': did you mean 'gaussian'\? use one of gaussian, kde"):
        find("gauss")
    zoo = zoo_of(gaussian_vectors(6, 3))
    with pytest.raises(ConfigError, match="scale=-1"):
        fitted(Gaussian, zoo).sample(1, scale=-1)
    with pytest.raises(ConfigError, match="concentration=0"):
        fitted(Mixture, zoo).sample(1, concentration=0)
