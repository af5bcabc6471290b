"""The record of a run's finished stages: stages.json, with hashes of what each stage left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from gnndiff.errors import DamagedFileError, RunFolderError
from gnndiff.files import SEAL, check_seal, digest, read_checked, read_json, sha256, write_checked

CONFIG = "config.json"
RECORD = "stages.json"
RESULTS = "results.json"
ORDER = ("search", "collect", "train", "generate", "compare")
UNSEEN = "unseen"
"""The hash of what is to be seen only where it is needed, such as trials on another machine."""


@dataclass(frozen=True)
class Finished:
    """A stage that has finished.

    Args:
        seconds: Its wall clock.
        left: Names of what it left, with their hashes.
    """

    seconds: float
    left: dict[str, str]


class Recorded:
    """A run with a record of its finished stages."""

    folder: Path
    order: tuple[str, ...] = ORDER
    """Its stages."""
    command = "gnndiff run"
    """The command that makes again what is missing."""

    @property
    def identity_hash(self) -> str:
        """Hash of the identity, which all artefacts of a run are known by."""
        raise NotImplementedError

    def left(self, stage: str, name: str) -> str | None:
        """Hash of what a stage left, by its name below the folder, or None where it is missing."""
        return file_hash(self.folder / name)

    @contextmanager
    def timed(self, stage: str, left: Sequence[str]) -> Iterator[None]:
        """Record a stage that ends well with its time and what it left."""
        start = perf_counter()
        yield
        self.finish(stage, perf_counter() - start, left)

    def finish(self, stage: str, seconds: float, left: Sequence[str]) -> None:
        """Record that a stage has finished. If it left what it had left before, the record stays as it is.

        Otherwise what later stages had made of the former is no longer finished.

        Args:
            stage: Its name.
            seconds: Its wall clock.
            left: Names of what it left, below the folder.
        """
        found = {name: None if self._lacks(name) else self.left(stage, name) for name in left}
        lost = [name for name, value in found.items() if value is None]
        if lost:
            raise DamagedFileError(f"{self.folder / lost[0]} is gone: run `{self.command}` again")
        hashes = {name: value for name, value in found.items() if value is not None}
        stages = self.stages()
        if stage in stages and stages[stage].left == hashes:
            return
        earlier = self.order[: self.order.index(stage)]
        new = {name: each for name, each in stages.items() if name in earlier}
        new[stage] = Finished(round(seconds, 3), hashes)
        write_owned(
            self.folder / RECORD, self.identity_hash, {"stages": {name: asdict(each) for name, each in new.items()}}
        )

    def stages(self) -> dict[str, Finished]:
        """The finished stages, none where there is no record.

        Raises:
            DamagedFileError: The record is damaged, or of another run.
        """
        return read_record(self.folder, self.identity_hash, self.command)

    def seconds(self) -> dict[str, float]:
        """Seconds of the finished stages."""
        return {name: each.seconds for name, each in self.stages().items()}

    def finished(self, stage: str) -> bool:
        """Whether a stage has finished and what it left is there.

        Raises:
            DamagedFileError: Something of it is not what it left.
        """
        entry = self.stages().get(stage)
        if entry is None:
            return False
        for name, expected in entry.left.items():
            got = self.left(stage, name)
            if got is None:
                return False
            if got not in (expected, UNSEEN):
                raise altered(self.folder / name, stage, self.command)
            if self._lacks(name):
                return False
        return True

    def _lacks(self, name: str) -> bool:
        """Whether a file is the seal of a folder that lacks one of its files."""
        path = self.folder / name
        return path.name == SEAL and bool(check_seal(path.parent, self.command))


def read_record(folder: Path, identity: str, command: str = "gnndiff run") -> dict[str, Finished]:
    """The finished stages of a run, empty where there are none.

    Raises:
        DamagedFileError: The file is damaged, or of another run.
    """
    path = folder / RECORD
    if not path.exists():
        return {}
    stages = read_owned(path, identity, command)["stages"]
    return {stage: Finished(**values) for stage, values in stages.items()}


def write_owned(path: Path, owner: str, value: dict[str, Any]) -> None:
    """Write a JSON object of a run, or of a place in it, with a checksum of its content."""
    write_checked(path, {"run": owner, **value})


def read_owned(path: Path, owner: str, command: str) -> dict[str, Any]:
    """Read what :func:`write_owned` wrote.

    Raises:
        DamagedFileError: The file holds something else, or is of another owner.
    """
    value = read_checked(path, command)
    if value.pop("run", None) != owner:
        raise DamagedFileError(f"{path} is of another run or place: delete it, and `{command}` makes it again")
    return value


def file_hash(path: Path) -> str | None:
    """Hash of a file, or None where it is missing."""
    return sha256(path) if path.is_file() else None


def altered(path: Path, stage: str, command: str = "gnndiff run") -> DamagedFileError:
    """The error of a file that is not what a stage left."""
    return DamagedFileError(f"{path} is not as the stage {stage!r} left it: delete it, and `{command}` makes it again")


def read_config(folder: Path, command: str = "gnndiff run") -> dict[str, Any]:
    """The content of a run's config.json.

    Raises:
        RunFolderError: The folder holds no run.
        DamagedFileError: It is not as it was written.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise RunFolderError(f"{folder} holds no run: it has no config.json, as `{command}` writes it")
    try:
        stored = read_json(path)
    except DamagedFileError as error:
        raise DamagedFileError(f"{path} is damaged: restore it, or choose another folder with --out") from error
    check = stored.pop("check", None)
    if check != digest(stored):
        raise DamagedFileError(f"{path} is not as it was written: restore it, or choose another folder with --out")
    return stored


def read_run(folder: Path) -> dict[str, Any]:
    """The content of the config.json of a run that is none over a family.

    Raises:
        RunFolderError: The folder holds no such run.
        DamagedFileError: It is not as it was written.
    """
    stored = read_config(folder)
    if "identity" not in stored:
        raise RunFolderError(f"{folder} holds no run of `gnndiff run`")
    return stored


def read_results(folder: Path) -> dict[str, Any]:
    """The content of the results.json of a finished run; the folder is only read.

    Raises:
        RunFolderError: The run has not finished.
        DamagedFileError: A file is damaged, or of another run.
    """
    compare = read_record(folder, read_run(folder)["identity"]).get("compare")
    got = file_hash(folder / RESULTS)
    if compare is None or got is None:
        raise RunFolderError(f"{folder} has no finished run: run `gnndiff run` on it first")
    if got != compare.left.get(RESULTS):
        raise altered(folder / RESULTS, "compare")
    return read_json(folder / RESULTS)
