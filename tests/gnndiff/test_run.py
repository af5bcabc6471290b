"""Whole runs with a tiny budget."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
import torch

from gnndiff import Run, RunConfig, search
from gnndiff.errors import ConfigError
from gnndiff.evaluation import stack
from gnndiff.generators import learning
from gnndiff.rows import forms
from gnndiff.runs import collect, generate
from gnndiff.runs.collect import load_zoo, settings_of_zoo, view
from gnndiff.runs.deliver import Best
from gnndiff.search import jobs
from gnndiff.stages import STAGES, run_all
from gnndiff.targets import available
from gnndiff.zoo import store as zoo_store
from gnndiff.zoo.store import CheckpointStore

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "results.schema.json").read_text())
FORMS = ["best", "matched_best", "soup", "greedy_soup", "refined", "ensemble", "ensemble_all", "greedy_ensemble"]
POOLS = ["retrained", "checkpoint", "noise", "gaussian", "kde", "mixture", "generated"]
OWN = {"checkpoint_best": "best_checkpoint", "noise_best": "noise_best_of_n"}
ROWS = ["coarse_winner", "best_finalist"]
ROWS += [OWN.get(f"{pool}_{form}", f"{pool}_{form}") for pool in POOLS for form in FORMS]
ROWS.remove("retrained_matched_best")


def config(out, **settings):
    return RunConfig(**{"task": "wine", "budget": "tiny", "zoo": "independent", "out": out, "quiet": True, **settings})


def scores(results):
    return [{**row, "seconds": None} for row in results["rows"]]


def read_results(run):
    return json.loads((run.folder / "results.json").read_text())


def test_results_follow_the_schema(finished):
    results = read_results(finished)
    jsonschema.validate(results, SCHEMA)
    assert [row["name"] for row in results["rows"]] == ROWS
    assert [stage["name"] for stage in results["stages"]] == list(STAGES)


@pytest.mark.parametrize("model", [name for name in available("node") if name != "gcn"])
def test_every_model_goes_through(model, tmp_path):
    results = run_all(Run(config(tmp_path / "run", model=model, budget="mini")))
    jsonschema.validate(results, SCHEMA)
    assert [row["name"] for row in results["rows"]] == ROWS


def test_a_model_of_other_tasks_leaves_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="kind 'temporal'"):
        Run(config(tmp_path / "run", model="dmdgru"))
    assert not (tmp_path / "run").exists()


def test_full_budget_adds_equal_time_and_full_grid(tmp_path, monkeypatch):
    few = {
        "optimizer": ("adam",),
        "lr": (0.005, 0.01),
        "weight_decay": (5e-4,),
        "dropout": (0.1, 0.3),
        "hidden": (16, 32),
        "num_layers": (2,),
        "norm": ("none",),
    }
    results = run_all(Run(config(tmp_path / "run", budget="tiny-full", model="mlp"), space=few))
    jsonschema.validate(results, SCHEMA)
    rows = {row["name"]: row for row in results["rows"]}
    assert list(rows) == [*ROWS, "random_search_equal_time", "full_grid"]
    assert "best of 8 settings" in rows["full_grid"]["note"]


def test_same_seed_same_table_and_another_seed_another(finished, tmp_path):
    again = run_all(Run(config(tmp_path / "again")))
    assert scores(again) == scores(read_results(finished))
    other = run_all(Run(config(tmp_path / "other", seed=1)))
    assert scores(other) != scores(again)


CASES = [("wine", "gcn"), ("Wine", "GCN")]

INTERRUPTIONS = {
    "search": (jobs, "train_once", 2),
    "collect": (collect, "train_once", 1),
    "collect while writing": (zoo_store, "write_bytes", 2),
    "train": (learning, "train_denoiser", 0),
    "generate": (generate, "best", 1),
    "compare": (jobs, "train_once", 9),
    "compare late": (forms, "refined", 3),
}


@pytest.mark.parametrize("name", INTERRUPTIONS)
def test_an_interrupted_run_ends_in_the_same_table(name, finished, tmp_path, monkeypatch):
    module, function, calls = INTERRUPTIONS[name]
    original, counter = getattr(module, function), iter(range(calls))

    def interrupted(*args, **kwargs):
        if next(counter, None) is None:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(module, function, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_all(Run(config(tmp_path / "run")))
    monkeypatch.undo()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "zoo").glob("*.safetensors")}
    index = CheckpointStore(tmp_path / "run" / "zoo", finished.identity_hash).checkpoints()
    indexed = {tmp_path / "run" / "zoo" / checkpoint.shard for checkpoint in index}

    assert scores(run_all(Run(config(tmp_path / "run")))) == scores(read_results(finished))
    assert all(path.stat().st_mtime_ns == kept[path] for path in indexed)


def test_finished_trials_are_not_repeated(tmp_path, monkeypatch):
    run = Run(config(tmp_path / "run"))
    search.search(run)
    before = [trial.number for trial in search.finished_trials(run, "search")]
    monkeypatch.setattr(jobs, "train_once", None)
    search.search(Run(config(tmp_path / "run")))
    assert [trial.number for trial in search.finished_trials(run, "search")] == before == [0, 1, 2, 3]


def test_a_finished_run_is_only_read(finished, monkeypatch):
    for stage in STAGES:
        monkeypatch.setitem(STAGES, stage, None)
    assert run_all(finished) == read_results(finished)


def test_zoo_index_tells_all_of_each_checkpoint(finished):
    store = CheckpointStore(finished.folder / "zoo", finished.identity_hash)
    index = store.checkpoints()
    assert [checkpoint.member for checkpoint in index] == [0, 1, 1, 2, 3, 3]  # 0 and 2 are finalists
    for checkpoint in index:
        assert checkpoint.split_hash == finished.split_hash
        assert set(checkpoint.setting) == set(finished.space)
        assert 0 <= checkpoint.epoch < 20
        scored = finished.evaluator(checkpoint.setting).scores(stack([store.read(checkpoint)]), "val")
        assert scored == [checkpoint.val]


def test_views_of_the_graph_differ_between_members(finished):
    edges = [view(finished, member).graph().edge_index for member in range(4)]
    whole = finished.task.data.edge_index
    assert torch.equal(edges[0], whole)
    assert torch.equal(edges[2], whole)
    for kept in (edges[1], edges[3]):
        assert 0.8 * whole.size(1) < kept.size(1) < whole.size(1)
        assert set(map(tuple, kept.t().tolist())) == set(map(tuple, kept.flip(0).t().tolist()))
    assert not torch.equal(edges[1], edges[3])


def test_zoo_has_as_many_directions_as_its_rank_says(finished):
    loaded = load_zoo(finished)
    assert 1 < loaded.effective_rank < len(loaded)


def test_the_delivered_network_is_of_the_row_that_the_choosing_half_puts_first(finished):
    results = read_results(finished)
    best = Best.load(finished.folder / "best")
    single = [row for row in results["rows"] if "ensemble" not in row["form"]]
    first = max(single, key=lambda row: row["choice"]["mean"])
    assert results["best"]["row"] == best.row == first["name"]
    assert results["best"]["networks"] == 1
    assert results["best"] | {"val": best.val, "test": best.test, "setting": best.setting} == results["best"]
    evaluator = finished.evaluator(best.setting)
    assert evaluator.scores(stack([best.state_dict]), "val") == [best.val]
    assert evaluator.scores(stack([best.state_dict]), "test") == [best.test]
    finished.build(best.setting, 0).load_state_dict(best.state_dict)


def test_runs_that_share_a_storage_keep_their_trials_apart(tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    runs = [Run(config(tmp_path / str(i) / "run", storage=url, model=model)) for i, model in enumerate(("gcn", "mlp"))]
    for run in runs:
        search.search(run)
        assert len(search.finished_trials(run, "search")) == 4
        assert not (run.folder / "search.db").exists()
    assert len({trial._trial_id for run in runs for trial in search.finished_trials(run, "search")}) == 8


def test_password_of_a_storage_is_not_written(tmp_path):
    run = Run(config(tmp_path / "run", storage="postgresql://me:secret@host/db"))
    run.create()
    assert "secret" not in (run.folder / "config.json").read_text()


@pytest.mark.parametrize("lost", ["search.db", "results.json", "zoo", "generator", "generated", "best"])
def test_what_was_lost_is_made_again(lost, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if lost != "results.json":
        (folder / "results.json").unlink()
    assert scores(run_all(Run(config(folder)))) == scores(read_results(finished))


def test_searching_again_after_the_whole_grid_keeps_the_time_of_the_search(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    run = Run(config(folder))
    before = run.seconds()["search"]
    search.search_space(run, 8)
    search.search(run)
    assert run.seconds()["search"] == before


def test_zoo_leaves_out_settings_that_are_far_behind(tmp_path):
    run = Run(config(tmp_path / "run"), space={"lr": (1e-6, 0.01), "hidden": (16, 32)})
    search.search(run)
    best, *others = search.ranked_trials(run)
    far_behind = [trial.params for trial in others if trial.value < run.method.quality * best.value]
    assert settings_of_zoo(run)[0] == best.params
    assert far_behind
    assert not any(setting in far_behind for setting in settings_of_zoo(run))


def test_names_are_taken_in_any_case(tmp_path):
    first, second = (Run(config(tmp_path / "run", task=task, model=model)) for task, model in CASES)
    assert first.identity() == second.identity()
