import numpy as np
import pytest
import torch

import graphtasks
from gnndiff import GNNDiffPipeline
from gnndiff.errors import ConfigError, RunFolderError
from gnndiff.predict import save_predictions
from gnndiff.runs.collect import load_zoo
from gnndiff.runs.deliver import Best


@pytest.fixture(scope="module")
def pipeline(finished):
    return GNNDiffPipeline.from_pretrained(finished.folder / "generator")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_generated_states_load_into_the_user_s_model(finished, pipeline):
    states = pipeline.generate(3, generator=seeded())
    assert len(states) == 3
    module, prepared = pipeline.build(finished.task)
    for state in states:
        module.load_state_dict(state)
        assert torch.isfinite(graphtasks.predict(module, prepared)).all()


def test_same_generator_same_states(pipeline):
    first, second = (pipeline.generate(2, generator=seeded()) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a)
    other = pipeline.generate(2, generator=seeded(1))
    assert any(not torch.equal(first[0][name], other[0][name]) for name in first[0])


def test_saved_and_loaded_pipelines_generate_the_same(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    loaded = GNNDiffPipeline.from_pretrained(tmp_path)
    assert loaded.info == pipeline.info
    assert torch.equal(loaded.sample(4, generator=seeded()), pipeline.sample(4, generator=seeded()))


def test_scores_outside_of_the_zoo_become_the_nearest_of_these(pipeline):
    lowest, highest = (float(getattr(pipeline.generator.standardised, end)) for end in ("lowest", "highest"))
    usual = pipeline.sample(4, generator=seeded())
    assert torch.equal(pipeline.sample(4, val=highest + 1, generator=seeded()), usual)
    low, lower = (pipeline.sample(4, val=val, generator=seeded()) for val in (lowest, lowest - 1))
    assert torch.equal(low, lower)
    blind = pipeline.sample(4, guidance=0.0, generator=seeded())
    assert torch.allclose(pipeline.sample(4, guidance=0.0, val=lowest, generator=seeded()), blind, atol=1e-5)


@pytest.mark.parametrize("name", ["DDPMScheduler", "EulerDiscreteScheduler", "DDIMScheduler"])
def test_another_scheduler_is_used_saved_and_loaded(name, pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    own = GNNDiffPipeline.from_pretrained(tmp_path)
    own.generator.facts["steps"] = 1  # as if more than the Gaussian had been learned
    usual = own.sample(2, generator=seeded())
    own.generator.scheduler = own.generator.path.scheduler(name)
    other = own.sample(2, generator=seeded(), steps=20)
    assert not torch.equal(other, usual)
    own.save_pretrained(tmp_path)
    loaded = GNNDiffPipeline.from_pretrained(tmp_path)
    assert type(loaded.generator.scheduler).__name__ == name
    torch.testing.assert_close(loaded.sample(2, generator=seeded(), steps=20), other)


def test_schedulers_and_steps_can_be_set(pipeline, monkeypatch):
    monkeypatch.setitem(pipeline.generator.facts, "steps", 1)  # as if more than the Gaussian had been learned
    usual = pipeline.sample(2, generator=seeded())
    for options in ({"steps": 5}, {"scheduler": "DDIMScheduler"}):
        other = pipeline.sample(2, generator=seeded(), **options)
        assert not torch.equal(other, usual)
        assert torch.equal(pipeline.sample(2, generator=seeded(), **options), other)
    with pytest.raises(ConfigError, match=r"no scheduler of diffusion is called 'Euler': .*use one of"):
        pipeline.sample(1, scheduler="Euler")


def test_zoo_facts_are_told(finished, pipeline):
    zoo = load_zoo(finished)
    assert pipeline.info["checkpoints"] == len(zoo)
    assert pipeline.info["trainings"] == len(set(zoo.members))
    assert 0 < pipeline.info["reconstruction_error"] <= 1.1  # of a training that it has not seen
    assert pipeline.info["held_out_error"] <= pipeline.info["held_out_error_of_gaussian"]
    assert pipeline.info["relative_spread"] > 0.01


def test_bad_requests(finished, pipeline, tmp_path):
    with pytest.raises(ConfigError, match="n=0"):
        pipeline.generate(0)
    for bad in ({"val": float("nan")}, {"guidance": float("nan")}, {"val": float("inf")}):
        with pytest.raises(ConfigError, match="finite"):
            pipeline.generate(1, **bad)
    with pytest.raises(RunFolderError, match=r"did you mean .*generator"):
        GNNDiffPipeline.from_pretrained(finished.folder)
    with pytest.raises(RunFolderError, match="holds no pipeline"):
        GNNDiffPipeline.from_pretrained(tmp_path)


def test_folders_of_somebody_else_stay_as_they_are(finished, pipeline, tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(RunFolderError, match="holds something else than a pipeline"):
        pipeline.save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model_index.json"]
    best = Best.load(finished.folder / "best")
    with pytest.raises(RunFolderError, match=r"model_index.json is not from here, .* move it elsewhere"):
        best.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["model_index.json"]
    assert not list(tmp_path.parent.glob(".*.part"))
    for _ in range(2):
        best.save(str(tmp_path / "own"))
        pipeline.save_pretrained(tmp_path / "pipeline")
    assert Best.load(tmp_path / "own").setting == best.setting


def test_predictions_replace_no_other_arrays(finished, tmp_path):
    path = tmp_path / "splits.npz"
    graphtasks.save_splits(finished.task.splits, path)
    content = path.read_bytes()
    with pytest.raises(graphtasks.FileError, match="is not a file of predictions, so it is left as it is"):
        save_predictions(path, {"outputs": np.zeros(3)})
    assert path.read_bytes() == content
    for _ in range(2):
        save_predictions(tmp_path / "own.npz", {"outputs": np.zeros(3)})
