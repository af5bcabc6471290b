import math

import pytest

import graphtasks
from gnndiff.errors import ConfigError
from gnndiff.space import MODELS, architecture, sample_grid, target_model


@pytest.fixture(scope="module")
def task():
    return graphtasks.load("wine")


@pytest.mark.parametrize("name", MODELS)
def test_every_corner_of_the_grid_builds_and_runs(name, task):
    model = MODELS[name]
    space = model.space(task)
    for corner in (0, -1):
        params = {key: choices[corner] for key, choices in space.items()}
        transform = model.prepare(params)
        prepared = task if transform is None else task.transform(transform)
        network = model.build(task, params)
        assert graphtasks.forward(network, prepared.data).shape == (task.num_nodes, task.num_classes)


def test_the_grid_of_gcn_is_that_of_the_paper(task):
    assert math.prod(map(len, MODELS["gcn"].space(task).values())) == 540


def test_sampled_configurations_are_distinct_and_a_prefix_of_the_whole_grid(task):
    space = MODELS["gcn"].space(task)
    whole = sample_grid(space, None, seed=3)
    assert len({tuple(params.values()) for params in whole}) == len(whole) == 540
    assert sample_grid(space, 20, seed=3) == whole[:20]
    assert sample_grid(space, 20, seed=4) != whole[:20]


def test_ranks_fit_the_features():
    data = graphtasks.load("wine").data
    data.x = data.x[:, :1].repeat(1, 13)
    assert MODELS["dmdgnn"].space(graphtasks.load("wine").replace(data=data))["rank"] == (1,)


def test_architecture_leaves_out_what_only_training_needs():
    params = {
        "lr": 0.1,
        "optimizer": "adam",
        "weight_decay": 0.0,
        "dropout": 0.5,
        "hidden": 16,
        "rank": 8,
        "burn_in": 2,
    }
    assert architecture(params) == {"hidden": 16, "rank": 8, "burn_in": 2}


def test_unknown_model():
    assert target_model("GCN") is MODELS["gcn"]
    with pytest.raises(ConfigError, match="no target model is called 'gnc': did you mean 'gcn'"):
        target_model("gnc")
