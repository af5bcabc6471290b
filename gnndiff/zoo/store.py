"""Checkpoints on disk: shards of safetensors, and an index of JSON lines."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gnndiff.errors import DamagedFileError
from gnndiff.files import digest
from gnndiff.zoo.checkpoint import START, Checkpoint
from graphtasks.files import explained, locked, read_bytes, sync_folder, write_bytes

INDEX = "index.jsonl"
_TYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Names of types in safetensors' files."""

BATCH = 32
"""Trainings that share a shard where many are added."""

_MEMBER = re.compile(rb'"member": (\d+), "root": \d+, "seed": ')
"""The number of a training in a line of the index."""

Addition = tuple[int, Sequence[Mapping[str, Tensor]], Sequence[Mapping[str, Any]]]
"""The number of a training, the states of its checkpoints, and facts about each."""


class CheckpointStore:
    """Checkpoints in a folder, to which trainings are added one by one.

    The checkpoints of a training are a shard, `MEMBER.safetensors`, with tensors named `ROW/NAME`; those of a batch of
    trainings share one. It is written as a whole and reaches the disk; then its lines are appended to the index and do,
    too. A writer that is killed, or whose disk is full, leaves all that was there before; the line that it may have
    left half is no part of the index. Writers wait for each other by a lock on the folder, where the system has such
    locks. Readers need none.

    Args:
        folder: The folder, which is made by the first training that is added.
        owner: The run or sweep that all checkpoints are of; others are refused.
        split_hash: Hash of the split that all must have been trained on, where it is known.
        command: The command that trains again what is missing.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        owner: str = "",
        split_hash: str | None = None,
        command: str = "gnndiff run",
    ) -> None:
        self.folder, self.owner, self.split_hash, self.command = Path(folder), owner, split_hash, command

    @property
    def index(self) -> Path:
        """The file of the index."""
        return self.folder / INDEX

    def checkpoints(self) -> list[Checkpoint]:
        """All checkpoints, by the numbers of their trainings; none where there is no index.

        Raises:
            DamagedFileError: A line is none of an index, occurs twice, is of another owner or split, or names a file
                outside of the folder.
        """
        found, problems = self._lines()
        if problems:
            raise DamagedFileError(
                f"{self.index} is damaged ({problems[0]}): delete it, and `{self.command}` makes it again"
            )
        return found

    def readable(self) -> tuple[list[Checkpoint], list[str]]:
        """The checkpoints that can be read, and what is wrong with the others, a line each."""
        found, problems = self._lines()
        faults = [self._fault(each) for each in found]
        good = [each for each, fault in zip(found, faults, strict=True) if fault is None]
        return good, [*problems, *(fault for fault in faults if fault is not None)]

    def complete(self) -> list[Checkpoint]:
        """The checkpoints of those trainings of which all can be read."""
        good = [each for each in self.checkpoints() if self._fault(each) is None]
        counts = Counter(each.member for each in good)
        return [each for each in good if counts[each.member] == each.siblings]

    def add(
        self, member: int, states: Sequence[Mapping[str, Tensor]], facts: Sequence[Mapping[str, Any]]
    ) -> list[Checkpoint]:
        """Append the checkpoints of a training; one that is in the index already stays as it is.

        Args:
            member: Number of the training.
            states: State dicts of its checkpoints.
            facts: Fields of each :class:`Checkpoint` that do not follow from the other arguments.

        Raises:
            FileError: The folder cannot be written to, or the disk is full. All that was there is as it was.
        """
        return self.add_all([(member, states, facts)])

    def add_all(self, trainings: Iterable[Addition]) -> list[Checkpoint]:
        """Append many trainings, a shard and a wait for the disk for each batch.

        Args:
            trainings: Arguments of :meth:`add` of each. They are taken as they come, a batch before it is written.

        Returns:
            The checkpoints of these trainings, also where they were there before.

        Raises:
            FileError: The folder cannot be written to, or the disk is full. Batches before are there.
        """
        added: list[Checkpoint] = []
        trainings = iter(trainings)
        while batch := list(islice(trainings, BATCH)):
            with self._held():
                content = read_bytes(self.index) if self.index.exists() else b""
                there = {int(number) for number in _MEMBER.findall(content)}
                new = {each[0]: each for each in batch if each[0] not in there}
                if new:
                    added += self._write(list(new.values()), content)
            old = {member for member, *_ in batch} & there
            added += [each for each in self.checkpoints() if each.member in old] if old else []
        return added

    def _write(self, trainings: Sequence[Addition], index: bytes) -> list[Checkpoint]:
        """Write a shard of some trainings, and their lines once it has reached the disk."""
        states = [state for _, own, _ in trainings for state in own]
        facts = [(member, len(own), each) for member, own, every in trainings for each in every]
        shard = _unused([member for member, *_ in trainings], index)
        tensors = {f"{row}/{name}": tensor for row, state in enumerate(states) for name, tensor in state.items()}
        with ThreadPoolExecutor(1) as hashing:  # while the disk is busy
            hashes = hashing.submit(lambda: [content_hash(state) for state in states])
            write_bytes(self.folder / shard, _safetensors(tensors))
        found = enumerate(zip(hashes.result(), facts, strict=True))
        new = [
            Checkpoint(shard, row, sha256, member=member, siblings=siblings, **own)
            for row, (sha256, (member, siblings, own)) in found
        ]
        self._append(b"".join(each.line(self.owner) for each in new))
        return new

    def keep(self, checkpoints: Sequence[Checkpoint]) -> None:
        """Leave only these in the index, so that what was lost or damaged can be added again."""
        with self._held():
            write_bytes(self.index, b"".join(each.line(self.owner) for each in checkpoints))

    def read(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """The state dict of a checkpoint; nothing else of its shard is read.

        Raises:
            DamagedFileError: Its file is missing, is a link, or does not hold what was written.
        """
        path, prefix = self.folder / checkpoint.shard, f"{checkpoint.row}/"
        again = f"`{self.command}` trains it again"
        if path.name != checkpoint.shard or path.is_symlink():
            raise DamagedFileError(
                f"{path} is a link or in another folder, which is not followed: delete it, and {again}"
            )
        if not path.is_file():
            raise DamagedFileError(f"{path} is missing: {again}")
        try:
            with explained(path, "read"), safe_open(path, framework="pt") as shard:
                names = [name for name in shard.keys() if name.startswith(prefix)]  # noqa: SIM118 - no dict
                state = {name.removeprefix(prefix): shard.get_tensor(name) for name in names}
        except SafetensorError as error:
            raise DamagedFileError(f"{path} is damaged ({error}): delete it, and {again}") from error
        if content_hash(state) != checkpoint.sha256:
            raise DamagedFileError(
                f"{path} is damaged, checkpoint {checkpoint.row} has another hash than in the index: delete it, and "
                f"{again}"
            )
        return state

    def digest(self) -> str | None:
        """Hash of the index, whose times do not count; None where there is none."""
        if not self.index.is_file():
            return None
        return digest([{**vars(each), "seconds": None} for each in self.checkpoints()])

    def _fault(self, checkpoint: Checkpoint) -> str | None:
        """A line that says why a checkpoint cannot be read."""
        try:
            self.read(checkpoint)
        except DamagedFileError as error:
            return str(error)
        return None

    def _lines(self) -> tuple[list[Checkpoint], list[str]]:
        """Checkpoints of all good lines, and what is wrong with the others."""
        if not self.index.exists():
            return [], []
        found: dict[tuple[str, int], Checkpoint] = {}
        problems = []
        for number, line in enumerate(_whole_lines(read_bytes(self.index)), 1):
            new = self._parsed(line)
            if isinstance(new, Checkpoint) and (new.shard, new.row) in found:
                new = f"{new.shard} occurs twice with row {new.row}"
            if isinstance(new, Checkpoint):
                found[new.shard, new.row] = new
            else:
                problems.append(f"line {number}: {new}")
        return sorted(found.values(), key=lambda each: (each.member, each.row)), problems

    def _parsed(self, line: bytes) -> Checkpoint | str:
        """The checkpoint in a line, or what is wrong with it."""
        try:
            checkpoint = Checkpoint.from_line(line, self.owner)
        except (ValueError, TypeError, RecursionError) as error:
            return str(error)
        return checkpoint if self.split_hash in (None, checkpoint.split_hash) else "it is of another split"

    def _append(self, lines: bytes) -> None:
        """Write lines behind the last whole one, all of them or none."""
        with explained(self.index, "write"):
            new = not self.index.exists()
            file = os.open(self.index, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                there = os.pread(file, os.fstat(file).st_size, 0)
                size = len(b"".join(line + b"\n" for line in _whole_lines(there)))
                if size > len(there):  # an editor took the last line break away
                    size, lines = len(there), b"\n" + lines
                try:
                    os.ftruncate(file, size)
                    written = 0
                    while written < len(lines):
                        written += os.pwrite(file, lines[written:], size + written)
                    os.fsync(file)
                except BaseException:
                    with contextlib.suppress(OSError):  # no half line stays behind
                        os.ftruncate(file, size)
                    raise
            finally:
                os.close(file)
            if new:
                sync_folder(self.folder)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Keep other writers away from the folder, after they have ended."""
        with explained(self.folder, "make"):
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(self.folder, os.O_RDONLY)
        except OSError:  # no folder can be opened on this system
            yield
            return
        try:
            with locked(descriptor, self.folder, wait=True):
                yield
        finally:
            os.close(descriptor)


