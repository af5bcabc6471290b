"""Is DMD here as fast, as lean and as exact as it should be? Against PyDMD, plain products, loops and Laplacian modes.

python benchmarks/kernels.py --out benchmarks/kernels.json            # everything, about 20 minutes on 2 cores
python benchmarks/kernels.py --works tall ragged                      # some of it; wide and sparse need GRAPHTASKS_ROOT
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from measure import THREADS, Row, in_child, markdown, peak_above, resident, seconds, write_json
from wide import sparse, wide

SHAPES = [(2_708, 1_433), (20_000, 256), (169_343, 128)]
RANK = 64
SCRIPT = os.path.abspath(__file__)


def propagated(nodes: int, columns: int, symmetric: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Features with a decaying spectrum after two steps, and after three, on a random graph of ten edges a node, by the
    mean over incoming edges or, if symmetric, by the symmetrically normalised adjacency."""
    generator = np.random.default_rng(0)
    ends = generator.integers(nodes, size=(2, 10 * nodes))
    edges = sp.coo_matrix((np.ones(ends.shape[1]), ends), (nodes, nodes))
    adjacency = (edges + edges.T * symmetric + sp.identity(nodes)).tocsr()
    degree = np.asarray(adjacency.sum(1)).ravel()
    powers = (-0.5, -0.5) if symmetric else (-1, 0)
    adjacency = (sp.diags(degree ** powers[0]) @ adjacency @ sp.diags(degree ** powers[1])).tocsr()
    features = generator.standard_normal((nodes, columns)) * np.arange(1, columns + 1) ** -0.5
    X = adjacency @ (adjacency @ features)
    return X, adjacency @ X


# Fits of both libraries that end with eigenvalues and modes in memory.


def fit_ours(X: np.ndarray, Y: np.ndarray, symmetric: bool, rank: int = RANK) -> Any:
    import torch

    from dmdgnn import DMD

    options: dict[str, Any] = {"modes": "projected", "constraint": "symmetric"} if symmetric else {}
    dmd = DMD(rank=rank, **options).fit(torch.from_numpy(X), torch.from_numpy(Y))
    return dmd.eigs.numpy(), dmd.modes.numpy()


