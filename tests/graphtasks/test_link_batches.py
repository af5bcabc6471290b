"""Batches of links."""

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAE, VGAE
from torch_geometric.nn.models import GCN
from torch_geometric.transforms import LocalDegreeProfile, ToSparseTensor

from echoes import Echo, Recorder, link_batches, link_graph
from graphtasks import GraphTask, InvalidDataError, LinkSplit, Split, link_task
from graphtasks.batches import GraphBatches, decode
from graphtasks.losses import training_loss
from graphtasks.randomness import seeded

pytestmark = [
    # torch says once a process that these layouts are in beta.
    pytest.mark.filterwarnings("ignore:Sparse C"),
    pytest.mark.filterwarnings("ignore:Sparse invariant checks"),
]


def key(edges: Tensor, undirected: bool = True) -> set[tuple[int, int]]:
    return set(map(tuple, (edges.sort(dim=0).values if undirected else edges).t().tolist()))


class Pairs(Echo):
    """Gives the numbers of nodes, and keeps the pairs that it is to score."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[Tensor] = []

    def forward(self, x, edge_index):
        return x + self.zero

    def decode(self, z, pairs):
        self.pairs.append(pairs)
        return z[pairs[0], 0] * z[pairs[1], 0]


@pytest.mark.parametrize("undirected", [True, False])
@pytest.mark.parametrize("batch_size", [None, 7, 1000])
def test_each_training_edge_is_in_one_batch_with_as_many_negatives(undirected, batch_size):
    torch.manual_seed(0)
    task, loss, model = link_graph(undirected=undirected), Recorder(), Pairs()
    batches = link_batches(task, batch_size, loss)
    train = task.split(0).train
    for _ in range(2):
        loss.pairs.clear()
        model.pairs.clear()
        sizes = [size for _, size in batches.losses(model)]
        positives, negatives = [], []
        for pairs, (_, labels) in zip(model.pairs, loss.pairs, strict=True):
            positives.append(pairs[:, labels == 1])
            negatives.append(pairs[:, labels == 0])
            assert positives[-1].size(1) == negatives[-1].size(1)
        assert sizes == [edges.size(1) for edges in positives]
        assert max(sizes) <= (batch_size or max(sizes))
        assert sorted(torch.cat(positives, dim=1).t().tolist()) == sorted(train.t().tolist())
        drawn = torch.cat(negatives, dim=1)
        assert not key(drawn, undirected) & key(train, undirected)
        assert bool((drawn[0] != drawn[1]).all())


def negatives_of(task: GraphTask, epochs: int = 1) -> list[set[tuple[int, int]]]:
    """The negatives that are drawn in each epoch, from one node to another."""
    model = Pairs()
    batches = link_batches(task)
    for _ in range(epochs):
        list(batches.losses(model))
    return [key(pairs[:, pairs.size(1) // 2 :], undirected=False) for pairs in model.pairs]


def test_negatives_of_each_epoch_are_others():
    torch.manual_seed(0)
    first, second = negatives_of(link_graph(), epochs=2)
    assert len(first & second) < 0.5 * len(first)


def test_negatives_are_no_training_edges_whatever_a_transform_does_to_the_messages():
    torch.manual_seed(0)

    def thin(data: Data) -> Data:
        data.edge_index = data.edge_index[:, :4]
        return data

    task = link_graph().transform(thin)
    (negatives,) = negatives_of(task)
    assert not negatives & key(task.split(0).messages("train"), undirected=False)


def test_links_take_adj_t():
    torch.manual_seed(0)
    plain = link_graph()
    task = plain.transform(ToSparseTensor(layout=torch.sparse_csr))
    model = GCN(6, 8, num_layers=2)
    list(link_batches(task).losses(model))
    torch.testing.assert_close(
        link_batches(task).predict(model, "test"), link_batches(plain).predict(model, "test"), atol=1e-5, rtol=1e-4
    )


class Memory(nn.Module):
    """Looks the pairs up among the edges that it was given: leaks would give it the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))
        self.messages: set[tuple[int, int]] = set()

    def forward(self, x, edge_index):
        self.messages = key(edge_index)
        return x + self.zero

    def decode(self, z, pairs):
        found = torch.tensor([tuple(sorted(pair)) in self.messages for pair in pairs.t().tolist()])
        return found.float() + self.zero


@pytest.mark.parametrize("undirected", [True, False])
def test_messages_hold_no_edge_that_is_to_be_predicted(undirected):
    # Without reciprocal edges, whose reverse may well be a message.
    edges = torch.tensor([[a, b] for a in range(40) for b in range(a + 1, 40) if (3 * a + 5 * b) % 7 == 0]).t()
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    both = torch.cat([edges, edges.flip(0)], dim=1)
    task = link_task(Data(x=x, edge_index=both if undirected else edges), metric="roc_auc")
    batches, model = link_batches(task), Memory()
    loss = Recorder()
    for part in ("val", "test"):
        pred = batches.predict(model, part)
        chance = 0.5 if undirected else pytest.approx(0.5, abs=0.15)  # its negatives may be reversed messages
        assert task.evaluate(pred, 0, part) == chance
        later = task.split(0).test if part == "test" else torch.cat([task.split(0).val, task.split(0).test], dim=1)
        assert not key(later) & model.messages
    # The lookup does find what it was given.
    list(link_batches(task, loss=loss).losses(model))
    pred, labels = loss.pairs[0]
    assert bool((pred[labels == 1] == 1).all())


