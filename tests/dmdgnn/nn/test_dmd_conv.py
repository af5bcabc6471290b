import pytest
import torch
from torch.func import functional_call
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

from dmdgnn import DMD, InputError, LowRankOperator
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.kernels import Ragged
from dmdgnn.nn import DMDConv
from dmdgnn.transforms import AddDMDModes

F64 = torch.float64
N, R = 6, 3
EDGES = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 5, 5]])
EIGS = {
    "real": torch.tensor([0.9, -0.5, 0.2], dtype=F64),
    "complex": torch.tensor([0.9, 0.3 + 0.4j, 0.3 - 0.4j], dtype=torch.complex128),
}
LAMBDA = {
    "real": torch.diag(torch.tensor([0.9, -0.5, 0.2], dtype=F64)),
    "complex": torch.tensor([[0.9, 0.0, 0.0], [0.0, 0.3, 0.4], [0.0, -0.4, 0.3]], dtype=F64),
}


def inputs(channels=4):
    return torch.randn(N, channels, dtype=F64), torch.randn(N, R, dtype=F64)


def randomise(module):
    """Leave no parameter at the value of its reset."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module.double()


def plain(channels, rank):
    """A convolution that is its operator: no mixing of channels, no offset, no bias."""
    conv = DMDConv(channels, channels, rank, bias=False).double()
    with torch.no_grad():
        conv.lin.weight.copy_(torch.eye(channels))
    return conv


@pytest.mark.parametrize("kind", EIGS)
@pytest.mark.parametrize(("in_channels", "out_channels"), [(2, 7), (7, 2), (3, 3)])
@pytest.mark.parametrize("bias", [False, True])
def test_is_the_formula(kind, in_channels, out_channels, bias):
    x, modes = inputs(in_channels)
    conv = randomise(DMDConv(in_channels, out_channels, R, bias=bias))
    expected = modes @ (LAMBDA[kind] + conv.filter.theta.flatten().diag()) @ modes.T @ x @ conv.lin.weight.T
    if bias:
        expected = expected + conv.bias
    torch.testing.assert_close(conv(x, modes, EIGS[kind]), expected)
    torch.testing.assert_close(conv(x, modes, EIGS[kind].unsqueeze(0)), expected)


@pytest.mark.parametrize("kind", EIGS)
def test_without_weight_is_with_that_of_the_identity(kind):
    x, modes = inputs(5)
    conv = randomise(DMDConv(5, 5, R, skip=True, gate=0.5, weight=False))
    weighted = DMDConv(5, 5, R, skip=True, gate=0.5).double()
    weighted.load_state_dict(conv.state_dict() | {"lin.weight": torch.eye(5)})
    torch.testing.assert_close(conv(x, modes, EIGS[kind]), weighted(x, modes, EIGS[kind]))
    summary = modes.mT @ x
    torch.testing.assert_close(conv(x, modes, EIGS[kind], summary=summary), conv(x, modes, EIGS[kind]))


def test_without_weight_channels_stay():
    with pytest.raises(InputError, match="got 4 input and 3 output channels with weight=False"):
        DMDConv(4, 3, R, weight=False)


def test_skip_and_local_terms_are_added():
    x, modes = inputs()
    weight = torch.rand(EDGES.size(1), dtype=F64)
    conv = randomise(DMDConv(4, 5, R, skip=True, local=True))
    bare = DMDConv(4, 5, R).double()
    bare.load_state_dict({name: value for name, value in conv.state_dict().items() if name in bare.state_dict()})
    gcn = GCNConv(4, 5, bias=False).double()
    gcn.load_state_dict(conv.local.state_dict())
    expected = bare(x, modes, EIGS["real"]) + x @ conv.skip.weight.T + gcn(x, EDGES, weight)
    torch.testing.assert_close(conv(x, modes, EIGS["real"], EDGES, weight), expected)


@pytest.mark.parametrize("direction", ["undirected", "forward"])
def test_starts_as_the_propagation_it_was_estimated_from(direction):
    # All modes of a ring, whose matrix is symmetric, and normal with complex pairs if directed.
    ring = Data(x=torch.randn(5, 5, dtype=F64), edge_index=torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]]))
    dynamics = FeaturePropagation(direction=direction)
    data = AddDMDModes(rank=5, dynamics=dynamics)(ring)
    assert data.dmd_eigs.is_complex() == (direction == "forward")
    x = torch.randn(5, 3, dtype=F64)
    torch.testing.assert_close(plain(3, 5)(x, data.dmd_modes, data.dmd_eigs), dynamics.adjacency(ring) @ x)


def test_starts_as_the_operator_of_symmetric_dynamics():
    A = torch.randn(N, N, dtype=F64)
    X = torch.randn(N, R, dtype=F64)
    dmd = DMD(modes="projected", constraint="symmetric").fit(X, (A + A.T) @ X)
    x = torch.randn(N, 2, dtype=F64)
    torch.testing.assert_close(plain(2, R)(x, dmd.real_modes, dmd.eigs), dmd.operator @ x)


@pytest.mark.parametrize("kind", EIGS)
@pytest.mark.parametrize("terms", [{}, {"skip": True}, {"local": True}, {"skip": True, "local": True}])
@pytest.mark.parametrize("channels", [(2, 4), (4, 2)])
def test_gradients(kind, terms, channels):
    x, modes = inputs(channels[0])
    conv = randomise(DMDConv(*channels, R, **terms))
    names, values = zip(*conv.named_parameters(), strict=True)

    def run(x, modes, *parameters):
        return functional_call(conv, dict(zip(names, parameters, strict=True)), (x, modes, EIGS[kind], EDGES))

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), modes.requires_grad_(), *values))


def test_nodes_may_be_permuted():
    x, modes = inputs()
    conv = randomise(DMDConv(4, 5, R, skip=True, local=True))
    order = torch.randperm(N)
    permuted = conv(x[order], modes[order], EIGS["complex"], order.argsort()[EDGES])
    torch.testing.assert_close(permuted, conv(x, modes, EIGS["complex"], EDGES)[order])


def test_sign_of_a_mode_does_not_matter():
    x, modes = inputs()
    conv = randomise(DMDConv(4, 5, R))
    signs = torch.tensor([1.0, -1.0, -1.0], dtype=F64)
    for eigs in EIGS.values():
        torch.testing.assert_close(conv(x, modes * signs, eigs), conv(x, modes, eigs))


@pytest.mark.parametrize("kind", EIGS)
def test_leading_dimensions_of_x(kind):
    x, modes = inputs()
    conv = randomise(DMDConv(4, 5, R, skip=True, local=True))
    out = conv(torch.stack([x, 2 * x]), modes, EIGS[kind], EDGES)
    torch.testing.assert_close(out[1], conv(2 * x, modes, EIGS[kind], EDGES))


@pytest.mark.parametrize("kind", EIGS)
def test_single_precision_agrees_with_double(kind):
    x, modes = inputs()
    conv = randomise(DMDConv(4, 5, R, skip=True, local=True))
    expected = conv(x, modes, EIGS[kind], EDGES)
    eigs = EIGS[kind].to(torch.complex64 if kind == "complex" else torch.float32)
    out = conv.float()(x.float(), modes.float(), eigs, EDGES)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected.float(), rtol=1e-4, atol=1e-4)


def test_reset_parameters():
    conv = DMDConv(4, 5, R, skip=True, local=True)
    fresh = {name: value.clone() for name, value in conv.state_dict().items()}
    assert set(fresh) == {"filter.theta", "bias", "lin.weight", "skip.weight", "local.lin.weight"}
    randomise(conv).float()
    torch.manual_seed(1)
    conv.reset_parameters()
    for name, value in conv.state_dict().items():
        if name in ("filter.theta", "bias"):
            assert not value.any()
        else:
            bound = (6 / 9) ** 0.5  # Glorot, of 4 + 5 channels
            assert 0 < float(value.abs().max()) <= bound
            assert not torch.equal(value, fresh[name])


@pytest.mark.parametrize(
    ("modes", "eigs"), [((N + 1, R), (R,)), ((N, R + 1), (R + 1,)), ((N, R), (R + 1,)), ((N, R), (2, R))]
)
def test_modes_of_another_graph_or_rank(modes, eigs):
    with pytest.raises(InputError, match=r"got modes .* expected \(6, 3\) and \(3,\): compute the modes of this graph"):
        DMDConv(4, 5, R)(torch.ones(N, 4), torch.ones(modes), torch.ones(eigs))


def test_local_term_needs_edges():
    with pytest.raises(InputError, match="local term: pass edge_index"):
        DMDConv(4, 5, R, local=True)(torch.ones(N, 4), torch.ones(N, R), torch.ones(R))


@pytest.mark.parametrize("rank", [0, -1])
def test_rank_is_positive(rank):
    with pytest.raises(InputError, match=f"rank={rank}, expected a positive integer"):
        DMDConv(4, 5, rank)


def test_repr_tells_the_sizes():
    assert repr(DMDConv(4, 5, R)) == "DMDConv(4, 5, rank=3)"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("constraint", [None, "symmetric"])
@pytest.mark.parametrize("svd", ["gram", "full"])
def test_cuda_agrees_with_cpu(constraint, svd):
    X, Y, x = torch.randn(20, 6, dtype=F64), torch.randn(20, 6, dtype=F64), torch.randn(20, 4, dtype=F64)
    conv = randomise(DMDConv(4, 5, 6, skip=True, local=True))

    def run(device):
        dmd = DMD(svd=svd, constraint=constraint).fit(X.to(device), Y.to(device))
        modes = dmd.real_modes
        assert modes.device.type == dmd.eigs.device.type == dmd.operator.device.type == device
        out = conv.to(device)(x.to(device), modes, dmd.eigs, EDGES.to(device))
        return [result.cpu() for result in (dmd.eigs, dmd.predict(X.to(device)), out)]

    for on_cpu, on_cuda in zip(run("cpu"), run("cuda"), strict=True):
        torch.testing.assert_close(on_cuda, on_cpu)


@pytest.mark.parametrize("modes", [torch.ones(3, 2, dtype=torch.float64), torch.ones(3, 2, dtype=torch.complex64)])
def test_modes_of_another_type(modes):
    with pytest.raises(InputError, match=r"real_modes"):
        DMDConv(4, 5, rank=2)(torch.ones(3, 4), modes, torch.ones(2))


def test_eigenvalues_of_another_type():
    for dtype in (torch.float64, torch.complex128):
        with pytest.raises(InputError, match=rf"eigenvalues of {dtype} for x of torch.float32"):
            DMDConv(4, 5, rank=2)(torch.ones(3, 4), torch.ones(3, 2), torch.ones(2, dtype=dtype))


@pytest.mark.parametrize("graphs", [torch.tensor([0, 0, 0, 1, 1]), Ragged(torch.tensor([0, 3, 5]))])
def test_graphs_of_another_batch(graphs):
    x, modes, conv = torch.ones(N, 4), torch.ones(N, R), DMDConv(4, 5, R)
    with pytest.raises(InputError, match=f"graphs of 5 nodes and features of {N}"):
        conv(x, modes, torch.ones(2, R), batch=graphs)
    operator = LowRankOperator(modes, torch.ones(2, R), modes, ptr=torch.tensor([0, 2, N]))
    with pytest.raises(InputError, match="an operator of other graphs than those of batch"):
        conv(x, operator, batch=graphs)


def test_an_operator_knows_the_graphs_that_batch_tells():
    x, modes, conv = torch.randn(N, 4), torch.randn(N, R), randomise(DMDConv(4, 5, R)).float()
    operator = LowRankOperator(modes, torch.randn(2, R), modes, ptr=torch.tensor([0, 2, N]))
    batch = torch.tensor([0, 0] + [1] * (N - 2))
    torch.testing.assert_close(conv(x, operator, batch=batch), conv(x, operator))


@pytest.mark.parametrize("channels", [2, 9])
def test_summary_of_all_nodes_gives_the_rows_of_some(channels):
    x, modes, duals = torch.randn(6, 5), torch.randn(6, 3), torch.randn(6, 3)
    eigs, some = torch.tensor([0.9, 0.3 + 0.4j, 0.3 - 0.4j]), torch.tensor([4, 1])
    conv = DMDConv(5, channels, rank=3, skip=True)
    out = conv(x[some], modes[some], eigs, summary=duals.T @ x)
    torch.testing.assert_close(out, conv(x, modes, eigs, duals=duals)[some])
    with pytest.raises(InputError, match="got a summary"):
        conv(x, modes, eigs, summary=x.T @ duals)
