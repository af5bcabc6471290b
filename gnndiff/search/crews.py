"""Crews: who trains the trials of a search, this process, several ones, or a Ray cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from gnndiff.errors import ConfigError
from gnndiff.runs.folder import Run
from gnndiff.search.jobs import Done, Job, Trainer, do
from gnndiff.workers import Crew, Failure, check_sent


class Trainers(Protocol):
    """A crew that does jobs."""

    @property
    def busy(self) -> int:
        """Number of jobs that were begun and have not ended."""

    @property
    def free(self) -> int:
        """Number of jobs that could begin now."""

    def begin(self, index: int, unit: Job) -> None:
        """Begin a job."""

    def wait(self, timeout: float | None = None) -> list[tuple[int, Done | Failure]]:
        """Jobs that have ended by their indices, with what they left."""


class Alone:
    """This process, which does one job at a time, when it waits for it."""

    def __init__(self, function: Callable[[Job], Done]) -> None:
        self.function = function
        self._jobs: list[tuple[int, Job]] = []

    @property
    def busy(self) -> int:
        return len(self._jobs)

    @property
    def free(self) -> int:
        return 1 - self.busy

    def begin(self, index: int, unit: Job) -> None:
        self._jobs.append((index, unit))

    def wait(self, timeout: float | None = None) -> list[tuple[int, Done | Failure]]:
        index, job = self._jobs.pop()
        return [(index, self.function(job))]


_trainers: dict[str, Trainer] = {}


def _on_cluster(identity: str, trainer: Trainer, job: Job) -> Done:
    """A job in a process of a cluster, which opens a run once."""
    import torch

    torch.set_num_threads(1)
    return _trainers.setdefault(identity, trainer)(job)


class RayCrew:
    """The processors of a Ray cluster, each with a job; one that dies costs its job's time alone.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, address: str, trainer: Trainer) -> None:
        try:
            import ray
        except ImportError:
            raise ConfigError("a Ray cluster needs Ray: pip install 'dmdgnn[ray]'") from None
        self.ray = ray
        self.own = not ray.is_initialized()
        if self.own:
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
            except Exception as error:  # each way to a cluster has errors of its own
                raise ConfigError(
                    f"no Ray cluster answers at the address of --ray ({type(error).__name__}): start one by `ray start "
                    "--head`, and give its address, or 'local'"
                ) from None
        self.trainer = ray.put(trainer)
        self.identity = trainer.identity
        self.remote = ray.remote(num_cpus=1, max_retries=0)(_on_cluster)
        self.size = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._refs: dict[Any, int] = {}

    @property
    def busy(self) -> int:
        return len(self._refs)

    @property
    def free(self) -> int:
        return self.size - self.busy

    def begin(self, index: int, unit: Job) -> None:
        self._refs[self.remote.remote(self.identity, self.trainer, unit)] = index

    def wait(self, timeout: float | None = None) -> list[tuple[int, Done | Failure]]:
        ready, _ = self.ray.wait(list(self._refs), num_returns=1, timeout=timeout)
        return [(self._refs.pop(ref), self._outcome(ref)) for ref in ready]

    def _outcome(self, ref: Any) -> Done | Failure:
        errors = self.ray.exceptions
        try:
            done: Done = self.ray.get(ref)
            return done
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError, errors.ObjectLostError) as e:
            return Failure(f"its process on the cluster died ({type(e).__name__})", died=True)
        except errors.RayTaskError as error:
            return Failure(str(error.cause or error).splitlines()[0])

    def close(self) -> None:
        """Stop the jobs that run, and leave the cluster."""
        for ref in self._refs:
            self.ray.cancel(ref, force=True)
        if self.own:
            self.ray.shutdown()


@contextmanager
def crew_of(run: Run, study: Any, jobs: int) -> Iterator[Trainers]:
    """The crew that a run's config asks for.

    Args:
        run: The run.
        study: The study of the jobs, for this process.
        jobs: Number of jobs at most.
    """
    if run.config.ray is not None:
        cluster = RayCrew(run.config.ray, Trainer.of(run, ship=True))
        try:
            yield cluster
        finally:
            cluster.close()
    elif run.config.workers > 1:
        trainer = Trainer.of(run)
        check_sent(trainer, [])
        with Crew(trainer, min(run.config.workers, jobs)) as crew:
            yield crew
    else:
        yield Alone(lambda job: do(run, job, study))
