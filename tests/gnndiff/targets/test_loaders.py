"""Training on batches of nodes of one graph."""

import pytest
import torch

import graphtasks
from gnndiff.errors import ConfigError
from gnndiff.targets import available, find
from gnndiff.targets.base import check_loaders, full_space
from gnndiff.testing import corners, made
from graphtasks import FitConfig

LOADERS = [{"neighbors": (3, 3), "batch_size": 40}, {"clusters": 4}]


@pytest.fixture(scope="module")
def task():
    return graphtasks.load("wine")


@pytest.mark.parametrize("loader", LOADERS, ids=["neighbors", "clusters"])
@pytest.mark.parametrize("name", [name for name in available("node") if not find(name).whole_graph])
def test_targets_train_on_batches_of_nodes(name, loader, task):
    prepared, module = made(find(name), task, corners(full_space(find(name), task))[0])
    before = [tensor.detach().clone() for tensor in module.parameters()]
    result = graphtasks.fit(module, prepared, 0, FitConfig(epochs=1, lr=0.1, **loader))
    assert 0 <= result.test <= 1
    assert any(not torch.equal(tensor, old) for tensor, old in zip(module.parameters(), before, strict=True))


@pytest.mark.parametrize("name", ["gcn", "sage", "cheb", "h2gcn"])
def test_all_neighbours_give_what_the_whole_graph_gives(name, task):
    setting = {**corners(full_space(find(name), task))[0], "dropout": 0.0}
    prepared, module = made(find(name), task, setting)
    batches = graphtasks.batches.NodeBatches(
        prepared, 0, lambda pred, y: pred, torch.device("cpu"), batch_size=500, neighbors=(-1,) * 8, clusters=None
    )
    ((pred, _),) = batches.losses(module)
    train = task.splits[0].train
    whole = graphtasks.forward(module, prepared.graph())[train]
    # The loader draws nodes in an order of its own.
    torch.testing.assert_close(pred.sort(dim=0).values, whole.sort(dim=0).values, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("loader", LOADERS, ids=["neighbors", "clusters"])
@pytest.mark.parametrize("name", ["graphdmd", "dmdgnn", "dmdgnn-dir", "dmdgps"])
def test_models_of_modes_refuse_batches_of_nodes(name, loader, task):
    target = find(name)
    with pytest.raises(ConfigError, match=f"'{name}' needs all nodes of a graph at once, but .* leave .* out"):
        check_loaders(target, loader)
    space = {key: choices[:1] for key, choices in full_space(target, task).items()}
    with pytest.raises(ConfigError, match="needs all nodes of a graph at once"):
        target.contender(name, task, {**space, **{key: (value,) for key, value in loader.items()}})
    prepared, module = made(target, task, corners(full_space(target, task))[0])
    with pytest.raises(ConfigError, match=r"got \d+ of 178 nodes for a model of modes"):
        graphtasks.fit(module, prepared, 0, FitConfig(epochs=1, **loader))


def test_no_loaders_are_fine():
    check_loaders(find("dmdgnn"), {"neighbors": None, "clusters": None, "lr": 0.1})
    check_loaders(find("gcn"), {"neighbors": (5,)})
