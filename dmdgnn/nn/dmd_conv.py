"""The graph convolution on DMD modes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn import GCNConv
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import constant, zeros

from dmdgnn.errors import InputError
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.nn.checks import check_features, check_spectrum, graphs_of, local_graph
from dmdgnn.nn.filters import ModeFilter, PolynomialFilter
from dmdgnn.operator import LowRankOperator
from dmdgnn.options import is_integer


class DMDConv(torch.nn.Module):
    r"""The spectral convolution on the modes of a low-rank operator from the `"When Graph Neural Networks Meet
    Dynamic Mode Decomposition" <https://arxiv.org/abs/2410.05593>`_ paper.

    .. math::
        \mathbf{X}^{\prime} = \gamma\, \mathbf{\Phi}\, g(\mathbf{\Lambda})\, \mathbf{\Psi}^{\top}
        \mathbf{X} \mathbf{W} \;+\; \mathbf{X} \mathbf{W}_{\mathrm{skip}} \;+\;
        \mathrm{local}(\mathbf{X}) \;+\; \mathbf{b},

    where :math:`\mathbf{\Phi}` are the modes and :math:`\mathbf{\Lambda}` their eigenvalues, both fixed. The filter
    :math:`g` starts as :math:`g(\lambda) = \lambda`, so that training starts from the estimated operator: it is a
    :class:`~dmdgnn.nn.ModeFilter`, a gain :math:`\lambda_k + \theta_k` for each mode, or, given `degree`, a
    :class:`~dmdgnn.nn.PolynomialFilter`, which is a function of the eigenvalue and so serves graphs that it has not
    seen. The readout :math:`\mathbf{\Psi}` is :math:`\mathbf{\Phi}`, as in the paper, or the dual modes, by which
    :math:`\mathbf{\Phi} \mathbf{\Lambda} \mathbf{\Psi}^{\top}` is the operator also where modes are not orthonormal.
    The skip term, the local one, a convolution over edges, and the gate :math:`\gamma` are optional. Node by node,

    .. math::
        \mathbf{x}^{\prime}_i = \gamma \sum_{k} \phi_{ik}\, g(\lambda_k)\, \mathbf{W}^{\top}
        \sum_j \psi_{jk} \mathbf{x}_j + \dots

    For complex eigenvalues, :math:`\mathbf{\Lambda}` has a real 2 x 2 block for each conjugate pair. The two stand side
    by side, the positive imaginary part first, as :attr:`dmdgnn.DMD.eigs` and :attr:`dmdgnn.DMD.real_modes` have them.
    Not every operator is made up by its eigenvectors. In the place of eigenvalues, the layer takes a real matrix
    :math:`\mathbf{B}` (1, r, r), such as a real Schur form, see :meth:`dmdgnn.LowRankOperator.real_form`. Then gains
    are :math:`\mathbf{B} + \mathrm{diag}(\theta)`, or the polynomial of the matrix. An operator is taken in this form.

    **Precision.** Modes and eigenvalues have the dtype of the features. With features and modes of :obj:`bfloat16` or
    :obj:`float16`, eigenvalues may stay :obj:`float32` or :obj:`complex64`. Within :class:`torch.autocast` any real
    dtype will do, and products are of the lower precision.

    Args:
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each output sample.
        rank (int): Number of modes :math:`r`.
        heads (int, optional): Number of filters, each for :obj:`out_channels / heads` neighbouring output channels:
            :obj:`1` for one that all share, :obj:`out_channels` for one for each channel. (default: :obj:`1`)
        degree (int, optional): Degree of a polynomial filter. (default: :obj:`None`, a gain for each mode)
        skip (bool, optional): Add the linear skip term. (default: :obj:`False`)
        local (bool or callable, optional): Add the local term, which needs :obj:`edge_index`:
            :class:`~torch_geometric.nn.conv.GCNConv`, or what the given function makes of the two numbers of channels,
            any layer with a forward of :obj:`x`, :obj:`edge_index` and :obj:`edge_weight`, which is then
            passed only where there is one. (default: :obj:`False`)
        gate (float, optional): Start of a learnable scalar :math:`\gamma` before the term of the modes, by which it
            can switch itself off, or from :obj:`0` on. (default: :obj:`None`, no gate)
        bias (bool, optional): Add the bias. (default: :obj:`True`)
        weight (bool, optional): If :obj:`False`, the term of the modes has no :math:`\mathbf{W}`: it propagates what it
            gets, and there are as many output channels as input channels. (default: :obj:`True`)

    Shapes:
        - **inputs:**
          node features :math:`(N, F_{in})`, with leading dimensions, if any, that share the modes,
          modes :math:`(N, r)`, real, or a :class:`~dmdgnn.LowRankOperator`, of which modes, eigenvalues and dual modes
          are taken,
          eigenvalues :math:`(r)` or :math:`(1, r)`, real or complex, or :math:`(B, r)` for :math:`B` graphs; or the
          real blocks :math:`(1, r, r)` or :math:`(B, r, r)` in their place,
          edge indices :math:`(2, E)`, or a sparse adjacency :math:`(N, N)` if the local layer takes it, and edge
          weights :math:`(E)` *(local term only)*,
          batch vector :math:`(N)` for several graphs, or a :class:`dmdgnn.kernels.Ragged`, which
          :func:`torch.compile` takes without breaking the graph,
          dual modes :math:`(N, r)` *(optional)*,
          summary :math:`\mathbf{\Psi}^{\top} \mathbf{X}` of all nodes, :math:`(r, F_{in})` or
          :math:`(B, r, F_{in})` *(optional: where it is known, or* :obj:`x` *and modes are of some of the nodes)*
        - **output:** node features :math:`(N, F_{out})`

    Raises:
        InputError: Modes, eigenvalues, features and rank do not fit, a complex eigenvalue has no conjugate beside it,
            or channels differ without a weight.

    >>> conv = DMDConv(16, 8, rank=4)
    >>> conv(torch.randn(10, 16), torch.randn(10, 4), torch.randn(4)).shape
    torch.Size([10, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rank: int,
        heads: int = 1,
        degree: int | None = None,
        skip: bool = False,
        local: bool | Callable[[int, int], torch.nn.Module] = False,
        gate: float | None = None,
        bias: bool = True,
        weight: bool = True,
    ) -> None:
        super().__init__()
        if not weight and in_channels != out_channels:
            raise InputError(
                f"got {in_channels} input and {out_channels} output channels with weight=False, expected the same "
                "number: change one of them, or leave out weight=False"
            )
        if not is_integer(rank) or rank < 1:
            raise InputError(f"got rank={rank!r}, expected a positive integer: the number of modes")
        if not is_integer(heads) or heads < 1 or out_channels % heads:
            raise InputError(f"got heads={heads!r} for {out_channels} output channels, expected a divisor of these")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.rank = rank
        self.heads = heads
        self.degree = degree
        self.weight = weight
        self.initial_gate = gate
        self.lin = Linear(in_channels, out_channels, bias=False, weight_initializer="glorot") if weight else None
        self.filter = ModeFilter(rank, heads) if degree is None else PolynomialFilter(degree, heads)
        self.skip = Linear(in_channels, out_channels, bias=False, weight_initializer="glorot") if skip else None
        make = local if callable(local) else _gcn
        self.local = make(in_channels, out_channels) if local else None
        self.gate: Parameter | None
        self.bias: Parameter | None
        self.register_parameter("gate", None if gate is None else Parameter(torch.empty(())))
        self.register_parameter("bias", Parameter(torch.empty(out_channels)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for part in (self.lin, self.filter, self.skip, self.local):
            if part is not None:
                part.reset_parameters()  # type: ignore[operator]
        if self.gate is not None:
            constant(self.gate, self.initial_gate)
        zeros(self.bias)

    def forward(
        self,
        x: Tensor,
        modes: Tensor | LowRankOperator,
        eigs: Tensor | None = None,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
        batch: Tensor | Ragged | None = None,
        duals: Tensor | None = None,
        summary: Tensor | None = None,
    ) -> Tensor:
        """Convolve `x`; see the class for shapes."""
        check_features(x, self.in_channels)
        if isinstance(modes, LowRankOperator):
            batch = _of_operator(modes, batch)
            modes, eigs, duals = modes.real_form()
            eigs = eigs if eigs.dim() > 2 else eigs.unsqueeze(0)
        graphs = graphs_of(batch, eigs, x.size(-2))
        eigs = check_spectrum(x, modes, eigs, duals, self.rank, graphs)
        readout = modes if duals is None else duals

        # Psi^T (X W) = (Psi^T X) W: take the side first that is cheaper for many nodes.
        if summary is not None:
            self._check_summary(summary, graphs)
            summary = self._weighted(summary)
        elif self.rank * self.in_channels < (self.in_channels + self.rank) * self.out_channels:
            summary = self._weighted(_inner(readout, x, graphs))
        else:
            summary = _inner(readout, self._weighted(x), graphs)
        coefficients = self._filtered(eigs, summary, blocks=eigs.dim() == (2 if graphs is None else 3))
        if self.gate is not None:
            coefficients = self.gate * coefficients
        out = _apply(modes, coefficients, graphs)

        # In place: a fresh matrix (N, F_out) costs as much as a product.
        if self.skip is not None:
            out += self.skip(x)
        if self.local is not None:
            edge_index, edge_weight = local_graph(x, edge_index, edge_weight)
            weight = () if edge_weight is None else (edge_weight,)
            out += self.local(x, edge_index, *weight)
        if self.bias is not None:
            out += self.bias
        return out

    def _check_summary(self, summary: Tensor, graphs: Ragged | None) -> None:
        shape = (self.rank, self.in_channels) if graphs is None else (len(graphs), self.rank, self.in_channels)
        if summary.shape[-len(shape) :] != shape:
            expected = f"{shape}: the dual modes' product with all features"
            raise InputError(f"got a summary {tuple(summary.shape)}, expected {expected}")

    def _weighted(self, x: Tensor) -> Tensor:
        if self.lin is None:
            return x
        out: Tensor = self.lin(x)
        return out

    def _filtered(self, eigs: Tensor, summary: Tensor, blocks: bool) -> Tensor:
        """g(Lambda) applied to the mode coefficients (..., r, F_out)."""
        if blocks:
            return self.filter.of_blocks(eigs.to(summary.dtype), summary)
        gains = self.filter(eigs).repeat_interleave(self.out_channels // self.heads, dim=-1)
        if not eigs.is_complex():
            return gains.to(summary.dtype) * summary
        # Each column of a pair takes its partner with the imaginary part of its own gain.
        partner = torch.arange(self.rank, device=eigs.device) + eigs.imag.sign().long()
        real, imag = gains.real.to(summary.dtype), gains.imag.to(summary.dtype)
        return real * summary + imag * summary.gather(-2, partner.unsqueeze(-1).expand_as(summary))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, rank={self.rank})"


def _of_operator(operator: LowRankOperator, batch: Tensor | Ragged | None) -> Ragged | Tensor | None:
    """The graphs of an operator, which those of the batch must be."""
    if operator.ragged is None or batch is None:
        return batch if operator.ragged is None else operator.ragged
    given = Ragged.from_batch(batch, len(operator.ragged)) if isinstance(batch, Tensor) else batch
    if not torch.equal(given.ptr, operator.ragged.ptr):
        raise InputError("got an operator of other graphs than those of batch: leave out batch, or pass its operator")
    return operator.ragged


def _gcn(in_channels: int, out_channels: int) -> GCNConv:
    return GCNConv(in_channels, out_channels, bias=False)


def _inner(readout: Tensor, x: Tensor, graphs: Ragged | None) -> Tensor:
    """Psi^T X, (..., r, F) or (..., B, r, F), for x (..., N, F)."""
    if graphs is None:
        return readout.mT @ x
    if x.dim() == 2:
        return graphs.inner(readout, x)
    columns = graphs.inner(readout, x.flatten(0, -3).movedim(0, 1).flatten(1))
    return columns.unflatten(-1, (-1, x.size(-1))).movedim(-2, 0).unflatten(0, x.shape[:-2])


def _apply(modes: Tensor, coefficients: Tensor, graphs: Ragged | None) -> Tensor:
    """Phi C, (..., N, F), for coefficients (..., r, F) or (..., B, r, F)."""
    if graphs is None:
        return modes @ coefficients
    if coefficients.dim() == 3:
        return graphs.apply(modes, coefficients)
    rows = graphs.apply(modes, coefficients.flatten(0, -4).movedim(0, -2).flatten(-2))
    return rows.unflatten(-1, (-1, coefficients.size(-1))).movedim(1, 0).unflatten(0, coefficients.shape[:-3])
