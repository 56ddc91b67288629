"""The sum of shards' gradients as a binary tree: the same bits in any order of work."""

import threading

import numpy as np
import pytest

from minicnn.engine.tree import Node, Sums, add_up, covering, top_level


def vectors(count):
    rng = np.random.default_rng(count)
    return [rng.normal(size=5).astype(np.float32) for _ in range(count)]


def by_definition(leaves):
    """Neighbours in pairs, level by level; the last one goes up alone where there is no other."""
    while len(leaves) > 1:
        pairs = [leaves[k : k + 2] for k in range(0, len(leaves), 2)]
        leaves = [pair[0] + pair[1] if len(pair) > 1 else pair[0] for pair in pairs]
    return leaves[0]


def summed(leaves, order, top):
    """The root, from leaves that come in that order."""

    def add(a, b):
        a += b

    sums = Sums(len(leaves), top, add)
    for number in order:
        sums.put(number, leaves[number].copy())
    out = np.empty(5, np.float32)
    add_up(sums.nodes(), len(leaves), out)
    return out


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 11, 16, 21])
def test_any_order_of_leaves_gives_the_same_bits(count):
    leaves, rng = vectors(count), np.random.default_rng(0)
    expected = by_definition(leaves)
    for top in range(top_level(count, 1) + 1):
        for order in (range(count), range(count)[::-1], rng.permutation(count)):
            np.testing.assert_array_equal(summed(leaves, order, top), expected)


def test_the_order_of_additions_shows_in_the_bits():
    """Else the test above could not fail."""
    leaves = vectors(21)
    assert np.any(by_definition(leaves) != np.add.reduce(leaves, axis=0))


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 6])
def test_ranks_with_some_of_the_leaves_give_the_same_bits(count, ranks):
    leaves = vectors(count)
    nodes = []
    for rank in range(ranks):
        own = range(count * rank // ranks, count * (rank + 1) // ranks)

        def add(a, b):
            a += b

        sums = Sums(count, top_level(count, 1), add)
        for number in own:
            sums.put(number, leaves[number].copy())
        assert [node for node, _ in sums.nodes()] == covering(own.start, own.stop, count)
        nodes += sums.nodes()
    out = np.empty(5, np.float32)
    add_up(nodes, count, out)
    np.testing.assert_array_equal(out, by_definition(leaves))


def test_what_was_added_is_free_again():
    freed = []
    sums = Sums(8, 3, lambda a, b: None)
    for number in range(8):
        freed += sums.put(number, f"leaf {number}")
    assert len(freed) == 7
    assert [node for node, _ in sums.nodes()] == [Node(3, 0)]


def test_leaves_from_many_threads():
    leaves = vectors(64)
    sums = Sums(64, 6, lambda a, b: np.add(a, b, out=a))
    numbers = iter(range(64))
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            sums.put(number, leaves[number].copy())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [(_, root)] = sums.nodes()
    np.testing.assert_array_equal(root, by_definition(leaves))
