import warnings

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from dmdgnn.errors import InputError
from dmdgnn.kernels.symmetric import symmetric_matmul

LAYOUTS = [torch.sparse_csr, torch.sparse_csc, torch.sparse_coo]
# The path 0 - 1 - 2 - 3 with weights 1, 2 and 3, and a loop at node 3.
PATH = torch.tensor([[0.0, 1, 0, 0], [1, 0, 2, 0], [0, 2, 0, 3], [0, 0, 3, 5]], dtype=torch.float64)


def sparse(matrix, layout):
    with warnings.catch_warnings():  # torch warns once a process that CSR is in beta
        warnings.filterwarnings("ignore", "Sparse")
        return matrix.to_sparse(layout=layout)


@pytest.fixture
def x():
    return torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_product_and_derivatives_are_those_of_the_dense_matrix(layout, x):
    A = sparse(PATH, layout)
    out = symmetric_matmul(A, x)
    torch.testing.assert_close(out, PATH @ x)
    weights = torch.arange(12.0, dtype=torch.float64).view(4, 3)
    (gradient,) = torch.autograd.grad((weights * out).sum(), x)
    torch.testing.assert_close(gradient, PATH.T @ weights)
    assert gradcheck(lambda x: symmetric_matmul(A, x), x)
    assert gradgradcheck(lambda x: symmetric_matmul(A, x), x)


def test_ten_products_have_the_gradient_of_the_power(x):
    A = sparse(PATH / 8, torch.sparse_csr)
    out = x
    for _ in range(10):
        out = symmetric_matmul(A, out)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    expected = torch.linalg.matrix_power(PATH / 8, 10).sum(dim=0)
    torch.testing.assert_close(gradient, expected.unsqueeze(1).expand(4, 3))


def test_without_gradient_there_is_no_graph(x):
    assert not symmetric_matmul(sparse(PATH, torch.sparse_csr), x.detach()).requires_grad
    with torch.no_grad():
        assert not symmetric_matmul(sparse(PATH, torch.sparse_csr), x).requires_grad


def test_a_matrix_that_changes_before_the_backward_pass_is_an_error(x):
    A = sparse(PATH, torch.sparse_coo).coalesce()
    out = symmetric_matmul(A, x)
    A.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


class Recorder(TorchDispatchMode):
    """Which operators run, on tensors of which layouts."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen = [*getattr(self, "seen", []), (func.__name__, args[0].layout)]
        return func(*args, **(kwargs or {}))


def test_the_backward_pass_has_one_product_and_no_transpose(x):
    out = symmetric_matmul(sparse(PATH, torch.sparse_csr), x)
    with Recorder() as recorder:
        out.backward(torch.ones_like(out))
    assert [func for func, layout in recorder.seen if layout != torch.strided] == ["mm.default"]


@pytest.mark.parametrize(
    ("A", "rows", "message"),
    [
        (torch.ones(3, 4), 4, r"got A \(3, 4\) and x \(4, 2\)"),
        (torch.ones(4, 4), 3, r"got A \(4, 4\) and x \(3, 2\)"),
        (torch.ones(4, 4, requires_grad=True), 4, r"pass A.detach\(\)"),
    ],
)
def test_errors(A, rows, message):
    with pytest.raises(InputError, match=message):
        symmetric_matmul(A, torch.ones(rows, 2))
