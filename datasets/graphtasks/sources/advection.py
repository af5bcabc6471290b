"""Forecasts of a quantity that flows along directed edges."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import coalesce, to_undirected

from graphtasks.errors import InvalidDataError
from graphtasks.metrics import METRICS
from graphtasks.splits import time_splits
from graphtasks.task import GraphTask

ADVECTION_SOURCE = "graph advection of Chapman and Mesbahi, CDC 2011, pages 1461-1466"
_WARM_UP = 1000


def advection(
    protocol: str,
    root: Path | None,
    *,
    num_nodes: int = 200,
    degree: int = 3,
    steps: int = 400,
    lags: int = 1,
    horizon: int = 8,
    speed: float = 0.9,
    noise: float = 1.0,
    directed: bool = True,
    seed: int = 0,
) -> GraphTask:
    r"""A quantity that flows downstream in a closed channel, to be forecast at each node.

    .. math::
        u_{t+1} = u_t - \Delta t\, (D_{out} - A^T)\, u_t + \sigma (s_t - \bar s_t), \qquad
        D_{out} = \mathrm{diag}(A \mathbf 1) = I

    with :math:`A_{ij}` the weight of edge :math:`i \to j`, the share of what leaves :math:`i` that goes to :math:`j`,
    and :math:`s_t` standard normal: the flow from sources goes into sinks, so that :math:`\sum_i u_{t,i}` keeps its
    value 0. Nodes lie in a hidden circular order; each has edges to the next node and to `degree - 1` random ones of
    the `2 * degree` after it, all of random weight. Hence what a node will hold is upstream of it, up to `horizon` hops
    away. With one lag, least squares on the features :math:`(A^T)^k u_t`, which hold the best forecast, has about half
    the error that it has on those of the undirected graph. More lags show in part where things move even there.
    The values are those after 1,000 earlier steps, in units of their standard deviation in the second half of these.
    Source: A. Chapman and M. Mesbahi, "Advection on graphs", IEEE Conference on Decision and Control 2011, pages
    1461-1466; an open account is http://nrs.harvard.edu/urn-3:HUL.InstRepos:38779537.

    Snapshot `t` has `x` (N, lags) = :math:`u_{t-lags+1}, \dots, u_t` and `y` (N,) = :math:`u_{t+horizon}`. The
    validation part is so long that the inputs of the test part are later than all targets of the train part.

    Args:
        protocol: Unused: there is one.
        root: Unused: nothing is read.
        num_nodes: N, more than `4 * degree`.
        degree: Edges out of each node.
        steps: Values simulated, at least `11 * (horizon + lags)`; there are `steps - horizon - lags + 1` snapshots.
        lags: Values known of each node.
        horizon: Steps ahead.
        speed: :math:`\Delta t`, the share of a node's value that leaves it in one step, from above 0 to 1.
        noise: :math:`\sigma`, relative to that of the earlier steps: 1 keeps the process stationary, and with 0 the
            future follows from the present.
        directed: Whether `edge_index` has the directions; otherwise the same values are given with the graph
            :math:`A + A^T`.
        seed: Seed of the graph and of the sources.
    """
    if degree < 1 or num_nodes <= 4 * degree or not 0 < speed <= 1 or not 0 <= noise < float("inf"):
        raise InvalidDataError(
            f"got num_nodes={num_nodes}, degree={degree}, speed={speed}, noise={noise}, "
            "expected degree >= 1, num_nodes > 4 * degree, 0 < speed <= 1, noise >= 0"
        )
    if lags < 1 or horizon < 1 or steps < 11 * (horizon + lags):
        raise InvalidDataError(
            f"got steps={steps}, lags={lags}, horizon={horizon}, "
            "expected lags >= 1, horizon >= 1, steps >= 11 * (horizon + lags)"
        )
    generator = torch.Generator().manual_seed(seed)
    edge_index, edge_weight = _channel(num_nodes, degree, generator)
    row, col = edge_index
    sources = torch.randn(_WARM_UP + steps, num_nodes, dtype=torch.float64, generator=generator)
    sources -= sources.mean(dim=1, keepdim=True)
    sources[_WARM_UP:] *= noise
    flow = speed * edge_weight
    u, values = torch.zeros(num_nodes, dtype=torch.float64), []
    for source in sources:
        values.append(u)
        u = torch.add(source, u, alpha=1 - speed).index_add_(0, col, flow * u[row])
    history = torch.stack(values, dim=1)
    history = (history[:, _WARM_UP:] / history[:, _WARM_UP // 2 : _WARM_UP].std()).float()

    if not directed:
        edge_index, edge_weight = to_undirected(edge_index, edge_weight, num_nodes, reduce="add")
    edge_weight = edge_weight.float()
    snapshots = [
        Data(
            x=history[:, end - lags : end].contiguous(),
            y=history[:, end + horizon - 1].contiguous(),
            edge_index=edge_index,
            edge_weight=edge_weight,
        )
        for end in range(lags, steps - horizon + 1)
    ]
    return GraphTask(
        name="advection",
        kind="temporal",
        data=snapshots,
        splits=time_splits(len(snapshots)),
        metric=METRICS["mse"],
        directed=directed,
        source=ADVECTION_SOURCE,
        licence="generated",
        protocol=f"first 70 % of the snapshots for training, next 10 % for validation, last 20 % for test; {horizon} "
        f"steps ahead from {lags} value(s)",
    )


def _channel(num_nodes: int, degree: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Edges from each node to nodes after it in a hidden circular order, and weights that sum to 1 out of each node."""
    others = torch.rand(num_nodes, 2 * degree - 1, generator=generator).argsort(dim=1)[:, : degree - 1] + 2
    ahead = torch.cat([torch.ones(num_nodes, 1, dtype=torch.int64), others], dim=1)
    row = torch.arange(num_nodes).repeat_interleave(degree)
    col = (row + ahead.view(-1)) % num_nodes
    weight = 0.5 + torch.rand(num_nodes, degree, dtype=torch.float64, generator=generator)
    weight = weight / weight.sum(dim=1, keepdim=True)
    number = torch.randperm(num_nodes, generator=generator)
    edge_index, edge_weight = coalesce(torch.stack([number[row], number[col]]), weight.view(-1), num_nodes)
    return edge_index, edge_weight
