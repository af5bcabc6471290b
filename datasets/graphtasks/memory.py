"""Peak memory of a block, and the error of one that needs more than there is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from graphtasks.errors import OutOfMemoryError

# Parts of the messages of torch and of MKL that tell of exhausted memory.
_EXHAUSTED = re.compile(r"can't allocate memory|not enough memory|bad_alloc|ALLOC_FAILED", re.IGNORECASE)


@dataclass
class Peak:
    """Bytes at the peak, known after the block."""

    bytes: int = 0


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Measure the peak of memory in a block.

    On CUDA, what torch allocated on the device. Else the resident memory of the process: on Linux its peak within the
    block, on other systems its peak so far, and 0 where the system does not tell.
    """
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    yield peak
    peak.bytes = _resident_peak()


@contextmanager
def memory_errors(name: str, remedy: str) -> Iterator[None]:
    """Give errors of exhausted memory in a block one name and a remedy.

    Args:
        name: Name of the task.
        remedy: Advice to the user.

    Raises:
        OutOfMemoryError: The memory of the CPU or of an accelerator does not hold what the block allocates.
    """
    try:
        yield
    except OutOfMemoryError:
        raise
    except (MemoryError, RuntimeError) as error:
        on_device = isinstance(error, torch.OutOfMemoryError)
        if not (on_device or isinstance(error, MemoryError) or _EXHAUSTED.search(str(error))):
            raise
        asked = re.search(r"tried to allocate ([\d.]+) (bytes|[KMG]iB)", str(error), re.IGNORECASE)
        size = f", which asked for {_readable(asked[1], asked[2])} more" if asked else ""
        where = "the accelerator" if on_device else "the machine"
        raise OutOfMemoryError(f"the memory of {where} does not hold {name!r}{size}: {remedy}") from error


def _readable(number: str, unit: str) -> str:
    return f"{int(number) / 2**30:.3g} GiB" if unit.lower() == "bytes" else f"{number} {unit}"


def _resident_peak() -> int:
    with suppress(OSError):
        match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if match is not None:
            return 1024 * int(match[1])
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
