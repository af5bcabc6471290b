"""The stages of a run over a family, from the search to the rows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import graphtasks
from gnndiff.errors import ZooError
from gnndiff.family import shared
from gnndiff.family.adapt import few_labels
from gnndiff.family.conditions import Scaled, condition, train_encoder, visible_graph
from gnndiff.family.config import FamilyBudget
from gnndiff.family.folder import COMMAND, PIPELINE, ROWS, SEARCH, SHARED, FamilyFolder, Vectors
from gnndiff.family.generator import FamilyGenerator
from gnndiff.family.networks import Networks
from gnndiff.family.pipeline import FamilyPipeline
from gnndiff.family.rows import ROWS as NAMES
from gnndiff.family.zoo import collect_family, search_family, train_gently
from gnndiff.files import SEAL, sha256
from gnndiff.runs.record import RESULTS, read_owned, write_owned
from gnndiff.targets import Target
from gnndiff.targets.base import IMPOSSIBLE, Setting
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
        run: The run folder.
        quiet: Plain lines instead of progress bars.
        own: Whether the model is one's own.
    """

    def __init__(
        self, target: Target, family: Family, names: tuple[str, ...], budget: FamilyBudget, seed: int,
        run: FamilyFolder, quiet: bool, own: bool,
    ) -> None:  # fmt: skip
        self.target, self.family, self.names, self.budget = target, family, names, budget
        self.seed, self.run, self.quiet, self.own = seed, run, quiet, own

    def all(self) -> None:
        """Run them, and write the pipeline and the results."""
        family, budget, seed, run = self.family, self.budget, self.seed, self.run
        with run.timed("search", [SEARCH]):
            setting = search_family(self.target, family, budget, seed, run, self.quiet)
        networks = Networks(self.target, setting, family.members("train")[0], seed)
        prepared = {part: [networks.prepare(task) for task in family.members(part)] for part in family.parts}
        with run.timed("conditions", []):
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
        by_index = dict(zip(family.parts["train"], prepared["train"], strict=True))
        vectors = collect_family(networks, by_index, start, known["train"], budget, run, self.quiet)

        def validated(generator: FamilyGenerator) -> dict[str, float]:
            return {
                "shared": validation[start.name],
                "regression": held_out(generator.expected),
                "diffusion": held_out(lambda c: generator.sample(budget.samples, c, self._rng())),
            }

        if not run.finished("generator"):
            with run.timed("generator", [f"{PIPELINE}/{SEAL}"]):
                generator = FamilyGenerator.fit(
                    start, vectors, known["train"], held_out, networks.metric,
                    latents=budget.latents, steps=budget.generator_steps, seed=seed,
                )  # fmt: skip
                info = self._info(setting, validated(generator))
                made_now = FamilyPipeline(generator, self.names, scaled, info, encoder, self.target)
                made_now.save_pretrained(run.folder / PIPELINE)
        pipeline = FamilyPipeline.from_pretrained(run.pipeline(), target=self.target)
        generator, default = pipeline.generator, pipeline.default

        rows: dict[str, list[float]] = {name: [] for name in NAMES}
        indices = family.parts["unseen"]
        with run.timed("rows", [RESULTS, *(f"{ROWS}/{index:05}.json" for index in indices)]):
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
            rows = {name: scores for name, scores in rows.items() if len(scores) == len(indices)}
            facts = {
                "setting": setting, "start": start.name, "default": default,
                "validation": {**validation, **validated(generator)}, "training": len(vectors),
            }  # fmt: skip
            distances = [pipeline.hull.distance(value) for value in known["unseen"]]
            metric = family.tasks[0].metric.name
            run.write_results({"metric": metric, "rows": rows, "distances": distances, "facts": facts})

    def _info(self, setting: Setting, validation: dict[str, float]) -> dict[str, Any]:
        """Facts about a pipeline, whose default is the simplest of the methods that validate equally."""
        first, default = self.family.tasks[0], "shared"
        for method, score in validation.items():
            default = method if first.metric.better(score, validation[default]) else default
        return {
            "kind": first.kind, "features": first.num_features, "outputs": first.num_outputs,
            "metric": first.metric.name, "directed": first.directed, "model": self.target.name, "setting": setting,
            "seed": self.seed, "own_target": self.own, "default": default,
        }  # fmt: skip

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
        store = Vectors(self.run, SHARED, networks.setting, dict.fromkeys(range(len(features)), self.family.hash))
        found = store.found()
        made: dict[str, Make] = {}
        weights, validation = {}, {}
        for number, (name, make) in enumerate(features.items()):
            inputs = make(known["train"])
            shape = (len(networks.start), inputs.size(1))
            if number not in found:
                began = time.perf_counter()
                start = torch.zeros(shape)
                start[:, : inputs.size(1) if name == "experts" else 1] = networks.start[:, None]
                best = shared.train_shared(
                    networks, prepared["train"], inputs, prepared["val"], make(known["val"]), start,
                    networks.setting, self.budget.shared_steps, self.seed,
                )  # fmt: skip
                val = networks.held_out_mean((make(known["val"]) @ best.mT)[:, None], prepared["val"])
                found[number] = store.add(
                    number, best, seed=self.seed, epoch=0, val=val, seconds=time.perf_counter() - began
                )
            read = weights[name] = store.read(found[number], shape)
            made[name] = lambda c, make=make, read=read: make(c) @ read.mT  # type: ignore[misc]
            validation[name] = found[number].val
        every = list(found.values())
        self.run.finish("shared", sum(each.seconds for each in every), store.files(every))
        return made, weights, validation

    def _trained(
        self, networks: Networks, pipeline: FamilyPipeline, task: GraphTask, test: GraphTask, place: int,
        rows: dict[str, list[float]],
    ) -> None:  # fmt: skip
        """Rows of trainings on the unseen member itself; each is kept in the folder."""
        index = self.family.parts["unseen"][place]
        path = self.run.folder / ROWS / f"{index:05}.json"
        owner = self.run.owner(ROWS, index, sha256(self.run.folder / PIPELINE / SEAL))
        if path.is_file():
            scores = read_owned(path, owner, COMMAND)
        else:
            trial = train_gently(self.target, networks.setting, task, self.budget, self.seed)
            if trial.result is None:
                raise ZooError(f"the unseen member {task.name!r} could not be trained ({trial.status})")
            scores = {"trained_on_member": trial.result.test}
            if task.kind in ("node", "node-regression") and not task.many:
                few = few_labels(task, self.budget.labels, self.seed)
                config = graphtasks.FitConfig(lr=0.01, epochs=self.budget.epochs, seed=self.seed)
                scratch = train_once(lambda _: networks.build(few), few, config=config, impossible=IMPOSSIBLE)
                scores["scratch_few_labels"] = scratch.score(networks.metric, "test")
                given = None if self.family.conditions is None else self.family.conditions[index]
                raw = few_labels(test, self.budget.labels, self.seed)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    vector = pipeline.adapt(raw, split=1, given=given)
                scores["adapted_few_labels"] = networks.score(vector[None], task)
            write_owned(path, owner, scores)
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


def _centres(values: Tensor, count: int, seed: int) -> Tensor:
    """Centres (count, C) of conditions (n, C) by k-means."""
    from sklearn.cluster import KMeans

    fitted = KMeans(count, n_init=1, max_iter=50, random_state=seed).fit(values.double().numpy())
    return torch.from_numpy(fitted.cluster_centers_).float()
