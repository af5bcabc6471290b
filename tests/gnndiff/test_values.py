"""Options of another type, numbers that are not finite, and paths that are none are named, and nothing is made."""

import dataclasses
import math

import pytest
import torch

import dmdgnn
import gnndiff
import graphtasks
from gnndiff import GNNDiffError, GNNDiffPipeline
from gnndiff.across import compare_runs
from gnndiff.config import BUDGETS, Method, RunConfig
from gnndiff.family.config import FamilyBudget
from gnndiff.family.pipeline import FamilyPipeline
from gnndiff.results import Results
from gnndiff.runs.deliver import Best
from gnndiff.runs.folder import Run
from graphtasks import GraphTasksError

NOT_WHOLE = (math.nan, math.inf, 1e30, 2.5, "3", True, [1], torch.tensor(2))
NOT_REAL = (math.nan, math.inf, "3", True, [1], torch.tensor(2))
NO_SWITCH = (0, "no", math.nan)
NO_TEXT = (3, math.nan, ["a"], True)
NO_PATH = (3, 1.5, ["a"], b"a")
WRONG = {"int": NOT_WHOLE, "float": NOT_REAL, "bool": NO_SWITCH, "str": NO_TEXT, "Path": NO_PATH}
WRONG |= {"tuple[int, ...]": (3, "3", (2.5,), (True,)), "tuple[float, ...]": (3, "3", (math.nan,), ("3",), None)}


def wrong(config):
    """Names of fields with values of other types than the field's."""
    pairs = []
    for field in dataclasses.fields(config):
        kind, _, rest = str(field.type).partition(" | ")
        values = NO_TEXT if kind.startswith("Literal") else WRONG.get(kind, ())
        pairs += [(field.name, value) for value in (values if rest == "None" or not values else (*values, None))]
    return pairs


def named(name, call):
    """The error of a call in one line, which begins with what came."""
    with pytest.raises(
        (GNNDiffError, GraphTasksError, dmdgnn.DMDGNNError), match=rf"^got .*{name}.*expected "
    ) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), wrong(RunConfig))
def test_a_field_of_a_run_of_another_type(name, value):
    named(name, lambda: RunConfig(**{name: value}))


@pytest.mark.parametrize(("name", "value"), wrong(Method))
def test_a_constant_of_the_method_of_another_type(name, value):
    named(name, lambda: Method(**{name: value}))


@pytest.mark.parametrize("rate", [0, -1])
def test_rates_are_positive(rate):
    named("refine_rate", lambda: Method(refine_rate=rate))


@pytest.mark.parametrize(("name", "value"), wrong(BUDGETS["smoke"]))
def test_a_size_of_a_budget_of_another_type(name, value):
    named(name, lambda: dataclasses.replace(BUDGETS["smoke"], **{name: value}))


@pytest.mark.parametrize(("name", "value"), [*wrong(FamilyBudget), ("trials", 0), ("labels", 1), ("samples", -1)])
def test_a_size_of_a_budget_of_a_family_of_another_type(name, value):
    named(name, lambda: FamilyBudget(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("split", "seed", "trials", "epochs", "threads", "workers") for value in NOT_WHOLE),
        *((name, value) for name in ("trials", "candidates", "threads", "workers") for value in (0, -1)),
        ("budget", None),
        ("budget", 3),
        ("out", 3),
        ("method", 3),
        ("quiet", "no"),
    ],
)
def test_an_argument_of_run(name, value, tmp_path):
    out = {} if name == "out" else {"out": tmp_path / "run"}
    named(
        "" if name == "out" else name, lambda: gnndiff.run("mlp", "karate", **{"budget": "smoke", **out, name: value})
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("task", [None, 3, ["karate"]])
def test_a_task_that_is_none(task):
    named("task", lambda: gnndiff.run("mlp", task))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("seed", value) for value in (*NOT_WHOLE, None)),
        ("budget", None),
        ("budget", 3),
        ("condition", None),
        ("out", 3),
        ("quiet", "no"),
    ],
)
def test_an_argument_of_run_family(name, value, tmp_path):
    given = {"budget": "smoke", "out": tmp_path / "run", name: value}
    named("" if name == "out" else name, lambda: gnndiff.run_family("mlp", "csbm-family", **given))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("family", [None, 3, ["csbm-family"]])
def test_a_family_that_is_none(family):
    with pytest.raises(GraphTasksError, match="there is no family"):
        gnndiff.run_family("mlp", family)


COUNTS = ("trials", "splits", "seeds", "tuning_splits", "workers", "threads")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in COUNTS for value in (*NOT_WHOLE, 0, -1)),
        *(("seconds", value) for value in (*NOT_REAL, 0, -1)),
        *(("metrics", value) for value in ("f1", 3, [3])),
        *((name, value) for name in ("tasks", "models") for value in (None, 3, "karate")),
        ("tasks", [3]),
        ("config", {}),
        ("out", 3),
    ],
)
def test_an_argument_of_bench(name, value, tmp_path):
    given = {"tasks": ["karate"], "models": ["mlp"], "out": tmp_path / "table", "quiet": True, name: value}
    word = {"out": "", "seconds": "seconds"}.get(name, name.rstrip("s"))
    named(word, lambda: gnndiff.bench(**given))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["splits", "seeds"])
@pytest.mark.parametrize("value", [*NOT_WHOLE, 0, -1])
def test_an_argument_of_compare_runs(name, value, tmp_path):
    named(name, lambda: compare_runs([tmp_path], **{name: value}))


@pytest.mark.parametrize("folders", [None, 3, "runs/a"])
def test_runs_that_are_no_list(folders):
    named("", lambda: compare_runs(folders))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("n", value) for value in (*NOT_WHOLE, 0, -1, None)),
        *((name, value) for name in ("val", "guidance") for value in NOT_REAL),
        *(("steps", value) for value in (*NOT_WHOLE, 0, -1, 1001)),
    ],
)
def test_an_argument_of_generate(finished, name, value):
    pipeline = GNNDiffPipeline.from_pretrained(finished.folder / "generator")
    pipeline.generator.facts["steps"] = 1  # as where the denoiser has learned something
    named(name, lambda: pipeline.generate(**{"n": 1, name: value}))


@pytest.mark.parametrize(
    "read",
    [
        graphtasks.from_folder,
        graphtasks.load,
        graphtasks.load_splits,
        graphtasks.Comparison.read,
        Best.load,
        Results.load,
        Run.load,
        GNNDiffPipeline.from_pretrained,
        FamilyPipeline.from_pretrained,
        dmdgnn.LowRankOperator.load,
    ],
)
@pytest.mark.parametrize("path", [None, *NO_PATH])
def test_what_is_no_path(read, path):
    with pytest.raises((GNNDiffError, GraphTasksError, dmdgnn.DMDGNNError), match=r"^got ") as caught:
        read(path)
    assert "\n" not in str(caught.value)
