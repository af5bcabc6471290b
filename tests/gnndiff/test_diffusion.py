import pytest
import torch

from gnndiff.config import Method
from gnndiff.errors import ConfigError
from gnndiff.generators import learning
from gnndiff.generators.data import Data, Fold
from gnndiff.generators.paths import PATHS
from gnndiff.generators.sampling import sample

METHOD = Method()
DIFFUSION, FLOW = PATHS.values()
BOTH = pytest.mark.parametrize("path", [DIFFUSION, FLOW], ids=["diffusion", "flow"])


def scheduler(path=DIFFUSION, name=METHOD.scheduler):
    return path.scheduler(name)


def data_of(latents, condition):
    return Data(latents, condition, range(len(latents)), latents.square().mean(dim=0))


def train_denoiser(latents, condition, steps, generator, path=DIFFUSION):
    return learning.train_denoiser(path, data_of(latents, condition), steps, generator, METHOD)


def mixture(n, generator):
    """Two correlated Gaussians at (-1, 1) and (1, -1), and which of them each sample is from."""
    component = torch.randint(2, (n, 1), generator=generator).float()
    factor = torch.tensor([[0.3, 0.0], [0.2, 0.1]])
    centre = (2 * component - 1) * torch.tensor([1.0, -1.0])
    return centre + torch.randn(n, 2, generator=generator) @ factor.mT, 2 * component - 1


@BOTH
def test_samples_have_mean_and_covariance_of_a_known_mixture(path):
    generator = torch.Generator().manual_seed(0)
    data, component = mixture(4000, generator)
    denoiser = train_denoiser(data, component, 700, generator, path)

    drawn = sample(denoiser, scheduler(path), mixture(2000, generator)[1], generator=generator)
    torch.testing.assert_close(drawn.mean(dim=0), data.mean(dim=0), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.mT.cov(), data.mT.cov(), atol=0.1, rtol=0)

    for side in (-1.0, 1.0):
        one = sample(denoiser, scheduler(path), torch.full((1000, 1), side), generator=generator)
        of_data = data[component.squeeze() == side]
        torch.testing.assert_close(one.mean(dim=0), of_data.mean(dim=0), atol=0.1, rtol=0)
        torch.testing.assert_close(one.mT.cov(), of_data.mT.cov(), atol=0.04, rtol=0)

    blind = sample(denoiser, scheduler(path), torch.ones(1000, 1), guidance=0.0, generator=generator)
    assert 0.4 < float((blind[:, 0] > 0).float().mean()) < 0.6


def test_latents_far_from_zero_are_not_clipped():
    generator = torch.Generator().manual_seed(0)
    data = 3 + 0.1 * torch.randn(500, 1, generator=generator)
    denoiser = train_denoiser(data, torch.zeros(500, 1), 300, generator)
    drawn = sample(denoiser, scheduler(), torch.zeros(100, 1), generator=generator)
    assert abs(float(drawn.mean()) - 3) < 0.3


def test_same_seed_same_denoiser_and_samples():
    def once():
        generator = torch.Generator().manual_seed(7)
        denoiser = train_denoiser(torch.eye(4), torch.zeros(4, 1), 5, generator)
        return sample(denoiser, scheduler(), torch.zeros(3, 1), steps=10, guidance=2.0, generator=generator)

    state = torch.get_rng_state()
    assert torch.equal(once(), once())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("size", [2, 100])
@pytest.mark.parametrize(
    ("path", "name"),
    [
        *((DIFFUSION, name) for name in ("DDIMScheduler", "HeunDiscreteScheduler", "DPMSolverMultistepScheduler")),
        *((FLOW, name) for name in ("FlowMatchHeunDiscreteScheduler", "DPMSolverMultistepScheduler")),
    ],
)
def test_untrained_it_samples_the_gaussian(path, name, size):
    generator = torch.Generator().manual_seed(0)
    variances = torch.linspace(0.2, 3, size)
    data = Data(torch.randn(16, size), torch.zeros(16, 1), range(16), variances)
    denoiser = learning.train_denoiser(path, data, 100, generator, METHOD, until=0)
    drawn = sample(denoiser, scheduler(path, name), torch.zeros(1000, 1), steps=50, generator=generator)
    torch.testing.assert_close(drawn.mean(dim=0) / variances.sqrt(), torch.zeros(size), atol=0.14, rtol=0)
    torch.testing.assert_close(drawn.var(dim=0), variances, atol=0, rtol=0.2)


