"""Peak of the memory that tensors take while a block runs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all dense tensors that are made in its block, while they live.

    It counts what is inside of :func:`torch.vmap` and of the backward pass, too, and on every device alike; the work
    space of single operations is left out.

    >>> with LiveBytes() as live:
    ...     for _ in range(3):
    ...         table = torch.zeros(10, 10) + 1  # the zeros and their sum live at the same time
    >>> live.peak
    1200
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        given = _storages((args, kwargs))
        for key, storage in _storages(out).items():
            if key not in given and key not in self._alive:
                self._count(key, storage)
        return out

    def _count(self, key: int, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()

        def gone(_: object) -> None:
            self.now -= size
            del self._alive[key]

        self._alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def _storages(values: Any) -> dict[int, torch.UntypedStorage]:
    tensors = (value for value in tree_leaves(values) if isinstance(value, Tensor) and value.layout == torch.strided)
    return {id(storage): storage for storage in (tensor.untyped_storage() for tensor in tensors)}
