"""Batches that can be gone through again and again, with the words that tf.data has for them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from minicnn import checks
from minicnn.seeds import new_generator

BATCHED = "the batches are made already: say batch_size where the data set is made"
INSTEAD = {
    "apply": "call the function on the data set",
    "as_numpy": "iterate over it: its batches are NumPy arrays",
    "batch": BATCHED,
    "cardinality": "write len(data)",
    "class_names": "read class_names from the data set before map, take and their like",
    "concatenate": "write a generator with `yield from` for each of the two",
    "element_spec": "look at a batch: next(iter(data))",
    "enumerate": "write enumerate(data)",
    "file_paths": "read file_paths from the data set before map, take and their like",
    "filter": "write a generator with an `if`",
    "interleave": "write a generator",
    "padded_batch": BATCHED,
    "rebatch": BATCHED,
    "reduce": "write functools.reduce(function, data)",
    "shard": "write itertools.islice(data, index, None, count)",
    "unbatch": "write a generator: for x, y in data: yield from zip(x, y)",
    "window": "write a generator",
    "with_options": "leave it out: there are no options",
    "zip": "write zip(data, other)",
}


class Batches:
    """Batches that are made anew each time one iterates over them; `fit` takes such an object.

    Every method returns another such object and leaves this one as it is.

    Parameters
    ----------
    make : function without arguments
        Returns an iterator over the batches.
    length : int, optional
        How many there are; None if they do not end.

    Examples
    --------
    >>> data = Batches(lambda: iter([1, 2, 3]), 3)
    >>> [list(data), list(data.skip(1)), list(data.map(lambda x: 10 * x).take(2))]
    [[1, 2, 3], [2, 3], [10, 20]]
    """

    def __init__(
        self,
        make: Callable[[], Iterator[Any]],
        length: int | None,
        make_some: Callable[[int, int], Iterator[Any]] | None = None,
    ) -> None:
        self._make, self._length, self._make_some = make, length, make_some

    def __iter__(self) -> Iterator[Any]:
        return self._make()

    def some(self, start: int, step: int) -> Iterator[Any]:
        """Every `step`-th batch from number `start` on, for one of several processes.

        The others are not read where the batches come from a folder, through `map`, `take`,
        `repeat` and `prefetch`.
        """
        if self._make_some is not None:
            return self._make_some(start, step)
        return itertools.islice(iter(self), start, None, step)

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("len: these batches are repeated without end")
        return self._length

    def __bool__(self) -> bool:
        return self._length != 0

    def __getattr__(self, name: str) -> NoReturn:
        advice = f". Instead, {INSTEAD[name]}" if name in INSTEAD else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{advice}")

    def map(self, map_func: Callable[..., Any], num_parallel_calls: Any = None) -> Batches:
        """Of each batch what `map_func` makes of it: of (x, y) what map_func(x, y) returns.

        `num_parallel_calls` is taken and not used. Raises TypeError where `map_func` is no
        function.
        """
        if not callable(map_func):
            raise TypeError(
                f"map: expected map_func to be a function of a batch, received "
                f"{checks.shown(map_func)}"
            )

        def mapped(batches: Iterator[Any]) -> Iterator[Any]:
            for batch in batches:
                yield map_func(*batch) if isinstance(batch, tuple) else map_func(batch)

        return Batches(
            lambda: mapped(iter(self)),
            self._length,
            lambda start, step: mapped(self.some(start, step)),
        )

    def take(self, count: int) -> Batches:
        """The first `count` batches; all with -1."""
        count = checks.integer(count, "count", "take", minimum=-1)
        if count == -1:
            return Batches(self._make, self._length, self.some)
        length = count if self._length is None else min(count, self._length)

        def some(start: int, step: int) -> Iterator[Any]:
            return itertools.islice(self.some(start, step), len(range(start, count, step)))

        return Batches(lambda: itertools.islice(iter(self), count), length, some)

    def skip(self, count: int) -> Batches:
        """All but the first `count` batches; none with -1."""
        count = checks.integer(count, "count", "skip", minimum=-1)
        if count == -1:
            return Batches(lambda: iter(()), 0)
        length = None if self._length is None else max(0, self._length - count)
        return Batches(lambda: itertools.islice(iter(self), count, None), length)

    def repeat(self, count: int | None = None) -> Batches:
        """All batches `count` times; without end if that is None or -1."""
        if count is None or count == -1:
            if self._length == 0:
                raise ValueError("repeat: expected batches to repeat, received none")
            return Batches(lambda: self._again(itertools.count()), None, self._some_again)
        count = checks.integer(count, "count", "repeat", minimum=-1)
        length = None if self._length is None else count * self._length
        endless = Batches(lambda: self._again(itertools.count()), None, self._some_again)
        return Batches(lambda: self._again(range(count)), length, endless.take(length or 0).some)

    def _again(self, times: Any) -> Iterator[Any]:
        for _ in times:
            yield from self

    def _some_again(self, start: int, step: int) -> Iterator[Any]:
        """`some` of the batches that are repeated without end."""
        if self._length is None:
            return self.some(start, step)
        return self._some_of_each(start, step, self._length)

    def _some_of_each(self, start: int, step: int, length: int) -> Iterator[Any]:
        while True:
            while start >= length:  # none of a time; its order is drawn all the same
                self.some(start, step)
                start -= length
            yield from self.some(start, step)
            start = start + len(range(start, length, step)) * step - length

    def cache(self, filename: str = "") -> Batches:
        """The same batches in the same order each time: they are kept in memory when they have been
        gone through once.

        Raises ValueError for a `filename`: nothing is kept in files.
        """
        if filename != "":
            raise ValueError(
                "cache: expected no filename, since the batches are kept in memory, received "
                f"{checks.shown(filename)}"
            )
        kept: list[Any] = []
        whole = False

        def make() -> Iterator[Any]:
            nonlocal kept, whole
            if whole:
                yield from kept
                return
            batches = []
            for batch in self:
                batches.append(batch)
                yield batch
            kept, whole = batches, True

        return Batches(make, self._length)

    def prefetch(self, buffer_size: Any = None) -> Batches:
        """The same batches: `fit` makes the next ones while it trains on one, whatever is asked for
        here."""
        return Batches(self._make, self._length, self.some)

    def shuffle(
        self, buffer_size: int, seed: int | None = None, reshuffle_each_iteration: bool = True
    ) -> Batches:
        """The batches in random order, each drawn from the next `buffer_size` of them.

        Samples stay in their batches. `seed` fixes the orders, of which each time is another
        unless `reshuffle_each_iteration` is False.
        """
        size = checks.size(buffer_size, "buffer_size", "shuffle")
        seed = checks.seed(seed, "seed", "shuffle")
        anew = checks.boolean(reshuffle_each_iteration, "reshuffle_each_iteration", "shuffle")
        root = seed if seed is not None else int(new_generator().integers(2**32))
        times = itertools.count()

        def make() -> Iterator[Any]:
            rng = np.random.default_rng([root, next(times) if anew else 0])
            held: list[Any] = []
            for batch in self:
                held.append(batch)
                if len(held) == size:
                    yield held.pop(int(rng.integers(size)))
            yield from (held[i] for i in rng.permutation(len(held)))

        return Batches(make, self._length)

    def as_numpy_iterator(self) -> Iterator[Any]:
        """The batches, which are NumPy arrays anyway."""
        return iter(self)
