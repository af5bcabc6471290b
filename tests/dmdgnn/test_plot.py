import runpy
import sys

import matplotlib as mpl
import networkx as nx
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch_geometric.data import Data

import dmdgnn.plot
from dmdgnn import DMD, InputError, LowRankOperator, RankError
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.errors import MissingPackageError
from dmdgnn.nn import DMDGNN, DMDConv
from dmdgnn.plot import learned_filter, mode, reconstruction_error, spectrum, summary
from dmdgnn.spectral import blocks_of
from dmdgnn.transforms import AddDMDModes

SQUARE = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
CORNERS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
PAIR = torch.tensor([0.6 + 0.8j, 0.6 - 0.8j, 0.5])


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda *args: pytest.fail("plt.show was called"))
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return Figure().subplots()


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}


def snapshots(n=30, f=6):
    torch.manual_seed(0)
    return torch.randn(n, f, dtype=torch.float64), torch.randn(n, f, dtype=torch.float64)


# Each of the four, ready to be called with or without axes.
FIGURES = {
    "spectrum": lambda ax=None: spectrum(PAIR, ax=ax),
    "real_spectrum": lambda ax=None: spectrum(torch.tensor([0.9, -0.5]), ax=ax),
    "learned_filter": lambda ax=None: learned_filter(DMDConv(2, 2, rank=3), PAIR, ax=ax),
    "mode": lambda ax=None: mode(SQUARE, torch.eye(4), 0, pos=CORNERS, ax=ax),
    "reconstruction_error": lambda ax=None: reconstruction_error(*snapshots(), [1, 3], ax=ax),
}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_draws_on_the_given_axes_and_on_no_other(draw):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    settings = dict(mpl.rcParams)
    assert draw(ax=left) is left
    assert not plt.get_fignums()
    assert figure.axes == [left, right]
    assert not right.has_data()
    assert dict(mpl.rcParams) == settings
    figure.draw_without_rendering()


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_without_axes_makes_a_new_figure(draw):
    current = plt.subplots()[1]
    first, second = draw(), draw()
    assert len({current, first, second}) == 3
    assert not current.has_data()
    assert plt.get_fignums() == [1, 2, 3]


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_an_array_of_axes_is_an_error(draw):
    with pytest.raises(InputError, match="got ax of ndarray, expected one matplotlib Axes"):
        draw(ax=Figure().subplots(1, 2))


def test_missing_matplotlib_names_the_extra(monkeypatch):
    for name in ("matplotlib", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, None)
    for draw in FIGURES.values():
        with pytest.raises(MissingPackageError, match=r'pip install "dmdgnn\[plot\]"'):
            draw()


def test_importing_needs_neither_matplotlib_nor_networkx(monkeypatch):
    for name in ("matplotlib", "matplotlib.pyplot", "networkx"):
        monkeypatch.setitem(sys.modules, name, None)
    assert callable(runpy.run_path(dmdgnn.plot.__file__)["spectrum"])


# spectrum


def test_complex_eigenvalues_lie_in_the_plane_with_the_unit_circle(ax):
    spectrum(PAIR, ax)
    points = lines(ax)["eigenvalues"]
    np.testing.assert_array_equal(points.get_xdata(), PAIR.real)
    np.testing.assert_array_equal(points.get_ydata(), PAIR.imag)
    (circle,) = ax.patches
    assert isinstance(circle, Circle)
    assert (circle.center, circle.radius, circle.fill) == ((0, 0), 1, False)
    assert ax.get_aspect() == 1
    # All of the circle is to be seen, though no eigenvalue is on its left.
    ax.figure.draw_without_rendering()
    assert min(ax.get_xlim()) <= -1
    assert max(ax.get_xlim()) >= 1


@pytest.mark.parametrize("form", [lambda e: e, lambda e: e.unsqueeze(0), lambda e: e.to(torch.complex64)])
def test_real_eigenvalues_are_stems_in_their_order(ax, form):
    eigs = torch.tensor([0.9, -0.5, 0.25])
    spectrum(form(eigs), ax)
    (stems,) = ax.containers
    np.testing.assert_array_equal(stems.markerline.get_xdata(), [0, 1, 2])
    np.testing.assert_array_equal(stems.markerline.get_ydata(), eigs)
    assert not ax.patches
    levels = [line.get_ydata()[0] for line in ax.get_lines() if len(set(line.get_ydata())) == 1]
    assert {-1, 0, 1} <= set(levels)