def test_test_messages_add_the_validation_edges():
    task, seen = link_graph(), []

    class See(Pairs):
        def forward(self, x, edge_index):
            seen.append(key(edge_index))
            return super().forward(x, edge_index)

    batches = link_batches(task)
    for part in ("val", "test"):
        batches.predict(See(), part)
    split = task.split(0)
    assert seen == [key(split.train), key(split.train) | key(split.val)]


def test_predictions_of_links_are_in_the_order_of_their_targets():
    task = link_graph()
    for part in ("val", "test"):
        model = Pairs()
        link_batches(task).predict(model, part)
        assert torch.equal(model.pairs[0], task.split(0).pairs(part)[0])


def test_decode_is_the_inner_product_of_rows():
    z, pairs = torch.randn(5, 3), torch.tensor([[0, 1, 4], [2, 1, 0]])
    expected = [float(z[a] @ z[b]) for a, b in pairs.t().tolist()]
    assert decode(nn.Identity(), z, pairs).tolist() == pytest.approx(expected)
    assert decode(GAE(nn.Identity()), z, pairs).tolist() == pytest.approx(expected)


def test_decode_of_a_model_may_have_a_column():
    class Column(nn.Module):
        def decode(self, z, pairs):
            return z[pairs[0]]

    assert decode(Column(), torch.tensor([[1.0], [2.0]]), torch.tensor([[1, 0], [0, 0]])).tolist() == [2.0, 1.0]


class Encoder(nn.Module):
    """Means and logarithms of deviations."""

    def __init__(self) -> None:
        super().__init__()
        self.mu, self.logstd = nn.Linear(6, 2), nn.Linear(6, 2)

    def forward(self, x):
        return self.mu(x), self.logstd(x)


def test_divergence_of_a_variational_autoencoder_is_in_the_loss():
    torch.manual_seed(0)
    task, loss = link_graph(), training_loss(link_graph(), 0)
    model, seen = VGAE(Encoder()).eval(), []

    def recorded(pred, target):
        value = loss(pred, target)
        seen.append(value.item())
        return value

    ((value, _),) = link_batches(task, loss=recorded).losses(model)
    mu, logstd = model.encoder(task.data.x)
    divergence = (-0.5 * (1 + 2 * logstd - mu**2 - logstd.exp() ** 2)).sum(dim=1).mean()
    assert value.item() == pytest.approx(seen[0] + divergence.item() / 60, rel=1e-5)


def test_model_of_links_must_give_a_row_for_each_node():
    class Pooled(Echo):
        def forward(self, x):
            return x.mean(dim=0, keepdim=True) + self.zero

    with pytest.raises(InvalidDataError, match=r"1 rows? for 30"):
        list(link_batches(link_graph()).losses(Pooled()))


def test_decode_must_give_a_score_for_each_pair():
    class Two(Pairs):
        def decode(self, z, pairs):
            return z[pairs[0], :2]

    with pytest.raises(InvalidDataError, match="pairs"):
        list(link_batches(link_graph()).losses(Two()))


def test_links_without_a_pair_to_draw_train_on_the_edges():
    complete = torch.combinations(torch.arange(4)).t()
    everything = LinkSplit(
        complete[:, :4], complete[:, 4:5], complete[:, 5:], torch.tensor([[0], [0]]), torch.tensor([[1], [1]]), True
    )
    graph = Data(x=torch.randn(4, 3), edge_index=torch.cat([complete, complete.flip(0)], dim=1))
    ((loss, size),) = link_batches(link_task(graph, splits=[everything])).losses(GCN(3, 4, num_layers=1))
    assert size == 4
    assert bool(loss.isfinite())


def test_features_made_of_messages_are_those_of_the_part():
    task = link_graph().transform(LocalDegreeProfile())
    links = link_batches(task)
    for part in ("train", "val", "test"):
        assert torch.equal(links.graphs[part].x + 0, task.graph(0, part).x), part
    assert not torch.equal(links.graphs["test"].x + 0, links.graphs["train"].x + 0)


@pytest.mark.parametrize("cls", [GAE, VGAE])
def test_compiled_autoencoders_score_and_learn_as_others(cls):
    task = link_graph()
    scores, losses = [], []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = cls(Encoder() if cls is VGAE else GCN(task.num_features, 4, num_layers=1)).eval()
        links = link_batches(task)
        called = torch.compile(model, backend="eager") if compiled else model
        with seeded(0):
            ((loss, _),) = links.losses(called)
        losses.append(loss.item())
        scores.append(links.predict(called, "val"))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert torch.allclose(scores[0], scores[1], atol=1e-6)
    assert float(scores[0].detach().min()) < 0  # before a sigmoid


@pytest.mark.parametrize(("count", "batch_size"), [(65, 32), (33, 32), (5, 4), (4, 4), (3, 1)])
def test_no_batch_of_several_is_left_with_one_graph(count, batch_size):
    graphs = [
        Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]), y=torch.ones(1, 1)) for _ in range(count + 2)
    ]
    split = Split(torch.arange(count), torch.tensor([count]), torch.tensor([count + 1]))
    task = GraphTask.from_data(graphs, kind="graph", splits=[split], metric="mse")
    batches = GraphBatches(task, 0, training_loss(task, 0), torch.device("cpu"), batch_size=batch_size)
    sizes = [batch.num_graphs for batch in batches.train]
    assert sum(sizes) == count
    assert batch_size == 1 or min(sizes) > 1
