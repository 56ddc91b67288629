"""The batches of a call of fit, evaluate or predict, whatever they are made from.

    ArrayFeed           arrays, cut into batches
    LoaderFeed          a generator or another iterator, or a loader that gives one each time
    DatasetFeed         a PyDataset, whose batches have numbers
    feed.epoch(run)     the batches of one epoch of training
    feed.blocks(...)    those of an evaluate, a predict or a validation

One going through all data is a pass. Without a number of steps it is an epoch; with one, a pass
goes on in the next epoch, as in Keras.

Batches that come one by one are made by a thread while the last one is used (`ahead.py`). Each is
copied before the next is asked for, since loaders reuse their arrays, and checked there. `given.py`
makes a feed of what the caller gave.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, Protocol

import numpy as np

from minicnn import checks
from minicnn.engine import ranks
from minicnn.inputs import Batch, Data
from minicnn.py_dataset import PyDataset
from minicnn.training import sharing
from minicnn.training.ahead import AHEAD, End, made_ahead
from minicnn.training.run import Run
from minicnn.utils.batches import Batches as GivenBatches

Batches = Generator[Batch, None, None]
Blocks = Generator[tuple[int, Batch], None, None]
Pause = Callable[[], None]

BATCH_SIZE = 32  # Keras's default
BLOCK = 4096  # samples that are evaluated or predicted at a time
ELSEWHERE = object()  # stands for a batch that another process reads


class Feed(Protocol):
    """Batches for a call.

    Attributes
    ----------
    data : Data
        The arrays, or the first batch: what the model is built for.
    steps : int or None
        Batches of an epoch; None until one has shown how many there are.
    samples : int or None
        How many `blocks` gives, if that is known.
    rewinds : bool
        Whether the data can be given once more.
    ended : bool
        Whether the last batches ended sooner than their number was known.
    spent : bool
        Whether there will never be another batch.
    bounds : function of a batch's size
        Where the samples of each rank begin and end; `ShardedNetwork.bounds`.
    """

    data: Data
    steps: int | None
    samples: int | None
    rewinds: bool
    ended: bool
    spent: bool
    bounds: Callable[[int], list[tuple[int, int]]]

    def epoch(self, run: Run, pause: Pause) -> Batches:
        """The batches of the epoch that `run` is in, those that are left of it."""
        ...

    def pass_over(self, run: Run) -> bool:
        """Whether the next epoch begins with the first batch again."""
        ...

    def blocks(self, *, one_by_one: bool, pause: Pause) -> Blocks:
        """The batches in their order; several in one, and how many, unless `one_by_one`."""
        ...

    def identity(self) -> dict[str, Any]:
        """What a backup of the training has to agree with."""
        ...


class ArrayFeed:
    """Arrays, cut into batches of `batch_size`.

    With a number of `steps` and no `batch_size`, so many batches are one pass.
    """

    rewinds, ended, spent = True, False, False
    bounds: Callable[[int], list[tuple[int, int]]]

    def __init__(
        self,
        data: Data,
        batch_size: int | None = None,
        steps: int | None = None,
        *,
        shuffle: bool = False,
    ) -> None:
        if batch_size is None:
            batch_size = BATCH_SIZE if steps is None else math.ceil(len(data) / steps)
        self.data, self.batch_size, self.shuffle = data, batch_size, shuffle
        self.batches = math.ceil(len(data) / batch_size)  # of a pass
        self.steps: int | None = steps or self.batches
        self.samples: int | None = min(len(data), self.steps * batch_size)

    def epoch(self, run: Run, pause: Pause) -> Batches:
        order = run.order_of(len(self.data), shuffle=self.shuffle)
        first, end = run.place + run.step, run.place * self.batch_size + (self.samples or 0)
        return self.data.batches(self.batch_size, order, first, end)

    def pass_over(self, run: Run) -> bool:
        return run.place + run.step >= self.batches

    def blocks(self, *, one_by_one: bool, pause: Pause) -> Blocks:
        """Without training a batch is only a portion of work, and large portions keep the threads
        busy.
        """
        several = 1 if one_by_one else max(1, BLOCK // self.batch_size)
        for batch in self.data.batches(several * self.batch_size, end=self.samples):
            yield math.ceil(len(batch) / self.batch_size), batch

    def identity(self) -> dict[str, Any]:
        steps = {} if self.steps == self.batches else {"steps_per_epoch": self.steps}
        return {
            "samples": len(self.data),
            "batch_size": self.batch_size,
            **steps,
            "shuffle": self.shuffle,
        }


class BatchFeed:
    """Batches that come one by one: base of the two kinds.

    Parameters
    ----------
    prepare : function of what was given for a batch, and the batch's name
        Returns a checked copy as `Data`.
    steps : int, optional
        As the caller asked for.
    """

    rewinds, ended, spent = True, False, False
    data: Data
    samples: int | None = None
    shuffle = False
    bounds: Callable[[int], list[tuple[int, int]]]  # of each rank's samples in a batch

    def __init__(self, prepare: Callable[[Any, str], Data], steps: int | None) -> None:
        self._prepare = prepare
        self.asked, self.steps = steps, steps
        self.batches: int | None = None  # of a pass, if it is known

    def _batch(self, given: Any, name: str) -> Batch:
        data = self._prepare(given, name)
        return Batch(data, np.arange(len(data)))

    def _count(self, first: int = 0, done: int = 0) -> int | None:
        """How many batches to ask for, from number `first` of the pass on, with so many `done` of
        the epoch; None for all there are.
        """
        left = [] if self.steps is None else [self.steps - done]
        left += [] if self.batches is None else [self.batches - first]
        return max(0, min(left)) if left else None

    def identity(self) -> dict[str, Any]:
        steps = {} if self.asked is None else {"steps_per_epoch": self.asked}
        return {"batches": self.batches, **steps, "shuffle": self.shuffle}


class LoaderFeed(BatchFeed):
    """An iterator, or something that gives an iterator over the batches each time.

    The first batch is asked for at once. An iterator stays the caller's, and is left where it is
    when all is done; one that is made here is closed.
    """

    def __init__(
        self, loader: Any, prepare: Callable[[Any, str], Data], steps: int | None, who: str
    ) -> None:
        super().__init__(prepare, steps)
        self._loader, self._who = loader, who
        # of several processes each reads some of the batches
        self._deals = ranks.group().size > 1 and isinstance(loader, GivenBatches)
        self._iterator: Iterator[Any] | None = self._begin()
        self.rewinds = self._iterator is not loader
        if self.rewinds:
            self.batches = _length(loader)
            self.steps = steps or self.batches
        self._drawn, self._used = 0, 0  # batches of this pass
        self._waiting: list[Batch] = []  # the first batch, until it is used
        try:
            given = self._draw()
        except End:
            raise ValueError(_no_batch(loader, who)) from None
        given = ranks.group().from_first(given) if self._deals else given
        self._first = self._batch(given, "batch 1")  # which all processes have
        self._waiting = [self._first]
        self.data = _whole(self._first)

    def epoch(self, run: Run, pause: Pause) -> Batches:
        if self._iterator is None:
            self._begin_pass()
        while self._used < run.place + run.step:  # by the process that was cut off
            self._skip()
        yield from self._ahead(self._count(self._used, run.step), pause)
        self.steps = self.steps or run.step

    def pass_over(self, run: Run) -> bool:
        if self.asked is None or (self.batches and self._used >= self.batches):
            self._leave()
        return self._iterator is None

    def blocks(self, *, one_by_one: bool, pause: Pause) -> Blocks:
        if not self._waiting:
            self._leave()
        if self._iterator is None:
            self._begin_pass()
        done = self._used
        for batch in self._ahead(self._count(), pause):
            yield 1, batch
        self.steps = self.steps or self._used - done
        self._leave()

    def _ahead(self, count: int | None, pause: Pause) -> Batches:
        self.ended = False
        try:
            made = made_ahead(self._next, count, pause=pause)
            self.ended = yield from self._dealt(made) if self._deals else made
        except BaseException:  # also where no more is asked for
            self._leave()
            raise
        if self.ended:
            self.spent = not self.rewinds
            self._leave()

    def _dealt(self, made: Generator[Batch, None, bool]) -> Generator[Batch, None, bool]:
        """The batches, each from the process that has read it."""
        group = ranks.group()
        with closing(made):
            for place in itertools.count(self._used):
                try:
                    batch = next(made)
                except StopIteration as end:
                    return bool(end.value)
                if batch is not self._first:
                    batch = sharing.dealt(batch, place % group.size, self.data, self.bounds)
                yield batch
        return False

    def _next(self, _: int) -> Any:
        """The next batch; None where another process reads it."""
        batch = self._waiting.pop() if self._waiting else None
        if batch is None:
            given = self._draw()
            batch = None if given is ELSEWHERE else self._batch(given, f"batch {self._drawn}")
        self._used += 1
        return batch

    def _skip(self) -> None:
        if not self._waiting:
            self._draw()
        self._waiting = []
        self._used += 1

    def _draw(self) -> Any:
        try:
            given = next(self._iterator)  # type: ignore[arg-type]
        except StopIteration:
            raise End from None
        except BaseException as error:
            _add_note(error, f"{self._who} asked {described(self._loader)} for batch "
                      f"{self._drawn + 1}")  # fmt: skip
            raise
        self._drawn += 1
        return given

    def _begin(self) -> Iterator[Any]:
        """An iterator over the loader's batches."""
        group = ranks.group()
        if not self._deals:
            return iter(self._loader)
        return _own_part(self._loader, group.rank, group.size)

    def _begin_pass(self) -> None:
        self._iterator = self._begin()
        self._drawn, self._used = 0, 0

    def _leave(self) -> None:
        """End the pass: the next one needs another iterator."""
        if self.rewinds and self._iterator is not None:
            close = getattr(self._iterator, "close", None)
            self._iterator, self._waiting = None, []
            if close is not None:
                close()


