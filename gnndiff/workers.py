"""Work in several processes, of which each does one unit after another and may die without harm to the others."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from gnndiff.errors import ConfigError, GNNDiffError


@dataclass(frozen=True)
class Failure:
    """Why a unit has no result, in one line.

    Args:
        message: The reason.
        died: Whether its process ended without one, so that the same unit may be tried again.
    """

    message: str
    died: bool = False


def work(function: Callable[[Any], Any], units: Sequence[Any], workers: int) -> Generator[tuple[int, Any], None, None]:
    """Yield the index of each unit with what a function makes of it, or with a :class:`Failure`, as they end.

    Processes are started afresh and import what they need. None outlives this one, and none is interrupted by Ctrl-C,
    which ends them all.

    Args:
        function: Function that is called with a unit. Its errors are failures.
        units: The units.
        workers: Number of processes; 1 stands for this one.

    Raises:
        ConfigError: The function or a unit cannot be sent to another process.
    """
    if workers == 1:
        for index, unit in enumerate(units):
            yield index, _outcome(function, unit)
        return
    check_sent(function, units)
    waiting = deque(enumerate(units))
    with Crew(function, min(workers, len(waiting))) as crew:
        while waiting or crew.busy:
            while waiting and crew.free:
                crew.begin(*waiting.popleft())
            yield from crew.wait()


class Crew:
    """Processes that do units, of which one that dies is replaced.

    Args:
        function: Function that is called with a unit.
        workers: Number of processes, each started with its first unit.
    """

    def __init__(self, function: Callable[[Any], Any], workers: int) -> None:
        self.function, self.size = function, workers
        self._busy: list[_Worker] = []
        self._idle: list[_Worker] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._busy + self._idle:
            worker.end()

    @property
    def busy(self) -> int:
        """Number of processes with a unit."""
        return len(self._busy)

    @property
    def free(self) -> int:
        """Number of further units that would begin at once."""
        return self.size - self.busy

    def begin(self, index: int, unit: Any) -> None:
        """Give a unit to a free process."""
        worker = self._idle.pop() if self._idle else _Worker(self.function)
        self._busy.append(worker)
        worker.begin(index, unit)

    def wait(self, timeout: float | None = None) -> list[tuple[int, Any]]:
        """Indices and outcomes of the units that end first, none where the time is over."""
        ended = []
        for worker in _ready(self._busy, timeout):
            ended.append((worker.index, worker.outcome()))
            self._busy.remove(worker)
            if worker.alive:
                self._idle.append(worker)
            else:
                worker.end()
        return ended


class _Worker:
    """A process and the unit that it is at."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        import torch

        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, function, torch.get_num_threads()))
        with _uninterrupted():
            self.process.start()
        theirs.close()
        self.index = -1
        self.alive = True

    def begin(self, index: int, unit: Any) -> None:
        """Give it a unit."""
        self.index = index
        try:
            self.connection.send(unit)
        except OSError:  # it died; `outcome` says so
            self.alive = False

    def outcome(self) -> Any:
        """The result of its unit."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.alive = False
            self.process.join()
            return Failure(
                f"its process died with exit code {self.process.exitcode}: run the same again to go on", True
            )

    def end(self) -> None:
        """Stop it now."""
        self.connection.close()
        self.process.terminate()
        self.process.join()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let processes that are started in a block never hear of Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _ready(crew: list[_Worker], timeout: float | None) -> list[_Worker]:
    found = wait([worker.connection for worker in crew], timeout)
    return [worker for worker in crew if worker.connection in found]


def check_sent(function: Callable[[Any], Any], units: Sequence[Any]) -> None:
    """Raise `ConfigError` where a function or a unit cannot be sent to another process."""
    try:
        ForkingPickler.dumps((function, units))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"a model or a task cannot be sent to another process ({error}): define it at the top of a module, name it "
            "as FILE.py:NAME, or use workers=1"
        ) from error


def _serve(connection: Connection, function: Callable[[Any], Any], threads: int) -> None:
    """Body of a process."""
    import torch

    threading.Thread(target=_follow_parent, daemon=True).start()
    torch.set_num_threads(threads)  # as many as in one process, so that results are the same
    while True:
        try:
            unit = connection.recv()
        except EOFError:
            return
        connection.send(_outcome(function, unit))


def _follow_parent() -> None:
    """End this process with the one that started it, however that ended."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _outcome(function: Callable[[Any], Any], unit: Any) -> Any:
    """Result of a function for a unit, or the error; an error that nobody foresaw shows its traceback."""
    from dmdgnn import DMDGNNError
    from graphtasks import GraphTasksError

    try:
        return function(unit)
    except (GNNDiffError, GraphTasksError, DMDGNNError, OSError, MemoryError) as error:
        return Failure((str(error) or type(error).__name__).splitlines()[0])
    except Exception as error:  # whatever a user's model raises
        traceback.print_exc(file=sys.stderr)
        return Failure(f"{type(error).__name__}: {(str(error) or '-').splitlines()[0]}")