def test_of_dmd_and_of_its_operator_are_the_same(ax):
    fitted = DMD(rank=4).fit(*snapshots())
    spectrum(fitted.eigs, ax)
    spectrum(fitted.operator.eigs, ax)
    first, second = (line for line in ax.get_lines() if line.get_label() == "eigenvalues")
    for points in (first, second):
        assert points.get_xydata().shape == (4, 2)
    in_order = [sorted(map(tuple, np.round(points.get_xydata(), 10))) for points in (first, second)]
    assert in_order[0] == in_order[1]


def test_eigenvalues_with_gradients(ax):
    eigs = torch.tensor([0.9, 0.5], requires_grad=True)
    spectrum(eigs, ax)
    np.testing.assert_array_equal(ax.containers[0].markerline.get_ydata(), eigs.detach())


@pytest.mark.parametrize(
    ("eigs", "match"),
    [
        (torch.rand(2, 3), r"got eigenvalues \(2, 3\), .* of several graphs pass one row"),
        (torch.rand(0), r"got eigenvalues \(0,\)"),
        (torch.tensor(0.5), r"got eigenvalues \(\)"),
        ([0.9, 0.5], "got eigenvalues list, expected a tensor"),
        (torch.tensor([0.9, float("nan")]), "NaN or infinite"),
        (torch.tensor([complex(0, float("inf"))]), "NaN or infinite"),
        (torch.rand(2, 2), r"got eigenvalues \(2, 2\), .* or real blocks \(1, r, r\)"),
        (torch.rand(2, 3, 3), r"got eigenvalues \(2, 3, 3\), .* of several graphs pass one row"),
        (torch.rand(1, 3, 3, dtype=torch.complex64), r"got eigenvalues \(1, 3, 3\)"),
        (torch.ones(1, 3, 3), "got blocks with entries below those on the diagonal"),
    ],
)
def test_eigenvalues_that_cannot_be_drawn(ax, eigs, match):
    with pytest.raises(InputError, match=match):
        spectrum(eigs, ax)
    assert not ax.has_data()


@pytest.mark.parametrize("eigs", [PAIR, torch.tensor([0.9, -0.5, 0.25])])
def test_blocks_are_drawn_as_the_eigenvalues_that_they_stand_for(eigs):
    own, of_blocks = (Figure().subplots() for _ in range(2))
    spectrum(eigs, own)
    spectrum(blocks_of(eigs).unsqueeze(0), of_blocks)
    for line, same in zip(own.get_lines(), of_blocks.get_lines(), strict=True):
        np.testing.assert_allclose(line.get_xydata(), same.get_xydata(), rtol=1e-6)


def test_eigenvalues_of_a_schur_form(ax):
    chain = torch.stack([torch.arange(6), torch.arange(1, 7)])
    data = Data(x=torch.randn(7, 9, dtype=torch.float64), edge_index=chain)
    dynamics = FeaturePropagation(burn_in=0, direction="forward")
    form = AddDMDModes(4, dynamics=dynamics, duals=True, blocks=True)(data).dmd_eigs
    spectrum(form, ax)
    expected = torch.linalg.eigvals(form[0])
    own = {(round(float(value.real), 6), round(float(value.imag), 6)) for value in expected}
    assert expected.imag.any()
    assert {(round(x, 6), round(y, 6)) for x, y in lines(ax)["eigenvalues"].get_xydata().tolist()} == own


# learned_filter


@pytest.mark.parametrize("degree", [None, 3])
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("eigs", [PAIR, torch.tensor([0.9, -0.5, 0.25])])
def test_a_filter_of_blocks_has_the_gains_of_the_eigenvalues(eigs, heads, degree):
    conv = DMDConv(4, 4, rank=3, heads=heads, degree=degree, gate=0.6)
    torch.nn.init.normal_(next(conv.filter.parameters()))
    if degree is None and eigs.is_complex():
        conv.filter.theta.data[1] = conv.filter.theta.data[0]  # of a pair of one gain there is one eigenvalue
    own, of_blocks = (Figure().subplots() for _ in range(2))
    learned_filter(conv, eigs, own)
    learned_filter(conv, blocks_of(eigs).unsqueeze(0), of_blocks)
    for line, same in zip(own.get_lines(), of_blocks.get_lines(), strict=True):
        np.testing.assert_allclose(line.get_xydata(), same.get_xydata(), rtol=1e-4, atol=1e-5)


