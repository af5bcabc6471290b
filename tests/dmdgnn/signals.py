"""Systems whose dynamics are known."""

import math

import numpy as np
import torch

from matrices import randn

F64 = torch.float64


PROPERTIES = (
    "modes",
    "real_modes",
    "blocks",
    "amplitudes",
    "dynamics",
    "reconstructed_data",
    "frequency",
    "growth_rate",
)


def tensor(*values):
    return torch.tensor(values, dtype=F64)


def trajectory(A, steps, start):
    states = [start.reshape(-1, 1)]
    for _ in range(steps - 1):
        states.append(A @ states[-1])
    return torch.cat(states, dim=1)


def waves(shapes, rates, times):
    """The sum of Re(shape exp(rate t)), shapes (K, N) and rates (K,) complex."""
    return torch.einsum("kn,kt->nt", shapes, torch.exp(rates.unsqueeze(1) * times)).real


def two_signals():
    """PyDMD's first example, as real waves that travel: 2.3 and 2.8 radians in a unit of time."""
    x = torch.linspace(-5, 5, 65, dtype=F64)
    times = torch.linspace(0, 4 * math.pi, 129, dtype=F64)
    first = torch.complex(1 / torch.cosh(x + 3), 0.5 / torch.cosh(x))
    second = torch.complex(2 / torch.cosh(x) * torch.tanh(x), 1 / torch.cosh(x - 2))
    rates = torch.tensor([2.3j, 2.8j], dtype=torch.complex128)
    return waves(torch.stack([first, second]), rates, times), rates, float(times[1])


def oscillations(growth=(-0.1, 0.05), angular=(1.0, 3.0), n=12, steps=60, step=0.1):
    """Waves that decay and grow: the series, their eigenvalues, and the rates and frequencies in a step."""
    rates = torch.complex(tensor(*growth), tensor(*angular))
    shapes = torch.complex(randn(len(growth), n), randn(len(growth), n, seed=1))
    series = waves(shapes, rates, step * torch.arange(steps, dtype=F64))
    return series, torch.exp(step * rates), step * tensor(*growth), step * tensor(*angular) / (2 * math.pi)


def heated_rod(terms=4, diffusivity=0.05, step=0.1, steps=40):
    """u(x, t) = sum_k c_k sin(k pi x) exp(-a (k pi)^2 t): the series, its modes and its rates in a step."""
    x = torch.linspace(0, 1, 33, dtype=F64)
    k = torch.arange(1, terms + 1, dtype=F64)
    modes = torch.sin(math.pi * x.unsqueeze(1) * k)
    rates = -diffusivity * (k * math.pi).square() * step
    weights = tensor(1.0, 0.8, -0.6, 0.9)[:terms]
    return modes * weights @ torch.exp(rates.unsqueeze(1) * torch.arange(steps, dtype=F64)), modes, rates


def string(terms=3, step=0.1, steps=80):
    """u(x, t) = sum_k c_k sin(k pi x) cos(k pi t) and its velocity, and the frequencies in a step."""
    x = torch.linspace(0, 1, 25, dtype=F64)
    k = torch.arange(1, terms + 1, dtype=F64)
    shapes = torch.sin(math.pi * x.unsqueeze(1) * k) / k
    angles = math.pi * k.unsqueeze(1) * step * torch.arange(steps, dtype=F64)
    return shapes @ angles.cos(), -math.pi * (shapes * k) @ angles.sin(), k * step / 2


def low_rank_system(n=40, rank=5, seed=0):
    """A on a subspace, with eigenvalues 0.95 exp(+-0.9i), 0.85 exp(+-0.3i) and 0.7, and its eigenvectors."""
    values = [0.95 * np.exp(0.9j), 0.95 * np.exp(-0.9j), 0.85 * np.exp(0.3j), 0.85 * np.exp(-0.3j), 0.7]
    blocks = [[[z.real, -z.imag], [z.imag, z.real]] for z in values[0:4:2]]
    core = torch.block_diag(*(torch.tensor(block, dtype=F64) for block in blocks), tensor(0.7).reshape(1, 1))
    basis = randn(n, rank, seed=seed)
    A = basis @ core @ torch.linalg.pinv(basis)
    return A, torch.tensor(values), basis


SERIES = {
    "two signals": (lambda: two_signals()[0], 4),
    "oscillations": (lambda: oscillations()[0], 4),
    "heated rod": (lambda: heated_rod(terms=3)[0], 3),
    "string": (lambda: torch.cat(string()[:2]), 6),
    "low rank": (lambda: trajectory(low_rank_system()[0], 30, low_rank_system()[2].sum(1)), 5),
}


def order(eigs):
    """By modulus; where that is the same, by imaginary part."""
    eigs = np.asarray(eigs)
    return np.lexsort((-eigs.imag.round(7), -np.abs(eigs).round(7)))


def contributions(model):
    """Part of each mode in the states over time, (r, N, T), which no scaling of modes changes."""
    eigs, modes, dynamics = (torch.as_tensor(getattr(model, name)) for name in ("eigs", "modes", "dynamics"))
    parts = torch.einsum("nr,rt->rnt", modes.to(torch.complex128), dynamics.to(torch.complex128))
    return parts[order(eigs)]


def assert_near(actual, expected, atol=1e-7):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# Inputs


def driven(steps=40):
    A, B = tensor([0.9, 0.2], [-0.1, 0.8]), tensor([1.0], [0.5])
    inputs = randn(1, steps - 1)
    states = [tensor([1.0], [-1.0])]
    for t in range(steps - 1):
        states.append(A @ states[-1] + B * inputs[:, t])
    return A, B, inputs, torch.cat(states, dim=1)
