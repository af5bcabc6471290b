"""Target models that PyG has no class for, or whose backward pass on undirected graphs is cheaper than PyG's."""

from gnndiff.models.appnp import APPNPNet
from gnndiff.models.gpr_gnn import GPRGNN, GPRProp
from gnndiff.models.gps import GPS
from gnndiff.models.skip import SkipGAT, SkipGCN, SkipSymmetricGCN
from gnndiff.models.symmetric_gat import SymmetricGAT
from gnndiff.models.symmetric_gcn import SymmetricGCN, SymmetricGCNConv
from gnndiff.models.symmetric_sage import SymmetricGraphSAGE, SymmetricSAGEConv

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