def test_a_pair_of_two_gains_has_the_eigenvalues_of_its_block(ax):
    conv = DMDConv(4, 4, rank=3)
    conv.filter.theta.data.copy_(torch.tensor([[3.0], [-3.0], [0.0]]))
    form = blocks_of(PAIR)
    learned_filter(conv, form.unsqueeze(0), ax)
    expected = torch.linalg.eigvals(form[:2, :2] + torch.diag(torch.tensor([3.0, -3.0]))).abs()
    np.testing.assert_allclose(sorted(lines(ax)["learned"].get_ydata()[:2]), sorted(expected), rtol=1e-5)


def test_an_untrained_filter_lies_on_the_line_that_it_starts_from(ax):
    eigs = torch.tensor([0.9, -0.5, 0.25])
    learned_filter(DMDConv(4, 4, rank=3), eigs, ax)
    np.testing.assert_allclose(lines(ax)["start: g(λ) = λ"].get_xydata(), [[-0.5, -0.5], [0.9, 0.9]], rtol=1e-6)
    np.testing.assert_array_equal(lines(ax)["learned"].get_xdata(), eigs)
    np.testing.assert_array_equal(lines(ax)["learned"].get_ydata(), eigs)


def test_heads_are_told_apart(ax):
    eigs = torch.tensor([[0.9, 0.5]])
    conv = DMDConv(4, 4, rank=2, heads=2)
    offsets = torch.tensor([[0.1, -0.2], [0.3, 0.4]])
    conv.filter.theta.data.copy_(offsets)
    learned_filter(conv, eigs, ax)
    heads = [lines(ax)[f"head {head}"] for head in (0, 1)]
    for head, points in enumerate(heads):
        np.testing.assert_allclose(points.get_ydata(), eigs[0] + offsets[:, head], rtol=1e-6)
    assert heads[0].get_marker() != heads[1].get_marker()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["start: g(λ) = λ", "head 0", "head 1"]


def test_many_heads_share_a_line_of_the_legend(ax):
    learned_filter(DMDConv(4, 16, rank=2, heads=16), torch.tensor([0.9, 0.5]), ax)
    assert len(ax.get_lines()) == 1 + 16
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["start: g(λ) = λ", "16 heads"]


@pytest.mark.parametrize("kind", [torch.float32, torch.complex64])
def test_a_polynomial_is_drawn_between_the_eigenvalues_too(ax, kind):
    conv = DMDConv(4, 4, rank=2, degree=2)
    conv.filter.coefficients.data.copy_(torch.tensor([[1.0], [0.0], [2.0]]))
    learned_filter(conv, torch.tensor([1.0, -0.5]).to(kind), ax)

    def g(t):
        return 1 + 2 * (2 * t**2 - 1)

    points, curve = ax.get_lines()[1:]
    np.testing.assert_allclose(points.get_ydata(), [g(1.0), g(-0.5)], rtol=1e-6)
    assert (curve.get_xdata()[0], curve.get_xdata()[-1]) == (-0.5, 1.0)
    np.testing.assert_allclose(curve.get_ydata(), g(curve.get_xdata()), rtol=1e-5, atol=1e-5)
    assert curve.get_color() == points.get_color()


def test_complex_gains_are_moduli(ax):
    conv = DMDConv(4, 4, rank=3)
    conv.filter.theta.data.copy_(torch.tensor([[0.4], [0.4], [-1.0]]))
    learned_filter(conv, PAIR, ax)
    np.testing.assert_allclose(lines(ax)["learned"].get_xdata(), [1, 1, 0.5], rtol=1e-6)
    np.testing.assert_allclose(lines(ax)["learned"].get_ydata(), [abs(1 + 0.8j)] * 2 + [0.5], rtol=1e-6)
    assert "modulus" in ax.get_xlabel()
    assert "modulus" in ax.get_ylabel()


