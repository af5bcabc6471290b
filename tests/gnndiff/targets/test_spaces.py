import copy
import json
import math
from functools import partial

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
from gnndiff.layers import Residual, SkipGAT, SkipGCN, SkipSymmetricGCN
from gnndiff.targets import available, find
from gnndiff.targets.base import IMPOSSIBLE, architecture, full_space, of_build, preparation_keys
from gnndiff.targets.graphdmd import ENERGIES
from gnndiff.targets.nodes import is_symmetric
from gnndiff.testing import made
from gnndiff.zoo.alignment import check_alignment
from graphtasks import FitConfig, GraphTask, Split

# Targets of series are in test_temporal.py.
OF_NODES = available("node")


@pytest.fixture(scope="module")
def task():
    return graphtasks.load("wine")


def test_the_grid_of_gcn_is_that_of_the_paper(task):
    assert math.prod(map(len, full_space(find("gcn"), task).values())) == 540


def test_ranks_fit_the_features():
    data = graphtasks.load("wine").data
    data.x = data.x[:, :1].repeat(1, 13)
    assert find("dmdgnn").space(graphtasks.load("wine").replace(data=data))["rank"] == (1,)


def test_ranks_of_exact_modes_keep_shares_of_the_energy():
    task = graphtasks.load("wine")
    ranks = find("graphdmd").space(task)["rank"]
    dynamics = FeaturePropagation(stride=2)
    shares = [AddDMDModes(energy=share, dynamics=dynamics, modes="exact")(task.data) for share in ENERGIES]
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
    assert architecture(find("dmdgnn"), params) == {"hidden": 16, "rank": 8, "burn_in": 2}


def test_unknown_target():
    assert find("GCN").name == "gcn"
    with pytest.raises(ConfigError, match="no target is called 'gcnn': did you mean 'gcn'"):
        find("gcnn")


RING = torch.stack([torch.arange(12), (torch.arange(12) + 1) % 12])


def ring(*, directed, weight=None):
    """A ring of twelve nodes and three classes, in one direction or in both."""
    edges = RING if directed else torch.cat([RING, RING.flip(0)], dim=1)
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    data = Data(x=x, y=torch.arange(12) % 3, edge_index=edges, edge_weight=weight)
    nodes = torch.arange(12)
    return GraphTask.from_data(data, name="ring", splits=[Split(nodes[:6], nodes[6:9], nodes[9:])])


def first_choices(target, task):
    return {key: choices[:1] for key, choices in full_space(target, task).items()}


SHORT = FitConfig(epochs=2)


@pytest.mark.parametrize("name", OF_NODES)
def test_every_contender_trains_as_a_run_does(name, task):
    target = find(name)
    space = first_choices(target, task)
    result = graphtasks.compare([target.contender(name, task, space)], [task], splits=[0], config=SHORT)
    setting = {key: value for key, (value,) in space.items()}
    prepared, network = made(target, task, setting)
    given = {key: setting[key] for key in ("lr", "weight_decay", "optimizer")}
    assert result.runs["test"].item() == graphtasks.fit(network, prepared, 0, FitConfig(epochs=2, **given)).test


def test_modes_are_computed_once_for_each_rank_and_dynamics(task, monkeypatch):
    made = []
    target = find("dmdgnn")
    original = type(target).prepare

    def prepare(self, task, *, rank, burn_in, local):
        made.append((rank, burn_in, local))
        return original(self, task, rank=rank, burn_in=burn_in, local=local)

    monkeypatch.setattr(type(target), "prepare", prepare)
    space = first_choices(target, task) | {"dropout": (0.1, 0.2, 0.3)}
    graphtasks.compare([target.contender("dmd", task, space)], [task], trials=3, splits=[0, 1], config=SHORT)
    assert len(made) == 1


