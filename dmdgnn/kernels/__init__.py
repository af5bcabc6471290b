"""Thin factorisations of snapshot matrices: in memory, in batches, out of core and distributed."""

from dmdgnn.kernels.eigh import top_eigh
from dmdgnn.kernels.moments import Moments, RowChunks
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.kernels.symmetric import symmetric_matmul
from dmdgnn.kernels.thin_svd import ThinSVD, thin_svd
from dmdgnn.kernels.truncation import Truncation

__all__ = ["Moments", "Ragged", "RowChunks", "ThinSVD", "Truncation", "symmetric_matmul", "thin_svd", "top_eigh"]
