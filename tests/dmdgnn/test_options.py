"""Settings: as attributes, of any number type, and refused with what came and what was expected."""

import inspect
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from dmdgnn import DMD, InputError, spectrum_embedding
from dmdgnn.dynamics import AllenCahn, FeaturePropagation, HeatDiffusion
from dmdgnn.kernels import RowChunks, thin_svd
from dmdgnn.loader import ModeLoader
from dmdgnn.nn import DMDGNN, DMDConv
from dmdgnn.transforms import AddLaplacianModes
from matrices import randn

SETTINGS = {
    "rank": 3, "svd": "gram", "constraint": "symmetric", "estimator": "pcr", "ridge": 0.5, "forward_backward": False,
    "total_least_squares": True, "delays": 2, "center": True, "dt": 0.25, "opt": True, "seed": 7,
}  # fmt: skip


def test_settings_are_attributes():
    dmd = DMD(**SETTINGS, modes="projected")
    for name, value in SETTINGS.items():
        assert getattr(dmd, name) == value
    assert dmd.mode_type == "projected"
    assert (DMD(energy=0.9).energy, DMD(energy=0.9).rank, DMD("optimal").rank) == (0.9, None, "optimal")
    names = set(inspect.signature(DMD).parameters)
    assert names == {*SETTINGS, "energy", "modes"}
    assert all(hasattr(DMD(), name) for name in names - {"modes"})


def test_settings_are_still_there_after_a_fit():
    dmd = DMD(3, dt=0.5).fit(randn(5, 9))
    assert (dmd.rank, dmd.dt, dmd.truncate(2).rank) == (3, 0.5, 2)


@pytest.mark.parametrize("number", [np.float32, np.float64, np.float16, Fraction])
def test_shares_penalties_and_times_are_of_any_number_type(number):
    X, Y = randn(6, 9), randn(6, 9, seed=1)
    value = number(0.75)
    for name in ("energy", "ridge", "dt"):
        own, plain = (DMD(**{name: setting}) for setting in (value, 0.75))
        assert getattr(own, name) == 0.75
        assert type(getattr(own, name)) is float
        torch.testing.assert_close(own.fit(X, Y).frequency, plain.fit(X, Y).frequency)
    assert thin_svd(X, energy=value).S.shape == thin_svd(X, energy=0.75).S.shape


@pytest.mark.parametrize("number", [np.int64, np.int32, np.uint8])
def test_counts_are_of_any_integer_type(number):
    series = randn(4, 12)
    dmd = DMD(number(3), delays=number(2), seed=number(1)).fit(series)
    torch.testing.assert_close(dmd.forecast(number(2)), DMD(3, delays=2).fit(series).forecast(2))
    assert dmd.truncate(number(2)).eigs.shape == (2,)
    real = DMD(constraint="symmetric").fit(series)
    assert real.select(number(1)).eigs.shape == (1,)
    assert len(list(RowChunks(np.zeros((5, 2)), np.zeros((5, 2)), rows=number(2)))) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"energy": True}, "energy=True, expected a share"),
        ({"energy": np.float32(1.5)}, r"energy=.*1\.5"),
        ({"energy": np.float32("nan")}, r"energy=.*nan"),
        ({"energy": "0.9"}, r"energy='0\.9'"),
        ({"energy": 1j}, "energy=1j"),
        ({"ridge": True}, "ridge=True, expected a number"),
        ({"ridge": 1j}, "ridge=1j"),
        ({"dt": 0}, "dt=0, expected a positive number"),
        ({"dt": np.inf}, "dt=inf"),
        ({"dt": "1"}, "dt='1'"),
        ({"seed": 1.0}, r"seed=1\.0, expected an integer"),
        ({"delays": np.float64(2)}, "delays=.*2.*, expected an integer"),
        ({"center": 1}, "center=1, expected True or False"),
        ({"opt": "all"}, "opt='all', expected True or False"),
        ({"forward_backward": None}, "forward_backward=None, expected True or False"),
    ],
    ids=str,
)
def test_bad_settings(options, message):
    with pytest.raises(InputError, match=message):
        DMD(**options)


