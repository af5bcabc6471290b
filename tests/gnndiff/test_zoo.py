"""Zoos of somebody else's checkpoints."""

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn
from torch_geometric.nn import GAE
from torch_geometric.nn.models import GCN

import graphtasks
import small_tasks
from gnndiff import Zoo
from gnndiff.errors import ConfigError, DamagedFileError, ZooError
from gnndiff.generators import LatentDiffusion
from gnndiff.generators.conditions import ZooConditions

SETTING = {"hidden": 4, "dropout": 0.0}


def networks(task, count=4, hidden=4):
    """Networks around a common start, as those of a sweep."""
    torch.manual_seed(0)
    outputs = hidden if task.kind == "link" else task.num_outputs
    start = GCN(task.num_features, hidden, 2, outputs)
    found = [copy.deepcopy(start) for _ in range(count)]
    for network in found:
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return found


def states(task, count=4, hidden=4):
    return [network.state_dict() for network in networks(task, count, hidden)]


def build_gcn(task, hidden):
    outputs = hidden if task.kind == "link" else task.num_outputs
    return GCN(task.num_features, hidden, 2, outputs)


@pytest.mark.parametrize("name", ["node", "nodes of many graphs", "node values", "temporal", "link"])
def test_scores_soups_and_ensembles_are_those_of_the_networks(name):
    task = small_tasks.TASKS[name]()
    zoo = Zoo.from_states(states(task), None, build_gcn, task, setting={"hidden": 4})
    own = [task.evaluate(graphtasks.predict(network, task, 0, "val"), 0, "val") for network in networks(task)]
    assert zoo.scores == pytest.approx(sorted(own, reverse=task.metric.direction == "maximize"), rel=1e-4)
    assert zoo.score(zoo.vectors) == pytest.approx(zoo.scores, rel=1e-3)
    soup = networks(task)[0]
    soup.load_state_dict(zoo.states(zoo.soup().unsqueeze(0))[0])
    expected = task.evaluate(graphtasks.predict(soup, task, 0, "test"), 0, "test")
    assert zoo.score(zoo.soup().unsqueeze(0), "test") == pytest.approx([expected], rel=1e-4)
    mean = task.average([graphtasks.predict(network, task, 0, "test") for network in networks(task)])
    assert zoo.ensemble_score(zoo.vectors, "test") == pytest.approx(task.evaluate(mean, 0, "test"), rel=1e-4)


def test_links_by_a_decoder_of_ones_own():
    task = small_tasks.TASKS["link"]()
    models = [GAE(network) for network in networks(task)]
    zoo = Zoo.from_states([model.state_dict() for model in models], None, models[0], task)
    own = [task.evaluate(graphtasks.predict(model, task, 0, "val"), 0, "val") for model in models]
    assert zoo.scores == pytest.approx(sorted(own, reverse=True), rel=1e-4)


def test_less_error_comes_first():
    task = small_tasks.TASKS["node values"]()
    zoo = Zoo.from_states(states(task), [3.0, 1.0, 2.0, 4.0], "gcn", task, setting=SETTING)
    assert zoo.scores == [1.0, 2.0, 3.0, 4.0]
    assert zoo.metric.name == "mse"


def test_files_and_state_dicts_make_the_same_zoo(tmp_path):
    task = small_tasks.TASKS["node"]()
    files = [tmp_path / f"{i}.safetensors" for i in range(4)]
    for file, state in zip(files, states(task), strict=True):
        save_file(state, file)
    scores = [0.1, 0.4, 0.3, 0.2]
    read = Zoo.from_states([files[0], *map(str, files[1:])], scores, "gcn", task, setting=SETTING)
    given = Zoo.from_states(states(task), scores, "gcn", task, setting=SETTING)
    assert torch.equal(read.vectors, given.vectors)


def test_a_file_of_tied_parameters_has_one_of_their_names(tmp_path):
    def tied():
        model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        model[1].weight = model[0].weight
        return model

    models = [tied() for _ in range(3)]
    for i, model in enumerate(models):
        save_model(model, str(tmp_path / f"{i}.safetensors"))
    zoo = Zoo.from_states(
        [tmp_path / f"{i}.safetensors" for i in range(3)], None, models[0], lambda module: float(module[0].bias[0])
    )
    assert zoo.layout.size == 8
    for state in zoo.states(zoo.vectors):
        tied().load_state_dict(state)


def test_a_build_function_needs_no_registration():
    task = small_tasks.TASKS["node"]()

    def build(task, hidden):
        return GCN(task.num_features, hidden, 2, task.num_classes)

    zoo = Zoo.from_states(states(task), None, build, task, setting={"hidden": 4})
    assert len(zoo) == 4
    assert zoo.alignment.startswith("aligned")
    with pytest.raises(ConfigError, match="setting"):
        Zoo.from_states(states(task), None, build, task)


