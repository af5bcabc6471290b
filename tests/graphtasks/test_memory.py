import os
import sys

import pytest
import torch

from graphtasks.memory import peak_memory

BIG = 2**26  # bytes

needs_reset = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not os.access("/proc/self/clear_refs", os.W_OK),
    reason="the peak of a process can be reset on Linux alone",
)


def allocated(size: int) -> float:
    return float(torch.ones(size // 4).sum())


def measured(size: int) -> int:
    with peak_memory(torch.device("cpu")) as peak:
        allocated(size)
    return peak.bytes


def test_peak_is_known_after_the_block():
    with peak_memory(torch.device("cpu")) as peak:
        assert peak.bytes == 0
    assert peak.bytes > 2**20


def test_peak_counts_what_is_freed_within_the_block():
    small, large = measured(4), measured(4 * BIG)
    assert large - small > 2 * BIG


@needs_reset
def test_peak_forgets_what_was_freed_before_the_block():
    large, small = measured(4 * BIG), measured(4)
    assert large - small > 2 * BIG


@needs_reset
def test_peak_grows_with_the_tensor():
    one, eight = measured(BIG), measured(8 * BIG)
    # The allocator may have kept memory of earlier tests.
    assert 5 * BIG < eight - one < 9 * BIG


def test_peak_of_a_block_that_fails_is_left_out():
    with pytest.raises(KeyError), peak_memory(torch.device("cpu")) as peak:
        raise KeyError
    assert peak.bytes == 0


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_peak_on_cuda_is_what_torch_allocated():
    device = torch.device("cuda")
    with peak_memory(device) as small:
        torch.ones(1, device=device)
    with peak_memory(device) as large:
        torch.ones(BIG // 4, device=device)
    assert large.bytes - small.bytes == pytest.approx(BIG, rel=0.01)
