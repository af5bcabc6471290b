from itertools import combinations

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader, NodeLoader
from torch_geometric.nn import SAGEConv
from torch_geometric.sampler import BaseSampler, SamplerOutput
from torch_geometric.typing import WITH_PYG_LIB, WITH_TORCH_SPARSE
from torch_geometric.utils import k_hop_subgraph, to_undirected

from dmdgnn import InputError
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.loader import ModeLoader
from dmdgnn.nn import DMDGNN, DirDMDGNN
from dmdgnn.transforms import AddDMDModes

N, F, R = 40, 5, 3
F64 = torch.float64
NO_EDGES = torch.empty(2, 0, dtype=torch.long)


@pytest.fixture
def data():
    edge_index = to_undirected(torch.randint(N, (2, 3 * N)))
    data = Data(x=torch.randn(N, F, dtype=F64), edge_index=edge_index, y=torch.arange(N))
    data.edge_weight = torch.rand(edge_index.size(1), dtype=F64)
    return AddDMDModes(rank=R, modes="exact", duals=True)(data)


class AllNeighbors(BaseSampler):
    """All edges to the seeds, as NeighborLoader's with num_neighbors=[-1], which needs a compiled package."""

    def __init__(self, edge_index):
        self.edge_index = edge_index

    def sample_from_nodes(self, index):
        seeds = index.node
        _, edge_index, _, mask = k_hop_subgraph(seeds, 1, self.edge_index, num_nodes=N, directed=True)
        others = edge_index[0].unique()
        nodes = torch.cat([seeds, others[~torch.isin(others, seeds)]])
        local = torch.empty(N, dtype=torch.long).index_copy_(0, nodes, torch.arange(len(nodes)))
        rows, columns = local[edge_index]
        return SamplerOutput(nodes, rows, columns, mask.nonzero().view(-1), metadata=(index.input_id, None))

    def sample_from_edges(self, index, neg_sampling=None):
        raise NotImplementedError


def neighbors(data, **kwargs):
    return NodeLoader(data, AllNeighbors(data.edge_index), **kwargs)


def neighbor_loader(data):
    return NeighborLoader(data, num_neighbors=[-1])


needs_sampler = pytest.mark.skipif(not (WITH_PYG_LIB or WITH_TORCH_SPARSE), reason="needs pyg-lib or torch-sparse")


def on_all(model, data):
    return model(data.x, data.edge_index, data.dmd_modes, data.dmd_eigs, data.edge_weight, dmd_duals=data.dmd_duals)


def on_batch(model, batch):
    arguments = (batch.x, batch.edge_index, batch.dmd_modes, batch.dmd_eigs, batch.get("edge_weight"))
    return model(*arguments, dmd_duals=batch.dmd_duals)[: batch.batch_size]


def summary(batch):
    return batch.dmd_duals.mT @ batch.x


def estimates(data, seeds, context):
    """The summary by each of the equally likely contexts."""
    others = sorted(set(range(N)) - set(seeds.tolist()))
    psi, x, weight = data.dmd_duals, data.x, len(others) / context
    fixed = psi[seeds].mT @ x[seeds]
    chosen = (torch.tensor(c) for c in combinations(others, context))
    return torch.stack([fixed + weight * psi[c].mT @ x[c] for c in chosen])


def test_a_batch_has_the_rows_of_seeds_and_context(data):
    seen = []
    for batch in ModeLoader(data, context=4, batch_size=3, shuffle=True):
        seen += batch.n_id[: batch.batch_size].tolist()
        assert len(batch.n_id.unique()) == batch.num_nodes == batch.batch_size + 4
        assert torch.equal(batch.x, data.x[batch.n_id])
        assert torch.equal(batch.y, batch.n_id)
        assert torch.equal(batch.dmd_modes, data.dmd_modes[batch.n_id])
        assert torch.equal(batch.dmd_eigs, data.dmd_eigs)
        weights = torch.tensor([1.0] * batch.batch_size + [(N - batch.batch_size) / 4] * 4, dtype=F64)
        torch.testing.assert_close(batch.dmd_duals, weights.unsqueeze(1) * data.dmd_duals[batch.n_id])
        assert batch.edge_index.shape == (2, 0)
        assert "edge_weight" not in batch
    assert sorted(seen) == list(range(N))
    assert data.edge_index.size(1) == data.edge_weight.size(0) > 0


