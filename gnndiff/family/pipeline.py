"""Networks for graphs never seen: generated, answering with their spread, adapted to a few labels, saved and loaded."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch_geometric.data import Data

from gnndiff.errors import ConfigError, DamagedFileError, RunFolderError
from gnndiff.family.adapt import adapted
from gnndiff.family.conditions import Hull, Scaled, condition, visible_graph
from gnndiff.family.folder import COMMAND
from gnndiff.family.generator import FamilyGenerator
from gnndiff.family.graph_encoder import GraphEncoder
from gnndiff.family.networks import Networks
from gnndiff.files import check_seal, new_folder, read_json, write_json, write_tensors
from gnndiff.generators import LatentDiffusion
from gnndiff.generators.modules import UNREADABLE, loaded
from gnndiff.targets import Target, find
from graphtasks import GraphTask, random_splits
from graphtasks.files import as_path
from graphtasks.metrics import metric
from graphtasks.values import as_seed, whole

INDEX, WEIGHTS = "family.json", "family.safetensors"
FILES = (INDEX, WEIGHTS, *LatentDiffusion.files)
METHODS = ("shared", "regression", "diffusion")


class FamilyWarning(UserWarning):
    """A graph is outside of the family that parameters were learned from."""


@dataclass
class FamilyPipeline:
    """Generates networks for a graph of a family, without a label of it.

    Args:
        generator: Draws vectors for a condition.
        names: Conditions that are put side by side.
        scaled: Statistics of the conditions.
        info: Kind, features, outputs, metric, directions, model, setting, seed and whether the model is one's own.
        encoder: The graph encoder, where it is a condition.
        target: The model.
    """

    generator: FamilyGenerator
    names: tuple[str, ...]
    scaled: Scaled
    info: dict[str, Any]
    encoder: GraphEncoder | None
    target: Target

    def __post_init__(self) -> None:
        self.hull = Hull(self.generator.regression.points)
        self.default = self.info["default"]

    def condition(self, data: Data | GraphTask, given: Tensor | None = None) -> Tensor:
        """The standardised condition (C,) of a graph, or of the graph of a task.

        Raises:
            ConfigError: It has other features than the family, or a given condition is missing.

        Warns:
            FamilyWarning: It is outside of the hull of the family's conditions.
        """
        graph = visible_graph(data) if isinstance(data, GraphTask) else data
        first = graph[0] if isinstance(graph, list) else graph
        features = 0 if first.get("x") is None else first.x.size(1)
        if features != self.info["features"]:
            raise ConfigError(
                f"got a graph with {features} features, expected {self.info['features']} as in the family"
            )
        value = self.scaled(condition(self.names, graph, given, self.encoder)[None])[0]
        if not bool(value.isfinite().all()):
            raise ConfigError("the condition of the graph is NaN or infinite: mend its features, weights, or `given`")
        distance = self.hull.distance(value)
        if distance > 1:
            warnings.warn(
                f"the graph is {distance:.2g} times as far from the others as members of the family are: its networks "
                "may be worse than one trained on a few labels",
                FamilyWarning,
                stacklevel=3,
            )
        return value

    def sample(
        self, n: int, data: Data | GraphTask, *, given: Tensor | None = None, seed: int = 0, method: str | None = None
    ) -> Tensor:
        """Vectors (n, P) for a graph.

        Args:
            n: Networks drawn by diffusion; other methods give one.
            data: The graph, or a task of it.
            given: Known facts of the graph (C,), where they are a condition.
            seed: Seed of the draws.
            method: 'shared' (the network or hypernetwork trained on all members), 'regression' (with the changes that
                a training on the graph is expected to make), or 'diffusion' (with changes drawn around that); by
                default the one that was best on the validation members.

        Raises:
            ConfigError: The method is unknown, n is below 1, or the graph does not fit.
        """
        method = self.default if method is None else method
        if method not in METHODS:
            raise ConfigError(f"got method={method!r}, expected one of {', '.join(METHODS)}")
        n, seed = whole("n", n, 1, error=ConfigError), as_seed("seed", seed, error=ConfigError)
        value = self.condition(data, given)
        if method == "shared":
            return self.generator.start(value[None])
        if method == "regression":
            return self.generator.expected(value)
        return self.generator.sample(n, value, torch.Generator().manual_seed(seed))

    def generate(self, n: int, data: Data | GraphTask, **options: Any) -> list[dict[str, Tensor]]:
        """Parameters of networks for a graph, for `load_state_dict`; arguments as of :meth:`sample`."""
        vectors = self.sample(n, data, **options)
        layout = self.networks(self.as_task(data)).layout
        return [layout.unflatten(vector) for vector in vectors]

    @torch.no_grad()
    def predict(self, data: Data | GraphTask, n: int = 16, **options: Any) -> tuple[Tensor, Tensor]:
        """Mean prediction for a graph, and the deviation of n drawn networks' outputs as its uncertainty.

        Args:
            data: A graph, or a task, whose test part is predicted.
            n: Networks drawn by diffusion.
            **options: As for :meth:`sample`. Without a method the prediction is that of the default one.

        Returns:
            The mean as :meth:`graphtasks.GraphTask.average` makes it, and deviations of that shape or with a column
            for each output.
        """
        task = self.as_task(data)
        networks = self.networks(task)
        prepared = networks.prepare(task)

        def answers(method: str) -> list[Tensor]:
            outputs = networks.outputs(self.sample(n, data, **{**options, "method": method}), prepared)
            return [output.softmax(dim=-1) for output in outputs] if task.form == "classes" else outputs

        drawn = answers("diffusion")
        method = options.get("method", self.default)
        outputs = drawn if method == "diffusion" else answers(method)
        mean = torch.stack(outputs).mean(dim=0) if task.form == "classes" else task.average(outputs)
        return mean, torch.stack(drawn).std(dim=0, correction=0)

    def adapt(self, task: GraphTask, *, epochs: int = 50, split: int = 0, given: Tensor | None = None) -> Tensor:
        """A vector (P,) for a task with a few labels, from the generated one; see :func:`gnndiff.family.adapt.adapted`.

        Raises:
            ConfigError: The task is not of nodes of one graph.
        """
        method = "regression" if self.default == "diffusion" else self.default
        start = self.sample(1, task, given=given, method=method)[0]
        return adapted(self.networks(task), task, start, epochs=epochs, split=split)

    def networks(self, task: GraphTask) -> Networks:
        """The maker of modules from vectors, for a task."""
        return Networks(self.target, self.info["setting"], task, self.info["seed"])

    def as_task(self, data: Data | GraphTask) -> GraphTask:
        """A task for a graph without labels, whose targets are made up and never read; a task stays as it is.

        Raises:
            ConfigError: The kind of the family has no answer for a lone graph.
        """
        if isinstance(data, GraphTask):
            return data
        kind, outputs = self.info["kind"], self.info["outputs"]
        if kind not in ("node", "node-regression"):
            raise ConfigError(f"the family is of kind {kind!r}: pass a GraphTask, which says what is to be predicted")
        count = len(data.x)
        shape = (count,) if outputs == 1 else (count, outputs)
        y = torch.arange(count) % outputs if kind == "node" else torch.zeros(shape)
        if kind == "node" and count < outputs:
            raise ConfigError(f"got a graph of {count} nodes, expected at least as many as {outputs} classes")
        graph = Data(x=data.x, edge_index=data.edge_index, y=y)
        if data.get("edge_weight") is not None:
            graph.edge_weight = data.edge_weight
        return GraphTask(
            name="unseen", kind=kind, data=graph, splits=random_splits(count, count=1),
            metric=metric(self.info["metric"]), directed=self.info["directed"], source="user", licence="not stated",
            protocol="no labels",
        )  # fmt: skip

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the pipeline as JSON and safetensors, as a whole or not at all.

        Raises:
            RunFolderError: The folder holds something else.
        """
        with new_folder(as_path(folder), FILES) as partial:
            self.generator.diffusion.save_pretrained(partial)
            facts = {"scale": self.generator.regression.scale, "residual": self.generator.residual}
            encoder = None if self.encoder is None else self.encoder.config
            write_json(partial / INDEX, {**facts, "names": list(self.names), "info": self.info, "encoder": encoder})
            own = {"condition.mean": self.scaled.mean, "condition.std": self.scaled.std}
            if self.encoder is not None:
                own |= {f"encoder.{name}": tensor for name, tensor in self.encoder.state_dict().items()}
            write_tensors(partial / WEIGHTS, {**self.generator.tensors(), **own})

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], *, target: Target | None = None) -> FamilyPipeline:
        """Read what :meth:`save_pretrained` wrote.

        Raises:
            RunFolderError: The folder holds no pipeline of a family.
            DamagedFileError: A file is missing or damaged.
            ConfigError: The model was one's own and is not given.
        """
        folder = as_path(folder)
        if not (folder / INDEX).is_file():
            raise RunFolderError(
                f"{folder} holds no pipeline of a family: it needs {INDEX}, as `gnndiff family` writes"
            )
        missing = check_seal(folder, COMMAND)
        if missing:
            raise DamagedFileError(
                f"{folder / missing[0]} is missing: delete the folder and run `gnndiff family` again"
            )
        facts = read_json(folder / INDEX, COMMAND)
        if target is None and facts["info"]["own_target"]:
            raise ConfigError(f"the model {facts['info']['model']!r} is one of your own: pass it as target=...")
        try:
            tensors = load_file(folder / WEIGHTS)
            generator = FamilyGenerator.read(folder, tensors, facts)
            encoder = None
            if facts["encoder"] is not None:
                state = {name[8:]: tensor for name, tensor in tensors.items() if name.startswith("encoder.")}
                encoder = loaded(GraphEncoder, facts["encoder"], state)
            scaled = Scaled(tensors["condition.mean"], tensors["condition.std"])
        except UNREADABLE as error:
            raise DamagedFileError(
                f"the pipeline in {folder} is damaged ({error}): run `gnndiff family` again"
            ) from error
        chosen = find(facts["info"]["model"]) if target is None else target
        return cls(generator, tuple(facts["names"]), scaled, facts["info"], encoder, chosen)