def test_options_are_told():
    dmd = DMD(3, estimator="rrr", center=True, dt=0.5, opt=True)
    assert repr(dmd) == "DMD(rank=3, modes='exact', constraint=None, estimator='rrr', center=True, dt=0.5, opt=True)"


@pytest.mark.parametrize("rows", [2.5, "3"])
def test_rows_of_a_chunk_are_a_number(rows):
    with pytest.raises(InputError, match=r"rows=.*expected at least 1"):
        RowChunks(np.zeros((5, 2)), np.zeros((5, 2)), rows=rows)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda dmd: dmd.predict(np.ones((4, 2))), "X of type ndarray"),
        (lambda dmd: dmd.forecast(2, np.ones((1, 2))), "control of type ndarray"),
        (lambda dmd: dmd.forecast(math.nan), "steps=nan, expected an integer"),
        (lambda dmd: dmd.forecast(until="x"), "until='x', expected a time"),
        (lambda dmd: dmd.reconstruct("ab"), "times='ab'"),
        (lambda dmd: dmd.reconstruct(3.0), "times of shape"),
        (lambda dmd: dmd.select(residual="a"), "residual='a', expected the largest"),
        (lambda dmd: dmd.stabilise("a"), "inner='a'"),
        (lambda dmd: dmd.truncate(2.5), r"rank=2\.5"),
        (lambda dmd: dmd.fit_moments(None), "NoneType, expected dmdgnn.kernels.Moments"),
        (lambda dmd: dmd.fit([np.ones((4, 9))]), r"X\[0\] of type ndarray"),
        (lambda dmd: dmd.fit(torch.ones(4, 9).bfloat16()), "X of torch.bfloat16, expected torch.float32"),
    ],
)
def test_what_is_no_number_or_tensor(call, message):
    with pytest.raises(InputError, match=message):
        call(DMD().fit(randn(4, 9)))


def test_times_and_weights_of_any_number_type():
    dmd = DMD().fit(randn(4, 9))
    assert dmd.forecast(until=np.float32(11)).shape == (4, 3)
    assert dmd.reconstruct(np.array([1.0, 2.0])).shape == (4, 2)
    assert dmd.update(randn(4, 2), forget=np.float32(0.5)).eigs.shape == (4,)


@pytest.mark.parametrize("number", [np.int64, np.int32, np.uint8])
def test_whole_numbers_of_any_type_are_settings_of_graphs_and_layers(number):
    data = Data(x=torch.rand(5, 4), edge_index=torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]]))
    dynamics = FeaturePropagation(burn_in=number(1), stride=number(2), steps=number(2))
    for ours, plain in zip(dynamics.snapshots(data), FeaturePropagation(1, 2, 2).snapshots(data), strict=True):
        torch.testing.assert_close(ours, plain)
    AllenCahn(substeps=number(5)).snapshots(data)
    data = AddLaplacianModes(number(2))(data)
    assert spectrum_embedding(data, number(2)).shape == spectrum_embedding(data, 2).shape
    assert next(iter(ModeLoader(data, context=number(2), batch_size=2))).num_nodes == 4
    conv = DMDConv(4, 6, number(2), heads=number(2), degree=number(2))
    assert conv(data.x, data.dmd_modes, data.dmd_eigs).shape == (5, 6)
    DMDGNN(4, 8, 2, 3, rank=number(2))(data.x, data.edge_index, data.dmd_modes, data.dmd_eigs)


def test_real_numbers_of_any_type_are_settings_of_dynamics():
    data = Data(x=torch.rand(3, 2), edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]]))
    for ours, plain in zip(*(HeatDiffusion(time=time).snapshots(data) for time in (np.float32(0.5), 0.5)), strict=True):
        torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("make", [lambda: FeaturePropagation(burn_in=True), lambda: HeatDiffusion(time=True)])
def test_truth_values_are_no_settings_of_dynamics(make):
    with pytest.raises(InputError, match="True"):
        make()
