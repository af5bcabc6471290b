"""The stages that train the generator and draw candidates from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gnndiff.errors import DamagedFileError
from gnndiff.files import SEAL, new_folder, write_tensors
from gnndiff.generators import find
from gnndiff.generators.conditions import ZooConditions
from gnndiff.pipeline import GNNDiffPipeline, files_of
from gnndiff.progress import progress
from gnndiff.runs.collect import load_zoo
from gnndiff.runs.folder import Run
from gnndiff.scores import best, order
from gnndiff.targets.base import check_setting, training_names
from graphtasks import Metric

CANDIDATES = "candidates.safetensors"


def train(run: Run) -> None:
    """Train the generator on the zoo, and save the pipeline in the folder `generator`."""
    from gnndiff.generators import learning

    run.require("collect")
    with (
        run.timed("train", [f"generator/{SEAL}"]),
        new_folder(run.folder / "generator", files_of(find(run.config.generator))) as folder,
        progress("train", learning.REPORTS, quiet=run.config.quiet) as advance,
    ):
        zoo = load_zoo(run)
        conditions = ZooConditions.of_scores(zoo.scores, run.task.metric)
        generator = find(run.config.generator)(run.limits.generator_steps, run.method, str(run.device))
        rng = run.generator("denoiser")
        generator.fit(
            zoo.vectors, conditions, members=zoo.members, layout=zoo.layout, judge=zoo, rng=rng, advance=advance
        )
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
            **generator.facts,
        }
        whole = zoo.states(zoo.vectors[:1])[0]
        buffers = {name: tensor.cpu() for name, tensor in whole.items() if name not in zoo.layout.shapes}
        GNNDiffPipeline(generator, zoo.layout, buffers, info).save_pretrained(folder)


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
    with (
        run.timed("generate", [f"generated/{SEAL}"]),
        new_folder(run.folder / "generated", [CANDIDATES]) as folder,
    ):
        pipeline = GNNDiffPipeline.from_pretrained(run.folder / "generator")
        check_setting(
            pipeline.info["setting"],
            run.space,
            run.folder / "generator" / "model_index.json",
            training_names(run.target),
        )
        evaluator = run.evaluator(pipeline.info["setting"]).with_buffers(pipeline.buffers)
        generator = pipeline.generator
        latents, vals = [], []
        with progress("generate", run.limits.resamplings, quiet=run.config.quiet) as advance:
            for draw in range(run.limits.resamplings):
                rng = run.generator("generate", draw)
                latents.append(generator.sample_latents(run.limits.candidates, rng=rng))
                states = pipeline.layout.unflatten(generator.autoencoder.decode(latents[-1]))
                vals.append(torch.tensor(evaluator.scores(states, "val"), dtype=torch.float64))
                top = best((float(val) for each in vals for val in each), metric)
                advance(f"best validation {metric.format(top)}")
        write_tensors(folder / CANDIDATES, {"latents": torch.stack(latents), "vals": torch.stack(vals)})


def load_candidates(run: Run) -> Candidates:
    """Candidates that :func:`generate` saved."""
    run.require("generate")
    path = run.folder / "generated" / CANDIDATES
    try:
        return Candidates(**load_file(path), metric=run.task.metric)
    except (OSError, TypeError, SafetensorError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}): delete it and run `gnndiff generate`") from error
