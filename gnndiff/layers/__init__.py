"""Layers and models that PyG has no class for, or whose passes on constant graphs are cheaper than PyG's."""

from gnndiff.layers.appnp import APPNPNet
from gnndiff.layers.cheb import ChebNet, SymmetricChebConv
from gnndiff.layers.gcn_gru import GCNGRU
from gnndiff.layers.gin import SymmetricGIN, SymmetricGINConv
from gnndiff.layers.gpr_gnn import GPRGNN, GPRProp
from gnndiff.layers.gps import GPS
from gnndiff.layers.h2gcn import H2GCN
from gnndiff.layers.mixhop import MixHop, MixHopBlock, NormalizedMixHopConv
from gnndiff.layers.residual import Residual
from gnndiff.layers.sgc import SGC, NormalizedSGConv
from gnndiff.layers.skip import Skip, SkipGAT, SkipGCN, SkipSymmetricGCN
from gnndiff.layers.symmetric_gat import SymmetricGAT
from gnndiff.layers.symmetric_gcn import SymmetricGCN, SymmetricGCNConv
from gnndiff.layers.symmetric_sage import SymmetricGraphSAGE, SymmetricSAGEConv

__all__ = [
    "GCNGRU",
    "GPRGNN",
    "GPS",
    "H2GCN",
    "SGC",
    "APPNPNet",
    "ChebNet",
    "GPRProp",
    "MixHop",
    "MixHopBlock",
    "NormalizedMixHopConv",
    "NormalizedSGConv",
    "Residual",
    "Skip",
    "SkipGAT",
    "SkipGCN",
    "SkipSymmetricGCN",
    "SymmetricChebConv",
    "SymmetricGAT",
    "SymmetricGCN",
    "SymmetricGCNConv",
    "SymmetricGIN",
    "SymmetricGINConv",
    "SymmetricGraphSAGE",
    "SymmetricSAGEConv",
]
