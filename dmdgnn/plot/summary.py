"""One figure of a fitted DMD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dmdgnn.dmd import DMD
from dmdgnn.errors import InputError
from dmdgnn.options import is_integer
from dmdgnn.plot.axes import REFERENCE, pyplot, whole_numbers
from dmdgnn.plot.spectra import spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def summary(dmd: DMD, modes: int = 3) -> Figure:
    r"""A figure of four parts that tells whether an estimate is to be trusted.

    - The eigenvalues, each with its residual as colour, the larger of :attr:`dmdgnn.DMD.residuals` and
      :attr:`dmdgnn.DMD.dual_residuals`; without colours where there are none.
    - The singular values.
    - The modes that contribute most, their real parts over the rows; with `delays`, over the first N of them. One of
      each conjugate pair is drawn.
    - The course of these modes over time: the real parts of their dynamics, times the size of the mode.

    Args:
        dmd: Fitted to one series or pair of matrices; for several trajectories, the dynamics of the first are drawn.
        modes: How many modes to draw.

    Returns:
        The figure.

    Raises:
        InputError: The estimate is one of a batch, of graphs, under control or of moments, or not fitted yet.
        MissingPackageError: matplotlib is not installed.

    >>> series = torch.tensor([[0.9], [0.5]], dtype=torch.float64) ** torch.arange(6)
    >>> [ax.get_title() for ax in summary(DMD().fit(series)).axes[:4]]
    ['eigenvalues', 'singular values', 'leading modes', 'their dynamics']
    """
    if not isinstance(dmd, DMD):
        raise InputError(f"got {type(dmd).__name__}, expected a fitted DMD")
    if not is_integer(modes) or modes < 1:
        raise InputError(f"got modes={modes!r}, expected an integer of at least 1")
    if dmd.eigs.dim() > 1:
        raise InputError(f"got eigenvalues {tuple(dmd.eigs.shape)} of a batch, expected one estimate")
    drawn = _leading(dmd, modes)
    figure, axes = pyplot().subplots(2, 2, figsize=(9, 7), layout="constrained")
    _draw_eigenvalues(dmd, axes[0, 0])
    axes[0, 1].semilogy(range(1, len(dmd.singular_values) + 1), dmd.singular_values.detach().cpu().numpy(), "o-", ms=4)
    axes[0, 1].set(title="singular values", xlabel="index")
    whole_numbers(axes[0, 1])
    _draw_parts(dmd, drawn, axes[1, 0], axes[1, 1])
    return figure


def _leading(dmd: DMD, modes: int) -> list[int]:
    """The modes that contribute most, one of each pair."""
    order = dmd.contributions.detach().argsort(descending=True).tolist()
    seconds = dmd._seconds.tolist()
    return [place for place in order if not seconds[place]][:modes]


def _draw_eigenvalues(dmd: DMD, ax: Axes) -> None:
    spectrum(dmd.eigs, ax)
    ax.set_title("eigenvalues")
    residuals = _residuals(dmd)
    if residuals is None:
        return
    eigs = dmd.eigs.detach().cpu()
    real = not eigs.is_complex() or not bool(eigs.imag.any())
    across, up = (torch.arange(len(eigs)), eigs.real) if real else (eigs.real, eigs.imag)
    points = ax.scatter(across.numpy(), up.numpy(), c=residuals.numpy(), cmap="viridis_r", s=36, zorder=3)
    ax.figure.colorbar(points, ax=ax, label="residual")


def _residuals(dmd: DMD) -> Tensor | None:
    try:
        return dmd._worst_residuals.detach().cpu()
    except InputError:
        return None


def _draw_parts(dmd: DMD, drawn: list[int], shapes: Axes, dynamics: Axes) -> None:
    vectors, every, times = dmd.modes.detach().cpu(), dmd.dynamics, dmd.times
    course = (every[0] if isinstance(every, list) else every).detach().cpu()
    times = times[0] if isinstance(times, list) else times
    states, frequency = len(vectors) // dmd.delays, dmd.frequency.detach().abs().tolist()
    for place in drawn:
        size = float(vectors[:, place].norm()) or 1.0
        label = f"mode {place}, frequency {frequency[place]:.3g}"
        shapes.plot((vectors[:states, place].real / size).numpy(), ".-" if states < 65 else "-", label=label)
        dynamics.plot(times.cpu().numpy(), (size * course[place]).real.numpy(), label=label)
    for ax in (shapes, dynamics):
        ax.axhline(0, **REFERENCE)
    shapes.set(title="leading modes", xlabel="row")
    whole_numbers(shapes)
    dynamics.set(title="their dynamics", xlabel="time")
    dynamics.legend(fontsize="small")