def test_a_layer_without_weight_has_gains(ax):
    eigs = torch.tensor([0.9, 0.5])
    learned_filter(DMDConv(4, 4, rank=2, weight=False), eigs, ax)
    np.testing.assert_allclose(lines(ax)["learned"].get_ydata(), eigs)


def test_the_gate_is_part_of_the_gain(ax):
    eigs = torch.tensor([0.9, 0.5])
    learned_filter(DMDConv(4, 4, rank=2, gate=0.5), eigs, ax)
    np.testing.assert_allclose(lines(ax)["learned"].get_ydata(), eigs / 2)


def test_a_gain_is_what_the_layer_makes_of_a_mode(ax):
    """For orthonormal modes, features that are one mode come back as that mode times its gain."""
    torch.manual_seed(0)
    modes = torch.linalg.qr(torch.randn(6, 3, dtype=torch.float64)).Q
    eigs = torch.tensor([0.9, 0.5, -0.3])
    conv = DMDConv(1, 1, rank=3, gate=0.7, bias=False)
    torch.nn.init.normal_(conv.filter.theta)
    torch.nn.init.ones_(conv.lin.weight)
    learned_filter(conv.double().requires_grad_(False), eigs, ax)
    outputs = [float(mode @ conv(mode.unsqueeze(1), modes, eigs.double()).squeeze(1)) for mode in modes.T]
    np.testing.assert_allclose(lines(ax)["learned"].get_ydata(), outputs, rtol=1e-6)


def test_layers_of_a_model_and_nothing_else(ax):
    model = DMDGNN(4, 8, num_layers=2, out_channels=3, rank=2)
    learned_filter(model.convs[1], torch.tensor([0.9, 0.5]), ax)
    with pytest.raises(InputError, match=r"got DMDGNN, expected a DMDConv: .* one of model.convs"):
        learned_filter(model, torch.tensor([0.9, 0.5]), ax)
    with pytest.raises(InputError, match="got 3 eigenvalues for a layer of rank 2"):
        learned_filter(model.convs[0], PAIR, ax)


# mode


def drawn(ax):
    edges, nodes = ax.collections
    return edges, nodes


def test_nodes_have_the_colours_of_the_mode(ax):
    modes = torch.tensor([[9.0, 0.0], [9.0, 1.0], [9.0, -0.5], [9.0, -0.25]])
    mode(SQUARE, modes, 1, pos=CORNERS, ax=ax)
    edges, nodes = drawn(ax)
    np.testing.assert_array_equal(nodes.get_array(), modes[:, 1])
    np.testing.assert_array_equal(nodes.get_offsets(), CORNERS)
    assert nodes.get_clim() == (-1, 1)
    # Zero is in the middle of the colour map, next to white.
    assert min(nodes.to_rgba(0.0)) > 0.95
    red, blue = nodes.to_rgba(1.0), nodes.to_rgba(-1.0)
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    ends = [CORNERS[edge].tolist() for edge in SQUARE.T]
    assert [segment.tolist() for segment in edges.get_segments()] == ends
    assert ax.get_title() == "mode 1"
    # Both collections are within the limits.
    ax.figure.draw_without_rendering()
    assert min(ax.get_xlim()) < 0
    assert max(ax.get_xlim()) > 1


@pytest.mark.parametrize("sign", [1, -1])
def test_limits_are_symmetric_whatever_the_sign(ax, sign):
    mode(SQUARE, sign * torch.tensor([[0.1], [0.2], [0.3], [0.4]]), 0, CORNERS, ax)
    low, high = drawn(ax)[1].get_clim()
    assert -low == high == pytest.approx(0.4)


def test_a_mode_of_zeros_is_white(ax):
    mode(SQUARE, torch.zeros(4, 1), 0, CORNERS, ax)
    nodes = drawn(ax)[1]
    assert nodes.get_clim() == (-1, 1)
    ax.figure.draw_without_rendering()
    assert np.all(nodes.get_facecolor()[:, :3] > 0.95)


