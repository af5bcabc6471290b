import dataclasses
import random

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.transforms import Compose, Constant, LocalDegreeProfile, RandomLinkSplit
from torch_geometric.utils import coalesce, degree, from_networkx, remove_self_loops, to_undirected

from graphtasks import InvalidDataError, LinkSplit, UnknownTaskError, link_task, load, random_link_splits
from graphtasks.splits import combined_hash

SETTINGS = settings(deadline=None, derandomize=True, max_examples=30)
PARTS = ("train", "val", "test")


def edges_of(num_nodes=40, num_edges=120, undirected=True, seed=0):
    """Edges of a random simple graph, as PyG orders them."""
    edge_index = from_networkx(nx.gnm_random_graph(num_nodes, num_edges, seed, directed=not undirected)).edge_index
    return coalesce(edge_index, num_nodes=num_nodes)


def graph_of(undirected=True, **options):
    edge_index = edges_of(undirected=undirected, **options)
    return Data(x=torch.eye(40), edge_index=edge_index)


def pairs_of(edges, undirected):
    """The edges as a set, an undirected one once."""
    return {tuple(sorted(edge)) if undirected else tuple(edge) for edge in edges.t().tolist()}


@pytest.mark.parametrize("undirected", [True, False])
def test_splits_are_those_of_pyg_under_the_same_seeds(undirected):
    edge_index = edges_of(undirected=undirected)
    transform = RandomLinkSplit(
        0.05, 0.1, is_undirected=undirected, split_labels=True, add_negative_train_samples=False
    )
    splits = random_link_splits(edge_index, 40, undirected=undirected, count=3, seed=5)
    for i, split in enumerate(splits):
        with torch.random.fork_rng():
            torch.manual_seed(5 + i)
            random.seed(5 + i)  # PyG draws negatives with it
            train, val, test = transform(Data(edge_index=edge_index, num_nodes=40))
        assert torch.equal(split.train, train.pos_edge_label_index)
        assert torch.equal(split.val, val.pos_edge_label_index)
        assert torch.equal(split.test, test.pos_edge_label_index)
        assert torch.equal(split.val_neg, val.neg_edge_label_index)
        assert torch.equal(split.test_neg, test.neg_edge_label_index)
        for part, data in zip(PARTS, (train, val, test), strict=True):
            assert torch.equal(coalesce(split.messages(part)), coalesce(data.edge_index))


@SETTINGS
@given(
    undirected=st.booleans(),
    num_nodes=st.integers(15, 40),
    num_edges=st.integers(20, 90),
    seed=st.integers(0, 99),
)
def test_no_edge_to_predict_is_seen_and_no_negative_is_an_edge(undirected, num_nodes, num_edges, seed):
    edge_index = edges_of(num_nodes, num_edges, undirected, seed)
    for split in random_link_splits(edge_index, num_nodes, undirected=undirected, count=2, seed=seed):
        whole = pairs_of(edge_index, undirected)
        train, val, test = (pairs_of(getattr(split, part), undirected) for part in PARTS)
        assert (len(train) + len(val) + len(test), train | val | test) == (num_edges, whole)
        assert pairs_of(split.messages("train"), undirected) == pairs_of(split.messages("val"), undirected) == train
        assert pairs_of(split.messages("test"), undirected) == train | val
        for negatives in (split.val_neg, split.test_neg):
            assert not pairs_of(negatives, undirected) & whole
            assert not bool((negatives[0] == negatives[1]).any())
            assert 0 <= int(negatives.min()) <= int(negatives.max()) < num_nodes


@pytest.mark.parametrize(("undirected", "num_edges"), [(True, 100), (True, 219), (False, 399)])
def test_parts_have_the_documented_sizes(undirected, num_edges):
    for split in random_link_splits(edges_of(40, num_edges, undirected), 40, undirected=undirected):
        val, test = num_edges // 20, num_edges // 10
        assert (split.val.size(1), split.val_neg.size(1)) == (val, val)
        assert (split.test.size(1), split.test_neg.size(1)) == (test, test)
        assert split.train.size(1) == num_edges - val - test


def test_shares_may_be_others():
    (split,) = random_link_splits(edges_of(40, 100), 40, undirected=True, val=0.1, test=0.3, count=1)
    assert [getattr(split, part).size(1) for part in PARTS] == [60, 10, 30]


def test_splits_depend_on_seed_plus_index_alone():
    edge_index = edges_of()
    torch_state, python_state, numpy_state = torch.get_rng_state(), random.getstate(), np.random.get_state()  # noqa: NPY002
    hashes = [split.hash for split in random_link_splits(edge_index, 40, undirected=True, count=4, seed=7)]
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state
    assert np.array_equal(np.random.get_state()[1], numpy_state[1])  # noqa: NPY002
    assert len(set(hashes)) == 4
    assert [split.hash for split in random_link_splits(edge_index, 40, undirected=True, count=2, seed=9)] == hashes[2:]


