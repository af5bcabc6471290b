"""The trained generator: from noise, a graph and a wished-for score to state dicts."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch_geometric.data import Data

from gnndiff.errors import ConfigError, DamagedFileError, RunFolderError
from gnndiff.parameters import ParameterAutoencoder, ParameterLayout

if TYPE_CHECKING:
    from diffusers import DDPMScheduler

    from gnndiff.nets.denoiser import Denoiser
    from gnndiff.nets.graph_encoder import GraphEncoder

WEIGHTS = "diffusion_pytorch_model.safetensors"
INDEX = "model_index.json"


@dataclass(frozen=True)
class Condition:
    """What parameters are generated for: a graph's embedding and a validation score, standardised over the zoo.

    Args:
        mean: Means (D + 1,), the score last.
        std: Deviations (D + 1,).
        graph: Embedding (D,) of the graph of the run.
        val: Best validation score in the zoo.
    """

    mean: Tensor
    std: Tensor
    graph: Tensor
    val: Tensor

    @classmethod
    def fit(cls, embeddings: Tensor, vals: Tensor, graph: Tensor) -> Condition:
        """Statistics over the zoo's embeddings (n, D) and scores (n,)."""
        raw = torch.cat([embeddings, vals.unsqueeze(1)], dim=1)
        std = raw.std(dim=0, correction=0)
        return cls(raw.mean(dim=0), torch.where(std > 1e-8, std, torch.ones_like(std)), graph, vals.max())

    def standardise(self, embeddings: Tensor, vals: Tensor) -> Tensor:
        """Conditions (n, D + 1) for the denoiser."""
        return (torch.cat([embeddings, vals.unsqueeze(1)], dim=1) - self.mean) / self.std


@dataclass(frozen=True)
class GNNDiffPipeline:
    """Generates parameters of a network, conditioned on a graph and on the validation score they should reach.

    Args:
        layout: Names and shapes of the generated tensors.
        autoencoder: Parameters to latents and back.
        graph_encoder: Graph to embedding.
        denoiser: Predicts noise in latents.
        scheduler: The schedule that the denoiser was trained with.
        condition: Statistics of the conditions.
        info: Facts about the zoo and the training, for the reader.
    """

    layout: ParameterLayout
    autoencoder: ParameterAutoencoder
    graph_encoder: GraphEncoder
    denoiser: Denoiser
    scheduler: DDPMScheduler
    condition: Condition
    info: dict[str, Any]

    def generate(
        self,
        n: int,
        *,
        data: Data | None = None,
        val: float | None = None,
        guidance: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> list[dict[str, Tensor]]:
        """State dicts of n networks, for `load_state_dict` of the model that the zoo holds.

        Args:
            n: How many.
            data: Graph with as many features as that of the run, by default the latter.
            val: Validation score to aim at, by default the best in the zoo.
            guidance: 0 ignores graph and score, 1 follows them, more exaggerates them.
            generator: Source of randomness, on the CPU.
        """
        states = self.decode(self.sample(n, data=data, val=val, guidance=guidance, generator=generator))
        return [{name: tensor[i].clone() for name, tensor in states.items()} for i in range(n)]

    def sample(
        self,
        n: int,
        *,
        data: Data | None = None,
        val: float | None = None,
        guidance: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Latents (n, k); arguments as for :meth:`generate`."""
        from gnndiff.diffusion import sample

        if n < 1:
            raise ConfigError(f"got n={n}, expected at least 1")
        graph = self.condition.graph
        if data is not None:
            expected = self.graph_encoder.config["num_features"]
            if data.num_features != expected:
                raise ConfigError(f"got a graph with {data.num_features} features, expected {expected} as in training")
            graph = self.graph_encoder.embed(data.x, data.edge_index)
        score = self.condition.val if val is None else torch.tensor(float(val))
        condition = self.condition.standardise(graph.expand(n, -1), score.expand(n))
        return sample(self.denoiser, self.scheduler, condition, guidance=guidance, generator=generator)

    def decode(self, latents: Tensor) -> dict[str, Tensor]:
        """Stacked state dicts, each tensor (n, *shape), of latents (n, k)."""
        return self.layout.unflatten(self.autoencoder.decode(latents))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the pipeline as JSON and safetensors, in the layout of diffusers."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.scheduler.save_pretrained(folder / "scheduler")  # type: ignore[attr-defined]
        for name, module in {"denoiser": self.denoiser, "graph_encoder": self.graph_encoder}.items():
            (folder / name).mkdir(exist_ok=True)
            (folder / name / "config.json").write_text(json.dumps(module.config, indent=2) + "\n")
            save_file(
                {key: tensor.contiguous() for key, tensor in module.state_dict().items()}, folder / name / WEIGHTS
            )
        (folder / "parameters").mkdir(exist_ok=True)
        config = {
            "shapes": {name: list(shape) for name, shape in self.layout.shapes.items()},
            "reconstruction_error": self.autoencoder.reconstruction_error,
        }
        (folder / "parameters" / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        tensors = {
            **{name: getattr(self.autoencoder, name) for name in ("mean", "scale", "basis")},
            **{f"condition.{name}": getattr(self.condition, name) for name in ("mean", "std", "graph", "val")},
        }
        save_file(
            {name: tensor.contiguous().clone() for name, tensor in tensors.items()}, folder / "parameters" / WEIGHTS
        )
        index = {"_class_name": type(self).__name__, "format": 1, "info": self.info}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> GNNDiffPipeline:
        """Read what :meth:`save_pretrained` wrote; for a run that is its `generator` folder.

        Raises:
            RunFolderError: The folder holds no pipeline.
            DamagedFileError: A file is missing or damaged.
        """
        from diffusers import DDPMScheduler

        from gnndiff.nets.denoiser import Denoiser
        from gnndiff.nets.graph_encoder import GraphEncoder

        folder = Path(folder)
        if not (folder / INDEX).is_file():
            hint = f"did you mean {folder / 'generator'}? " if (folder / "generator" / INDEX).is_file() else ""
            raise RunFolderError(f"{folder} holds no pipeline: {hint}It needs {INDEX}, as `gnndiff train` writes it")
        try:
            config = json.loads((folder / "parameters" / "config.json").read_text())
            tensors = load_file(folder / "parameters" / WEIGHTS)
            modules: dict[str, Any] = {}
            for name, module in {"denoiser": Denoiser, "graph_encoder": GraphEncoder}.items():
                modules[name] = module(**json.loads((folder / name / "config.json").read_text()))
                modules[name].load_state_dict(load_file(folder / name / WEIGHTS))
                modules[name].eval()
            return cls(
                layout=ParameterLayout({name: tuple(shape) for name, shape in config["shapes"].items()}),
                autoencoder=ParameterAutoencoder(
                    **{name: tensors[name] for name in ("mean", "scale", "basis")},
                    reconstruction_error=config["reconstruction_error"],
                ),
                scheduler=DDPMScheduler.from_pretrained(folder / "scheduler"),
                condition=Condition(**{name: tensors[f"condition.{name}"] for name in ("mean", "std", "graph", "val")}),
                info=json.loads((folder / INDEX).read_text())["info"],
                **modules,
            )
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DamagedFileError(
                f"the pipeline in {folder} is damaged ({reason}): delete the folder and run `gnndiff train`"
            ) from error
