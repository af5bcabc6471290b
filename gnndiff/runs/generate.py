"""The stages that train the generator and draw candidates from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gnndiff.errors import DamagedFileError
from gnndiff.files import SEAL, new_folder, write_tensors
from gnndiff.generators.conditions import ZooConditions
from gnndiff.generators.latent_diffusion import LatentDiffusion
from gnndiff.pipeline import GNNDiffPipeline
from gnndiff.progress import progress
from gnndiff.runs.collect import load_zoo, view
from gnndiff.runs.folder import Run
from gnndiff.scores import best, order
from gnndiff.targets.base import check_setting, training_names
from gnndiff.zoo.zoo import Zoo
from graphtasks import FitConfig, Metric, fit
from graphtasks.randomness import seeded


def train(run: Run) -> None:
    """Train the generator on the zoo, and save the pipeline in the folder `generator`."""
    from gnndiff.generators import diffusion

    run.require("collect")
    with (
        run.timed("train", [f"generator/{SEAL}"]),
        new_folder(run.folder / "generator") as folder,
        progress("train", diffusion.REPORTS, quiet=run.config.quiet) as advance,
    ):
        zoo = load_zoo(run)
        conditions, encoder = _conditions(run, zoo)
        generator = LatentDiffusion(run.limits.generator_steps, run.method, str(run.device))
        generator.fit(zoo, conditions, rng=run.generator("denoiser"), advance=advance)
        info = {
            "task": run.task.name,
            "model": run.target.name,
            "own_target": run.own_target,
            "setting": dict(zoo.setting),
            "checkpoints": len(zoo),
            "trainings": len(set(zoo.members)),
            "parameters": zoo.layout.size,
            "alignment": zoo.alignment,
            "relative_spread": float((zoo.vectors - generator.autoencoder.mean).norm() / zoo.vectors.norm()),
            "effective_rank": zoo.effective_rank,
            "latent_dim": generator.autoencoder.latent_dim,
            "reconstruction_error": generator.autoencoder.reconstruction_error,
        }
        whole = zoo.states(zoo.vectors[:1])[0]
        buffers = {name: tensor.cpu() for name, tensor in whole.items() if name not in zoo.layout.shapes}
        GNNDiffPipeline(generator, zoo.layout, buffers, info, encoder).save_pretrained(folder)


def _conditions(run: Run, zoo: Zoo):  # type: ignore[no-untyped-def]
    """Conditions of the checkpoints, and the graph encoder, which only classes of nodes of one graph can train."""
    from gnndiff.generators.graph_encoder import GraphEncoder

    if run.task.kind != "node" or run.task.many or run.config.neighbors or run.config.clusters:
        return ZooConditions.of_scores(zoo.scores, run.task.metric), None
    with seeded(run.seed("graph encoder")):
        encoder = GraphEncoder(run.task.num_features, run.task.num_classes)
    config = FitConfig(epochs=run.method.encoder_epochs, seed=run.seed("graph encoder"))
    fit(encoder, run.task, run.config.split, config)
    views = {member: view(run, member).graph() for member in set(zoo.members)}
    embedded = {member: encoder.embed(graph.x, graph.edge_index) for member, graph in views.items()}
    graphs = torch.stack([embedded[member] for member in zoo.members])
    whole = encoder.embed(run.task.graph().x, run.task.graph().edge_index)
    return ZooConditions.of_graphs(graphs, whole, zoo.scores, run.task.metric), encoder


@dataclass(frozen=True)
class Candidates:
    """Vectors drawn from the generator, with the validation scores of the networks that they are.

    Args:
        latents: Shape (resamplings, candidates, k).
        vals: Shape (resamplings, candidates).
        metric: The metric of the scores.
    """

    latents: Tensor
    vals: Tensor
    metric: Metric

    def best(self, draw: int, count: int) -> Tensor:
        """Latents (count, k) of the best scores in one draw, the best first."""
        return self.latents[draw][order(self.vals[draw].tolist(), self.metric)[:count]]


def generate(run: Run) -> None:
    """Draw candidates, score them by validation, and save them in the folder `generated`."""
    run.require("train")
    metric = run.task.metric
    with run.timed("generate", [f"generated/{SEAL}"]), new_folder(run.folder / "generated") as folder:
        pipeline = GNNDiffPipeline.from_pretrained(run.folder / "generator")
        check_setting(
            pipeline.info["setting"],
            run.space,
            run.folder / "generator" / "model_index.json",
            training_names(run.target),
        )
        evaluator = run.evaluator(pipeline.info["setting"]).with_buffers(pipeline.buffers)
        generator = pipeline.generator
        assert isinstance(generator, LatentDiffusion)
        latents, vals = [], []
        with progress("generate", run.limits.resamplings, quiet=run.config.quiet) as advance:
            for draw in range(run.limits.resamplings):
                rng = run.generator("generate", draw)
                latents.append(generator.sample_latents(run.limits.candidates, rng=rng))
                states = pipeline.layout.unflatten(generator.autoencoder.decode(latents[-1]))
                vals.append(torch.tensor(evaluator.scores(states, "val"), dtype=torch.float64))
                top = best((float(val) for each in vals for val in each), metric)
                advance(f"best validation {metric.format(top)}")
        write_tensors(folder / "candidates.safetensors", {"latents": torch.stack(latents), "vals": torch.stack(vals)})


def load_candidates(run: Run) -> Candidates:
    """Candidates that :func:`generate` saved."""
    run.require("generate")
    path = run.folder / "generated" / "candidates.safetensors"
    try:
        return Candidates(**load_file(path), metric=run.task.metric)
    except (OSError, TypeError, SafetensorError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}): delete it and run `gnndiff generate`") from error
