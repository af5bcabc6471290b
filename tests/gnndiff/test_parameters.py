import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnndiff.errors import ZooError
from gnndiff.generators.autoencoder import ParameterAutoencoder
from gnndiff.zoo.vectors import ParameterLayout

LAYOUT = ParameterLayout({"weight": (3, 4), "bias": (3,)})


def vectors(n, rank, seed=0):
    """n vectors of which the centred part has a given rank."""
    generator = torch.Generator().manual_seed(seed)
    return 5 + torch.randn(n, rank, generator=generator) @ torch.randn(rank, LAYOUT.size, generator=generator)


@given(st.lists(st.lists(st.integers(1, 3), max_size=3), min_size=1, max_size=4), st.integers(0, 2**31))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_flatten_and_unflatten_are_inverse(shapes, seed):
    generator = torch.Generator().manual_seed(seed)
    state = {f"p{i}": torch.randn(shape, generator=generator) for i, shape in enumerate(shapes)}
    layout = ParameterLayout.of(state)
    vector = layout.flatten(state)
    assert len(vector) == layout.size
    for name, tensor in layout.unflatten(torch.stack([vector, 2 * vector])).items():
        torch.testing.assert_close(tensor, torch.stack([state[name], 2 * state[name]]), rtol=0, atol=0)
    for name, tensor in layout.unflatten(vector).items():
        torch.testing.assert_close(tensor, state[name], rtol=0, atol=0)


def test_integer_buffers_are_not_parameters():
    state = torch.nn.BatchNorm1d(2).state_dict()
    assert set(state) - set(ParameterLayout.of(state).shapes) == {"num_batches_tracked"}


def test_another_architecture_is_refused():
    with pytest.raises(ZooError, match="collect with one architecture"):
        LAYOUT.flatten({"weight": torch.ones(3, 5), "bias": torch.ones(3)})


def test_latents_are_standardised_and_lossless_at_full_energy():
    data = vectors(20, rank=4)
    autoencoder = ParameterAutoencoder.fit(data, LAYOUT, energy=1.0)
    latents = autoencoder.encode(data)
    assert autoencoder.latent_dim == 4
    torch.testing.assert_close(latents.mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(latents.mT @ latents / 20, torch.eye(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(autoencoder.decode(latents), data, atol=1e-4, rtol=0)
    assert autoencoder.error(data) < 1e-5


def test_reconstruction_error_is_what_the_energy_leaves():
    data = vectors(30, rank=10)
    autoencoder = ParameterAutoencoder.fit(data, LAYOUT, energy=0.9)
    assert autoencoder.latent_dim < 10
    scaled = (autoencoder.decode(autoencoder.encode(data)) - data) / autoencoder.scale
    spread = (data - data.mean(dim=0)) / autoencoder.scale
    assert float(scaled.norm() / spread.norm()) == pytest.approx(autoencoder.error(data), rel=1e-3)
    assert autoencoder.error(data) ** 2 <= 0.1


def test_scale_is_one_number_for_each_tensor():
    data = vectors(10, rank=3) * torch.cat([torch.full((12,), 100.0), torch.ones(3)])
    scale = ParameterAutoencoder.fit(data, LAYOUT).scale
    assert scale[:12].unique().numel() == scale[12:].unique().numel() == 1
    assert scale[0] > 20 * scale[-1]


@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_a_zoo_of_one_point_is_refused(noise):
    data = torch.ones(8, LAYOUT.size) + noise * torch.randn(8, LAYOUT.size)
    with pytest.raises(ZooError, match="one point"):
        ParameterAutoencoder.fit(data, LAYOUT)


def test_trainings_weigh_the_same_however_many_snapshots_they_have():
    data = vectors(3, rank=2)
    repeated = data[[0, 0, 0, 1, 2]]
    once = ParameterAutoencoder.fit(data, LAYOUT)
    often = ParameterAutoencoder.fit(repeated, LAYOUT, members=[0, 0, 0, 1, 2])
    torch.testing.assert_close(often.mean, once.mean)
    covariance = [each.scale.diag() @ each.basis @ each.basis.mT @ each.scale.diag() for each in (once, often)]
    torch.testing.assert_close(covariance[1], covariance[0], atol=1e-3, rtol=1e-3)
