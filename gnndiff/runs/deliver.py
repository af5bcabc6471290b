"""The deliverable of a run: the network that validates best among all rows of single networks."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gnndiff.errors import DamagedFileError, RunFolderError
from gnndiff.files import check_seal, new_folder, read_json, write_json, write_tensors

WEIGHTS = "model.safetensors"
FACTS = "best.json"
FILES = (WEIGHTS, FACTS)


@dataclass(frozen=True)
class Best:
    """The network that a run delivers.

    Args:
        state_dict: Its weights and buffers.
        setting: Its hyperparameters.
        val: Its validation score, by which it was chosen.
        test: Its test score, by which nothing was chosen.
        row: The row of the table that it is from.
        facts: Target, task and how it was chosen, for the reader.
    """

    state_dict: dict[str, Tensor] = field(repr=False)
    setting: dict[str, Any]
    val: float
    test: float
    row: str
    facts: dict[str, Any] = field(default_factory=dict, repr=False)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the network as a folder of safetensors and JSON.

        Raises:
            RunFolderError: The folder has files of somebody else, which stay as they are.
        """
        with new_folder(Path(folder), FILES) as partial:
            write_tensors(partial / WEIGHTS, self.state_dict)
            facts = {"setting": self.setting, "val": self.val, "test": self.test, "row": self.row, **self.facts}
            write_json(partial / FACTS, facts)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Best:
        """Read what :meth:`save` wrote; for a run that is its folder `best`.

        Raises:
            RunFolderError: The folder holds no network.
            DamagedFileError: A file is missing or damaged.
        """
        folder = Path(folder)
        if not (folder / FACTS).is_file():
            raise RunFolderError(f"{folder} holds no network: it needs {FACTS}, as `gnndiff run` writes it into best/")
        missing = check_seal(folder)
        facts = read_json(folder / FACTS)
        try:
            if missing:
                raise KeyError(f"{missing[0]} is missing")
            own = {name: facts.pop(name) for name in ("setting", "val", "test", "row")}
            return cls(load_file(folder / WEIGHTS), **own, facts=facts)
        except (OSError, KeyError, TypeError, SafetensorError) as error:
            raise DamagedFileError(
                f"the network in {folder} is damaged ({error}): delete the folder and run `gnndiff compare`"
            ) from error
