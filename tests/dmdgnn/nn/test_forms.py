"""Forms of eigenvalues, features and batches, in all precisions: one result for all that fit, an error for the rest."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.nn import GAE, to_hetero
from torch_geometric.nn.models import GCN
from torch_geometric.utils import to_torch_csr_tensor

from dmdgnn import DMD, DMDGNNError, InputError
from dmdgnn.dynamics import FeaturePropagation, HiddenStates
from dmdgnn.kernels import Ragged
from dmdgnn.nn import (
    DMDGNN,
    DMDGPS,
    DMDGRU,
    DecoupledDMD,
    DirDMDConv,
    DirDMDGNN,
    DMDConv,
    DMDEncoder,
    DMDGPSConv,
    DMDGRUCell,
    GraphDMD,
    ModeFilter,
)
from dmdgnn.series import AddSeriesModes
from dmdgnn.spectral import blocks_of
from dmdgnn.transforms import AddDMDModes

N, F = 7, 4
F64 = torch.float64


@st.composite
def spectra(draw, graphs=1):
    """Eigenvalues (graphs, r) with real ones and pairs in any order; the places of pairs are those of each graph."""
    pairs = draw(st.lists(st.booleans(), min_size=1, max_size=3))
    rank = sum(2 if pair else 1 for pair in pairs)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31 - 1)))
    rows = []
    for _ in range(graphs):
        order = draw(st.permutations(pairs))
        values = [torch.rand(2, generator=generator, dtype=F64) + 0.01 for _ in order]
        entries = [
            [complex(a, b), complex(a, -b)] if pair else [complex(a, 0)]
            for pair, (a, b) in zip(order, values, strict=True)
        ]
        rows.append([value for entry in entries for value in entry])
    eigs = torch.tensor(rows, dtype=torch.complex128)
    assert eigs.shape == (graphs, rank)
    return eigs


def randomise(module):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def tensors(rank, *leading):
    return torch.randn(*leading, N, F, dtype=F64), *torch.randn(2, N, rank, dtype=F64)


BATCH = torch.tensor([0, 0, 0, 1, 1, 1, 1])


@given(spectra(), st.sampled_from([None, 1, 3]), st.sampled_from([1, 2]))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_eigenvalues_and_their_blocks_are_the_same(eigs, degree, heads):
    x, modes, duals = tensors(eigs.size(1))
    conv = randomise(DMDConv(F, 6, eigs.size(1), heads=heads, degree=degree)).double()
    expected = conv(x, modes, eigs, duals=duals)
    for same in (eigs.squeeze(0), blocks_of(eigs)):
        torch.testing.assert_close(conv(x, modes, same, duals=duals), expected)
    if not eigs.imag.any():
        torch.testing.assert_close(conv(x, modes, eigs.real, duals=duals), expected)


@given(spectra(graphs=2), st.lists(st.integers(1, 3), max_size=2), st.sampled_from([None, 2]), st.booleans())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_leading_dimensions_and_graphs_one_by_one(eigs, leading, degree, wide):
    x, modes, duals = tensors(eigs.size(1), *leading)
    conv = randomise(DMDConv(F, 6 if wide else 2, eigs.size(1), degree=degree, skip=True)).double()
    parts = [graph == BATCH for graph in range(2)]
    expected = torch.cat(
        [conv(x[..., part, :], modes[part], own, duals=duals[part]) for part, own in zip(parts, eigs, strict=True)], -2
    )
    for graphs in (BATCH, Ragged(torch.tensor([0, 3, 7]))):
        for same in (eigs, blocks_of(eigs)):
            out = conv(x, modes, same, batch=graphs, duals=duals)
            assert out.shape == (*leading, N, conv.out_channels)
            torch.testing.assert_close(out, expected)
    summary = torch.stack([duals[part].mT @ x[..., part, :] for part in parts], dim=-3)
    torch.testing.assert_close(conv(x, modes, eigs, batch=BATCH, duals=duals, summary=summary), expected)


@given(spectra(), st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_pairs_are_whole_and_in_order_or_refused(eigs, draw):
    eigs, rank = eigs.squeeze(0), eigs.size(1)
    order = draw.draw(st.permutations(range(rank)))
    given = eigs[order]
    first = [place for place, value in enumerate(given.tolist()) if value.imag > 0]
    fits = all(place + 1 < rank and given[place + 1] == given[place].conj() for place in first)
    fits &= sum(value.imag < 0 for value in given.tolist()) == len(first)
    x, modes, _ = tensors(rank)
    models = DMDConv(F, 2, rank).double(), GraphDMD(F, 3, 2, rank).double()
    for model in models:
        if fits:
            model(x, modes, given)
        else:
            with pytest.raises(InputError, match="without their conjugates beside them, the first at"):
                model(x, modes, given)
    for cut in range(1, rank):
        if eigs[cut - 1].imag > 0:
            with pytest.raises(InputError, match="none cut by a rank"):
                DMDConv(F, 2, cut).double()(x, modes[:, :cut], eigs[:cut])


EIGS = torch.tensor([0.9, -0.5])
X, MODES = torch.randn(N, F), torch.randn(N, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": X[:, 0]}, r"x of shape \(7,\), expected \(N, 4\)"),
        ({"x": torch.tensor(1.0)}, r"x of shape \(\), expected"),
        ({"x": X[:, :3]}, r"x of shape \(7, 3\), expected \(N, 4\)"),
        ({"x": X.to_sparse()}, "tensor of torch.sparse_coo, expected a dense tensor"),
        ({"x": X.numpy()}, "x as ndarray, expected a dense tensor"),
        ({"x": X.long()}, "for x of torch.int64"),
        ({"modes": None}, "modes as NoneType, expected a tensor"),
        ({"modes": MODES.T}, r"modes \(2, 7\)"),
        ({"modes": MODES.unsqueeze(0)}, r"modes \(1, 7, 2\)"),
        ({"eigs": EIGS.tolist()}, "eigenvalues as list, expected a tensor"),
        ({"eigs": torch.eye(2)}, r"eigenvalues \(2, 2\).* or pass batch for .*, or, if these are blocks, \(1, 2, 2\)"),
        ({"eigs": EIGS.unsqueeze(1)}, r"eigenvalues \(2, 1\)"),
        ({"batch": BATCH}, r"eigenvalues \(2,\), expected \(graphs, r\)"),
        ({"eigs": EIGS.repeat(2, 1), "batch": BATCH + 1}, "a batch of graphs 1 to 2, and eigenvalues of 2"),
        ({"eigs": EIGS.repeat(2, 1), "batch": BATCH - 1}, "a batch of graphs -1 to 0"),
        ({"eigs": EIGS.repeat(3, 1), "batch": BATCH}, "eigenvalues of 3 graphs, 1 of which have no node"),
        ({"eigs": EIGS.repeat(2, 1), "batch": BATCH.flip(0)}, "must be sorted"),
        ({"eigs": EIGS.repeat(2, 1), "batch": BATCH.float()}, r"batch \(7,\) of torch.float32, expected \(7,\) of"),
        ({"eigs": EIGS.repeat(2, 1), "batch": BATCH.tolist()}, "batch as list, expected a tensor"),
        ({"eigs": EIGS.repeat(2, 1), "batch": BATCH[:4]}, "graphs of 4 nodes and features of 7"),
        ({"summary": torch.randn(3, 4)}, r"a summary \(3, 4\), expected \(2, 4\)"),
        ({"eigs": EIGS.repeat(2, 1), "batch": BATCH, "summary": torch.randn(2, 4)}, r"expected \(2, 2, 4\)"),
    ],
)
def test_what_does_not_fit_is_told(change, message):
    with pytest.raises(InputError, match=message):
        DMDConv(F, 3, 2)(**({"x": X, "modes": MODES, "eigs": EIGS} | change))


def test_a_filter_has_a_gain_for_each_mode():
    with pytest.raises(InputError, match=r"got eigenvalues \(1,\), expected \(..., 3\)"):
        ModeFilter(3)(torch.ones(1))


EDGES = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6]])
MODELS = {
    "DMDConv": (lambda: DMDConv(F, 3, 2, skip=True, local=True, gate=0.5), (X, MODES, EIGS, EDGES)),
    "DirDMDConv": (lambda: DirDMDConv(F, 3, 2, local=True), (X, MODES, EIGS, MODES, EIGS, EDGES)),
    "DMDGPSConv": (lambda: DMDGPSConv(F, None, 2), (X, EDGES, MODES, EIGS)),
    "DMDGRUCell": (lambda: DMDGRUCell(F, 3, 2), (X, None, MODES, EIGS)),
    "DMDGRU": (lambda: DMDGRU(2, 5, 1, 2), (X, MODES, EIGS)),
    "GraphDMD": (lambda: GraphDMD(F, 5, 2, 2, dropout=0.0, skip=True), (X, MODES, EIGS)),
    "DecoupledDMD": (lambda: DecoupledDMD(F, 5, 2, 2, gate=0.5), (X, EDGES, MODES, EIGS)),
    "DMDEncoder": (lambda: GAE(DMDEncoder(F, 5, 2, rank=2, skip=True)), (X, EDGES, MODES, EIGS)),
    "DMDGNN": (lambda: DMDGNN(F, 5, 3, 2, rank=2, skip=True, norm="layer_norm"), (X, EDGES, MODES, EIGS)),
    "DirDMDGNN": (lambda: DirDMDGNN(F, 5, 2, 2, rank=2, skip=True), (X, EDGES, MODES, EIGS, MODES, EIGS)),
    "DMDGPS": (lambda: DMDGPS(F, 5, 2, 2, rank=2, degree=2, norm=None), (X, EDGES, MODES, EIGS)),
}
PAIR = torch.tensor([[0.6 + 0.3j, 0.6 - 0.3j]])
FORMS = {"real": EIGS.unsqueeze(0), "complex": PAIR, "blocks": blocks_of(PAIR)}


def replaced(arguments, eigs):
    return tuple(eigs if argument is EIGS else argument for argument in arguments)


def lower(value, dtype):
    return value if value is None or not value.is_floating_point() else value.to(dtype)


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("name", MODELS)
def test_precisions_below_float32(name, kind):
    make, arguments = MODELS[name]
    model, arguments = make(), replaced(arguments, FORMS[kind])
    expected = model(*arguments).detach()
    scale = float(expected.abs().max())
    for dtype in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=dtype):
            out = model(*arguments)
        torch.testing.assert_close(out.detach().float(), expected, rtol=0, atol=0.1 * scale)
        out.float().sum().backward()
        assert all(p.grad.dtype == p.dtype for p in model.parameters() if p.grad is not None)
    low = model.bfloat16()(*(lower(argument, torch.bfloat16) for argument in arguments))
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.detach().float(), expected, rtol=0, atol=0.2 * scale)
    kept = model(*(argument if argument is FORMS[kind] else lower(argument, torch.bfloat16) for argument in arguments))
    torch.testing.assert_close(kept, low, rtol=0, atol=0.1 * scale)


@pytest.mark.filterwarnings("ignore:Sparse")
def test_what_has_no_lower_precision_is_refused_by_name():
    conv, adjacency = DMDConv(F, 3, 2, local=True), to_torch_csr_tensor(EDGES, size=(N, N))
    low = conv.bfloat16(), (lower(value, torch.bfloat16) for value in (X, MODES, EIGS))
    with pytest.raises(InputError, match=r"sparse adjacency .* below float32, .* on the CPU: pass edge_index"):
        low[0](*low[1], adjacency)
    conv = DMDConv(F, 3, 2, local=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with pytest.raises(InputError, match="sparse adjacency"):
            conv(X, MODES, EIGS, adjacency)
        with pytest.raises(InputError, match=r"modes of torch.float64 .* for x of torch.float32"):
            conv(X, MODES.double(), EIGS.double(), EDGES)


def test_autocast_does_not_reach_modes():
    data, states = Data(x=X, edge_index=EDGES), torch.randn(3, 9)
    makers = [
        lambda: AddDMDModes(2, duals=True)(data).dmd_duals,
        lambda: AddDMDModes(2, dynamics=FeaturePropagation(direction="forward"))(data).dmd_modes,
        lambda: AddSeriesModes(states, rank=2).dmd_modes,
        lambda: FeaturePropagation().snapshots(data)[1],
        lambda: HiddenStates(gcn).snapshots(data)[0],
        lambda: operator.real_form()[0],
        lambda: operator.spectrum()[2],
        lambda: operator.power(3).core,
        lambda: operator.eigs,
        lambda: operator.modes,
    ]
    gcn, operator = GCN(F, F, 2), DMD(2).fit(X, X.roll(1, 0)).operator
    for make in makers:
        expected = make()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(make(), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for x in (X, X.bfloat16()):
            assert (operator @ x).dtype == torch.bfloat16


@pytest.mark.parametrize("name", MODELS)
def test_tracing_for_several_types_is_refused_by_name(name):
    make, _ = MODELS[name]
    model = make()
    model = model.encoder if isinstance(model, GAE) else model
    with pytest.raises(DMDGNNError, match=r"cannot be traced, as to_hetero .* to_homogeneous\(\)"):
        to_hetero(model, (["a", "b"], [("a", "to", "b"), ("b", "to", "a")]))


NODES, PAIRS = torch.export.Dim("N", min=2), torch.export.Dim("E", min=2)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: DMDConv(F, 3, 2, skip=True), "complex"),
        (lambda: DMDConv(40, 3, 2, degree=3), "blocks"),
        (lambda: DMDGRU(2, 5, 1, 2), "real"),
        (lambda: DMDGNN(F, 5, 2, 2, rank=2, local=True), "blocks"),
        (lambda: DecoupledDMD(F, 5, 2, rank=2), "complex"),
    ],
)
def test_export_with_any_number_of_nodes(make, kind):
    model = make().eval()
    edges = isinstance(model, DMDGNN | DecoupledDMD)
    channels = 6 if isinstance(model, DMDGRU) else model.in_channels

    def inputs(nodes):
        x, modes = torch.randn(nodes, channels), torch.randn(nodes, 2)
        return (x, torch.randint(nodes, (2, 3 * nodes)), modes, FORMS[kind]) if edges else (x, modes, FORMS[kind])

    shapes = ({0: NODES}, {1: PAIRS}, {0: NODES}, None) if edges else ({0: NODES}, {0: NODES}, None)
    exported = torch.export.export(model, inputs(20), dynamic_shapes=shapes).module()
    for nodes in (3, 50):
        given = inputs(nodes)
        torch.testing.assert_close(exported(*given), model(*given))
