"""The scale of a series."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphtasks.errors import InvalidDataError


@dataclass(frozen=True, eq=False)
class Scale:
    r"""Mean and standard deviation of each node's values in the training part, by which a series was standardised.

    Args:
        mean: :math:`\mu` (N,).
        std: :math:`\sigma` (N,), 1 where a node does not vary.
    """

    mean: Tensor
    std: Tensor

    def restore(self, values: Tensor) -> Tensor:
        r"""The values :math:`\sigma v + \mu` in the unit of the series.

        Args:
            values: Predictions or targets of the nodes of one or more snapshots, (N,), (M * N,), (N, H) or (M * N, H).

        Raises:
            InvalidDataError: There is not a row for each node.

        >>> import torch
        >>> Scale(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 10.0])).restore(torch.tensor([0.0, 1.0]))
        tensor([ 1., 12.])
        """
        nodes = len(self.mean)
        if values.dim() not in (1, 2) or len(values) % nodes:
            raise InvalidDataError(
                f"got values of shape {tuple(values.shape)}, expected rows for the {nodes} nodes of snapshots"
            )
        repeats = len(values) // nodes
        shape = (-1,) if values.dim() == 1 else (-1, 1)
        mean, std = (part.to(values).repeat(repeats).view(shape) for part in (self.mean, self.std))
        return values * std + mean
