import copy

import pytest
import torch

import graphtasks
from gnndiff import GNNDiffPipeline
from gnndiff.errors import ConfigError, RunFolderError


@pytest.fixture(scope="module")
def pipeline(finished):
    return GNNDiffPipeline.from_pretrained(finished.folder / "generator")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_generated_states_load_into_the_user_s_model(finished, pipeline):
    states = pipeline.generate(3, generator=seeded())
    assert len(states) == 3
    model = finished.model.build(finished.task, pipeline.info["params"])
    for state in states:
        model.load_state_dict(state)
        assert torch.isfinite(graphtasks.forward(model, finished.task.data)).all()


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


def test_condition_and_guidance_matter(finished, pipeline):
    dropped = copy.copy(finished.task.data)
    dropped.edge_index = dropped.edge_index[:, :10]
    usual = pipeline.sample(4, generator=seeded())
    assert not torch.equal(pipeline.sample(4, val=0.1, generator=seeded()), usual)
    assert not torch.equal(pipeline.sample(4, data=dropped, generator=seeded()), usual)
    assert torch.equal(pipeline.sample(4, data=finished.task.data, generator=seeded()), usual)
    blind = pipeline.sample(4, guidance=0.0, generator=seeded())
    assert torch.allclose(pipeline.sample(4, guidance=0.0, val=0.1, generator=seeded()), blind, atol=1e-5)


def test_zoo_facts_are_told(pipeline):
    assert pipeline.info["checkpoints"] == 8
    assert pipeline.info["trainings"] == 4
    assert 0 < pipeline.info["reconstruction_error"] < 0.2
    assert pipeline.info["relative_spread"] > 0.01


def test_bad_requests(finished, pipeline, tmp_path):
    with pytest.raises(ConfigError, match="n=0"):
        pipeline.generate(0)
    with pytest.raises(ConfigError, match="64 features, expected 13"):
        pipeline.generate(1, data=graphtasks.load("digits").data)
    with pytest.raises(RunFolderError, match=r"did you mean .*generator"):
        GNNDiffPipeline.from_pretrained(finished.folder)
    with pytest.raises(RunFolderError, match="holds no pipeline"):
        GNNDiffPipeline.from_pretrained(tmp_path)
