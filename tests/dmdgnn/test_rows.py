import pytest
import torch

from dmdgnn.kernels.rows import apply, gram_operator, inner
from matrices import randn


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (1,), (7,), (40, 3)])
def test_products_are_those_of_torch(threads, dtype, batch):
    A, B, M = (randn(*batch, *shape, seed=seed).to(dtype) for seed, shape in enumerate([(90, 5), (90, 3), (5, 4)]))
    torch.testing.assert_close(inner(A, B), A.double().mT @ B.double())
    torch.testing.assert_close(inner(A, A), A.double().mT @ A.double())
    product = apply(A, M.double())
    assert product.dtype == dtype
    torch.testing.assert_close(product, (A.double() @ M.double()).to(dtype))
    if not batch:
        torch.testing.assert_close(gram_operator(A)(M.double()), A.double().mT @ (A.double() @ M.double()))


def test_parts_of_a_series_and_gradients():
    series = randn(40, 9)
    X, Y = series[:, :-1], series[:, 1:]
    torch.testing.assert_close(inner(X, Y), X.mT @ Y)
    torch.testing.assert_close(inner(X, X), X.mT @ X)
    leaf = series.clone().requires_grad_()
    inner(leaf, leaf).sum().backward()
    torch.testing.assert_close(leaf.grad, 2 * series.sum(dim=1, keepdim=True).expand_as(series))