@pytest.mark.parametrize("undirected", [True, False])
def test_self_loops_and_repeated_edges_are_left_out(undirected):
    edge_index = edges_of(undirected=undirected)
    loops = torch.arange(40).repeat(2, 1)
    more = torch.cat([edge_index, loops, edge_index], dim=1)[:, torch.randperm(2 * edge_index.size(1) + 40)]
    plain = random_link_splits(edge_index, 40, undirected=undirected)
    assert combined_hash(random_link_splits(more, 40, undirected=undirected)) == combined_hash(plain)


@pytest.mark.parametrize(
    ("edges", "shares"), [(19, (0.05, 0.1)), (9, (0.2, 0.1)), (0, (0.05, 0.1)), (50, (0.5, 0.5)), (50, (0.0, 0.1))]
)
def test_too_few_edges_are_an_error(edges, shares):
    with pytest.raises(
        InvalidDataError, match=f"^{edges} edges with shares .* leave a part of the link split empty: use"
    ):
        random_link_splits(edges_of(40, edges), 40, undirected=True, val=shares[0], test=shares[1])


@pytest.mark.parametrize("left_out", [0, 4])
def test_too_few_pairs_without_an_edge_are_an_error(left_out):
    edge_index = edges_of(12, 66 - left_out)  # of 66 pairs; a tenth and a twentieth of them need 9 negatives
    with pytest.raises(InvalidDataError, match="too few pairs without an edge for 9 negatives"):
        random_link_splits(edge_index, 12, undirected=True)


def test_edges_of_one_direction_are_not_undirected():
    star = torch.stack([torch.zeros(59, dtype=torch.int64), torch.arange(1, 60)])
    for edge_index in (star, star.flip(0)):
        with pytest.raises(InvalidDataError, match="both directions"):
            random_link_splits(edge_index, 60, undirected=True)


def test_edges_to_nodes_that_do_not_exist_are_an_error():
    with pytest.raises(InvalidDataError, match="names nodes 0 to 39, but the graph has nodes 0 to 9"):
        random_link_splits(edges_of(), 10, undirected=True)


@pytest.mark.parametrize("undirected", [True, False])
def test_graph_becomes_a_task(undirected):
    data = graph_of(undirected, num_edges=100)
    data.y = torch.zeros(40)
    task = link_task(data, name="pairs")
    assert (task.name, task.kind, task.metric.name, task.directed) == ("pairs", "link", "roc_auc", not undirected)
    assert (task.num_nodes, task.num_edges, task.num_features, task.num_outputs) == (40, data.num_edges, 40, 1)
    assert len(task.splits) == 10
    assert task.data.to_dict().keys() == {"x"}
    assert combined_hash(task.splits) == combined_hash(
        random_link_splits(data.edge_index, 40, undirected=undirected, count=10, seed=0)
    )
    with pytest.raises(InvalidDataError, match="'pairs' of kind 'link' has no classes: use num_outputs"):
        _ = task.num_classes


def test_given_splits_and_metric_are_used():
    data = graph_of()
    splits = random_link_splits(data.edge_index, 40, undirected=True, count=2, seed=3)
    task = link_task(data, splits=splits, metric="hits@3", protocol="mine", source="here", licence="CC0")
    assert task.splits == splits
    assert (task.metric.name, task.protocol, task.source, task.licence) == ("hits@3", "mine", "here", "CC0")


def test_unknown_metric_is_rejected():
    with pytest.raises(UnknownTaskError, match="got metric 'hits@0'"):
        link_task(graph_of(), metric="hits@0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None}, "has no `x`"),
        ({"edge_index": None}, "has no `edge_index`"),
        ({"x": torch.full((40, 1), torch.nan)}, "NaN or infinite in 40 rows"),
        ({"edge_index": torch.tensor([[0], [40]])}, "names nodes 0 to 40"),
        ({"edge_index": torch.empty(2, 0, dtype=torch.int64)}, "0 edges"),
    ],
)
def test_graph_that_cannot_be_learned_from_is_rejected(changes, message):
    data = graph_of()
    for key, value in changes.items():
        data[key] = value
    with pytest.raises(InvalidDataError, match=message):
        link_task(data)


def test_edges_of_a_link_task_are_in_its_splits_alone():
    data = graph_of()
    task = link_task(data)
    with pytest.raises(
        InvalidDataError, match=r"has `edge_index`: its edges belong into the splits alone; `link_task`"
    ):
        task.replace(data=data)


def test_splits_of_a_link_task_name_its_nodes():
    task = link_task(graph_of())
    with pytest.raises(InvalidDataError, match="split 0 of 'custom-link' names node 39, but the graph has 39 nodes"):
        task.replace(data=Data(x=torch.eye(39)))


def test_graph_has_the_messages_of_the_part():
    task = link_task(graph_of())
    for i in (0, 3):
        for part in PARTS:
            graph = task.graph(i, part)
            assert torch.equal(graph.edge_index, task.split(i).messages(part))
            assert torch.equal(graph.x, torch.eye(40))
    assert task.data.get("edge_index") is None


def test_targets_are_ones_and_after_them_zeros():
    task = link_task(graph_of(num_edges=100))
    assert task.targets(2, "test").tolist() == [1] * 10 + [0] * 10
    with pytest.raises(InvalidDataError, match="has one graph: use `graph`"):
        task.part(0, "val")


