"""Geometry, soups and recipes of zoos."""

import dataclasses

import pytest
import torch
from torch import nn
from torch_geometric.nn.models import GAT

from gnndiff import Zoo, config
from gnndiff.config import BUDGETS, Method
from gnndiff.errors import ConfigError, ZooError
from gnndiff.runs.collect import collect, load_zoo, read_zoo, store, trainings, view
from gnndiff.runs.folder import Run
from gnndiff.search import search
from gnndiff.targets.ends import units_of
from gnndiff.zoo.alignment import orders, rearranged
from gnndiff.zoo.geometry import geometry, outside
from gnndiff.zoo.recipes import RECIPES, find
from gnndiff.zoo.recipes.base import connecting
from gnndiff.zoo.selection import selected
from gnndiff.zoo.soups import greedy_ensemble, greedy_soup
from graphtasks.metrics import metric

ACCURACY, ERROR = metric("accuracy"), metric("mse")


def test_valleys_of_a_known_landscape():
    def score(vectors):  # 1 around 0, and around 10, which lie apart
        return [float(min(abs(v[0]), abs(v[0] - 10)) < 2) for v in vectors]

    best = torch.tensor([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [10.0, 0.0]])
    found = geometry(best, best, score, ACCURACY, 0.05)
    assert found.good == (True, True, True, False)
    assert found.barrier == found.midpoints == 0
    assert found.barriers[3] == 1.0
    assert "1 of 4 trainings are left out" in found.meaning(0.01)
    assert "100.00" in str(found)


def test_errors_have_barriers_relative_to_their_size():
    best = torch.tensor([[1.0], [-1.0]])
    found = geometry(best, best, lambda vectors: [4.0 - 2 * float(v.abs()) for v in vectors], ERROR, 0.05)
    assert found.barriers == (0.0, 1.0)  # 4 between them in the place of 2, so that the mean is that of the first alone
    assert sum(found.good) == 1
    assert "not connected" in found.meaning(0.01)


def test_one_point_is_known_by_its_spread():
    vectors = torch.ones(4, 10) + 1e-3 * torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    found = geometry(vectors, vectors, lambda vectors: [0.5] * len(vectors), ACCURACY, 0.05)
    assert found.is_point(0.01)
    assert "one point" in found.meaning(0.01)


def test_what_lies_outside_of_a_span():
    plane = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)) @ torch.eye(2, 5)
    assert outside(plane) < 1e-6
    assert outside(torch.eye(5)) == pytest.approx(1.0)


def test_a_greedy_soup_leaves_out_what_makes_it_worse():
    vectors = torch.tensor([[1.0], [-1.0], [5.0]])
    soup = greedy_soup(vectors, lambda vectors: [-abs(float(v)) for v in vectors], ACCURACY)
    assert soup == 0


def test_a_greedy_ensemble_takes_answers_more_than_once():
    answers = [torch.tensor([each]) for each in (0.0, 3.0, 10.0)]

    def average(pair, weights):
        return (weights[0] * pair[0] + weights[1] * pair[1]) / sum(weights)

    chosen = greedy_ensemble(answers, average, lambda means: (means[:, 0] - 2).abs().tolist(), ERROR, rounds=6)
    assert sorted(chosen) == [0, 1, 1]


def test_heads_of_attention_are_matched():
    torch.manual_seed(0)
    network = GAT(5, 8, 2, 3, heads=4)
    units = units_of(network)
    state = {name: torch.randn_like(tensor) for name, tensor in network.state_dict().items()}
    moved = rearranged(state, orders(state, {n: torch.randn_like(t) for n, t in state.items()}, units))
    assert not all(moved[name].equal(state[name]) for name in state)
    back = rearranged(moved, orders(moved, state, units))
    assert all(back[name].equal(state[name]) for name in state)


