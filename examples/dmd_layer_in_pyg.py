"""DMD layers in a plain PyG script: only torch, PyG and dmdgnn."""

import torch
import torch.nn.functional as F
from torch_geometric.datasets import KarateClub

from dmdgnn.nn import DMDConv
from dmdgnn.transforms import AddDMDModes

torch.manual_seed(0)
data = KarateClub(transform=AddDMDModes(rank=16))[0]


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = DMDConv(data.num_features, 32, rank=16, skip=True)
        self.conv2 = DMDConv(32, 4, rank=16, local=True)

    def forward(self, data):  # type: ignore[no-untyped-def]
        x = self.conv1(data.x, data.dmd_modes, data.dmd_eigs).relu()
        x = F.dropout(x, training=self.training)
        return self.conv2(x, data.dmd_modes, data.dmd_eigs, data.edge_index)


model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
for _ in range(200):
    model.train()
    optimizer.zero_grad()
    F.cross_entropy(model(data)[data.train_mask], data.y[data.train_mask]).backward()
    optimizer.step()

model.eval()
correct = (model(data).argmax(dim=1) == data.y)[~data.train_mask]
print(f"accuracy on the {len(correct)} nodes not trained on: {correct.float().mean():.3f}")
