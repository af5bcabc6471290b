"""Models without dynamics, or without the ones that are asked for."""

import pytest
import torch

from dmdgnn import DMD, InputError
from dmdgnn.kernels.moments import Moments
from matrices import randn
from signals import PROPERTIES, driven


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_before_fit(name):
    with pytest.raises(InputError, match="yet, call fit first"):
        getattr(DMD(), name)


def test_forecast_before_fit():
    with pytest.raises(InputError, match="has no operator yet, call fit first"):
        DMD().forecast(3)


@pytest.mark.parametrize("steps", [0, -2])
def test_forecast_of_no_steps(steps):
    with pytest.raises(InputError, match=rf"got steps={steps} and control of shape None, expected at least one step"):
        DMD().fit(randn(3, 5)).forecast(steps)


def test_inputs_are_given_if_and_only_if_they_were_fitted():
    _, _, inputs, series = driven()
    plain, dmd = DMD().fit(series), DMD().fit(series, control=inputs)
    for call in (
        lambda: plain.predict(series[:, :-1], inputs),
        lambda: plain.forecast(3, inputs[:, :3]),
        lambda: dmd.predict(series),
        lambda: dmd.forecast(3),
    ):
        with pytest.raises(InputError, match="pass `control` to predict if and only if it was passed to fit"):
            call()


def test_forecast_takes_an_input_for_each_step():
    _, _, inputs, series = driven()
    dmd = DMD().fit(series, control=inputs)
    with pytest.raises(InputError, match=r"steps=3 and control of shape \(1, 2\).* a column of control for each"):
        dmd.forecast(3, inputs[:, :2])
    with pytest.raises(InputError, match="steps=0"):
        dmd.forecast(0, inputs[:, :0])


def test_inputs_are_as_many_as_were_fitted():
    _, _, inputs, series = driven()
    dmd = DMD().fit(series, control=inputs)
    for call in (
        lambda: dmd.predict(series[:, :-1], torch.cat([inputs, inputs])),
        lambda: dmd.predict(series[:, :-1], inputs[:, :4]),
        lambda: dmd.forecast(2, torch.cat([inputs, inputs])[:, :2]),
    ):
        with pytest.raises(InputError, match="control"):
            call()


@pytest.mark.parametrize("name", ["amplitudes", "dynamics", "reconstructed_data"])
def test_driven_states_have_no_dynamics_of_their_own(name):
    _, _, inputs, series = driven()
    with pytest.raises(InputError, match="states under control have no dynamics of their own: use predict"):
        getattr(DMD().fit(series, control=inputs), name)


@pytest.mark.parametrize("name", ["amplitudes", "dynamics", "reconstructed_data", "forecast"])
def test_graphs_have_no_dynamics_of_their_own(name):
    X = randn(7, 5)
    dmd = DMD(2).fit(X, randn(7, 5, seed=1), ptr=torch.tensor([0, 3, 7]))
    assert dmd.modes.shape == (7, 2)
    assert dmd.frequency.shape == dmd.growth_rate.shape == (2, 2)
    with pytest.raises(InputError, match="graphs by ptr have no common dynamics: use predict"):
        dmd.forecast(1) if name == "forecast" else getattr(dmd, name)


@pytest.mark.parametrize("fitted_before", [False, True])
@pytest.mark.parametrize("name", ["modes", "real_modes", "amplitudes", "dynamics", "reconstructed_data", "operator"])
def test_rows_elsewhere_have_no_modes_here(name, fitted_before):
    X, Y = randn(7, 5), randn(7, 5, seed=1)
    dmd = DMD(2)
    if fitted_before:
        dmd.fit(X, Y)
    dmd.fit_moments(Moments.of(X, Y))
    assert dmd.frequency.shape == dmd.growth_rate.shape == (2,)
    if name == "operator":
        for call in (lambda: dmd.predict(X), lambda: dmd.forecast(1)):
            with pytest.raises(InputError, match="its rows are elsewhere: use lift and lift_modes"):
                call()
    else:
        with pytest.raises(InputError, match="its rows are elsewhere: use lift and lift_modes"):
            getattr(dmd, name)
