"""How frameworks are timed against each other: agreement, choice of settings, rounds.

All frameworks of a contest are alive at the same time, each in its own process, and wait while one
of them works. In each round every one of them does the same work once, in an order that turns
round from one round to the next; the ratio is taken within the round, so that what slows the whole
machine for a while slows both sides of it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import agreement, frameworks
from benchmarks.networks import Model
from benchmarks.processes import ProcessError
from benchmarks.worker import MissingError, Worker, WorkerError

BATCH = 128
TRIAL_IMAGES = 1024
LONGEST = 200  # repetitions in one measurement


def order(names: list[str], turn: int) -> list[str]:
    """The `names` in the order of round `turn`: forward and backward in turn, and rotated.

    >>> [order(["a", "b", "c"], turn) for turn in range(3)]
    [['a', 'b', 'c'], ['c', 'b', 'a'], ['b', 'c', 'a']]
    """
    shift = turn // 2 % len(names)
    rotated = names[shift:] + names[:shift]
    return rotated[::-1] if turn % 2 else rotated


def ratios(values: dict[str, list[float]], *, more_is_better: bool) -> list[float]:
    """minicnn's value over the best peer's, round by round; empty without peers.

    >>> ratios({"minicnn": [6.0, 8.0], "a": [2.0, 1.0], "b": [1.0, 2.0]}, more_is_better=True)
    [3.0, 4.0]
    """
    peers = [values[name] for name in values if name != "minicnn" and values[name]]
    if not peers:
        return []
    best = max if more_is_better else min
    return [ours / best(theirs) for ours, theirs in zip(values["minicnn"], zip(*peers))]


class Contest:
    """minicnn and its peers on one model, all with the same weights, their agreement checked.

    Parameters
    ----------
    names : the frameworks wanted; those that are not installed end up in `missing`
    model, data, threads : what they get
    scratch : folder for the weights
    budget : seconds that one measurement should take at least
    say : prints a line of progress
    """

    def __init__(
        self,
        names: Iterable[str],
        model: Model,
        data: Path,
        threads: int,
        scratch: Path,
        budget: float,
        say: Callable[[str], None],
    ) -> None:
        self.model, self.budget, self.say = model, budget, say
        self.workers: dict[str, Worker] = {}
        self.missing: dict[str, str] = {}
        self.settings: dict[tuple[str, str], dict[str, Any]] = {}
        self.agreed: dict[str, dict[str, float]] = {}
        self._reference: dict[str, Any] = {}
        self._weights = scratch / "weights.npz"
        for name in ["minicnn", *(name for name in names if name != "minicnn")]:
            try:
                self.workers[name] = Worker(name, data, threads)
            except MissingError as error:  # noqa: PERF203
                self.missing[name] = str(error)
                say(f"  {error}")
        self.load(model)

    def load(self, model: Model) -> None:
        """Go over to another model; settings that were chosen stay."""
        self.model, self._reference = model, {}
        self.workers["minicnn"].ask("load", model=model)
        self.workers["minicnn"].ask("save_weights", path=str(self._weights))
        for name, worker in self.workers.items():
            if name != "minicnn":
                worker.ask("load", model=model, weights=str(self._weights))

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()

    def __enter__(self) -> Contest:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def versions(self) -> dict[str, str]:
        return {k: v for worker in self.workers.values() for k, v in worker.versions.items()}

    # -- agreement and settings -------------------------------------------------------------------

    def check(self, name: str, work: str, setting: dict[str, Any]) -> None:
        """Raise DisagreementError unless `name` computes what minicnn computes."""
        question = {
            "work": work,
            "images": agreement.IMAGES,
            "steps": agreement.STEPS,
            "batch": BATCH,
        }
        if work not in self._reference:
            default = self._default("minicnn", work)
            self._reference[work] = self.workers["minicnn"].ask(
                "answers", setting=default, **question
            )
        answers = self.workers[name].ask("answers", setting=setting, **question)
        differences = agreement.compare(
            f"{frameworks.title(name)} {setting}", answers, self._reference[work]
        )
        for key, value in differences.items():
            seen = self.agreed.setdefault(name, {})
            seen[key] = max(value, seen.get(key, 0.0))

    def _default(self, name: str, work: str) -> dict[str, Any]:
        axes = self.workers[name].ask("axes", work=work)
        return {axis: values[0] for axis, values in axes.items()}

    def choose(self, work: str, names: Iterable[str], *, tune: bool = True) -> None:
        """Find the fastest setting of each framework, one choice after the other, by short trials.

        A framework that cannot do the work at all is listed in `missing`; a setting that fails is
        passed over. One that computes something else stops everything.
        """
        for name in [name for name in names if name in self.workers]:
            if (name, work) in self.settings:
                continue
            best = self._default(name, work)
            try:
                self.check(name, work, best)
                fastest = self._trial(name, work, best) if tune else 0.0
            except WorkerError as error:
                self.drop(name, work, error)
                continue
            axes = self.workers[name].ask("axes", work=work) if tune else {}
            for axis, values in axes.items():
                for value in values[1:]:
                    setting = {**best, axis: value}
                    try:
                        self.check(name, work, setting)
                        rate = self._trial(name, work, setting)
                    except WorkerError as error:
                        self.say(f"  passed over {setting}: {error}")
                        continue
                    if rate > fastest:
                        best, fastest = setting, rate
            self.settings[name, work] = best
            self.say(f"  {name}: agrees; {work} with {best or 'its one setting'}")

    def _trial(self, name: str, work: str, setting: dict[str, Any]) -> float:
        """Rough rate with this setting."""
        measure = self.measurement(name, work, setting, TRIAL_IMAGES, self.budget / 4)
        return measure()

    # -- rates ------------------------------------------------------------------------------------

    def measurement(
        self,
        name: str,
        work: str,
        setting: dict[str, Any],
        images: int,
        budget: float,
        **more: Any,
    ) -> Callable[[], float]:
        """A function that measures images a second, after one warm-up; long enough for `budget`."""
        worker = self.workers[name]

        def run(times: int) -> float:
            if work == "train":
                return worker.ask(
                    "train",
                    **{"batch": BATCH, "images": images, "setting": setting, **more},
                    epochs=times,
                )
            return worker.ask("predict", images=images, setting=setting, repeats=times)

        run(1)  # traces, compiles, fills caches
        times = min(LONGEST, max(1, math.ceil(budget / max(run(1), 1e-9))))
        return lambda: images * times / run(times)

    def race(
        self, work: str, names: Iterable[str], images: int, rounds: int, batch: int = BATCH
    ) -> dict[str, list[float]]:
        """Images a second of each framework in each round; `batch` is that of training."""
        measures = {}
        for name in [name for name in names if (name, work) in self.settings]:
            try:
                measures[name] = self.measurement(
                    name,
                    work,
                    self.settings[name, work],
                    images,
                    self.budget if work == "train" else self.budget / 2,
                    batch=batch,
                )
            except WorkerError as error:  # noqa: PERF203
                self.drop(name, work, error)
        return alternate(measures, rounds, lambda name, error: self.drop(name, work, error))

    def drop(self, name: str, work: str, error: Exception) -> None:
        """Go on without `name` in this work and note why; without minicnn there is no going on."""
        if name == "minicnn":
            raise error
        self.settings.pop((name, work), None)
        self.missing[f"{name} ({work})"] = str(error)
        self.say(f"  {error}")


def alternate(
    measures: dict[str, Callable[[], Any]],
    rounds: int,
    drop: Callable[[str, Exception], Any],
    *,
    warm_up: bool = False,
) -> dict[str, list[Any]]:
    """Call every measure once a round, the order turning; returns the values by name.

    Whatever fails is handed to `drop`, which may raise; its values are left out.
    """
    values: dict[str, list[Any]] = {name: [] for name in measures}
    for turn in range(-warm_up, rounds):
        for name in order(list(values), max(turn, 0)):
            try:
                value = measures[name]()
            except (WorkerError, ProcessError) as error:  # noqa: PERF203
                drop(name, error)
                del values[name]
            else:
                if turn >= 0:
                    values[name].append(value)
    return values


def median(values: list[float]) -> float:
    return float(statistics.median(values))