def test_a_colour_bar_as_documented(ax):
    mode(SQUARE, torch.eye(4), 0, CORNERS, ax)
    bar = ax.figure.colorbar(ax.collections[-1], ax=ax)
    assert (bar.vmin, bar.vmax) == (-1, 1)


def test_positions_by_default_are_networkx_spring_layout(ax):
    modes = torch.eye(4)
    expected = nx.spring_layout(nx.cycle_graph(4), seed=0)
    mode(SQUARE, modes, 0, ax=ax)
    np.testing.assert_allclose(drawn(ax)[1].get_offsets(), [expected[node] for node in range(4)])


@pytest.mark.parametrize("pos", [CORNERS.double(), CORNERS.numpy(), dict(enumerate(CORNERS.tolist()))])
def test_positions_as_tensor_array_or_mapping(ax, pos):
    mode(Data(edge_index=SQUARE, num_nodes=4), torch.eye(4), 0, pos, ax)
    np.testing.assert_array_equal(drawn(ax)[1].get_offsets(), CORNERS)


def test_with_positions_networkx_is_not_needed(ax, monkeypatch):
    monkeypatch.setitem(sys.modules, "networkx", None)
    mode(SQUARE, torch.eye(4), 0, CORNERS, ax)
    with pytest.raises(MissingPackageError, match="pip install networkx, or pass pos"):
        mode(SQUARE, torch.eye(4), 0, ax=ax)


def test_nodes_without_edges(ax):
    mode(torch.empty(2, 0, dtype=torch.long), torch.eye(3), 2, ax=ax)
    edges, nodes = drawn(ax)
    assert (len(edges.get_segments()), len(nodes.get_offsets())) == (0, 3)
    ax.figure.draw_without_rendering()


def test_of_a_graph_with_modes_two_halves_have_opposite_signs(ax):
    """Two triangles joined by an edge: the second mode of propagation tells them apart."""
    edge_index = torch.tensor([[0, 1, 2, 3, 4, 5, 2], [1, 2, 0, 4, 5, 3, 3]])
    data = AddDMDModes(rank=2)(Data(x=torch.eye(6), edge_index=edge_index))
    mode(data, data.dmd_modes, 1, ax=ax)
    values = drawn(ax)[1].get_array()
    assert len(set(np.sign(values[:3]))) == 1
    np.testing.assert_allclose(values[:3], -values[:2:-1], atol=1e-5)
    assert to_rgba(drawn(ax)[0].get_color()[0]) == to_rgba("0.75")


@pytest.mark.parametrize(
    ("graph", "modes", "k", "pos", "match"),
    [
        (SQUARE, torch.eye(4), 4, CORNERS, "got k=4, expected the index of one of the modes, 0 to 3"),
        (SQUARE, torch.eye(4), -1, CORNERS, "got k=-1"),
        (SQUARE, torch.eye(4), True, CORNERS, "got k=True"),
        (SQUARE, torch.eye(4).to(torch.complex64), 0, CORNERS, "of complex modes pass DMD.real_modes"),
        (SQUARE, torch.rand(4), 0, CORNERS, r"got modes of shape \(4,\)"),
        (SQUARE, torch.full((4, 1), float("nan")), 0, CORNERS, "expected finite real ones"),
        (SQUARE, torch.eye(3), 0, CORNERS[:3], "edge_index names nodes 0 to 3, but the graph has nodes 0 to 2"),
        (SQUARE, torch.eye(4), 0, CORNERS[:3], r"got positions \(3, 2\), expected \(4, 2\)"),
        (SQUARE, torch.eye(4), 0, {0: (0, 0), 2: (1, 1)}, "got positions without node 1"),
        (SQUARE, torch.eye(4), 0, CORNERS * float("inf"), "got positions that are NaN or infinite"),
        (SQUARE.T, torch.eye(4), 0, CORNERS, r"edge_index of shape \(4, 2\), expected \(2, E\)"),
        (Data(num_nodes=4), torch.eye(4), 0, CORNERS, "got a graph without edge_index"),
        (Data(edge_index=SQUARE, num_nodes=5), torch.eye(4), 0, CORNERS, "got modes of 4 nodes for a graph of 5"),
    ],
)
def test_modes_that_cannot_be_drawn(ax, graph, modes, k, pos, match):
    with pytest.raises(InputError, match=match):
        mode(graph, modes, k, pos, ax)
    assert not ax.has_data()


