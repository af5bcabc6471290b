"""Batches have the rows of their nodes and nothing of the whole graph, whatever a graph carries."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import ToSparseTensor

from dmdgnn import InputError
from dmdgnn.loader import ModeLoader
from dmdgnn.nn import DMDGNN
from dmdgnn.transforms import AddDMDModes

pytestmark = pytest.mark.filterwarnings("ignore:Sparse")
R = 2


class Signals(Data):
    """A graph that has the nodes of its signals (T, N) in the second dimension."""

    def __cat_dim__(self, key, value, *args, **kwargs):
        return 1 if key == "signals" else super().__cat_dim__(key, value, *args, **kwargs)


def graph(n, edges=None, attr="dmd", seed=0, kind=Signals):
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(n, (2, 3 * n if edges is None else edges), generator=generator)
    data = kind(x=torch.randn(n, 4, generator=generator), edge_index=edge_index)
    return AddDMDModes(R, attr=attr, duals=bool(seed % 2))(data)


def carry(data, n):
    """Add attributes such as graphs carry; entries of nodes are the nodes' numbers."""
    numbers = torch.arange(n)
    data.y, data.names, data.rows = numbers, [str(i) for i in range(n)], numbers.numpy()
    data.signals = torch.stack([numbers] * 3)
    data.train_mask = numbers % 2 == 0
    data.pair = (1.5, "graph")
    data.word_index = [str(i) for i in range(n)]
    data.target = torch.tensor([7.0])
    data.edge_label_index = torch.stack([numbers, numbers.flip(0)])
    data.edge_label = torch.ones(n)
    data.edge_attr = torch.rand(data.num_edges, 2)
    data.face = torch.zeros(3, 5, dtype=torch.long)
    return data


@given(st.integers(4, 12), st.data())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_batch_has_what_belongs_to_its_nodes(n, draw):
    attr = draw.draw(st.sampled_from(["dmd", "edge_dmd", "other"]))
    edges = draw.draw(st.sampled_from([n, 2 * n]))  # as many edges as nodes, too
    data = carry(graph(n, edges, attr, draw.draw(st.integers(0, 9))), n)
    if draw.draw(st.booleans()):
        data.num_nodes = n
    count = draw.draw(st.integers(1, n))
    seeds = draw.draw(st.permutations(range(n)))[:count]
    seeds = draw.draw(st.sampled_from([list, np.array, torch.tensor]))(seeds)
    context = draw.draw(st.sampled_from([None, 1, 3, n]))
    batch = next(iter(ModeLoader(data, seeds, context, batch_size=2)))
    nodes = batch.n_id.tolist()
    assert (nodes[: batch.batch_size], len(set(nodes))) == (list(seeds)[:2], len(nodes))
    assert batch.num_nodes == len(nodes) == batch.batch_size + min(context or 0, n - batch.batch_size)
    assert torch.equal(batch.x, data.x[batch.n_id])
    assert torch.equal(batch[f"{attr}_modes"], data[f"{attr}_modes"][batch.n_id])
    assert torch.equal(batch[f"{attr}_eigs"], data[f"{attr}_eigs"])
    assert batch.y.tolist() == batch.rows.tolist() == [int(name) for name in batch.names] == nodes
    assert batch.word_index == batch.names
    assert batch.signals.tolist() == 3 * [nodes]
    assert batch.train_mask.tolist() == [node % 2 == 0 for node in nodes]
    assert (batch.pair, batch.target.tolist()) == ((1.5, "graph"), [7.0])
    assert batch.edge_index.shape == (2, 0)
    for key in ("edge_label_index", "edge_attr", "face"):
        assert key not in batch
        assert key in data


