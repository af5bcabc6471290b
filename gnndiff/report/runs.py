"""The runs of a folder, as a list."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gnndiff.errors import GNNDiffError, RunFolderError
from gnndiff.runs.record import CONFIG, ORDER, read_config, read_record, read_results
from graphtasks.files import as_path


def list_runs(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Facts about each run in a folder, in the order of their names: how far it got, and what it delivers.

    Runs over families and folders of other things are left out. A damaged run has its error as `state`.

    Raises:
        RunFolderError: There is no such folder.
    """
    folder = as_path(folder)
    if not folder.is_dir():
        raise RunFolderError(f"there is no folder {folder}: give one that holds run folders, such as runs")
    facts = [_facts(path) for path in sorted(folder.iterdir()) if (path / CONFIG).is_file()]
    return [each for each in facts if each is not None]


def _facts(path: Path) -> dict[str, Any] | None:
    try:
        config = read_config(path)
        if "identity" not in config:
            return None
        stages = read_record(path, config["identity"])
        run = {name: config[name] for name in ("task", "model", "budget", "split", "seed")}
        if "compare" not in stages:
            done = next((stage for stage in reversed(ORDER) if stage in stages), "nothing")
            return {"folder": str(path), **run, "state": f"{done} finished"}
        best, metric = (read_results(path)[name] for name in ("best", "metric"))
        scores = {name: best[name] for name in ("row", "val", "test")}
        return {"folder": str(path), **run, "state": "finished", "metric": metric, **scores}
    except GNNDiffError as error:
        return {"folder": str(path), "state": str(error)}
