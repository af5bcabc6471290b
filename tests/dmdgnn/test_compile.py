"""Products of operators under `torch.compile`: one graph, the values and gradients of eager mode."""

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from dmdgnn import DMD, LowRankOperator

PTR = torch.tensor([0, 3, 8, 12, 14])
# Shapes of left and core, and the pointers
FORMS = {
    "diagonal": ((14, 2), (2,), None),
    "square": ((14, 2), (2, 2), None),
    "batch": ((3, 5, 2), (3, 2, 2), None),
    "batch_of_diagonal_cores": ((2, 3, 5, 2), (2, 3, 2), None),
    "ragged": ((14, 2), (4, 2, 2), PTR),
    "ragged_with_diagonal_cores": ((14, 2), (4, 2), PTR),
}
all_forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@pytest.fixture(autouse=True)
def _without_what_was_compiled_before():
    torch._dynamo.reset()


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make(form):
    left, core, ptr = form
    factors = (randn(*left), randn(*core, seed=1), randn(*left, seed=2))
    return LowRankOperator(*(factor.requires_grad_() for factor in factors), ptr=ptr)


def in_one_graph(function):
    """The compiled function, and the counter of the graphs that it took."""
    counter = CompileCounterWithBackend("aot_eager")
    return torch.compile(function, fullgraph=True, backend=counter), counter


def value_and_gradients(function, K, x):
    x = x.clone().requires_grad_()
    value = function(K, x)
    return value, *torch.autograd.grad(value.square().sum(), (K.left, K.core, K.right, x))


def product(K, x):
    return K.matmul(x)


@all_forms
def test_product(form):
    K = make(form)
    x = randn(*K.left.shape[:-1], 3, seed=3)
    compiled, counter = in_one_graph(product)
    torch.testing.assert_close(value_and_gradients(compiled, K, x), value_and_gradients(product, K, x))
    assert counter.frame_count == 1


@pytest.mark.parametrize("form", ["square", "ragged"])
def test_two_halves_of_a_product(form):
    def halves(K, x):
        return K.expand(K.project(x).relu())

    K, x = make(FORMS[form]), randn(14, 3, seed=3)
    compiled, counter = in_one_graph(halves)
    torch.testing.assert_close(value_and_gradients(compiled, K, x), value_and_gradients(halves, K, x))
    assert counter.frame_count == 1


@pytest.mark.parametrize("form", ["diagonal", "batch"])
def test_operator_that_is_made_within(form):
    def apply(left, core, right, x):
        return LowRankOperator(left, core, right).matmul(x)

    K = make(FORMS[form])
    x = randn(*K.left.shape[:-1], 3, seed=3)
    compiled, _ = in_one_graph(apply)
    own = value_and_gradients(lambda K, x: compiled(K.left, K.core, K.right, x), K, x)
    torch.testing.assert_close(own, value_and_gradients(product, K, x))


@pytest.mark.parametrize("function", [lambda K, x: K.T.matmul(x), lambda K, x: K.power(3).matmul(x)])
def test_other_operators_made_of_one(function):
    K, x = make(FORMS["square"]), randn(14, 3, seed=3)
    compiled, _ = in_one_graph(function)
    torch.testing.assert_close(value_and_gradients(compiled, K, x), value_and_gradients(function, K, x))


def test_vector():
    K, x = make(FORMS["square"]), randn(14, seed=3)
    compiled, _ = in_one_graph(product)
    torch.testing.assert_close(compiled(K, x), K @ x)


def test_number_of_columns_may_change():
    K = make(FORMS["ragged"])
    compiled, counter = in_one_graph(product)
    for columns in (2, 3, 4, 5):
        x = randn(14, columns, seed=columns)
        torch.testing.assert_close(compiled(K, x), K @ x)
    assert counter.frame_count == 2


def test_fitted_operator_in_a_module():
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.operator = DMD(rank=2).fit(randn(14, 4), randn(14, 4, seed=1), ptr=PTR).operator
            self.weight = torch.nn.Parameter(randn(3, 3))

        def forward(self, x):
            return self.operator.matmul(x @ self.weight).relu()

    layer, x = Layer(), randn(14, 3, seed=3)
    compiled, counter = in_one_graph(layer)
    torch.testing.assert_close(compiled(x), layer(x))
    assert counter.frame_count == 1


@pytest.mark.xfail(
    raises=torch._dynamo.exc.Unsupported,
    reason="torch up to 2.13 traces `@` of an object and a tensor as a tensor operation; `matmul` is a method to it",
)
def test_the_operator_sign():
    K, x = make(FORMS["square"]), randn(14, 3, seed=3)
    compiled, _ = in_one_graph(lambda x: K @ x)
    torch.testing.assert_close(compiled(x), K @ x)
