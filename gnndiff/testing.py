"""Tests that every target or generator must pass, to be inherited by a test class of your own."""

from __future__ import annotations

import copy
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from gnndiff.errors import ConfigError
from gnndiff.evaluation import Evaluator, stack
from gnndiff.generators import Generator
from gnndiff.generators.conditions import ZooConditions
from gnndiff.targets.base import Setting, Target, architecture, check_kind, check_space, corner, full_space, of_build
from gnndiff.targets.base import preparation as preparation_of
from gnndiff.zoo.alignment import TOLERANCE, align, check_alignment
from gnndiff.zoo.zoo import Zoo
from graphtasks import GraphTask, seeded
from graphtasks.batches import decode, forward
from graphtasks.task import KINDS


class TargetTestCase(ABC):
    """Tests of a target on small tasks, which pytest runs in a class that is derived from it.

    >>> import graphtasks
    >>> from gnndiff.targets import find
    >>> class TestGCN(TargetTestCase):
    ...     def create_target(self):
    ...         return find("gcn")
    ...
    ...     def create_tasks(self):
    ...         return [graphtasks.load("karate")]
    >>> TestGCN().test_alignment_keeps_the_function()
    """

    @abstractmethod
    def create_target(self) -> Target:
        """The target."""

    @abstractmethod
    def create_tasks(self) -> Sequence[GraphTask]:
        """Small tasks, at least one of each kind that the target is for."""

    def test_corners_of_the_spaces_build_and_answer(self) -> None:
        """The first and the last choices of all spaces make modules with the outputs that the task asks for."""
        target = self.create_target()
        for task in self.create_tasks():
            for which in ("default", "modern", "paper"):
                space = full_space(target, task, which)
                check_space(target, space)
                for setting in corners(space):
                    prepared, module = made(target, task, setting)
                    shape = tuple(answers(module, prepared).shape)
                    expected = _rows(prepared), *((task.num_outputs,) if task.kind != "link" else ())
                    assert shape == expected, f"{_told(target, task, setting)} gives {shape}, expected {expected}"

    def test_a_seed_fixes_the_parameters(self) -> None:
        """Initial parameters come from torch's generator alone."""
        target = self.create_target()
        for task, setting in self._settings():
            first, second = (made(target, task, setting)[1].state_dict() for _ in range(2))
            assert all(torch.equal(first[name], second[name]) for name in first), _told(target, task, setting)

    def test_settings_of_one_architecture_share_their_parameters(self) -> None:
        """Hyperparameters that act in training alone change neither names nor shapes of parameters."""
        target = self.create_target()
        for task in self.create_tasks():
            one, other = corners(full_space(target, task))
            other = {**other, **architecture(target, one)}
            shapes = [
                {name: tuple(tensor.shape) for name, tensor in made(target, task, setting)[1].state_dict().items()}
                for setting in (one, other)
            ]
            assert shapes[0] == shapes[1], _told(target, task, other)

    def test_alignment_keeps_the_function(self) -> None:
        """Declared units may change places at random, and are brought back into their order."""
        target = self.create_target()
        for task, setting in self._settings():
            prepared, module = made(target, task, setting)
            units = target.units(module)
            if units is None:
                continue
            change = check_alignment(module, prepared, units)
            assert change <= TOLERANCE, f"{_told(target, task, setting)}: outputs change by {change:.2g}"
            state, other = module.state_dict(), made(target, task, setting, seed=1)[1].state_dict()
            before = answers(module, prepared)
            module.load_state_dict(align(state, other, units))
            after = answers(module, prepared)
            torch.testing.assert_close(after, before, atol=1e-4 * float(before.abs().max()), rtol=1e-3)

    def test_a_generated_state_loads(self) -> None:
        """Parameters from anywhere, beside the buffers of a module, are a state that loads strictly."""
        target = self.create_target()
        for task, setting in self._settings():
            prepared, module = made(target, task, setting)
            parameters = {name: torch.randn_like(tensor) for name, tensor in module.named_parameters()}
            state = made(target, task, setting)[1].state_dict()
            module.load_state_dict({**state, **parameters}, strict=True)
            assert answers(module, prepared).isfinite().all(), _told(target, task, setting)

    def test_edges_and_sparse_matrices_agree(self) -> None:
        """Where the preparation makes a sparse matrix of the edges, the edges that it leaves give the same outputs."""
        target = self.create_target()
        for task, setting in self._settings():
            prepared, module = made(target, task, setting)
            graph = _first(prepared)
            if graph.get("adj_t") is None:
                continue
            edges = without_matrices(graph)
            torch.testing.assert_close(forward(module, edges), forward(module, graph), atol=1e-4, rtol=1e-3)

    def test_stacked_networks_answer_as_each_alone(self) -> None:
        """Candidates are scored together, on edges in the place of sparse matrices."""
        target = self.create_target()
        for task, setting in self._settings():
            prepared, module = made(target, task, setting)
            states = [module.state_dict(), made(target, task, setting, seed=1)[1].state_dict()]
            together = torch.cat(list(Evaluator(module, prepared).outputs(stack(states), "val")))
            for state, outputs in zip(states, together, strict=True):
                module.load_state_dict(state)
                (alone,) = Evaluator(module, prepared).outputs(stack([state]), "val")
                torch.testing.assert_close(outputs, alone[0], atol=1e-4, rtol=1e-3)

    def test_a_batch_gives_what_each_graph_gives(self) -> None:
        """Graphs do not see each other."""
        target = self.create_target()
        for task, setting in self._settings():
            if not task.many:
                continue
            prepared, module = made(target, task, setting)
            _with_statistics(module)
            graphs = list(prepared.graphs[:3])
            alone = torch.cat([forward(module, graph) for graph in graphs])
            together = forward(module, Batch.from_data_list(graphs))
            torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)

    def test_the_task_stays_as_it_is(self) -> None:
        """The preparation makes a task of its own."""
        target = self.create_target()
        for task, setting in self._settings():
            before = task.replace().data_hash
            made(target, task, setting)
            assert task.replace().data_hash == before, _told(target, task, setting)

    def test_tasks_of_other_kinds_are_refused(self) -> None:
        """The error is one line that names the kinds."""
        target = self.create_target()
        task = self.create_tasks()[0]
        for kind in set(KINDS) - target.kinds:
            other = copy.copy(task)
            object.__setattr__(other, "kind", kind)
            message = _refusal(target, other)
            assert repr(kind) in message, f"{target!r} takes a task of kind {kind!r}: {message}"
            assert "\n" not in message, message

    def _settings(self) -> Iterator[tuple[GraphTask, Setting]]:
        for task in self.create_tasks():
            for setting in corners(full_space(self.create_target(), task)):
                yield task, setting


