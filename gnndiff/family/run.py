"""The one call from a model and a family to a generator for graphs never seen."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

import graphtasks
from gnndiff.errors import ConfigError, RunFolderError
from gnndiff.family.conditions import check_condition
from gnndiff.family.config import FamilyBudget, find_budget
from gnndiff.family.rows import FamilyResults
from gnndiff.family.stages import Stages
from gnndiff.files import digest, is_partial, read_checked, write_checked
from gnndiff.runs.lock import locked
from gnndiff.runs.record import CONFIG
from gnndiff.targets import Target, as_target, find
from gnndiff.targets.base import Space, check_kind
from graphtasks.families.base import Family

FORMAT = 2
"""Version of run folders: in the first, trainings began at random parameters."""


def run_family(
    target: str | Target | type[Target] | Callable[..., nn.Module],
    family: str | Family,
    *,
    condition: str = "dmd-spectrum",
    budget: str | FamilyBudget = "coarse",
    seed: int = 0,
    out: str | Path | None = None,
    space: Space | None = None,
    quiet: bool = False,
) -> FamilyResults:
    """Train networks on all members, go on from them on each, learn what follows from a graph, and score it on others.

    The trainings on single members go on from the network for all members, or from the hypernetwork, whichever
    validates better; what is learned is how far they move away from it. The same call with the same folder goes on
    where it stopped.

    Args:
        target: The model: a name, a target, or a function with a space.
        family: The family, or its name.
        condition: 'dmd-spectrum', 'graph-encoder', 'given', or a sum such as 'dmd-spectrum+given'.
        budget: 'smoke', 'coarse', 'full', or one of your own.
        seed: Seed of everything random.
        out: Run folder; by default runs/FAMILY-MODEL-CONDITION-seedSEED.
        space: Hyperparameters with their choices, instead of the target's own.
        quiet: Plain lines instead of progress bars.

    Raises:
        ConfigError: An argument is unknown, or the target does not fit the family.
        RunFolderError: The folder holds another run.
        ZooError: A training on a member diverged.
    """
    names = check_condition(condition)
    sizes = find_budget(budget) if isinstance(budget, str) else budget
    members = graphtasks.family(family, seed=seed) if isinstance(family, str) else family
    own = not isinstance(target, str)
    model = find(target) if isinstance(target, str) else as_target(target, space)
    if own is False and space is not None:
        model = _with_space(model, space)
    check_kind(model, members.tasks[0])
    if "given" in names and members.conditions is None:
        raise ConfigError(f"the condition is 'given', but the family {members.name!r} has no conditions")
    folder = Path(out) if out is not None else Path("runs") / f"{members.name}-{model.name}-{condition}-seed{seed}"
    facts = {
        "format": FORMAT, "family": members.name, "family_hash": members.hash, "model": model.name,
        "condition": condition, "budget": dataclasses.asdict(sizes), "seed": seed,
        "space": None if space is None else dict(space),
    }  # fmt: skip
    _check(folder, facts)
    done = folder / "results.json"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if not (folder / CONFIG).is_file():
                write_checked(folder / CONFIG, facts)
            Stages(model, members, names, sizes, seed, folder, quiet, own).all()
    stored = read_checked(done)
    return FamilyResults(
        folder, members.tasks[0].metric, stored["rows"], stored["distances"], stored["seconds"], stored["facts"]
    )


def _with_space(target: Target, space: Space) -> Target:
    """The target with other choices of hyperparameters."""
    target = copy.copy(target)
    target.space = target.modern_space = lambda task: space  # type: ignore[method-assign]
    return target


def _check(folder: Path, facts: dict[str, Any]) -> None:
    """Check that a folder is new, or of this run."""
    path = folder / CONFIG
    if path.is_file():
        stored = read_checked(path)
        if digest(stored) != digest(facts):
            name = next(name for name in facts if digest(stored.get(name)) != digest(facts[name]))
            raise RunFolderError(
                f"{folder} holds a run with {name}={stored.get(name)!r}, not {facts[name]!r}: use another folder"
            )
    elif folder.is_dir() and any(not is_partial(file) and file.name != ".lock" for file in folder.iterdir()):
        raise RunFolderError(f"{folder} holds files and no {CONFIG}: use another folder")
