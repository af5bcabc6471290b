"""The Python in the pages of docs runs as it stands there, and the method's figure comes out of its script."""

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
METHOD, SERIES = ((ROOT / "docs" / name).read_text() for name in ("method.md", "series.md"))


@pytest.fixture(autouse=True)
def _no_window():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def names_of(page):
    """Names that the blocks of a page define, run in order."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(compile(block, "page.md", "exec"), names)
    return names


def test_blocks_of_the_method_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = names_of(METHOD)
    assert names["data"].dmd_modes.shape == (34, 8)
    assert names["out"].shape == (34, 16)
    assert names["scores"].shape == (34, 4)
    assert (tmp_path / "error.png").stat().st_size > 0


def test_blocks_of_the_quick_start_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = names_of((ROOT / "docs" / "quickstart.md").read_text())
    assert 0 <= names["result"].test <= 1
    assert (tmp_path / "runs" / "club" / "report.html").is_file()
    assert list(names["table"].summary()["count"]) == [3, 3]


def test_blocks_of_the_series_run_in_order_and_find_what_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = names_of(SERIES)
    day_and_week = torch.tensor([1, -1, 1 / 7, -1 / 7], dtype=torch.float64)
    torch.testing.assert_close(names["dmd"].frequency, day_and_week, rtol=0, atol=1e-3)
    assert float(names["dmd"].growth_rate.abs().max()) < 0.002
    assert names["values"][:6].round().tolist() == [307, 306, 120, 119, 12, 12]
    assert names["more"].trustworthy.tolist() == [True] * 4 + [False] * 2
    assert float(names["error"]) == pytest.approx(0.18, abs=0.03)
    torch.testing.assert_close(names["kept"].frequency, day_and_week, rtol=0, atol=1e-3)
    torch.testing.assert_close(names["daily"].frequency, day_and_week[:2], rtol=0, atol=1e-3)
    torch.testing.assert_close(names["weekly"].frequency, day_and_week[2:], rtol=0, atol=1e-3)
    torch.testing.assert_close(names["optimised"].frequency[1:], day_and_week, rtol=0, atol=1e-3)
    assert float((names["later"] - names["future"]).square().mean().sqrt()) < 0.25
    assert bool((names["low"].imag < names["high"].imag)[1:].all())
    assert names["fast"] == [128, 160, 192, 224]
    torch.testing.assert_close(names["controlled"].eigs.real, torch.tensor([0.9, 0.5], dtype=torch.float64))
    torch.testing.assert_close(names["controlled"].B, torch.ones(2, 1, dtype=torch.float64))
    assert float((names["smooth"] - names["truth"][:320]).square().mean().sqrt()) < 0.25
    assert names["together"].forecast(4).shape == (2, 1, 4)
    assert float((names["online"].frequency.abs() - 1 / 7).abs().min()) < 1e-3
    assert len(names["online"].times) == 400
    assert (tmp_path / "summary.png").stat().st_size > 0


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
