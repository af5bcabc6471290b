"""On a GPU, the same numbers as on the CPU."""

import pytest
import torch

from dmdgnn import DMD, LowRankOperator
from dmdgnn.kernels import Moments, thin_svd
from matrices import randn

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

F64 = torch.float64
OPTIONS = [
    {},
    {"modes": "projected"},
    {"constraint": "symmetric"},
    {"constraint": "skew_symmetric"},
    {"constraint": "orthogonal"},
    {"ridge": 0.1},
    {"forward_backward": True},
    {"total_least_squares": True},
]


@pytest.mark.parametrize("method", ["auto", "gram", "full", "randomized"])
@pytest.mark.parametrize("shape", [(50, 8), (8, 50), (3, 20, 6)])
def test_singular_values(method, shape):
    X = randn(*shape)
    svd = thin_svd(X.cuda(), rank=4, method=method)
    assert all(factor.is_cuda for factor in svd)
    torch.testing.assert_close(svd.S.cpu(), thin_svd(X, rank=4, method=method).S)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("shape", [(30, 8), (3, 30, 8)])
def test_fit(options, shape):
    X, Y = randn(*shape), randn(*shape, seed=1)
    there, here = DMD(4, **options).fit(X.cuda(), Y.cuda()), DMD(4, **options).fit(X, Y)
    assert there.modes.is_cuda
    torch.testing.assert_close(there.eigs.abs().cpu(), here.eigs.abs())
    torch.testing.assert_close(there.operator.to_dense().cpu(), here.operator.to_dense())


def test_fit_of_graphs():
    X, Y, ptr = randn(40, 5), randn(40, 5, seed=1), torch.tensor([0, 3, 20, 40])
    there, here = DMD(4).fit(X.cuda(), Y.cuda(), ptr=ptr.cuda()), DMD(4).fit(X, Y, ptr=ptr)
    torch.testing.assert_close(there.operator.to_dense().cpu(), here.operator.to_dense())
    torch.testing.assert_close(DMD(4).fit(X.cuda(), Y.cuda(), ptr=ptr).eigs.abs().cpu(), here.eigs.abs())


def test_moments():
    X, Y = randn(40, 5), randn(40, 5, seed=1)
    there = DMD(4).fit_moments(Moments.of(X.cuda(), Y.cuda()))
    torch.testing.assert_close(there.eigs.abs().cpu(), DMD(4).fit(X, Y).eigs.abs())
    assert there.lift_modes(X.cuda(), Y.cuda()).is_cuda


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients(options):
    def gradient(device):
        X, Y = (part.to(device).requires_grad_() for part in (randn(12, 6), randn(12, 6, seed=1)))
        DMD(3, **options).fit(X, Y).operator.matmul(randn(12, 2, seed=2).to(device)).square().sum().backward()
        return X.grad.cpu(), Y.grad.cpu()

    torch.testing.assert_close(gradient("cuda"), gradient("cpu"))


@pytest.mark.parametrize("ptr", [None, torch.tensor([0, 10, 40])])
def test_product_does_not_wait_for_the_device(ptr):
    cores = randn(3) if ptr is None else randn(2, 3)
    operator = LowRankOperator(randn(40, 3), cores, ptr=ptr).to("cuda")
    x = randn(40, 2).cuda()
    expected = operator.matmul(x)
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = operator.matmul(x)
        operator.T.matmul(x)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result, expected)
