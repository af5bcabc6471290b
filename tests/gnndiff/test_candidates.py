import pytest
import torch

import graphtasks
from gnndiff import Run, RunConfig
from gnndiff.candidates import CHUNK, evaluate_ensemble, evaluate_states, iterate_outputs, stack
from gnndiff.registry import MODELS

N = CHUNK + 2


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if not model.temporal])
def test_batched_outputs_and_scores_equal_a_loop(name, tmp_path):
    run = Run(RunConfig(task="wine", model=name, budget="tiny", out=tmp_path / "run"))
    params = {key: choices[0] for key, choices in run.model.space(run.task).items()}
    networks = [run.build(params, seed).eval() for seed in range(N)]
    task = run.prepared_task(params)
    expected = torch.stack([graphtasks.forward(network, task.data) for network in networks])
    states = stack([network.state_dict() for network in networks])

    torch.testing.assert_close(torch.cat(list(iterate_outputs(run, params, states))), expected, atol=1e-5, rtol=1e-5)
    assert evaluate_states(run, params, states, "val") == [task.evaluate(output, 0, "val") for output in expected]
    mean = expected.softmax(dim=-1).mean(dim=0)
    assert evaluate_ensemble(run, params, states, "test") == task.evaluate(mean, 0, "test")


def test_a_network_with_nan_weights_does_not_stop_the_others(tmp_path):
    run = Run(RunConfig(task="wine", model="mlp", budget="tiny", out=tmp_path / "run"))
    params = {key: choices[0] for key, choices in run.model.space(run.task).items()}
    good = run.build(params, 0).state_dict()
    bad = {key: torch.full_like(tensor, torch.nan) for key, tensor in good.items()}
    scores = evaluate_states(run, params, stack([good, bad]), "val")
    assert scores[0] == evaluate_states(run, params, stack([good]), "val")[0]
    assert scores[1] == 0
