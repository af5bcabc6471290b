"""The prediction of an ensemble from those of its networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from graphtasks.errors import InvalidDataError

if TYPE_CHECKING:
    from graphtasks.kinds.base import Form


def average(outputs: Sequence[Tensor] | Tensor, form: Form, weights: Sequence[float] | None = None) -> Tensor:
    r"""The mean answer of several networks, in the form of one.

    Classes get the logarithm of the mean probability, :math:`\log \frac{1}{n} \sum_i \mathrm{softmax}(z_i)`; labels
    and links the score whose sigmoid is the mean sigmoid; values their mean. Scores and probabilities stand in the
    same order, and large scores stay apart where their probabilities would round to 1.

    Args:
        outputs: Predictions of n networks of the same shape, as a list or stacked along the first dimension.
        form: Kind of the predictions.
        weights: Weight of each, by default the same; only their proportions count. The average of averages of parts,
            weighted by the sizes of these, is that of the whole.

    Raises:
        InvalidDataError: There is none, or the weights are not one number for each, of which none is negative and the
            sum positive.

    >>> average([torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 100.0]])], "classes").exp()
    tensor([[0.2500, 0.7500]])
    """
    if not len(outputs):
        raise InvalidDataError("got no predictions to average: give at least one")
    stacked = outputs if isinstance(outputs, Tensor) else torch.stack(list(outputs))
    shares = torch.tensor([1.0] * len(stacked) if weights is None else list(weights), dtype=torch.float64)
    if shares.shape != (len(stacked),) or bool((shares < 0).any()) or not 0 < float(shares.sum()) < math.inf:
        raise InvalidDataError(f"got the weights {weights} for {len(stacked)} predictions: give each one, not negative")
    shares = (shares / shares.sum()).to(stacked).view(-1, *[1] * (stacked.dim() - 1))
    if form == "values":
        return (shares * stacked).sum(dim=0)
    logs = shares.log()
    if form == "classes":
        return (functional.log_softmax(stacked, dim=-1) + logs).logsumexp(dim=0)
    return (functional.logsigmoid(stacked) + logs).logsumexp(dim=0) - (
        functional.logsigmoid(-stacked) + logs
    ).logsumexp(dim=0)
