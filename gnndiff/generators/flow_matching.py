"""Flow matching in the latent space of a linear autoencoder."""

from __future__ import annotations

from gnndiff.generators.paths import FlowPath
from gnndiff.generators.residual import ResidualGenerator


class FlowMatching(ResidualGenerator):
    """A velocity field from noise to the latents of parameter vectors, as a residual to that of their Gaussian.

    Source: "Flow Matching for Generative Modeling" (https://arxiv.org/abs/2210.02747).
    """

    name = "flow-matching"
    path = FlowPath()
