"""Checks of the inputs of layers and models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import SparseTensor

from dmdgnn.errors import InputError
from dmdgnn.graphs import check_index, check_weight, compressed, is_sparse, plain
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.precision import is_lowered

# There are neither complex numbers of these, nor sparse products on the CPU.
LOWER = (torch.bfloat16, torch.float16)


def check_features(x: Any, channels: int) -> None:
    """Raise `InputError` unless `x` is a dense matrix (..., N, channels)."""
    check_dense(x)
    if x.dim() < 2 or (channels > 0 and x.size(-1) != channels):
        hint = ", or add a dimension by x.unsqueeze(-1)" if x.dim() == 1 else ""
        raise InputError(
            f"got x of shape {tuple(x.shape)}, expected (N, {channels}): features of this layer's in_channels{hint}"
        )


def check_dense(x: Any) -> None:
    """Raise `InputError` unless `x` is a dense tensor, and where :func:`torch_geometric.nn.to_hetero` traces."""
    if isinstance(x, Tensor) and x.layout == torch.strided:
        return
    if isinstance(x, torch.fx.Proxy):
        raise InputError(
            "layers of modes cannot be traced, as to_hetero and symbolic_trace do: modes belong to the nodes of one "
            "type, so give each type a layer of its own, or take to_homogeneous()"
        )
    got = f"a tensor of {x.layout}" if isinstance(x, Tensor) else type(x).__name__
    remedy = "x.to_dense()" if is_sparse(x) else "torch.as_tensor"
    raise InputError(f"got x as {got}, expected a dense tensor: convert it by {remedy}")


def check_spectrum(
    x: Tensor, modes: Tensor, eigs: Tensor | None, duals: Tensor | None, rank: int, graphs: Ragged | None
) -> Tensor:
    """The eigenvalues (r,) of one graph or (B, r), or their blocks (r, r) or (B, r, r), if all fits.

    Raises:
        InputError: Shapes or precisions do not fit, or complex eigenvalues do not stand beside their conjugates.
    """
    if eigs is None:
        raise InputError("got modes without eigenvalues: pass both, or an operator")
    for name, value in (("modes", modes), ("eigenvalues", eigs), ("dual modes", modes if duals is None else duals)):
        if not isinstance(value, Tensor):
            raise InputError(f"got {name} as {type(value).__name__}, expected a tensor, as AddDMDModes stores it")
    count = 1 if graphs is None else len(graphs)
    shapes = ((count, rank), (count, rank, rank)) + (((rank,),) if graphs is None else ())
    if modes.shape != (x.size(-2), rank) or eigs.shape not in shapes:
        hint = "" if graphs is not None or eigs.dim() < 2 or len(eigs) < 2 else ", or pass batch for several graphs"
        if graphs is None and eigs.shape == (rank, rank):
            hint += f", or, if these are blocks, (1, {rank}, {rank})"
        expected = f"({rank},)" if graphs is None else f"({count}, {rank})"
        raise InputError(
            f"got modes {tuple(modes.shape)} and eigenvalues {tuple(eigs.shape)} for x {tuple(x.shape)}, expected "
            f"({x.size(-2)}, {rank}) and {expected}: compute the modes of this graph with this rank{hint}"
        )
    if duals is not None and duals.shape != modes.shape:
        raise InputError(f"got dual modes {tuple(duals.shape)}, expected the shape of the modes {tuple(modes.shape)}")
    if not _same_precision(x, modes, eigs, duals):
        raise InputError(
            f"got modes of {modes.dtype} and eigenvalues of {eigs.dtype} for x of {x.dtype}, expected the same "
            "precision, and real modes: convert them; of complex modes pass DMD.real_modes"
        )
    if eigs.is_complex():
        _check_pairs(eigs)
    return eigs.squeeze(0) if graphs is None and eigs.dim() > 1 else eigs


def graphs_of(batch: Tensor | Ragged | None, eigs: Tensor | None, num_nodes: int) -> Ragged | None:
    """The rows of each graph, of a batch vector (N,) or what was made of it; none for one graph.

    Raises:
        InputError: The batch vector is not sorted, or is of other nodes or graphs than modes and eigenvalues.
    """
    if batch is None:
        return None
    count = eigs.size(0) if isinstance(eigs, Tensor) and eigs.dim() > 1 else None
    if isinstance(batch, Tensor):
        if batch.dim() != 1 or batch.dtype != torch.int64:
            raise InputError(f"got batch {tuple(batch.shape)} of {batch.dtype}, expected ({num_nodes},) of torch.int64")
        _check_nodes(len(batch), num_nodes)
        if count is None:
            shape = None if eigs is None else tuple(eigs.shape)
            raise InputError(f"got batch for several graphs and eigenvalues {shape}, expected (graphs, r): a row each")
        if len(batch) == 0 or int(batch.min()) < 0 or int(batch.max()) >= count:
            names = f"of graphs {int(batch.min())} to {int(batch.max())}" if len(batch) else "without nodes"
            raise InputError(f"got a batch {names}, and eigenvalues of {count}: pass the eigenvalues of this batch")
        missing = count - len(batch.unique())
        if missing:
            raise InputError(
                f"got eigenvalues of {count} graphs, {missing} of which have no node in batch: pass the eigenvalues of "
                "this batch"
            )
        batch = Ragged.from_batch(batch, count)
    if not isinstance(batch, Ragged):
        raise InputError(f"got batch as {type(batch).__name__}, expected a tensor (N,) or a dmdgnn.kernels.Ragged")
    if len(batch) != count:
        shape = None if eigs is None else tuple(eigs.shape)
        raise InputError(f"got {len(batch)} graphs and eigenvalues {shape}, expected a row for each")
    _check_nodes(batch.num_rows, num_nodes)
    return batch


def _check_nodes(of_graphs: int, of_features: int) -> None:
    if of_graphs != of_features:
        raise InputError(f"got graphs of {of_graphs} nodes and features of {of_features}: pass those of one batch")


def local_graph(x: Tensor, edge_index: Any, edge_weight: Tensor | None) -> tuple[Any, Tensor | None]:
    """Edges (2, E), or a sparse adjacency, and weights (E,), in the precision of x, as transforms take them, too.
    Within autocast they keep their own, as degrees are sums of them.

    Raises:
        InputError: They are of other forms. Values are not read.
    """
    if edge_index is None:
        raise InputError("this layer has a local term: pass edge_index")
    lowered = is_lowered(x.device)
    if is_sparse(edge_index):
        if edge_weight is not None:
            raise InputError("got a sparse adjacency, whose entries are weights, and edge_weight: leave one out")
        if isinstance(edge_index, Tensor) and x.device.type == "cpu" and (lowered or x.dtype in LOWER):
            raise InputError(
                "got a sparse adjacency for a precision below float32, in which torch multiplies none on the CPU: pass "
                "edge_index (2, E), or compute in float32"
            )
        return compressed(edge_index if lowered else edge_index.to(x.dtype), x.size(-2)), None
    if isinstance(edge_index, EdgeIndex) and edge_index.dtype != torch.int64:
        edge_index = plain(edge_index)  # the others keep what PyG knows of them
    check_index(edge_index)
    if edge_weight is None:
        return edge_index, None
    check_weight(edge_weight, edge_index.size(1))
    return edge_index, edge_weight if lowered else edge_weight.to(x.dtype)


def reverse(edge_index: Any) -> Any:
    """The edges of :func:`local_graph` against their direction."""
    if isinstance(edge_index, SparseTensor):
        return edge_index.t()
    return edge_index.t().to_sparse_csr() if is_sparse(edge_index) else edge_index.flip(0)


def _same_precision(x: Tensor, modes: Tensor, eigs: Tensor, duals: Tensor | None) -> bool:
    precision = eigs.real.dtype if eigs.is_complex() else eigs.dtype
    if x.dtype == precision == modes.dtype and (duals is None or duals.dtype == precision):
        return True
    others = (modes,) if duals is None else (modes, duals)
    if is_lowered(x.device):
        # Autocast lowers float32 only.
        double = {part.dtype == torch.float64 for part in (x, *others)}
        return len(double) == 1 and x.is_floating_point() and all(part.is_floating_point() for part in others)
    # Eigenvalues may keep their precision, as complex ones must.
    lower = x.dtype in LOWER and precision == torch.float32
    return (precision == x.dtype or lower) and all(part.dtype == x.dtype for part in others)


def _check_pairs(eigs: Tensor) -> None:
    # The check reads values, which neither a compiled graph nor the meta device has.
    if torch.compiler.is_compiling() or eigs.is_meta:
        return
    place = _first_alone(eigs)
    if place is not None:
        raise InputError(
            f"got complex eigenvalues without their conjugates beside them, the first at {place}, "
            f"{complex(eigs.detach()[place]):.3g}: expected pairs side by side, the positive imaginary part first, as "
            "DMD.eigs has them, and none cut by a rank"
        )


def _first_alone(eigs: Tensor) -> tuple[int, ...] | None:
    """The place of the first eigenvalue without its conjugate where a pair has it, if there is one."""
    if eigs.size(-1) == eigs.numel():
        # For one graph, a loop is many times faster than the kernels' overhead, which its layers would feel.
        values, place = eigs.tolist(), 0
        while isinstance(values[0], list):
            values = values[0]
        while place < len(values):
            value = values[place]
            if value.imag == 0:
                place += 1
                continue
            mate = values[place + 1] if value.imag > 0 and place + 1 < len(values) else None
            if mate is None or not abs(mate - value.conjugate()) <= 1e-3 * abs(value):
                return (0,) * (eigs.dim() - 1) + (place,)
            place += 2
        return None
    eigs = eigs.detach()
    partner = torch.arange(eigs.size(-1), device=eigs.device) + eigs.imag.sign().long()
    inside = (partner >= 0) & (partner < eigs.size(-1))
    mates = eigs.gather(-1, torch.where(inside, partner, 0))
    paired = inside & ((mates - eigs.conj()).abs() <= 1e-3 * eigs.abs())
    return None if bool(paired.all()) else tuple((~paired).nonzero()[0].tolist())
