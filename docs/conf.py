"""Configuration of the documentation."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "datasets")]

from dmdgnn import __version__  # noqa: E402

project = "dmdgnn"
author = copyright = "the dmdgnn contributors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "groupwise"
napoleon_use_rtype = False
html_theme = "furo"
html_title = f"dmdgnn {release}"
# Names in docstrings are those of PyG's reference or of private modules; they are shown, and not looked up.
suppress_warnings = ["ref.python", "myst.strikethrough"]

SOURCE = "https://github.com/dmdgnn/gnndiff/blob/main/"


def setup(app: Any) -> None:
    """Let links to other files lead to the repository, and shapes such as (*batch, N) be text."""

    def elsewhere(app: Any, name: str, source: list[str]) -> None:
        source[0] = source[0].replace("](../", f"]({SOURCE}")

    def shapes(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
        lines[:] = [re.sub(r"(?<=[(\[, ])\*(?=[a-z])", r"\\*", line) for line in lines]

    app.connect("source-read", elsewhere)
    app.connect("autodoc-process-docstring", shapes, priority=900)
