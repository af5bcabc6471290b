"""The network that makes a vector of a graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn.models import GCN


class GraphEncoder(nn.Module):
    """A two-layer GCN, trained to classify nodes, whose mean node embedding is the condition of a graph.

    Args:
        num_features: Feature columns of the graph.
        num_classes: Classes of the task.
        embedding_dim: Size D of the embedding.
    """

    def __init__(self, num_features: int, num_classes: int, embedding_dim: int = 16) -> None:
        super().__init__()
        self.config = {"num_features": num_features, "num_classes": num_classes, "embedding_dim": embedding_dim}
        self.encoder = GCN(num_features, 64, num_layers=2, out_channels=embedding_dim, dropout=0.5)
        self.head = nn.Linear(embedding_dim, num_classes)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Class scores (N, classes)."""
        return self.head(self.encoder(x, edge_index))

    @torch.no_grad()
    def embed(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """The graph's embedding (D,), with dropout off."""
        self.eval()
        return self.encoder(x, edge_index).mean(dim=0)
