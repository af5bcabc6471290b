"""Layers and models in the form of PyG's."""

from dmdgnn.nn.decoupled import DecoupledDMD
from dmdgnn.nn.directed import DirDMDConv, DirDMDGNN
from dmdgnn.nn.dmd_conv import DMDConv
from dmdgnn.nn.dmd_gps import DMDGPS
from dmdgnn.nn.dmd_gps_conv import DMDGPSConv
from dmdgnn.nn.dmd_gru import DMDGRU, DMDGRUCell
from dmdgnn.nn.encoder import DMDEncoder
from dmdgnn.nn.filters import ModeFilter, PolynomialFilter
from dmdgnn.nn.models import DMDGNN, GraphDMD
from dmdgnn.nn.overlap import NeighborOverlap

__all__ = [
    "DMDGNN",
    "DMDGPS",
    "DMDGRU",
    "DMDConv",
    "DMDEncoder",
    "DMDGPSConv",
    "DMDGRUCell",
    "DecoupledDMD",
    "DirDMDConv",
    "DirDMDGNN",
    "GraphDMD",
    "ModeFilter",
    "NeighborOverlap",
    "PolynomialFilter",
]