def test_a_generator_learns_from_it():
    task = small_tasks.TASKS["node values"]()
    zoo = Zoo.from_states(states(task, 6), None, "gcn", task, setting=SETTING)
    rng = torch.Generator().manual_seed(0)
    generator = LatentDiffusion(steps=5).fit(zoo.vectors, ZooConditions.of_scores(zoo.scores, zoo.metric), rng=rng)
    vectors = generator.sample(3, rng=rng, steps=2)
    assert len(zoo.score(vectors)) == 3
    for state in zoo.states(vectors):
        networks(task)[0].load_state_dict(state)


def length(module):
    return -sum(parameter.detach().square().sum().item() for parameter in module.parameters())


def test_a_scoring_function_in_the_place_of_a_task():
    models = [nn.Linear(3, 2) for _ in range(4)]
    zoo = Zoo.from_states(
        [m.state_dict() for m in models], None, lambda size: nn.Linear(size, 2), length, setting={"size": 3}
    )
    assert zoo.scores == pytest.approx(sorted(map(length, models), reverse=True))
    assert zoo.score(zoo.vectors) == pytest.approx(zoo.scores)
    assert zoo.score(torch.full((1, 8), torch.nan)) == [-float("inf")]
    least = Zoo.from_states([m.state_dict() for m in models], None, models[0], length, direction="minimize")
    assert least.scores == pytest.approx(zoo.scores[::-1])
    with pytest.raises(ZooError, match="pass a task"):
        zoo.ensemble_score(zoo.vectors)
    with pytest.raises(ZooError, match="part"):
        zoo.score(zoo.vectors, "test")
    with pytest.raises(ConfigError, match="pass a module"):
        Zoo.from_states([m.state_dict() for m in models], None, "gcn", length)


def with_nan(state):
    return {**state, "convs.0.bias": torch.full_like(state["convs.0.bias"], torch.nan)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:1], "at least two"),
        (lambda s: [], "at least two"),
        (lambda s: s[0], "at least two"),
        (lambda s: "one.safetensors", "at least two"),
        (lambda s: [s[0]] * 4, "one point"),
        (lambda s: [*s[:3], with_nan(s[3])], "state 3 has NaN"),
        (lambda s: [*s[:3], states(small_tasks.TASKS["node"](), 1, hidden=5)[0]], "state 3 has convs.0"),
        (lambda s: [*s[:3], {**s[3], "more": torch.ones(1)}], "state 3 has more"),
        (lambda s: [*s[:3], {"convs.0.bias": s[3]["convs.0.bias"]}], "expected"),
        (lambda s: [*s[:3], nn.Linear(1, 1)], "state 3 is a Linear"),
        (lambda s: None, "states of type NoneType"),
        (lambda s: 3, "states of type int"),
    ],
)
def test_states_that_make_no_zoo_are_refused(change, message):
    task = small_tasks.TASKS["node"]()
    with pytest.raises(ZooError, match=message) as raised:
        Zoo.from_states(change(states(task)), None, "gcn", task, setting=SETTING)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0], "1 scores for 4"),
        ([1, 1, float("nan"), 1], "score 2"),
        ([], "0 scores"),
        ([1, 1, 1, "0.5"], "score 3 is '0.5'"),
        ([None, 1, 1, 1], "score 0 is None"),
        ([1, True, 1, 1], "score 1 is True"),
        ([1, 1, 1j, 1], "score 2 is 1j"),
        ([1, 1, 1, -float("inf")], "score 3 is -inf"),
        (0.5, "scores of type float"),
        ("0.51", "scores of type str"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores, message):
    task = small_tasks.TASKS["node"]()
    with pytest.raises(ZooError, match=message):
        Zoo.from_states(states(task), scores, "gcn", task, setting=SETTING)


@pytest.mark.parametrize("form", [tuple, torch.tensor, np.array, lambda scores: [torch.tensor(s) for s in scores]])
def test_scores_of_any_type_of_numbers(form):
    task = small_tasks.TASKS["node"]()
    zoo = Zoo.from_states(states(task), form([3.0, 1.0, 2.0, 4.0]), "gcn", task, setting=SETTING)
    assert sorted(zoo.scores) == [1, 2, 3, 4]


def test_other_mistakes_have_a_name(tmp_path):
    task = small_tasks.TASKS["node"]()
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for name in ("bad", "missing"):
        with pytest.raises(DamagedFileError, match="cannot be read"):
            Zoo.from_states([tmp_path / f"{name}.safetensors"] * 2, None, "gcn", task, setting=SETTING)
    with pytest.raises(ZooError, match="2 members for 4"):
        Zoo.from_states(states(task), None, "gcn", task, setting=SETTING, members=[0, 1])
    with pytest.raises(ConfigError, match="no target"):
        Zoo.from_states(states(task), None, "gnc", task, setting=SETTING)
    with pytest.raises(ConfigError, match="hidden"):
        Zoo.from_states(states(task), None, "gcn", task)


def test_checkpoints_of_one_training_count_once():
    task = small_tasks.TASKS["node"]()
    zoo = Zoo.from_states(states(task), [0.4, 0.3, 0.2, 0.1], nn_gcn(task), task, members=[0, 0, 1, 1])
    torch.testing.assert_close(zoo.best_of_each(), zoo.vectors[[0, 2]])


def nn_gcn(task):
    return networks(task)[0]
