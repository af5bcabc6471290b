"""The layers of a graph neural network as dynamics."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing, Sequential

from dmdgnn.dynamics.base import Dynamics
from dmdgnn.errors import InputError
from dmdgnn.graphs import checked
from dmdgnn.precision import full_precision


@dataclass(frozen=True)
class HiddenStates(Dynamics):
    r"""The hidden states of a graph neural network, random or trained: the initial model of the `"When Graph Neural
    Networks Meet Dynamic Mode Decomposition" <https://arxiv.org/abs/2410.05593>`_ paper.

    .. math::
        X = [h_l, h_{l'}, \dots], \qquad Y = [h_{l+1}, h_{l'+1}, \dots]

    with :math:`h_l` what enters layer l, so that :math:`h_0` are the features and :math:`h_1` is the first hidden state
    after normalisation and activation, and with what leaves the last layer as the last state. A block of columns stands
    for each l with :math:`h_l` and :math:`h_{l+1}` of one width: for :obj:`GCN(F, 64, num_layers=4)`, three of 64
    columns.

    The layers are those in `model.convs`, as PyG's :class:`~torch_geometric.nn.models.basic_gnn.BasicGNN` has them
    (:class:`~torch_geometric.nn.models.GCN`, :class:`~torch_geometric.nn.models.GraphSAGE`,
    :class:`~torch_geometric.nn.models.GAT` ...), else all message passing modules, in the order in which they are
    called. The model gets those attributes of the graph that its `forward` names, all floating point ones in the type
    of its parameters, or the graph itself if it names `data`.

    The model runs in evaluation mode and without gradients, and keeps the mode that it has. Nothing is stored: each
    call reads the weights that the model has then. To let the modes follow a training, apply
    :class:`~dmdgnn.transforms.AddDMDModes` again now and then.

    Args:
        model: A network on graphs.

    Raises:
        InputError: The model has no such layers, no two consecutive states of one width, or needs what the graph lacks.

    >>> from torch_geometric.nn.models import GCN
    >>> data = Data(x=torch.randn(4, 5), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]))
    >>> HiddenStates(GCN(5, 8, num_layers=3)).snapshots(data)[0].shape
    torch.Size([4, 16])
    """

    model: nn.Module

    @property
    def symmetric(self) -> bool:
        """Never: layers are neither linear nor the same."""
        return False

    @full_precision
    def snapshots(self, data: Data) -> tuple[Tensor, Tensor]:
        """Snapshot pairs X, Y, each (N, columns), in the dtype of the features."""
        data = checked(data)
        states = [state.to(data.x.dtype) for state in self.states(data)]
        pairs = [pair for pair in pairwise(states) if pair[0].shape == pair[1].shape]
        if not pairs:
            raise InputError(
                f"the states of {type(self.model).__name__} have widths {[state.size(1) for state in states]}, "
                "expected two consecutive ones that agree: give the model more layers of one width"
            )
        X, Y = (torch.cat(side, dim=1) for side in zip(*pairs, strict=True))
        return X, Y

    @torch.no_grad()
    def states(self, data: Data) -> list[Tensor]:
        """Inputs of each layer and outputs of the last, each (N, width)."""
        inputs: list[Tensor] = []
        outputs: list[Tensor] = []

        def enter(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            inputs.append(_state(args[0] if args else kwargs.get("x"), data))

        def leave(layer: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            outputs[:] = [_state(output, data)]

        model = getattr(self.model, "_orig_mod", self.model)  # of torch.compile, which would not call the hooks
        layers = _layers(model)
        handles = [layer.register_forward_pre_hook(enter, with_kwargs=True) for layer in layers]
        handles += [layer.register_forward_hook(leave) for layer in layers]
        try:
            with _evaluation(model):
                _call(model, data)
        finally:
            for handle in handles:
                handle.remove()
        return inputs + outputs


def _layers(model: nn.Module) -> list[nn.Module]:
    """Each once: one that is called several times is one layer after another."""
    convs = getattr(model, "convs", None)
    layers = convs if isinstance(convs, nn.ModuleList) else _outermost(model)
    unique = list(dict.fromkeys(layers))
    if not unique:
        raise InputError(
            f"{type(model).__name__} has neither `convs` nor message passing modules: give a network on graphs"
        )
    return unique


def _outermost(model: nn.Module) -> Iterator[nn.Module]:
    """The message passing modules that are in no other."""
    if isinstance(model, MessagePassing):
        yield model
    else:
        for child in model.children():
            yield from _outermost(child)


def _state(value: Any, data: Data) -> Tensor:
    # A pair is of sources and targets; the layer updates the latter.
    value = value[-1] if isinstance(value, tuple) else value
    if not isinstance(value, Tensor) or value.dim() != 2 or len(value) != data.num_nodes:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"got a state {got} of a layer, expected a row for each of {data.num_nodes} nodes")
    # A later operation may change it in place.
    return value.clone()


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _call(model: nn.Module, data: Data) -> None:
    dtype = next((parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()), data.x.dtype)
    data = copy.copy(data).apply(lambda value: value.to(dtype) if value.is_floating_point() else value)
    arguments = {}
    for name, default in _defaults(model).items():
        value = data if name == "data" else data.get(name)
        if value is not None:
            arguments[name] = value
        elif default is inspect.Parameter.empty:
            raise InputError(f"{type(model).__name__}.forward needs `{name}`, which the graph lacks: set data.{name}")
    model(**arguments)


def _defaults(model: nn.Module) -> dict[str, Any]:
    """Arguments that `forward` names, with their defaults."""
    if isinstance(model, Sequential):
        return {name: parameter.default for name, parameter in model.signature.param_dict.items()}
    parameters = inspect.signature(model.forward).parameters.values()
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {parameter.name: parameter.default for parameter in parameters if parameter.kind not in free}
