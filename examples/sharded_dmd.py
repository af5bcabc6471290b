"""DMD of rows that lie on several processes: torchrun --nproc_per_node 2 examples/sharded_dmd.py"""

import torch
import torch.distributed as dist

from dmdgnn import DMD
from dmdgnn.kernels import Moments

dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
rank, size = dist.get_rank(), dist.get_world_size()
device = torch.device("cuda", rank % torch.cuda.device_count()) if torch.cuda.is_available() else torch.device("cpu")

# Each process makes its own rows of snapshots that decay at three rates.
generator = torch.Generator().manual_seed(rank)
rates = torch.tensor([0.9, 0.7, 0.4], dtype=torch.float64)
modes = torch.randn(1_000, 3, dtype=torch.float64, generator=generator)
coefficients = torch.randn(3, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
X, Y = (modes @ coefficients).to(device), (modes * rates @ coefficients).to(device)

dmd = DMD(rank=3).fit_moments(Moments.of(X, Y).all_reduce())

# A product with the whole operator: summaries of all rows add up, and each process expands its own.
operator = dmd.lift(X, Y)
summary = operator.project(X)
dist.all_reduce(summary)
error = (operator.expand(summary) - Y).abs().max()
if rank == 0:
    values = ", ".join(f"{value:.4f}" for value in dmd.eigs.real.tolist())
    print(f"{size} processes: eigenvalues {values}; the product is off by {float(error):.1e}")
dist.destroy_process_group()
