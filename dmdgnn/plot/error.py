"""Figures of what a rank misses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from dmdgnn.dmd import DMD
from dmdgnn.errors import InputError
from dmdgnn.kernels.moments import check_pair
from dmdgnn.kernels.truncation import Truncation
from dmdgnn.plot.axes import REFERENCE, new_axes, whole_numbers
from dmdgnn.precision import precise

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def reconstruction_error(X: Tensor, Y: Tensor, ranks: Iterable[int], ax: Axes | None = None, **options: Any) -> Axes:
    r"""Error of a step of the operator of each rank, and the share of the snapshots that it keeps.

    .. math::
        \frac{\|Y - K_r X\|_F}{\|Y\|_F}, \qquad \frac{\sum_{i \le r} \sigma_i^2}{\|X\|_F^2}

    with :math:`\sigma_i` the singular values of X. One factorisation serves all ranks, see
    :meth:`dmdgnn.DMD.truncate`. For a graph and its dynamics:
    ``reconstruction_error(*dynamics.snapshots(data), ranks)``.

    Args:
        X: Snapshots (N, F).
        Y: The same snapshots a step later.
        ranks: Ranks r, in any order.
        ax: Axes to draw on, by default those of a new figure.
        **options: Options of :class:`dmdgnn.DMD`: `modes`, `constraint`, `svd`, `ridge` ... With `modes='projected'`,
            :math:`K_r` maps into the range of U, as it does in a layer; with exact modes, into that of Y.

    Returns:
        The axes.

    Raises:
        InputError: The snapshots do not fit, Y is zero, there are no ranks, or an option that cannot be truncated.
        RankError: A rank is above what X has.
        MissingPackageError: matplotlib is not installed.

    >>> import torch
    >>> from matplotlib.figure import Figure
    >>> X, Y = torch.eye(4), torch.diag(torch.tensor([4.0, 3.0, 0.0, 0.0]))
    >>> ax = reconstruction_error(X, Y, [2, 4], Figure().subplots())
    >>> ax.get_lines()[1].get_ydata()  # the energy that two and four of four equal directions keep
    array([0.5, 1. ])
    """
    if (
        not isinstance(ranks, Iterable)
        or not (ranks := list(ranks))
        or not all(Truncation(rank).count for rank in ranks)
    ):
        raise InputError(f"got ranks={ranks!r}, expected positive integers")
    ranks = sorted(set(ranks))
    check_pair(X, Y)
    X, Y = X.detach(), Y.detach()
    if X.dim() != 2:
        raise InputError(f"got snapshots of shape {tuple(X.shape)}, expected (N, F): draw one graph at a time")
    full = DMD(rank=ranks[-1], **options).fit(X, Y)
    norm = precise(Y).norm()
    if norm == 0:
        raise InputError("got Y = 0, of which no share can be missed: expected snapshots that do not vanish")
    errors = [float(precise(Y - full.truncate(rank).operator @ X).norm() / norm) for rank in ranks]
    kept = (full.singular_values.square().cumsum(dim=0) / precise(X).abs().square().sum()).cpu()
    ax = new_axes(ax)
    ax.plot(ranks, errors, "o-", markersize=4, label="error of a step, ‖Y - Kᵣ X‖ / ‖Y‖")
    ax.plot(ranks, kept[[rank - 1 for rank in ranks]].numpy(), "s-", markersize=4, label="energy of X that is kept")
    ax.axhline(0, **REFERENCE)
    whole_numbers(ax)
    ax.set(xlabel="rank r", ylabel="share")
    ax.legend(loc="center right")
    return ax
