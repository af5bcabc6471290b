import pytest
import torch
from torch_geometric.nn.models import GAT, GCN, MLP, GraphSAGE

from dmdgnn.nn import DMDGNN, DMDGPS, DecoupledDMD, DirDMDGNN, GraphDMD
from gnndiff.align import align
from gnndiff.layers import GPRGNN, GPS, APPNPNet, SkipGAT, SkipGCN

X = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
EDGES = torch.tensor([[0, 1, 2, 3, 4, 5, 1], [1, 2, 3, 4, 5, 0, 0]])
MODES, EIGS = torch.linalg.qr(X[:, :4]).Q, torch.tensor([0.9, 0.5, 0.2, 0.1])

MODELS = {
    "mlp": (lambda: MLP([5, 8, 3], norm=None), (X,)),
    "mlp deep": (lambda: MLP([5, 8, 8, 3], norm="layer_norm"), (X,)),
    "gcn": (lambda: GCN(5, 8, 2, 3), (X, EDGES)),
    "sage": (lambda: GraphSAGE(5, 8, 2, 3), (X, EDGES)),
    "sage deep": (lambda: GraphSAGE(5, 8, 3, 3), (X, EDGES)),
    "gat": (lambda: GAT(5, 8, 2, 3, heads=2), (X, EDGES)),
    # The rank is the width: the filter must not be taken for a row of units.
    "dmdgnn": (lambda: DMDGNN(5, 4, 2, 3, rank=4, skip=True, local=True), (X, EDGES, MODES, EIGS)),
    "dmdgnn, filters of heads": (
        lambda: DMDGNN(5, 4, 3, 4, rank=4, heads=2, degree=4, skip=True, gate=1.0),
        (X, EDGES, MODES, EIGS),
    ),
    "dmdgnn, one layer": (
        lambda: DMDGNN(5, 4, 1, 4, rank=4, jk="last", norm="layer_norm"),
        (X, EDGES, MODES, EIGS),
    ),
    "graphdmd": (lambda: GraphDMD(5, 4, 3, rank=4, act="relu", skip=True), (X, MODES, EIGS)),
    "decoupled": (lambda: DecoupledDMD(5, 4, 3, rank=4, num_layers=3, gate=1.0), (X, EDGES, MODES, EIGS)),
    "dmdgnn-dir": (
        lambda: DirDMDGNN(5, 4, 3, 3, rank=4, heads=2, skip=True, local=True, gate=1.0),
        (X, EDGES, MODES, EIGS, MODES.roll(1, 0), EIGS),
    ),
    "gcn with skip": (lambda: SkipGCN(5, 8, 2, 3), (X, EDGES)),
    "gat with skip": (lambda: SkipGAT(5, 8, 2, 3, heads=2), (X, EDGES)),
    "appnp": (lambda: APPNPNet(5, 8, 2, 3), (X, EDGES)),
    "gprgnn": (lambda: GPRGNN(5, 8, 3, 3), (X, EDGES)),
    "gps": (lambda: GPS(5, 8, 2, 3, heads=2), (X, EDGES)),
    "gps, linear attention": (lambda: GPS(5, 8, 2, 3, attn_type="performer", norm=None), (X, EDGES)),
    "dmdgps": (lambda: DMDGPS(5, 4, 2, 3, rank=4, gate=0.5), (X, EDGES, MODES, EIGS)),
    "dmdgps, filters of heads": (
        lambda: DMDGPS(5, 8, 3, 3, rank=4, heads=2, degree=8, norm="layer_norm"),
        (X, EDGES, MODES, EIGS),
    ),
}


def shuffled(state):
    """Reorder hidden units by aligning to a reference that is random."""
    noise = {key: torch.randn(value.shape) if value.is_floating_point() else value for key, value in state.items()}
    return align(state, noise)


@pytest.mark.parametrize("name", MODELS)
def test_alignment_keeps_the_function(name):
    torch.manual_seed(0)
    build, arguments = MODELS[name]
    model = build().eval()
    expected = model(*arguments)
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    moved = shuffled(state)
    assert any(not torch.equal(moved[key], state[key]) for key in state)
    model.load_state_dict(moved)
    torch.testing.assert_close(model(*arguments), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_alignment_undoes_a_reordering(name):
    torch.manual_seed(0)
    state = MODELS[name][0]().state_dict()
    restored = align(shuffled(state), state)
    for key, tensor in state.items():
        torch.testing.assert_close(restored[key], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["gps", "dmdgps"])
def test_all_hidden_units_of_blocks_are_reordered(name):
    torch.manual_seed(0)
    state = MODELS[name][0]().state_dict()
    moved = shuffled(state)
    for key in ("lin_in.weight", "lin_out.weight", "blocks.1.mlp.0.weight", "blocks.1.conv.lin.weight"):
        assert not torch.equal(moved[key], state[key]), key


def test_a_model_of_other_layers_is_not_taken_for_aligned():
    state = torch.nn.GRU(3, 4).state_dict()
    with pytest.raises(ValueError, match=r"weight_ih_l0.*expected layers in convs, lins or blocks"):
        align(state, state)


def test_alignment_changes_no_input():
    torch.manual_seed(0)
    first, second = GCN(5, 8, 2, 3).state_dict(), GCN(5, 8, 2, 3).state_dict()
    before = {key: tensor.clone() for key, tensor in first.items()}
    align(first, second)
    assert all(torch.equal(first[key], before[key]) for key in before)
