"""Time and memory of a function, and tables of what was measured."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gnndiff.benchmark.machine import machine as described
from gnndiff.benchmark.rows import with_check, without_check
from gnndiff.errors import ConfigError
from gnndiff.report.markdown import table as table  # of the rows of other benchmarks

THREADS = int(os.environ.get("OMP_NUM_THREADS", 2))
Row = dict[str, Any]


def seconds(function: Callable[..., object], *arguments: Any, **options: Any) -> float:
    """Median wall clock time of five calls with these arguments, after one for warm-up."""
    function(*arguments, **options)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function(*arguments, **options)
        times.append(time.perf_counter() - start)
    return sorted(times)[2]


def resident(field: str = "VmRSS") -> float:
    """Resident memory of this process in MB, now ('VmRSS') or at its peak ('VmHWM'); Linux."""
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) / 1000


def peak_above(function: Callable[[], object]) -> float:
    """How far resident memory rises, in MB, above what it is before the call."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident()
    function()
    return resident("VmHWM") - before


def in_child(script: str, *arguments: str, timeout: float | None = None) -> Any:
    """The JSON in the last line that the script prints when called with the arguments in a process of its own."""
    threads = {name: str(THREADS) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    output = subprocess.run(
        [sys.executable, script, *arguments],
        env={**os.environ, **threads},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=timeout,
    ).stdout
    return json.loads(output.splitlines()[-1])


def machine() -> Row:
    """The machine that the numbers were measured on."""
    return described(THREADS)


def read_lines(path: Path) -> list[Row]:
    """Rows of a file with one on each line, none where there is no file.

    Raises:
        SystemExit: A line is no row, or is not as it was written. The file stays as it is.
    """
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [_row(line, f"line {number} of {path}") for number, line in enumerate(lines, 1)]


def _row(text: bytes, where: str) -> Row:
    """The row in a text, without its checksum."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise SystemExit(f"{where} is no row: remove it, or use another file")
    try:
        return without_check(row, where)
    except ConfigError as error:
        raise SystemExit(str(error)) from error


def add_line(path: Path, row: Row) -> None:
    """Write a row with its checksum as the last line of a file."""
    with path.open("a") as file:
        file.write(as_line(row))


def as_line(row: Row) -> str:
    """A row with its checksum as a line."""
    return json.dumps(with_check(row), separators=(",", ":")) + "\n"


def write_json(path: Path, rows: list[Row]) -> None:
    """Write the machine and the rows, one a line; rows that are there for the same work and rival are replaced."""
    names = {(row["work"], row["rival"]) for row in rows}
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    kept = [row for row in kept if (row["work"], row["rival"]) not in names]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in kept + rows)
    path.write_text(f'{{\n"machine": {json.dumps(machine())},\n"rows": [\n{lines}\n]\n}}\n')


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| work | rival | ours | rival's | ratio | target | more |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        more = ", ".join(f"{name} {_number(value)}" for name, value in row.get("more", {}).items())
        cells = (row["work"], row["rival"], _seconds(row["ours_s"]), _seconds(row["rival_s"]), f"{row['ratio']:.3g}x")
        lines.append(f"| {' | '.join(cells)} | {row.get('target', '')} | {more} |")
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