# reconstruction_error

ERROR, ENERGY = "error of a step, ‖Y - Kᵣ X‖ / ‖Y‖", "energy of X that is kept"


@pytest.mark.parametrize("options", [{}, {"modes": "projected"}, {"constraint": "symmetric"}, {"ridge": 0.5}])
def test_errors_are_those_of_a_fit_with_each_rank(ax, options):
    X, Y = snapshots()
    reconstruction_error(X, Y, [4, 1, 6, 4], ax, **options)
    error, energy = lines(ax)[ERROR], lines(ax)[ENERGY]
    assert error.get_xdata().tolist() == energy.get_xdata().tolist() == [1, 4, 6]
    expected = [(Y - DMD(rank, **options).fit(X, Y).operator @ X).norm() / Y.norm() for rank in (1, 4, 6)]
    np.testing.assert_allclose(error.get_ydata(), expected)
    squares = torch.linalg.svdvals(X).square()
    np.testing.assert_allclose(energy.get_ydata(), [squares[:rank].sum() / squares.sum() for rank in (1, 4, 6)])


def test_one_factorisation_serves_all_ranks(ax, monkeypatch):
    fits = []
    fit = DMD.fit
    monkeypatch.setattr(DMD, "fit", lambda self, *args, **kwargs: fits.append(1) or fit(self, *args, **kwargs))
    reconstruction_error(*snapshots(), range(1, 7), ax)
    assert fits == [1]
    np.testing.assert_array_equal(lines(ax)[ERROR].get_xdata(), range(1, 7))


def test_a_step_of_low_rank_has_no_error_from_that_rank_on(ax):
    torch.manual_seed(0)
    span = torch.linalg.qr(torch.randn(30, 3, dtype=torch.float64)).Q
    K = LowRankOperator(span, torch.tensor([0.9, 0.5, 0.2], dtype=torch.float64))
    X = span @ torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)) @ torch.randn(3, 8, dtype=torch.float64)
    reconstruction_error(X, K @ X, [1, 2, 3], ax)
    error, energy = lines(ax)[ERROR].get_ydata(), lines(ax)[ENERGY].get_ydata()
    assert error[0] > error[1] > 1e-3
    assert error[2] < 1e-12
    assert energy[2] == pytest.approx(1, abs=1e-12)


def test_of_a_graph_and_its_dynamics(ax):
    """A complete graph averages all features in a step: one mode is enough for it."""
    data = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 0, 1], [1, 2, 2]]))
    reconstruction_error(*FeaturePropagation().snapshots(data), [1, 2, 3], ax, modes="exact")
    np.testing.assert_allclose(lines(ax)[ENERGY].get_ydata(), [1 / 3, 2 / 3, 1], rtol=1e-6)
    assert lines(ax)[ERROR].get_ydata()[-1] < 1e-6


def test_snapshots_with_gradients_stay_as_they_are(ax):
    X, Y = snapshots()
    X.requires_grad_()
    reconstruction_error(X, Y, [2], ax)
    assert X.requires_grad
    assert X.grad is None


@pytest.mark.parametrize("ranks", [[], 3, [0, 2], [2.5], ["optimal"], [True], None])
def test_ranks_that_are_none(ax, ranks):
    with pytest.raises(InputError, match="expected"):
        reconstruction_error(*snapshots(), ranks, ax)
    assert not ax.has_data()


def test_the_error_of_complex_snapshots_has_its_imaginary_part(ax):
    Z = torch.complex(*snapshots())
    reconstruction_error(Z, 1j * Z, [1, 3], ax)
    expected = [float((Z - K @ Z).norm() / Z.norm()) for K in (DMD(rank).fit(Z, Z).operator for rank in (1, 3))]
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), expected, rtol=1e-6)
    np.testing.assert_allclose(ax.get_lines()[1].get_ydata()[-1], 1 - expected[1] ** 2, rtol=1e-6)


@pytest.mark.parametrize("pair", [[snapshots()[0].to_sparse(), snapshots()[1]], [np.eye(3), np.eye(3)]])
def test_snapshots_of_other_forms(ax, pair):
    with pytest.raises(InputError, match=r"dense tensor|expected a torch\.Tensor"):
        reconstruction_error(*pair, [1], ax)