def test_checkpoints_of_one_training_keep_one_order():
    torch.manual_seed(0)
    first, other = (nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2)) for _ in range(2))
    units = units_of(first)
    late = {name: tensor + 0.5 * torch.randn_like(tensor) for name, tensor in other.state_dict().items()}
    states = [first.state_dict(), other.state_dict(), late]
    evaluator = Zoo.from_states(states, [3.0, 2.0, 1.0], first, lambda module: 0.0).evaluator
    zoo = Zoo.of(states, [3.0, 2.0, 1.0], [{}] * 3, [0, 1, 2], evaluator, units=units, roots=[0, 1, 1])
    before = zoo.layout.flatten(late) - zoo.layout.flatten(other.state_dict())
    after = zoo.vectors[2] - zoo.vectors[1]
    assert after.sort().values == pytest.approx(before.sort().values, abs=1e-6)


def test_tensors_are_chosen_by_name():
    network = GAT(5, 8, 2, 3, heads=2)
    names = [name for name, _ in network.named_parameters()]
    assert selected(network, "all") == names
    assert selected(network, "last-layer") == selected(network, "convs.1.*") != names
    with pytest.raises(ConfigError, match=r"no parameter matches 'lins\.\*'.*convs\.0"):
        selected(network, "lins.*")


def test_large_steps_are_replaced_by_those_that_connect():
    assert connecting({"optimizer": "sgd", "lr": 0.5}, Method()) == {"optimizer": "adam", "lr": Method.connecting_rate}
    assert connecting({"optimizer": "sgd", "lr": 1e-3}, Method()) == {"optimizer": "sgd", "lr": 1e-3}
    assert connecting({"hidden": 4}, Method()) == {"hidden": 4}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_as_long_as_the_budget_says(name):
    limits = BUDGETS["coarse"]
    found = find(name).trainings([{"lr": 0.1, "dropout": 0.85}], limits, Method())
    assert len(found) == (11 if name == "paper" else limits.settings * limits.initialisations)
    assert [each.branch for each in found] == sorted(each.branch for each in found)
    assert all(each.setting["dropout"] <= 0.9 for each in found)


def test_an_unknown_zoo_has_a_name():
    with pytest.raises(ConfigError, match="no zoo is called 'vienna': use one of independent, branches, paper"):
        Run(config.RunConfig(task="karate", budget="mini", zoo="vienna"))


@pytest.mark.parametrize(("name", "parameters"), [("branches", "all"), ("paper", "last-layer")])
def test_a_zoo_of_continuations(name, parameters, tmp_path):
    budget = {"budget": "mini", "initialisations": 5, "snapshots": 1, "epochs": 20}
    given = config.RunConfig(task="karate", zoo=name, parameters=parameters, out=tmp_path / "run", quiet=True, **budget)
    run = Run(dataclasses.replace(given, method=Method(branch_epochs=5, barrier=0.2)))
    search(run)
    collect(run)
    found = store(run).checkpoints()
    roots = {each.root for each in found}
    planned = trainings(run)
    assert {each.member for each in found if not planned[each.member].branch} >= roots
    assert any(each.root != each.member for each in found)
    for each in found:
        root = next(other for other in found if other.member == each.root)
        same = [n for n, t in store(run).read(each).items() if t.equal(store(run).read(root)[n])]
        assert same or each.root != each.member or name == "branches"
        if name == "paper" and each.root != each.member:  # all but the last layer is frozen
            assert {n.split(".")[1] for n in store(run).read(each) if n not in same} <= {"1"}
    zoo = read_zoo(run)
    assert len(zoo.score(zoo.vectors)) == len(found)
    assert zoo.score(zoo.vectors[:1]) == pytest.approx(zoo.scores[:1])
    if name == "branches":
        assert any(view(run, member).graph().x.equal(run.task.graph().x) for member in range(5))
        assert len(load_zoo(run)) == len(found)


def test_a_zoo_that_is_one_point_is_refused_with_its_numbers(tmp_path):
    run = Run(
        config.RunConfig(
            task="karate", budget="mini", out=tmp_path / "run", quiet=True, method=Method(least_spread=0.99)
        )
    )
    search(run)
    collect(run)
    with pytest.raises(ZooError, match=r"one point: its spread is \d+\.\d+%"):
        load_zoo(run)
