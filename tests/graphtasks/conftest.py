import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphtasks import GraphTask, Split


def index_mask(size: int, index: list[int]) -> Tensor:
    mask = torch.zeros(size, dtype=torch.bool)
    mask[index] = True
    return mask


@pytest.fixture(autouse=True)
def _any_data(request, monkeypatch):
    """Let tests write small datasets under the names of known ones."""
    if request.node.get_closest_marker("real_data") is None:
        monkeypatch.setattr("graphtasks.registry.check_counts", lambda task, facts: None)
        monkeypatch.setattr("graphtasks.sources.checksums.KNOWN", {})


@pytest.fixture
def path_data() -> Data:
    """A directed path of six nodes and three classes, with one-hot features and one split."""
    return Data(
        x=torch.eye(6),
        y=torch.tensor([0, 1, 2, 0, 1, 2]),
        edge_index=torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]),
        train_mask=index_mask(6, [0, 1]),
        val_mask=index_mask(6, [2, 3]),
        test_mask=index_mask(6, [4, 5]),
    )


@pytest.fixture
def noisy_task() -> GraphTask:
    """Three overlapping classes, learnable but not perfectly, so that validation curves go up and down."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 3
    x = torch.eye(3)[y] + 0.7 * torch.randn(120, 3, generator=generator)
    ring = torch.stack([torch.arange(120), (torch.arange(120) + 3) % 120])
    data = Data(x=x, y=y, edge_index=torch.cat([ring, ring.flip(0)], dim=1))
    order = torch.randperm(120, generator=generator)
    return GraphTask.from_data(data, splits=[Split(order[:30], order[30:70], order[70:])])
