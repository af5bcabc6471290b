"""The file of a comparison: one JSON line a training, appended to by one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from graphtasks.errors import FileError, InvalidDataError
from graphtasks.files import explained, locked, read_bytes, sync_folder

# Fields that tell one training from another. Trainings that agree in all of it give the same scores.
KEY = (
    "phase",
    "task",
    "protocol",
    "metric",
    "split",
    "split_hash",
    "data_hash",
    "model",
    "version",
    "setting",
    "seed",
    "config",
)
_INTEGERS = ("split", "seed")
# The start of every line, by which one that was cut short is known, and what follows the values.
_START = b'{"phase": "'
_CHECK = b', "check": "'


class Ledger:
    """Rows of this comparison in their order, and trainings that are done, in a file where there is a path.

    To be entered by `with`: the file is held against other writers until the end.

    Args:
        path: A JSONL file of earlier trainings, empty or still to be made; None for none.
        callback: Called with each new row once it is on the disk.

    Raises:
        InvalidDataError: The file holds anything else than trainings that `compare` wrote. It stays as it is, but for
            the end of a last line that was cut short.
        FileError: It cannot be written, or another process writes to it.
    """

    def __init__(self, path: str | os.PathLike[str] | None, callback: Callable[[dict[str, Any]], None] | None) -> None:
        self.path, self.callback = None if path is None else Path(path), callback
        self.rows: list[dict[str, Any]] = []
        self.done: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._held = contextlib.ExitStack()
        self._file = -1

    def __enter__(self) -> Ledger:
        if self.path is not None:
            with contextlib.ExitStack() as held:
                self._open(held, self.path)
                self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._held.close()

    def _open(self, held: contextlib.ExitStack, path: Path) -> None:
        with explained(path, "write"):
            if path.exists() and not path.is_file():
                raise FileError(f"{path} is a folder or a device: give the path of a file")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
            held.callback(os.close, self._file)
            held.enter_context(locked(self._file, path))
            rows, size = read_lines(path)
            self.done = {key(row): row for row in rows}
            os.ftruncate(self._file, size)
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                os.write(self._file, b"\n")
            os.fsync(self._file)
            sync_folder(path.resolve().parent)

    def add(
        self, row: dict[str, Any], train: Callable[[], dict[str, Any]], metrics: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The row with the outcome of its training, run unless it is done already and scored by all metrics."""
        old = self.done.get(key(row))
        if old is not None and not set(metrics) <= set(json.loads(old.get("others", "{}"))):
            old = None
        row = {**row, **(train() if old is None else {**old, **row})}
        self.rows.append(row)
        if row != old:
            self.done[key(row)] = row
            if self.path is not None:
                self._append(self.path, _line(row))
        if old is None and self.callback is not None:
            self.callback(dict(row))
        return row

    def _append(self, path: Path, line: bytes) -> None:
        with explained(path, "write"):
            size = os.fstat(self._file).st_size
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
                os.fsync(self._file)
            except BaseException:
                with contextlib.suppress(OSError):  # no half line stays behind
                    os.ftruncate(self._file, size)
                raise


def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Values that tell a training from all others."""
    return tuple(row[name] for name in KEY)


def _line(row: Mapping[str, Any]) -> bytes:
    """A row as JSON whose last entry is a checksum of the others."""
    values = json.dumps(row, allow_nan=False).encode()[:-1]
    return values + _CHECK + _checksum(values) + b'"}\n'


def _checksum(values: bytes) -> bytes:
    return hashlib.sha256(values).hexdigest()[:16].encode()


def read_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Rows of a JSONL file of trainings, and the bytes that its complete lines take.

    A last line that was cut short is left out, if complete ones are before it.

    Raises:
        InvalidDataError: A line is no training, or is not as it was written. Lines of earlier versions have no
            checksum and are not compared with one.
    """
    content = read_bytes(path)
    size = content.rfind(b"\n") + 1
    rows = [_row(line, f"line {number} of {path}") for number, line in enumerate(content[:size].split(b"\n")[:-1], 1)]
    rest = content[size:]
    if _CHECK in rest:  # whole but for the line break, which editors take away
        return [*rows, _row(rest, f"line {len(rows) + 1} of {path}")], len(content)
    cut_short = rest.startswith(_START) or _START.startswith(rest) or not rest.strip(b"\0")
    if rest and not (rows and cut_short):
        raise InvalidDataError(
            f"{path} ends within a line that `compare` did not write, so it is left as it is: use another path"
        )
    return rows, size


def _row(line: bytes, where: str) -> dict[str, Any]:
    """The training in a line."""
    values, mark, check = line.rpartition(_CHECK)
    if mark and check != _checksum(values) + b'"}':
        raise InvalidDataError(f"{where} is not as `compare` wrote it: remove the line, and it is trained again")
    try:
        row = json.loads(values + b"}" if mark else line)
        wrong = [name for name in KEY if not isinstance(row[name], int if name in _INTEGERS else str)]
        if wrong or row["phase"] not in ("run", "trial"):
            raise ValueError(wrong)
        dict(json.loads(row.get("others", "{}")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidDataError(
            f"{where} is not a training that `compare` wrote: remove it, or use another path"
        ) from error
    return dict(row)
