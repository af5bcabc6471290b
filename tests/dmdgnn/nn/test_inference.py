import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv, LayerNorm
from torch_geometric.transforms import GCNNorm
from torch_geometric.utils import to_undirected

from dmdgnn import InputError
from dmdgnn.loader import ModeLoader
from dmdgnn.nn import DMDGNN
from dmdgnn.transforms import AddDMDModes

N, F, R = 30, 5, 3


@pytest.fixture
def data():
    edge_index = to_undirected(torch.randint(N, (2, 2 * N)))
    return AddDMDModes(rank=R)(Data(x=torch.randn(N, F), edge_index=edge_index))


def model(data=None, **kwargs):
    built = DMDGNN(F, 8, 3, 2, rank=R, **kwargs)
    if data is not None:
        built(data.x, data.edge_index, data.dmd_modes, data.dmd_eigs)  # statistics of batch normalisation
    return built.eval()


def on_all(model, data):
    spectrum = (data.dmd_modes, data.dmd_eigs, data.get("edge_weight"))
    return model(data.x, data.edge_index, *spectrum, dmd_duals=data.get("dmd_duals"))


def one_hop(data, batch_size):
    """Batches as of NeighborLoader with num_neighbors=[-1], in another order than that of nodes."""
    batches = []
    for seeds in torch.randperm(N).split(batch_size):
        mask = torch.isin(data.edge_index[1], seeds)
        edges = data.edge_index[:, mask]
        others = edges[0].unique()
        n_id = torch.cat([seeds, others[~torch.isin(others, seeds)]])
        local = torch.empty(N, dtype=torch.long).index_copy_(0, n_id, torch.arange(len(n_id)))
        batch = Data(x=data.x[n_id], edge_index=local[edges], n_id=n_id, batch_size=len(seeds))
        batch.dmd_modes, batch.dmd_eigs = data.dmd_modes[n_id], data.dmd_eigs
        if data.get("edge_weight") is not None:
            batch.edge_weight = data.edge_weight[mask]
        batches.append(batch)
    return batches


@pytest.mark.parametrize("batch_size", [1, 7, N])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"skip": True, "norm": "BatchNorm", "dropout": 0.5},
        {"norm": LayerNorm(8, mode="node"), "act_first": True, "jk": "last"},
        {"act": None, "degree": 2, "gate": 0.3},
    ],
)
def test_is_the_whole_graph(data, batch_size, options):
    built = model(data, **options)
    loader = ModeLoader(data, batch_size=batch_size, shuffle=True)
    torch.testing.assert_close(built.inference(loader), on_all(built, data))


@pytest.mark.parametrize("batch_size", [1, 7])
def test_with_a_local_term(data, batch_size):
    class Sum(torch.nn.Linear):  # a local term that needs nothing but the edges to a node
        def forward(self, x, edge_index):
            source, target = edge_index
            return torch.zeros_like(x).index_add_(0, target, x[source]) @ self.weight.T

    built = model(local=lambda i, o: Sum(i, o, bias=False), skip=True)
    torch.testing.assert_close(built.inference(one_hop(data, batch_size)), on_all(built, data))


def test_with_a_normalised_local_term(data):
    data = GCNNorm()(data)
    built = model(local=lambda i, o: GCNConv(i, o, bias=False, normalize=False))
    torch.testing.assert_close(built.inference(one_hop(data, 7)), on_all(built, data))
    with pytest.raises(InputError, match="apply GCNNorm"):
        model(local=True).inference(one_hop(data, 7))


def test_complex_eigenvalues_dual_modes_and_float64(data):
    data.x, data.dmd_modes = data.x.double(), data.dmd_modes.double()
    data.dmd_eigs = torch.tensor([[0.9, 0.3 + 0.4j, 0.3 - 0.4j]], dtype=torch.complex128)
    data.dmd_duals = torch.randn(N, R, dtype=torch.float64)
    built = model(skip=True).double()
    torch.testing.assert_close(built.inference(ModeLoader(data, batch_size=4)), on_all(built, data), rtol=1e-12, atol=0)


def test_a_context_changes_nothing(data):
    built = model()
    loader = ModeLoader(data, context=3, batch_size=4, shuffle=True)
    torch.testing.assert_close(built.inference(loader), on_all(built, data))


def test_what_it_cannot_do(data):
    loader = ModeLoader(data, batch_size=4)
    with pytest.raises(InputError, match=r"call eval\(\)"):
        model().train().inference(loader)
    with pytest.raises(InputError, match="jk='cat'"):
        model(jk="cat").inference(loader)
    with pytest.raises(InputError, match="all nodes at once"):
        model(norm="GraphNorm").inference(loader)
    with pytest.raises(InputError, match="track_running_stats"):
        model(norm="batch_norm", norm_kwargs={"track_running_stats": False}).inference(loader)
    for options in ({"input_nodes": torch.tensor([0, 2])}, {"drop_last": True}):
        missing = ModeLoader(data, batch_size=7, **options)
        with pytest.raises(InputError, match="expected all nodes once"):
            model().inference(missing)
    with pytest.raises(InputError, match="0 seeds"):
        model().inference([])
