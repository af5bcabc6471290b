import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

import dmdgnn.dmd
from dmdgnn import DMD, InputError, LowRankOperator
from dmdgnn.kernels import Ragged
from matrices import randn

F64 = torch.float64
ATOL = {torch.float32: 2e-4, F64: 1e-9}
SIZES = [9, 3, 14, 1, 8, 2, 30, 9]
OPTIONS = [
    {},
    {"modes": "projected"},
    {"constraint": "symmetric"},
    {"constraint": "symmetric", "modes": "projected"},
    {"constraint": "skew_symmetric"},
    {"constraint": "orthogonal"},
    {"ridge": 0.2},
    {"ridge": 0.2, "constraint": "symmetric"},
    {"forward_backward": True},
    {"total_least_squares": True},
    {"svd": "gram"},
    {"svd": "full", "modes": "projected"},
    {"svd": "randomized"},
]

sizes_lists = st.lists(st.integers(1, 12), min_size=1, max_size=8)
seeds = st.integers(0, 2**31 - 1)


def ptr_of(sizes):
    return torch.tensor([0, *sizes]).cumsum(0)


def snapshots(sizes, f=6, seed=0):
    """Damped rotations of each graph's own, with a little noise in the successors."""
    X = randn(sum(sizes), f, seed=seed)
    Y = []
    for index, x in enumerate(X.split(sizes)):
        turn = randn(len(x), len(x), seed=seed + index)
        A = torch.linalg.matrix_exp(0.3 * (turn - turn.T) - torch.diag(torch.linspace(0.1, 0.8, len(x), dtype=F64)))
        Y.append(A @ x)
    return X, torch.cat(Y) + 0.01 * randn(sum(sizes), f, seed=seed + 99)


def span(M):
    """The projector on the columns."""
    return M @ torch.linalg.pinv(M, rtol=1e-5)


def assert_same_eigenvalues(eigs, others, atol):
    distance = (eigs.unsqueeze(-1) - others).abs()
    assert float(distance.min(dim=-1).values.max()) < atol
    assert float(distance.min(dim=-2).values.max()) < atol


def assert_equals_the_loop(dmd, X, Y, sizes, rank, atol, **options):
    parts = zip(*(x.split(sizes) for x in (X, Y, dmd.modes, dmd.real_modes, dmd.predict(X))), strict=True)
    blocks = torch.block_diag(*(torch.ones(size, size) for size in sizes)).bool()
    dense = dmd.operator.to_dense()
    assert not dense[~blocks].any()
    for index, (x, y, modes, real_modes, predicted) in enumerate(parts):
        own = min(rank, *x.shape)
        alone = DMD(own, **options).fit(x, y)
        assert_same_eigenvalues(dmd.eigs[index, :own], alone.eigs, atol)
        torch.testing.assert_close(dmd.singular_values[index, :own], alone.singular_values, rtol=atol, atol=atol)
        for lacking in (dmd.eigs[index, own:], dmd.singular_values[index, own:], modes[:, own:], real_modes[:, own:]):
            assert not lacking.abs().any()
        torch.testing.assert_close(span(modes), span(alone.modes), rtol=0, atol=10 * atol)
        torch.testing.assert_close(span(real_modes), span(alone.real_modes), rtol=0, atol=10 * atol)
        torch.testing.assert_close(predicted, alone.predict(x), rtol=0, atol=10 * atol)
        rows = slice(sum(sizes[:index]), sum(sizes[: index + 1]))
        torch.testing.assert_close(dense[rows, rows], alone.operator.to_dense(), rtol=0, atol=atol)


# Rows of graphs.


@given(sizes_lists, st.integers(1, 4), st.integers(1, 40))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_unpad_is_the_inverse_of_pad(sizes, f, block_rows):
    ragged, x = Ragged(ptr_of(sizes), block_rows), randn(sum(sizes), f)
    padded = [ragged.pad(x, block) for block in ragged.blocks]
    assert torch.equal(ragged.unpad(padded), x)
    assert (len(ragged), ragged.num_rows) == (len(sizes), sum(sizes))
    for block, part in zip(ragged.blocks, padded, strict=True):
        for position, graph in enumerate(block.graphs.tolist()):
            own = x.split(sizes)[graph]
            assert torch.equal(part[position, : len(own)], own)
            assert not part[position, len(own) :].any()


