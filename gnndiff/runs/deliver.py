"""The deliverable of a run: one network, or an ensemble, with how it was chosen."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gnndiff.errors import DamagedFileError, GNNDiffError, RunFolderError
from gnndiff.files import check_seal, new_folder, read_json, write_json, write_tensors
from graphtasks.files import as_path

WEIGHTS = "model.safetensors"
FACTS = "best.json"
FILES = (WEIGHTS, FACTS)


@dataclass(frozen=True)
class Deliverable:
    """Networks of one architecture, of which the weighted mean answer counts.

    Args:
        states: Weights and buffers of each.
        weights: Weight of each.
        setting: Their hyperparameters.
    """

    states: list[dict[str, Tensor]] = field(repr=False)
    weights: list[float]
    setting: dict[str, Any]


@dataclass(frozen=True)
class Best(Deliverable):
    """The network, or the ensemble, that a run delivers.

    Args:
        states: Weights and buffers of each network, of which there is one unless ensembles are allowed.
        weights: Weight of each in the mean answer, see :meth:`graphtasks.GraphTask.average`.
        setting: Their hyperparameters.
        val: Its validation score.
        test: Its test score, by which nothing was chosen.
        row: The row of the table that it is from.
        facts: Target, task and how it was chosen, for the reader.
    """

    val: float
    test: float
    row: str
    facts: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def state_dict(self) -> dict[str, Tensor]:
        """Weights and buffers of the one network.

        Raises:
            GNNDiffError: It is an ensemble.
        """
        if len(self.states) > 1:
            raise GNNDiffError(
                f"the run delivers an ensemble of {len(self.states)} networks: use `states` and `weights`, or "
                "deliver='network'"
            )
        return self.states[0]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write it as a folder of safetensors and JSON.

        The tensors of one network have their names in the state dict; of several, name I/NAME is that of network I.

        Raises:
            RunFolderError: The folder has files of somebody else, which stay as they are.
        """
        tensors = self.states[0]
        if len(self.states) > 1:
            tensors = {f"{i}/{name}": value for i, state in enumerate(self.states) for name, value in state.items()}
        own = {name: getattr(self, name) for name in ("weights", "setting", "val", "test", "row")}
        with new_folder(as_path(folder), FILES) as partial:
            write_tensors(partial / WEIGHTS, tensors)
            write_json(partial / FACTS, {**own, **self.facts})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Best:
        """Read what :meth:`save` wrote; for a run that is its folder `best`.

        Raises:
            RunFolderError: The folder holds no network.
            DamagedFileError: A file is missing or damaged.
        """
        folder = as_path(folder)
        if not (folder / FACTS).is_file():
            raise RunFolderError(f"{folder} holds no network: it needs {FACTS}, as `gnndiff run` writes it into best/")
        missing = check_seal(folder)
        facts = read_json(folder / FACTS)
        try:
            if missing:
                raise KeyError(f"{missing[0]} is missing")
            own = {name: facts.pop(name) for name in ("weights", "setting", "val", "test", "row")}
            tensors = load_file(folder / WEIGHTS)
            states: list[dict[str, Tensor]] = [{} for _ in own["weights"]]
            for key, tensor in tensors.items():
                number, _, name = key.rpartition("/") if len(states) > 1 else ("0", "", key)
                states[int(number)][name] = tensor
            return cls(states, **own, facts=facts)
        except (OSError, KeyError, TypeError, ValueError, IndexError, SafetensorError) as error:
            raise DamagedFileError(
                f"the network in {folder} is damaged ({error}): delete the folder and run `gnndiff compare`"
            ) from error
