import dataclasses
import inspect
import json
import math

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GAE, GCNConv, SAGEConv
from torch_geometric.utils import is_undirected

import graphtasks
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DMDGNN, DMDEncoder
from dmdgnn.transforms import AddDMDModes
from gnndiff.errors import ConfigError
from gnndiff.layers import SkipGAT, SkipGCN, SkipSymmetricGCN
from gnndiff.registry import EXACT_ENERGIES, MODELS, target_model
from gnndiff.space import architecture, sample_grid
from gnndiff.target import is_symmetric
from graphtasks import FitConfig, GraphTask, Split

# Those of series are in test_temporal.py.
OF_NODES = [name for name, model in MODELS.items() if not model.temporal]


@pytest.fixture(scope="module")
def task():
    return graphtasks.load("wine")


@pytest.mark.parametrize("name", OF_NODES)
def test_every_corner_of_the_grid_builds_and_runs(name, task):
    model = MODELS[name]
    space = model.space(task)
    for corner in (0, -1):
        params = {key: choices[corner] for key, choices in space.items()}
        transform = model.prepare(params)
        prepared = task if transform is None else task.transform(transform)
        network = model.build(task, params)
        assert graphtasks.forward(network, prepared.data).shape == (task.num_nodes, task.num_classes)


def test_the_grid_of_gcn_is_that_of_the_paper(task):
    assert math.prod(map(len, MODELS["gcn"].space(task).values())) == 540


def test_sampled_configurations_are_distinct_and_a_prefix_of_the_whole_grid(task):
    space = MODELS["gcn"].space(task)
    whole = sample_grid(space, None, seed=3)
    assert len({tuple(params.values()) for params in whole}) == len(whole) == 540
    assert sample_grid(space, 20, seed=3) == whole[:20]
    assert sample_grid(space, 20, seed=4) != whole[:20]


def test_ranks_fit_the_features():
    data = graphtasks.load("wine").data
    data.x = data.x[:, :1].repeat(1, 13)
    assert MODELS["dmdgnn"].space(graphtasks.load("wine").replace(data=data))["rank"] == (1,)


def test_ranks_of_exact_modes_keep_shares_of_the_energy():
    task = graphtasks.load("wine")
    ranks = MODELS["graphdmd"].space(task)["rank"]
    dynamics = FeaturePropagation(stride=2)
    shares = [AddDMDModes(energy=share, dynamics=dynamics, modes="exact")(task.data) for share in EXACT_ENERGIES]
    assert ranks == tuple(data.dmd_eigs.numel() for data in shares)


def test_architecture_leaves_out_what_only_training_needs():
    params = {
        "lr": 0.1,
        "optimizer": "adam",
        "weight_decay": 0.0,
        "dropout": 0.5,
        "hidden": 16,
        "rank": 8,
        "burn_in": 2,
    }
    assert architecture(params) == {"hidden": 16, "rank": 8, "burn_in": 2}


def test_unknown_model():
    assert target_model("GCN") is MODELS["gcn"]
    with pytest.raises(ConfigError, match="no target model is called 'gnc': did you mean 'gcn'"):
        target_model("gnc")


RING = torch.stack([torch.arange(12), (torch.arange(12) + 1) % 12])


def ring(*, directed, weight=None):
    """A ring of twelve nodes and three classes, in one direction or in both."""
    edges = RING if directed else torch.cat([RING, RING.flip(0)], dim=1)
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    data = Data(x=x, y=torch.arange(12) % 3, edge_index=edges, edge_weight=weight)
    nodes = torch.arange(12)
    return GraphTask.from_data(data, name="ring", splits=[Split(nodes[:6], nodes[6:9], nodes[9:])])


def first_choices(model, task):
    return {key: choices[:1] for key, choices in model.space(task).items()}


SHORT = FitConfig(epochs=2)


@pytest.mark.parametrize("name", OF_NODES)
def test_every_contender_trains_as_a_run_does(name, task):
    model = MODELS[name]
    space = first_choices(model, task)
    result = graphtasks.compare([model.contender(name, task, space)], [task], splits=[0], config=SHORT)

    params = {key: value for key, (value,) in space.items()}
    transform = model.prepare(params)
    prepared = task if transform is None else task.transform(transform)
    with graphtasks.seeded(0):
        network = model.build(task, params)
    config = FitConfig(epochs=2, lr=params["lr"], weight_decay=params["weight_decay"], optimizer=params["optimizer"])
    assert result.runs["test"].item() == graphtasks.fit(network, prepared, 0, config).test


@pytest.mark.parametrize("name", OF_NODES)
def test_preparations_read_what_they_say(name, task):
    model = MODELS[name]
    params = {key: choices[0] for key, choices in model.space(task).items()}
    read = []

    class Recorder(dict):
        def __getitem__(self, key):
            read.append(key)
            return super().__getitem__(key)

    model.prepare(Recorder(params))
    assert set(read) == set(model.prepared_by) <= set(params)
    signature = inspect.signature(model.contender(name, task).prepare)
    assert list(signature.parameters) == ["task", *model.prepared_by]


