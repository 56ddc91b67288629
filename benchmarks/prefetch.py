"""Steps whose batches are made ahead, beside steps and batches by themselves.

    python -m benchmarks.prefetch --rounds 7

The tutorial's model trains on one thread, in batches of 128 from a PyDataset. Making a batch takes
so many steps' time as a row says: waiting, as for a disk; or computing in NumPy, which lets other
threads go on meanwhile; or in Python, which does not. In each round, in an order that turns, are
timed a step whose batch is there already, a batch, and a step that needs the batch, made ahead
(workers=1) or not (workers=0). Before that, all of these have to give the same weights, to the last
bit.

Prints medians of the rounds' ratios: of the step with its batch made ahead to the longer of step
and batch (at most 1.1, but for Python's), and to the step that makes its batch itself (at most 1).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import minicnn
from benchmarks.frameworks import minicnn_
from benchmarks.networks import TUTORIAL
from benchmarks.rounds import order
from minicnn.datasets import synthetic_fashion
from minicnn.utils import PyDataset

BATCH = 128
STEPS = 32  # of an epoch
SHARES = (0.0, 0.5, 1.0, 2.0)  # of a step's time, for a batch
HELD = 8  # batches that are drawn beforehand, and given again and again


def compute(times: int) -> None:
    numbers = np.ones(100_000)  # about as many as a batch has
    for _ in range(times):
        np.sqrt(numbers, out=numbers)


def count(times: int) -> None:
    for _ in range(1000 * times):
        pass


def calibrated(work: Callable[[int], None], seconds: float) -> Callable[[], None]:
    """A function that does the work for about so many seconds."""
    tried = 1
    while (taken := timed(partial(work, tried))) < 0.02:
        tried *= 2
    return partial(work, round(tried * seconds / taken))


WORK: dict[str, Callable[[float], Callable[[], None]]] = {
    "waiting": lambda seconds: lambda: time.sleep(seconds),
    "NumPy": lambda seconds: calibrated(compute, seconds),
    "Python": lambda seconds: calibrated(count, seconds),
}


class Batches(PyDataset):
    """The same few batches again and again, each after some work."""

    def __init__(self, held: list[Any], work: Callable[[], None], workers: int) -> None:
        super().__init__(workers=workers)
        self.held, self.work = held, work

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int) -> Any:
        self.work()
        return self.held[index % len(self.held)]


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Row:
    """One kind of work, and how much of it a batch takes."""

    def __init__(self, held: list[Any], work: Callable[[], None]) -> None:
        self.held, self.work = held, work
        self.model = minicnn_.build(TUTORIAL)

    def fit(self, workers: int, work: Callable[[], None] | None = None) -> None:
        dataset = Batches(self.held, work or self.work, workers)
        self.model.fit(dataset, shuffle=False, verbose=0)

    def measures(self) -> dict[str, Callable[[], Any]]:
        return {
            "step": lambda: self.fit(0, lambda: None),
            "batch": lambda: list(Batches(self.held, self.work, 0)),
            "ahead": lambda: self.fit(1),
            "not ahead": lambda: self.fit(0),
        }

    def check(self) -> None:
        """Raise AssertionError unless batches made ahead train as the others do."""
        found = []
        for workers, work in ((0, lambda: None), (1, self.work), (0, self.work)):
            minicnn.utils.set_random_seed(1)
            self.model = minicnn_.build(TUTORIAL)
            self.fit(workers, work)
            found.append(self.model.get_weights())
        for other in found[1:]:
            for ours, theirs in zip(found[0], other):
                np.testing.assert_array_equal(ours, theirs)

    def race(self, rounds: int) -> dict[str, float]:
        """Seconds of a step or a batch and the two ratios: medians over the rounds."""
        measures = self.measures()
        values: dict[str, list[float]] = {}
        for turn in range(rounds + 1):
            taken = {name: timed(measures[name]) / STEPS for name in order(list(measures), turn)}
            taken["bound"] = taken["ahead"] / max(taken["step"], taken["batch"])
            taken["gain"] = taken["ahead"] / taken["not ahead"]
            for name, value in taken.items():
                values.setdefault(name, []).append(value)
        return {name: statistics.median(each[1:]) for name, each in values.items()}  # warmed up


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prefetch", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    args = parser.parse_args(arguments)
    minicnn.set_num_threads(1)
    (x, y), _ = synthetic_fashion.load_data(HELD * BATCH, 1)
    scaled = (x / 255).astype(np.float32)[..., None]
    parts = [slice(start, start + BATCH) for start in range(0, HELD * BATCH, BATCH)]
    held = [(scaled[part], y[part]) for part in parts]
    row = Row(held, lambda: None)
    row.check()
    step = row.race(1)["step"]
    print(f"{'work':<10}{'share':>6}{'step':>9}{'batch':>9}{'ahead':>9}   ahead / longer, / not")
    for name in args.work:
        for share in SHARES:
            row = Row(held, WORK[name](share * step))
            row.check()
            found = row.race(args.rounds)
            times = "".join(f"{1e3 * found[key]:>6.2f} ms" for key in ("step", "batch", "ahead"))
            print(
                f"{name:<10}{share:>6}{times}{found['bound']:>12.2f}{found['gain']:>14.2f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
