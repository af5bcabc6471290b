"""Modules of a saved generator, built only as large as their files are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

UNREADABLE = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, SafetensorError)
"""Errors of files whose content is not what it should be."""

Module = TypeVar("Module", bound=nn.Module)


def loaded(cls: type[Module], config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Module:
    """A module in evaluation mode with the tensors of a file, whose config need not be trusted.

    Args:
        cls: Its class.
        config: Arguments of the class.
        state: Its tensors.

    Raises:
        ValueError: The config asks for more layers than there are tensors.
        RuntimeError: The tensors do not fit.
    """
    if any(isinstance(value, int) and value > sum(map(Tensor.numel, state.values())) for value in config.values()):
        raise ValueError(f"the config {dict(config)!r} is of a larger module than the file of its tensors")
    with torch.device("meta"):
        module = cls(**config)
    module.load_state_dict(dict(state), assign=True)
    return module.eval()
