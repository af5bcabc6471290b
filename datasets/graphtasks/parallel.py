"""How many threads of torch a training is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from graphtasks.errors import InvalidDataError
from graphtasks.task import GraphTask

# Multiply-adds of the largest product of a layer from which on a second thread gains more than it waits.
WORTH_THREADS = 5e7

# Hidden units that a layer is taken to have, and graphs that a batch is.
_WIDTH = 64
_BATCH = 32


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Let torch compute with this number of threads in a block, and with as many as before afterwards.

    Args:
        number: Number of threads, at least 1.

    Raises:
        InvalidDataError: The number is another.

    >>> before = torch.get_num_threads()
    >>> with threads(1):
    ...     torch.get_num_threads()
    1
    >>> torch.get_num_threads() == before
    True
    """
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InvalidDataError(f"got {number!r} threads, expected a whole number of at least 1")
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def sensible_threads(task: GraphTask) -> int:
    """Number of threads for a training on a task: 1 where its products are small, else what torch has.

    Threads wait for each other in every operation. On a machine that is busy with something else they wait long, so
    that two take many times as long as one. Products of weights with features, and of edges with hidden units, are
    taken as large from 50 million multiply-adds on, for layers of 64 units. Zeros of sparse features do not count, nor
    do more graphs than the 32 of a batch.

    >>> import graphtasks
    >>> sensible_threads(graphtasks.load("karate"))
    1
    """
    graphs = task.graphs
    share = min(1.0, _BATCH / len(graphs)) if task.many else 1.0
    # Snapshots of a series are counted as one by the task.
    repeated = min(len(graphs), _BATCH) if task.kind == "temporal" else 1
    numbers = sum(int(graph.x.count_nonzero()) for graph in graphs) * share
    edges = task.num_edges * (repeated if task.kind == "temporal" else share)
    return torch.get_num_threads() if _WIDTH * max(numbers, edges) >= WORTH_THREADS else 1
