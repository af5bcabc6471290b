import re

import pytest
import torch

from dmdgnn import DMD, FactorizationError, InputError
from dmdgnn.kernels.robust import check_finite, robust


class FailsFirst:
    """A factorisation that does not converge in its first calls, and keeps what it was given."""

    def __init__(self, failures, solve=torch.linalg.eigh):
        self.failures = failures
        self.solve = solve
        self.inputs = []

    def __call__(self, matrix):
        self.inputs.append(matrix)
        if len(self.inputs) <= self.failures:
            raise torch.linalg.LinAlgError("did not converge")
        return self.solve(matrix)


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_goes_on_until_an_attempt_converges(failures):
    factorise = FailsFirst(failures)
    eigs, vectors = robust(factorise, torch.diag(torch.tensor([3.0, 1.0, 2.0])))
    assert len(factorise.inputs) == failures + 1
    assert eigs.dtype == vectors.dtype == torch.float32
    torch.testing.assert_close(eigs, torch.tensor([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_attempts_differ_by_rounding_only(scale):
    matrix = scale * torch.tensor([[2.0, 1.0], [1.0, 0.0]])
    factorise = FailsFirst(2)
    robust(factorise, matrix)
    first, precise, jittered = factorise.inputs
    assert first is matrix
    torch.testing.assert_close(precise, matrix.double(), rtol=0, atol=0)
    change = (jittered - precise).diagonal()
    assert bool((change > 0).all())
    assert float(change.max()) < 1e-13 * scale
    torch.testing.assert_close(jittered - change.diag(), precise)


def test_jitter_of_a_matrix_that_is_not_square():
    svdvals = FailsFirst(2, lambda matrix: (torch.linalg.svdvals(matrix),))
    torch.testing.assert_close(robust(svdvals, torch.eye(3, 2))[0], torch.ones(2))


def test_no_attempt_converges():
    with pytest.raises(FactorizationError, match=r"shape \(2, 2\) did not converge: scale its entries, now up to 7"):
        robust(FailsFirst(3), torch.tensor([[1.0, -7.0], [0.0, 1.0]]))


def test_other_errors_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        robust(lambda matrix: 1 / 0, torch.eye(2))


def test_check_finite_counts_and_places():
    check_finite("Y", torch.eye(2))
    with pytest.raises(InputError, match=r"Y has 2 NaN or infinite entries, the first at \(0, 2\): clean it"):
        check_finite("Y", torch.tensor([[0.0, 0.0, torch.inf], [torch.nan, 0.0, 0.0]]))


S = torch.randn(6, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
BAD = S.index_put((torch.tensor(3), torch.tensor(7)), torch.tensor(torch.nan, dtype=S.dtype))
INPUTS = torch.ones(2, 29, dtype=S.dtype)


@pytest.mark.parametrize(
    ("fit", "name"),
    [
        (lambda: DMD(center=True).fit(BAD, S), "X"),
        (lambda: DMD(center=True).fit(S, BAD), "Y"),
        (lambda: DMD(center=True, delays=2).fit(BAD), "X"),
        (lambda: DMD(center=True).fit([S, BAD], [S, S]), "X[1]"),
        (lambda: DMD().fit([S, BAD]), "X[1]"),
        (lambda: DMD().fit([S, S], [S, BAD]), "Y[1]"),
        (lambda: DMD().fit([S, S], control=[INPUTS, BAD[2:4, :29]]), "control[1]"),
        (lambda: DMD().fit(S, control=INPUTS, B=BAD[:, 6:8]), "B"),
        (lambda: DMD(2).fit(S).update(BAD), "X"),
        (lambda: DMD(2).fit(S).update(S, BAD), "Y"),
    ],
)
def test_an_entry_is_named_by_its_place_in_what_was_given(fit, name):
    place = {"control[1]": "(1, 7)", "B": "(3, 1)"}.get(name, "(3, 7)")
    with pytest.raises(InputError, match=re.escape(f"{name} has 1 NaN or infinite entries, the first at {place}")):
        fit()
