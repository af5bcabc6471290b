"""Snapshots that are larger than memory is to be: sums over chunks of a file first, then the modes, chunk by chunk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch

from dmdgnn import DMD
from dmdgnn.kernels import Moments, RowChunks

NODES, COLUMNS = 20_000, 32


def write(path: Path) -> tuple[np.memmap, np.memmap]:
    """Two snapshot matrices on the disk, one step of a linear system apart."""
    rng = np.random.default_rng(0)
    states = [np.memmap(path / name, "float64", "w+", shape=(NODES, COLUMNS)) for name in ("x", "y")]
    basis, coordinates = rng.standard_normal((NODES, 4)), rng.standard_normal((4, COLUMNS))
    step = np.diag([0.9, 0.7, 0.5, 0.3])
    states[0][:], states[1][:] = basis @ coordinates, basis @ step @ coordinates
    return states[0], states[1]


def main() -> None:
    """Fit from the file, write the modes to another, and compare with a fit of everything at once."""
    with tempfile.TemporaryDirectory() as folder:
        X, Y = write(Path(folder))
        chunks = RowChunks(X, Y, rows=4_000)
        dmd = DMD(rank=4).fit_moments(Moments.of_chunks(chunks))
        modes = np.memmap(Path(folder) / "modes", "float64", "w+", shape=(NODES, 4))
        start = 0
        for x, y in chunks:
            part = dmd.lift_modes(x, y).real
            modes[start : start + len(part)] = part.numpy()
            start += len(part)
        whole = DMD(rank=4).fit(torch.from_numpy(np.array(X)), torch.from_numpy(np.array(Y)))
    print("eigenvalues from chunks:", [round(value, 4) for value in dmd.eigs.real.tolist()])
    print(f"they differ from those of all rows at once by {float((dmd.eigs - whole.eigs).abs().max()):.1e}")


if __name__ == "__main__":
    main()
