"""Seeds of a block."""

import random

import numpy as np
import pytest
import torch

from graphtasks import DivergedError, FitConfig, fit
from graphtasks.randomness import seeded
from learners import Net, generators, moved


def draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), np.random.rand(), random.random()  # noqa: NPY002


def test_seeded_block_draws_the_same_each_time_and_leaves_no_trace():
    before = generators()
    draws = []
    for seed in (0, 0, 1):
        with seeded(seed):
            draws.append(draw())
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[0], draws[2], strict=True))
    assert not moved(before, generators())


def test_seeded_block_leaves_no_trace_of_an_error():
    before = generators()
    with pytest.raises(ZeroDivisionError), seeded(0):
        1 / int(0 * sum(draw()))
    assert not moved(before, generators())


def test_seeded_blocks_nest():
    with seeded(0):
        expected = draw(), draw()
    with seeded(0):
        first = draw()
        with seeded(5):
            draw()
        assert (first, draw()) == expected


def test_seeds_beyond_32_bits_are_seeds():
    with seeded(2**40 + 1):
        first = draw()
    with seeded(2**40 + 1):
        assert draw() == first


def test_an_error_in_training_leaves_the_generators_alone(noisy_task):
    before = generators()
    with pytest.raises(DivergedError):
        fit(Net(), noisy_task, config=FitConfig(lr=1e38, optimizer="sgd", epochs=50))
    assert not moved(before, generators())
