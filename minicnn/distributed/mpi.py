"""The ranks of an MPI run as a `Group`: which work is whose, and how results are shared.

The gradient travels in pieces. Rank p adds up piece p of all nodes of the tree, and hands out the
sum, so each rank sends about twice the size of the vector a step, however many there are:

    its nodes of the tree  --Alltoallv-->  piece p of all nodes  --tree-->  sum  --Allgatherv-->
"""

from __future__ import annotations

import atexit
import os
import platform
import secrets
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import pairwise
from typing import Any, NoReturn, TypeVar

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

import minicnn
from minicnn import console, seeds
from minicnn.engine import blas, ranks, shards, threads
from minicnn.engine.tree import Node, add_up, covering, top_level
from minicnn.training.finite import NotFinite

Array = NDArray[Any]
T = TypeVar("T")


class MPIGroup(ranks.Group):
    """The processes of a communicator."""

    def __init__(self, comm: Any, *, exact: bool) -> None:
        self.comm, self.exact = comm, exact
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self._sent = 0
        self.calls, self.waits = 0, False  # of MPI, and whether the last one is going on
        self.seconds = 0.0  # in all of them

    @contextmanager
    def _call(self) -> Iterator[Any]:
        """The communicator, for one call that all ranks make."""
        self.calls, self.waits = self.calls + 1, True
        began = time.perf_counter()
        try:
            yield self.comm
        finally:
            self.seconds += time.perf_counter() - began
            self.waits = False

    def shares(self, count: int) -> list[range]:
        cuts = [count * rank // self.size for rank in range(self.size + 1)]
        return [range(start, stop) for start, stop in pairwise(cuts)]

    def rows(self, own: Array, count: int) -> Array:
        width = own.shape[1]
        counts = [len(share) * width for share in self.shares(count)]
        every = np.empty((count, width), own.dtype)
        with self._call() as comm:
            comm.Allgatherv(np.ascontiguousarray(own), [every, counts])
        self._sent += own.nbytes * (self.size - 1)
        return every

    def share_rows(self, array: Array, bounds: list[tuple[int, int]]) -> None:
        width = array[:1].size
        counts = [(stop - start) * width for start, stop in bounds]
        own = array[slice(*bounds[self.rank])].copy()
        with self._call() as comm:
            comm.Allgatherv(own, [array, counts])
        self._sent += own.nbytes * (self.size - 1)

    def deal_rows(
        self, given: Array | None, giver: int, array: Array, bounds: list[tuple[int, int]]
    ) -> None:
        row = array[:1].nbytes
        counts = [(stop - start) * row for start, stop in bounds]
        own = array[slice(*bounds[self.rank])]
        whole = None if given is None else [np.ascontiguousarray(given).view(np.uint8), counts]
        with self._call() as comm:
            comm.Scatterv(whole, own.view(np.uint8), root=giver)
        if given is not None:
            self._sent += given.nbytes - own.nbytes

    def objects(self, own: T) -> list[T]:
        with self._call() as comm:
            every: list[T] = comm.allgather(own)
        return every

    def from_rank(self, rank: int, value: T) -> T:
        with self._call() as comm:
            its: T = comm.bcast(value, root=rank)
        return its

    def share_arrays(self, arrays: list[Array]) -> None:
        for array in arrays:
            values = np.ascontiguousarray(array)
            with self._call() as comm:
                comm.Bcast(values)
            array[...] = values

    def gradient(self, nodes: ranks.Nodes, shards: int, size: int, dtype: Any) -> ranks.Nodes:
        total = np.empty(size, dtype)
        root = [(Node(top_level(shards, 1), 0), total)]
        if not self.exact:
            own = np.zeros(size, dtype)
            for _, vector in nodes:
                own += vector
            with self._call() as comm:
                comm.Allreduce(own, total)
            self._sent += 2 * total.nbytes * (self.size - 1) // self.size
            return root
        cuts = [size * rank // self.size for rank in range(self.size + 1)]
        sizes = np.diff(cuts)
        layout = [covering(own.start, own.stop, shards) for own in self.shares(shards)]
        vectors = [vector for _, vector in nodes]
        pieces = [v[a:b] for a, b in pairwise(cuts) for v in vectors]
        send = vectors[0] if len(vectors) == 1 else np.concatenate(pieces or [total[:0]])
        mine = int(sizes[self.rank])
        counts = [len(one) * mine for one in layout]
        received = np.empty(sum(counts), dtype)
        with self._call() as comm:
            comm.Alltoallv([send, (sizes * len(vectors)).tolist()], [received, counts])
        parts = received.reshape(-1, mine)
        piece = np.empty(mine, dtype)
        add_up([*zip([node for one in layout for node in one], parts)], shards, piece)
        with self._call() as comm:
            comm.Allgatherv(piece, [total, sizes.tolist()])
        self._sent += (len(vectors) * (size - mine) + (self.size - 1) * mine) * total.itemsize
        return root

    def bytes_sent(self) -> int:
        return self._sent

    @contextmanager
    def together(self) -> Iterator[None]:
        """End all ranks where this one leaves the block by an error that is its alone: others wait
        in the block for what it would have sent.
        """
        try:
            yield
        except NotFinite:
            raise  # all ranks have seen the same figures
        except BaseException as error:
            self.end_with(type(error), error, error.__traceback__)

    def end_with(self, kind: Any, error: Any, where: Any) -> NoReturn:
        """End all ranks with this one's error."""
        lines = "".join(traceback.format_exception(kind, error, where))
        self.end_all(f"rank {self.rank} of {self.size} has failed\n{lines}")

    def end_all(self, message: str) -> NoReturn:
        """Print the message, and end all ranks."""
        sys.stderr.write(f"minicnn.distributed: {message}")
        sys.stderr.flush()
        time.sleep(0.2)  # mpiexec passes it on before it hears of the end
        self.comm.Abort(1)
        os._exit(1)  # Abort does not return


def start(*, exact: bool) -> None:
    """Put the group of all ranks in the place of this process alone."""
    group = MPIGroup(MPI.COMM_WORLD, exact=exact)
    if group.size == 1:
        return
    _end_all_on_errors(group)
    _warn_where_ranks_differ(group)
    _share_the_cores(group)
    if not seeds.is_fixed():
        seeds.set_random_seed(group.from_first(secrets.randbelow(2**32)))
    if group.rank:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  for as long as the process lives
    ranks.use(group)


class _Watch:
    """Notices that a rank has ended its script for which this one waits: sys.exit on one of them.

    A rank that ends tells the others. None of them can hear it while it waits in a call, so a
    thread listens.
    """

    PERIOD = 0.5  # seconds

    def __init__(self, group: MPIGroup) -> None:
        self.group, self.comm = group, group.comm.Dup()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="minicnn_ranks", daemon=True)
        self._thread.start()
        atexit.register(self.end)

    def _listen(self) -> None:
        gone, waits_in = -1, -1
        while not self._ended.wait(self.PERIOD):
            if gone < 0:
                if self.comm.Iprobe(MPI.ANY_SOURCE):
                    gone = self.comm.recv()
            elif not self.group.waits:
                waits_in = -1
            elif waits_in == self.group.calls:  # since the last look, too
                self.group.end_all(
                    f"rank {gone} of {self.group.size} has ended, and rank {self.group.rank} waits "
                    "for it. Every rank has to make the same calls of fit, evaluate and predict\n"
                )
            else:
                waits_in = self.group.calls

    def end(self) -> None:
        """This rank's script has come to its end."""
        self._ended.set()
        self._thread.join()
        for rank in range(self.group.size):
            if rank != self.group.rank:
                self.comm.isend(self.group.rank, rank)


def _end_all_on_errors(group: MPIGroup) -> None:
    def hook(kind: Any, error: Any, where: Any) -> None:
        if isinstance(error, NotFinite):  # every rank has raised it
            if group.rank == 0:
                sys.__excepthook__(kind, error, where)
            return
        group.end_with(kind, error, where)

    sys.excepthook = hook
    _Watch(group)


def fingerprint() -> dict[str, str]:
    """What the last bits of a result depend on."""
    from llvmlite import binding

    libraries = blas.libraries()
    return {
        "minicnn": minicnn.__version__,
        "Python": platform.python_version(),
        "NumPy": version("numpy"),
        "numba": version("numba"),
        "BLAS": ", ".join(f"{one['name']} {one['version']}" for one in libraries),
        "samples in a shard": str(shards.get_shard_size()),
        "CPU": binding.get_host_cpu_name(),
        "its vector instructions": _vector_instructions(binding.get_host_cpu_features()),
    }


def _vector_instructions(features: Any) -> str:
    names = [name for name, there in sorted(features.items()) if there]
    return " ".join(name for name in names if name.startswith(("avx", "fma", "sse", "sve", "neon")))


def _warn_where_ranks_differ(group: MPIGroup) -> None:
    every = group.objects(fingerprint())
    for what in every[0]:
        values = [one[what] for one in every]
        if len(set(values)) > 1 and group.rank == 0:
            other = next(rank for rank, value in enumerate(values) if value != values[0])
            console.note(
                f"the ranks differ in {what}: rank 0 has {values[0]}, rank {other} "
                f"{values[other]}. They train the same model, but its last bits are not those of "
                "one process"
            )


def _share_the_cores(group: MPIGroup) -> None:
    """Each rank of a machine has its part of the cores, where nothing else says how many."""
    if threads.are_set():
        return
    here = group.comm.Split_type(MPI.COMM_TYPE_SHARED)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    every = here.allgather(cores)
    sharing = sum(one == cores for one in every)  # 1 where each is pinned to its own
    threads.set_num_threads(max(1, (len(cores) or os.cpu_count() or 1) // sharing))
    here.Free()
