"""The one call from a model and a family to a generator for graphs never seen."""

from __future__ import annotations

import copy
import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import graphtasks
from gnndiff.errors import ConfigError, RunFolderError, ZooError
from gnndiff.family import shared
from gnndiff.family.adapt import few_labels
from gnndiff.family.conditions import Scaled, check_condition, condition, train_encoder, visible_graph
from gnndiff.family.config import FamilyBudget, find_budget
from gnndiff.family.generator import FamilyGenerator
from gnndiff.family.networks import Networks
from gnndiff.family.pipeline import FamilyPipeline
from gnndiff.family.rows import ROWS, FamilyResults
from gnndiff.family.zoo import collect_family, search_family, train_gently
from gnndiff.files import digest, read_checked, write_checked
from gnndiff.targets import Target, as_target, find
from gnndiff.targets.base import IMPOSSIBLE, Space, check_kind
from graphtasks import GraphTask, train_once
from graphtasks.families.base import Family


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
    """Train one network on each training member, learn what of them follows from a graph, and score it on unseen ones.

    The same call with the same folder goes on where it stopped.

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
        "family": members.name, "family_hash": members.hash, "model": model.name, "condition": condition,
        "budget": dataclasses.asdict(sizes), "seed": seed, "space": None if space is None else dict(space),
    }  # fmt: skip
    _open(folder, facts)
    done = folder / "results.json"
    if not done.is_file():
        _Run(model, members, names, sizes, seed, folder, quiet, own).all()
    stored = read_checked(done)
    return FamilyResults(
        folder, members.tasks[0].metric, stored["rows"], stored["distances"], stored["seconds"], stored["facts"]
    )


class _Run:
    """The stages of a run."""

    def __init__(
        self, target: Target, family: Family, names: tuple[str, ...], budget: FamilyBudget, seed: int, folder: Path,
        quiet: bool, own: bool,
    ) -> None:  # fmt: skip
        self.target, self.family, self.names, self.budget = target, family, names, budget
        self.seed, self.folder, self.quiet, self.own = seed, folder, quiet, own
        self.seconds: dict[str, float] = {}

    def all(self) -> None:
        family, budget, seed = self.family, self.budget, self.seed
        with self._timed("search"):
            setting = search_family(self.target, family, budget, seed, self.folder, self.quiet)
        networks = Networks(self.target, setting, family.members("train")[0], seed)
        prepared = {part: [networks.prepare(task) for task in family.members(part)] for part in family.parts}
        with self._timed("zoo"):
            by_index = dict(zip(family.parts["train"], prepared["train"], strict=True))
            vectors = collect_family(networks, by_index, budget, self.folder / "states", self.quiet)
        with self._timed("conditions"):
            needs = "graph-encoder" in self.names
            encoder = train_encoder(family.members("train"), 20 * len(vectors), seed) if needs else None
            raw = {part: self._conditions(part, encoder) for part in family.parts}
            scaled = Scaled.over(raw["train"])
            known = {part: scaled(values) for part, values in raw.items()}

        def held_out(make: Callable[[Tensor], Tensor]) -> float:
            scores = [
                networks.score(make(c), task, "val") for c, task in zip(known["val"], prepared["val"], strict=True)
            ]
            return sum(scores) / len(scores)

        with self._timed("generator"):
            generator = FamilyGenerator.fit(
                vectors, known["train"], held_out, networks.metric,
                latents=budget.latents, steps=budget.generator_steps, seed=seed,
            )  # fmt: skip
        validation = {
            "regression": held_out(generator.expected),
            "diffusion": held_out(lambda c: generator.sample(budget.samples, c, self._rng())),
        }
        ahead = networks.metric.better(validation["diffusion"], validation["regression"])
        first = family.tasks[0]
        info: dict[str, Any] = {
            "kind": first.kind, "features": first.num_features, "outputs": first.num_outputs,
            "metric": first.metric.name, "directed": first.directed, "model": self.target.name, "setting": setting,
            "seed": seed, "own_target": self.own, "default": "diffusion" if ahead else "regression",
        }  # fmt: skip
        pipeline = FamilyPipeline(generator, self.names, scaled, info, encoder, self.target)
        pipeline.save_pretrained(self.folder / "pipeline")

        rows: dict[str, list[float]] = {name: [] for name in ROWS}
        weights, validation = self._shared(networks, prepared, known, vectors, validation)
        with self._timed("rows"):
            for place, task in enumerate(prepared["unseen"]):
                value, test = known["unseen"][place], family.members("unseen")[place]
                nearest = vectors[int((known["train"] - value).norm(dim=1).argmin())]
                draws = generator.sample(budget.samples, value, self._rng())
                made = {
                    "generated_mean": draws, "generated_one": draws[:1], "regression": generator.expected(value),
                    "nearest_checkpoint": nearest[None], "zoo_mean": vectors.mean(dim=0)[None],
                    **{name: make(value[None]) for name, make in weights.items()},
                }  # fmt: skip
                for name, each in made.items():
                    rows[name].append(networks.score(each, task))
                self._trained(networks, pipeline, task, test, place, rows)
        rows = {name: scores for name, scores in rows.items() if len(scores) == len(prepared["unseen"])}
        distances = [pipeline.hull.distance(value) for value in known["unseen"]]
        facts = {"setting": setting, "default": info["default"], "validation": validation, "training": len(vectors)}
        write_checked(
            self.folder / "results.json",
            {"rows": rows, "distances": distances, "seconds": self.seconds, "facts": facts},
        )

    def _shared(
        self, networks: Networks, prepared: dict[str, list[GraphTask]], known: dict[str, Tensor], vectors: Tensor,
        validation: dict[str, float],
    ) -> tuple[dict[str, Callable[[Tensor], Tensor]], dict[str, float]]:  # fmt: skip
        """A module that makes vectors of conditions, trained on all members at once."""
        centres = _centres(known["train"], min(shared.EXPERTS, len(vectors)), self.seed)
        features: dict[str, Callable[[Tensor], Tensor]] = {
            "one_network": lambda c: torch.ones(len(c), 1),
            "hypernetwork": shared.with_one,
            "experts": lambda c: shared.shares(c, centres),
        }
        found: dict[str, Callable[[Tensor], Tensor]] = {}
        for name, make in features.items():
            with self._timed(name):
                inputs = make(known["train"])
                start = torch.zeros(len(networks.start), inputs.size(1))
                start[:, : inputs.size(1) if name == "experts" else 1] = networks.start[:, None]
                best, score = shared.train_shared(
                    networks, prepared["train"], inputs, prepared["val"], make(known["val"]), start,
                    networks.setting, self.budget.shared_steps, self.seed,
                )  # fmt: skip
            found[name] = lambda c, make=make, best=best: make(c) @ best.mT  # type: ignore[misc]
            validation = {**validation, name: score}
        return found, validation

    def _trained(
        self, networks: Networks, pipeline: FamilyPipeline, task: GraphTask, test: GraphTask, place: int,
        rows: dict[str, list[float]],
    ) -> None:  # fmt: skip
        """Rows of trainings on the unseen member itself; each is kept in the folder."""
        path = self.folder / "rows" / f"{self.family.parts['unseen'][place]:05}.json"
        if path.is_file():
            scores = read_checked(path)
        else:
            path.parent.mkdir(exist_ok=True)
            trial = train_gently(self.target, networks.setting, task, self.budget, self.seed)
            if trial.result is None:
                raise ZooError(f"the unseen member {task.name!r} could not be trained ({trial.status})")
            scores = {"trained_on_member": trial.result.test}
            if task.kind in ("node", "node-regression") and not task.many:
                few = few_labels(task, self.budget.labels, self.seed)
                config = graphtasks.FitConfig(lr=0.01, epochs=self.budget.epochs, seed=self.seed)
                scratch = train_once(lambda _: networks.build(few), few, config=config, impossible=IMPOSSIBLE)
                scores["scratch_few_labels"] = scratch.score(networks.metric, "test")
                given = (
                    None
                    if self.family.conditions is None
                    else self.family.conditions[self.family.parts["unseen"][place]]
                )
                raw = few_labels(test, self.budget.labels, self.seed)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    vector = pipeline.adapt(raw, split=1, given=given)
                scores["adapted_few_labels"] = networks.score(vector[None], task)
            write_checked(path, scores)
        for name, score in scores.items():
            rows[name].append(score)

    def _conditions(self, part: str, encoder: Any) -> Tensor:
        given = self.family.conditions
        return torch.stack(
            [
                condition(self.names, visible_graph(self.family.tasks[i]), None if given is None else given[i], encoder)
                for i in self.family.parts[part]
            ]
        )

    def _rng(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start


def _centres(values: Tensor, count: int, seed: int) -> Tensor:
    """Centres (count, C) of conditions (n, C) by k-means."""
    from sklearn.cluster import KMeans

    fitted = KMeans(count, n_init=1, max_iter=50, random_state=seed).fit(values.double().numpy())
    return torch.from_numpy(fitted.cluster_centers_).float()


def _with_space(target: Target, space: Space) -> Target:
    """The target with other choices of hyperparameters."""
    target = copy.copy(target)
    target.space = target.modern_space = lambda task: space  # type: ignore[method-assign]
    return target


def _open(folder: Path, facts: dict[str, Any]) -> None:
    """Make a run folder, or check that it is of this run."""
    path = folder / "config.json"
    if path.is_file():
        stored = read_checked(path)
        if digest(stored) != digest(facts):
            name = next(name for name in facts if digest(stored.get(name)) != digest(facts[name]))
            raise RunFolderError(
                f"{folder} holds a run with {name}={stored.get(name)!r}, not {facts[name]!r}: use another folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_checked(path, facts)
