"""The generator with what its vectors stand for, as a folder of JSON and safetensors."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from gnndiff.errors import ConfigError, DamagedFileError, GNNDiffError, RunFolderError
from gnndiff.files import check_seal, read_json, seal, write_json, write_tensors
from gnndiff.generators.modules import UNREADABLE
from gnndiff.targets import Target, find
from gnndiff.targets.build import Preparations, build
from gnndiff.zoo.vectors import ParameterLayout
from graphtasks import GraphTask, GraphTasksError
from graphtasks.files import as_path, explained
from graphtasks.values import real

if TYPE_CHECKING:
    from gnndiff.generators import LatentGenerator

INDEX = "model_index.json"
BUFFERS = "buffers.safetensors"
FORMAT = 3


@dataclass(frozen=True)
class GNNDiffPipeline:
    """Generates networks for the validation score that they should reach.

    Args:
        generator: Generates vectors.
        layout: Names and shapes of the tensors in a vector.
        buffers: Tensors of a state dict that are not generated, such as running statistics: those of the best
            checkpoint.
        info: Facts about zoo and training, for the reader, with the names of `task` and `model` and the `setting` of
            the networks.
        target: The model, where it is none that `info` names.
    """

    generator: LatentGenerator
    layout: ParameterLayout
    buffers: dict[str, Tensor]
    info: dict[str, Any]
    target: Target | None = field(default=None, compare=False)

    def generate(
        self,
        n: int,
        *,
        val: float | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> list[dict[str, Tensor]]:
        """State dicts of n networks, for `load_state_dict` of the module that :meth:`build` gives.

        Args:
            n: How many.
            val: Validation score to aim at, by default the best in the zoo. One outside of the zoo's becomes the
                nearest of these.
            generator: Source of randomness, on the CPU.
            **options: Options of the generator, such as `guidance` and `steps` of latent diffusion.

        Raises:
            ConfigError: A number is NaN, infinite or too small.
        """
        vectors = self.sample(n, val=val, generator=generator, **options)
        states = self.layout.unflatten(vectors)
        return [
            {**{name: tensor[i].clone() for name, tensor in states.items()}, **self.buffers}
            for i in range(len(vectors))
        ]

    def sample(
        self,
        n: int,
        *,
        val: float | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> Tensor:
        """Parameter vectors (n, P); arguments as of :meth:`generate`."""
        return self.generator.sample(n, condition=self._condition(val), rng=generator, **options)

    def build(self, task: GraphTask) -> tuple[nn.Module, GraphTask]:
        """A module that generated states load into, and the task with what it needs of its graphs.

        Raises:
            ConfigError: The target is one of your own, and the pipeline was loaded without it.
        """
        target = self.target
        if target is None:
            if self.info["own_target"]:
                raise ConfigError(
                    f"the target {self.info['model']!r} is one of your own: pass it, as "
                    "GNNDiffPipeline.from_pretrained(folder, target=...)"
                )
            target = find(self.info["model"])
        prepared = Preparations(target, task)(self.info["setting"])
        return build(target, prepared, self.info["setting"], 0, torch.device("cpu")), prepared

    def _condition(self, val: float | None) -> Tensor | None:
        if val is None:
            return None
        wanted = self.generator.wanted.clone()
        wanted[-1] = real("val", val, error=ConfigError)
        return wanted

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the pipeline as JSON and safetensors, in the layout of diffusers.

        Raises:
            RunFolderError: The folder holds something else, which stays as it is.
        """
        folder = as_path(folder)
        with explained(folder, "make"):
            folder.mkdir(parents=True, exist_ok=True)
            empty = not any(folder.iterdir())
        if not empty and not _holds_pipeline(folder):
            raise RunFolderError(f"{folder} holds something else than a pipeline: use another folder, or an empty one")
        self.generator.save_pretrained(folder)
        write_tensors(folder / BUFFERS, self.buffers)
        index = {
            "_class_name": type(self).__name__,
            "format": FORMAT,
            "generator": self.generator.name,
            "shapes": {name: list(shape) for name, shape in self.layout.shapes.items()},
            "info": self.info,
        }
        write_json(folder / INDEX, index)
        seal(folder)

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], *, target: Target | None = None) -> GNNDiffPipeline:
        """Read what :meth:`save_pretrained` wrote; for a run that is its `generator` folder.

        Args:
            folder: The folder.
            target: The model, where it was one of your own.

        Raises:
            RunFolderError: The folder holds no pipeline.
            DamagedFileError: A file is missing or damaged.
        """
        from gnndiff.generators import GENERATORS

        folder = as_path(folder)
        if not (folder / INDEX).is_file():
            hint = f"did you mean {folder / 'generator'}? " if (folder / "generator" / INDEX).is_file() else ""
            raise RunFolderError(f"{folder} holds no pipeline: {hint}It needs {INDEX}, as `gnndiff train` writes it")
        try:
            missing = check_seal(folder)
            if missing:
                raise ValueError(f"{missing[0]} is missing")
            index = read_json(folder / INDEX)
            return cls(
                generator=GENERATORS[index["generator"]].from_pretrained(folder),
                layout=ParameterLayout({name: tuple(shape) for name, shape in index["shapes"].items()}),
                buffers=load_file(folder / BUFFERS),
                info=index["info"],
                target=target,
            )
        except (GNNDiffError, GraphTasksError, *UNREADABLE) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DamagedFileError(
                f"the pipeline in {folder} is damaged ({reason}): delete the folder and run `gnndiff train`"
            ) from error


def files_of(generator: type[LatentGenerator]) -> tuple[str, ...]:
    """Names of the files of a pipeline with a generator, below its folder."""
    return (INDEX, BUFFERS, *generator.files)


def _holds_pipeline(folder: Path) -> bool:
    try:
        return bool(read_json(folder / INDEX).get("_class_name") == GNNDiffPipeline.__name__)
    except (GNNDiffError, GraphTasksError):
        return False