@pytest.mark.parametrize("name", [name for name in OF_NODES if name != "dmdgnn"])
@pytest.mark.parametrize("weighted", [False, True])
def test_directed_and_weighted_graphs_are_trained_on(name, weighted):
    task = ring(directed=True, weight=torch.linspace(1, 2, 12) if weighted else None)
    target = find(name)
    space = first_choices(target, task)
    contenders = [
        target.contender("as it is", task, space),
        target.contender("both ways", task, space, undirected=True),
    ]
    for contender in contenders:
        setting = {key: value for key, (value,) in space.items()}
        prepared = contender.prepare(task, **{key: setting[key] for key in preparation_keys(target)})
        network = contender.build(prepared, **of_build(target, setting)).eval()
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
    there, back = (
        find("dmdgnn-dir").prepare(each, rank=3, burn_in=0).data
        for each in (task, task.replace(data=reverse(task.data)))
    )
    assert not torch.allclose(there.dmd_out_modes, there.dmd_in_modes, atol=0.1)
    for part in ("modes", "eigs", "duals"):
        torch.testing.assert_close(there[f"dmd_out_{part}"], back[f"dmd_in_{part}"])
        torch.testing.assert_close(there[f"dmd_in_{part}"], back[f"dmd_out_{part}"])


def reverse(data):
    return Data(x=data.x, y=data.y, edge_index=data.edge_index.flip(0))


def test_weights_that_differ_between_the_directions_are_not_symmetric():
    weight = torch.linspace(1, 2, 12)
    assert is_symmetric(ring(directed=False, weight=torch.cat([weight, weight])))
    assert not is_symmetric(ring(directed=False, weight=torch.cat([weight, weight.flip(0)])))
    assert not is_symmetric(ring(directed=True))


def test_the_answer_for_a_graph_is_the_mean_of_its_nodes():
    task = graphtasks.load("diameter", num_graphs=10)
    contender = find("gcn").contender("gcn", task)
    prepared = contender.prepare(task)
    torch.manual_seed(0)
    model = contender.build(prepared, hidden=8, dropout=0.0)
    nodes = copy.deepcopy(model)
    nodes._forward_hooks.clear()
    for graph in prepared.graphs:
        expected = graphtasks.forward(nodes, graph).mean(dim=0, keepdim=True)
        torch.testing.assert_close(graphtasks.forward(model, graph), expected)
    batch = Batch.from_data_list(prepared.graphs[:3])
    alone = torch.cat([graphtasks.forward(model, graph) for graph in prepared.graphs[:3]])
    torch.testing.assert_close(graphtasks.forward(model, batch), alone)


def built(name, task, **setting):
    return find(name).build(task, **{"hidden": 8, "dropout": 0.0, **setting})


def test_optional_hyperparameters_change_the_architecture(task):
    assert len(built("gcn", task, num_layers=4).convs) == 4
    assert len(built("gps", task, num_layers=3, norm="none").blocks) == 3
    assert len(built("appnp", task, num_layers=3, alpha=0.1).mlp.lins) == 3
    assert type(built("gcn", task, skip=1)) is SkipSymmetricGCN
    assert type(built("gcn", task.replace(directed=True), skip=1)) is SkipGCN
    assert type(built("gat", task, heads=2, skip=1)) is SkipGAT
    for name in ("mlp", "gcn", "sage"):
        assert built(name, task, norm="batch_norm").norms[0].module.weight.shape == (8,)


def test_attention_of_large_graphs_is_approximate(task):
    assert built("gps", task).blocks[0].attn_type == "multihead"
    assert built("gps", graphtasks.load("csbm", num_nodes=3000)).blocks[0].attn_type == "performer"


def test_the_width_of_attention_is_a_multiple_of_its_heads(task):
    assert built("gat", task, hidden=16, heads=12).convs[0].lin.weight.shape == (24, 13)


def test_encoders_of_links_have_hidden_columns():
    task = graphtasks.load("les-miserables")
    target = find("gcn")
    space = {**first_choices(target, task), "hidden": (16,)}
    result = graphtasks.compare([target.contender("gcn", task, space)], [task], splits=[0], config=SHORT)
    assert result.runs["parameters"].item() == 77 * 16 + 16 + 16 * 16 + 16


