"""How a model is called with a graph, and how it scores pairs of nodes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAE

from graphtasks.errors import InvalidDataError


def forward(model: nn.Module, data: Data) -> Tensor:
    """Call a model with those attributes of a graph that its `forward` names.

    A model with `forward(x, edge_index, edge_weight=None)` gets `data.x`, `data.edge_index` and, where the graph has
    it, `data.edge_weight`; one that asks for `dmd_modes` gets what the transform of that name stored. Where the graph
    has a sparse matrix `adj_t`, as :class:`~torch_geometric.transforms.ToSparseTensor` makes it, it takes the place of
    `edge_index` and `edge_weight`, as in PyG's own examples. For PyG's autoencoders, the encoder is called.

    Raises:
        InvalidDataError: The graph lacks an attribute that has no default.
    """
    called = original(model)
    called = called.encoder if isinstance(called, GAE) else called
    arguments = {}
    sparse = data.get("adj_t") is not None
    for parameter in _parameters(called.forward):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if sparse and parameter.name in ("edge_index", "edge_weight"):
            if parameter.name == "edge_index":
                arguments["edge_index"] = data.adj_t
        elif data.get(parameter.name) is not None:
            arguments[parameter.name] = data[parameter.name]
        elif parameter.default is parameter.empty:
            raise InvalidDataError(
                f"{type(called).__name__}.forward needs `{parameter.name}`, which the graph lacks: "
                f"set data.{parameter.name}, or apply the transform that makes it"
            )
    output: Tensor = cast(Any, model).encode(**arguments) if isinstance(original(model), GAE) else model(**arguments)
    return output


def _parameters(method: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    """Parameters of a method but for its object, found out once for each function."""
    function = getattr(method, "__func__", None)
    return _signature(method) if function is None else _signature(function)[1:]


@lru_cache(maxsize=256)
def _signature(function: Callable[..., Any]) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(function).parameters.values())


def decode(model: nn.Module, z: Tensor, pairs: Tensor, messages: Tensor | None = None) -> Tensor:
    """Scores (M,) of pairs of nodes (2, M), before a sigmoid: by the model's `decode`, else the inner product of rows.

    Args:
        model: The model that made `z`. A `decode`, or a decoder of PyG's autoencoder, that has a parameter `messages`
            gets the edges.
        z: A row for each node (N, D).
        pairs: Pairs of nodes.
        messages: Edges (2, E) that messages passed along.
    """
    whole = original(model)
    autoencoder = isinstance(whole, GAE)
    if not autoencoder and not hasattr(model, "decode"):
        return (z[pairs[0]] * z[pairs[1]]).sum(dim=-1)
    answers = whole.decoder.forward if autoencoder else whole.decode
    options: dict[str, Any] = {"sigmoid": False} if autoencoder else {}
    if "messages" in inspect.signature(answers).parameters:
        options["messages"] = messages
    return cast(Any, model).decode(z, pairs, **options).view(-1)


def original(model: nn.Module) -> Any:
    """The model that went into torch.compile."""
    return getattr(model, "_orig_mod", model)
