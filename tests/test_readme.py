"""The Python in README.md runs as it stands there."""

import re
from pathlib import Path

import pytest

import graphtasks

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_python_blocks_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL):
        exec(compile(block, "README.md", "exec"), names)
    assert names["out"].shape == (34, 32)
    assert sorted(names["dmd"].eigs.real.tolist()) == pytest.approx([0.5, 0.9], abs=1e-4)
    wine = graphtasks.load("wine")
    assert wine.evaluate(names["scores"], split=0, part="test") == pytest.approx(names["best"].test)
    assert names["result"].val > 0.9