@pytest.mark.parametrize("decoder", ["inner", "mlp", "overlap"])
@pytest.mark.parametrize("name", ["mlp", "gcn", "gat", "sgc", "h2gcn", "dmdgnn"])
def test_links_are_scored_by_pairs(name, decoder):
    task = graphtasks.load("les-miserables")
    target = find(name)
    setting = {key: choices[0] for key, choices in full_space(target, task).items()} | {"decoder": decoder}
    prepared, model = made(target, task, setting)
    assert isinstance(model, GAE)
    z = graphtasks.forward(model, prepared.graph())
    assert z.shape == (77, setting["hidden"])
    pairs = torch.tensor([[0, 3, 5], [1, 2, 5]])
    product = z[pairs[0]] * z[pairs[1]]
    edges = prepared.graph().edge_index
    scores = graphtasks.batches.decode(model, z, pairs, edges)
    if decoder == "overlap":
        expected = model.decoder(z, pairs, edges, sigmoid=False)
    else:
        expected = product.sum(dim=1) if decoder == "inner" else model.decoder.mlp(product).view(-1)
    torch.testing.assert_close(scores, expected)
    assert check_alignment(model, prepared, target.units(model)) < 1e-5
    assert 0 <= graphtasks.fit(model, prepared, 0, SHORT).test <= 1


def test_other_decoders_are_refused():
    with pytest.raises(ConfigError, match="got decoder 'distance', expected one of inner, mlp, overlap"):
        built("gcn", graphtasks.load("les-miserables"), decoder="distance")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"hiden": (8,)}, "'gat' does not take 'hiden': it takes hidden, dropout, heads, num_layers, norm, skip, "),
        ({"hidden": (8,)}, "the space of 'gat' lacks 'dropout': give a list of values"),
        ({"hidden": ()}, r"the space of 'gat' has hidden=\(\), expected a list of values"),
        ({"norm": "none"}, "the space of 'gat' has norm='none', expected a list of values"),
        ({"seed": (0,)}, "has 'seed', which is no hyperparameter"),
    ],
)
def test_spaces_that_do_not_fit(space, message, task):
    with pytest.raises(ConfigError, match=message):
        find("gat").contender("gat", task, space)


def test_a_rank_that_the_features_lack_loses(task):
    target = find("dmdgnn")
    space = first_choices(target, task) | {"rank": (1, 14)}
    result = graphtasks.compare([target.contender("dmd", task, space)], [task], trials=2, splits=[0], config=SHORT)
    assert sorted(status.partition(":")[0] for status in result.trials["status"]) == ["DivergedError", "ok"]


def test_a_rank_that_the_features_lack_is_impossible(task):
    with pytest.raises(IMPOSSIBLE, match="rank"):
        find("dmdgnn").prepare(task, rank=14, burn_in=0, local="none")


def test_dmdgnn_of_links_is_the_encoder_of_an_autoencoder():
    task = graphtasks.load("les-miserables")
    target = find("dmdgnn")
    setting = {key: choices[0] for key, choices in full_space(target, task).items()} | {"local": "gcn"}
    prepared, network = made(target, task, setting)
    for layer in network.encoder.convs:
        torch.nn.init.ones_(layer.gate)
    hidden, data = setting["hidden"], prepared.graph(0, "val")
    assert data.adj_t is not None  # the normalised adjacency, of which the network takes the products
    autoencoder = GAE(DMDEncoder(77, hidden, hidden, setting["rank"], skip=True, gate=0.0))
    autoencoder.encoder.gnn.load_state_dict(network.encoder.state_dict())
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
    setting = {key: choices[0] for key, choices in full_space(find("dmdgnn"), task).items()} | {"local": local}
    prepared, network = made(find("dmdgnn"), task, setting)
    for layer in network.convs:
        assert layer.gate == 0
        torch.nn.init.ones_(layer.gate)
    data = prepared.graph()
    size = task.num_features, setting["hidden"], 2, task.num_outputs
    peer = DMDGNN(*size, rank=setting["rank"], skip=True, local=conv, gate=0.0).eval()
    peer.load_state_dict(network.state_dict())
    expected = peer(data.x, task.graph().edge_index, data.dmd_modes, data.dmd_eigs)
    torch.testing.assert_close(graphtasks.forward(network, data), expected, atol=1e-5, rtol=1e-4)