def _unused(members: Sequence[int], index: bytes) -> str:
    """A name of a shard of some trainings that no line of the index has."""
    stem = f"{members[0]:05d}" if len(members) == 1 else f"{min(members):05d}-{max(members):05d}"
    names = (f"{stem}{'.' * bool(i)}{i or ''}.safetensors" for i in count())
    return next(name for name in names if START + name.encode() not in index)


def _safetensors(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Parts of a file of tensors, which are those of `safetensors.torch.save` without a copy of the tensors."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header, place = {}, 0
    names = sorted(plain, key=lambda name: -plain[name].element_size())  # so that each begins at a multiple of its size
    for name in names:
        end = place + plain[name].nbytes
        header[name] = {
            "dtype": _TYPES[plain[name].dtype],
            "shape": list(plain[name].shape),
            "data_offsets": [place, end],
        }
        place = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    yield from (_bytes(plain[name]) for name in names)


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def content_hash(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and entries of tensors, in hexadecimal digits."""
    found = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(_bytes(tensor))
    return found.hexdigest()


def _whole_lines(content: bytes) -> list[bytes]:
    """Lines of an index without a last one that was cut short."""
    *lines, rest = content.split(b"\n")
    cut = rest.startswith(START) or START.startswith(rest) or not rest.strip(b"\0")
    if not cut or rest.endswith(b'"}'):  # whole but for the line break, which editors take away
        return [*lines, rest]
    return lines
