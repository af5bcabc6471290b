"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Advance = Callable[[str], None]


@contextmanager
def progress(label: str, total: int, *, done: int = 0, quiet: bool = False) -> Iterator[Advance]:
    """Report work of `total` steps on stderr, of which `done` were there before.

    Yields:
        A function to call after each step, with a short text such as the best score so far.
    """
    start = perf_counter()
    if quiet or not sys.stderr.isatty():
        yield _lines(label, total, done, start)
        return
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rate]} {task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        job = bar.add_task(label, total=total, completed=done, rate="", text="")
        count = 0

        def advance(text: str) -> None:
            nonlocal count
            count += 1
            bar.update(job, advance=1, rate=_rate(count, start), text=text)

        yield advance


def _lines(label: str, total: int, done: int, start: float) -> Advance:
    step = max(1, total // 5)
    count = 0

    def advance(text: str) -> None:
        nonlocal count
        count += 1
        if (done + count) % step == 0 or done + count == total:
            print(f"{label} {done + count}/{total} {_rate(count, start)} {text}", file=sys.stderr, flush=True)

    return advance


def _rate(count: int, start: float) -> str:
    return f"{count / max(perf_counter() - start, 1e-9):.1f}/s"
