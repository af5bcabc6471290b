"""The Python in docs/method.md runs as it stands there, and its figure comes out of its script."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
METHOD = (ROOT / "docs" / "method.md").read_text()


@pytest.fixture(autouse=True)
def _no_window():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def test_python_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", METHOD, flags=re.DOTALL):
        exec(compile(block, "method.md", "exec"), names)
    assert names["data"].dmd_modes.shape == (34, 8)
    assert names["out"].shape == (34, 16)
    assert names["scores"].shape == (34, 4)
    assert (tmp_path / "error.png").stat().st_size > 0


def test_exact_modes_start_as_three_steps_between_two_projections():
    """The formulas under "Exact or projected"."""
    from torch_geometric.datasets import KarateClub

    from dmdgnn.dynamics import FeaturePropagation
    from dmdgnn.transforms import AddDMDModes

    data = KarateClub()[0]
    data.x = data.x.double()
    dynamics = FeaturePropagation(burn_in=1, stride=2)
    M = torch.linalg.matrix_power(dynamics.adjacency(data).to_dense(), 2)
    U = torch.linalg.svd(dynamics.snapshots(data)[0]).U[:, :8]
    P = U @ U.T
    for modes, expected in (("projected", P @ M @ P), ("exact", M @ P @ M @ P @ M)):
        out = AddDMDModes(rank=8, dynamics=dynamics, modes=modes)(data)
        torch.testing.assert_close(out.dmd_modes * out.dmd_eigs @ out.dmd_modes.T, expected)


def test_links_of_the_page_lead_to_files():
    targets = [link for link in re.findall(r"\]\(([^)]+)\)", METHOD) if "://" not in link]
    assert "method.png" in targets
    assert not [link for link in targets if not (ROOT / "docs" / link).exists()]


def test_the_figure_of_the_page(tmp_path, monkeypatch):
    path = tmp_path / "method.png"
    monkeypatch.setattr(sys, "argv", ["method_figure.py", "--out", str(path)])
    runpy.run_path(str(ROOT / "examples" / "method_figure.py"), run_name="__main__")
    drawn, stored = plt.imread(path), plt.imread(ROOT / "docs" / "method.png")
    assert drawn.shape == stored.shape
    assert path.stat().st_size < 200_000
