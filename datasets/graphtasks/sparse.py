"""Sparse features that any model takes for a dense table, without multiplying their zeros."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map

# Above this share of entries other than zero the dense product is the faster one.
MAX_DENSITY = 0.1


class SparseFeatures(Tensor):
    """A table (N, F) in CSR form whose products with weights and with adjacencies leave its zeros out.

    `functional.linear`, `dropout` and `@` keep it sparse; what a constant sparse adjacency makes of it is computed
    once and kept. In all other operations it is the dense table. It has no gradient.

    Args:
        csr: Sparse CSR tensor (N, F).

    >>> x = SparseFeatures(torch.eye(3).to_sparse_csr())
    >>> x.shape, (x @ torch.ones(3, 2)).tolist()
    (torch.Size([3, 3]), [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    """

    csr: Tensor
    _products: list[tuple[Tensor, int, tuple[Any, ...], Tensor]]

    @staticmethod
    def __new__(cls, csr: Tensor) -> SparseFeatures:
        x = Tensor._make_wrapper_subclass(cls, csr.shape, dtype=csr.dtype, device=csr.device)
        x.csr = csr
        x._products = []
        return x

    @cached_property
    def dense(self) -> Tensor:
        """The table with its zeros."""
        return self.csr.to_dense()

    @cached_property
    def transposed(self) -> Tensor:
        """The transpose (F, N) in CSR form, for the backward pass."""
        return _csr(self.csr.t())

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.linear and isinstance(args[0], cls):
            return _linear(*args, **kwargs)
        if func is functional.dropout:
            return _dropout(*args, **kwargs)
        if func in _PRODUCTS and not kwargs:
            left, right = args[:2]
            if (
                isinstance(left, cls)
                and not isinstance(right, cls)
                and right.dim() == 2
                and right.layout == left.layout
            ):
                return _Product.apply(left, right)
            if isinstance(right, cls) and left.layout != torch.strided and not left.requires_grad:
                return right._propagated(func, args)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        def dense(value: Any) -> Any:
            return value.dense if isinstance(value, cls) else value

        return func(*tree_map(dense, args), **tree_map(dense, kwargs or {}))

    def _propagated(self, func: Callable[..., Any], args: Sequence[Any]) -> Tensor:
        adjacency, options = args[0], tuple(args[2:])
        for known, version, known_options, result in self._products:
            if known is adjacency and version == adjacency._version and known_options == options:
                return result
        with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
            result = sparse_features(func(adjacency, self.dense, *options))
        self._products.append((adjacency, adjacency._version, options, result))
        return result


_PRODUCTS = {torch.matmul, torch.mm, Tensor.matmul, Tensor.mm, Tensor.__matmul__, torch.sparse.mm}


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: SparseFeatures, weight: Tensor) -> Tensor:
        ctx.x = x
        return x.csr @ weight

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, ctx.x.transposed @ grad


def _linear(x: SparseFeatures, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    out: Tensor = _Product.apply(x, weight.t())
    return out if bias is None else out + bias


def _dropout(x: SparseFeatures, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or p == 0:
        return x
    csr = x.csr
    values = functional.dropout(csr.values(), p)
    rows, columns = csr.crow_indices(), csr.col_indices()
    return SparseFeatures(torch.sparse_csr_tensor(rows, columns, values, csr.shape, check_invariants=False))


def sparse_features(x: Tensor) -> Tensor:
    """A table (N, F) as `SparseFeatures` where at most a tenth of it is not zero, else as it is."""
    if x.dim() != 2 or x.layout != torch.strided or x.requires_grad or isinstance(x, SparseFeatures):
        return x
    if not x.numel() or int(x.count_nonzero()) > MAX_DENSITY * x.numel():
        return x
    return SparseFeatures(_csr(x))


def _csr(x: Tensor) -> Tensor:
    with warnings.catch_warnings():  # torch warns once a process that CSR is in beta
        warnings.filterwarnings("ignore", "Sparse")
        return x.to_sparse_csr()