def test_links_whose_messages_lack_the_rank_lose():
    task = graphtasks.load("les-miserables")
    target = find("dmdgnn")
    space = first_choices(target, task) | {"rank": (4, 78)}
    result = graphtasks.compare([target.contender("dmdgnn", task, space)], [task], splits=[0], trials=2, config=SHORT)
    assert sorted(status[:13] for status in result.trials["status"]) == ["DivergedError", "ok"]
    assert json.loads(result.runs["setting"].item())["rank"] == 4


@pytest.mark.parametrize(
    "name", ["mlp", "gcn", "sage", "gat", "gin", "cheb", "appnp", "gprgnn", "mixhop", "gps", "dmdgnn", "dmdgps"]
)
def test_one_graph_is_normalised_by_its_own_statistics(name, task):
    space = full_space(find(name), task)
    setting = {key: choices[0] for key, choices in space.items()} | {"norm": "batch_norm"}
    build = partial(find(name).build, **of_build(find(name), setting))
    assert any("norm" in key for key in build(task).state_dict())
    assert not any("running" in key for key in build(task).state_dict())
    graphs = graphtasks.load("ring-transfer", hops=2, num_graphs=50)
    assert any("running" in key for key in build(graphs).state_dict())


PAPER_GRIDS = {
    "small": {"mlp": 540, "gcn": 540, "sage": 540, "gat": 1620, "cheb": 1620, "appnp": 2700, "gprgnn": 2160}
    # Hidden units and dropout do nothing in propagation and a linear map.
    | {"sgc": 36, "mixhop": 540, "h2gcn": 1620},
    "link": {"mlp": 540, "gcn": 540, "cheb": 1620, "appnp": 1620, "sage": 540},
    "large": {"gcn": 54, "sage": 54, "appnp": 216, "gprgnn": 216},
    "long-range": {"gcn": 48, "sage": 48, "mlp": 48, "mixhop": 48, "sgc": 48, "appnp": 144, "gprgnn": 144},
}
TASKS_OF = {
    "small": lambda: graphtasks.load("wine"),
    "link": lambda: graphtasks.load("les-miserables"),
    "long-range": lambda: graphtasks.load("ring-transfer", hops=2, num_graphs=50),
}


@pytest.mark.parametrize(
    ("experiment", "name"), [(experiment, name) for experiment, names in PAPER_GRIDS.items() for name in names]
)
def test_grids_of_the_paper_have_its_sizes(experiment, name, monkeypatch, task):
    if experiment == "large":
        monkeypatch.setattr("gnndiff.targets.paper.LARGE_GRAPH", 100)
    space = full_space(find(name), TASKS_OF.get(experiment, lambda: task)(), "paper")
    assert math.prod(map(len, space.values())) == PAPER_GRIDS[experiment][name]


@pytest.mark.parametrize("name", PAPER_GRIDS["long-range"])
def test_deep_targets_have_residuals(name):
    task = TASKS_OF["long-range"]()
    space = full_space(find(name), task, "paper")
    setting = {key: choices[-1] for key, choices in space.items()} | {"hidden": 6, "dropout": 0.0}
    prepared, network = made(find(name), task, setting)
    (residual,) = (part for part in network.modules() if isinstance(part, Residual))
    # With layers that give zero, what is left of it are two linear maps.
    for norm in residual.norms:
        torch.nn.init.zeros_(norm.module.weight)
    x = torch.randn(len(prepared.graphs[0].x), residual.lin_out.in_features)
    for layer, norm in zip(residual.layers, residual.norms, strict=True):
        assert norm.module.weight.shape == (6,)
        assert any(tensor.shape[-1] == 6 for tensor in layer.parameters())
    edges = prepared.graphs[0].adj_t if "adj_t" in prepared.graphs[0] else None
    residual.lin_in = torch.nn.Identity()
    torch.testing.assert_close(residual(x, edges), residual.lin_out(x))


def test_other_models_have_their_own_space_where_the_paper_has_none():
    task = TASKS_OF["long-range"]()
    assert find("gin").paper_space(task) == find("gin").space(task)
    assert find("gat").paper_space(task) == find("gat").space(task)
