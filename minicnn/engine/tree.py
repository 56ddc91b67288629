"""The gradients of a batch's shards, summed as a balanced binary tree over the shards' numbers.

    level 0    0     1     2     3     4     5     6      a node of level l and number k is the sum
    level 1    0 + 1       2 + 3       4 + 5       6      of shards k 2^l to (k + 1) 2^l - 1; where
    level 2    0 to 3                  4 to 6             there is no sibling it goes up as it is
    level 3    0 to 6

A node is the sum of its two children, whichever thread or process adds them, so the result has the
same bits on any number of either. Siblings are added as soon as both exist.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")


class Node(NamedTuple):
    """A node of the tree, by its level and its number on that level."""

    level: int
    number: int

    @property
    def parent(self) -> Node:
        return Node(self.level + 1, self.number // 2)

    @property
    def sibling(self) -> Node:
        return Node(self.level, self.number ^ 1)

    def exists(self, shards: int) -> bool:
        """Whether there are shards below it, in a batch of so many."""
        return self.number << self.level < shards


def top_level(shards: int, nodes: int) -> int:
    """The lowest level that has at most so many nodes.

    >>> [top_level(shards, 4) for shards in (1, 4, 5, 8, 9, 16, 17)]
    [0, 0, 1, 1, 2, 2, 3]
    """
    level = 0
    while -(-shards >> level) > nodes:
        level += 1
    return level


def covering(first: int, stop: int, shards: int) -> list[Node]:
    """The fewest nodes below which exactly the shards from `first` to `stop` - 1 lie, in order.

    >>> covering(0, 7, 7)
    [Node(level=3, number=0)]
    >>> [tuple(node) for node in covering(1, 7, 7)]
    [(0, 1), (1, 1), (2, 1)]
    """
    nodes: list[Node] = []
    root = top_level(shards, 1)
    for number in range(first, stop):
        nodes.append(Node(0, number))
        while True:
            last = nodes[-1]
            if len(nodes) > 1 and last.number % 2 and nodes[-2] == last.sibling:
                nodes[-2:] = [last.parent]
            elif last.level < root and not last.sibling.exists(shards):
                nodes[-1] = last.parent
            else:
                break
    return nodes


class Sums:
    """A tree whose leaves come in any order, from any thread.

    Parameters
    ----------
    shards : int
        Leaves of the whole tree; some may belong to other processes.
    top : int
        The level above which nothing is added yet.
    add : function of two T
        Adds the second to the first, which keeps the sum.
    """

    def __init__(self, shards: int, top: int, add: Callable[[Any, Any], None]) -> None:
        self.shards, self.top, self.add = shards, top, add
        self._waiting: dict[Node, Any] = {}
        self._lock = threading.Lock()

    def put(self, number: int, leaf: T) -> list[T]:
        """The shard of that number is done; returns what was added to another and is free again."""
        node = Node(0, number)
        free: list[T] = []
        while True:
            with self._lock:
                if node.level < self.top and not node.sibling.exists(self.shards):
                    node = node.parent
                    continue
                other = self._waiting.pop(node.sibling, None) if node.level < self.top else None
                if other is None:
                    self._waiting[node] = leaf
                    return free
            self.add(leaf, other)  # a + b is b + a, to the last bit
            free.append(other)
            node = node.parent

    def nodes(self) -> list[tuple[Node, Any]]:
        """What is left when all shards are done, in the order of the shards."""
        return sorted(self._waiting.items(), key=lambda item: item[0].number << item[0].level)


def add_up(nodes: list[tuple[Node, Array]], shards: int, out: Array) -> None:
    """The root into `out`, from nodes that cover all shards, in order. Their arrays are used up."""
    while len(nodes) > 2:
        level = min(node.level for node, _ in nodes)
        above: list[tuple[Node, Array]] = []
        for node, array in nodes:
            if node.level != level:
                above.append((node, array))
            elif above and above[-1][0] == node.parent:  # its sibling has just gone up
                np.add(above[-1][1], array, out=above[-1][1])
            else:
                above.append((node.parent, array))
        nodes = above
    if len(nodes) == 1:
        out[...] = nodes[0][1]
    else:
        np.add(nodes[0][1], nodes[1][1], out=out)
