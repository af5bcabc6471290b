"""How much does a layer on modes cost, and does a model of them train on a million nodes in bounded memory?

python benchmarks/cost.py --out benchmarks/cost.json            # everything, about 3 minutes on 2 cores
python benchmarks/cost.py --works layer                         # forward and backward pass of a layer
"""

from __future__ import annotations

import json
import mmap
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import THREADS, Row, in_child, markdown, peak_above, resident, write_json
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data
from torch_geometric.nn import MLP, GATConv, GCNConv
from torch_geometric.utils import coalesce

from dmdgnn import DMD
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.kernels import Moments, RowChunks, symmetric_matmul
from dmdgnn.loader import ModeLoader
from dmdgnn.nn import DMDGNN, DMDConv

SCRIPT = os.path.abspath(__file__)
NODES, EDGES, CHANNELS = 169_343, 2_315_598, 128
SIZES = (250_000, 1_000_000)
FEATURES, CLASSES, RANK, HIDDEN = 64, 16, 32, 64
BATCH = CONTEXT = 1024


class CSRGCN(nn.Module):
    """A GCN layer as fast as it gets on a CPU: the graph is a normalised matrix, its own transpose."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin = nn.Linear(in_channels, out_channels, bias=False)

    def reset_parameters(self) -> None:
        self.lin.reset_parameters()

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        return symmetric_matmul(adjacency, self.lin(x))


def interleaved(functions: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """Median wall clock time of each function over rounds in which all take turns, after one for warm-up."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(1 + rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def layer(nodes: int = NODES, edges: int = EDGES) -> Iterator[Row]:
    """Forward and backward pass, with gradients of features and parameters, as in a hidden layer."""
    torch.manual_seed(0)
    ends = torch.randint(nodes, (2, edges // 2))
    edge_index = coalesce(torch.cat([ends, ends.flip(0)], dim=1))
    x = torch.randn(nodes, CHANNELS, requires_grad=True)
    adjacency = FeaturePropagation(direction="forward").adjacency(Data(x=x.detach(), edge_index=edge_index))
    upstream = torch.randn(nodes, CHANNELS)

    def on_modes(rank: int, **options: Any) -> tuple[nn.Module, tuple[Any, ...]]:
        modes, eigs = torch.randn(nodes, rank) / nodes**0.5, torch.rand(rank)
        return DMDConv(CHANNELS, CHANNELS, rank, **options), (modes, eigs, adjacency)

    ours = {
        "DMDConv, rank 64": on_modes(64),
        "DMDConv, rank 128": on_modes(128),
        "DMDConv, rank 64, skip": on_modes(64, skip=True),
        "DMDConv, rank 64, local by a CSR matrix": on_modes(64, local=CSRGCN),
    }
    rivals: dict[str, tuple[nn.Module, tuple[Any, ...]]] = {
        "GCNConv on edge_index, normalised once": (GCNConv(CHANNELS, CHANNELS, cached=True), (edge_index,)),
        "GATConv on edge_index": (GATConv(CHANNELS, CHANNELS), (edge_index,)),
        "GCN by a CSR matrix": (CSRGCN(CHANNELS, CHANNELS), (adjacency,)),
    }

    def both_passes(conv: nn.Module, graph: tuple[Any, ...]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(conv(x, *graph), [x, *conv.parameters()], upstream)

    times = interleaved({name: both_passes(*contender) for name, contender in (ours | rivals).items()})
    targets = dict(zip(rivals, ("at most 0.1x", "at most 0.1x", "at most 0.6x"), strict=True))
    for name in ours:
        for rival in rivals:
            yield {
                "work": f"{name}, {nodes:,} nodes, {edge_index.size(1):,} directed edges, {CHANNELS} channels, float32",
                "rival": rival,
                "ours_s": times[name],
                "rival_s": times[rival],
                "ratio": times[name] / times[rival],
                "target": targets[rival] if name == "DMDConv, rank 64" else "",
            }


def million(sizes: tuple[int, ...] = SIZES, epochs: int = 10) -> Iterator[Row]:
    """Training in mini-batches on two sizes of a graph: which part of the memory grows with it?"""
    for nodes in sizes:
        with tempfile.TemporaryDirectory() as folder:
            prepared = in_child(SCRIPT, "--child", "prepare", str(nodes), folder)
            more = in_child(SCRIPT, "--child", "train", str(epochs), folder) | prepared
        yield {
            "work": f"an epoch of DMDGNN, {nodes:,} nodes, a tenth of them labelled, {BATCH} seeds + {CONTEXT} others",
            "rival": f"MLP, {BATCH} seeds",
            "ours_s": more.pop("ours_s"),
            "rival_s": more.pop("rival_s"),
            "ratio": more.pop("ratio"),
            "target": "memory of training does not grow",
            "more": more,
        }


def prepare(nodes: str, folder: str) -> Row:
    """Write features, classes, modes and eigenvalues."""
    torch.set_num_threads(THREADS)
    x, y, edge_index = communities(int(nodes), folder)
    out: Row = {}
    start = time.perf_counter()
    out["MB of propagation above the graph"] = peak_above(lambda: propagate(x, edge_index, folder))
    out["MB of DMD"] = peak_above(lambda: torch.save((y, modes_of(x.shape, folder)), f"{folder}/rest"))
    return {"seconds of propagation and DMD": time.perf_counter() - start} | out


def communities(nodes: int, folder: str) -> tuple[np.memmap, Tensor, Tensor]:
    """Features on disk, classes and edges, ten a node in both directions together, 6 in 10 within a community."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(CLASSES, (nodes,), generator=generator)
    means = torch.randn(CLASSES, FEATURES, generator=generator)
    x = np.memmap(f"{folder}/x", dtype="float32", mode="w+", shape=(nodes, FEATURES))
    order, sizes = y.argsort(), y.bincount()
    first = sizes.cumsum(0) - sizes
    edges = []
    for start in range(0, nodes, 100_000):
        chunk = torch.arange(start, min(start + 100_000, nodes))
        noise = torch.randn(len(chunk), FEATURES, generator=generator)
        x[start : start + len(chunk)] = (means[y[chunk]] + 6 * noise).numpy()
        source = chunk.repeat_interleave(5)
        community = y[source]
        within = torch.rand(len(source), generator=generator) < 0.6
        offset = (torch.rand(len(source), dtype=torch.float64, generator=generator) * sizes[community]).long()
        anywhere = torch.randint(nodes, (len(source),), generator=generator)
        edges.append(torch.stack([source, torch.where(within, order[first[community] + offset], anywhere)]))
    x.flush()
    ends = torch.cat(edges, dim=1)
    return x, y, torch.cat([ends, ends.flip(0)], dim=1)


def propagate(x: np.memmap, edge_index: Tensor, folder: str, columns: int = 8) -> None:
    """Write the snapshots that follow from features in two steps, and in three; a few columns at a time."""
    adjacency = FeaturePropagation(direction="forward").adjacency(Data(x=torch.empty(len(x), 1), edge_index=edge_index))
    snapshots = [np.memmap(f"{folder}/{name}", dtype="float32", mode="w+", shape=x.shape) for name in ("X", "Y")]
    for start in range(0, x.shape[1], columns):
        block = slice(start, start + columns)
        state = adjacency @ (adjacency @ torch.from_numpy(np.ascontiguousarray(x[:, block])))
        for array in snapshots:
            array[:, block] = state.numpy()
            state = adjacency @ state
        for array in (x, *snapshots):
            _give_back(array)


def modes_of(shape: tuple[int, ...], folder: str) -> Tensor:
    """Write the modes of the snapshots and give their eigenvalues; a few rows at a time."""
    X, Y = (np.memmap(f"{folder}/{name}", dtype="float32", mode="r", shape=shape) for name in ("X", "Y"))
    chunks = RowChunks(X, Y)
    dmd = DMD(rank=RANK, modes="projected", constraint="symmetric").fit_moments(Moments.of_chunks(chunks))
    with open(f"{folder}/modes", "wb") as file:
        for rows in chunks:
            file.write(dmd.lift_modes(*rows).numpy().tobytes())
    return dmd.eigs.unsqueeze(0)


def _give_back(array: np.memmap) -> None:
    """Let go of pages of a file, which otherwise count as resident."""
    array.flush()
    array._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def train(epochs: str, folder: str) -> Row:
    """Seconds, accuracies and megabytes."""
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    warm = Data(x=torch.randn(100, 4), dmd_modes=torch.randn(100, 2), dmd_eigs=torch.rand(1, 2))
    fit(DMDGNN(4, 4, 2, 2, rank=2), ModeLoader(warm, context=9, batch_size=9), torch.zeros(100, dtype=torch.int64), 1)
    imported = resident()
    y, eigs = torch.load(f"{folder}/rest", weights_only=True)
    x, modes = (
        torch.from_numpy(np.fromfile(f"{folder}/{name}", "float32").reshape(len(y), -1)) for name in ("x", "modes")
    )
    data = Data(x=x, dmd_modes=modes, dmd_eigs=eigs)
    labelled = torch.rand(len(x)) < 0.1
    model = DMDGNN(FEATURES, HIDDEN, 2, CLASSES, rank=RANK, skip=True, dropout=0.5)
    mlp = MLP([FEATURES, HIDDEN, CLASSES], dropout=0.5, norm=None)
    loader = ModeLoader(data, labelled, CONTEXT, batch_size=BATCH, shuffle=True)
    everyone = ModeLoader(data, batch_size=16 * BATCH)
    out: Row = {}
    training = peak_above(lambda: out.update(ours_s=fit(model, loader, y, int(epochs))))
    out["rival_s"] = fit(mlp, ModeLoader(data, labelled, batch_size=BATCH, shuffle=True), y, int(epochs))
    start = time.perf_counter()
    inference = peak_above(lambda: out.update(pred=model.eval().inference(everyone).argmax(dim=1)))
    inference_s = time.perf_counter() - start
    rest, pred = ~labelled, out.pop("pred")
    with torch.no_grad():
        plain = torch.cat([mlp.eval()(batch.x).argmax(dim=1) for batch in everyone])
    held = sum(part.numel() * part.element_size() for part in (x, modes, y)) / 1e6
    return {
        **out,
        "ratio": out["ours_s"] / out["rival_s"],
        "test accuracy": float((pred == y)[rest].float().mean()),
        "MLP's": float((plain == y)[rest].float().mean()),
        "seconds of inference": inference_s,
        "MB of features, modes and classes": held,
        "MB of training above them": training,
        "MB of inference above them": inference,
        "MB of the whole process above the imports": resident("VmHWM") - imported,
    }


def fit(model: nn.Module, loader: ModeLoader, y: Tensor, epochs: int) -> float:
    """Train; the median seconds of an epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    times = []
    model.train()
    for _ in range(epochs):
        start = time.perf_counter()
        for batch in loader:
            spectrum = (batch.edge_index, batch.dmd_modes, batch.dmd_eigs) if isinstance(model, DMDGNN) else ()
            duals = {"dmd_duals": batch.dmd_duals} if spectrum else {}
            seeds = batch.batch_size
            loss = cross_entropy(model(batch.x, *spectrum, **duals)[:seeds], y[batch.n_id[:seeds]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


WORKS = (layer, million)


@dataclass(frozen=True)
class Options:
    """Benchmarks of the cost of layers and models on modes.

    Args:
        works: Names of what to measure, by default everything.
        out: File to which rows are added, and in which rows of the same work and rival are replaced.
    """

    works: list[str] = field(default_factory=lambda: [work.__name__ for work in WORKS])
    out: Path | None = None


def main(options: Options) -> None:
    torch.set_num_threads(THREADS)
    works: dict[str, Callable[[], Iterator[Row]]] = {work.__name__: work for work in WORKS}
    for name in options.works:
        rows = []
        for row in works[name]():
            print(json.dumps(row), flush=True)
            rows.append(row)
        print(markdown(rows), flush=True)
        if options.out is not None:
            write_json(options.out, rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        children: dict[str, Callable[..., Row]] = {child.__name__: child for child in (prepare, train)}
        print(json.dumps(children[sys.argv[2]](*sys.argv[3:])))
    else:
        import tyro

        main(tyro.cli(Options))