class GeneratorTestCase(ABC):
    """Tests of a generator on a zoo, which pytest runs in a class that is derived from it."""

    @abstractmethod
    def create_generator(self) -> Generator:
        """A generator that has learned nothing yet."""

    @abstractmethod
    def create_zoo(self) -> Zoo:
        """A small zoo of several trainings."""

    def test_vectors_are_finite_and_load(self) -> None:
        """Each vector that is drawn is a network of the architecture."""
        zoo, generator = self._fitted()
        vectors = generator.sample(3, rng=_rng(1))
        assert vectors.shape == (3, zoo.layout.size)
        assert vectors.isfinite().all()
        for state in zoo.states(vectors):
            zoo.evaluator.module.load_state_dict(state, strict=True)

    def test_seeds_fix_what_is_drawn(self) -> None:
        """The same seeds give the same vectors, other ones others, and torch's own generator stays as it is."""
        zoo = self.create_zoo()
        before = torch.get_rng_state()
        first, second = (self._fitted(zoo)[1].sample(3, rng=_rng(1)) for _ in range(2))
        assert torch.equal(first, second)
        assert not torch.equal(first, self._fitted(zoo)[1].sample(3, rng=_rng(2)))
        assert torch.equal(torch.get_rng_state(), before)

    def test_what_was_saved_draws_the_same(self) -> None:
        """A folder of JSON and safetensors holds all that was learned."""
        _, generator = self._fitted()
        with tempfile.TemporaryDirectory() as folder:
            generator.save_pretrained(folder)
            loaded = type(generator).from_pretrained(folder)
        assert torch.equal(loaded.sample(3, rng=_rng(1)), generator.sample(3, rng=_rng(1)))

    def test_no_vectors_are_refused(self) -> None:
        """The error names the number."""
        generator = self._fitted()[1]
        message = ""
        try:
            generator.sample(0)
        except ConfigError as error:
            message = str(error)
        assert "n=0" in message, f"{generator.name!r} draws no vectors: {message}"

    def _fitted(self, zoo: Zoo | None = None) -> tuple[Zoo, Generator]:
        zoo = self.create_zoo() if zoo is None else zoo
        conditions = ZooConditions.of_scores(zoo.scores, zoo.metric)
        generator = self.create_generator()
        return zoo, generator.fit(
            zoo.vectors, conditions, rng=_rng(0), members=zoo.members, layout=zoo.layout, judge=zoo
        )


def corners(space: Any) -> tuple[Setting, Setting]:
    """The first choices of a space, and the last."""
    return corner(space, 0), corner(space, -1)


def made(target: Target, task: GraphTask, setting: Setting, *, seed: int = 0) -> tuple[GraphTask, nn.Module]:
    """The prepared task and the module of a setting, in evaluation mode."""
    prepared = target.prepare(task, **preparation_of(target, setting))
    with seeded(seed):
        module = target.build(prepared, **of_build(target, setting))
    return prepared, module.eval()


def answers(module: nn.Module, task: GraphTask) -> Tensor:
    """The outputs of a module for the first graph of a task; for links, the scores of the edges of its messages."""
    graph = _first(task)
    with torch.no_grad():
        out = forward(module, graph)
        return decode(module, out, graph.edge_index, graph.edge_index) if task.kind == "link" else out


def without_matrices(graph: Data) -> Data:
    """A graph without the sparse matrices that a preparation made of its edges."""
    graph = copy.copy(graph)
    for name, value in list(graph.items()):
        if isinstance(value, Tensor) and value.layout != torch.strided:
            del graph[name]
    return graph


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _refusal(target: Target, task: GraphTask) -> str:
    """The message of the error for a task of another kind, or nothing."""
    try:
        check_kind(target, task)
    except ConfigError as error:
        return str(error)
    return ""


def _first(task: GraphTask) -> Data:
    return task.graphs[0] if task.many else task.graph()


def _rows(task: GraphTask) -> int:
    graph = _first(task)
    if task.kind == "link":
        return int(graph.edge_index.size(1))
    return 1 if task.kind == "graph" else int(graph.num_nodes)


def _with_statistics(module: nn.Module) -> None:
    """Let normalisations use fixed statistics, which do not depend on the batch."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d) and part.running_mean is None:
            part.running_mean, part.running_var = torch.zeros(part.num_features), torch.ones(part.num_features)


def _told(target: Target, task: GraphTask, setting: Setting) -> str:
    return f"{target.name!r} on {task.name!r} with {dict(setting)}"
