"""The processes that work on one model: this one alone, or the ranks of an MPI run.

A batch is cut into shards in the same way everywhere; each rank works on some that follow one
another, and what shards have to share goes through a `Group`. `minicnn.distributed` puts an MPI
run's group in the place of the default, which is this process alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar

from numpy.typing import NDArray

from minicnn.engine.tree import Node

Array = NDArray[Any]
T = TypeVar("T")
Nodes = list[tuple[Node, Array]]


class Group:
    """This process alone; a group of several overrides what it shares.

    Attributes
    ----------
    rank, size : int
        The number of this process, from 0, and how many there are.
    exact : bool
        Whether gradients are summed as the tree.
    """

    rank, size = 0, 1
    exact = True

    def shares(self, count: int) -> list[range]:
        """Which of `count` pieces of work are whose, by rank."""
        return [range(count)]

    def own(self, count: int) -> range:
        """Which of them are this rank's."""
        return self.shares(count)[self.rank]

    def rows(self, own: Array, count: int) -> Array:
        """The rows of all `count` pieces, from those of this rank's."""
        return own

    def share_rows(self, array: Array, bounds: list[tuple[int, int]]) -> None:
        """Fill the array with the rows of all ranks; each has filled those within its bounds."""

    def deal_rows(
        self, given: Array | None, giver: int, array: Array, bounds: list[tuple[int, int]]
    ) -> None:
        """Each rank's rows within its bounds, from the `given` ones of one rank, into `array`."""

    def objects(self, own: T) -> list[T]:
        """What each rank gives, by rank."""
        return [own]

    def from_first(self, value: T) -> T:
        """Rank 0's value."""
        return self.from_rank(0, value)

    def from_rank(self, rank: int, value: T) -> T:
        """That rank's value."""
        return value

    def share_arrays(self, arrays: list[Array]) -> None:
        """Rank 0's numbers into the arrays of all."""

    def gradient(self, nodes: Nodes, shards: int, size: int, dtype: Any) -> Nodes:
        """Nodes that cover all shards, from those of this rank's shards: vectors of `size`."""
        return nodes

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """A block in which ranks wait for each other."""
        yield

    def bytes_sent(self) -> int:
        """What this rank has sent so far."""
        return 0


ALONE = Group()
_group = ALONE


def group() -> Group:
    """The processes that work together now."""
    return _group


def use(new: Group) -> None:
    """Work with these processes from now on."""
    global _group
    _group = new


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Work by this process alone, also in a run of several."""
    before = group()
    use(ALONE)
    try:
        yield
    finally:
        use(before)
