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
    """Why a unit has no result, in one line."""

    message: str


def work(function: Callable[[Any], Any], units: Sequence[Any], workers: int) -> Generator[tuple[int, Any], None, None]:
    """Yield the index of each unit with what a function makes of it, or with a :class:`Failure`, as they end.

    Processes are started afresh and import what they need. None outlives this one, and none is interrupted by Ctrl-C,
    which ends them all.

    Args:
        function: What is called with a unit. Its errors are failures.
        units: The units.
        workers: Number of processes; 1 stands for this one.

    Raises:
        ConfigError: The function or a unit cannot be sent to another process.
    """
    if workers == 1:
        for index, unit in enumerate(units):
            yield index, _outcome(function, unit)
        return
    _check(function, units)
    waiting = deque(enumerate(units))
    crew: list[_Worker] = []
    try:
        while waiting and len(crew) < workers:
            crew.append(_Worker(function))
            crew[-1].begin(*waiting.popleft())
        while crew:
            for worker in _ready(crew):
                yield worker.index, worker.outcome()
                if waiting and not worker.alive:
                    worker.end()
                    crew[crew.index(worker)] = worker = _Worker(function)
                if waiting:
                    worker.begin(*waiting.popleft())
                else:
                    crew.remove(worker)
                    worker.end()
    finally:
        for worker in crew:
            worker.end()


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
            return Failure(f"its process died with exit code {self.process.exitcode}: run the same again to go on")

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


def _ready(crew: list[_Worker]) -> list[_Worker]:
    found = wait([worker.connection for worker in crew])
    return [worker for worker in crew if worker.connection in found]


def _check(function: Callable[[Any], Any], units: Sequence[Any]) -> None:
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
    """Result of a function for a unit, or the error; of one that nobody foresaw, the traceback is shown."""
    from dmdgnn import DMDGNNError
    from graphtasks import GraphTasksError

    try:
        return function(unit)
    except (GNNDiffError, GraphTasksError, DMDGNNError, OSError, MemoryError) as error:
        return Failure((str(error) or type(error).__name__).splitlines()[0])
    except Exception as error:  # whatever a user's model raises
        traceback.print_exc(file=sys.stderr)
        return Failure(f"{type(error).__name__}: {(str(error) or '-').splitlines()[0]}")
