"""The tensors of a layer that have a row for each unit that it makes, or a column for each that it reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from itertools import pairwise

from torch import Tensor, nn
from torch_geometric.nn import EdgeConv, GINConv
from torch_geometric.nn.models import MLP
from torch_geometric.nn.models.basic_gnn import BasicGNN

from dmdgnn.nn import DirDMDConv, DMDConv
from gnndiff.targets.units import Part, Units, under, whole


class UnknownUnitsError(Exception):
    """A layer has tensors of which it is not known how they follow an exchange of units."""


@dataclass(frozen=True)
class Ends:
    """The two ends of a layer.

    Args:
        rows: Names with a row for each unit that the layer makes.
        reads: Names with a column for each unit that it reads.
        filters: Names with a column for each head of the units that it makes.
        heads: Number of heads of these.
        inside: Units that no other layer sees.
    """

    rows: tuple[str | Part, ...] = ()
    reads: tuple[str | Part, ...] = ()
    filters: tuple[str | Part, ...] = ()
    heads: int = 1
    inside: tuple[Units, ...] = ()

    def __add__(self, other: Ends) -> Ends:
        """The ends of two layers whose outputs are added."""
        return Ends(
            self.rows + other.rows,
            self.reads + other.reads,
            self.filters + other.filters,
            max(self.heads, other.heads),
            self.inside + other.inside,
        )

    def within(self, prefix: str) -> Ends:
        """The ends of a layer whose names begin with a prefix in the whole."""
        rows, reads, filters = (under(prefix, names) for names in (self.rows, self.reads, self.filters))
        return Ends(rows, reads, filters, self.heads, tuple(units.within(prefix) for units in self.inside))


def shared(makers: Iterable[Ends], readers: Iterable[Ends]) -> Units:
    """The units that some layers make and others read, all in one order, such as those that residuals carry."""
    made = sum(makers, Ends())
    if not made.rows:
        raise UnknownUnitsError("a layer without rows")
    return Units(made.rows, made.filters + sum(readers, Ends()).reads, made.heads)


def child(module: nn.Module, name: str) -> Ends:
    """The ends of a layer within a module, in the names of the module."""
    return ends(module.get_submodule(name)).within(f"{name}.")


def only(module: nn.Module, *prefixes: str) -> None:
    """Raise `UnknownUnitsError` where a module has tensors, other than numbers, elsewhere than under these prefixes."""
    for name, tensor in module.state_dict().items():
        if tensor.numel() > 1 and not name.startswith(prefixes):
            raise UnknownUnitsError(name)


@singledispatch
def ends(layer: nn.Module) -> Ends:
    """The ends of a layer.

    One of PyG's form is known by the shapes of its tensors: (outputs, inputs), (outputs) or, of attention,
    (1, heads, outputs of a head), where each output has a linear map of its own.

    Raises:
        UnknownUnitsError: It has others.
    """
    ins, outs = getattr(layer, "in_channels", None), getattr(layer, "out_channels", None)
    if not isinstance(ins, int) or not isinstance(outs, int):
        raise UnknownUnitsError(type(layer).__name__)
    heads = int(getattr(layer, "heads", 1))
    concat = bool(getattr(layer, "concat", True))
    rows, reads = [], []
    for name, tensor in layer.state_dict().items():
        if tensor.numel() == 1:
            continue
        if tensor.shape in ((heads * outs, ins), (outs, ins)):
            reads.append(name)
        elif tensor.shape not in ((heads * outs,), (outs,), (1, heads, outs)):
            raise UnknownUnitsError(name)
        rows.append(name)
    if concat or heads == 1:
        return Ends(tuple(rows), tuple(reads), heads=heads)
    # Outputs are means over heads, which may change places.
    state = layer.state_dict()
    by_head = [name for name in rows if state[name].dim() == 3 or len(state[name]) == heads * outs]
    parts = tuple(Part(name, head * outs, (head + 1) * outs) for name in by_head for head in range(heads))
    means = tuple(name for name in rows if name not in by_head)
    return Ends(parts + means, tuple(reads), inside=(Units(tuple(by_head), count=heads),))


@ends.register
def _(layer: nn.Linear) -> Ends:
    return Ends(tuple(layer.state_dict()), ("weight",))


def elementwise(module: nn.Module) -> Ends:
    """The ends of a normalisation or an activation, which does the same to each unit, with parameters of its own."""
    for name, tensor in module.state_dict().items():
        if tensor.dim() > 1:
            raise UnknownUnitsError(name)
    return Ends(tuple(name for name, tensor in module.state_dict().items() if tensor.numel() > 1))


def chain(layers: Sequence[Ends]) -> Ends:
    """The ends of layers of which each reads nothing but what the one before makes."""
    between = tuple(shared([first], [following]) for first, following in pairwise(layers))
    last = layers[-1]
    inside = tuple(units for layer in layers for units in layer.inside)
    return Ends(last.rows, layers[0].reads, last.filters, last.heads, inside + between)


@ends.register
def _(network: MLP) -> Ends:
    only(network, "lins.", "norms.")
    layers = [child(network, f"lins.{i}") for i in range(len(network.lins))]
    for i, norm in enumerate(network.norms):
        layers[i] = layers[i] + elementwise(norm).within(f"norms.{i}.")
    return chain(layers)


@ends.register
def _(network: nn.Sequential) -> Ends:
    layers: list[Ends] = []
    for name, layer in network.named_children():
        weight = getattr(layer, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() == 2:
            layers.append(child(network, name))
        elif layers:
            layers[-1] = layers[-1] + elementwise(layer).within(f"{name}.")
        else:
            raise UnknownUnitsError(name)
    if not layers:
        raise UnknownUnitsError("Sequential")
    return chain(layers)


@ends.register
def _(layer: GINConv) -> Ends:
    only(layer, "nn.")
    return child(layer, "nn")


@ends.register
def _(layer: EdgeConv) -> Ends:
    only(layer, "nn.")
    inner = child(layer, "nn")
    (first,) = inner.reads  # which reads a node beside its difference to a neighbour
    half = layer.state_dict()[whole(first)].size(1) // 2
    reads = Part(whole(first), 0, half), Part(whole(first), half, 2 * half)
    return Ends(inner.rows, reads, inside=inner.inside)


@ends.register
def _(layer: DMDConv) -> Ends:
    if layer.lin is None:
        raise UnknownUnitsError("lin")
    only(layer, "lin.", "filter.", "skip.", "local.", "bias")
    filters = tuple(f"filter.{name}" for name in layer.filter.state_dict())
    parts = [child(layer, name) for name in ("lin", "skip", "local") if getattr(layer, name) is not None]
    bias = Ends(("bias",)) if layer.bias is not None else Ends()
    return sum(parts, Ends(filters=filters, heads=layer.heads)) + bias


@ends.register
def _(layer: DirDMDConv) -> Ends:
    only(layer, "conv_out.", "conv_in.", "skip.", "local_out.", "local_in.", "bias")
    names = ("conv_out", "conv_in", "skip", "local_out", "local_in")
    parts = [child(layer, name) for name in names if getattr(layer, name) is not None]
    return sum(parts, Ends(("bias",) if layer.bias is not None else ()))


@ends.register
def _(network: BasicGNN) -> Ends:
    only(network, "convs.", "norms.", "jk.", "lin.")
    layers = [
        child(network, f"convs.{i}") + elementwise(norm).within(f"norms.{i}.") for i, norm in enumerate(network.norms)
    ]
    if network.jk_mode is None:
        return chain(layers)
    last = child(network, "lin")
    if network.jk_mode == "last":
        return chain([*layers, last])
    inside = tuple(units for layer in layers for units in layer.inside)
    if network.jk_mode == "cat":  # the last layer reads all others side by side
        width = network.hidden_channels
        parts = [Ends(reads=(Part("lin.weight", i * width, (i + 1) * width),)) for i in range(len(layers))]
        between = [
            shared([layer], [*layers[i + 1 : i + 2], part])
            for i, (layer, part) in enumerate(zip(layers, parts, strict=True))
        ]
        return Ends(last.rows, layers[0].reads, inside=(*inside, *between))
    reads = tuple(f"jk.{n}" for n in network.jk.state_dict() if "weight_ih" in n)
    between = [shared(layers, [*layers[1:], Ends(reads=reads), last])]
    return Ends(last.rows, layers[0].reads, inside=(*inside, *between))


def units_of(network: nn.Module) -> list[Units] | None:
    """The units between the layers of a network of PyG's form, or None where some layer is not known."""
    from gnndiff import targets

    targets.available()  # the files of targets say the ends of their networks
    try:
        return list(ends(network).inside)
    except UnknownUnitsError:
        return None