@pytest.mark.parametrize("remove", [True, False])
def test_a_sparse_adjacency_of_the_whole_graph_does_not_stay(remove):
    data = ToSparseTensor(layout=torch.sparse_csr, remove_edge_index=remove)(graph(8))
    batch = next(iter(ModeLoader(data, context=2, batch_size=3)))
    assert "adj_t" not in batch
    assert batch.edge_index.shape == (2, 0)


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([0, 9], "from 0 to 9, but the graph has nodes 0 to 8"),
        (torch.tensor([-1, 2]), "from -1 to 2, but"),
        ([1, 1], r"\(2,\) of torch.int64, expected different numbers"),
        ([0.0, 1.0], r"\(2,\) of torch.float32"),
        ([True, False], r"\(2,\) of torch.bool, .*or a mask \(9,\)"),
        (torch.zeros(1, 2, dtype=torch.long), r"\(1, 2\) of torch.int64"),
        (["a"], "got input_nodes list"),
        ("train", "got input_nodes str"),
        (3, r"\(\) of torch.int64"),
    ],
)
def test_seeds_are_numbers_of_nodes(seeds, message):
    with pytest.raises(InputError, match=message):
        ModeLoader(graph(9), seeds)


def test_graphs_of_a_batch_and_several_types_are_refused():
    batch = Batch.from_data_list([graph(5), graph(6)])
    with pytest.raises(InputError, match=r"got SignalsBatch, expected a Data of one graph: .*DataLoader"):
        ModeLoader(batch)
    hetero = HeteroData()
    hetero["a"].dmd_modes, hetero["a"].dmd_eigs = torch.randn(5, 2), torch.randn(1, 2)
    with pytest.raises(InputError, match="got HeteroData"):
        ModeLoader(hetero)
    loose = Data(**{name: batch[name] for name in ("x", "edge_index", "dmd_modes", "dmd_eigs")})
    with pytest.raises(InputError, match=r"dmd_eigs \(2, 2\), expected those of one graph"):
        ModeLoader(loose)


def test_modes_of_another_graph_are_refused():
    data = graph(6)
    data.x = data.x[:5]
    with pytest.raises(InputError, match="got dmd_modes of 6 nodes for a graph of 5: apply AddDMDModes"):
        ModeLoader(data)
    data = graph(6)
    data.dmd_duals = torch.randn(4, R)
    with pytest.raises(InputError, match="got dmd_duals of 4 nodes"):
        ModeLoader(data)


@pytest.mark.parametrize("part", ["modes", "eigs", "duals"])
def test_modes_are_tensors(part):
    data = graph(6, seed=1)
    data[f"dmd_{part}"] = data[f"dmd_{part}"].numpy()
    with pytest.raises(InputError, match=f"got dmd_{part} as ndarray, expected a tensor"):
        ModeLoader(data)


def test_features_are_dense():
    data = graph(6)
    data.x = data.x.to_sparse()
    with pytest.raises(InputError, match=r"got x as a sparse matrix, .* \.to_dense\(\)"):
        ModeLoader(data)


def test_neighbors_come_from_a_loader():
    with pytest.raises(InputError, match="got neighbors=3, expected a loader"):
        ModeLoader(graph(6), neighbors=3)


def test_seeds_one_by_one_and_numbers_of_numpy():
    data = graph(5)
    batches = list(ModeLoader(data, context=np.int64(2), batch_size=None))
    assert [(batch.n_id[0].item(), batch.batch_size, batch.num_nodes) for batch in batches] == [
        (node, 1, 3) for node in range(5)
    ]


def test_blocks_stay_those_of_the_graph():
    data = AddDMDModes(R, blocks=True)(graph(7))
    batch = next(iter(ModeLoader(data, context=9, batch_size=4)))
    model = DMDGNN(4, 8, 2, 3, rank=R)
    out = model(batch.x, batch.edge_index, batch.dmd_modes, batch.dmd_eigs, dmd_duals=batch.dmd_duals)[:4]
    expected = model(data.x, data.edge_index, data.dmd_modes, data.dmd_eigs)[:4]
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


def test_inference_of_modes_by_another_name():
    data = graph(9, attr="other")
    model, loader = DMDGNN(4, 8, 2, 3, rank=R).eval(), ModeLoader(data, batch_size=4)
    expected = model(data.x, data.edge_index, data.other_modes, data.other_eigs)
    torch.testing.assert_close(model.inference(loader, attr="other"), expected)
    with pytest.raises(InputError, match="lack dmd_modes or dmd_eigs; they have modes as 'other': pass attr='other'"):
        model.inference(loader)
    with pytest.raises(InputError, match="lack n_id and batch_size: give a ModeLoader"):
        model.inference([data])