@given(st.lists(st.integers(1, 300), min_size=1, max_size=30), st.integers(1, 400))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_blocks_hold_each_graph_once_and_are_bounded(sizes, block_rows):
    ragged = Ragged(ptr_of(sizes), block_rows)
    graphs = torch.cat([block.graphs for block in ragged.blocks])
    assert sorted(graphs.tolist()) == list(range(len(sizes)))
    for block in ragged.blocks:
        count, height = block.rows.shape
        own = [sizes[graph] for graph in block.graphs.tolist()]
        assert max(own) == height
        assert count * height <= block_rows or count == 1
        assert height <= 2 * min(own)
        assert len(block.holes) == count * height - sum(own)


def test_graphs_of_one_size_are_one_block_without_padding():
    [block] = Ragged(ptr_of([4] * 10)).blocks
    assert block.rows.shape == (10, 4)
    assert len(block.holes) == 0


@given(sizes_lists, st.integers(1, 30), st.sampled_from([torch.float32, F64]), seeds)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_inner_and_apply_equal_the_loop(sizes, block_rows, dtype, seed):
    ragged, rows = Ragged(ptr_of(sizes), block_rows), sum(sizes)
    A, B = randn(rows, 3, seed=seed).to(dtype), randn(rows, 2, seed=seed + 1).to(dtype)
    M = randn(len(sizes), 3, 4, seed=seed + 2).to(dtype)
    pairs = zip(A.split(sizes), B.split(sizes), strict=True)
    torch.testing.assert_close(ragged.inner(A, B), torch.stack([a.T @ b for a, b in pairs]))
    applied = torch.cat([a @ m for a, m in zip(A.split(sizes), M, strict=True)])
    torch.testing.assert_close(ragged.apply(A, M), applied)


@given(sizes_lists, st.integers(1, 30))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_gather_puts_entries_in_the_order_of_graphs(sizes, block_rows):
    ragged = Ragged(ptr_of(sizes), block_rows)
    assert torch.equal(ragged.gather([block.graphs for block in ragged.blocks]), torch.arange(len(sizes)))


def test_rows_carry_gradients():
    ragged, x = Ragged(ptr_of([3, 1, 2, 5])), randn(11, 2).requires_grad_()
    out = ragged.apply(x, torch.eye(2, dtype=F64).expand(4, 2, 2)).sum() + ragged.inner(x, torch.ones_like(x)).sum()
    out.backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 3.0))


BAD = [
    ([0, 2, 4], "got ptr list, expected torch.int64"),
    (torch.tensor([0, 2, 4], dtype=torch.int32), r"got ptr torch\.int32 of shape \(3,\)"),
    (torch.tensor([0.0, 2.0, 4.0]), r"got ptr torch\.float32"),
    (torch.tensor([False, True]), r"got ptr torch\.bool"),
    (torch.tensor([[0, 2], [2, 4]]), r"of shape \(2, 2\)"),
    (torch.tensor(4), r"of shape \(\)"),
    (torch.tensor([0]), r"of shape \(1,\)"),
    (torch.tensor([], dtype=torch.int64), r"of shape \(0,\)"),
    (torch.tensor([1, 2, 4]), "begin with zero and increase"),
    (torch.tensor([0, 2, 2, 4]), "each graph needs at least one node"),
    (torch.tensor([0, 3, 2, 4]), "begin with zero and increase"),
    (torch.tensor([0, -4]), "begin with zero and increase"),
]


@pytest.mark.parametrize(("ptr", "message"), BAD)
def test_bad_pointers(ptr, message):
    for use in (
        Ragged,
        lambda ptr: DMD(1).fit(torch.ones(4, 2), torch.ones(4, 2), ptr=ptr),
        lambda ptr: LowRankOperator(torch.ones(4, 1), torch.ones(2, 1), ptr=ptr),
    ):
        with pytest.raises(InputError, match=message):
            use(ptr)


def test_pointers_to_another_number_of_rows():
    with pytest.raises(InputError, match="ptr for 5 rows, but X has 4"):
        DMD(1).fit(torch.ones(4, 2), torch.ones(4, 2), ptr=torch.tensor([0, 5]))
    with pytest.raises(InputError, match="ptr for 3 rows, but left has 4"):
        LowRankOperator(torch.ones(4, 1), torch.ones(1, 1), ptr=torch.tensor([0, 3]))


