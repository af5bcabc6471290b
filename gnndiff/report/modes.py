"""Chart of the DMD spectrum that a run's model propagates by."""

from __future__ import annotations

import torch
from torch import Tensor

from gnndiff.runs.deliver import Best
from gnndiff.runs.folder import Run
from graphtasks.report import Series, chart


def spectrum(run: Run) -> list[str]:
    """Eigenvalues of the delivered network's modes beside the unit circle; nothing where the model has none."""
    if run.task.many or run.task.kind == "temporal":
        return []
    data = run.preparations(Best.load(run.folder / "best").setting).graph()
    eigs: Tensor | None = data.get("dmd_eigs")
    if eigs is None:
        return []
    values = (torch.view_as_complex(eigs.double()) if not eigs.is_complex() and eigs.size(-1) == 2 else eigs).flatten()
    angles = torch.linspace(0, 2 * torch.pi, 181, dtype=torch.float64)
    real, imaginary = values.real.tolist(), (values.imag if values.is_complex() else torch.zeros(len(values))).tolist()
    labels = [
        f"eigenvalue {a:.4g}{b:+.4g}i, modulus {abs(complex(a, b)):.4g}" for a, b in zip(real, imaginary, strict=True)
    ]
    circle = Series("unit circle", angles.cos().tolist(), angles.sin().tolist(), line=True)
    return [chart([Series("eigenvalues", real, imaginary, labels), circle], x="real part", y="imaginary part")]