def test_modes_are_computed_once_for_each_rank_and_dynamics(task):
    made = []
    original = MODELS["dmdgnn"]

    def prepare(params):
        made.append(tuple(params[key] for key in original.prepared_by))
        return original.prepare(params)

    model = dataclasses.replace(original, prepare=prepare)
    space = first_choices(model, task) | {"dropout": (0.1, 0.2, 0.3)}
    graphtasks.compare([model.contender("dmd", task, space)], [task], trials=3, splits=[0, 1], config=SHORT)
    assert len(made) == 1


@pytest.mark.parametrize("name", [name for name in OF_NODES if name != "dmdgnn"])
@pytest.mark.parametrize("weighted", [False, True])
def test_directed_and_weighted_graphs_are_trained_on(name, weighted):
    task = ring(directed=True, weight=torch.linspace(1, 2, 12) if weighted else None)
    model = MODELS[name]
    space = first_choices(model, task)
    contenders = [model.contender("as it is", task, space), model.contender("both ways", task, space, undirected=True)]
    for contender in contenders:
        params = {key: value for key, (value,) in space.items() if key not in ("lr", "weight_decay", "optimizer")}
        prepared = contender.prepare(task, **{key: params[key] for key in model.prepared_by})
        network = contender.build(prepared, **params).eval()
        data = prepared.graph()
        both = contender.name == "both ways"
        assert is_symmetric(prepared) == is_undirected(data.edge_index, num_nodes=12) == both
        # The sparse matrix gives what the edges give, whatever of their weights and directions a model reads.
        outputs = graphtasks.forward(network, data)
        data.adj_t = None
        torch.testing.assert_close(outputs, graphtasks.forward(network, data), atol=1e-5, rtol=1e-4)
    assert task.directed
    assert graphtasks.compare(contenders, [task], config=SHORT).runs["test"].notna().all()


def test_reversed_edges_exchange_the_modes_of_the_two_directions():
    task = ring(directed=True)
    params = {"rank": 3, "burn_in": 0}
    there, back = (MODELS["dmdgnn-dir"].prepare(params)(data) for data in (task.data, reverse(task.data)))
    assert not torch.allclose(there.dmd_out_modes, there.dmd_in_modes, atol=0.1)
    for part in ("modes", "eigs", "duals"):
        torch.testing.assert_close(there[f"dmd_out_{part}"], back[f"dmd_in_{part}"])
        torch.testing.assert_close(there[f"dmd_in_{part}"], back[f"dmd_out_{part}"])


def reverse(data):
    return Data(x=data.x, edge_index=data.edge_index.flip(0))


def test_weights_that_differ_between_the_directions_are_not_symmetric():
    weight = torch.linspace(1, 2, 12)
    assert is_symmetric(ring(directed=False, weight=torch.cat([weight, weight])))
    assert not is_symmetric(ring(directed=False, weight=torch.cat([weight, weight.flip(0)])))
    assert not is_symmetric(ring(directed=True))


def test_the_answer_for_a_graph_is_the_mean_of_its_nodes():
    task = graphtasks.load("diameter", num_graphs=10)
    params = {"hidden": 8, "dropout": 0.0}
    contender = MODELS["gcn"].contender("gcn", task)
    prepared = contender.prepare(task)
    torch.manual_seed(0)
    nodes = MODELS["gcn"].build(prepared, params)
    torch.manual_seed(0)
    model = contender.build(prepared, **params)
    for graph in prepared.graphs:
        expected = graphtasks.forward(nodes, graph).mean(dim=0, keepdim=True)
        torch.testing.assert_close(graphtasks.forward(model, graph), expected)
    batch = Batch.from_data_list(prepared.graphs[:3])
    alone = torch.cat([graphtasks.forward(model, graph) for graph in prepared.graphs[:3]])
    torch.testing.assert_close(graphtasks.forward(model, batch), alone)


def test_optional_hyperparameters_change_the_architecture(task):
    params = {"hidden": 8, "dropout": 0.0, "heads": 2}
    assert len(MODELS["gcn"].build(task, params | {"num_layers": 4}).convs) == 4
    assert len(MODELS["gps"].build(task, params | {"num_layers": 3, "norm": "none"}).blocks) == 3
    assert len(MODELS["appnp"].build(task, params | {"num_layers": 3, "alpha": 0.1}).mlp.lins) == 3
    assert type(MODELS["gcn"].build(task, params | {"skip": 1})) is SkipSymmetricGCN
    assert type(MODELS["gcn"].build(task.replace(directed=True), params | {"skip": 1})) is SkipGCN
    assert type(MODELS["gat"].build(task, params | {"skip": 1})) is SkipGAT
    for name in ("mlp", "gcn", "sage"):
        norms = MODELS[name].build(task, params | {"norm": "batch_norm"}).norms
        assert norms[0].module.weight.shape == (8,)


def test_attention_of_large_graphs_is_approximate(task):
    params = {"hidden": 8, "dropout": 0.0, "norm": "none"}
    assert MODELS["gps"].build(task, params).blocks[0].attn_type == "multihead"
    assert MODELS["gps"].build(graphtasks.load("csbm", num_nodes=3000), params).blocks[0].attn_type == "performer"


