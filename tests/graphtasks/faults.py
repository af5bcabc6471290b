"""Faults to try: odd names, flipped bytes, writes that fail and disks that are full."""

import contextlib
import errno
import os
import random
import resource
import subprocess
from pathlib import Path

import pytest
from hypothesis import strategies as st

# Faults of each kind; `FAULTS=500 python -m pytest tests -k fault` tries more.
FAULTS = int(os.environ.get("FAULTS", "30"))

PIECES = ["?", "%20", "#", " ", "&x=1", ":smile:", "[red]", "'", '"', "\\", "\n", "\r", "-", "ü", "数", "~", "*", "$A"]

# Names of a file in a folder, such that the system may have one of that name or not.
names = (
    st.lists(st.sampled_from(PIECES) | st.text(max_size=8), min_size=1, max_size=5)
    .map("".join)
    .filter(lambda name: not {"/", "\0"} & set(name) and name not in ("", ".", ".."))
)


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def flipped(content: bytes, count: int, seed: int = 0):
    """Copies with one bit of one byte flipped, the byte's number first."""
    rng = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(content)
        place = rng.randrange(len(damaged))
        damaged[place] ^= 1 << rng.randrange(8)
        yield place, bytes(damaged)


@contextlib.contextmanager
def failing(monkeypatch, function: str, code: int = errno.ENOSPC):
    """Let a function of `os` fail as on a full disk."""

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        yield


@contextlib.contextmanager
def limited(size: int):
    """Let no file grow beyond a size: a write gets so far and then fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int = 64):
    """A disk of that size at a folder, where the system lets us have one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no tmpfs can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
