"""Inputs whose effect is known, and the modes that inputs do not have."""

import numpy as np
import pydmd
import pytest
import torch

from dmdgnn import DMD, InputError
from matrices import F64, orthonormal, randn
from signals import assert_near, driven, tensor, trajectory


@pytest.mark.parametrize(("n", "q"), [(2, 1), (5, 2), (30, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_inputs_add_no_eigenvalue(n, q, dtype):
    rates = torch.linspace(0.4, 0.95, min(n, 5), dtype=F64)
    basis = orthonormal(n, len(rates))
    A, B = basis @ torch.diag(rates) @ basis.T, basis @ randn(len(rates), q, seed=1)
    inputs = randn(q, 60, seed=2)
    states = [basis.sum(dim=1)]
    for t in range(60):
        states.append(A @ states[-1] + B @ inputs[:, t])
    series = torch.stack(states, dim=1).to(dtype)
    dmd = DMD().fit(series, control=inputs.to(dtype))
    assert len(dmd.eigs) == len(rates)
    atol = 1e-3 if dtype == torch.float32 else 1e-8
    assert_near(dmd.eigs.real.sort().values.double(), rates, atol=atol)
    assert_near(dmd.operator.to_dense().double() @ basis, A @ basis, atol=atol)
    assert_near(dmd.B.double(), B, atol=atol)
    torch.testing.assert_close(dmd.operator @ dmd.real_modes, dmd.real_modes @ dmd.blocks, rtol=1e-3, atol=1e-4)


def test_lifted_rows_are_those_of_the_operator():
    _, _, inputs, series = driven()
    dmd = DMD().fit(series, control=inputs)
    lifted = dmd.lift(series[:, :-1], series[:, 1:])
    torch.testing.assert_close(lifted.to_dense(), dmd.operator.to_dense())
    torch.testing.assert_close(dmd.lift_modes(series[:, :-1], series[:, 1:]), dmd.modes)


def test_a_known_effect_is_not_estimated():
    A, B, inputs, series = driven()
    dmd = DMD().fit(series[:, :20], control=inputs[:, :19], B=B)
    assert_near(dmd.operator.to_dense(), A)
    assert torch.equal(dmd.B, B)
    assert_near(dmd.forecast(20, inputs[:, 19:]), series[:, 20:])
    peer = pydmd.DMDc(svd_rank=-1)
    peer.fit(series.numpy(), inputs.numpy(), B.numpy())
    np.testing.assert_allclose(np.sort(peer.eigs.real), np.sort(dmd.eigs.real.numpy()), atol=1e-9)


def test_with_a_known_effect_three_snapshots_are_enough():
    A, B, inputs, series = driven()
    assert_near(DMD().fit(series[:, :3], control=inputs[:, :2], B=B).operator.to_dense(), A)
    assert float((DMD().fit(series[:, :3], control=inputs[:, :2]).operator.to_dense() - A).abs().max()) > 0.1


@pytest.mark.parametrize(
    "options",
    [{"modes": "projected"}, {"constraint": "diagonal"}, {"constraint": "orthogonal"}, {"forward_backward": True},
     {"total_least_squares": True}, {"estimator": "rrr"}, {"ridge": 0.1}, {"center": True}],
    ids=str,
)  # fmt: skip
def test_a_known_effect_goes_with_all_options(options):
    _, B, inputs, series = driven()
    undriven = series[:, 1:] - B @ inputs
    dmd = DMD(**options).fit(series, control=inputs, B=B)
    plain = DMD(**options).fit(series[:, :-1], undriven)
    torch.testing.assert_close(dmd.operator.to_dense(), plain.operator.to_dense())
    torch.testing.assert_close(dmd.predict(series[:, :-1], inputs), plain.predict(series[:, :-1]) + B @ inputs)


def test_known_effects_of_several_trajectories():
    A, B, inputs, series = driven()
    dmd = DMD().fit([series[:, :9], series[:, 9:]], control=[inputs[:, :9], inputs[:, 9:]], B=B)
    assert_near(dmd.operator.to_dense(), A)
    still = torch.zeros(1, 3, dtype=F64)
    assert_near(dmd.forecast(3, still)[1], trajectory(A, 4, series[:, -1])[:, 1:])


def test_complex_states_under_control():
    A, B = torch.polar(tensor(0.9), tensor(0.4)), torch.polar(tensor(2.0), tensor(1.0))
    inputs = torch.complex(randn(1, 20), randn(1, 20, seed=1))
    states = [torch.ones(1, dtype=torch.complex128)]
    for t in range(20):
        states.append(A * states[-1] + B * inputs[:, t])
    dmd = DMD().fit(torch.stack(states, dim=1), control=inputs)
    torch.testing.assert_close(dmd.eigs, A)
    torch.testing.assert_close(dmd.B.squeeze(1), B)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"B": randn(2, 1)}, "got B without control"),
        ({"B": randn(1, 2), "control": randn(1, 39)}, r"got B \(1, 2\) .* expected \(2, 1\)"),
        ({"B": randn(2, 1).float(), "control": randn(1, 39)}, r"got B \(2, 1\) of torch.float32"),
        ({"B": torch.full((2, 1), torch.nan), "control": randn(1, 39)}, "B has 2 NaN"),
    ],
)
def test_bad_effects(arguments, message):
    with pytest.raises(InputError, match=message):
        DMD().fit(driven()[3], **arguments)


def test_delays_do_not_go_with_inputs():
    _, B, inputs, series = driven()
    with pytest.raises(InputError, match="with a known B, with all but delays"):
        DMD(delays=2).fit(series, control=inputs, B=B)


def test_inputs_are_converted_to_the_precision_of_the_states():
    _, _, inputs, series = driven()
    dmd, single = (DMD().fit(series, control=given) for given in (inputs, inputs.float().double()))
    assert_near(DMD().fit(series, control=inputs.float()).B, single.B)
    assert_near(dmd.forecast(3, inputs[:, :3].float()), dmd.forecast(3, inputs[:, :3].float().double()))
    assert_near(dmd.predict(series[:, :3], inputs[:, :3].float()), series[:, 1:4], atol=1e-5)
    waves = series.to(torch.complex128) * 1j
    assert_near(DMD().fit(waves, control=inputs).forecast(2, inputs[:, :2]), dmd.forecast(2, inputs[:, :2]) * 1j)


def test_complex_inputs_of_real_states_lose_nothing():
    _, _, inputs, series = driven()
    with pytest.raises(InputError, match="give real and imaginary parts as inputs of their own"):
        DMD().fit(series, control=inputs * 1j)
    dmd = DMD().fit(series, control=inputs)
    for wrong in (inputs[:, :2] * 1j, inputs[:, :2].numpy(), inputs[:, :3]):
        with pytest.raises(InputError, match="complex only for complex states"):
            dmd.predict(series[:, :2], wrong)
