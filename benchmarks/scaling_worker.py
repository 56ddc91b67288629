"""One process of `benchmarks.scaling`; of several, one rank. Rank 0 prints one line of JSON.

    python -m benchmarks.scaling_worker steps deeper --steps 16 --threads 2
    mpiexec -n 2 python -m benchmarks.scaling_worker steps deeper --steps 16
    python -m benchmarks.scaling_worker shards deeper --steps 8 --sizes 8 64 --batches 128 512
    python -m benchmarks.scaling_worker torch deeper --steps 16          RANK, WORLD_SIZE of PyTorch

What there is to know of a step is taken where `fit` takes it, so the loop around it counts, too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import minicnn
from benchmarks.frameworks.minicnn_ import MiniCNN, build
from benchmarks.networks import MODELS, first_shape
from minicnn.engine import ranks, threads
from minicnn.training.step import Runner

WARM = 3  # steps that are not counted: kernels are loaded, buffers made
CHECKED = 4  # steps whose losses have to agree, without dropout


def images(model: Any, count: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.random((count, *first_shape(model)), dtype=np.float32)
    return x, rng.integers(0, 10, count)


class Watch:
    """Notes each step that `fit` takes: when it began, and what has been sent until then."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, int, float]] = []
        self.phases: list[list[list[float]]] = []  # of each step: seconds of the jobs for threads

    def fit(self, network: Any, batch: int, steps: int) -> None:
        """As many steps as are wanted, those that warm up before them, and one that ends."""
        wanted = steps + WARM + 1
        x, y = images(network._model, batch * min(8, wanted))
        own_step, own_run = Runner.step, threads.run

        def step(runner: Runner, *arguments: Any) -> Any:
            group = ranks.group()
            spent = getattr(group, "seconds", 0.0)
            self.steps.append((time.perf_counter(), group.bytes_sent(), spent))
            self.phases.append([])
            return own_step(runner, *arguments)

        def run(task: Callable[[Any], None], items: Any, **how: Any) -> None:
            taken: list[float] = []

            def timed(item: Any) -> None:
                start = time.perf_counter()
                task(item)
                taken.append(time.perf_counter() - start)

            if self.phases:  # else the data are being checked
                self.phases[-1].append(taken)
            own_run(timed, items, **how)

        Runner.step = step  # type: ignore[method-assign]
        if threads.get_num_threads() == 1:
            threads.run = run
        try:
            epochs = -(-wanted // (len(x) // batch))
            network.fit(x, y, batch_size=batch, epochs=epochs, verbose=0)
        finally:
            Runner.step, threads.run = own_step, own_run  # type: ignore[method-assign]
        self.steps = self.steps[WARM:wanted]
        self.phases = self.phases[WARM : wanted - 1]

    def seconds(self) -> list[float]:
        times = [one[0] for one in self.steps]
        return [after - before for before, after in pairwise(times)]


def network_of(name: str) -> Any:
    minicnn.utils.set_random_seed(0)
    network = build(MODELS[name])
    network._model = MODELS[name]
    return network


def steps(name: str, batch: int, count: int, threads_: int) -> dict[str, Any]:
    """The median step; bytes that a rank sends in it; the share of the time in calls of MPI."""
    minicnn.set_num_threads(threads_)
    minicnn.distributed.init()
    watch = Watch()
    watch.fit(network_of(name), batch, count)
    first, last = watch.steps[0], watch.steps[-1]
    return {
        "seconds": statistics.median(watch.seconds()),
        "bytes": (last[1] - first[1]) / count,
        "mpi": (last[2] - first[2]) / (last[0] - first[0]),
    }


def shards(
    name: str, batches: list[int], sizes: list[int], counts: list[int], images_: int
) -> dict[str, Any]:
    """What a step consists of on one thread, by size of shards (0: the network's own) and batch.

    `shards` are the seconds of each, `update` those of the optimizer's pieces, which threads share,
    too, `rest` is what is left of the step. `threads` has the whole step by number of threads.
    """
    network, found = network_of(name), []
    for size in sizes:
        minicnn.set_shard_size(size or None)
        for batch in batches:
            one: dict[str, Any] = {"size": size, "batch": batch, "threads": {}}
            wanted = max(4, images_ // batch)
            for count in counts:
                minicnn.set_num_threads(count)
                watch = Watch()
                watch.fit(network, batch, wanted)
                one["threads"][str(count)] = statistics.median(watch.seconds())
                if count == 1:
                    one |= parts(watch)
            found.append(one)
    minicnn.set_shard_size(None)
    vectors = [np.ones(network.count_params(), np.float32) for _ in range(2)]
    return {
        "parameters": network.count_params(),
        "add": min(_seconds(lambda: np.add(*vectors, out=vectors[0])) for _ in range(20)),
        "steps": found,
    }


def parts(watch: Watch) -> dict[str, Any]:
    """The median of each job, by its place in the step."""
    work, update = (
        [statistics.median(times) for times in zip(*jobs)] for jobs in zip(*watch.phases)
    )
    rest = [whole - sum(map(sum, phases)) for whole, phases in zip(watch.seconds(), watch.phases)]
    return {
        "shards": work,
        "update": update,
        "rest": statistics.median(rest),
    }


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# -- PyTorch --------------------------------------------------------------------------------------


def torch(name: str, batch: int, count: int, setting: dict[str, str]) -> dict[str, Any]:
    """A step of PyTorch, of DistributedDataParallel where there are ranks.

    Without a setting, the fastest memory layout and kind of Adam are looked for first.
    """
    import torch
    from torch import distributed

    from benchmarks import agreement
    from benchmarks.frameworks.torch_ import Torch

    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if size > 1:
        distributed.init_process_group("gloo")
    model, weights = MODELS[name], network_of(name).get_weights()
    own = slice(rank * batch // size, (rank + 1) * batch // size)

    def peer(layout: str) -> Any:
        made = Torch(1, layout)
        made.load(model, weights)
        if size > 1:
            parallel = torch.nn.parallel.DistributedDataParallel
            made.forward = parallel(made.network, gradient_as_bucket_view=True)
        return made

    def timed(made: Any, adam: str, wanted: int) -> float:
        x, y = images(model, batch * min(8, wanted + WARM))
        pixels, labels = made._images(x), made._targets(y)
        optimizer, times = made._adam({"adam": adam}), []
        total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        made.network.train()
        torch.manual_seed(0)  # the same order on all ranks
        while len(times) < wanted + WARM:
            for rows in torch.randperm(len(x)).split(batch):
                start = time.perf_counter()
                part = rows[own]
                chosen, targets = pixels.index_select(0, part), labels.index_select(0, part)
                optimizer.zero_grad(set_to_none=True)
                logits = made.forward(chosen)
                loss = made._loss(logits, targets)
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(part)
                right += (logits.detach().argmax(1) == targets).sum()
                times.append(time.perf_counter() - start)
        return statistics.median(times[WARM : wanted + WARM])

    if not setting:
        every = [(one, adam) for one in ("plain", "channels_last") for adam in ("fused", "foreach")]
        trials = {one: timed(peer(one[0]), one[1], max(2, count // 4)) for one in every}
        layout, adam = min(trials, key=trials.__getitem__)
        setting = {"layout": layout, "adam": adam}
    made = peer(setting["layout"])
    x, y = images(model, batch * CHECKED)
    halves = x.reshape(CHECKED, batch, *x.shape[1:])[:, own].reshape(-1, *x.shape[1:])
    labels = y.reshape(CHECKED, batch)[:, own].ravel()
    part = own.stop - own.start
    losses = torch.tensor(made.first_losses(halves, labels, part, CHECKED, setting))
    if size > 1:
        distributed.all_reduce(losses)
    ours = MiniCNN(1)
    ours.load(model, weights)
    expected = ours.first_losses(x, y, batch, CHECKED, {})
    found = agreement.compare("PyTorch", {"losses": losses / size}, {"losses": expected})
    result = {"seconds": timed(made, setting["adam"], count), "setting": setting, **found}
    if size > 1:
        distributed.destroy_process_group()
    return result


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling_worker")
    parser.add_argument("what", choices=("steps", "shards", "torch"))
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--batches", type=int, nargs="+", default=[128])
    parser.add_argument("--sizes", type=int, nargs="+", default=[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--setting", type=json.loads, default={})
    args = parser.parse_args()
    if args.what == "steps":
        result = steps(args.model, args.batch, args.steps, args.threads)
    elif args.what == "shards":
        wanted = args.steps * args.batches[0]
        result = shards(args.model, args.batches, args.sizes, args.counts, wanted)
    else:
        result = torch(args.model, args.batch, args.steps, args.setting)
    print(json.dumps(result))  # of rank 0: minicnn silences the others
    return 0


if __name__ == "__main__":
    sys.exit(main())
