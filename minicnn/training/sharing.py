"""What the ranks of a run have to have in common, before and while they train.

See `engine/ranks.py`. One process alone has nothing to share, and these functions do nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import console
from minicnn.engine import ranks
from minicnn.engine.shards import ShardedNetwork
from minicnn.inputs import Batch, Data, on_disk
from minicnn.protocols import Model

Array = NDArray[Any]

MOST = 2**24  # bytes of the targets that are compared


def share_start(model: Model, data: Data) -> None:
    """Begin with rank 0's model: weights, states, optimizer, and the generator of data orders.

    Raises ValueError where the ranks have different models, or were given different data.
    """
    group = ranks.group()
    if group.size == 1:
        return
    expect_the_same(data)
    optimizer = model.optimizer
    count = group.from_first((model.steps_taken, optimizer.iterations, optimizer.waiting))
    model.steps_taken, optimizer.iterations, optimizer.waiting = count
    model.rng.bit_generator.state = group.from_first(model.rng.bit_generator.state)
    _have_slots(optimizer.state, group.from_first(_shapes(optimizer.state)))
    states = {
        f"{layer.name}/{key}": array for layer in model.leaves for key, array in layer.state.items()
    }
    arrays = {"parameters": model.store.params, **states, **optimizer.state}
    shapes = group.objects(_shapes(arrays))
    for rank, its in enumerate(shapes):
        if its != shapes[0]:
            raise ValueError(
                f"{data.who}: expected the same model on all ranks, received one with "
                f"{_difference(shapes[0], its)} on rank 0 and {_difference(its, shapes[0])} on "
                f"rank {rank}"
            )
    group.share_arrays(list(arrays.values()))
    share_decisions(model)  # ranks may have been compiled with other rates


def _shapes(arrays: dict[str, Array]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (array.shape, array.dtype.str) for name, array in arrays.items()}


def _have_slots(state: dict[str, Array], slots: dict[str, tuple[tuple[int, ...], str]]) -> None:
    """Make an optimizer's slots like rank 0's, which may have trained alone."""
    before = dict(state)
    state.clear()
    for name, (shape, dtype) in slots.items():
        array = before.get(name)
        fits = array is not None and (array.shape, array.dtype.str) == (shape, dtype)
        state[name] = array if fits and array is not None else np.zeros(shape, dtype)


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What the first has and the second has not."""
    return ", ".join(f"{k} {v[0]}" for k, v in one.items() if other.get(k) != v) or "nothing more"


def share_decisions(model: Model) -> None:
    """What callbacks have decided on rank 0: whether to go on, and the learning rate."""
    group = ranks.group()
    if group.size == 1:
        return
    held = vars(model.optimizer)
    rate = held["learning_rate"]
    stop, rate = group.from_first((model.stop_training, rate if isinstance(rate, float) else None))
    model.stop_training = stop
    if rate is not None and rate != held["learning_rate"]:
        model.optimizer.learning_rate = rate


def share_stop(model: Model, flag: str) -> None:
    """Set the flag as on rank 0, where a callback may have ended `evaluate` or `predict`."""
    setattr(model, flag, ranks.group().from_first(getattr(model, flag)))


def note_idle_ranks(network: ShardedNetwork, n: int) -> None:
    """Say where a batch of `n` samples has fewer shards than there are ranks."""
    group, shards = ranks.group(), len(network.shards(n))
    if shards >= group.size or group.rank:
        return
    fed = f"A batch of {network.feeding(group.size)} would have one for each"
    if network.whole:
        fed = "A layer that mixes the samples of a batch keeps it from being cut"
    console.note(
        f"a batch of {n} is cut into {shards} shard{'s' if shards > 1 else ''}, so "
        f"{group.size - shards} of {group.size} ranks have nothing to do. {fed}"
    )


def dealt(
    batch: Batch | None, maker: int, like: Data, bounds: Callable[[int], list[tuple[int, int]]]
) -> Batch:
    """A batch that one rank has made: all its targets, and the inputs of this rank's shards.

    `like` has all else that belongs to the data of such batches.
    """
    group = ranks.group()
    head: Any = None
    if batch is not None:
        data = batch.data
        head = data.x.shape, data.x.dtype, data.y, data.weight, data.who
    shape, dtype, y, weight, who = group.from_rank(maker, head)
    x = np.empty(shape, dtype)  # the pages of the others' samples stay untouched
    every = bounds(len(x))
    group.deal_rows(None if batch is None else batch.data.x, maker, x, every)
    result = Batch(replace(like, x=x, y=y, weight=weight, who=who), np.arange(len(x)))
    result.there = slice(*every[group.rank])
    return result


def expect_the_same(data: Data) -> None:
    """Raise ValueError where the ranks were given different data, as far as a glance shows."""
    group = ranks.group()
    if group.size == 1:
        return
    every = group.objects(_glance(data))
    for rank, one in enumerate(every):
        if one != every[0]:
            raise ValueError(
                f"{data.who}: expected the same data on all ranks, received {every[0]} on rank 0 "
                f"and {one} on rank {rank} (shapes, and checksums of some numbers). Shuffle and "
                "split with a seed, so that all ranks do it alike"
            )


def _glance(data: Data) -> tuple[Any, ...]:
    """Shapes and checksums of the targets and of three samples."""
    rows = [0, len(data) // 2, len(data) - 1]
    seen: list[Any] = [data.x.shape, _checksum(data.x[rows])]
    if data.y is not None:
        whole = data.y.nbytes <= MOST and not on_disk(data.y)
        seen += [data.y.shape, _checksum(data.y if whole else data.y[rows])]
    return tuple(seen)


def _checksum(array: Array) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(array).tobytes()):08x}"