def test_encoders_of_links_have_hidden_columns():
    task = graphtasks.load("les-miserables")
    model = MODELS["gcn"]
    space = first_choices(model, task) | {"hidden": (16,)}
    result = graphtasks.compare([model.contender("gcn", task, space)], [task], splits=[0], config=SHORT)
    assert result.runs["parameters"].item() == 77 * 16 + 16 + 16 * 16 + 16


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"hiden": (8,)}, "'gat' does not take 'hiden': it takes dropout, hidden, heads, num_layers, norm, skip and"),
        ({"hidden": (8,)}, r"the space of 'gat' lacks 'dropout': give its choices, as \(0.1, "),
    ],
)
def test_spaces_that_do_not_fit(space, message, task):
    with pytest.raises(ConfigError, match=message):
        MODELS["gat"].contender("gat", task, space)


def test_a_rank_that_the_features_lack_loses(task):
    model = MODELS["dmdgnn"]
    space = first_choices(model, task) | {"rank": (1, 14)}
    result = graphtasks.compare([model.contender("dmd", task, space)], [task], trials=2, splits=[0], config=SHORT)
    assert sorted(status.partition(":")[0] for status in result.trials["status"]) == ["DivergedError", "ok"]


def test_dmdgnn_of_links_is_the_encoder_of_an_autoencoder():
    task = graphtasks.load("les-miserables")
    model = MODELS["dmdgnn"]
    params = {key: choices[0] for key, choices in model.space(task).items()} | {"local": "gcn"}
    network = model.build(task, params)
    for layer in network.convs:
        torch.nn.init.ones_(layer.gate)
    hidden, data = params["hidden"], task.transform(model.prepare(params)).graph(0, "val")
    assert data.adj_t is not None  # the normalised adjacency, of which the network takes the products
    autoencoder = GAE(DMDEncoder(77, hidden, hidden, params["rank"], skip=True, gate=0.0))
    autoencoder.encoder.gnn.load_state_dict(network.state_dict())
    z = graphtasks.forward(network.eval(), data)
    assert z.shape == (77, hidden)
    graph = task.graph(0, "val")
    del data.adj_t
    data.edge_index, data.edge_weight = graph.edge_index, graph.get("edge_weight")
    torch.testing.assert_close(graphtasks.forward(autoencoder.eval(), data), z)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize(
    ("local", "conv"),
    [
        ("none", False),
        ("gcn", lambda ins, outs: GCNConv(ins, outs, bias=False)),
        ("sage", lambda ins, outs: SAGEConv(ins, outs, bias=False, root_weight=False)),
    ],
)
def test_local_terms_of_dmdgnn_are_pyg_s(local, conv, directed, task):
    if directed:
        ahead = task.graph().edge_index[:, task.graph().edge_index.diff(dim=0).squeeze() > 0]
        task = task.transform(lambda data: data.update({"edge_index": ahead})).replace(directed=True)
    params = {key: choices[0] for key, choices in MODELS["dmdgnn"].space(task).items()} | {"local": local}
    network = MODELS["dmdgnn"].build(task, params).eval()
    for layer in network.convs:
        assert layer.gate == 0
        torch.nn.init.ones_(layer.gate)
    data = task.transform(MODELS["dmdgnn"].prepare(params)).graph()
    size = task.num_features, params["hidden"], 2, task.num_outputs
    peer = DMDGNN(*size, rank=params["rank"], skip=True, local=conv, gate=0.0).eval()
    peer.load_state_dict(network.state_dict())
    expected = peer(data.x, task.graph().edge_index, data.dmd_modes, data.dmd_eigs)
    torch.testing.assert_close(graphtasks.forward(network, data), expected, atol=1e-5, rtol=1e-4)


def test_links_whose_messages_lack_the_rank_lose():
    task = graphtasks.load("les-miserables")
    model = MODELS["dmdgnn"]
    space = first_choices(model, task) | {"rank": (4, 78)}
    result = graphtasks.compare([model.contender("dmdgnn", task, space)], [task], splits=[0], trials=2, config=SHORT)
    assert sorted(status[:13] for status in result.trials["status"]) == ["DivergedError", "ok"]
    assert json.loads(result.runs["setting"].item())["rank"] == 4


@pytest.mark.parametrize("name", ["mlp", "gcn", "gat", "appnp", "gprgnn", "gps", "dmdgnn", "dmdgps"])
def test_one_graph_is_normalised_by_its_own_statistics(name, task):
    params = {key: choices[0] for key, choices in first_choices(MODELS[name], task).items()} | {"norm": "batch_norm"}
    assert any("norm" in key for key in MODELS[name].build(task, params).state_dict())
    assert not any("running" in key for key in MODELS[name].build(task, params).state_dict())
    graphs = graphtasks.load("ring-transfer", hops=2, num_graphs=50)
    assert any("running" in key for key in MODELS[name].build(graphs, params).state_dict())
