"""Does everything run on a GPU, and how fast? Tests, kernels, eigenproblems, graphs, layers and a run, in 8 minutes.

make gpu                                             # writes benchmarks/gpu.json
python benchmarks/gpu.py --out gpu.json              # the same
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from measure import Row, machine, markdown
from torch import Tensor
from torch_geometric.nn import GCNConv

from dmdgnn import DMD
from dmdgnn.kernels import thin_svd
from dmdgnn.kernels.thin_svd import Method
from dmdgnn.nn import DMDConv

ROOT = Path(__file__).parents[1]
SECONDS = 480
DTYPES = (torch.float32, torch.float64)
SHAPES = ((2_708, 1_433), (20_000, 256), (169_343, 128))
EIGENPROBLEMS = ((64, 64), (512, 512), (1_433, 1_433), (1_000, 14, 14), (10_000, 8, 8))
GRAPHS, LAYER_NODES, LAYER_EDGES = 10_000, 169_343, 2_315_598
RUN = "run --task digits --model dmdgnn --budget smoke --device cuda --quiet"
PROGRAMS = {
    "tests": ["-m", "pytest", "-q", "-m", "cuda", "tests"],
    "run": ["-c", "from gnndiff.cli import main; main()", *RUN.split()],
}


def there_and_here(work: str, device: str, function: Callable[..., object], *tensors: Tensor) -> Row:
    """Median wall clock time of three calls on the device, and on the CPU, after one for warm-up."""
    times = []
    for place in (device, "cpu"):
        arguments, taken = [tensor.to(place) for tensor in tensors], []
        for _ in range(4):
            start = time.perf_counter()
            function(*arguments)
            if place != "cpu":
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - start)
        times.append(statistics.median(taken[1:]))
    return {"work": work, "rival": "CPU", "ours_s": times[0], "rival_s": times[1], "ratio": times[1] / times[0]}


def randn(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)


def modes(rank: int, X: Tensor, Y: Tensor, ptr: Tensor | None = None) -> Tensor:
    return DMD(rank=rank).fit(X, Y, ptr=ptr).real_modes


def kernels(device: str, shapes: tuple[tuple[int, int], ...] = SHAPES) -> Iterator[Row]:
    """Each kernel of the thin SVD, and a fit with eigenvalues and modes."""
    for (rows, columns), dtype in itertools.product(shapes, DTYPES):
        X, rank = randn(rows, columns, dtype=dtype), min(64, columns // 2)
        name = f"{rows:,} x {columns:,}, rank {rank}, {str(dtype)[6:]}"
        for method in get_args(Method)[1 : 4 if X.numel() < 10**7 else 3]:
            yield there_and_here(f"{method} kernel, {name}", device, partial(thin_svd, rank=rank, method=method), X)
        yield there_and_here(f"fit, {name}", device, partial(modes, rank), X, X.roll(1, dims=0))


def eigenproblems(device: str, shapes: tuple[tuple[int, ...], ...] = EIGENPROBLEMS) -> Iterator[Row]:
    """Where should small eigenproblems be solved?"""
    for shape, dtype in itertools.product(shapes, DTYPES):
        A = randn(*shape, dtype=dtype)
        yield there_and_here(f"eigh of {shape}, {str(dtype)[6:]}", device, torch.linalg.eigh, A @ A.mT)
        yield there_and_here(f"eig of {shape}, {str(dtype)[6:]}", device, torch.linalg.eig, A)


def ragged(device: str, graphs: int = GRAPHS) -> Iterator[Row]:
    """Many graphs of 400 to 500 nodes."""
    sizes = torch.randint(400, 501, (graphs,), generator=torch.Generator().manual_seed(0))
    ptr = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    for dtype in DTYPES:
        X = randn(int(ptr[-1]), 14, dtype=dtype)
        work = f"{graphs:,} graphs of 400 to 500 nodes x 14, rank 8, {str(dtype)[6:]}"
        yield there_and_here(work, device, partial(modes, 8), X, X.roll(1, dims=0), ptr)


def layer(device: str, nodes: int = LAYER_NODES, edges: int = LAYER_EDGES, channels: int = 128) -> Iterator[Row]:
    """Forward and backward pass of a layer on modes, and of the GCN layer of PyG."""
    edge_index = torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(0))
    layers = {"DMDConv, rank 64": DMDConv(channels, channels, 64), "GCNConv": GCNConv(channels, channels)}
    for dtype, (name, conv) in itertools.product(DTYPES, layers.items()):
        spectrum = () if name == "GCNConv" else (randn(nodes, 64, dtype=dtype), randn(64, dtype=dtype))
        work = f"{name}, {nodes:,} nodes, {edges:,} edges, {str(dtype)[6:]}"
        yield there_and_here(
            work, device, partial(both_passes, conv), randn(nodes, channels, dtype=dtype), *spectrum, edge_index
        )


def both_passes(conv: torch.nn.Module, x: Tensor, *graph: Tensor) -> object:
    conv, x = conv.to(x.device, x.dtype), x.detach().requires_grad_()
    return torch.autograd.grad(conv(x, *graph).sum(), [x, *conv.parameters()])


TABLES = (kernels, eigenproblems, ragged, layer)


def program(arguments: list[str], seconds: float) -> Row:
    """How a Python program ended, and the end of what it printed."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        own = [*arguments, "--out", f"{folder}/run"] if "run" in arguments else arguments
        try:
            done = subprocess.run([sys.executable, *own], cwd=ROOT, capture_output=True, text=True, timeout=seconds)
            status, output = done.returncode, done.stdout + done.stderr
        except subprocess.TimeoutExpired:
            status, output = None, f"did not end in {seconds:.0f} s"
    return {"status": status, "seconds": time.perf_counter() - start, "output": output[-4_000:]}


def measure(device: str, out: Path, seconds: float = SECONDS, **sizes: dict[str, Any]) -> bool:
    """Run programs and tables as long as there is time, write all after each row, and say whether all went well."""
    end = time.monotonic() + seconds
    result: Row = {"machine": machine(), "programs": {}, "rows": {}, "skipped": [], "errors": {}}

    def write() -> None:
        out.write_text(json.dumps(result, indent=2) + "\n")

    for name, arguments in PROGRAMS.items():
        result["programs"][name] = program(arguments, min(150.0, max(1.0, end - time.monotonic())))
        write()
    for table in TABLES:
        rows = result["rows"][table.__name__] = []
        try:
            for row in table(device, **sizes.get(table.__name__, {})):
                rows.append(row)
                write()
                if time.monotonic() > end:
                    result["skipped"].append(f"the rest of {table.__name__}")
                    break
        except Exception as error:  # the other tables are still wanted
            result["errors"][table.__name__] = f"{type(error).__name__}: {error}"
        print(f"{table.__name__}\n{markdown(rows)}", flush=True)
    write()
    failed = [name for name, ended in result["programs"].items() if ended["status"] != 0]
    for name in failed:
        print(f"{name} failed:\n{result['programs'][name]['output']}", file=sys.stderr)
    for name, message in result["errors"].items():
        print(f"{name}: {message}", file=sys.stderr)
    return not (failed or result["errors"] or result["skipped"])


@dataclass(frozen=True)
class Options:
    """Tests and measurements on a GPU.

    Args:
        out: File of the results.
    """

    out: Path = ROOT / "benchmarks" / "gpu.json"


def main(options: Options) -> None:
    if not torch.cuda.is_available():
        sys.exit(f"no GPU: torch {torch.__version__} finds no CUDA device, and nothing was measured")
    sys.exit(0 if measure("cuda", options.out) else 1)


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Options))
