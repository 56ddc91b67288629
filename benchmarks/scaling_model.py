"""What a step of training costs on paper: on R ranks over a network, or on T threads.

    step on R ranks   = ceil(shards / R) * a shard            of the rank that has most
                      + what each rank does alike             optimizer, the loop around
                      + the gradient's way                    bytes / bandwidth, messages * latency
                      + the tree on a rank's piece            additions of vectors / R

    step on T threads = shards, each by the first thread that is free
                      + the optimizer's pieces, likewise
                      + the rest, by one thread

Seconds of the parts are measured on one thread. Threads do not slow each other here, as they do
where they share a cache or the memory; ranks wait only for the one with most shards; and
each has a network port to itself.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minicnn.engine.tree import covering

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
THREADS = (1, 2, 4, 8, 16)
LARGEST = 2**17  # of the batches that are tried
GOOD = 0.8  # of R times the steps of one rank


class Network(NamedTuple):
    """A network: its name, bytes a second each way, and seconds that each message costs more."""

    name: str
    bandwidth: float
    latency: float


ETHERNET = Network("Ethernet, 10 Gbit/s, 30 us", 10e9 / 8, 30e-6)
INFINIBAND = Network("InfiniBand, 100 Gbit/s, 2 us", 100e9 / 8, 2e-6)


class Cost(NamedTuple):
    """What was measured of a model on one thread, in seconds.

    Attributes
    ----------
    parameters : int
    size : int
        Samples in a shard.
    shard, alike, add : float
        One shard; all that every rank does, whatever the batch; adding one gradient to another.
    """

    parameters: int
    size: int
    shard: float
    alike: float
    add: float


def shares(count: int, ranks: int) -> list[range]:
    """Which shards are whose, as `minicnn.distributed` deals them.

    >>> shares(5, 2)
    [range(0, 2), range(2, 5)]
    """
    return [range(count * r // ranks, count * (r + 1) // ranks) for r in range(ranks)]


def bytes_sent(shards: int, ranks: int, parameters: int) -> int:
    """Bytes of gradients that the rank with most to send sends in a step.

    >>> bytes_sent(8, 1, 1000), bytes_sent(8, 2, 1000), bytes_sent(8, 4, 1000)
    (0, 4000, 6000)
    """
    most = 0
    for rank, own in enumerate(shares(shards, ranks)):
        piece = parameters * (rank + 1) // ranks - parameters * rank // ranks
        nodes = len(covering(own.start, own.stop, shards))
        most = max(most, nodes * (parameters - piece) + (ranks - 1) * piece)
    return 4 * most


def communication(shards: int, ranks: int, cost: Cost, network: Network) -> float:
    """Seconds for the gradient: Alltoallv, the tree on a piece, Allgatherv; and for the figures."""
    nodes = sum(len(covering(own.start, own.stop, shards)) for own in shares(shards, ranks))
    messages = 2 * (ranks - 1) + math.ceil(math.log2(ranks))
    moved = bytes_sent(shards, ranks, cost.parameters) / network.bandwidth
    return moved + messages * network.latency + (nodes - 1) * cost.add / ranks


def step(batch: int, ranks: int, cost: Cost, network: Network) -> float:
    """Seconds of a step."""
    shards = -(-batch // cost.size)
    compute = -(-shards // ranks) * cost.shard + cost.alike
    return compute + communication(shards, ranks, cost, network)


def efficiency(batch: int, ranks: int, cost: Cost, network: Network) -> float:
    """Steps a second, beside `ranks` times those of one rank."""
    return step(batch, 1, cost, network) / step(batch, ranks, cost, network) / ranks


def most_useful(batch: int, cost: Cost, network: Network) -> int:
    """How many ranks, of `RANKS`, take most steps a second."""
    return min(RANKS, key=lambda ranks: step(batch, ranks, cost, network))


def batch_for(ranks: int, cost: Cost, network: Network, good: float = GOOD) -> int | None:
    """The smallest batch (128 times a power of 2) that keeps so many ranks busy; None if none."""
    batch = 128
    while batch <= LARGEST:
        if efficiency(batch, ranks, cost, network) >= good:
            return batch
        batch *= 2
    return None


# -- threads --------------------------------------------------------------------------------------


def scheduled(seconds: Sequence[float], threads: int) -> float:
    """When the last job ends, if each is taken in turn by the first thread that is free.

    >>> scheduled([3, 1, 1, 1], 2), scheduled([1, 1, 1, 3], 2)
    (3, 4)
    """
    free: list[float] = [0] * threads
    for job in seconds:
        heapq.heapreplace(free, free[0] + job)
    return max(free)


def threaded(parts: dict[str, Any], threads: int) -> float:
    """Seconds of a step, from its `shards`, `update` and `rest` on one thread."""
    return scheduled(parts["shards"], threads) + scheduled(parts["update"], threads) + parts["rest"]


# -- pictures -------------------------------------------------------------------------------------


def _axes(count: int) -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(5 * count, 4.2), squeeze=False)
    return figure, axes[0]


def _finish(figure: Any, axes: Any, label: str, ticks: Sequence[int], path: Path) -> None:
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    for ax in axes:
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(label)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=7)
    axes[0].set_ylabel("steps a second")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def draw_ranks(costs: dict[str, Cost], batches: Sequence[int], path: Path) -> None:
    """Steps a second against ranks, a panel for each model."""
    figure, axes = _axes(len(costs))
    for ax, (name, cost) in zip(axes, costs.items()):
        for number, batch in enumerate(batches):
            for network, style in ((INFINIBAND, "-"), (ETHERNET, "--")):
                rates = [1 / step(batch, ranks, cost, network) for ranks in RANKS]
                label = f"batch {batch:,}, {network.name.split(',')[0]}"
                ax.plot(RANKS, rates, style, color=f"C{number}", label=label)
        ax.set_title(f"{name} model", fontsize=10)
    _finish(figure, axes, "ranks of one thread each", RANKS, path)


def draw_threads(name: str, steps: Sequence[dict[str, Any]], path: Path) -> None:
    """Steps a second against threads, a panel for each batch, with what was measured."""
    batches = sorted({one["batch"] for one in steps})
    figure, axes = _axes(len(batches))
    for ax, batch in zip(axes, batches):
        chosen = [one for one in steps if one["batch"] == batch]
        for number, one in enumerate(chosen):
            rates = [1 / threaded(one, threads) for threads in THREADS]
            ax.plot(THREADS, rates, color=f"C{number}", label=f"shards of {one['size']}")
            measured = {int(count): 1 / value for count, value in one["threads"].items()}
            ax.plot(*zip(*measured.items()), "o", color=f"C{number}", fillstyle="none")
        ax.plot([], [], "ko", fillstyle="none", label="measured")
        ax.set_title(f"{name} model, batch {batch}", fontsize=10)
    _finish(figure, axes, "threads", THREADS, path)
