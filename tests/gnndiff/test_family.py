"""Runs over families, their pipelines and their bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

import gnndiff
import graphtasks
from gnndiff.cli import main
from gnndiff.errors import ConfigError, RunFolderError
from gnndiff.family.conditions import Hull
from gnndiff.family.config import FamilyBudget
from gnndiff.family.pipeline import METHODS
from gnndiff.family.regression import Regression
from gnndiff.family.shared import Start
from gnndiff.runs.lock import locked
from graphtasks import Family, InvalidDataError

TINY = FamilyBudget(
    trials=1, searched=1, epochs=8, patience=8, shared_steps=12, generator_steps=20, latents=2, samples=2, labels=8
)


@pytest.fixture(scope="module")
def family() -> Family:
    return graphtasks.family("csbm-family", members=7, num_nodes=40, num_features=3)


@pytest.fixture(scope="module")
def results(family: Family, tmp_path_factory: pytest.TempPathFactory) -> gnndiff.FamilyResults:
    out = tmp_path_factory.mktemp("family") / "run"
    return gnndiff.run_family("mlp", family, budget=TINY, out=out, quiet=True)


def test_rows(results: gnndiff.FamilyResults, family: Family) -> None:
    assert {"generated_mean", "one_network", "adapted_few_labels", "trained_on_member"} <= set(results.rows)
    assert all(len(scores) == len(family.parts["unseen"]) for scores in results.rows.values())
    there, back = results.paired("regression", "one_network"), results.paired("one_network", "regression")
    assert there == pytest.approx((-back[0], back[1]))
    with pytest.raises(ConfigError, match="no row 'nothing'"):
        results.paired("nothing", "one_network")


def test_again(results: gnndiff.FamilyResults, family: Family) -> None:
    """A finished run is read; another one in its folder is refused."""
    assert gnndiff.run_family("mlp", family, budget=TINY, out=results.folder, quiet=True).rows == results.rows
    with pytest.raises(RunFolderError, match="seed=0, not 1"):
        gnndiff.run_family("mlp", family, budget=TINY, out=results.folder, seed=1, quiet=True)


def test_foreign_folder(family: Family, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"holds files and no config\.json"):
        gnndiff.run_family("mlp", family, budget=TINY, out=tmp_path, quiet=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_two_processes(family: Family, tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(RunFolderError, match="another process works"):
        gnndiff.run_family("mlp", family, budget=TINY, out=tmp_path, quiet=True)


def test_start(results: gnndiff.FamilyResults) -> None:
    """One network is the same for all graphs; a hypernetwork moves with the condition, and a change comes on top."""
    weights = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    conditions = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(Start(weights[:, :1])(conditions), weights[:, :1].mT.expand(3, 5))
    expected = weights[:, 0] + conditions @ weights[:, 1:].mT / 3**0.5
    assert torch.allclose(Start(weights)(conditions), expected, atol=1e-6)
    generator = results.pipeline.generator
    value = generator.regression.points[0]
    change = generator.expected(value) - generator.start(value[None]) - generator.mean
    assert torch.allclose(change, generator.regression(value[None]) @ generator.basis.mT, atol=1e-6)
    assert results.facts["start"] == generator.start.name


def test_methods(results: gnndiff.FamilyResults, family: Family) -> None:
    graph = family.members("unseen")[0].graph()
    sizes = {method: len(results.pipeline.sample(3, graph, method=method)) for method in METHODS}
    assert sizes == {"shared": 1, "regression": 1, "diffusion": 3}
    with pytest.raises(ConfigError, match="'magic'"):
        results.pipeline.sample(3, graph, method="magic")


def test_unseen_labels(results: gnndiff.FamilyResults, family: Family) -> None:
    """A generated network is the same whatever the labels of the graph."""
    task = family.members("unseen")[0]
    other = task.replace(data=Data(x=task.data.x, edge_index=task.data.edge_index, y=1 - task.data.y))
    pipeline = results.pipeline
    made = [pipeline.sample(2, data, method="diffusion") for data in (task, other, task.graph())]
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


@pytest.mark.filterwarnings("ignore::gnndiff.FamilyWarning")
def test_predict(results: gnndiff.FamilyResults, family: Family, tmp_path: Path) -> None:
    graph = family.members("unseen")[0].graph()
    mean, spread = results.pipeline.predict(graph, n=3)
    assert torch.allclose(mean.sum(dim=1), torch.ones(40))
    assert bool((spread >= 0).all())
    np.savez(tmp_path / "graph.npz", x=graph.x.numpy(), edge_index=graph.edge_index.numpy())
    out = tmp_path / "out.npz"
    main(["predict", str(results.folder), "--data", str(tmp_path / "graph.npz"), "--out", str(out)])
    with np.load(out) as arrays:
        assert set(arrays) == {"outputs", "spread", "classes"}


def test_outside(results: gnndiff.FamilyResults, family: Family) -> None:
    graph = family.tasks[0].graph()
    with pytest.warns(gnndiff.FamilyWarning, match="times as far"):
        results.pipeline.condition(Data(x=1e6 * graph.x, edge_index=graph.edge_index))
    with pytest.raises(ConfigError, match="2 features, expected 3"):
        results.pipeline.condition(Data(x=graph.x[:, :2], edge_index=graph.edge_index))
    with pytest.raises(ConfigError, match="0 features"):
        results.pipeline.condition(Data(edge_index=graph.edge_index, num_nodes=40))


def test_members(family: Family) -> None:
    with pytest.raises(InvalidDataError, match="has 2 members, expected at least 4"):
        Family(family.tasks[:2])
    wide = graphtasks.family("csbm-family", members=4, num_nodes=40, num_features=5).tasks[0]
    with pytest.raises(InvalidDataError, match=r"member 7 .* features 5, expected 3"):
        Family([*family.tasks, wide])
    with pytest.raises(ConfigError, match="'nothing'"):
        gnndiff.run_family("mlp", family, condition="nothing")
    parts = family.parts
    assert sorted(index for part in parts.values() for index in part) == list(range(7))
    assert family.with_training(2).parts["unseen"] == parts["unseen"]


def test_regression() -> None:
    """Without a penalty the linear kernel finds a linear law, and residuals are those of fits without each point."""
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(20, 3, generator=rng)
    points -= points.mean(dim=0)
    law = torch.randn(3, 2, generator=rng)
    fit = Regression.fit(points, points @ law, None, 1e-6)
    assert torch.allclose(fit(points), points @ law, atol=1e-3)
    noisy = points @ law + torch.randn(20, 2, generator=rng)
    noisy -= noisy.mean(dim=0)
    whole = Regression.fit(points, noisy, None, 2.0)
    design = torch.cat([points[1:]])
    slope = torch.linalg.solve(design.T @ design + 2 * torch.eye(3), design.T @ noisy[1:])
    assert torch.allclose(whole.residuals[0], noisy[0] - points[0] @ slope, atol=1e-4)


def test_hull() -> None:
    square = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    hull = Hull(square)
    assert hull.distance(torch.zeros(2)) < 1e-2
    # A corner is sqrt(2) from the others' hull, and (3, 0) is 2 from the square.
    assert hull.distance(torch.tensor([3.0, 0.0])) == pytest.approx(2 / 2**0.5, rel=1e-2)


def test_config_is_json(results: gnndiff.FamilyResults) -> None:
    assert json.loads((results.folder / "config.json").read_text())["model"] == "mlp"
