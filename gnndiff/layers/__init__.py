"""Target models that PyG has no class for, or whose backward pass on undirected graphs is cheaper than PyG's."""

from gnndiff.layers.appnp import APPNPNet
from gnndiff.layers.gpr_gnn import GPRGNN, GPRProp
from gnndiff.layers.gps import GPS
from gnndiff.layers.skip import SkipGAT, SkipGCN, SkipSymmetricGCN
from gnndiff.layers.symmetric_gat import SymmetricGAT
from gnndiff.layers.symmetric_gcn import SymmetricGCN, SymmetricGCNConv
from gnndiff.layers.symmetric_sage import SymmetricGraphSAGE, SymmetricSAGEConv

__all__ = [
    "GPRGNN",
    "GPS",
    "APPNPNet",
    "GPRProp",
    "SkipGAT",
    "SkipGCN",
    "SkipSymmetricGCN",
    "SymmetricGAT",
    "SymmetricGCN",
    "SymmetricGCNConv",
    "SymmetricGraphSAGE",
    "SymmetricSAGEConv",
]
