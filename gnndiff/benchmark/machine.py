"""The machine that numbers were measured on."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

_CPUINFO = Path("/proc/cpuinfo")


def processor() -> str:
    """Name of the processor, or of its family where the system does not tell."""
    match = re.search(r"model name\s*: (.*)", _CPUINFO.read_text()) if _CPUINFO.exists() else None
    return match[1] if match else platform.machine()


def machine(threads: int | str) -> dict[str, Any]:
    """Processor, versions and the number of threads, which the caller knows."""
    import torch

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
