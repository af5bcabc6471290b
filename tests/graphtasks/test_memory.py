import os
import sys

import pytest
import torch

from graphtasks import FitConfig, OutOfMemoryError, fit, predict
from graphtasks.memory import memory_errors, peak_memory
from learners import Layers, blocks_task, graphs_task, node_task, parity

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


class Greedy(Layers):
    """Asks for more memory than any machine has, in training or in evaluation."""

    def __init__(self, *sizes: int, mode: bool) -> None:
        super().__init__(*sizes)
        self.mode = mode

    def forward(self, x, edge_index):
        if self.training == self.mode:
            torch.empty(2**60, dtype=torch.uint8)
        return super().forward(x, edge_index)


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: node_task(parity), r"train in batches with FitConfig\(neighbors=\(10, 10\)\) or clusters"),
        (lambda: graphs_task("node", parity), "lower `batch_size`"),
        (blocks_task, "set `batch_size` to fewer edges"),
    ],
)
@pytest.mark.parametrize("mode", [True, False])
def test_exhausted_memory_says_what_to_do(make, remedy, mode):
    task = make()
    model = Greedy(task.num_features, 2, mode=mode)
    message = rf"the memory of the machine does not hold .*, which asked for 1.07e\+09 GiB more: {remedy}"
    with pytest.raises(OutOfMemoryError, match=message):
        fit(model, task, config=FitConfig(epochs=1))
    if not mode:
        with pytest.raises(OutOfMemoryError, match=message):
            predict(model, task)


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (MemoryError(), "machine"),
        (RuntimeError("std::bad_alloc"), "machine"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "accelerator"),
    ],
)
def test_each_library_s_error_of_memory_gets_one_name(error, where):
    message = f"memory of the {where} does not hold 'mine'.*: buy more"
    with pytest.raises(OutOfMemoryError, match=message), memory_errors("mine", "buy more"):
        raise error


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), memory_errors("mine", "buy more"):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
