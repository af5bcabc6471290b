"""Figures of eigenvalues, modes, filters, errors and whole estimates, with matplotlib."""

from dmdgnn.plot.error import reconstruction_error
from dmdgnn.plot.graph import mode
from dmdgnn.plot.spectra import learned_filter, spectrum
from dmdgnn.plot.summary import summary

__all__ = ["learned_filter", "mode", "reconstruction_error", "spectrum", "summary"]
