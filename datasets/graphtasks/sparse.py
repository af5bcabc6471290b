"""Sparse features that any model takes for a dense table, without multiplying their zeros."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from graphtasks.errors import InvalidDataError

# Above this share of entries other than zero the dense product is the faster one.
MAX_DENSITY = 0.1

CONSTANT = "the features cannot be changed in place: change a copy, as of x.clone()"

# Products that are kept, the newest ones.
MAX_PRODUCTS = 4


class SparseFeatures(Tensor):
    """A table (N, F) in CSR form whose products with weights and with adjacencies leave its zeros out.

    `functional.linear`, `dropout` and `@` keep it sparse; its product with a constant sparse adjacency is computed
    once and kept. In all other operations it is the dense table. It has no gradient.

    Args:
        csr: Sparse CSR tensor (N, F).

    >>> x = sparse_features(torch.eye(20))
    >>> type(x).__name__, x.shape, bool((x @ torch.ones(20, 2) == 1).all())
    ('SparseFeatures', torch.Size([20, 20]), True)
    """

    csr: Tensor
    _products: deque[tuple[Tensor, int, tuple[Any, ...], Tensor, int]]

    @staticmethod
    def __new__(cls, csr: Tensor) -> SparseFeatures:
        x = Tensor._make_wrapper_subclass(cls, csr.shape, dtype=csr.dtype, device=csr.device)
        x.csr = csr
        x._products = deque(maxlen=MAX_PRODUCTS)
        return x

    @cached_property
    def dense(self) -> Tensor:
        """The table with its zeros."""
        return self.csr.to_dense()

    def __deepcopy__(self, memo: dict[int, Any]) -> SparseFeatures:
        return memo.setdefault(id(self), SparseFeatures(self.csr.clone()))

    @cached_property
    def transposed(self) -> Tensor:
        """The transpose (F, N) in CSR form, for the backward pass."""
        return _csr(self.csr.t())

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.__setitem__ and isinstance(args[0], cls):
            raise InvalidDataError(CONSTANT)
        if func in _EXPORTS:
            return func(args[0].dense, *args[1:], **kwargs)
        known = cls._known(func, args, kwargs)
        if known is not None:
            return known
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def _known(cls, func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if func is functional.linear and isinstance(args[0] if args else kwargs["input"], cls):
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
            if isinstance(right, cls) and not isinstance(left, cls) and not left.requires_grad:
                if left.layout != torch.strided:
                    return right._propagated(func, args)
                if left.dim() == 2:
                    return (right.transposed @ left.t()).t()
        return None

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if isinstance(value, cls) and argument.alias_info is not None and argument.alias_info.is_write:
                raise InvalidDataError(CONSTANT)

        def dense(value: Any) -> Any:
            return value.dense if isinstance(value, cls) else value

        return func(*tree_map(dense, args), **tree_map(dense, kwargs or {}))

    def _propagated(self, func: Callable[..., Any], args: Sequence[Any]) -> Tensor:
        adjacency, options = args[0], tuple(args[2:])
        for known, version, known_options, result, result_version in self._products:
            if (
                known is adjacency
                and version == adjacency._version
                and known_options == options
                and result_version == result._version
            ):
                return result
        with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
            result = sparse_features(func(adjacency, self.dense, *options))
        self._products.append((adjacency, adjacency._version, options, result, result._version))
        return result


_EXPORTS = {Tensor.numpy, Tensor.tolist, Tensor.__array__}

_PRODUCTS = {torch.matmul, torch.mm, Tensor.matmul, Tensor.mm, Tensor.__matmul__, torch.sparse.mm}


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: SparseFeatures, weight: Tensor) -> Tensor:
        ctx.x = x
        with torch.autocast(x.device.type, enabled=False):  # few sparse products exist in lower precision
            return x.csr @ weight.to(x.csr.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        return None, ctx.x.transposed @ grad


def _linear(input: SparseFeatures, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    out: Tensor = _Product.apply(input, weight.t())
    return out if bias is None else out + bias


def _dropout(input: SparseFeatures, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or p == 0:
        return input
    csr = input.csr
    values = functional.dropout(csr.values(), p)
    rows, columns = csr.crow_indices(), csr.col_indices()
    return SparseFeatures(torch.sparse_csr_tensor(rows, columns, values, csr.shape, check_invariants=False))


_KNOWN: MutableMapping[Tensor, tuple[int, SparseFeatures | None]] = WeakTensorKeyDictionary()
"""Tables as sparse ones, with the version that they are of, so that all trainings on a graph share them."""


def sparse_features(x: Tensor) -> Tensor:
    """A table (N, F) as `SparseFeatures` where at most a tenth of it is not zero, else as it is."""
    if x.dim() != 2 or x.layout != torch.strided or x.requires_grad or isinstance(x, SparseFeatures):
        return x
    if x.is_inference():  # which counts no versions
        found = _sparse(x)
        return x if found is None else found
    version, found = _KNOWN.get(x, (-1, None))
    if version != x._version:
        found = _sparse(x)
        _KNOWN[x] = x._version, found
    return x if found is None else found


def _sparse(x: Tensor) -> SparseFeatures | None:
    if not x.numel() or int(x.count_nonzero()) > MAX_DENSITY * x.numel():
        return None
    return SparseFeatures(_csr(x))


def _csr(x: Tensor) -> Tensor:
    with warnings.catch_warnings():  # torch warns once a process that CSR is in beta
        warnings.filterwarnings("ignore", "Sparse")
        return x.to_sparse_csr()
