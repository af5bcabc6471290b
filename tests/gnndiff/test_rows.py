"""Pools and forms of a finished run: what each row must be, whatever the numbers are."""

import json

import numpy as np
import pytest
import torch

import gnndiff
import graphtasks
from gnndiff import GNNDiffPipeline, Run
from gnndiff.errors import GNNDiffError
from gnndiff.predict import predict_run
from gnndiff.rows import POOLS, ROWS, Material
from gnndiff.rows.trainings import refined
from gnndiff.runs.choose import choose
from gnndiff.runs.collect import load_zoo
from gnndiff.runs.deliver import Best
from gnndiff.runs.generate import load_candidates
from gnndiff.stacked import stack


@pytest.fixture(scope="module")
def material(finished):
    generator = GNNDiffPipeline.from_pretrained(finished.folder / "generator").generator
    return Material(finished, load_zoo(finished), generator, load_candidates(finished))


@pytest.fixture(scope="module")
def rows(finished):
    return {row["name"]: row for row in json.loads((finished.folder / "results.json").read_text())["rows"]}


def pool_of(material, name):
    return material.pool(name, POOLS[name])


@pytest.mark.parametrize("name", POOLS)
def test_networks_of_a_pool_are_in_the_order_of_the_ranking_half(name, material):
    pool, judge = pool_of(material, name), material.judge
    for draw in pool.draws:
        ranks = judge.scores(draw.answers["val"], "rank")
        assert ranks == sorted(ranks, reverse=True)
        few = judge.scores(draw.few_answers["val"].unsqueeze(0), "rank")[0]
        assert few <= ranks[0]


@pytest.mark.parametrize("name", [name for name in POOLS if name not in ("retrained", "checkpoint")])
def test_draws_are_independent_and_as_many_as_the_generators(name, material):
    pool = pool_of(material, name)
    assert [draw.count for draw in pool.draws] == [6, 6]
    assert not torch.equal(pool.draws[0].vectors[0], pool.draws[1].vectors[0])
    assert torch.equal(pool.sample(0), pool.sample(0))
    states = pool.zoo.layout.unflatten(pool.sample(0))
    answers = material.judge.answers(pool.zoo.evaluator, states)["test"]
    whole = material.judge.average(answers)
    assert torch.allclose(pool.draws[0].whole["test"], whole, atol=1e-5)


def test_trainings_of_the_winner_are_the_coarse_winner(rows, material):
    assert rows["coarse_winner"]["val"]["n"] == rows["retrained_best"]["of"] == 2
    pool = pool_of(material, "retrained")
    states = pool.zoo.states(pool.draws[0].vectors)
    scores = material.run.evaluator(pool.zoo.setting).scores(stack(states), "test")
    assert np.mean(scores) == pytest.approx(rows["coarse_winner"]["test"]["mean"])


def test_rows_choose_among_as_many_as_they_say(rows, material):
    assert rows["generated_best"]["of"] == rows["noise_best_of_n"]["of"] == 6
    assert {row["of"] for row in rows.values() if row["form"] == "matched_best"} == {2}
    assert rows["best_checkpoint"]["of"] == len(material.zoo)


def test_a_refined_network_has_moved_a_little(material):
    run, zoo = material.run, material.zoo
    start = zoo.states(zoo.vectors[:1])[0]
    state, seconds = refined(run, material.judge, zoo.setting, start, seed=0)
    moved = zoo.layout.flatten(state) - zoo.layout.flatten(start)
    assert 0 < float(moved.norm()) < float(zoo.vectors.norm(dim=1).mean())
    assert seconds > 0
    again, _ = refined(run, material.judge, zoo.setting, start, seed=0)
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_the_generator_is_no_control_of_itself(material):
    class Named:
        name = "kde"

    other = Material(material.run, material.zoo, Named(), material.candidates)
    left = {row.pool for row in ROWS if row.pool in POOLS and row.applies(other)}
    assert left == set(POOLS) - {"kde"}


def test_a_checkpoint_that_is_delivered_is_called_one(material):
    rows = {row.name: row for row in ROWS}
    outcomes = {"best_checkpoint": rows["best_checkpoint"].outcome(material)}
    best = choose(material, outcomes)
    assert (best.row, best.facts["is"], best.facts["nested"]) == ("best_checkpoint", "checkpoint", True)
    outcomes = {"coarse_winner": rows["coarse_winner"].outcome(material)}
    assert choose(material, outcomes).facts["is"] == "training"
    outcomes = {"mixture_soup": rows["mixture_soup"].outcome(material)}
    assert choose(material, outcomes).facts["is"] == "network"


@pytest.mark.parametrize("name", ["generated_ensemble", "generated_ensemble_all", "gaussian_greedy_ensemble"])
def test_networks_of_an_ensemble_answer_as_its_row(name, material):
    row = next(row for row in ROWS if row.name == name)
    made = row.outcome(material).made[1]
    found = made.networks()
    answers = material.judge.answers(material.zoo.evaluator, stack(found.states))["test"]
    mean = material.judge.average(answers, found.weights)
    assert torch.allclose(mean, made.answers["test"], atol=1e-5)


SMALL = {
    "trials": 2,
    "epochs": 4,
    "settings": 1,
    "initialisations": 3,
    "snapshots": 1,
    "retrainings": 2,
    "generator_steps": 5,
    "candidates": 4,
    "resamplings": 1,
    "members": 3,
    "refine_epochs": 2,
    "finalists": 1,
    "finalist_trainings": 1,
    "zoo": "independent",
    "quiet": True,
}


def test_an_ensemble_is_delivered_where_it_may_be(tmp_path, monkeypatch):
    from gnndiff.rows import PooledRow, forms

    ensemble = next(form for form in forms.FORMS if form.name == "ensemble")
    monkeypatch.setattr("gnndiff.runs.compare.ROWS", (PooledRow("checkpoint", POOLS["checkpoint"], ensemble),))
    results = gnndiff.run("gcn", "karate", out=tmp_path / "run", deliver="ensemble", **SMALL)
    best = Best.load(tmp_path / "run" / "best")
    assert results.data["best"]["is"] == "ensemble of 3 networks"
    assert len(best.states) == len(best.weights) == 3
    with pytest.raises(GNNDiffError, match="an ensemble of 3 networks"):
        _ = best.state_dict
    run, task = Run.load(tmp_path / "run"), graphtasks.load("karate")
    arrays = predict_run(run)
    assert task.evaluate(torch.from_numpy(arrays["outputs"]), 0, "test") == pytest.approx(best.test)
    assert float(arrays["test_nll"]) == pytest.approx(results.rows[0]["calibration"]["nll"], rel=1e-4)
    assert set(arrays) >= {f"{part}_{name}" for part in ("val", "test") for name in ("nll", "ece", "auroc")}
