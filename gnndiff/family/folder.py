"""The folder of a run over a family: its identity, its finished stages and its stores of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from gnndiff.errors import DamagedFileError, RunFolderError
from gnndiff.files import check_folder, check_place, digest, is_partial, write_checked
from gnndiff.runs.record import CONFIG, RESULTS, Recorded, read_config, read_owned, write_owned
from gnndiff.targets.base import Setting
from gnndiff.zoo.checkpoint import Checkpoint
from gnndiff.zoo.store import INDEX, CheckpointStore
from graphtasks.files import explained

COMMAND = "gnndiff family"
SEARCH, SHARED, ZOO, PIPELINE, ROWS = "search.json", "shared", "zoo", "pipeline", "rows"


class FamilyFolder(Recorded):
    """The folder of a run over a family.

    Args:
        folder: The folder.
        facts: Facts that make two runs the same, as stored in config.json.
    """

    order = ("search", "conditions", "shared", "zoo", "generator", "rows")
    command = COMMAND

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.folder, self.facts = folder, dict(facts)

    @classmethod
    def load(cls, folder: Path) -> FamilyFolder:
        """The run in a folder.

        Raises:
            RunFolderError: The folder holds no run over a family.
            DamagedFileError: Its config.json is not as it was written.
        """
        facts = read_config(folder, COMMAND)
        if "family" not in facts:
            raise RunFolderError(f"{folder} holds another run than one over a family")
        return cls(folder, facts)

    @property
    def identity_hash(self) -> str:
        """Hash of the facts, which all artefacts of a run are known by."""
        return digest(self.facts)

    def check(self) -> None:
        """Check that the folder is new, or of this run.

        Raises:
            RunFolderError: It holds another run, or something else.
            DamagedFileError: Its config.json is not as it was written.
        """
        check_folder(self.folder)
        if (self.folder / CONFIG).is_file():
            stored = read_config(self.folder, COMMAND)
            differing = [name for name in self.facts if digest(stored.get(name)) != digest(self.facts[name])]
            if differing:
                name = differing[0]
                raise RunFolderError(
                    f"{self.folder} holds a run with {name}={stored.get(name)!r}, not {self.facts[name]!r}: "
                    "use another folder"
                )
        elif self.folder.is_dir() and any(not is_partial(file) and file.name != ".lock" for file in self._files()):
            raise RunFolderError(f"{self.folder} holds files and no {CONFIG}: use another folder")

    def make(self, pipeline: Sequence[str]) -> None:
        """Make folders and config.json, after a look for files of somebody else.

        Args:
            pipeline: Names of the files of a pipeline.
        """
        check_place(self.folder / PIPELINE, pipeline)
        if not (self.folder / CONFIG).is_file():
            write_checked(self.folder / CONFIG, self.facts)
        for name in (SHARED, ZOO, ROWS):
            check_folder(self.folder / name)
            with explained(self.folder / name, "make"):
                (self.folder / name).mkdir(exist_ok=True)

    def left(self, stage: str, name: str) -> str | None:
        """Hash of what a stage left, None where it is missing. Times in it do not count."""
        path = self.folder / name
        return self.store(path.parent.name).digest() if path.name == INDEX else super().left(stage, name)

    def complete(self) -> bool:
        """Whether all stages have finished and what they left is there."""
        return all(self.finished(stage) for stage in self.order)

    def owner(self, *place: str | int) -> str:
        """The owner of what has a place in this run."""
        return digest([self.identity_hash, *place])

    def store(self, name: str) -> CheckpointStore:
        """The store of tensors with a name."""
        return CheckpointStore(self.folder / name, self.owner(name), command=COMMAND)

    def results(self) -> dict[str, Any]:
        """The content of results.json.

        Raises:
            RunFolderError: The run has not finished.
            DamagedFileError: Something of it is not what was left.
        """
        if not self.complete():
            raise RunFolderError(f"{self.folder} has no finished run: run `{COMMAND}` on it first")
        return read_owned(self.folder / RESULTS, self.owner(RESULTS), COMMAND)

    def write_results(self, value: dict[str, Any]) -> None:
        """Write results.json."""
        write_owned(self.folder / RESULTS, self.owner(RESULTS), value)

    def pipeline(self) -> Path:
        """The folder of the pipeline, which is as its stage left it.

        Raises:
            RunFolderError: Its stage has not finished.
            DamagedFileError: A file of it is not what was left.
        """
        if not self.finished("generator"):
            raise RunFolderError(f"{self.folder} has no finished pipeline: run `{COMMAND}` on it first")
        return self.folder / PIPELINE

    def _files(self) -> list[Path]:
        with explained(self.folder, "read"):
            return list(self.folder.iterdir())


class Vectors:
    """A store of one tensor for each of some numbers, each made with a setting.

    Args:
        run: The run folder.
        name: Name of the store.
        setting: The setting that the tensors are made with.
        hashes: Hash of the data that each number is made from.
    """

    def __init__(self, run: FamilyFolder, name: str, setting: Setting, hashes: Mapping[int, str]) -> None:
        self.store, self.setting, self.hashes = run.store(name), dict(setting), hashes

    def found(self) -> dict[int, Checkpoint]:
        """Checkpoints that are there, by their numbers; lines of missing files leave the index.

        Raises:
            DamagedFileError: A line is of another run, setting or number.
        """
        every = self.store.checkpoints()
        for each in every:
            right = digest(each.setting) == digest(self.setting) and self.hashes.get(each.member) == each.split_hash
            if not right or (each.row, each.siblings) != (0, 1):
                raise DamagedFileError(
                    f"{self.store.index} has a line of another setting, start or member ({each.shard}): delete it, "
                    f"and `{COMMAND}` makes it again"
                )
        there = [each for each in every if (self.store.folder / each.shard).exists()]
        if len(there) < len(every):
            self.store.keep(there)
        return {each.member: each for each in there}

    def add(self, number: int, tensor: Tensor, *, seed: int, epoch: int, val: float, seconds: float) -> Checkpoint:
        """Add a tensor with its number and facts about how it was made."""
        facts = {
            "setting": self.setting, "root": number, "seed": seed, "epoch": epoch, "val": val,
            "split_hash": self.hashes[number], "seconds": seconds,
        }  # fmt: skip
        return self.store.add(number, [{"tensor": tensor}], [facts])[0]

    def read(self, checkpoint: Checkpoint, shape: Sequence[int]) -> Tensor:
        """The tensor of a checkpoint.

        Raises:
            DamagedFileError: Its file does not hold what was written, or a tensor of another shape.
        """
        found = self.store.read(checkpoint).get("tensor")
        if found is None or tuple(found.shape) != tuple(shape):
            path = self.store.folder / checkpoint.shard
            raise DamagedFileError(
                f"{path} holds no tensor of shape {tuple(shape)}: delete it, and `{COMMAND}` makes it again"
            )
        return found

    def files(self, checkpoints: Sequence[Checkpoint]) -> list[str]:
        """Names of all files, below the run folder."""
        name = self.store.folder.name
        return [f"{name}/{INDEX}", *sorted(f"{name}/{each.shard}" for each in checkpoints)]
