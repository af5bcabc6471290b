"""Thin factorisations of snapshot matrices."""

from dmdgnn.kernels.thin_svd import ThinSVD, thin_svd

__all__ = ["ThinSVD", "thin_svd"]