class DatasetFeed(BatchFeed):
    """A PyDataset, whose batches have numbers: any order, several workers.

    Batch 0 is asked for once more than it is used, to know what the model has to be built for.
    """

    def __init__(
        self,
        dataset: PyDataset,
        prepare: Callable[[Any, str], Data],
        steps: int | None,
        who: str,
        *,
        shuffle: bool,
    ) -> None:
        super().__init__(prepare, steps)
        self._dataset, self._who, self.shuffle = dataset, who, shuffle
        dataset.expect_ready()
        self.batches = dataset.num_batches
        if self.batches is not None:
            checks.integer(self.batches, "num_batches", type(dataset).__name__, minimum=0)
        if self.batches == 0:
            raise ValueError(_no_batch(dataset, who))
        if self.batches is None and steps is None:
            argument = "steps_per_epoch" if who == "fit" else "steps"
            argument = "validation_steps" if "validation" in who else argument
            raise ValueError(
                f"{who}: expected {argument} beside {described(dataset)} without an end, whose "
                "num_batches is None"
            )
        self.steps = steps or self.batches
        self.data = _whole(self._item(0))

    def epoch(self, run: Run, pause: Pause) -> Batches:
        for _ in range(run.missed):  # what they change is changed again
            self._dataset.on_epoch_begin()
            self._dataset.on_epoch_end()
        run.missed = 0
        self._dataset.on_epoch_begin()
        endless = self.batches is None
        order = run.order_of(self.batches or 0, shuffle=self.shuffle and not endless)
        first = run.place + run.step
        numbers = itertools.count(first) if order is None else iter(order[first:].tolist())
        yield from self._ahead(numbers, self._count(first, run.step), pause)
        self._dataset.on_epoch_end()

    def pass_over(self, run: Run) -> bool:
        return self.batches is not None and run.place + run.step >= self.batches

    def blocks(self, *, one_by_one: bool, pause: Pause) -> Blocks:
        self._dataset.on_epoch_begin()
        for batch in self._ahead(itertools.count(), self._count(), pause):
            yield 1, batch
        self._dataset.on_epoch_end()

    def _ahead(self, numbers: Iterable[int], count: int | None, pause: Pause) -> Batches:
        group, chosen = ranks.group(), list(itertools.islice(numbers, count))
        deals = group.size > 1 and self._dataset.independent
        # each rank makes some, and hands out their samples
        own = chosen[group.rank :: group.size] if deals else chosen
        workers = self._dataset.workers
        most = AHEAD if workers < 2 else max(workers, self._dataset.max_queue_size)
        made = made_ahead(
            lambda k: self._item(own[k]), len(own), workers=workers, most=most, pause=pause
        )
        if not deals:
            yield from made
            return
        with closing(made):
            for place in range(len(chosen)):
                maker = place % group.size
                batch = next(made) if maker == group.rank else None
                yield sharing.dealt(batch, maker, self.data, self.bounds)

    def _item(self, number: int) -> Batch:
        try:
            given = self._dataset[number]
        except BaseException as error:
            _add_note(error, f"{self._who} asked {described(self._dataset)} for item {number}")
            raise
        return self._batch(given, f"{type(self._dataset).__name__}[{number}]")


def _own_part(loader: GivenBatches, rank: int, size: int) -> Iterator[Any]:
    """The loader's batches, with ELSEWHERE in the place of those that another rank reads."""
    own, count = loader.some(rank, size), _length(loader)
    for place in itertools.count() if count is None else range(count):
        yield next(own) if place % size == rank else ELSEWHERE


def _length(loader: Any) -> int | None:
    """How many batches it says it gives; None if it does not say."""
    try:
        return len(loader) or None
    except (TypeError, AttributeError, NotImplementedError):  # no length, or not a known one
        return None


def _whole(first: Batch) -> Data:
    """The data of the first batch, all numbers of which are checked before anything changes."""
    data = first.data
    checks.finite(data.x, "x", data.who, dtype=data.dtype)
    return data


def described(loader: Any) -> str:
    name = type(loader).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _no_batch(loader: Any, who: str) -> str:
    return checks.in_other_words(
        f"{who}: expected x to give at least one batch, received {described(loader)} without any. "
        "An iterator that has come to its end has to be made anew",
        "Keras",
        "the generator must yield at least one batch",
    )


def _add_note(error: BaseException, note: str) -> None:
    if hasattr(error, "add_note"):  # from Python 3.11 on
        error.add_note(note)
