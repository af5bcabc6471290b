"""Samplers: which setting a search tries next."""

from __future__ import annotations

import json
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gnndiff.errors import ConfigError
from gnndiff.scores import best_first
from gnndiff.targets.base import Setting, Space
from gnndiff.targets.ranges import Choices, Float, Int
from graphtasks import Metric

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

ROUND = 18
"""Trials of a round of the search from coarse to fine."""

ATTEMPTS = 20
"""Times that a setting is drawn again where it was tried before."""

Trials = Mapping[int, "FrozenTrial"]
"""Trials by their numbers that did not fail."""


class Sampler(ABC):
    """The settings of a search by their numbers."""

    adaptive = False
    """Whether a setting depends on the outcomes of others."""

    @abstractmethod
    def total(self, count: int | None) -> int:
        """How many settings there are to try, of a number that is wanted; None for all."""

    @abstractmethod
    def setting(self, number: int, trials: Trials) -> Setting:
        """The setting of a number, by the trials that are there."""

    def needs(self, number: int) -> int:
        """How many of the first trials must have ended before this number's."""
        return 0


class Repeated(Sampler):
    """Settings of some trials, each several times: `number // times` is the trial.

    Args:
        settings: Settings by the numbers of their trials.
        times: How often each is repeated.
    """

    def __init__(self, settings: Mapping[int, Setting], times: int) -> None:
        self.settings, self.times = settings, times

    @property
    def numbers(self) -> list[int]:
        """Numbers of all repetitions, those of the first setting first."""
        return [self.times * trial + i for trial in self.settings for i in range(self.times)]

    def total(self, count: int | None) -> int:
        """How many repetitions there are, of a number that is wanted."""
        return len(self.numbers) if count is None else min(count, len(self.numbers))

    def setting(self, number: int, trials: Trials) -> Setting:
        """The setting of the trial that a number repeats."""
        return self.settings[number // self.times]


class Random(Sampler):
    """Settings drawn evenly from choices and ranges, by the seed and their number alone.

    Where a space has choices alone, which need not fit into memory as a product, none comes twice.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.space, self.rng = space, random.Random(seed)
        lists = [len(choices) for choices in space.values() if not isinstance(choices, Float | Int)]
        self.size = math.prod(lists) if len(lists) == len(space) else math.inf
        self.drawn: list[Setting] = []
        self.seen: set[str] = set()

    def total(self, count: int | None) -> int:
        """The number, or the size of the space where that is less."""
        if count is None and self.size == math.inf:
            raise ConfigError("a space with ranges has no end: give choices, or a number of trials")
        return int(self.size if count is None else min(count, self.size))

    def setting(self, number: int, trials: Trials) -> Setting:
        """The setting of a number."""
        while len(self.drawn) <= number:
            setting = {name: _draw(choices, self.rng) for name, choices in self.space.items()}
            text = key(setting)
            if text not in self.seen or len(self.seen) >= self.size:
                self.seen.add(text)
                self.drawn.append(setting)
        return self.drawn[number]


class CoarseToFine(Random):
    """Rounds of which the first is random, and each further one is around the best setting of all before it.

    A choice moves to one of its neighbours in the list or stays, a range shrinks by half with each round.
    """

    adaptive = True

    def __init__(self, space: Space, seed: int, metric: Metric) -> None:
        super().__init__(space, seed)
        self.seed, self.metric = seed, metric

    def needs(self, number: int) -> int:
        """All of the rounds before."""
        return number // ROUND * ROUND

    def setting(self, number: int, trials: Trials) -> Setting:
        """The setting of a number, whose round begins when the last one has ended."""
        start = self.needs(number)
        ended = [trials[i] for i in range(start) if i in trials and trials[i].state.name == "COMPLETE"]
        if not ended:
            return super().setting(number, trials)
        centre = best_first(ended, _value, self.metric)[0].params
        tried = {key(trials[i].params) for i in range(start) if i in trials}
        setting: Setting = {}
        for place in range(start, number + 1):  # the round from its start, so that its settings are known to be other
            rng = random.Random(f"{self.seed}/{place}")
            for _ in range(ATTEMPTS):
                setting = {n: _near(c, centre[n], 0.5 ** (start // ROUND), rng) for n, c in self.space.items()}
                if key(setting) not in tried:
                    break
            else:
                setting = _unseen(self.space, tried, rng)
            tried.add(key(setting))
        return setting


class TPE(Random):
    """Optuna's tree-structured Parzen estimator (https://papers.nips.cc/paper/4443).

    A setting follows from the seed, its number and the trials that have ended. One worker therefore goes on after a
    stop as if there had been none; several find other settings whenever their trainings end in another order.
    """

    adaptive = True

    def __init__(self, space: Space, seed: int, metric: Metric) -> None:
        super().__init__(space, seed)
        self.seed, self.metric = seed, metric

    def setting(self, number: int, trials: Trials) -> Setting:
        """The setting that the estimator suggests; one that was tried before only where it finds no other."""
        import optuna

        seed = random.Random(f"{self.seed}/{number}").randrange(2**32)
        sampler = optuna.samplers.TPESampler(seed=seed)
        study = optuna.create_study(direction=self.metric.direction, sampler=sampler)
        kinds = distributions(self.space)
        for _, trial in sorted(trials.items()):
            study.add_trial(
                optuna.trial.create_trial(
                    state=trial.state,
                    value=trial.value if trial.state.name == "COMPLETE" else None,
                    params=trial.params,
                    distributions=kinds,
                    intermediate_values=trial.intermediate_values,
                )
            )
        tried = {key(trial.params) for trial in study.get_trials(deepcopy=False)}
        for _ in range(ATTEMPTS):
            setting: Setting = study.ask(kinds).params
            if key(setting) not in tried:
                return setting
        return _unseen(self.space, tried, random.Random(seed)) if len(tried) < self.size else setting


def sampler(name: str, space: Space, seed: int, metric: Metric) -> Sampler:
    """The sampler with a name; 'grid' is 'random' on a space of choices alone."""
    makers: dict[str, Callable[[], Sampler]] = {
        "grid": lambda: Random(space, seed),
        "random": lambda: Random(space, seed),
        "tpe": lambda: TPE(space, seed, metric),
        "coarse-to-fine": lambda: CoarseToFine(space, seed, metric),
    }
    return makers[name]()


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """A space in the terms of Optuna."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    made: dict[str, BaseDistribution] = {}
    for name, choices in space.items():
        if isinstance(choices, Float):
            made[name] = FloatDistribution(choices.low, choices.high, log=choices.log)
        elif isinstance(choices, Int):
            made[name] = IntDistribution(choices.low, choices.high, log=choices.log)
        else:
            made[name] = CategoricalDistribution(tuple(choices))
    return made


def key(setting: Setting) -> str:
    """A setting as text."""
    return json.dumps(setting, sort_keys=True, default=str)


def _draw(choices: Choices, rng: random.Random) -> Any:
    return choices.draw(rng) if isinstance(choices, Float | Int) else choices[rng.randrange(len(choices))]


def _near(choices: Choices, value: Any, share: float, rng: random.Random) -> Any:
    if isinstance(choices, Float | Int):
        return choices.around(value, share).draw(rng)
    place = list(choices).index(value) + rng.choice((-1, 0, 0, 1))
    return choices[min(max(place, 0), len(choices) - 1)]


def _unseen(space: Space, tried: set[str], rng: random.Random) -> Setting:
    """A setting from the whole space, which has others than those."""
    setting: Setting = {}
    for _ in range(10_000):  # a space that is nearly used up may have no other
        setting = {name: _draw(choices, rng) for name, choices in space.items()}
        if key(setting) not in tried:
            break
    return setting


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
