import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GATConv, GCNConv, GPSConv

from dmdgnn import InputError
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.nn import DMDGPS, DMDGPSConv
from dmdgnn.transforms import AddDMDModes

F64 = torch.float64
C, R = 8, 3
EDGES = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])  # a path of four nodes
EIGS = {"real": torch.tensor([0.9, -0.5, 0.2], dtype=F64), "complex": torch.tensor([0.9, 0.3 + 0.4j, 0.3 - 0.4j])}
NORMS = ["batch_norm", "graph_norm", None]


def gcn():
    return GCNConv(C, C)


def fill(module):
    """All parameters away from those of their reset."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module.double()


def modes(num_nodes=4, rank=R):
    return torch.randn(num_nodes, rank, dtype=F64)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kind", EIGS)
def test_composition_of_its_parts(norm, kind):
    block = fill(DMDGPSConv(C, gcn(), R, heads=2, norm=norm, act="tanh", gate=0.5))
    x, phi, eigs = torch.randn(4, C, dtype=F64), modes(), EIGS[kind].to(F64 if kind == "real" else torch.complex128)
    norm1, norm2, norm3 = (
        torch.nn.Identity() if part is None else part for part in (block.norm1, block.norm2, block.norm3)
    )
    h = norm1(x + block.conv(x, EDGES)) + norm2(x + block.dmd(x, phi, eigs))
    hidden = torch.tanh(h @ block.mlp[0].weight.T + block.mlp[0].bias)
    expected = norm3(h + hidden @ block.mlp[3].weight.T + block.mlp[3].bias)
    torch.testing.assert_close(block(x, EDGES, phi, eigs), expected)


def peers(norm, **kwargs):
    """A block and PyG's with the same local layer, MLP and normalisations."""
    block, peer = (
        fill(part) for part in (DMDGPSConv(C, gcn(), 1, norm=norm, **kwargs), GPSConv(C, gcn(), 2, norm=norm))
    )
    missing = block.load_state_dict({k: v for k, v in peer.state_dict().items() if "attn" not in k}, strict=False)
    assert not missing.unexpected_keys
    assert all(key.startswith("dmd.") for key in missing.missing_keys)
    return block, peer


SIZES = [4, 7]
BATCH = torch.arange(2).repeat_interleave(torch.tensor(SIZES))
BATCH_EDGES = torch.cat([EDGES, torch.randint(4, 11, (2, 9), generator=torch.Generator().manual_seed(0))], dim=1)


@pytest.mark.parametrize("norm", NORMS)
def test_a_constant_mode_is_attention_to_all_nodes_alike(norm):
    block, peer = peers(norm)
    attention = peer.attn
    with torch.no_grad():
        attention.in_proj_weight[: 2 * C] = 0  # queries and keys: all nodes of a graph get the same weight
        attention.in_proj_bias[: 2 * C] = 0
        value, out = attention.in_proj_weight[2 * C :], attention.out_proj
        block.dmd.filter.reset_parameters()
        block.dmd.lin.weight.copy_(out.weight @ value)
        block.dmd.bias.copy_(out.weight @ attention.in_proj_bias[2 * C :] + out.bias)
    x = torch.randn(11, C, dtype=F64)
    constant = BATCH.bincount().double().rsqrt()[BATCH].unsqueeze(1)
    expected = peer(x, BATCH_EDGES, BATCH)
    torch.testing.assert_close(block(x, BATCH_EDGES, constant, torch.ones(2, 1, dtype=F64), BATCH), expected)
    torch.testing.assert_close(block(x[:4], EDGES, constant[:4], torch.ones(1, dtype=F64)), peer(x[:4], EDGES))


@pytest.mark.parametrize("norm", NORMS)
def test_a_closed_gate_is_attention_that_gives_nothing(norm):
    block, peer = peers(norm, gate=0.0)
    with torch.no_grad():
        block.dmd.gate.zero_()
        block.dmd.bias.zero_()
        for parameter in peer.attn.out_proj.parameters():
            parameter.zero_()
    x = torch.randn(11, C, dtype=F64)
    result = block(x, BATCH_EDGES, modes(11, 1), torch.rand(2, 1, dtype=F64), BATCH)
    torch.testing.assert_close(result, peer(x, BATCH_EDGES, BATCH))


@pytest.mark.parametrize("norm", ["graph_norm", None])
@pytest.mark.parametrize("duals", [False, True])
def test_a_batch_gives_what_each_graph_gives(norm, duals):
    block = fill(DMDGPSConv(C, gcn(), R, heads=C, degree=4, norm=norm)).eval()
    x, phi, eigs = torch.randn(11, C, dtype=F64), modes(11), torch.rand(2, R, dtype=F64)
    psi = modes(11) if duals else None
    parts = ((slice(0, 4), EDGES, eigs[0]), (slice(4, 11), BATCH_EDGES[:, 6:] - 4, eigs[1]))
    expected = [block(x[i], edges, phi[i], own, duals=psi[i] if duals else None) for i, edges, own in parts]
    for batch in (BATCH, Ragged.from_batch(BATCH, 2)):
        torch.testing.assert_close(block(x, BATCH_EDGES, phi, eigs, batch, psi), torch.cat(expected))


