import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import Data
from torch_geometric.nn import MLP, SGConv
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE
from torch_geometric.transforms import ToSparseTensor
from torch_geometric.utils import to_torch_coo_tensor, to_torch_csc_tensor, to_torch_csr_tensor

from graphtasks import FitConfig, GraphTask, Split, fit
from graphtasks.sparse import MAX_DENSITY, SparseFeatures, sparse_features

pytestmark = [
    # torch says once a process that these layouts are in beta.
    pytest.mark.filterwarnings("ignore:Sparse C"),
    pytest.mark.filterwarnings("ignore:Sparse invariant checks"),
]

N, F = 30, 40


def table(n: int = N, f: int = F, density: float = 0.05, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(n, f, generator=generator) < density
    return kept * torch.randn(n, f, generator=generator, dtype=dtype)


def sparse(dense: Tensor) -> SparseFeatures:
    """Sparse features however dense they are."""
    return SparseFeatures(dense.to_sparse_csr())


def random_edges(n: int = N, e: int = 90) -> Tensor:
    return torch.randint(0, n, (2, e), generator=torch.Generator().manual_seed(1))


def random_adjacency(seed: int = 1, layout: str = "csr") -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, N, (2, 90), generator=generator)
    make = {"csr": to_torch_csr_tensor, "csc": to_torch_csc_tensor, "coo": to_torch_coo_tensor}[layout]
    return make(edges, torch.rand(90, generator=generator), size=(N, N))