def test_modes_are_their_own_duals_by_default(data):
    del data.dmd_duals
    batch = next(iter(ModeLoader(data, context=N, batch_size=N // 2)))
    assert torch.equal(batch.dmd_duals, data.dmd_modes[batch.n_id])


@pytest.mark.parametrize("context", [1, 2])
def test_the_estimate_is_unbiased_and_of_the_documented_variance(data, context):
    seeds = torch.arange(0, N, 2)
    values = estimates(data, seeds, context)
    torch.testing.assert_close(values.mean(0), data.dmd_duals.mT @ data.x)
    others = torch.arange(1, N, 2)
    s2 = (data.dmd_duals[others].unsqueeze(2) * data.x[others].unsqueeze(1)).var(0)
    M = len(others)
    torch.testing.assert_close(values.var(0, correction=0), M**2 * s2 * (1 - context / M) / context)


@pytest.mark.parametrize("seeds", [4, N // 2 + 5], ids=["few", "most"])
def test_batches_draw_from_that_distribution(data, seeds):
    draws = 1000
    loader = ModeLoader(data, torch.arange(seeds), context=5, batch_size=seeds)
    values = torch.stack([summary(loader.collate(range(seeds))) for _ in range(draws)])
    others, M = torch.arange(seeds, N), N - seeds
    s2 = (data.dmd_duals[others].unsqueeze(2) * data.x[others].unsqueeze(1)).var(0)
    variance = M**2 * s2 * (1 - 5 / M) / 5
    error = (values.mean(0) - data.dmd_duals.mT @ data.x) / (variance / draws).sqrt()
    assert float(error.abs().max()) < 4
    torch.testing.assert_close(values.var(0), variance, rtol=0.3, atol=0)


def test_batches_of_an_epoch_have_the_whole_summary_as_mean(data):
    # The context of seeds that are half of the nodes is the other half.
    whole = data.dmd_duals.mT @ data.x
    halves = list(ModeLoader(data, batch_size=N // 2, shuffle=True))
    torch.testing.assert_close(sum(summary(batch) for batch in halves), whole)
    for batch in ModeLoader(data, context=N // 2, batch_size=N // 2, shuffle=True):
        torch.testing.assert_close(summary(batch), whole)


def test_a_full_context_is_the_whole_graph(data):
    model = DMDGNN(F, 8, num_layers=3, out_channels=2, rank=R, skip=True).double()
    whole = on_all(model, data)
    for batch in ModeLoader(data, context=10 * N, batch_size=7):
        torch.testing.assert_close(on_batch(model, batch), whole[batch.n_id[: batch.batch_size]])


def test_modes_of_both_directions_are_weighted(data):
    data = Data(x=data.x, edge_index=data.edge_index[:, ::2])
    for name, direction in (("dmd_out", "forward"), ("dmd_in", "backward")):
        data = AddDMDModes(rank=R, dynamics=FeaturePropagation(direction=direction), attr=name, duals=True)(data)
    model = DirDMDGNN(F, 8, num_layers=2, out_channels=2, rank=R).double()

    def outputs(graph):
        spectra = graph.dmd_out_modes, graph.dmd_out_eigs, graph.dmd_in_modes, graph.dmd_in_eigs
        duals = {name: graph[name] for name in ("dmd_out_duals", "dmd_in_duals")}
        return model(graph.x, graph.edge_index, *spectra, **duals)

    whole = outputs(data)
    for batch in ModeLoader(data, context=N, batch_size=7):
        torch.testing.assert_close(outputs(batch)[: batch.batch_size], whole[batch.n_id[: batch.batch_size]])
    batch = next(iter(ModeLoader(data, context=5, batch_size=4)))
    for name in ("dmd_out_duals", "dmd_in_duals"):
        weights = torch.tensor([1.0] * 4 + [(N - 4) / 5] * 5, dtype=F64).unsqueeze(1)
        torch.testing.assert_close(batch[name], weights * data[name][batch.n_id])
    with pytest.raises(InputError, match="no inference in batches"):
        model.inference(ModeLoader(data))


def test_the_bias_of_deeper_layers_vanishes_with_the_context(data):
    model = DMDGNN(F, 8, num_layers=3, out_channels=2, rank=R, skip=True).double().eval()
    seeds = torch.arange(4)
    biases = []
    with torch.no_grad():
        whole = on_all(model, data)[seeds]
        for context in (2, 8, 32):
            loader = ModeLoader(data, seeds, context=context, batch_size=4)
            mean = torch.stack([on_batch(model, loader.collate(range(4))) for _ in range(200)]).mean(0)
            biases.append(float((mean - whole).norm() / whole.norm()))
    assert biases[0] > 2 * biases[1] > 4 * biases[2]


def test_gradients_of_a_linear_model_are_unbiased(data):
    # One layer is linear in the summary, and so is a loss in its outputs: gradients average to those of the whole.
    model = DMDGNN(F, 4, num_layers=1, out_channels=2, rank=R).double()
    seeds = torch.arange(N - 2)
    target = torch.randn(len(seeds), 2, dtype=F64)
    (on_all(model, data)[seeds] * target).sum().backward()
    whole = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    contexts = {}
    while len(contexts) < 2:
        batch = next(iter(ModeLoader(data, seeds, context=1, batch_size=len(seeds))))
        contexts[int(batch.n_id[-1])] = batch
    for batch in contexts.values():
        (on_batch(model, batch) * target).sum().div(2).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[name])


@pytest.mark.parametrize("make", [neighbors, pytest.param(neighbor_loader, marks=needs_sampler)])
def test_neighbors_of_seeds_and_context_for_a_local_term(data, make):
    model = DMDGNN(F, 4, num_layers=1, out_channels=2, rank=R, local=lambda i, o: SAGEConv(i, o)).double()
    data.edge_weight = None
    whole = on_all(model, data)
    for batch in ModeLoader(data, context=N, neighbors=make(data), batch_size=8, shuffle=True):
        torch.testing.assert_close(on_batch(model, batch), whole[batch.n_id[: batch.batch_size]])
    for batch in ModeLoader(data, context=3, neighbors=make(data), batch_size=2):
        assert batch.num_nodes > 5
        assert batch.dmd_duals[:5].all()
        assert not batch.dmd_duals[5:].any()


def test_features_may_lie_on_disk(data, tmp_path):
    features = np.memmap(tmp_path / "x", dtype="float64", mode="w+", shape=(N, F))
    features[:] = data.x.numpy()
    data.x = torch.from_numpy(features)
    batch = next(iter(ModeLoader(data, context=2, batch_size=3, shuffle=True)))
    assert torch.equal(batch.x, torch.from_numpy(np.array(features))[batch.n_id])


def test_seeds_by_mask_or_numbers(data):
    mask = data.y % 3 == 0
    for nodes in (mask, mask.nonzero().view(-1)):
        seeds = [batch.n_id[: batch.batch_size] for batch in ModeLoader(data, nodes, context=5, batch_size=4)]
        assert torch.equal(torch.cat(seeds), mask.nonzero().view(-1))


def test_what_does_not_fit(data):
    with pytest.raises(InputError, match="apply AddDMDModes"):
        ModeLoader(Data(x=data.x, edge_index=data.edge_index))
    for context in (0, True, 2.5):
        with pytest.raises(InputError, match="context="):
            ModeLoader(data, context=context)
    for nodes in (torch.zeros(N), torch.tensor([1, 1]), torch.ones(3, dtype=torch.bool)):
        with pytest.raises(InputError, match="input_nodes"):
            ModeLoader(data, nodes)
    for some in (torch.arange(N).flip(0), torch.arange(3)):
        with pytest.raises(InputError, match="input_nodes=None"):
            ModeLoader(data, neighbors=neighbors(data, input_nodes=some))
