import pytest
import torch
from torch_geometric.data import Batch, Data

from dmdgnn import InputError
from dmdgnn.nn.dmd_gru import DMDGRU, DMDGRUCell
from dmdgnn.series import AddSeriesModes

F64 = torch.float64
N, R, F, H = 4, 3, 2, 5
EDGES = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
EIGS = {"real": torch.tensor([0.9, -0.5, 0.2], dtype=F64), "complex": torch.tensor([0.9, 0.3 + 0.4j, 0.3 - 0.4j])}


def fill(module, value=None):
    """All parameters at one value, or away from those of their reset."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_() if value is None else parameter.fill_(value)
    return module.double()


def graph():
    return torch.randn(N, R, dtype=F64), EIGS["complex"].to(torch.complex128)


def test_zero_weights_halve_the_state():
    h = torch.randn(N, H, dtype=F64)
    cell = fill(DMDGRUCell(F, H, R), 0.0)
    torch.testing.assert_close(cell(torch.randn(N, F, dtype=F64), h, *graph()), h / 2)
    assert not cell(torch.randn(N, F, dtype=F64), None, *graph()).any()


def test_open_update_gate_keeps_the_state():
    h = torch.randn(N, H, dtype=F64)
    cell = fill(DMDGRUCell(F, H, R))
    with torch.no_grad():
        cell.conv_x.bias[H : 2 * H] = 1e4
    torch.testing.assert_close(cell(torch.randn(N, F, dtype=F64), h, *graph()), h)


@pytest.mark.parametrize("bias", [False, True])
def test_without_the_modes_it_is_the_unit_of_torch(bias):
    cell = fill(DMDGRUCell(F, H, R, bias=bias))
    peer = torch.nn.GRUCell(F, H, bias=bias, dtype=F64)
    with torch.no_grad():
        for conv, side in ((cell.conv_x, "ih"), (cell.conv_h, "hh")):
            conv.lin.weight.zero_()
            getattr(peer, f"weight_{side}").copy_(conv.skip.weight)
            if bias:
                getattr(peer, f"bias_{side}").copy_(conv.bias)
    x, h = torch.randn(N, F, dtype=F64), torch.randn(N, H, dtype=F64)
    torch.testing.assert_close(cell(x, h, *graph()), peer(x, h))


@pytest.mark.parametrize("kind", [F64, torch.complex128])
def test_a_mode_that_is_a_node_is_the_unit_of_torch_on_that_node(kind):
    modes, eigs = torch.eye(N, dtype=F64)[:, :1], torch.tensor([0.5], dtype=kind)
    cell = fill(DMDGRUCell(F, H, 1, skip=False))
    peer = torch.nn.GRUCell(F, H, dtype=F64)
    with torch.no_grad():
        for conv, side in ((cell.conv_x, "ih"), (cell.conv_h, "hh")):
            conv.filter.reset_parameters()
            getattr(peer, f"weight_{side}").copy_(conv.lin.weight / 2)
            getattr(peer, f"bias_{side}").copy_(conv.bias)
    x, h = torch.randn(N, F, dtype=F64), torch.randn(N, H, dtype=F64)
    torch.testing.assert_close(cell(x, h, modes, eigs)[0], peer(x, h)[0])
    # No mode reaches the other nodes: a change of their inputs changes nothing.
    torch.testing.assert_close(cell(x + (1 - modes), h, modes, eigs), cell(x, h, modes, eigs))


def test_each_gate_has_a_filter():
    modes, eigs = graph()
    cell = fill(DMDGRUCell(F, H, R))
    assert cell.conv_x.filter.theta.shape == cell.conv_h.filter.theta.shape == (R, 3)
    x, h = torch.randn(N, F, dtype=F64), torch.randn(N, H, dtype=F64)
    before = cell.conv_h(h, modes, eigs)
    with torch.no_grad():
        cell.conv_h.filter.theta[:, 2] += 1  # of the candidate
    after = cell.conv_h(h, modes, eigs)
    torch.testing.assert_close(after[:, : 2 * H], before[:, : 2 * H])
    assert (after[:, 2 * H :] != before[:, 2 * H :]).all()
    assert cell(x, h, modes, eigs).shape == (N, H)


def test_reads_the_steps_in_order():
    modes, eigs = graph()
    model = fill(DMDGRU(F, H, 1, R, dropout=0.5)).eval()
    x = torch.randn(N, 3, F, dtype=F64)
    h = None
    for t in range(3):
        h = model.cell(x[:, t], h, modes, eigs)
    expected = h @ model.lin.weight.T + model.lin.bias
    torch.testing.assert_close(model(x, modes, eigs), expected)
    torch.testing.assert_close(model(x.flatten(1), modes, eigs.unsqueeze(0)), expected)


def test_dual_modes_read_and_modes_write():
    # Read at node 0, written to node 3: the other nodes see nothing.
    modes, duals = (torch.eye(N, dtype=F64)[:, [i]] for i in (3, 0))
    model = fill(DMDGRU(1, H, 1, 1, skip=False))
    x = torch.randn(N, 2, dtype=F64)
    changed = x + torch.tensor([[1.0], [0.0], [0.0], [0.0]], dtype=F64)
    first, second = (model(v, modes, torch.ones(1, dtype=F64), dmd_duals=duals) for v in (x, changed))
    assert ((first != second).flatten() == torch.tensor([False, False, False, True])).all()


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("duals", [False, True])
def test_a_batch_gives_what_each_snapshot_gives(local, duals):
    model = fill(DMDGRU(1, H, 2, R, local=local)).eval()
    states = torch.randn(N, 9, dtype=F64)
    add = AddSeriesModes(states, rank=R)
    snapshots = [add(Data(x=torch.randn(N, 4, dtype=F64), edge_index=EDGES)) for _ in range(3)]
    batch = Batch.from_data_list(snapshots)

    def run(data, **more):
        more |= {"dmd_duals": data.dmd_duals} if duals else {}
        return model(data.x, data.dmd_modes, data.dmd_eigs, data.edge_index, **more)

    expected = torch.cat([run(snapshot) for snapshot in snapshots])
    torch.testing.assert_close(run(batch, batch=batch.batch), expected)


def test_nodes_may_be_permuted():
    modes, eigs = graph()
    model = fill(DMDGRU(1, H, 1, R, local=True)).eval()
    x, weight, order = torch.randn(N, 3, dtype=F64), torch.rand(N, dtype=F64), torch.randperm(N)
    permuted = model(x[order], modes[order], eigs, order.argsort()[EDGES], weight)
    torch.testing.assert_close(permuted, model(x, modes, eigs, EDGES, weight)[order])


@pytest.mark.parametrize("kind", EIGS)
def test_gradients(kind):
    modes, eigs = torch.randn(N, R, dtype=F64), EIGS[kind]
    eigs = eigs.to(torch.complex128) if kind == "complex" else eigs
    model = fill(DMDGRU(1, 2, 1, R)).eval()
    x = torch.randn(N, 2, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: model(x, modes, eigs), (x,))
    model(x, modes, eigs).sum().backward()
    assert all(parameter.grad.any() for parameter in model.parameters())


def test_reset_parameters_is_a_new_start():
    model = DMDGRU(F, H, 1, R)
    torch.manual_seed(1)
    model.reset_parameters()
    first = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    torch.manual_seed(1)
    model.reset_parameters()
    assert all(torch.equal(value, first[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("shape", [(N, 3), (N, 0), (N, 3, 1), (N, 0, 2), (N,)])
def test_features_make_up_steps(shape):
    with pytest.raises(InputError, match=r"expected \(N, T \* 2\) or \(N, T, 2\)"):
        DMDGRU(2, H, 1, R)(torch.ones(shape), torch.ones(N, R), torch.ones(R))


def test_batch_is_sorted():
    with pytest.raises(InputError, match="must be sorted"):
        DMDGRU(1, H, 1, R)(torch.ones(2, 3), torch.ones(2, R), torch.ones(2, R), batch=torch.tensor([1, 0]))


def test_repr_tells_the_sizes():
    assert repr(DMDGRUCell(F, H, R)) == "DMDGRUCell(2, 5, rank=3)"
