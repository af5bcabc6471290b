"""Do users of PyDMD, kooplearn and pykoop find here what they have there? Signals of PyDMD's tutorials, times of fits.

python benchmarks/dmd_users.py --out benchmarks/dmd_users.jsonl       # everything, about 5 minutes on one core
python benchmarks/dmd_users.py --works oscillators                    # some of it

kooplearn and pykoop are measured where they are installed (`pip install kooplearn pykoop`).
"""

from __future__ import annotations

import importlib.util
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from measure import Row, as_line, machine, read_lines

from dmdgnn import DMD, OptDMD

Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]
RATES = np.array([2.3j, 2.8j])


def two_oscillators(uneven: bool, real: bool, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """PyDMD's first tutorial, sech(x + 3) e^(2.3 i t) + 2 sech(x) tanh(x) e^(2.8 i t) on 65 x 129 points, with noise,
    at even times or at random ones: snapshots, times and rates. The real one has waves that travel."""
    generator = np.random.default_rng(seed)
    x, t = np.linspace(-5, 5, 65), np.linspace(0, 4 * math.pi, 129)
    if uneven:
        t = np.sort(generator.uniform(0, 4 * math.pi, 129))
    shapes = np.stack([1 / np.cosh(x + 3), 2 / np.cosh(x) * np.tanh(x)], axis=1)
    if real:
        shapes = shapes + 1j * np.stack([0.5 / np.cosh(x), 1 / np.cosh(x - 2)], axis=1)
    X = shapes @ np.exp(np.outer(RATES, t))
    error = generator.standard_normal(X.shape) + 1j * generator.standard_normal(X.shape)
    X = X + noise * error / math.sqrt(2)
    return (X.real, t, np.concatenate([RATES, RATES.conj()])) if real else (X, t, RATES)


def distance(found: np.ndarray, true: np.ndarray) -> float:
    """The largest distance of matched eigenvalues."""
    from scipy.optimize import linear_sum_assignment

    if len(found) != len(true):
        return math.inf
    apart = np.abs(found[:, None] - true)
    return float(apart[linear_sum_assignment(apart)].max())


def tried(fit: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Result of a fit, or None, and its seconds of processor time, to which other work adds little."""
    start = process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = fit(*arguments)
        except np.linalg.LinAlgError:
            found = None
    return found, process_time() - start


def compared(
    work: str,
    rival: str,
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    cases: list[tuple[Any, ...]],
    **more: Any,
) -> Row:
    """Errors against the truth, the last of each case, and times, alternately, in the median over the cases."""
    errors: tuple[list[float], list[float]] = ([], [])
    times: tuple[list[float], list[float]] = ([], [])
    for fit in (ours, theirs):
        tried(fit, *cases[0][:-1])
    for case in cases:
        for fit, error, time in zip((ours, theirs), errors, times, strict=True):
            found, seconds = tried(fit, *case[:-1])
            error.append(math.inf if found is None else distance(np.asarray(found), case[-1]))
            time.append(seconds)
    ratios = np.array(times[1]) / np.array(times[0])
    return {
        "work": work,
        "rival": rival,
        "fits": len(cases),
        "ours_ms": 1e3 * float(np.median(times[0])),
        "rival_ms": 1e3 * float(np.median(times[1])),
        "ours_least_ms": 1e3 * min(times[0]),
        "rival_least_ms": 1e3 * min(times[1]),
        "ratio": float(np.median(ratios)),
        "ratio_of_least": min(times[1]) / min(times[0]),
        "error": float(np.median(errors[0])),
        "rival_error": float(np.median(errors[1])),
        "worst_error": max(errors[0]),
        "rival_worst_error": max(errors[1]),
        **more,
    }


def optimised(rank: int, **options: Any) -> Fit:
    return lambda X, t: OptDMD(rank, **options).fit(torch.from_numpy(X), torch.from_numpy(t)).eigs.numpy()


def bopdmd(rank: int, **options: Any) -> Fit:
    from pydmd import BOPDMD

    return lambda X, t: BOPDMD(svd_rank=rank, **options).fit(X, t).eigs


def oscillators() -> Iterator[Row]:
    """Optimised DMD on 100 noisy pairs of oscillators, one after another, and as one batch."""
    for uneven in (False, True):
        for real in (False, True):
            for noise in (0.1, 0.5):
                rank = 4 if real else 2
                cases = [two_oscillators(uneven, real, noise, seed) for seed in range(100)]
                times = "uneven times" if uneven else "even times"
                work = f"two {'real' if real else 'complex'} oscillators, {times}, noise {noise}, 65 x 129"
                target = "error at most the rival's, 5x faster"
                row = compared(work, "PyDMD BOPDMD", optimised(rank), bopdmd(rank), cases, target=target)
                X, t = (torch.from_numpy(np.stack(part)) for part in list(zip(*cases, strict=True))[:2])
                batch = min(tried(lambda X=X, t=t, rank=rank: OptDMD(rank).fit(X, t))[1] for _ in range(3))
                yield {**row, "ours_in_a_batch_ms": 10 * batch, "ratio_in_a_batch": row["rival_ms"] / (10 * batch)}


def bagging() -> Iterator[Row]:
    """100 trials of bagging: time, and how often intervals of 95 % hold the true rates."""
    cases = [two_oscillators(False, True, 0.5, seed) for seed in range(10)]
    row = compared(
        "bagging, 100 trials, two real oscillators, even times, noise 0.5, 65 x 129",
        "PyDMD BOPDMD",
        optimised(4, trials=100),
        bopdmd(4, num_trials=100),
        cases,
        target="5x faster",
    )
    inside = []
    for seed in range(100):
        X, t, rates = two_oscillators(False, True, 0.5, seed)
        dmd = OptDMD(4, trials=100).fit(torch.from_numpy(X), torch.from_numpy(t))
        low, high = (bound.numpy() for bound in dmd.interval())
        true = np.array([rates[np.abs(rates - rate).argmin()] for rate in dmd.eigs.numpy()])
        inside += [(part(low) <= part(true)) & (part(true) <= part(high)) for part in (np.real, np.imag)]
    yield {**row, "share_of_intervals_that_hold_the_rate": float(np.mean(inside))}


def tutorials() -> Iterator[Row]:
    """Heat, a noisy scalar series with delays, and control, by the estimators that PyDMD's tutorials take."""
    import pydmd
    from pydmd.preprocessing import hankel_preprocessing

    def heat(seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Three decays in a rod of 256 points: snapshots and eigenvalues of a step."""
        x, t = np.linspace(0, 1, 256), np.linspace(0, 2, 128)
        k, rates = np.arange(1, 4), -0.1 * (np.arange(1, 4) * math.pi) ** 2
        X = np.sin(math.pi * np.outer(x, k)) @ (np.array([[1.0], [0.8], [-0.6]]) * np.exp(np.outer(rates, t)))
        X = X + 1e-3 * np.random.default_rng(seed).standard_normal(X.shape)
        return X, np.exp(rates * t[1])

    cases: list[tuple[Any, ...]] = [heat(seed) for seed in range(20)]
    work = "heat in a rod, three decays, noise 0.001, 256 x 128"
    yield compared(
        work,
        "PyDMD DMD",
        lambda X: DMD(3).fit(torch.from_numpy(X)).eigs.numpy(),
        lambda X: pydmd.DMD(svd_rank=3, exact=True).fit(X).eigs,
        cases,
    )
    step = 2 / 127
    timed = [(X, step * np.arange(128), np.log(eigs) / step) for X, eigs in cases]
    yield compared(f"{work}, rates", "PyDMD BOPDMD", optimised(3), bopdmd(3), timed)

    def scalar(seed: int) -> tuple[np.ndarray, np.ndarray]:
        t = np.linspace(0, 16 * math.pi, 400)
        X = np.cos(t) * np.sin(np.cos(t)) + np.cos(0.2 * t)
        tones = np.array([0.2, 2.0])
        X = X + 0.1 * np.random.default_rng(seed).standard_normal(X.shape)
        return X[None], np.concatenate([np.exp(1j * tones * t[1]), np.exp(-1j * tones * t[1]), [1.0]])

    yield compared(
        "a scalar series of tones, noise 0.1, 400 values, 60 delays, rank 5",
        "PyDMD DMD after hankel_preprocessing",
        lambda X: DMD(5, delays=60).fit(torch.from_numpy(X)).eigs.numpy(),
        lambda X: hankel_preprocessing(pydmd.DMD(svd_rank=5, exact=True), d=60).fit(X).eigs,
        [scalar(seed) for seed in range(20)],
    )

    def driven(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """25 states of which each goes to a fifth of itself and of the next, under 25 inputs."""
        generator = np.random.default_rng(seed)
        n, steps = 25, 100
        basis = np.linalg.qr(generator.standard_normal((n, n)))[0]
        eigs = np.linspace(0.3, 0.95, n)
        A, B = basis * eigs @ basis.T, generator.standard_normal((n, 5))
        inputs = generator.standard_normal((5, steps - 1))
        states = [generator.standard_normal(n)]
        for k in range(steps - 1):
            states.append(A @ states[-1] + B @ inputs[:, k])
        return np.stack(states, axis=1), inputs, eigs.astype(complex)

    def ours_controlled(X: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        eigs = DMD().fit(torch.from_numpy(X), control=torch.from_numpy(inputs)).eigs.numpy()
        return eigs[: len(X)]  # each input adds an eigenvalue of about zero

    yield compared(
        "25 states under 5 known inputs, 100 snapshots",
        "PyDMD DMDc",
        ours_controlled,
        lambda X, inputs: pydmd.DMDc(svd_rank=-1).fit(X, inputs).eigs,
        [driven(seed) for seed in range(20)],
    )


def small() -> Iterator[Row]:
    """DMD at the sizes of PyDMD's tutorials, eigenvalues and modes."""
    import pydmd

    def ours(X: np.ndarray, rank: int) -> np.ndarray:
        dmd = DMD(rank).fit(torch.from_numpy(X))
        assert len(dmd.modes) == len(X)
        return dmd.eigs.numpy()

    def theirs(X: np.ndarray, rank: int) -> np.ndarray:
        model = pydmd.DMD(svd_rank=rank, exact=True).fit(X)
        return model.eigs

    for size in ((65, 129), (400, 15), (256, 128)):
        for rank in (2, 8):
            generator = np.random.default_rng(0)
            true = np.exp(1j * np.linspace(0.2, 1.5, rank // 2))
            shapes = generator.standard_normal((size[0], rank // 2)) + 1j * generator.standard_normal(
                (size[0], rank // 2)
            )
            X = (shapes @ true[:, None] ** np.arange(size[1])).real
            case = (X, rank, np.concatenate([true, true.conj()]))
            work = f"fit, {size[0]} x {size[1]}, rank {rank}"
            yield compared(work, "PyDMD DMD", ours, theirs, [case] * 50, target="at least as fast")


def koopman() -> Iterator[Row]:
    """Fits to a series of linear dynamics with noise, snapshots x observables as kooplearn counts, rank 10."""

    def series(snapshots: int, observables: int) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(0)
        true = 0.99 * np.exp(1j * np.linspace(0.2, 1.5, 5))
        blocks = [[[z.real, -z.imag], [z.imag, z.real]] for z in true]
        A = np.zeros((10, 10))
        for i, block in enumerate(blocks):
            A[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = block
        states = [generator.standard_normal(10)]
        for _ in range(snapshots - 1):
            states.append(A @ states[-1] + 0.1 * generator.standard_normal(10))
        mixing = np.linalg.qr(generator.standard_normal((observables, 10)))[0]
        return np.stack(states) @ mixing.T, np.concatenate([true, true.conj()])

    def ours(X: np.ndarray) -> np.ndarray:
        return DMD(10).fit(torch.from_numpy(X).mT).eigs.numpy()

    rivals: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    if importlib.util.find_spec("kooplearn"):
        from kooplearn.linear_model import Ridge

        rivals["kooplearn Ridge, reduced rank"] = lambda X: Ridge(10, alpha=1e-6).fit(X).eig()
        rivals["kooplearn Ridge, principal components"] = lambda X: (
            Ridge(10, alpha=1e-6, reduced_rank=False).fit(X).eig()
        )
    if importlib.util.find_spec("pykoop"):
        import pykoop

        def dmd(X: np.ndarray) -> np.ndarray:
            pipeline = pykoop.KoopmanPipeline(regressor=pykoop.Dmd(tsvd=pykoop.Tsvd("rank", 10)))
            return pipeline.fit(X, n_inputs=0, episode_feature=False).regressor_.eigenvalues_

        rivals["pykoop Dmd"] = dmd
    import pydmd

    rivals["PyDMD DMD"] = lambda X: pydmd.DMD(svd_rank=10, exact=True).fit(X.T).eigs
    for size in ((1_000, 20), (5_000, 100), (10_000, 400)):
        X, true = series(*size)
        for rival, fit in rivals.items():
            work = f"fit, {size[0]:,} snapshots of {size[1]} observables, rank 10"
            yield compared(work, rival, ours, fit, [(X, true)] * 5)


WORKS = (oscillators, bagging, tutorials, small, koopman)


@dataclass(frozen=True)
class Options:
    """Benchmarks against libraries of Dynamic Mode Decomposition and Koopman operators.

    Args:
        works: Names of measurements to take, by default all.
        threads: Threads of torch; set OMP_NUM_THREADS and OPENBLAS_NUM_THREADS to the same for the rivals.
        out: File to which rows are added, one a line, and in which rows of the same work and rival are replaced.
    """

    works: list[str] = field(default_factory=lambda: [work.__name__ for work in WORKS])
    threads: int = 1
    out: Path | None = None


def main(options: Options) -> None:
    torch.set_num_threads(options.threads)
    works = {work.__name__: work for work in WORKS}
    where = {**machine(), "threads": options.threads}
    for name in options.works:
        for row in works[name]():
            row = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}
            print(json.dumps(row), flush=True)
            if options.out is not None:
                write_line(options.out, {**row, "processor": where["processor"], "threads": options.threads})


def write_line(path: Path, row: Row) -> None:
    """Add a row, and drop one of the same work and rival."""
    rows = [kept for kept in read_lines(path) if (kept["work"], kept["rival"]) != (row["work"], row["rival"])]
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    path.write_text("".join(map(as_line, [*rows, finite])))


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # PyDMD's
    import tyro

    main(tyro.cli(Options))
