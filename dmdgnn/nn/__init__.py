"""Layers and models in the form of PyG's."""

from dmdgnn.nn.dmd_conv import DMDConv
from dmdgnn.nn.dmd_gru import DMDGRU, DMDGRUCell
from dmdgnn.nn.filters import ModeFilter, PolynomialFilter
from dmdgnn.nn.models import DMDGNN, GraphDMD

__all__ = ["DMDGNN", "DMDGRU", "DMDConv", "DMDGRUCell", "GraphDMD", "ModeFilter", "PolynomialFilter"]