@pytest.mark.parametrize("metric", ["roc_auc", "ap", "mrr", "hits@2", "hits@20"])
def test_evaluate_ranks_edges_above_negatives(metric):
    task = link_task(graph_of(num_edges=100), metric=metric)
    good = torch.cat([torch.rand(10) + 1, torch.rand(10)])
    assert task.evaluate(good, 0, "test") == pytest.approx(1.0)
    assert task.evaluate(good.view(-1, 1), 0, "test") == pytest.approx(1.0)
    worst = {"roc_auc": 0.0, "mrr": 1 / 11, "hits@2": 0.0, "hits@20": 1.0}  # there are but 10 negatives
    if metric in worst:
        assert task.evaluate(-good, 0, "test") == pytest.approx(worst[metric])


@pytest.mark.parametrize("shape", [(19,), (40,), (20, 2), (20, 1, 1)])
def test_predictions_of_another_shape_are_rejected(shape):
    task = link_task(graph_of(num_edges=100), metric="mrr")
    with pytest.raises(InvalidDataError, match="of shape"):
        task.evaluate(torch.zeros(shape), 0, "test")


def test_training_edges_have_no_score():
    task = link_task(graph_of())
    with pytest.raises(InvalidDataError, match="the train part has no fixed negatives"):
        task.evaluate(torch.zeros(10), 0, "train")


def test_transform_sees_the_messages_of_the_part_alone():
    task = link_task(graph_of())
    transformed = task.transform(LocalDegreeProfile())  # appends degrees
    for part in PARTS:
        messages, graph = task.split(1).messages(part), transformed.graph(1, part)
        assert torch.equal(graph.edge_index, messages)
        assert torch.equal(graph.x[:, 40], degree(messages[0], 40))
    test, val = transformed.graph(1, "test").x[:, 40], transformed.graph(1, "val").x[:, 40]
    assert int((test - val).sum()) == 2 * task.split(1).val.size(1)
    assert task.graph(1, "test").num_features == 40


def test_transforms_follow_each_other():
    task = link_task(graph_of())
    one_by_one = task.transform(Constant(2.0)).transform(LocalDegreeProfile())
    assert torch.equal(one_by_one.graph().x, task.transform(Compose([Constant(2.0), LocalDegreeProfile()])).graph().x)
    assert one_by_one.graph().num_features == 40 + 1 + 5


def test_number_of_features_is_that_of_the_graph_a_model_sees():
    task = link_task(graph_of()).transform(Constant())
    assert task.num_features == task.graph().num_features == 41


def test_transform_in_place_leaves_the_task_alone():
    def doubled(data):
        data.x = 2 * data.x
        return data

    task = link_task(graph_of())
    assert torch.equal(task.transform(doubled).graph().x, 2 * torch.eye(40))
    assert torch.equal(task.graph().x, torch.eye(40))


def test_links_need_link_splits():
    task = link_task(graph_of())
    with pytest.raises(InvalidDataError, match="split 0 of 'custom-link' is a Split, which does not fit kind 'link'"):
        task.replace(splits=load("karate").splits)
    with pytest.raises(InvalidDataError, match="split 0 of 'karate' is a LinkSplit, which does not fit kind 'node'"):
        load("karate").replace(splits=task.splits)


def test_directed_edges_keep_their_direction():
    edge_index = torch.stack([torch.arange(39), torch.arange(1, 40)])
    task = link_task(Data(x=torch.eye(40), edge_index=edge_index))
    assert task.directed
    for split in task.splits:
        assert isinstance(split, LinkSplit)
        messages = split.messages("test")
        assert bool((messages[1] == messages[0] + 1).all())


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_links_of_real_graphs_are_all_of_their_edges(name, real_data):
    graph, task = load(name).graph(), load(f"{name}-link")
    whole = pairs_of(remove_self_loops(graph.edge_index)[0], undirected=True)
    assert torch.equal(task.data.x, graph.x)
    for split in (task.split(0), task.split(9)):
        parts = [pairs_of(getattr(split, part), undirected=True) for part in PARTS]
        assert set.union(*parts) == whole
        assert [len(part) for part in parts[1:]] == [len(whole) // 20, len(whole) // 10]
        assert not pairs_of(torch.cat([split.val_neg, split.test_neg], dim=1), undirected=True) & whole


def test_validation_edges_may_be_kept_out_of_test_messages():
    split = random_link_splits(to_undirected(torch.combinations(torch.arange(12)).t()[:, ::2]), 12, undirected=True)[0]
    kept_out = dataclasses.replace(split, val_messages=False)
    assert torch.equal(kept_out.messages("test"), split.messages("train"))
    assert split.messages("test").size(1) > split.messages("train").size(1)
    assert kept_out.hash != split.hash


def test_links_of_a_networkx_graph():
    graph = nx.gnm_random_graph(30, 100, seed=0)
    nx.set_node_attributes(graph, {i: {"x": [float(i), 1.0]} for i in graph})
    task = link_task(graph)
    assert (task.num_nodes, task.num_edges, task.num_features) == (30, 200, 2)
