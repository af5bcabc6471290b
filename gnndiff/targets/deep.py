"""The ends of layers with skips, and of networks whose residuals carry units from block to block."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn.attention import PerformerAttention

from gnndiff.layers import Residual, Skip
from gnndiff.targets.ends import Ends, child, elementwise, ends, only, shared


@ends.register
def _(layer: Skip) -> Ends:
    return child(layer, "conv") + child(layer, "lin")


@ends.register
def _(network: Residual) -> Ends:
    only(network, "lin_in.", "layers.", "norms.", "lin_out.")
    blocks = [child(network, f"layers.{i}") for i in range(len(network.layers))]
    norms = [elementwise(norm).within(f"norms.{i}.") for i, norm in enumerate(network.norms)]
    return carried(network, [a + b for a, b in zip(blocks, norms, strict=True)])


@ends.register
def _(attention: nn.MultiheadAttention) -> Ends:
    return Ends(("out_proj.weight", "out_proj.bias"), ("in_proj_weight",))


@ends.register
def _(attention: PerformerAttention) -> Ends:
    rows = tuple(f"attn_out.{name}" for name in attention.attn_out.state_dict())
    return Ends(rows, tuple(f"{name}.weight" for name in ("q", "k", "v")))


def in_blocks(network: nn.Module, *parts: str) -> Ends:
    """The ends of a network of `blocks`, each with some parts that read and add to what residuals carry, an `mlp` and
    normalisations `norm1` to `norm3`. Units inside of attention keep their order."""
    only(network, "lin_in.", "blocks.", "lin_out.")
    blocks = []
    for i, block in enumerate(network.blocks):  # type: ignore[arg-type]
        prefix = f"blocks.{i}."
        made = [child(network, prefix + part) for part in (*parts, "mlp") if getattr(block, part) is not None]
        norms = [name for name in ("norm1", "norm2", "norm3") if getattr(block, name) is not None]
        made += [elementwise(getattr(block, name)).within(f"{prefix}{name}.") for name in norms]
        blocks.append(sum(made, Ends()))
    return carried(network, blocks)


def carried(network: nn.Module, blocks: list[Ends]) -> Ends:
    """The ends of a network of blocks between `lin_in` and `lin_out`, whose residuals carry all units in one order."""
    first, last = child(network, "lin_in"), child(network, "lin_out")
    inside = tuple(units for block in (first, *blocks, last) for units in block.inside)
    stream = shared([first, *blocks], [*blocks, last])
    return Ends(last.rows, first.reads, inside=(*inside, stream))
