import pytest
import torch
from torch_geometric.nn.models import GAT, GCN, MLP, GraphSAGE

from dmdgnn.nn import DMDGNN, DirDMDGNN, GraphDMD
from gnndiff.align import align

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
    "dmdgnn-dir": (
        lambda: DirDMDGNN(5, 4, 3, 3, rank=4, heads=2, skip=True, local=True, gate=1.0),
        (X, EDGES, MODES, EIGS, MODES.roll(1, 0), EIGS),
    ),
}


def shuffled(state):
    """Reorder hidden units by aligning to a reference that is random."""
    noise = {name: torch.randn_like(tensor) for name, tensor in state.items()}
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


def test_alignment_changes_no_input():
    torch.manual_seed(0)
    first, second = GCN(5, 8, 2, 3).state_dict(), GCN(5, 8, 2, 3).state_dict()
    before = {key: tensor.clone() for key, tensor in first.items()}
    align(first, second)
    assert all(torch.equal(first[key], before[key]) for key in before)
