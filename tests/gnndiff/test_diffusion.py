import torch

from gnndiff.config import Method
from gnndiff.generators import diffusion
from gnndiff.generators.diffusion import sample

METHOD = Method()


def scheduler(name="DDIMScheduler"):
    return diffusion.sampler(name, diffusion.noise_schedule())


def train_denoiser(latents, condition, steps, generator):
    return diffusion.train_denoiser(latents, condition, steps, generator, METHOD)


def mixture(n, generator):
    """Two correlated Gaussians at (-1, 1) and (1, -1), and which of them each sample is from."""
    component = torch.randint(2, (n, 1), generator=generator).float()
    factor = torch.tensor([[0.3, 0.0], [0.2, 0.1]])
    centre = (2 * component - 1) * torch.tensor([1.0, -1.0])
    return centre + torch.randn(n, 2, generator=generator) @ factor.mT, 2 * component - 1


def test_samples_have_mean_and_covariance_of_a_known_mixture():
    generator = torch.Generator().manual_seed(0)
    data, component = mixture(4000, generator)
    denoiser = train_denoiser(data, component, 1000, generator)

    drawn = sample(denoiser, scheduler(), mixture(2000, generator)[1], generator=generator)
    torch.testing.assert_close(drawn.mean(dim=0), data.mean(dim=0), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.mT.cov(), data.mT.cov(), atol=0.1, rtol=0)

    for side in (-1.0, 1.0):
        one = sample(denoiser, scheduler(), torch.full((1000, 1), side), generator=generator)
        of_data = data[component.squeeze() == side]
        torch.testing.assert_close(one.mean(dim=0), of_data.mean(dim=0), atol=0.1, rtol=0)
        torch.testing.assert_close(one.mT.cov(), of_data.mT.cov(), atol=0.03, rtol=0)

    blind = sample(denoiser, scheduler(), torch.ones(1000, 1), guidance=0.0, generator=generator)
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
