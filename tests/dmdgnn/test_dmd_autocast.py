"""Within autocast, fits and all that follows from them are what they are outside: modes of half precision are none."""

import pytest
import torch

from dmdgnn import DMD, OptDMD
from dmdgnn.kernels import Moments

DTYPES = [torch.float32, torch.float64, torch.complex64]
SHOWN = ["singular_values", "eigs", "modes", "residuals", "dual_residuals"]
OVER_TIME = ["amplitudes", "dynamics", "reconstructed_data", "contributions"]


def series(dtype):
    return torch.randn(9, 16, dtype=dtype, generator=torch.Generator().manual_seed(0))


def parts(S):
    X, Y = S[:, :-1].contiguous(), S[:, 1:].contiguous()
    return X, Y


FITS = {
    "plain": lambda S: DMD(4).fit(S),
    "symmetric": lambda S: DMD(4, constraint="symmetric").fit(S),
    "denoised": lambda S: DMD(4, total_least_squares=True, opt=True, center=True).fit(S),
    "delays": lambda S: DMD(4, delays=2).fit(S),
    "trajectories": lambda S: DMD(4).fit([S, S[:, :7]]),
    "selected": lambda S: DMD(4).fit(S).select(2, by="residual"),
    "truncated": lambda S: DMD(5).fit(S).truncate(2),
    "updated": lambda S: DMD(4).fit(S).update(S[:, :3]),
}
FIGURES = {
    **{name: lambda S, fit=fit: [getattr(fit(S), name) for name in SHOWN + OVER_TIME] for name, fit in FITS.items()},
    **{f"{name}, forecast": lambda S, fit=fit: [fit(S).forecast(3)] for name, fit in FITS.items()},
    "reduced-rank": lambda S: [DMD(4, estimator="rrr", ridge=0.1).fit(S).operator.to_dense()],
    "graphs": lambda S: [
        getattr(DMD(3).fit(*parts(S), ptr=torch.tensor([0, 4, 9])), name) for name in (*SHOWN, "reduced_operator")
    ],
    "moments": lambda S: [DMD(4).fit_moments(Moments.of(*parts(S))).lift_modes(*parts(S))],
    "predicted": lambda S: [DMD(4).fit(S).predict(S)],
    "optimised": lambda S: [
        getattr(OptDMD(2).fit(S), name) for name in ("eigs", "modes", "amplitudes", "reconstructed_data")
    ],
}


@pytest.mark.filterwarnings("ignore:1 of 1 fits did not converge")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FIGURES)
def test_results_are_the_same(name, dtype):
    expected = FIGURES[name](series(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = FIGURES[name](series(dtype))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)
