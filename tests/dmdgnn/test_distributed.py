import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import dmdgnn
from dmdgnn import DMD
from dmdgnn.kernels import Moments

F64 = torch.float64
SHARDS = [37, 63]

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or not torch.distributed.is_gloo_available(), reason="needs gloo"
)

# A script, as the tests' modules are not importable from another process.
WORKER = """
import sys
from datetime import timedelta

import torch
from torch import distributed

from dmdgnn import DMD
from dmdgnn.kernels import Moments

folder, rank, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size, timeout=timedelta(seconds=60)
)
X, Y, z = torch.load(f"{folder}/shard{rank}.pt", weights_only=True)
results = {}
for name, options in torch.load(f"{folder}/options.pt", weights_only=True).items():
    moments = Moments.of(X, Y).all_reduce()
    dmd = DMD(5, **options).fit_moments(moments)
    operator = dmd.lift(X, Y)
    summary = operator.project(z)
    distributed.all_reduce(summary)
    results[name] = {
        "rows": moments.rows,
        "eigs": dmd.eigs,
        "reduced": dmd.reduced_operator,
        "product": operator.expand(summary),
        "modes": dmd.lift_modes(X, Y),
    }
alone = distributed.new_group([0]), distributed.new_group([1])
results["group"] = Moments.of(X, Y).all_reduce(alone[rank]).rows
torch.save(results, f"{folder}/results{rank}.pt")
distributed.destroy_process_group()
"""
OPTIONS = {
    "plain": {},
    "symmetric": {"constraint": "symmetric", "modes": "projected"},
    "total": {"total_least_squares": True},
}


def snapshots():
    generator = torch.Generator().manual_seed(0)
    X, noise, z = (torch.randn(sum(SHARDS), f, dtype=F64, generator=generator) for f in (8, 8, 3))
    A = torch.linalg.matrix_exp(torch.diag(torch.linspace(-1, 0, 99, dtype=F64), 1) - 0.1 * torch.eye(100, dtype=F64))
    return X, A @ X + 0.01 * noise, z


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of each of two processes with a shard of the rows each."""
    folder = tmp_path_factory.mktemp("distributed")
    (folder / "worker.py").write_text(WORKER)
    for rank, shard in enumerate(zip(*(part.split(SHARDS) for part in snapshots()), strict=True)):
        torch.save(tuple(part.clone() for part in shard), folder / f"shard{rank}.pt")
    torch.save(OPTIONS, folder / "options.pt")
    root = Path(dmdgnn.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    workers = [
        subprocess.Popen(
            [sys.executable, str(folder / "worker.py"), str(folder), str(rank), str(len(SHARDS))],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(len(SHARDS))
    ]
    try:
        errors = [worker.communicate(timeout=100)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"results{rank}.pt", weights_only=True) for rank in range(len(SHARDS))]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_process_gets_the_same_bits(results, name):
    first, second = (result[name] for result in results)
    assert first["rows"] == second["rows"] == sum(SHARDS)
    assert torch.equal(first["eigs"], second["eigs"])
    assert torch.equal(first["reduced"], second["reduced"])


@pytest.mark.parametrize("name", OPTIONS)
def test_two_processes_agree_with_one(results, name):
    X, Y, z = snapshots()
    single = DMD(5, **OPTIONS[name]).fit_moments(Moments.of(X, Y))
    torch.testing.assert_close(results[0][name]["eigs"], single.eigs, rtol=0, atol=1e-10)
    product = torch.cat([result[name]["product"] for result in results])
    torch.testing.assert_close(product, single.lift(X, Y) @ z, rtol=0, atol=1e-10)
    whole = DMD(5, **OPTIONS[name]).fit(X, Y)
    torch.testing.assert_close(product, whole.operator @ z, rtol=0, atol=1e-10)
    modes = torch.cat([result[name]["modes"] for result in results])
    cosines = (modes.conj() * whole.modes).sum(dim=0).abs() / modes.norm(dim=0) / whole.modes.norm(dim=0)
    torch.testing.assert_close(cosines, torch.ones(5, dtype=F64), rtol=0, atol=1e-10)


def test_a_group_sums_over_its_own_processes(results):
    assert [result["group"] for result in results] == SHARDS
