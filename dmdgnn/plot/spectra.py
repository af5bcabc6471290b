"""Figures of eigenvalues, and of what a layer makes of them."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.nn.dmd_conv import DMDConv
from dmdgnn.nn.filters import PolynomialFilter
from dmdgnn.plot import blocks
from dmdgnn.plot.axes import REFERENCE, new_axes, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Up to that many heads have a colour, a marker and a line of the legend each; more share one colour.
MARKERS = "os^Dv<>P"


def spectrum(eigs: Tensor, ax: Axes | None = None) -> Axes:
    r"""Eigenvalues in the complex plane with the unit circle; where all are real, as stems over their index.

    Modes inside of the unit circle, or of :math:`|\lambda| < 1`, fade with each step of the dynamics, those on it stay,
    those outside of it grow. The two of a conjugate pair turn nodes' states by their angle in each step.

    Args:
        eigs: Eigenvalues (r,) or (1, r), real or complex, as :attr:`dmdgnn.DMD.eigs`,
            :attr:`dmdgnn.LowRankOperator.eigs` and `data.dmd_eigs` are; or real blocks (1, r, r), as the last may be.
        ax: Axes to draw on, by default those of a new figure.

    Returns:
        The axes.

    Raises:
        InputError: The eigenvalues are those of several graphs, none, or not finite.
        MissingPackageError: matplotlib is not installed.

    >>> from matplotlib.figure import Figure
    >>> spectrum(torch.tensor([0.9 + 0.2j, 0.9 - 0.2j, 0.5]), Figure().subplots()).get_xlabel()
    'Re λ'
    """
    eigs, _ = _eigenvalues(eigs)
    ax = new_axes(ax)
    if _all_real(eigs):
        for level in (-1, 0, 1):
            ax.axhline(level, linestyle="-" if level == 0 else "--", **REFERENCE)
        markers, stems, baseline = ax.stem(range(len(eigs)), eigs.real.numpy())
        markers.set_markersize(4 if len(eigs) <= 64 else 2)
        stems.set_linewidth(1)
        baseline.set_visible(False)
        whole_numbers(ax)
        ax.set(xlabel="mode", ylabel="eigenvalue λ")
        return ax

    from matplotlib.patches import Circle

    ax.axhline(0, **REFERENCE)
    ax.axvline(0, **REFERENCE)
    ax.add_patch(Circle((0, 0), 1, fill=False, linestyle="--", edgecolor="0.6", label="unit circle"))
    ax.plot(eigs.real.numpy(), eigs.imag.numpy(), "o", markersize=4, label="eigenvalues")
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(xlabel="Re λ", ylabel="Im λ")
    return ax


def learned_filter(conv: DMDConv, eigs: Tensor, ax: Axes | None = None) -> Axes:
    r"""The gain that a layer gives each mode, :math:`\gamma\, g(\lambda)` with its gate :math:`\gamma` if it has one,
    over the eigenvalue.

    The dashed line is :math:`g(\lambda) = \lambda`, the filter that training starts from: a mode further from zero than
    the line is amplified, one nearer to zero damped. Where eigenvalues are complex, it is the modulus of the gain over
    the modulus of the eigenvalue, so that the line stays the same.

    Args:
        conv: Layer, trained or not. A polynomial filter of real eigenvalues is drawn between them, too.
        eigs: Eigenvalues (r,) or (1, r), or real blocks (1, r, r), that the layer is used with. The
            gains of a block of two rows are the eigenvalues of its image under the filter.
        ax: Axes to draw on, by default those of a new figure.

    Returns:
        The axes.

    Raises:
        InputError: `conv` is no :class:`~dmdgnn.nn.DMDConv`, or the eigenvalues are not those of its rank.
        MissingPackageError: matplotlib is not installed.

    >>> from matplotlib.figure import Figure
    >>> ax = learned_filter(DMDConv(16, 8, rank=2), torch.tensor([0.9, 0.5]), Figure().subplots())
    >>> ax.get_lines()[-1].get_xdata()
    array([0.9, 0.5], dtype=float32)
    """
    if not isinstance(conv, DMDConv):
        raise InputError(f"got {type(conv).__name__}, expected a DMDConv: of a DMDGNN model take one of model.convs")
    eigs, form = _eigenvalues(eigs)
    if len(eigs) != conv.rank:
        raise InputError(f"got {len(eigs)} eigenvalues for a layer of rank {conv.rank}, expected one for each mode")
    gains = _gains(conv, eigs) if form is None else _gains_of_blocks(conv, form)
    ax = new_axes(ax)

    real = _all_real(eigs) and _all_real(gains)
    if real:
        places, heights = eigs.real, gains.real
        ax.set(xlabel="eigenvalue λ", ylabel="gain g(λ)")
    else:
        places, heights = eigs.abs(), gains.abs()
        ax.set(xlabel="modulus of the eigenvalue |λ|", ylabel="modulus of the gain |g(λ)|")
    first, last = float(places.min()), float(places.max())
    ax.plot([first, last], [first, last], label="start: g(λ) = λ", linestyle="--", **REFERENCE)
    many = conv.heads > len(MARKERS)
    for head, height in enumerate(heights.T):
        label = "learned" if conv.heads == 1 else f"head {head}"
        style: dict[str, Any] = {"label": label, "marker": MARKERS[head % len(MARKERS)]}
        if many:
            style = {"label": None if head else f"{conv.heads} heads", "marker": ".", "color": "C0", "alpha": 0.3}
        ax.plot(places.numpy(), height.numpy(), linewidth=0, markersize=4, **style)
    if real and isinstance(conv.filter, PolynomialFilter):
        grid = torch.linspace(first, last, 200)
        curves = _gains(conv, grid.to(eigs.dtype)).real
        for points, curve in zip(ax.get_lines()[-conv.heads :], curves.T, strict=True):
            ax.plot(grid.numpy(), curve.numpy(), linewidth=1, color=points.get_color(), alpha=points.get_alpha())
    ax.legend()
    return ax


def _gains(conv: DMDConv, eigs: Tensor) -> Tensor:
    """With the gate, (r, heads), on the CPU."""
    weight = next(conv.filter.parameters())
    with torch.no_grad():
        gains = conv.filter(eigs.to(weight.device, weight.dtype.to_complex() if eigs.is_complex() else weight.dtype))
        gains = gains if conv.gate is None else conv.gate * gains
    return gains.cpu()


def _gains_of_blocks(conv: DMDConv, form: Tensor) -> Tensor:
    """The same for blocks (r, r)."""
    weight, identity = next(conv.filter.parameters()), torch.eye(len(form))
    with torch.no_grad():
        filtered = conv.filter.of_blocks(form.to(weight), identity.repeat(1, conv.heads).to(weight))
        filtered = (filtered if conv.gate is None else conv.gate * filtered).cpu()
    places = blocks.sizes(form)
    heads = [blocks.eigenvalues(head, places) for head in filtered.split(len(form), dim=1)]
    dtype = reduce(torch.promote_types, (head.dtype for head in heads))
    return torch.stack([head.to(dtype) for head in heads], dim=-1)


def _eigenvalues(eigs: Tensor) -> tuple[Tensor, Tensor | None]:
    """Eigenvalues of one graph (r,), on the CPU, and the blocks (r, r) that they came as."""
    shape = tuple(eigs.shape) if isinstance(eigs, Tensor) else ()
    as_blocks = len(shape) == 3 and shape[1] == shape[2] and not eigs.is_complex()
    if not (len(shape) == 1 or (len(shape) > 1 and shape[0] == 1 and (len(shape) == 2 or as_blocks))) or 0 in shape:
        got = shape if isinstance(eigs, Tensor) else type(eigs).__name__
        raise InputError(
            f"got eigenvalues {got}, expected a tensor (r,) or (1, r), or real blocks (1, r, r): of several graphs "
            "pass one row"
        )
    if not bool(eigs.isfinite().all()):
        raise InputError("got eigenvalues that are NaN or infinite, expected finite ones")
    eigs = eigs.detach().squeeze(0).cpu() if len(shape) > 1 else eigs.detach().cpu()
    return (blocks.eigenvalues(eigs, blocks.sizes(eigs)), eigs) if as_blocks else (eigs, None)


def _all_real(eigs: Tensor) -> bool:
    """Also of complex type: those of a symmetric operator that was not known to be so."""
    return not eigs.is_complex() or not bool(eigs.imag.any())
