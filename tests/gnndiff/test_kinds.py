"""Every kind of task goes through all stages, in one piece and in batches."""

import numpy as np
import pytest
import torch
from one_of_each_kind import TASKS, task_of, values
from safetensors.torch import load_file

import gnndiff
import graphtasks
from gnndiff import GNNDiffPipeline, Run
from gnndiff.predict import predict_run
from gnndiff.stages import STAGES

TINY = {
    "trials": 2,
    "epochs": 3,
    "settings": 1,
    "initialisations": 2,
    "snapshots": 1,
    "retrainings": 2,
    "generator_steps": 5,
    "candidates": 4,
    "resamplings": 1,
    "members": 2,
    "refine_epochs": 2,
    "finalists": 1,
    "finalist_trainings": 1,
    "zoo": "independent",
    "quiet": True,
}


@pytest.mark.parametrize("kind", TASKS)
def test_every_kind_goes_through_all_stages(kind, tmp_path):
    task = task_of(kind)
    results = gnndiff.run("gcn", task, out=tmp_path / "run", **TINY)
    assert [stage["name"] for stage in results.data["stages"]] == list(STAGES)
    assert all(np.isfinite(row[part]["mean"]) for row in results.rows for part in ("val", "test"))
    assert results.data["alignment"].startswith("aligned")

    run = Run.load(tmp_path / "run", task=task)
    arrays = predict_run(run)
    rows = task.num_nodes if kind in ("node", "node-regression") else len(task.targets(0, "test"))
    assert len(arrays["outputs"]) >= rows
    if kind == "link":
        assert arrays["pairs"].shape == (2, rows)
        test = task.metric.score(task.targets(0, "test"), torch.from_numpy(arrays["outputs"]))
        assert test == pytest.approx(results.best.test)

    pipeline = GNNDiffPipeline.from_pretrained(tmp_path / "run" / "generator")
    module, prepared = pipeline.build(task)
    for state in pipeline.generate(2, generator=torch.Generator().manual_seed(0)):
        module.load_state_dict(state)
        assert np.isfinite(task.evaluate(graphtasks.predict(module, prepared, 0, "val"), 0, "val"))


@pytest.mark.parametrize("batches", [{"neighbors": (3, 3), "batch_size": 8}, {"clusters": 3}])
def test_nodes_in_batches_go_through_all_stages(batches, tmp_path):
    results = gnndiff.run("sage", "karate", out=tmp_path / "run", **batches, **TINY)
    assert len(results.rows) == 2 + 7 * 8 - 1
    again = Run.load(tmp_path / "run")
    assert again.fit_config(results.best.setting, 0).batch_size == batches.get("batch_size")


def test_training_settings_reach_every_training(tmp_path, monkeypatch):
    from graphtasks import trial

    seen, fit = [], trial.fit

    def spy(model, task, split, config, **kwargs):
        seen.append(config)
        return fit(model, task, split, config, **kwargs)

    monkeypatch.setattr(trial, "fit", spy)
    space = {"schedule": ["cosine"], "hidden": [4], "dropout": [0.1]}
    gnndiff.run("gcn", "karate", space=space, class_weights=True, out=tmp_path / "run", **TINY)
    assert all(config.schedule == "cosine" and config.class_weights for config in seen)
    assert [config.epochs for config in seen] == 6 * [3] + 7 * [2]


def test_statistics_of_batch_normalisation_are_not_generated(tmp_path):
    task = task_of("graph")
    space = {"norm": ["batch_norm"], "hidden": [8], "dropout": [0.1]}
    results = gnndiff.run("gcn", task, space=space, out=tmp_path / "run", **TINY)
    pipeline = GNNDiffPipeline.from_pretrained(tmp_path / "run" / "generator")
    assert not [name for name in pipeline.layout.shapes if "running" in name or "tracked" in name]
    state = load_file(tmp_path / "run" / "best" / "model.safetensors")
    assert all(bool((tensor >= 0).all()) for name, tensor in state.items() if name.endswith("running_var"))
    module, _ = pipeline.build(task)
    module.load_state_dict(state, strict=True)
    module.load_state_dict(pipeline.generate(1, generator=torch.Generator().manual_seed(0))[0], strict=True)
    assert results.best.setting["norm"] == "batch_norm"


def test_direction_of_the_metric_is_that_of_the_table(tmp_path):
    results = gnndiff.run("mlp", values(), out=tmp_path / "run", **TINY)
    rows = {row["name"]: row["val"]["mean"] for row in results.rows}
    assert results.data["direction"] == "minimize"
    choices = {row["name"]: row["choice"]["mean"] for row in results.rows if "ensemble" not in row["form"]}
    assert choices[results.best.row] == min(choices.values())
    assert rows["noise_best_of_n"] < np.inf
