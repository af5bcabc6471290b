"""Values of other types, where a path or a name is expected, are refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gnndiff
import graphtasks
from gnndiff import GNNDiffError, GNNDiffPipeline, Results, Run
from gnndiff.across import compare_runs
from gnndiff.names import by_name
from gnndiff.report.runs import list_runs
from gnndiff.runs.deliver import Best
from gnndiff.targets import find
from graphtasks import GraphTasksError

NAMED = (GNNDiffError, GraphTasksError)
TASK = graphtasks.load("karate")
PATHS: dict[str, Callable[[Any], object]] = {
    "best": Best.load,
    "pipeline": GNNDiffPipeline.from_pretrained,
    "results": Results.load,
    "run": Run.load,
    "runs": list_runs,
    "runs compared": lambda value: compare_runs([value]),
}
NAMES: dict[str, Callable[[Any], object]] = {
    "choice": lambda value: by_name("budget", value, {"smoke": 1}),
    "target": find,
    "target of a run": lambda value: gnndiff.run(value, "karate"),
    "task of a run": lambda value: gnndiff.run("gcn", value),
    "budget of a run": lambda value: gnndiff.run("gcn", "karate", budget=value),
    "task of a benchmark": lambda value: gnndiff.bench([value], ["mlp"]),
    "model of a benchmark": lambda value: gnndiff.bench(["karate"], [value]),
    "tasks of a benchmark": lambda value: gnndiff.bench(value, ["mlp"]),
    "models of a benchmark": lambda value: gnndiff.bench(["karate"], value),
    "metric": lambda value: TASK.replace(metric=value),
}
WRONG = [None, 3, True, float("nan"), [None], {}, b"karate", object()]


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize("what", [*PATHS, *NAMES])
def test_refused(what: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(NAMED, match=r"expected|has no space|needs") as caught:
        {**PATHS, **NAMES}[what](value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [3, True, [], b"run"], ids=repr)
def test_no_folder_to_write(value: Any, tmp_path: Path) -> None:
    with pytest.raises(GraphTasksError, match="expected a path"):
        gnndiff.run("gcn", "karate", budget="smoke", out=value)
    with pytest.raises(GraphTasksError, match="expected a path"):
        gnndiff.bench(["karate"], ["mlp"], out=value)
    assert not list(tmp_path.iterdir())


def test_one_name_for_several() -> None:
    with pytest.raises(GNNDiffError, match=r"got tasks='karate', expected several"):
        gnndiff.bench("karate", ["mlp"])
    with pytest.raises(GNNDiffError, match=r"got models='mlp', expected several"):
        gnndiff.bench(["karate"], "mlp")
    with pytest.raises(GNNDiffError, match=r"got 'runs/a' as runs, expected several"):
        compare_runs("runs/a")
