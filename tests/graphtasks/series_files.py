"""Small files of each series, written by hand."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphtasks import GraphTask
from graphtasks.sources.series import SERIES

BY_NAME = {series.task_name: series for series in SERIES}


STEPS = 20


EDGES = [[0, 0], [0, 1], [1, 0], [1, 2], [2, 1]]


def value(step: int, node: int) -> float:
    """Distinct for all steps and nodes, and exact in float32."""
    return 10 * step + node - 50.5


def chickenpox() -> dict[str, Any]:
    values = [[value(step, node) for node in range(3)] for step in range(STEPS)]
    return {"edges": [list(edge) for edge in EDGES], "node_ids": {"BACS": 0, "BARANYA": 1, "BEKES": 2}, "FX": values}


def pedalme() -> dict[str, Any]:
    values = [[value(step, node) for node in range(3)] for step in range(STEPS)]
    return {"edges": [[0, 1], [1, 2], [2, 2]], "weights": [1, 0.5, 0.25], "X": values}


def wikimaths() -> dict[str, Any]:
    steps = {
        str(step): {"index": step, "year": 2019, "month": 3, "day": step + 1, "y": [100 * step + 7, 100 * step]}
        for step in range(STEPS)
    }
    nodes = {"Mathematics": 0, "Number": 1}
    return {"edges": [[1, 0]], "weights": [3], "time_periods": STEPS, "node_ids": nodes, **steps}


def tennis(first_node: str = "rolandgarros") -> dict[str, Any]:
    """In step s an edge of weight s + 1 from node s % 4 to the next, degrees 10 s + node and 5 s + node mentions."""
    steps = {
        str(step): {
            "index": step,
            "edges": [[step % 4, (step + 1) % 4], [0, 0]][: 1 + step % 2],
            "weights": [step + 1, 1][: 1 + step % 2],
            "y": [5 * step + node for node in range(4)],
            "X": [[10.0 * step + node, 1 / (step + 1)] for node in range(4)],
        }
        for step in range(STEPS)
    }
    return {**steps, "time_periods": STEPS, "node_ids": {first_node: 0, "RafaelNadal": 1, "b": 2, "c": 3}}


CONTENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "chickenpox": chickenpox,
    "pedalme": pedalme,
    "wikimaths": wikimaths,
    "twitter-tennis-rg17": tennis,
    "twitter-tennis-uo17": lambda: tennis("usopen"),
}


FILES = {
    "chickenpox": "chickenpox.json",
    "pedalme": "pedalme_london.json",
    "wikimaths": "wikivital_mathematics.json",
    "twitter-tennis-rg17": "twitter_tennis_rg17.json",
    "twitter-tennis-uo17": "twitter_tennis_uo17.json",
}


every_series = pytest.mark.parametrize("name", list(CONTENTS))


def write(root: Path, name: str, content: Any, packed: bool = True) -> Path:
    path = root / "temporal" / (FILES[name] + (".gz" if packed else ""))
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


def load_series(root: Path, name: str, **options: Any) -> GraphTask:
    return BY_NAME[name].load("time", root, **options)


def load_content(root: Path, name: str, content: Any, **options: Any) -> GraphTask:
    write(root, name, content)
    return load_series(root, name, **options)


def tree(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """All that is under a folder, with times and contents."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in folder.rglob("*")}