def test_other_arguments_go_to_the_local_layer():
    block = fill(DMDGPSConv(C, GATConv(C, C, edge_dim=2), R)).eval()
    x, phi, eigs, attr = torch.randn(4, C, dtype=F64), modes(), EIGS["real"], torch.randn(6, 2, dtype=F64)
    change = block(x, EDGES, phi, eigs, edge_attr=attr) - block(x, EDGES, phi, eigs, edge_attr=0 * attr)
    assert change.abs().max() > 1e-3


def test_without_a_local_layer_edges_do_not_matter():
    block = fill(DMDGPSConv(C, None, R))
    x, phi = torch.randn(4, C, dtype=F64), modes()
    torch.testing.assert_close(block(x, EDGES, phi, EIGS["real"]), block(x, EDGES[:, :0], phi, EIGS["real"]))


def test_dropout_is_of_training_and_leaves_the_residual():
    block = fill(DMDGPSConv(C, gcn(), R, dropout=1.0, norm=None))
    x = torch.randn(4, C, dtype=F64)
    torch.testing.assert_close(block(x, EDGES, modes(), EIGS["real"]), 2 * x)
    assert (block.eval()(x, EDGES, modes(), EIGS["real"]) != 2 * x).all()


def test_gradients():
    block = fill(DMDGPSConv(2, GCNConv(2, 2), R, act="tanh")).train()
    phi = modes()
    x = torch.randn(4, 2, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: block(x, EDGES, phi, EIGS["real"]), (x,))
    (block(x, EDGES, phi, EIGS["real"]) ** 3).sum().backward()
    # Batch normalisation takes away what biases before it add.
    before_norm = ("conv.bias", "dmd.bias", "mlp.3.bias")
    assert all(value.grad.abs().max() > 1e-9 for name, value in block.named_parameters() if name not in before_norm)


@pytest.mark.parametrize(
    "make", [lambda: DMDGPSConv(C, gcn(), R, gate=0.5), lambda: DMDGPS(5, C, 2, 3, rank=R, degree=4)]
)
def test_reset_parameters_is_a_new_start(make):
    module = make()
    torch.manual_seed(1)
    module.reset_parameters()
    first = {name: value.clone() for name, value in module.state_dict().items()}
    fill(module).float()
    torch.manual_seed(1)
    module.reset_parameters()
    assert all(torch.equal(value, first[name]) for name, value in module.state_dict().items())


def test_repr_tells_the_parts():
    assert repr(DMDGPSConv(C, gcn(), R)) == "DMDGPSConv(8, conv=GCNConv(8, 8), rank=3)"


def test_modes_of_another_rank():
    with pytest.raises(InputError, match="expected \\(4, 3\\)"):
        DMDGPSConv(C, gcn(), R)(torch.ones(4, C), EDGES, torch.ones(4, 2), torch.ones(2))


def ring(hops, label):
    """A ring of twice as many nodes, a one-hot class at node 0, and zeros at the node opposite to it."""
    nodes = torch.arange(2 * hops)
    edges = torch.stack([torch.cat([nodes, nodes]), torch.cat([nodes.roll(-1), nodes.roll(1)])])
    x = torch.ones(2 * hops, 3)
    x[0], x[hops] = torch.eye(3)[label], 0
    return Data(x=x, edge_index=edges)


@pytest.mark.parametrize("hops", [4, 12])
def test_the_model_sees_the_other_side_of_a_ring_where_its_local_layers_do_not(hops):
    add = AddDMDModes(rank=hops + 1, dynamics=FeaturePropagation(burn_in=0, steps=hops + 1))
    rings = [ring(hops, label) for label in range(3)]
    batch = add(Batch.from_data_list(rings))
    model = DMDGPS(3, C, num_layers=2, out_channels=3, rank=hops + 1, degree=2 * hops).eval()

    def output(data, graphs=None):
        return model(data.x, data.edge_index, data.dmd_modes, data.dmd_eigs, batch=graphs)

    target = output(batch, batch.batch).view(3, -1, 3)[:, hops]
    with torch.no_grad():
        for block in model.blocks:
            block.dmd.filter.coefficients.normal_()
    reached = output(batch, batch.batch).view(3, -1, 3)[:, hops]
    assert (reached[0] - reached[1]).abs().max() > 1e-3
    torch.testing.assert_close(torch.cat([output(add(data))[[hops]] for data in rings]), reached, atol=1e-4, rtol=1e-4)
    # As it starts, a block is one step of the dynamics beside one of the local layer.
    if hops > 2:
        torch.testing.assert_close(target[0], target[1], atol=1e-4, rtol=1e-4)


def test_the_model_is_an_encoder_blocks_and_a_decoder():
    model = DMDGPS(5, C, num_layers=2, out_channels=3, rank=R, degree=4, heads=2).double()
    x, phi, eigs, weight = torch.randn(4, 5, dtype=F64), modes(), EIGS["real"], torch.rand(6, dtype=F64)
    h = model.lin_in(x).relu()
    for block in model.blocks:
        h = block(h, EDGES, phi, eigs, edge_weight=weight)
    expected = model.lin_out(h)
    torch.testing.assert_close(model(x, EDGES, phi, eigs.unsqueeze(0), weight), expected)
    assert model.blocks[0].dmd.heads == 2
    alone = DMDGPS(5, C, num_layers=1, out_channels=3, rank=R, local=None).double()
    torch.testing.assert_close(alone(x, EDGES, phi, eigs), alone(x, EDGES[:, :0], phi, eigs))
