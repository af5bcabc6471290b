"""Many networks of one architecture as one function of stacked parameters, with sparse products for all at once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._C import _functorch
from torch.func import functional_call, vmap
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from graphtasks.sparse import SparseFeatures

States = Mapping[str, Tensor]

# Columns of a sparse product that are computed at once: the rows of more do not fit into fast memory.
COLUMNS = 128

# Outputs of a linear map up to which its product is the faster one with rows and columns exchanged.
NARROW = 16

_PRODUCTS = {torch.matmul, torch.mm, torch.sparse.mm, Tensor.matmul, Tensor.mm, Tensor.__matmul__}


def stack(states: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Stacked floating point tensors (n, *shape) of n state dicts."""
    names = [name for name, value in states[0].items() if isinstance(value, Tensor) and value.is_floating_point()]
    return {name: torch.stack([state[name] for state in states]) for name in names}


def unstack(states: States) -> list[dict[str, Tensor]]:
    """The n state dicts of stacked tensors (n, *shape), which share their memory."""
    count = len(next(iter(states.values())))
    return [{name: tensor[i] for name, tensor in states.items()} for i in range(count)]


def stacked_call(module: nn.Module, states: States, *args: Any) -> Tensor:
    """Outputs (n, ...) of n networks, each for the same arguments.

    Products of constant sparse matrices with what differs between networks, which :func:`torch.vmap` knows nothing of,
    are computed for several networks in one.

    Args:
        module: A module of the architecture.
        states: Stacked state dicts, each tensor (n, *shape).
        *args: Arguments of the module.

    Raises:
        Exception: Whatever `vmap` raises where it cannot run the module, such as one with operations in place or with
            branches on values.

    >>> states = stack([nn.Linear(2, 1).state_dict() for _ in range(3)])
    >>> stacked_call(nn.Linear(2, 1), states, torch.randn(5, 2)).shape
    torch.Size([3, 5, 1])
    """
    with warnings.catch_warnings(), _SparseProducts():
        # vmap goes through operations without a batched form one network at a time, and says so.
        warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
        outputs: Tensor = vmap(partial(functional_call, module), in_dims=(0, None), randomness="same")(states, args)
    return outputs


class _SparseProducts(TorchFunctionMode):
    """Sends products with sparse matrices on their left through :func:`_sparse_product`."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.linear and len(args) >= 2:
            return _linear(func, *args, **kwargs)
        if func in _PRODUCTS and len(args) >= 2 and not kwargs:
            matrix = args[0].csr if isinstance(args[0], SparseFeatures) else args[0]
            if _is_sparse_matrix(matrix) and _is_dense_matrix(args[1]):
                return _sparse_product(matrix, *args[1:])
        return func(*args, **kwargs)


def _linear(func: Callable[..., Any], input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if isinstance(input, SparseFeatures) and _is_dense_matrix(weight):
        out = _sparse_product(input.csr, weight.t())
    elif _is_dense_matrix(input) and _is_dense_matrix(weight) and len(weight) <= NARROW:
        out = (weight @ input.mT).mT
    else:
        out, bias = func(input, weight, bias), None
    return out if bias is None else out + bias


def _is_sparse_matrix(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout != torch.strided and value.dim() == 2


def _is_dense_matrix(value: Any) -> bool:
    dense = isinstance(value, Tensor) and not isinstance(value, SparseFeatures) and value.layout == torch.strided
    return dense and value.dim() == 2


def _sparse_product(matrix: Tensor, x: Tensor, reduce: str = "sum") -> Tensor:
    """The product of a constant sparse matrix (M, N) with x (N, F), or another reduction over its rows.

    Inside of `vmap`, x stands for those of n networks, of which several side by side are one matrix. They are taken out
    of it and put back by hand: a :class:`torch.autograd.Function` with a rule for `vmap` takes longer than the product.
    """
    if not _functorch.is_batchedtensor(x):
        return _product(matrix, x, reduce)
    stacked = _functorch.get_unwrapped(x).movedim(_functorch.maybe_get_bdim(x), 1)  # (N, n, F)
    blocks = stacked.split(max(1, COLUMNS // max(1, stacked.size(2))), dim=1)
    products = [_product(matrix, block.flatten(1), reduce).view(-1, *block.shape[1:]) for block in blocks]
    out = products[0] if len(products) == 1 else torch.cat(products, dim=1)
    batched: Tensor = _functorch._add_batch_dim(out, 1, _functorch.maybe_get_level(x))
    return batched


def _product(matrix: Tensor, x: Tensor, reduce: str) -> Tensor:
    if reduce != "sum":
        return torch.sparse.mm(matrix, x, reduce)
    if matrix.layout != torch.sparse_csr or matrix.device.type != "cpu" or x.dtype != torch.float32:
        return matrix @ x
    # The same sums of rows of x, in a third of the time of MKL's product.
    return functional.embedding_bag(
        matrix.col_indices(),
        x.contiguous(),
        matrix.crow_indices(),
        mode="sum",
        per_sample_weights=matrix.values(),
        include_last_offset=True,
    )
