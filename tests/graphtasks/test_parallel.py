"""Threads of torch."""

import pytest
import torch
from torch_geometric.data import Data

from graphtasks import FitConfig, GraphTask, InvalidDataError, compare, fit, random_splits, sensible_threads, threads
from graphtasks.compare import Contender
from learners import Layers, graphs_task, parity, series_task


@pytest.fixture(autouse=True)
def _four():
    with threads(4):
        yield


def graph(n: int, e: int, columns: int, density: float = 1.0) -> GraphTask:
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(n, columns)
    x[: max(1, int(density * n))] = 1.0
    edges = torch.randint(0, n, (2, e), generator=generator)
    return GraphTask.from_data(Data(x=x, y=torch.arange(n) % 2, edge_index=edges), splits=random_splits(n, count=1))


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (lambda: graph(2000, 20_000, 64), 1),
        (lambda: graph(50_000, 50_000, 32), 4),
        (lambda: graph(50_000, 50_000, 32, density=0.01), 1),  # few entries are not zero
        (lambda: graph(1000, 1_000_000, 4), 4),
        (lambda: graphs_task("graph", parity), 1),
        (series_task, 1),
    ],
    ids=["small", "features", "sparse features", "edges", "graphs", "series"],
)
def test_threads_are_for_large_products(task, expected):
    assert sensible_threads(task()) == expected


def test_number_of_threads_is_restored_and_recorded(noisy_task):
    with threads(2):
        result = fit(Layers(3, 3), noisy_task, config=FitConfig(epochs=1))
    assert (result.threads, torch.get_num_threads()) == (2, 4)
    with pytest.raises(KeyError), threads(3):
        raise KeyError
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("given", "expected"), [(None, 1), (2, 2)])
def test_comparisons_use_what_is_sensible_or_asked_for(noisy_task, given, expected):
    seen = []

    def build(task):
        seen.append(torch.get_num_threads())
        return Layers(3, 3)

    compare([Contender("net", build)], [noisy_task], config=FitConfig(epochs=1), threads=given)
    assert seen == [expected]
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("number", [0, -1, 1.5, True, None])
def test_other_numbers_are_errors(number):
    with pytest.raises(InvalidDataError, match="threads, expected a whole number of at least 1"), threads(number):
        pass