@BOTH
def test_untrained_it_is_the_best_linear_prediction(path):
    generator = torch.Generator().manual_seed(0)
    latents = torch.tensor([0.5, 2.0]) * torch.randn(20000, 2, generator=generator)
    denoiser = learning.train_denoiser(path, data_of(latents, torch.zeros(20000, 1)), 1, generator, METHOD, until=0)
    noise = torch.randn(latents.shape, generator=generator)
    times = torch.full((20000,), 300)
    points, target = path.between(latents, noise, times), path.target(latents, noise)
    slopes = (points * target).sum(dim=0) / points.square().sum(dim=0)
    with torch.no_grad():
        predicted = denoiser(points, times, torch.zeros(20000, 1), times > 0)
    torch.testing.assert_close(predicted, slopes * points, atol=0.1, rtol=0.02)


def test_untrained_its_error_is_that_of_the_best_linear_denoiser():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(20000, 1, generator=generator)
    data = data_of(latents, torch.zeros(20000, 1))
    denoiser = learning.train_denoiser(DIFFUSION, data, 1, generator, METHOD, until=0)
    noise = torch.randn(latents.shape, generator=generator)
    times = torch.full((20000,), 300)
    left = DIFFUSION.shares(times)[0][0, 0].square()
    noisy = DIFFUSION.between(latents, noise, times)
    with torch.no_grad():
        error = (denoiser(noisy, times, torch.zeros(20000, 1), times > 0) - noise).square().mean()
    torch.testing.assert_close(error, left, atol=0.02, rtol=0)


def test_steps_between_whole_ones_are_taken():
    points, times = torch.ones(3, 3), torch.tensor([10.0, 10.5, 11.0])
    first, middle, last = DIFFUSION.gaussian(points, times, torch.ones(3))[:, 0].tolist()
    assert first < middle < last


def held_out_steps(path, draw, members, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    latents, unseen = draw(members, generator), draw(members // 4, generator)
    data = data_of(latents, torch.zeros(members, 1))
    fold = Fold(data, unseen, torch.zeros(len(unseen), 1), range(len(unseen)))
    return learning.held_out_steps(path, fold, steps, generator, METHOD)


@BOTH
def test_few_gaussian_trainings_teach_nothing_beyond_the_gaussian(path):
    found = held_out_steps(path, lambda n, rng: torch.randn(n, 12, generator=rng), 16, 200)
    assert found.steps == 0
    assert found.error == found.gaussian


@BOTH
def test_many_trainings_of_two_modes_teach_more_than_the_gaussian(path):
    def two_modes(n, rng):
        side = 2 * torch.randint(2, (n, 1), generator=rng).float() - 1
        return torch.cat([side, -side], dim=1) + 0.1 * torch.randn(n, 2, generator=rng)

    found = held_out_steps(path, two_modes, 1000, 400)
    assert found.steps > 0
    assert found.error < 0.8 * found.gaussian


@BOTH
def test_every_scheduler_of_a_path_walks_it(path):
    variances = torch.tensor([0.3, 2.0])
    data = Data(torch.randn(16, 2), torch.zeros(16, 1), range(16), variances)
    denoiser = learning.train_denoiser(path, data, 1, torch.Generator().manual_seed(0), METHOD, until=0)
    draws = {}
    for name in path.schedulers():
        generator = torch.Generator().manual_seed(0)
        draws[name] = sample(denoiser, scheduler(path, name), torch.zeros(500, 1), steps=50, generator=generator)
        torch.testing.assert_close(draws[name].var(dim=0) / variances, torch.ones(2), atol=0.35, rtol=0)
    assert len({float(drawn[0, 0]) for drawn in draws.values()}) > 0.7 * len(
        draws
    )  # Euler's are DDIM's by construction


@BOTH
def test_schedulers_and_steps_that_are_none(path):
    with pytest.raises(ConfigError, match=r"^no scheduler of .* is called 'Euler': .*use one of D.*, D"):
        path.scheduler("Euler")
    denoiser = train_denoiser(torch.eye(2), torch.zeros(2, 1), 1, torch.Generator().manual_seed(0), path)
    for steps in (0, 1001):
        with pytest.raises(ConfigError, match=f"steps={steps}, expected 1 to 1000"):
            sample(denoiser, scheduler(path), torch.zeros(1, 1), steps=steps)
    with pytest.raises(ConfigError, match="steps=2, which PNDMScheduler cannot go"):
        sample(denoiser, scheduler(DIFFUSION, "PNDMScheduler"), torch.zeros(1, 1), steps=2)
