"""The stages that train the generator and draw candidates from it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gnndiff.candidates import evaluate_states
from gnndiff.errors import DamagedFileError
from gnndiff.parameters import ParameterAutoencoder
from gnndiff.pipeline import Condition, GNNDiffPipeline
from gnndiff.progress import progress
from gnndiff.runs import Run
from gnndiff.zoo import graph_view, load_zoo
from graphtasks import FitConfig, fit
from graphtasks.randomness import seeded

GRAPH_ENCODER_EPOCHS = 100


def train(run: Run) -> None:
    """Train autoencoders and denoiser on the zoo, and save the pipeline in the folder `generator`."""
    from gnndiff import diffusion
    from gnndiff.nets.graph_encoder import GraphEncoder

    run.require("collect")
    with (
        run.timed("train"),
        _folder(run.folder / "generator") as folder,
        progress("train", diffusion.REPORTS, quiet=run.config.quiet) as advance,
    ):
        zoo = load_zoo(run)
        autoencoder = ParameterAutoencoder.fit(zoo.vectors, zoo.layout)
        latents = autoencoder.encode(zoo.vectors)

        with seeded(run.seed("graph encoder")):
            encoder = GraphEncoder(run.task.num_features, run.task.num_classes)
        fit(
            encoder,
            run.task,
            run.config.split,
            FitConfig(epochs=GRAPH_ENCODER_EPOCHS, seed=run.seed("graph encoder")),
        )
        members = {checkpoint.member for checkpoint in zoo.checkpoints}
        views = {member: graph_view(run, member) for member in members}
        embedded = {member: encoder.embed(view.x, view.edge_index) for member, view in views.items()}
        embeddings = torch.stack([embedded[checkpoint.member] for checkpoint in zoo.checkpoints])
        vals = torch.tensor([checkpoint.val for checkpoint in zoo.checkpoints])
        whole = encoder.embed(run.task.graph().x, run.task.graph().edge_index)
        condition = Condition.fit(embeddings, vals, whole)

        denoiser = diffusion.train_denoiser(
            latents.to(run.device),
            condition.standardise(embeddings, vals).to(run.device),
            run.limits.generator_steps,
            run.generator("denoiser"),
            advance,
        )
        info = {
            "task": run.task.name,
            "model": run.config.model,
            "params": dict(zoo.params),
            "checkpoints": len(zoo.checkpoints),
            "trainings": len(members),
            "parameters": zoo.layout.size,
            "relative_spread": float((zoo.vectors - autoencoder.mean).norm() / zoo.vectors.norm()),
            "effective_rank": zoo.effective_rank,
            "latent_dim": autoencoder.latent_dim,
            "reconstruction_error": autoencoder.reconstruction_error,
        }
        pipeline = GNNDiffPipeline(
            zoo.layout, autoencoder, encoder, denoiser.cpu(), diffusion.scheduler(), condition, info
        )
        pipeline.save_pretrained(folder)


@dataclass(frozen=True)
class Candidates:
    """Latents drawn from the generator with the validation scores of the networks that they decode to.

    Args:
        latents: Shape (resamplings, candidates, k).
        vals: Shape (resamplings, candidates).
    """

    latents: Tensor
    vals: Tensor

    def best(self, draw: int, count: int) -> Tensor:
        """Latents (count, k) of the highest scores in one draw, the best first."""
        order = self.vals[draw].sort(descending=True, stable=True).indices
        return self.latents[draw][order[:count]]


def generate(run: Run) -> None:
    """Draw candidates, score them by validation, and save them with the best network in the folder `generated`."""
    run.require("train")
    with run.timed("generate"), _folder(run.folder / "generated") as folder:
        pipeline = GNNDiffPipeline.from_pretrained(run.folder / "generator")
        params = pipeline.info["params"]
        latents, vals = [], []
        with progress("generate", run.limits.resamplings, quiet=run.config.quiet) as advance:
            for draw in range(run.limits.resamplings):
                latents.append(pipeline.sample(run.limits.candidates, generator=run.generator("generate", draw)))
                states = pipeline.decode(latents[-1])
                vals.append(torch.tensor(evaluate_states(run, params, states, "val"), dtype=torch.float64))
                advance(f"best validation {max(float(val.max()) for val in vals):.4f}")
        candidates = Candidates(torch.stack(latents), torch.stack(vals))
        save_file({"latents": candidates.latents, "vals": candidates.vals}, folder / "candidates.safetensors")
        best = {name: tensor[0].clone() for name, tensor in pipeline.decode(candidates.best(0, 1)).items()}
        save_file(best, folder / "best.safetensors")
        facts = {"model": run.config.model, "params": params, "val": float(candidates.vals[0].max())}
        (folder / "best.json").write_text(json.dumps(facts, indent=2) + "\n")


def load_candidates(run: Run) -> Candidates:
    """What :func:`generate` saved."""
    run.require("generate")
    path = run.folder / "generated" / "candidates.safetensors"
    try:
        return Candidates(**load_file(path))
    except (OSError, TypeError, SafetensorError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}): delete it and run `gnndiff generate`") from error


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name as a whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    yield partial
    shutil.rmtree(path, ignore_errors=True)
    os.replace(partial, path)
