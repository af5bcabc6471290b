"""The same modes as PyDMD's, and beside them residuals that tell noise from dynamics, batches and gradients."""

from __future__ import annotations

import numpy as np
import torch

from dmdgnn import DMD


def waves(noise: float) -> np.ndarray:
    """Two travelling waves that decay, on 200 points at 100 times."""
    rng = np.random.default_rng(0)
    x, t = np.linspace(0, 2 * np.pi, 200)[:, None], np.linspace(0, 10, 100)
    signal = np.sin(x - 2 * t) * np.exp(-0.05 * t) + 0.5 * np.cos(3 * x + 5 * t)
    return signal + noise * rng.standard_normal(signal.shape)


def main() -> None:
    """Fit both, and print what each finds."""
    series = torch.from_numpy(waves(noise=0.01))
    ours = DMD(rank=4).fit(series)
    try:
        import pydmd

        theirs = pydmd.DMD(svd_rank=4, exact=True).fit(series.numpy())
        apart = np.abs(np.sort_complex(ours.eigs.numpy()) - np.sort_complex(theirs.eigs)).max()
        print(f"eigenvalues differ from PyDMD's by {apart:.1e}")
    except ImportError:
        print("PyDMD is not installed: pip install pydmd")

    more = DMD(rank=8).fit(series)
    print("of 8 modes, trustworthy by their residuals:", int(more.trustworthy.sum()))

    batch = torch.stack([series, 2 * series.flip(0), series + 1])
    print("three systems at once:", tuple(DMD(rank=4).fit(batch).eigs.shape))

    series.requires_grad_()
    DMD(rank=4).fit(series).eigs.abs().sum().backward()
    assert series.grad is not None
    print(f"the gradient of the moduli has norm {float(series.grad.norm()):.3f}")


if __name__ == "__main__":
    main()
