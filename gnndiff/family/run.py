"""The one call from a model and a family to a generator for graphs never seen."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path

from torch import nn

import graphtasks
from gnndiff.errors import ConfigError
from gnndiff.family.conditions import check_condition
from gnndiff.family.config import FamilyBudget, find_budget
from gnndiff.family.folder import FamilyFolder
from gnndiff.family.pipeline import FILES
from gnndiff.family.rows import FamilyResults
from gnndiff.family.stages import Stages
from gnndiff.runs.lock import locked
from gnndiff.targets import Target, as_target, find
from gnndiff.targets.base import Space, check_kind
from graphtasks.families.base import Family
from graphtasks.files import as_path, explained
from graphtasks.values import as_seed, checked

FORMAT = 3
"""Version of run folders: in the first, trainings began at random parameters; in the second, tensors had no hashes."""


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
        RunFolderError: The folder holds another run, or files of somebody else.
        DamagedFileError: A file of the folder is not as it was left.
        ZooError: A training on a member diverged.
    """
    seed, quiet = as_seed("seed", seed, error=ConfigError), checked("quiet", quiet, "bool", error=ConfigError)
    names = check_condition(condition)
    sizes = budget if isinstance(budget, FamilyBudget) else find_budget(budget)
    members = family if isinstance(family, Family) else graphtasks.family(family, seed=seed)
    own = not isinstance(target, str)
    model = find(target) if isinstance(target, str) else as_target(target, space)
    if own is False and space is not None:
        model = _with_space(model, space)
    check_kind(model, members.tasks[0])
    if "given" in names and members.conditions is None:
        raise ConfigError(f"the condition is 'given', but the family {members.name!r} has no conditions")
    folder = as_path(out) if out is not None else Path("runs") / f"{members.name}-{model.name}-{condition}-seed{seed}"
    facts = {
        "format": FORMAT, "family": members.name, "family_hash": members.hash, "model": model.name,
        "target": model.version,
        "condition": condition, "budget": dataclasses.asdict(sizes), "seed": seed,
        "space": None if space is None else dict(space),
    }  # fmt: skip
    run = FamilyFolder(folder, facts)
    run.check()
    if not run.complete():
        with explained(folder, "make"):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            run.make(FILES)
            Stages(model, members, names, sizes, seed, run, quiet, own).all()
    return FamilyResults.load(folder)


def _with_space(target: Target, space: Space) -> Target:
    """The target with other choices of hyperparameters."""
    target = copy.copy(target)
    target.space = target.modern_space = lambda task: space  # type: ignore[method-assign]
    return target
