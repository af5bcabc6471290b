import dataclasses
import math

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GAE, VGAE, SAGEConv
from torch_geometric.utils import stochastic_blockmodel_graph

from dmdgnn import InputError
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DMDGNN, DMDEncoder
from dmdgnn.transforms import AddDMDModes
from graphtasks import FitConfig, fit, link_task

N, R = 6, 3
EDGES = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 5, 5]])
EIGS = {"real": torch.tensor([[0.9, -0.5, 0.2]]), "complex": torch.tensor([[0.9, 0.3 + 0.4j, 0.3 - 0.4j]])}


@pytest.fixture
def graph():
    return torch.randn(N, 4), EDGES, torch.randn(N, R)


@pytest.mark.parametrize("eigs", EIGS.values(), ids=EIGS)
def test_it_is_the_gnn_with_its_weights_and_duals(graph, eigs):
    options = {"skip": True, "gate": 0.5, "act": "tanh"}
    encoder = DMDEncoder(4, 8, 5, R, **options)
    gnn = DMDGNN(4, 8, num_layers=2, out_channels=5, rank=R, local=True, **options)
    gnn.load_state_dict(encoder.gnn.state_dict())
    weight, duals = torch.rand(EDGES.size(1)), torch.randn(N, R)
    expected = gnn(*graph, eigs, weight, dmd_duals=duals)
    torch.testing.assert_close(encoder(*graph, eigs, weight, duals), expected)
    assert not torch.allclose(encoder(*graph, eigs, weight), expected)


@pytest.mark.parametrize("eigs", EIGS.values(), ids=EIGS)
def test_mean_and_deviation_are_the_halves_of_one_layer(graph, eigs):
    both, mean, deviation = (DMDEncoder(4, 8, 5, R, skip=True, variational=v) for v in (True, False, False))
    for half, single in ((slice(0, 5), mean), (slice(5, 10), deviation)):
        state = both.state_dict()
        for name, value in single.state_dict().items():
            if value.size(0) == 5:
                state[name] = state[name][half]
        single.load_state_dict(state)
    for result, single in zip(both(*graph, eigs), (mean, deviation), strict=True):
        torch.testing.assert_close(result, single(*graph, eigs))


def test_vgae_draws_around_the_mean_in_training_only(graph):
    model = VGAE(DMDEncoder(4, 8, 5, R, variational=True))
    inputs = (*graph, EIGS["real"])
    mean, log_deviation = model.encoder(*inputs)
    torch.testing.assert_close(model.eval().encode(*inputs), mean)
    torch.manual_seed(1)
    drawn = model.train().encode(*inputs)
    torch.manual_seed(1)
    torch.testing.assert_close(drawn, mean + log_deviation.exp() * torch.randn(N, 5))


def test_the_divergence_of_a_standard_normal_is_zero(graph):
    model = VGAE(DMDEncoder(4, 8, 5, R, variational=True))
    for parameter in model.encoder.gnn.convs[-1].parameters():
        torch.nn.init.zeros_(parameter)
    model.encode(*graph, EIGS["real"])
    assert model.kl_loss().item() == 0
    with torch.no_grad():
        model.encoder.gnn.convs[-1].bias[:5] = 2.0  # a mean of 2 in 5 dimensions, deviation 1
    model.encode(*graph, EIGS["real"])
    assert model.kl_loss().item() == pytest.approx(0.5 * 5 * 2.0**2)


@pytest.mark.parametrize("autoencoder", [GAE, VGAE])
def test_the_loss_reaches_every_parameter(graph, autoencoder):
    model = autoencoder(DMDEncoder(4, 8, 5, R, variational=autoencoder is VGAE, skip=True, gate=1.0))
    z = model.encode(*graph, EIGS["complex"])
    loss = model.recon_loss(z, EDGES, EDGES.flip(0))
    if autoencoder is VGAE:
        loss = loss + model.kl_loss()
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_the_autoencoder_resets_the_encoder(graph):
    model = GAE(DMDEncoder(4, 8, 5, R))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.inf)
    torch.manual_seed(1)
    model.reset_parameters()
    torch.manual_seed(1)
    fresh = DMDGNN(4, 8, 2, 5, rank=R, local=True)
    torch.manual_seed(1)
    fresh.reset_parameters()
    torch.testing.assert_close(model.encode(*graph, EIGS["real"]), fresh(*graph, EIGS["real"]))


def test_the_local_term_is_any_layer_or_none(graph):
    x, _, modes = graph
    assert isinstance(DMDEncoder(4, 8, 5, R, local=SAGEConv).gnn.convs[0].local, SAGEConv)
    encoder = DMDEncoder(4, 8, 5, R, local=False)
    none = torch.empty(2, 0, dtype=torch.long)
    torch.testing.assert_close(encoder(x, EDGES, modes, EIGS["real"]), encoder(x, none, modes, EIGS["real"]))
    with pytest.raises(InputError, match=r"got modes \(6, 3\)"):
        DMDEncoder(4, 8, 5, R + 1)(*graph, EIGS["real"])


def blocks(count=60):
    """Two blocks of nodes, and noise as features."""
    edges = stochastic_blockmodel_graph([count // 2] * 2, [[0.5, 0.02], [0.02, 0.5]])
    return Data(x=torch.randn(count, 16), edge_index=edges)


TRANSFORM = AddDMDModes(4, dynamics=FeaturePropagation(burn_in=1), modes="exact", duals=True)


def test_modes_know_nothing_of_edges_to_predict():
    task = link_task(blocks())
    split = task.splits[0]
    new_test = dataclasses.replace(split, test=split.test_neg, test_neg=split.test)
    new_both = dataclasses.replace(new_test, val=split.val_neg, val_neg=split.val)
    plain, other_test, other_both = (
        task.replace(splits=[chosen]).transform(TRANSFORM) for chosen in (split, new_test, new_both)
    )
    for name in ("dmd_modes", "dmd_eigs", "dmd_duals"):
        for part in ("train", "val"):
            expected = plain.graph(0, part)[name]
            assert torch.equal(other_test.graph(0, part)[name], expected)
            assert torch.equal(other_both.graph(0, part)[name], expected)
        # Messages of the test part are the edges of both other parts.
        assert torch.equal(other_test.graph(0, "test")[name], plain.graph(0, "test")[name])
        assert not torch.equal(other_both.graph(0, "test")[name], plain.graph(0, "test")[name])


@pytest.mark.parametrize("autoencoder", [GAE, VGAE])
def test_it_learns_which_blocks_have_links(autoencoder):
    task = link_task(blocks()).transform(TRANSFORM)
    model = autoencoder(DMDEncoder(16, 16, 8, 4, variational=autoencoder is VGAE))
    result = fit(model, task, config=FitConfig(epochs=50, weight_decay=0.0), metrics=("ap", "mrr"))
    assert result.test > 0.65
    assert result.others["ap"] > 0.6
