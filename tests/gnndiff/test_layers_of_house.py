"""Nothing in gnndiff imports upwards."""

import ast
from pathlib import Path

import pytest

import gnndiff

ROOT = Path(gnndiff.__file__).parent
LOW = sorted(path for folder in ("targets", "layers") for path in (ROOT / folder).glob("*.py"))
MIDDLE = sorted(
    [
        *(
            ROOT / f"{name}.py"
            for name in ("evaluation", "gradients", "networks", "stacked", "norm_statistics", "live_bytes")
        ),
        *(ROOT / "zoo").glob("*.py"),
        *(ROOT / "generators").glob("*.py"),
    ]
)


def imported(path):
    """Names of the modules of gnndiff that a file imports, at its top or in a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "gnndiff")
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "relative"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gnndiff":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def label(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", LOW, ids=label)
def test_targets_and_layers_import_themselves_configuration_and_errors(path):
    allowed = ("gnndiff.targets", "gnndiff.layers", "gnndiff.config", "gnndiff.errors", "gnndiff.names")
    assert [name for name in imported(path) if not name.startswith(allowed)] == []


@pytest.mark.parametrize("path", MIDDLE, ids=label)
def test_evaluation_zoo_and_generators_know_no_run(path):
    above = ("gnndiff.runs", "gnndiff.rows", "gnndiff.search", "gnndiff.stages", "gnndiff.api", "gnndiff.cli")
    assert [name for name in imported(path) if name.startswith(above) or name in ("relative", "gnndiff.Run")] == []


def test_there_are_such_files():
    assert len(LOW) > 20
    assert len(MIDDLE) > 10