def test_snapshots_and_options_that_do_not_fit(ax):
    X, Y = snapshots()
    with pytest.raises(RankError, match="use rank <= 6"):
        reconstruction_error(X, Y, [2, 7], ax)
    with pytest.raises(InputError, match="got Y = 0"):
        reconstruction_error(X, torch.zeros_like(Y), [2], ax)
    with pytest.raises(InputError, match="draw one graph at a time"):
        reconstruction_error(X.unsqueeze(0), Y.unsqueeze(0), [2], ax)
    with pytest.raises(InputError, match="cannot be truncated"):
        reconstruction_error(X, Y, [2], ax, total_least_squares=True)
    with pytest.raises(InputError):
        reconstruction_error(X, Y[:-1], [2], ax)
    assert not ax.has_data()


# Summaries.


def waves(n=10, steps=60):
    t = torch.arange(steps, dtype=torch.float64)
    parts = torch.stack([3 * torch.cos(0.4 * t), 3 * torch.sin(0.4 * t), 0.9**t])
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, dtype=torch.float64, generator=generator) @ parts


def test_summary_shows_what_the_estimate_says():
    dmd = DMD(dt=0.5).fit(waves())
    figure = summary(dmd)
    eigenvalues, values, shapes, dynamics = figure.axes[:4]
    points = eigenvalues.collections[-1]
    np.testing.assert_allclose(points.get_array(), torch.maximum(dmd.residuals, dmd.dual_residuals))
    np.testing.assert_allclose(points.get_offsets(), torch.stack([dmd.eigs.real, dmd.eigs.imag], dim=1))
    assert figure.axes[4].get_ylabel() == "residual"
    np.testing.assert_allclose(values.get_lines()[0].get_ydata(), dmd.singular_values)
    labels = list(lines(dynamics))
    assert len(labels) == 2  # one of the pair, and the decay
    assert labels[0].endswith(f"frequency {0.4 / (2 * np.pi) / 0.5:.3g}")
    first = lines(dynamics)[labels[0]]
    np.testing.assert_allclose(first.get_xdata(), dmd.times)
    place = int(labels[0].split()[1].rstrip(","))
    drawn = lines(shapes)[labels[0]].get_ydata()[:, None] * first.get_ydata()
    assert drawn.shape == (10, 60)
    expected = dmd.dynamics[place].real * dmd.modes[:, place].norm()
    np.testing.assert_allclose(first.get_ydata(), expected)


@pytest.mark.parametrize(
    "dmd",
    [
        lambda: DMD(3, modes="projected").fit(waves()),
        lambda: DMD(3, constraint="symmetric").fit(waves()),
        lambda: DMD(3, estimator="rrr").fit(waves()),
        lambda: DMD(constraint="diagonal").fit(waves()),
        lambda: DMD(3, delays=4, opt=True).fit(waves()),
        lambda: DMD(2, center=True).fit(waves()),
        lambda: DMD(3).fit([waves(), waves(steps=20)]),
        lambda: DMD(3).fit(waves().to(torch.complex128)),
        lambda: DMD(3).fit(waves().requires_grad_()),
        lambda: DMD(3).fit(waves()).select(2, by="contribution").stabilise(),
    ],
)
def test_summary_of_every_kind(dmd):
    figure = summary(dmd(), modes=2)
    assert [ax.get_title() for ax in figure.axes[:4]] == [
        "eigenvalues", "singular values", "leading modes", "their dynamics",
    ]  # fmt: skip
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DMD(), "call fit first"),
        (lambda: torch.eye(3), "got Tensor, expected a fitted DMD"),
        (lambda: DMD(2).fit(torch.stack([waves(), waves()])), "of a batch"),
        (lambda: DMD(2).fit(waves(), control=torch.randn(1, 60, dtype=torch.float64)), "under control"),
    ],
)
def test_summary_of_what_has_none(make, message):
    with pytest.raises(InputError, match=message):
        summary(make())
    with pytest.raises(InputError, match="modes=0"):
        summary(DMD().fit(waves()), modes=0)
