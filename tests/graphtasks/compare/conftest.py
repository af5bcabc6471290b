import pytest
import torch

from graphtasks import GraphTask, Split


@pytest.fixture
def task(noisy_task):
    """A task of three splits."""
    order = torch.randperm(120, generator=torch.Generator().manual_seed(1))
    parts = [order.roll(40 * i) for i in range(3)]
    return noisy_task.replace(name="noisy", splits=[Split(part[:30], part[30:70], part[70:]) for part in parts])


@pytest.fixture
def opposite_task(path_data):
    """Validation nodes are of class 0 and test nodes of class 1; nothing moves a constant far in one epoch."""
    path_data.y = torch.tensor([2, 2, 0, 0, 1, 1])
    masks = (path_data.train_mask, path_data.val_mask, path_data.test_mask)
    return GraphTask.from_data(path_data, name="opposite", splits=[Split(*masks)])