# DMD.


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("options", OPTIONS)
def test_dmd_equals_the_loop_over_graphs(dtype, options):
    # A small graph's [X; Y] has a higher rank than its X, so that total least squares depend on the rank asked for.
    sizes = [size for size in SIZES if size >= 4 or "total_least_squares" not in options]
    X, Y = (part.to(dtype) for part in snapshots(sizes))
    dmd = DMD(4, **options).fit(X, Y, ptr=ptr_of(sizes))
    assert (dmd.eigs.shape, dmd.modes.shape) == ((len(sizes), 4), (sum(sizes), 4))
    assert dmd.operator.dtype == dmd.real_modes.dtype == dtype
    assert_equals_the_loop(dmd, X, Y, sizes, 4, ATOL[dtype], **options)


@given(sizes_lists, st.integers(1, 7), st.sampled_from(["exact", "projected"]), seeds)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_dmd_equals_the_loop_for_any_sizes(sizes, rank, modes, seed):
    X, Y = snapshots(sizes, seed=seed)
    dmd = DMD(rank, modes=modes, svd="full").fit(X, Y, ptr=ptr_of(sizes))
    assert_equals_the_loop(dmd, X, Y, sizes, rank, 1e-7, modes=modes, svd="full")


@pytest.mark.parametrize("options", OPTIONS)
def test_dmd_does_not_depend_on_the_blocks(monkeypatch, options):
    X, Y = snapshots(SIZES)
    ptr = ptr_of(SIZES)
    dmd = DMD(4, **options).fit(X, Y, ptr=ptr)
    monkeypatch.setattr(dmdgnn.dmd, "RAGGED_ENTRIES", 1)  # each graph is a block
    other = DMD(4, **options).fit(X, Y, ptr=ptr)
    torch.testing.assert_close(other.operator.to_dense(), dmd.operator.to_dense())
    for eigs, others in zip(dmd.eigs, other.eigs, strict=True):
        assert_same_eigenvalues(eigs, others, 1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_batch_of_pyg_has_such_pointers(dtype):
    X, Y = (part.to(dtype) for part in snapshots(SIZES))
    pairs = zip(X.split(SIZES), Y.split(SIZES), strict=True)
    batch = Batch.from_data_list([Data(x=x, y=y, num_nodes=len(x)) for x, y in pairs])
    dmd = DMD(4).fit(batch.x, batch.y, ptr=batch.ptr)
    expected = DMD(4).fit(X, Y, ptr=ptr_of(SIZES))
    assert torch.equal(dmd.eigs, expected.eigs)
    assert torch.equal(dmd.operator.to_dense(), expected.operator.to_dense())
    assert torch.equal(dmd.operator @ batch.x, expected.operator @ X)


@given(st.permutations(range(len(SIZES))))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_graphs_may_be_permuted(order):
    X, Y = snapshots(SIZES)
    dmd = DMD(4).fit(X, Y, ptr=ptr_of(SIZES))
    sizes = [SIZES[graph] for graph in order]
    rows = torch.cat([torch.arange(sum(SIZES)).split(SIZES)[graph] for graph in order])
    permuted = DMD(4).fit(X[rows], Y[rows], ptr=ptr_of(sizes))
    torch.testing.assert_close(permuted.eigs, dmd.eigs[order])
    torch.testing.assert_close(permuted.singular_values, dmd.singular_values[order])
    torch.testing.assert_close(permuted.operator.to_dense(), dmd.operator.to_dense()[rows][:, rows])


def test_nodes_of_a_graph_may_be_permuted():
    X, Y = snapshots(SIZES)
    parts = torch.arange(sum(SIZES)).split(SIZES)
    generator = torch.Generator().manual_seed(0)
    rows = torch.cat([part[torch.randperm(len(part), generator=generator)] for part in parts])
    dmd, permuted = (DMD(4).fit(x, y, ptr=ptr_of(SIZES)) for x, y in ((X, Y), (X[rows], Y[rows])))
    torch.testing.assert_close(permuted.eigs, dmd.eigs)
    torch.testing.assert_close(permuted.operator.to_dense(), dmd.operator.to_dense()[rows][:, rows])


def test_one_graph_is_a_single_fit():
    X, Y = snapshots([12])
    dmd, alone = DMD(3).fit(X, Y, ptr=ptr_of([12])), DMD(3).fit(X, Y)
    torch.testing.assert_close(dmd.eigs[0], alone.eigs)
    torch.testing.assert_close(dmd.operator.to_dense(), alone.operator.to_dense())


def test_graphs_of_one_size_are_a_batch():
    X, Y = snapshots([7] * 4)
    dmd = DMD(3).fit(X, Y, ptr=ptr_of([7] * 4))
    batch = DMD(3).fit(X.view(4, 7, -1), Y.view(4, 7, -1))
    torch.testing.assert_close(dmd.eigs, batch.eigs)
    torch.testing.assert_close(dmd.operator.to_dense(), torch.block_diag(*batch.operator.to_dense()))


@pytest.mark.parametrize("options", OPTIONS)
def test_a_graph_of_zeros_has_no_modes(options):
    sizes = [6, 5, 7]
    X, Y = snapshots(sizes)
    X[6:11] = Y[6:11] = 0
    dmd = DMD(4, **options).fit(X, Y, ptr=ptr_of(sizes))
    dense = dmd.operator.to_dense()
    assert not dmd.eigs[1].abs().any()
    assert not dmd.modes[6:11].abs().any()
    assert not dense[6:11].any()
    alone = DMD(4, **options).fit(X[:6], Y[:6])
    torch.testing.assert_close(dense[:6, :6], alone.operator.to_dense())


@pytest.mark.parametrize("options", OPTIONS)
def test_real_modes_turn_pairs_into_blocks(options):
    sizes = [9, 3, 14, 8]
    X, Y = snapshots(sizes)
    dmd = DMD(4, **options | {"modes": "projected"}).fit(X, Y, ptr=ptr_of(sizes))
    moved = torch.cat([basis @ B for basis, B in zip(dmd.real_modes.split(sizes), dmd.blocks, strict=True)])
    torch.testing.assert_close(dmd.operator @ dmd.real_modes, moved)


@pytest.mark.parametrize("options", [{}, {"constraint": "symmetric"}, {"ridge": 0.2}])
def test_truncated_fit_is_the_fit_of_lower_rank(options):
    X, Y = snapshots(SIZES)
    dmd = DMD(5, **options).fit(X, Y, ptr=ptr_of(SIZES)).truncate(3)
    assert_equals_the_loop(dmd, X, Y, SIZES, 3, 1e-9, **options)


@pytest.mark.parametrize("name", ["X", "Y"])
def test_bad_entries_are_placed(name):
    X, Y = snapshots(SIZES)
    (X if name == "X" else Y)[11, 2] = torch.nan
    with pytest.raises(InputError, match=rf"{name} has 1 NaN or infinite entries, the first at \(11, 2\)"):
        DMD(3).fit(X, Y, ptr=ptr_of(SIZES))


@pytest.mark.parametrize("dmd", [DMD(), DMD("optimal"), DMD(energy=0.9)])
def test_graphs_need_a_number_as_rank(dmd):
    with pytest.raises(InputError, match="graphs by ptr share one rank: give a number"):
        dmd.fit(torch.ones(4, 2), torch.ones(4, 2), ptr=torch.tensor([0, 4]))


def test_what_graphs_do_not_go_with():
    X, ptr = torch.ones(4, 3), torch.tensor([0, 2, 4])
    message = r"graphs by ptr take X and Y \(N, F\), and neither control nor a constraint on all states"
    with pytest.raises(InputError, match=message):
        DMD(1).fit(X, ptr=ptr)
    with pytest.raises(InputError, match=message):
        DMD(1).fit(X, X, control=torch.ones(1, 3), ptr=ptr)
    with pytest.raises(InputError, match=message):
        DMD(1).fit(X.expand(2, 4, 3), X.expand(2, 4, 3), ptr=ptr)
    with pytest.raises(InputError, match=message):
        DMD(1, constraint="diagonal").fit(X, X, ptr=ptr)


@pytest.mark.parametrize("name", ["amplitudes", "dynamics", "reconstructed_data"])
def test_graphs_have_no_dynamics_of_their_own(name):
    X, Y = snapshots(SIZES)
    dmd = DMD(3).fit(X, Y, ptr=ptr_of(SIZES))
    with pytest.raises(InputError, match="use predict"):
        getattr(dmd, name)
    with pytest.raises(InputError, match="use predict"):
        dmd.forecast(2)


# The operator.


def operator(sizes, r=3, core="square", seed=0, dtype=F64):
    shape = (len(sizes), r) if core == "diagonal" else (len(sizes), r, r)
    factors = randn(sum(sizes), r, seed=seed), randn(*shape, seed=seed + 1), randn(sum(sizes), r, seed=seed + 2)
    return LowRankOperator(*(factor.to(dtype) for factor in factors), ptr=ptr_of(sizes))


def dense(K, sizes):
    """The block diagonal matrix, written out."""
    cores = K.core if K.core.dim() == 3 else torch.diag_embed(K.core)
    parts = zip(K.left.split(sizes), cores, K.right.split(sizes), strict=True)
    return torch.block_diag(*(left @ core @ right.T for left, core, right in parts))


@given(sizes_lists, st.integers(1, 4), st.sampled_from(["diagonal", "square"]), st.integers(0, 3), seeds)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_product_equals_the_block_diagonal_one(sizes, r, core, f, seed):
    K, x = operator(sizes, r, core, seed), randn(sum(sizes), f, seed=seed)
    matrix = dense(K, sizes)
    torch.testing.assert_close(K @ x, matrix @ x)
    torch.testing.assert_close(K.expand(K.project(x)), matrix @ x)
    torch.testing.assert_close(K.T @ x, matrix.T @ x)
    torch.testing.assert_close(K.to_dense(), matrix)
    torch.testing.assert_close(K.T.to_dense(), matrix.T)


@pytest.mark.parametrize("core", ["diagonal", "square"])
@pytest.mark.parametrize("exponent", [1, 2, 5])
def test_power_equals_the_block_diagonal_one(core, exponent):
    K = operator(SIZES, core=core)
    expected = torch.linalg.matrix_power(dense(K, SIZES), exponent)
    scale = float(expected.abs().max())
    torch.testing.assert_close(K.power(exponent).to_dense(), expected, rtol=1e-8, atol=1e-10 * scale)


@pytest.mark.parametrize("core", ["diagonal", "square"])
def test_eigenpairs_are_those_of_each_block(core):
    sizes = [9, 4, 14, 8]
    K = operator(sizes, core=core)
    assert (K.eigs.shape, K.modes.shape) == ((4, 3), (35, 3))
    blocks = dense(K, sizes).split(sizes)
    columns = torch.arange(35).split(sizes)
    for block, own, eigs, modes in zip(blocks, columns, K.eigs, K.modes.split(sizes), strict=True):
        matrix = block[:, own].to(torch.complex128)
        torch.testing.assert_close(matrix @ modes, modes * eigs)
        values = torch.linalg.eigvals(matrix)
        assert_same_eigenvalues(eigs, values[values.abs().argsort(descending=True)[:3]], 1e-8)


@pytest.mark.parametrize("core", ["diagonal", "square"])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_save_and_load_change_nothing(tmp_path, core, dtype):
    K = operator(SIZES, core=core, dtype=dtype).T
    K.save(tmp_path / "operator.safetensors")
    loaded = LowRankOperator.load(tmp_path / "operator.safetensors")
    for name in ("left", "core", "right", "ptr"):
        assert torch.equal(getattr(loaded, name), getattr(K, name))
    assert torch.equal(loaded.to_dense(), K.to_dense())


def test_attributes_and_conversion():
    K = operator(SIZES)
    assert (K.batch_shape, K.shape, K.rank) == ((8,), (76, 76), 3)
    assert torch.equal(K.ptr, ptr_of(SIZES))
    assert repr(K) == "LowRankOperator(batch=(8,), nodes=76, rank=3)"
    single = K.to(torch.float32)
    assert (single.dtype, single.ptr.dtype) == (torch.float32, torch.int64)
    torch.testing.assert_close(single.to_dense(), dense(K, SIZES).float())


@pytest.mark.parametrize("shape", [(76,), (75, 2), (8, 76, 2)])
def test_product_with_a_wrong_operand(shape):
    with pytest.raises(InputError, match=r"expected \(76, F\)"):
        operator(SIZES) @ torch.ones(shape, dtype=F64)


@pytest.mark.parametrize("core", [(7, 3), (8, 3, 2), (3, 3), (3,)])
def test_core_must_fit_the_graphs(core):
    with pytest.raises(InputError, match=r"expected \(N, r\), \(B, r\) or \(B, r, r\)"):
        LowRankOperator(torch.ones(76, 3), torch.ones(core), ptr=ptr_of(SIZES))


def test_gradients_flow_to_all_factors():
    sizes = [3, 1, 2]
    K = operator(sizes, r=2)
    x = randn(6, 2)
    for core in (K.core, K.core.diagonal(dim1=1, dim2=2).clone()):
        torch.autograd.gradcheck(
            lambda left, core, right: LowRankOperator(left, core, right, ptr=K.ptr) @ x,
            [factor.detach().clone().requires_grad_() for factor in (K.left, core, K.right)],
        )