def fit_pydmd(X: np.ndarray, Y: np.ndarray, symmetric: bool, rank: int = RANK) -> Any:
    import pydmd

    model = pydmd.PiDMD("symmetric", svd_rank=rank) if symmetric else pydmd.DMD(svd_rank=rank, exact=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the condition number of X
        model.fit(X, Y)
    return model.eigs, model.modes


FITS: dict[str, Callable[..., Any]] = {"ours": fit_ours, "pydmd": fit_pydmd}


def tall(symmetric: bool = False) -> Iterator[Row]:
    from scipy.optimize import linear_sum_assignment

    for shape in SHAPES:
        X, Y = propagated(*shape, symmetric)
        ours_s, rival_s = (seconds(fit, X, Y, symmetric) for fit in FITS.values())
        (eigs, modes), (rival_eigs, rival_modes) = (fit(X, Y, symmetric) for fit in FITS.values())
        distance = np.abs(eigs[:, None] - rival_eigs)
        Q, P = np.linalg.qr(modes)[0], np.linalg.qr(rival_modes)[0]
        child = ("--child", "tall_memory", *map(str, shape), str(int(symmetric)))
        ours_mb, rival_mb = (in_child(SCRIPT, *child, who) for who in FITS)
        yield {
            "work": f"fit{' symmetric' * symmetric}, {shape[0]:,} x {shape[1]:,}, rank {RANK}, float64",
            "rival": "PyDMD PiDMD" if symmetric else "PyDMD DMD",
            "ours_s": ours_s,
            "rival_s": rival_s,
            "ratio": rival_s / ours_s,
            "target": f"{20 if symmetric else 10}x faster, half the memory",
            "more": {
                "MB above the arrays": ours_mb["above"],
                "rival's": rival_mb["above"],
                "MB of the process": ours_mb["process"],
                "rival's process": rival_mb["process"],
                "eigenvalues differ by": float(distance[linear_sum_assignment(distance)].max()),
                "spans by": float(np.linalg.norm(P - Q @ (Q.conj().T @ P), 2)),
            },
        }


def tall_memory(nodes: str, columns: str, symmetric: str, who: str) -> Row:
    X, Y = propagated(int(nodes), int(columns), bool(int(symmetric)))
    FITS[who](X[:200], Y[:200, :], False)  # imports and thread pools are not the fit's
    above = peak_above(lambda: FITS[who](X, Y, bool(int(symmetric))))
    return {"above": above, "process": resident("VmHWM")}


def symmetric() -> Iterator[Row]:
    yield from tall(symmetric=True)


def floor() -> Iterator[Row]:
    import torch

    for nodes, columns in SHAPES:
        X, Y = (torch.from_numpy(part) for part in propagated(nodes, columns))
        ours_s, rival_s = seconds(fit_ours, X.numpy(), Y.numpy(), False), seconds(least, X, Y)
        yield {
            "work": f"fit, {nodes:,} x {columns:,}, rank {RANK}, float64",
            "rival": "its floor: X^T [X Y], and writing the modes",
            "ours_s": ours_s,
            "rival_s": rival_s,
            "ratio": ours_s / rival_s,
            "target": "at most 1.3x",
        }


def least(X: Any, Y: Any) -> None:
    """The products that no fit can do without."""
    import torch

    X.mT @ torch.cat([X, Y], dim=1)
    torch.ones(len(X), RANK, dtype=torch.complex128)


def small() -> Iterator[Row]:
    """Sizes of PyDMD's tutorials."""
    for rows, columns, rank in ((65, 129, 8), (400, 15, 8), (256, 128, 16)):
        generator = np.random.default_rng(0)
        X, Y = (generator.standard_normal((rows, columns)) for _ in range(2))
        ours_s, rival_s = (seconds(many, fit, X, Y, rank) / 50 for fit in FITS.values())
        yield {
            "work": f"fit, {rows} x {columns}, rank {rank}, float64",
            "rival": "PyDMD DMD",
            "ours_s": ours_s,
            "rival_s": rival_s,
            "ratio": rival_s / ours_s,
            "target": "at least as fast",
        }


def many(fit: Callable[..., Any], X: np.ndarray, Y: np.ndarray, rank: int) -> None:
    for _ in range(50):
        fit(X, Y, False, rank)


def ragged() -> Iterator[Row]:
    import torch

    from dmdgnn import DMD

    graphs, columns, rank, sample = 10_000, 14, 8, 1_000
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(400, 501, (graphs,), generator=generator)
    ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    X, Y = (torch.randn(int(ptr[-1]), columns, generator=generator) for _ in range(2))
    pairs = list(zip(X.split(sizes.tolist()), Y.split(sizes.tolist()), strict=True))

    def together(dmd: DMD) -> None:
        dmd.fit(X, Y, ptr=ptr).real_modes  # noqa: B018

    def one_by_one(dmd: DMD) -> None:
        for pair in pairs[:sample]:
            dmd.fit(*pair).real_modes  # noqa: B018

    for name, dmd in (
        ("exact modes", DMD(rank=rank)),
        ("symmetric, projected modes", DMD(rank=rank, constraint="symmetric", modes="projected")),
    ):
        ours_s, rival_s = seconds(together, dmd), seconds(one_by_one, dmd) * graphs / sample
        yield {
            "work": f"{graphs:,} graphs of 400 to 500 nodes x {columns}, rank {rank}, float32, {name}",
            "rival": f"loop over our own single fit (of {sample:,}, scaled)",
            "ours_s": ours_s,
            "rival_s": rival_s,
            "ratio": rival_s / ours_s,
            "target": "20x faster",
        }

    import pydmd

    arrays = [(x.double().numpy(), y.double().numpy()) for x, y in pairs[:sample]]

    def rival() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for x, y in arrays:
                pydmd.DMD(svd_rank=rank, exact=True).fit(x, y).modes  # noqa: B018

    ours_s = seconds(together, DMD(rank=rank))
    rival_s = seconds(rival) * graphs / sample
    yield {
        "work": f"{graphs:,} graphs of 400 to 500 nodes x {columns}, rank {rank}, float32, exact modes",
        "rival": f"loop over PyDMD DMD (of {sample:,}, scaled)",
        "ours_s": ours_s,
        "rival_s": rival_s,
        "ratio": rival_s / ours_s,
        "target": "",
    }


def laplacian() -> Iterator[Row]:
    from dmdgnn.transforms import AddDMDModes

    for nodes in (20_000, 200_000):
        data = random_graph(nodes)
        ours_s = seconds(AddDMDModes(rank=RANK), data)
        limit = 300
        try:
            rival_s, ended = in_child(SCRIPT, "--child", "laplacian_rival", str(nodes), timeout=limit), True
        except subprocess.TimeoutExpired:
            rival_s, ended = float(limit), False
        yield {
            "work": f"{RANK} modes of a random graph of {nodes:,} nodes and ten edges a node, 128 features",
            "rival": "PyG AddLaplacianEigenvectorPE" + ("" if ended else f" (did not end in {limit} s)"),
            "ours_s": ours_s,
            "rival_s": rival_s,
            "ratio": rival_s / ours_s,
            "target": "20x faster",
        }


def random_graph(nodes: int) -> Any:
    import torch
    from torch_geometric.data import Data
    from torch_geometric.utils import coalesce, remove_self_loops

    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(nodes, (2, 5 * nodes), generator=generator)
    edge_index, _ = remove_self_loops(coalesce(torch.cat([ends, ends.flip(0)], dim=1)))
    return Data(x=torch.randn(nodes, 128, generator=generator), edge_index=edge_index)


def laplacian_rival(nodes: str) -> float:
    from torch_geometric.transforms import AddLaplacianEigenvectorPE

    data = random_graph(int(nodes))
    start = time.perf_counter()
    AddLaplacianEigenvectorPE(k=RANK, is_undirected=True)(data)
    return time.perf_counter() - start


def memmap() -> Iterator[Row]:
    rows, columns = 5_000_000, 64
    with tempfile.TemporaryDirectory() as folder:
        generator = np.random.default_rng(0)
        mixing = generator.standard_normal((columns, columns)).astype("float32") / columns**0.5
        X, Y = (np.memmap(f"{folder}/{name}", dtype="float32", mode="w+", shape=(rows, columns)) for name in ("X", "Y"))
        for start in range(0, rows, 100_000):
            chunk = generator.standard_normal((100_000, columns), dtype="float32")
            chunk *= np.arange(1, columns + 1, dtype="float32") ** -0.5
            X[start : start + len(chunk)], Y[start : start + len(chunk)] = chunk, chunk @ mixing
        del X, Y
        child = ("--child", "memmap_fit", folder, str(rows), str(columns))
        for modes in ("eigenvalues", "modes"):
            streamed, whole = (in_child(SCRIPT, *child, modes, where) for where in ("disk", "memory"))
            yield {
                "work": f"{modes} of {rows:,} x {columns} float32 (two of 1.28 GB), rank 16, from a memmap",
                "rival": "the same in memory",
                "ours_s": streamed["seconds"],
                "rival_s": whole["seconds"],
                "ratio": streamed["seconds"] / whole["seconds"],
                "target": "at most 3x the time, 300 MB",
                "more": {
                    "MB above the interpreter": streamed["above"],
                    "in memory": whole["above"],
                    "eigenvalues differ by": float(np.abs(np.array(streamed["eigs"]) - np.array(whole["eigs"])).max()),
                },
            }


def memmap_fit(folder: str, rows: str, columns: str, modes: str, where: str) -> Row:
    import torch

    from dmdgnn import DMD
    from dmdgnn.kernels import Moments, RowChunks

    DMD(rank=2).fit(torch.randn(9, 3), torch.randn(9, 3))
    shape = (int(rows), int(columns))
    dmd = DMD(rank=16)

    def from_disk() -> None:
        X, Y = (np.memmap(f"{folder}/{name}", dtype="float32", mode="r", shape=shape) for name in ("X", "Y"))
        chunks = RowChunks(X, Y)
        dmd.fit_moments(Moments.of_chunks(chunks))
        if modes == "modes":
            with open(f"{folder}/modes", "wb") as out:
                for x, y in chunks:
                    out.write(dmd.lift_modes(x, y).numpy().tobytes())

    def in_memory() -> None:
        dmd.fit(X, Y)
        if modes == "modes":
            dmd.modes  # noqa: B018

    if where == "disk":
        work = from_disk
        above = peak_above(work)
    else:
        before = resident()
        X, Y = (
            torch.from_numpy(np.fromfile(f"{folder}/{name}", dtype="float32").reshape(shape)) for name in ("X", "Y")
        )
        loaded = resident() - before
        work = in_memory
        above = loaded + peak_above(work)
    eigs = dmd.eigs.numpy()
    return {"seconds": seconds(work), "above": above, "eigs": np.stack([eigs.real, eigs.imag]).tolist()}


def distributed() -> Iterator[Row]:
    import torch

    nodes, columns = SHAPES[-1]
    with tempfile.TemporaryDirectory() as folder:
        for processes in (1, 2, 4):
            arguments = (SCRIPT, "--child", "distributed_fit", folder, str(nodes), str(columns), str(processes))
            one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
            workers = [
                subprocess.Popen([sys.executable, *arguments, str(rank)], env=one_thread) for rank in range(processes)
            ]
            if any(worker.wait() for worker in workers):
                raise RuntimeError("a process failed")
            parts = [torch.load(f"{folder}/{processes}-{rank}.pt", weights_only=True) for rank in range(processes)]
            elapsed = max(part["seconds"] for part in parts)
            product = torch.cat([part["product"] for part in parts])
            if processes == 1:
                alone, reference = elapsed, {"product": product, "eigs": parts[0]["eigs"]}
                continue
            yield {
                "work": f"{nodes:,} x {columns}, rank {RANK}, float64, on {processes} gloo processes of one thread",
                "rival": "one process of one thread",
                "ours_s": elapsed,
                "rival_s": alone,
                "ratio": alone / elapsed,
                "target": "agree to 1e-10",
                "more": {
                    "efficiency": alone / elapsed / processes,
                    "eigenvalues differ by": float((parts[0]["eigs"] - reference["eigs"]).abs().max()),
                    "products by": float((product - reference["product"]).abs().max()),
                    "processes among each other": float((parts[0]["eigs"] - parts[-1]["eigs"]).abs().max()),
                },
            }


def distributed_fit(folder: str, nodes: str, columns: str, processes: str, rank: str) -> None:
    import torch
    import torch.distributed as dist

    from dmdgnn import DMD
    from dmdgnn.kernels import Moments

    torch.set_num_threads(1)
    X, Y = (torch.from_numpy(part) for part in propagated(int(nodes), int(columns)))
    X, Y = (part.tensor_split(int(processes))[int(rank)].clone() for part in (X, Y))
    store = f"file://{folder}/{processes}"
    dist.init_process_group("gloo", init_method=store, world_size=int(processes), rank=int(rank))
    dmd = DMD(rank=RANK)

    def fit() -> Any:
        dmd.fit_moments(Moments.of(X, Y).all_reduce())
        dmd.lift_modes(X, Y)
        return dmd.lift(X, Y)

    elapsed = seconds(fit)
    operator = fit()
    summary = operator.project(X)
    dist.all_reduce(summary)
    torch.save(
        {"seconds": elapsed, "eigs": dmd.eigs, "product": operator.expand(summary)}, f"{folder}/{processes}-{rank}.pt"
    )
    dist.barrier()
    dist.destroy_process_group()


def auto() -> Iterator[Row]:
    """Which kernel for which shape; the rule of 'auto' in `dmdgnn.kernels.thin_svd`."""
    import torch

    from dmdgnn.kernels import thin_svd

    for nodes, columns in [(500, 14), *SHAPES]:
        for rank in sorted({min(8, columns), min(RANK, columns // 2)}):
            X = torch.from_numpy(propagated(nodes, columns)[0])
            times = {
                method: seconds(thin_svd, X, rank=rank, method=method) for method in ("gram", "full", "randomized")
            }
            values = {method: thin_svd(X, rank=rank, method=method).S for method in ("full", "gram", "randomized")}
            errors = {
                method: float(((S - values["full"]) / values["full"]).abs().max()) for method, S in values.items()
            }
            for method in ("full", "randomized"):
                yield {
                    "work": f"gram kernel, {nodes:,} x {columns:,}, rank {rank}, float64",
                    "rival": f"{method} kernel",
                    "ours_s": times["gram"],
                    "rival_s": times[method],
                    "ratio": times[method] / times["gram"],
                    "target": "",
                    "more": {"singular values off by": errors["gram"], "rival's": errors[method]},
                }


def eigenproblems() -> Iterator[Row]:
    """Where eigh of an index range pays, and a batch in threads, and which device is to solve small problems."""
    import torch

    from dmdgnn.kernels import eigh

    generator = torch.Generator().manual_seed(0)
    for size in (128, 256, 384, 512, 1024, 2048):
        A = torch.randn(size, size, dtype=torch.float64, generator=generator)
        A = A @ A.mT
        for count in sorted({16, size // 16, size // 8, size // 4}):
            ours_s = seconds(eigh._range_eigh, A, count)
            rival_s = seconds(torch.linalg.eigh, A)
            yield {
                "work": f"eigh of an index range, {count} of {size:,}",
                "rival": "torch.linalg.eigh",
                "ours_s": ours_s,
                "rival_s": rival_s,
                "ratio": rival_s / ours_s,
                "target": "",
            }
    for batch in (100, 1_000, 10_000):
        A = torch.randn(batch, 30, 14, dtype=torch.float64, generator=generator)
        A = A.mT @ A
        ours_s, rival_s = seconds(eigh.top_eigh, A), seconds(torch.linalg.eigh, A)
        yield {
            "work": f"eigh of {batch:,} matrices 14 x 14 in {THREADS} threads",
            "rival": "torch.linalg.eigh",
            "ours_s": ours_s,
            "rival_s": rival_s,
            "ratio": rival_s / ours_s,
            "target": "",
        }
    if not torch.cuda.is_available():
        return

    def on_gpu(function: Callable[[torch.Tensor], Any], A: torch.Tensor) -> None:
        function(A)
        torch.cuda.synchronize()

    def by_cpu(function: Callable[[torch.Tensor], Any], A: torch.Tensor) -> None:
        for factor in function(A.cpu()):
            factor.cuda()
        torch.cuda.synchronize()

    for name, function in (("eigh", torch.linalg.eigh), ("eig", torch.linalg.eig)):
        for shape in ((64, 64), (128, 128), (512, 512), (1433, 1433), (1_000, 14, 14), (10_000, 8, 8)):
            A = torch.randn(*shape, dtype=torch.float64, generator=generator)
            A = A @ A.mT if name == "eigh" else A
            ours_s, rival_s = seconds(by_cpu, function, A.cuda()), seconds(on_gpu, function, A.cuda())
            yield {
                "work": f"{name} of {shape} from the GPU on the CPU and back",
                "rival": "on the GPU",
                "ours_s": ours_s,
                "rival_s": rival_s,
                "ratio": rival_s / ours_s,
                "target": "",
            }


WORKS = (tall, symmetric, floor, small, wide, sparse, ragged, laplacian, memmap, distributed, auto, eigenproblems)
CHILDREN = (tall_memory, laplacian_rival, memmap_fit, distributed_fit)


@dataclass(frozen=True)
class Options:
    """Benchmarks of the DMD kernels.

    Args:
        works: Names of what to measure, by default everything.
        out: File to which rows are added, and in which rows of the same work and rival are replaced.
    """

    works: list[str] = field(default_factory=lambda: [work.__name__ for work in WORKS])
    out: Path | None = None


def main(options: Options) -> None:
    import torch

    torch.set_num_threads(THREADS)
    works = {work.__name__: work for work in WORKS}
    for name in options.works:
        rows = []
        for row in works[name]():
            print(json.dumps(row), flush=True)
            rows.append(row)
        print(markdown(rows), flush=True)
        if options.out is not None:
            write_json(options.out, rows)


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # PyDMD's
    if sys.argv[1:2] == ["--child"]:
        children: dict[str, Callable[..., Any]] = {child.__name__: child for child in CHILDREN}
        if (result := children[sys.argv[2]](*sys.argv[3:])) is not None:
            print(json.dumps(result))
    else:
        import tyro

        main(tyro.cli(Options))
