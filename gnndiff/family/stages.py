"""The stages of a run over a family, from the search to the rows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

import graphtasks
from gnndiff.errors import DamagedFileError, ZooError
from gnndiff.family import shared
from gnndiff.family.adapt import few_labels
from gnndiff.family.conditions import Scaled, condition, train_encoder, visible_graph
from gnndiff.family.config import FamilyBudget
from gnndiff.family.generator import FamilyGenerator
from gnndiff.family.networks import Networks
from gnndiff.family.pipeline import FamilyPipeline
from gnndiff.family.rows import ROWS
from gnndiff.family.zoo import collect_family, search_family, train_gently
from gnndiff.files import read_checked, write_checked, write_tensors
from gnndiff.targets import Target
from gnndiff.targets.base import IMPOSSIBLE
from graphtasks import GraphTask, train_once
from graphtasks.families.base import Family

Make = Callable[[Tensor], Tensor]
"""Makes vectors (n, P) at standardised conditions (n, C)."""


class Stages:
    """The stages of a run.

    Args:
        target: The model.
        family: The family.
        names: Conditions that are put side by side.
        budget: Sizes of the stages.
        seed: Seed of everything random.
        folder: The run folder.
        quiet: Plain lines instead of progress bars.
        own: Whether the model is one's own.
    """

    def __init__(
        self, target: Target, family: Family, names: tuple[str, ...], budget: FamilyBudget, seed: int, folder: Path,
        quiet: bool, own: bool,
    ) -> None:  # fmt: skip
        self.target, self.family, self.names, self.budget = target, family, names, budget
        self.seed, self.folder, self.quiet, self.own = seed, folder, quiet, own
        self.seconds: dict[str, float] = {}

    def all(self) -> None:
        """Run them, and write the pipeline and the results."""
        family, budget, seed = self.family, self.budget, self.seed
        with self._timed("search"):
            setting = search_family(self.target, family, budget, seed, self.folder, self.quiet)
        networks = Networks(self.target, setting, family.members("train")[0], seed)
        prepared = {part: [networks.prepare(task) for task in family.members(part)] for part in family.parts}
        with self._timed("conditions"):
            needs = "graph-encoder" in self.names
            encoder = train_encoder(family.members("train"), 20 * len(prepared["train"]), seed) if needs else None
            raw = {part: self._conditions(part, encoder) for part in family.parts}
            scaled = Scaled.over(raw["train"])
            known = {part: scaled(values) for part, values in raw.items()}

        def held_out(make: Make) -> float:
            return networks.held_out_mean(map(make, known["val"]), prepared["val"])

        made, weights, validation = self._shared(networks, prepared, known)
        hyper = networks.metric.better(validation["hypernetwork"], validation["one_network"])
        start = shared.Start(weights["hypernetwork" if hyper else "one_network"])
        with self._timed("zoo"):
            by_index = dict(zip(family.parts["train"], prepared["train"], strict=True))
            starts = start(known["train"])
            vectors = collect_family(networks, by_index, starts, budget, self.folder / "states", self.quiet)
        with self._timed("generator"):
            generator = FamilyGenerator.fit(
                start, vectors, known["train"], held_out, networks.metric,
                latents=budget.latents, steps=budget.generator_steps, seed=seed,
            )  # fmt: skip
        methods = {
            "shared": validation[start.name],
            "regression": held_out(generator.expected),
            "diffusion": held_out(lambda c: generator.sample(budget.samples, c, self._rng())),
        }
        default = "shared"  # the simplest of those that validate equally
        for method, score in methods.items():
            default = method if networks.metric.better(score, methods[default]) else default
        first = family.tasks[0]
        info: dict[str, Any] = {
            "kind": first.kind, "features": first.num_features, "outputs": first.num_outputs,
            "metric": first.metric.name, "directed": first.directed, "model": self.target.name, "setting": setting,
            "seed": seed, "own_target": self.own, "default": default,
        }  # fmt: skip
        pipeline = FamilyPipeline(generator, self.names, scaled, info, encoder, self.target)
        pipeline.save_pretrained(self.folder / "pipeline")

        rows: dict[str, list[float]] = {name: [] for name in ROWS}
        with self._timed("rows"):
            for place, task in enumerate(prepared["unseen"]):
                value, test = known["unseen"][place], family.members("unseen")[place]
                nearest = vectors[int((known["train"] - value).norm(dim=1).argmin())]
                draws = generator.sample(budget.samples, value, self._rng())
                ways = {
                    "generated_mean": draws, "generated_one": draws[:1], "regression": generator.expected(value),
                    "nearest_checkpoint": nearest[None], "zoo_mean": vectors.mean(dim=0)[None],
                    **{name: make(value[None]) for name, make in made.items()},
                }  # fmt: skip
                for name, each in ways.items():
                    rows[name].append(networks.score(each, task))
                self._trained(networks, pipeline, task, test, place, rows)
        rows = {name: scores for name, scores in rows.items() if len(scores) == len(prepared["unseen"])}
        distances = [pipeline.hull.distance(value) for value in known["unseen"]]
        facts = {
            "setting": setting, "start": start.name, "default": default, "validation": {**validation, **methods},
            "training": len(vectors),
        }  # fmt: skip
        write_checked(
            self.folder / "results.json",
            {"rows": rows, "distances": distances, "seconds": self.seconds, "facts": facts},
        )

    def _shared(
        self, networks: Networks, prepared: dict[str, list[GraphTask]], known: dict[str, Tensor]
    ) -> tuple[dict[str, Make], dict[str, Tensor], dict[str, float]]:
        """Networks trained on all members at once: makers of vectors, their weights and their validation scores."""
        centres = _centres(known["train"], min(shared.EXPERTS, len(known["train"])), self.seed)
        features: dict[str, Make] = {
            "one_network": lambda c: torch.ones(len(c), 1),
            "hypernetwork": shared.with_one,
            "experts": lambda c: shared.shares(c, centres),
        }
        made: dict[str, Make] = {}
        weights, validation = {}, {}
        for name, make in features.items():
            path = self.folder / "shared" / f"{name}.safetensors"
            inputs = make(known["train"])
            if not path.is_file():
                start = torch.zeros(len(networks.start), inputs.size(1))
                start[:, : inputs.size(1) if name == "experts" else 1] = networks.start[:, None]
                with self._timed(name):
                    best = shared.train_shared(
                        networks, prepared["train"], inputs, prepared["val"], make(known["val"]), start,
                        networks.setting, self.budget.shared_steps, self.seed,
                    )  # fmt: skip
                path.parent.mkdir(exist_ok=True)
                write_tensors(path, {"weights": best})
            found = load_file(path).get("weights")
            if found is None or found.shape != (len(networks.start), inputs.size(1)):
                raise DamagedFileError(f"{path} holds no weights of {len(networks.start)} parameters: delete it")
            weights[name] = found
            made[name] = lambda c, make=make, found=found: make(c) @ found.mT  # type: ignore[misc]
            validation[name] = networks.held_out_mean(made[name](known["val"])[:, None], prepared["val"])
        return made, weights, validation

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
