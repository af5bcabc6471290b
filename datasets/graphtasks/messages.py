"""Messages of large graphs, made for some nodes after others so that they never take all memory at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import Aggregation, MessagePassing

# Numbers that the messages of a block hold, 256 MiB in float32.
MAX_NUMBERS = 2**26

# Edges below which the messages of no usual layer hold more.
MIN_EDGES = 2**17

# Modules of aggregations at each node by itself, and of their combinations.
SEPARABLE = frozenset(f"torch_geometric.nn.aggr.{name}" for name in ("basic", "fused", "multi", "scaler"))


@contextmanager
def bounded_messages(model: nn.Module, num_edges: int, limit: int = MAX_NUMBERS) -> Iterator[None]:
    """Let PyG's layers make the messages to one block of nodes after another, as many at once as the limit allows.

    A layer that gets edges as (2, E) copies for each edge the features of a node, E x H numbers, where its output has
    N x H. All messages to a node are in one block, so that what is computed stays the same, also with attention, up to
    the rounding of matrix products within messages. For code without gradients. Layers on sparse matrices, which make
    no messages, and layers with aggregations other than those of `torch_geometric.nn.aggr.basic` are left alone.

    Args:
        model: The model.
        num_edges: Number of edges of the graph, of which there must be many.
        limit: Numbers in the messages of a block, or in those to one node where they are more.
    """
    layers = [module for module in model.modules() if isinstance(module, MessagePassing) and _separable(module)]
    if num_edges < MIN_EDGES or torch.is_grad_enabled():
        layers = []
    for layer in layers:
        vars(layer)["propagate"] = partial(_in_blocks, layer, layer.propagate, ("message", "aggregate"), limit)
        vars(layer)["edge_updater"] = partial(_in_blocks, layer, layer.edge_updater, ("edge_update",), limit)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["propagate"], vars(layer)["edge_updater"]


def _in_blocks(
    layer: MessagePassing,
    function: Callable[..., Any],
    steps: tuple[str, ...],
    limit: int,
    edge_index: Any,
    size: Any = None,
    **kwargs: Any,
) -> Any:
    end, dim = (1 if layer.flow == "source_to_target" else 0), layer.node_dim
    names = _lifted(type(layer), steps)  # type: ignore[arg-type]
    lifted = {name: kwargs[name] for name in names if kwargs.get(name) is not None}
    tables = [
        value
        for pair in lifted.values()
        for value in (pair if isinstance(pair, tuple | list) else [pair])
        if isinstance(value, Tensor)
    ]
    of_edges = {name: value for name, value in kwargs.items() if name not in lifted and isinstance(value, Tensor)}
    if type(edge_index) is not Tensor or not tables:
        return function(edge_index, size=size, **kwargs)
    count, nodes = edge_index.size(1), _targets(lifted, size, end, dim)
    width = sum(value.numel() // max(1, value.size(dim)) for value in tables)
    of_edges = {name: value for name, value in of_edges.items() if value.dim() and len(value) == count}
    # Where there are as many nodes as edges, nothing tells whose a table is.
    if count * width <= limit or nodes is None or (of_edges and nodes == count):
        return function(edge_index, size=size, **kwargs)

    each = max(1, limit // width)
    degrees = torch.bincount(edge_index[end], minlength=nodes)
    block = (degrees.cumsum(0) - 1).clamp(min=0) // each  # of each node, by its last edge
    order = block[edge_index[end]].argsort(stable=True)
    number = int(block[-1]) + 1
    node_ends = torch.bincount(block, minlength=number).cumsum(0).tolist()
    edge_ends = torch.bincount(block, weights=degrees.double(), minlength=number).long().cumsum(0).tolist()
    result: Tensor | None = None
    for i, (node_end, edge_end) in enumerate(zip(node_ends, edge_ends, strict=True)):
        first_node, first_edge = (node_ends[i - 1], edge_ends[i - 1]) if i else (0, 0)
        if node_end == first_node:
            continue
        edges = order[first_edge:edge_end]
        sliced = {name: value[edges] for name, value in of_edges.items()}
        part = function(edge_index[:, edges], size=size, **{**kwargs, **sliced})
        if "edge_update" in steps:
            result = part.new_empty(count, *part.shape[1:]) if result is None else result
            result[edges] = part
            continue
        result = torch.empty_like(part) if result is None else result
        result.narrow(dim, first_node, node_end - first_node).copy_(part.narrow(dim, first_node, node_end - first_node))
    return result


def _separable(layer: MessagePassing) -> bool:
    """Whether what is aggregated at a node depends on messages to it alone; an LSTM also counts those to others."""
    parts = [module for module in layer.aggr_module.modules() if isinstance(module, Aggregation)]
    return all(type(part).__module__ in SEPARABLE for part in parts)


@cache
def _lifted(layer: type[MessagePassing], steps: tuple[str, ...]) -> frozenset[str]:
    """Names of the tables of nodes that a layer's messages take rows of, such as `x` for `x_i` and `x_j`."""
    names = (name for step in steps for name in inspect.signature(getattr(layer, step)).parameters)
    return frozenset(name[:-2] for name in names if name.endswith(("_i", "_j")) and name not in ("size_i", "size_j"))


def _targets(lifted: dict[str, Any], size: Any, end: int, dim: int) -> int | None:
    """Number of nodes that messages go to, where it can be told."""
    if size is not None and size[end] is not None:
        return int(size[end])
    for value in lifted.values():
        table = value[end] if isinstance(value, tuple | list) else value
        if isinstance(table, Tensor):
            return table.size(dim)
    return None
