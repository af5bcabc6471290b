"""The record of a run's finished stages: stages.json, with hashes of what each stage left."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gnndiff.errors import DamagedFileError, RunFolderError
from gnndiff.files import SEAL, check_seal, digest, read_checked, read_json, sha256, write_checked

CONFIG = "config.json"
RECORD = "stages.json"
RESULTS = "results.json"
ORDER = ("search", "collect", "train", "generate", "compare")


@dataclass(frozen=True)
class Finished:
    """A stage that has finished.

    Args:
        seconds: Its wall clock.
        left: Names of what it left, with their hashes.
    """

    seconds: float
    left: dict[str, str]


def read_record(folder: Path, identity: str) -> dict[str, Finished]:
    """The finished stages of a run, empty where there are none.

    Raises:
        DamagedFileError: The file is damaged, or of another run.
    """
    path = folder / RECORD
    if not path.exists():
        return {}
    record = read_checked(path)
    if record.get("run") != identity:
        raise DamagedFileError(f"{path} is of another run: delete it, and `gnndiff run` makes it again")
    return {stage: Finished(**values) for stage, values in record["stages"].items()}


def write_record(folder: Path, identity: str, stages: dict[str, Finished]) -> None:
    """Write the finished stages of a run."""
    write_checked(folder / RECORD, {"run": identity, "stages": {name: asdict(each) for name, each in stages.items()}})


def after(stages: dict[str, Finished], name: str, new: Finished) -> dict[str, Finished]:
    """The record once a stage has ended: if it left what it had left before, nothing changes.

    Otherwise what later stages had made of the former is no longer finished.
    """
    old = stages.get(name)
    if old is not None and old.left == new.left:
        return stages
    return {**{stage: each for stage, each in stages.items() if ORDER.index(stage) < ORDER.index(name)}, name: new}


def file_hash(path: Path) -> str | None:
    """Hash of a file, or None where it or, of the seal of a folder, one of its files is missing."""
    if not path.is_file() or (path.name == SEAL and check_seal(path.parent)):
        return None
    return sha256(path)


def altered(path: Path, stage: str) -> DamagedFileError:
    """The error of a file that is not what a stage left."""
    return DamagedFileError(f"{path} is not as `gnndiff {stage}` left it: delete it, and `gnndiff run` makes it again")


def read_config(folder: Path) -> dict[str, Any]:
    """The content of a run's config.json.

    Raises:
        RunFolderError: The folder holds no run.
        DamagedFileError: It is not as it was written.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise RunFolderError(f"{folder} holds no run: it has no config.json, as `gnndiff run` writes it")
    try:
        stored = read_json(path)
    except DamagedFileError as error:
        raise DamagedFileError(f"{path} is damaged: restore it, or choose another folder with --out") from error
    check = stored.pop("check", None)
    if check != digest(stored):
        raise DamagedFileError(f"{path} is not as it was written: restore it, or choose another folder with --out")
    return stored


def read_results(folder: Path) -> dict[str, Any]:
    """The content of the results.json of a finished run; the folder is only read.

    Raises:
        RunFolderError: The run has not finished.
        DamagedFileError: A file is damaged, or of another run.
    """
    compare = read_record(folder, read_config(folder)["identity"]).get("compare")
    got = file_hash(folder / RESULTS)
    if compare is None or got is None:
        raise RunFolderError(f"{folder} has no finished run: run `gnndiff run` on it first")
    if got != compare.left.get(RESULTS):
        raise altered(folder / RESULTS, "compare")
    return read_json(folder / RESULTS)