class Products(TorchDispatchMode):
    """Counts the matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += "mm" in str(func)
        return func(*args, **(kwargs or {}))


@st.composite
def tables(draw) -> Tensor:
    return table(
        draw(st.integers(1, 8)),
        draw(st.integers(1, 8)),
        draw(st.sampled_from([0.0, 0.05, 0.3, 1.0])),
        draw(st.integers(0, 2**20)),
    )


OPERATIONS = {
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(dim=0),
    "norm": lambda x: x.norm(dim=1),
    "normalize": lambda x: functional.normalize(x, p=1.0),
    "relu": functional.relu,
    "softmax": lambda x: x.softmax(dim=-1),
    "transpose": lambda x: x.t() @ torch.ones(len(x), 2),
    "gram": lambda x: x @ x.t(),
    "covariance": lambda x: x.t() @ x,
    "row": lambda x: x[0],
    "rows": lambda x: x[torch.tensor([0, -1, 0])],
    "mask": lambda x: x[x[:, 0] > 0],
    "columns": lambda x: x[:, :1],
    "index_select": lambda x: x.index_select(0, torch.tensor([0])),
    "cat": lambda x: torch.cat([x, torch.ones(len(x), 2)], dim=-1),
    "stack": lambda x: torch.stack([x, x]),
    "add": lambda x: x + 1,
    "radd": lambda x: 1 - x,
    "times": lambda x: 2 * x * x,
    "compare": lambda x: x == 0,
    "where": lambda x: torch.where(x > 0, x, -1.0),
    "scatter": lambda x: torch.zeros(1, x.size(1)).index_add(0, torch.zeros(len(x), dtype=torch.int64), x),
    "view": lambda x: x.view(-1),
    "unsqueeze": lambda x: x.unsqueeze(0) @ torch.ones(1, x.size(1), 2),
    "vector": lambda x: x @ torch.ones(x.size(1)),
    "vector from the left": lambda x: torch.ones(len(x)) @ x,
    "matrix from the left": lambda x: torch.ones(2, len(x)) @ x,
    "addmm": lambda x: torch.addmm(torch.ones(3), x, torch.ones(x.size(1), 3)),
    "einsum": lambda x: torch.einsum("nf,fk->nk", x, torch.ones(x.size(1), 2)),
    "double": lambda x: x.double(),
    "clone": lambda x: x.clone(),
    "detach": lambda x: x.detach(),
    "zeros_like": torch.zeros_like,
    "batch_norm": lambda x: functional.batch_norm(x, torch.zeros(x.size(1)), torch.ones(x.size(1))),
    "layer_norm": lambda x: functional.layer_norm(x, x.shape[1:]),
    "loop": lambda x: torch.stack(list(x)),
    "list": lambda x: torch.tensor(x.tolist()),
    "numpy": lambda x: torch.from_numpy(np.asarray(x)),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@settings(max_examples=12, deadline=None)
@given(dense=tables())
def test_any_operation_gives_what_it_gives_of_the_dense_table(operation, dense):
    got, expected = operation(sparse(dense)), operation(dense)
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    torch.testing.assert_close(torch.as_tensor(got + 0), expected + 0)


PRODUCTS = {
    "linear": lambda x, w: functional.linear(x, w.t()),
    "linear with a bias": lambda x, w: functional.linear(x, w.t(), w.sum(dim=0)),
    "linear by keyword": lambda x, w: functional.linear(x, weight=w.t(), bias=w.sum(dim=0)),
    "linear, all by keyword": lambda x, w: functional.linear(input=x, weight=w.t()),
    "linear to one value": lambda x, w: functional.linear(x, w[:, 0]),
    "@": lambda x, w: x @ w,
    "mm": torch.mm,
    "matmul": torch.matmul,
    "method mm": lambda x, w: x.mm(w),
    "method matmul": lambda x, w: x.matmul(w),
    "by keyword": lambda x, w: torch.matmul(input=x, other=w),
    "sparse.mm": lambda x, w: torch.sparse.mm(x, w) if isinstance(x, SparseFeatures) else x @ w,
}


@pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)
@settings(max_examples=15, deadline=None)
@given(dense=tables(), columns=st.integers(1, 4), seed=st.integers(0, 2**20))
def test_products_and_their_gradients_are_those_of_the_dense_table(product, dense, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(dense.size(1), columns, generator=generator, requires_grad=True)
    got, expected = product(sparse(dense), weight), product(dense, weight)
    assert type(got) is Tensor
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    outer = torch.randn(expected.shape, generator=generator)
    gradients = [torch.autograd.grad((outer * out).sum(), weight)[0] for out in (got, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def test_gradients_of_weights_are_right():
    x = sparse(table(6, 5, 0.4, dtype=torch.float64))
    weight = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w, b: functional.linear(x, w, b), (weight, bias))
    assert torch.autograd.gradcheck(lambda w: x @ w.t(), (weight,))
    assert torch.autograd.gradgradcheck(lambda w: (x @ w.t()) ** 2, (weight,))


def test_products_do_not_touch_the_zeros():
    x, weight = sparse_features(table()), torch.randn(F, 3, requires_grad=True)
    loss = functional.linear(functional.dropout(x, 0.5), weight.t()).sum() + (x @ weight).sum()
    loss.backward()
    assert "dense" not in vars(x)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_that_drops_nothing_changes_nothing(training):
    dense = table()
    x = sparse_features(dense)
    for dropped in (
        functional.dropout(x, 0.0, training),
        functional.dropout(x, 0.7, training=False),
        functional.dropout(input=x, p=0.0, training=training),
        nn.Dropout(0.5).eval()(x),
    ):
        assert torch.equal(dropped + 0, dense)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_dropout_drops_so_many_entries_and_scales_the_others(p):
    dense = table(100, 100, 0.1)
    x = sparse(dense)
    torch.manual_seed(0)
    dropped = functional.dropout(x, p)
    assert isinstance(dropped, SparseFeatures)
    kept = (dropped + 0) != 0
    torch.testing.assert_close(dropped + 0, kept * dense / (1 - p))
    entries = int((dense != 0).sum())
    assert abs(int(kept.sum()) - (1 - p) * entries) < 5 * (p * (1 - p) * entries) ** 0.5
    assert torch.equal(x + 0, dense), "dropout changed the features themselves"
    assert not torch.equal(functional.dropout(x, p) + 0, dropped + 0)


def test_dropout_keeps_the_mean():
    dense, weight = table(5, 8, 0.4), torch.ones(8, 2)
    x = sparse(dense)
    torch.manual_seed(0)
    mean = sum(functional.dropout(x, 0.5) @ weight for _ in range(2000)) / 2000
    # Each row sum has a standard deviation of at most the norm of the row.
    spread = 5 * dense.norm(dim=1, keepdim=True) / 2000**0.5
    assert bool(((mean - dense @ weight).abs() <= spread + 1e-5).all())


def test_dropout_of_everything():
    assert not (functional.dropout(sparse_features(table()), 1.0) + 0).any()


def edge_model(cls, **options):
    return lambda: cls(F, 8, num_layers=2, out_channels=3, dropout=0.0, **options)


MODELS = {
    "gcn": edge_model(GCN),
    "sage": edge_model(GraphSAGE),
    "sage max": edge_model(GraphSAGE, aggr="max"),
    "sage, project": edge_model(GraphSAGE, project=True),
    "gin": edge_model(GIN),
    "gat": edge_model(GAT, heads=2),
}


# PyG's attention takes no sparse matrix of torch.
@pytest.mark.parametrize(
    ("name", "form"),
    [(name, form) for name in MODELS for form in ("edge_index", "adj_t") if (name, form) != ("gat", "adj_t")],
)
def test_models_of_pyg_give_the_same_with_the_same_gradients(name, form):
    dense = table()
    edges = random_edges() if form == "edge_index" else to_torch_csr_tensor(random_edges().flip(0), size=(N, N))
    torch.manual_seed(0)
    model = MODELS[name]()
    x = sparse_features(dense)
    assert isinstance(x, SparseFeatures)
    compare(model, x, dense, edges)
    compare(model, x, dense, edges)  # with what was kept of the first call


def test_mlp_of_pyg_gives_the_same_with_the_same_gradients():
    torch.manual_seed(0)
    dense = table()
    compare(MLP([F, 8, 3], dropout=0.0, norm=None), sparse_features(dense), dense)


def compare(model: nn.Module, x: Tensor, dense: Tensor, *args) -> None:
    outer = torch.linspace(-1, 1, 3 * N).view(N, 3)
    outputs = [model(features, *args) for features in (x, dense)]
    torch.testing.assert_close(*outputs, atol=1e-6, rtol=1e-5)
    gradients = [torch.autograd.grad((outer * output).sum(), tuple(model.parameters())) for output in outputs]
    for got, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(got, expected, atol=1e-6 * max(1.0, float(expected.abs().max())), rtol=1e-5)


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
def test_product_with_a_constant_adjacency_is_computed_once(layout):
    dense, adjacency = table(), random_adjacency(layout=layout)
    x = sparse_features(dense)
    with Products() as products:
        first = adjacency @ x
        once = products.count
        second = adjacency @ x
    assert once == products.count >= 1
    assert torch.equal(first + 0, second + 0)
    torch.testing.assert_close(first + 0, adjacency.to_dense() @ dense)


@pytest.mark.parametrize("layout", ["csr", "coo"])
@pytest.mark.parametrize("values", [False, True])
def test_product_is_computed_anew_after_the_adjacency_changed(layout, values):
    dense, adjacency = table(), random_adjacency(layout=layout)
    x = sparse_features(dense)
    before = (adjacency @ x) + 0
    if not values:
        adjacency.mul_(3)
    else:
        (adjacency.values() if layout == "csr" else adjacency._values()).mul_(3)
    torch.testing.assert_close((adjacency @ x) + 0, 3 * before)


def test_product_is_not_that_of_another_adjacency():
    dense = table()
    x = sparse_features(dense)
    for seed in (1, 2, 1):
        adjacency = random_adjacency(seed)
        torch.testing.assert_close((adjacency @ x) + 0, adjacency.to_dense() @ dense)


def test_product_is_not_that_of_another_reduction():
    dense, adjacency = table(), random_adjacency()
    x = sparse_features(dense)
    for reduce in ("sum", "mean", "amax", "sum", "mean"):
        got = torch.sparse.mm(adjacency, x, reduce)
        torch.testing.assert_close(got + 0, torch.sparse.mm(adjacency, dense, reduce))


def test_kept_product_survives_what_is_done_to_its_result():
    # As in `out = adj_t @ x; out += bias`, over several epochs.
    dense, adjacency = table(density=0.09), random_adjacency()
    x = sparse_features(dense)
    expected = adjacency.to_dense() @ dense
    for _ in range(3):
        out = adjacency @ x
        out += 1
        torch.testing.assert_close((out + 0), expected + 1)


def test_adjacency_with_gradients_gets_them():
    edges = random_edges().unique(dim=1)
    gradients = []
    for features in (sparse_features(table()), table()):
        values = torch.ones(edges.size(1), requires_grad=True)
        out = torch.sparse_coo_tensor(edges, values, (N, N), is_coalesced=True) @ features
        gradients.append(torch.autograd.grad((out**2).sum(), values)[0])
    torch.testing.assert_close(*gradients)


def test_adjacencies_made_anew_in_each_step_are_not_all_kept():
    # PyG's convolutions normalise the adjacency in each call unless they cache it.
    x, seen = sparse_features(table()), []
    for seed in range(20):
        adjacency = random_adjacency(seed)
        seen.append(weakref.ref(adjacency))
        adjacency @ x
        del adjacency
    gc.collect()
    assert sum(ref() is not None for ref in seen) <= 5


def test_threshold_of_density():
    dense = torch.zeros(10, 10)
    dense.view(-1)[: int(100 * MAX_DENSITY)] = 1.0
    assert isinstance(sparse_features(dense), SparseFeatures)
    dense[9, 9] = 1.0
    assert sparse_features(dense) is dense


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(10),
        lambda: torch.zeros(2, 3, 4),
        lambda: torch.zeros(0, 5),
        lambda: torch.zeros(5, 0),
        lambda: torch.zeros(5, 5).to_sparse(),
        lambda: torch.zeros(5, 5, requires_grad=True),
        lambda: sparse(torch.zeros(5, 5)),
    ],
    ids=["vector", "three dimensions", "no rows", "no columns", "sparse", "gradient", "already"],
)
def test_what_is_no_constant_dense_table_stays_as_it_is(make):
    x = make()
    assert sparse_features(x) is x


def test_features_that_are_all_zero():
    x = sparse_features(torch.zeros(4, 6))
    assert isinstance(x, SparseFeatures)
    assert torch.equal(x @ torch.ones(6, 2), torch.zeros(4, 2))


def test_shape_and_device_are_those_of_the_table():
    x = sparse_features(table())
    assert (x.shape, x.dtype, x.device.type, x.layout) == ((N, F), torch.float32, "cpu", torch.strided)
    assert (len(x), x.dim(), x.size(1), x.numel(), x.requires_grad) == (N, 2, F, N * F, False)
    assert torch.equal(x.to("cpu") + 0, table())


def test_representation_shows_the_values():
    assert "".join(repr(sparse(torch.eye(2))).split()) == "SparseFeatures([[1.,0.],[0.,1.]])"


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x)), lambda x: x.clone()],
    ids=["copy", "deepcopy", "pickle", "clone"],
)
def test_duplicates_are_equal(duplicate):
    dense, weight = table(), torch.ones(F, 2)
    x = sparse_features(dense)
    random_adjacency() @ x
    other = duplicate(x)
    assert torch.equal(other + 0, dense)
    torch.testing.assert_close(other @ weight, dense @ weight)


def test_data_with_sparse_features_can_be_copied():
    data = Data(x=sparse_features(table()), edge_index=random_edges())
    assert torch.equal(copy.copy(data).x + 0, table())
    assert torch.equal(data.clone().x + 0, table())
    assert torch.equal(copy.deepcopy(data).x + 0, table())


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.mul_(2),
        lambda x: x.__setitem__((slice(None), 0), 5.0),
        lambda x: functional.relu_(x),
        lambda x: x.masked_fill_(x > 0, 0.0),
    ],
    ids=["mul_", "setitem", "relu_", "masked_fill_"],
)
def test_changes_in_place_reach_the_products(change):
    dense = table()
    x = sparse_features(dense.clone())
    try:
        change(x)
    except (RuntimeError, TypeError, ValueError):
        return  # or they are refused
    change(dense)
    assert torch.equal(x + 0, dense)
    torch.testing.assert_close(x @ torch.ones(F, 2), dense @ torch.ones(F, 2))


def test_autocast_takes_sparse_features():
    layer, dense = nn.Linear(F, 3), table()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got, expected = layer(sparse_features(dense)), layer(dense)
    torch.testing.assert_close(got.float(), expected.float(), atol=0.05, rtol=0.05)


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(F, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.hidden(x).relu())


def sparse_task() -> GraphTask:
    data = Data(x=table(), y=torch.arange(N) % 3, edge_index=random_edges())
    return GraphTask.from_data(data, splits=[Split(*torch.arange(N).split(10))])


@pytest.mark.filterwarnings("ignore")  # within torch.compile
def test_compiled_part_of_a_model_takes_sparse_features():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.compile(Classifier(), backend="eager")

        def forward(self, x):
            return self.inner(x)

    torch.manual_seed(0)
    model = Outer()
    plain = Classifier()
    plain.load_state_dict(model.inner._orig_mod.state_dict())
    results = [fit(net, sparse_task(), config=FitConfig(epochs=3)) for net in (model, plain)]
    assert results[0].loss_curve == pytest.approx(results[1].loss_curve, rel=1e-5)


class Spy(nn.Module):
    """A linear layer that remembers how its features came."""

    def __init__(self, columns: int = F) -> None:
        super().__init__()
        self.layer = nn.Linear(columns, 3)
        self.types: set[type] = set()

    def forward(self, x):
        self.types.add(type(x))
        return self.layer(x)


def test_training_on_sparse_features_is_training_on_dense_ones(monkeypatch):
    results = []
    for density in (MAX_DENSITY, -1.0):
        monkeypatch.setattr("graphtasks.sparse.MAX_DENSITY", density)
        torch.manual_seed(0)
        model = Spy()
        results.append(fit(model, sparse_task(), config=FitConfig(epochs=20, lr=0.1)))
        assert model.types == {SparseFeatures if density > 0 else Tensor}
    assert results[0].loss_curve == pytest.approx(results[1].loss_curve, rel=1e-4)
    assert results[0].val_curve == results[1].val_curve


def test_training_a_convolution_that_normalises_anew_keeps_working():
    task = sparse_task().transform(ToSparseTensor(layout=torch.sparse_csr, remove_edge_index=False))
    assert len(fit(SGConv(F, 3, K=2), task, config=FitConfig(epochs=4)).loss_curve) == 4
