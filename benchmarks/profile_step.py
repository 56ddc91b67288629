"""Where the time of one training step goes, beside what the machine can do: docs/profile.md.

    python -m benchmarks.profile_step [--quick] [--output docs]

The pieces of a step are timed one by one on one thread, over the shards that a batch is cut into,
and each is set beside a limit that is measured in the same run: NumPy's matrix product for pieces
that calculate, copying memory for those that move numbers. A whole step, on one and on several
threads, stands beside their sum.

A way of running the network is a function that returns `Piece`s; `WAYS` lists them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.networks import MODELS, WORKLOADS, Model, flops_of, layers_of
from benchmarks.worker import ROOT

BATCH = 128
SHARD = 64  # images that go through the network at once, as in training
WITHIN = "· "  # begins the name of a piece that is part of the one above it
PROFILED = (  # of 28x28 grey images, without a batch normalization, for which shards wait
    "tutorial",
    "deeper",
    "784-512-512-10",
    "strided 3x3",
    "5x5, 32 and 64 filters",
    "LeNet-5, ReLU, max",
)


@dataclass
class Piece:
    """One piece of a step: its times, and what it has to do at least.

    `flop` counts the multiplications and additions of its matrix products, `mb` the megabytes that
    it has to read and write at least: inputs, outputs and parameters, each once.
    """

    name: str
    flop: float = 0.0
    mb: float = 0.0
    seconds: list[float] = field(default_factory=list)

    @property
    def milliseconds(self) -> float:
        return 1e3 * statistics.median(self.seconds)


class Stopwatch:
    """Adds up the seconds of each piece over the shards of a step."""

    def __init__(self) -> None:
        self.pieces: dict[str, Piece] = {}
        self._sums: dict[str, float] = {}

    def time(self, name: str, call: Callable[[], Any], flop: float = 0.0, arrays: Any = ()) -> Any:
        """Call, note the time under `name`, and return what came; `arrays` are read or written."""
        piece = self.pieces.setdefault(name, Piece(name))
        start = time.perf_counter()
        result = call()
        self._sums[name] = self._sums.get(name, 0.0) + time.perf_counter() - start
        if not piece.seconds:  # counted in the first step, over all of its shards
            touched = [*arrays, result] if isinstance(result, np.ndarray) else arrays
            piece.flop += flop
            piece.mb += sum(array.nbytes for array in touched) / 1e6
        return result

    def step(self) -> None:
        """A step has ended."""
        for name, value in self._sums.items():
            self.pieces[name].seconds.append(value)
        self._sums.clear()


def layer_pieces(model: Model, x: np.ndarray, y: np.ndarray, repeats: int) -> list[Piece]:
    """The pieces of a step that walks the layers: each layer's forward and backward."""
    from benchmarks.frameworks.minicnn_ import build
    from minicnn.losses import SparseCategoricalCrossentropy

    network = build(model, softmax=False)
    network.compile(optimizer="adam", loss=SparseCategoricalCrossentropy(from_logits=True))
    loss = SparseCategoricalCrossentropy(from_logits=True)
    flops, titles = flops_of(model), _titles(model)
    rng = np.random.default_rng(0)
    watch = Stopwatch()
    for _ in range(repeats + 1):
        rows = rng.permutation(len(x))[:BATCH]
        images = watch.time("gather the batch", lambda rows=rows: x[rows], arrays=[x[:BATCH]])
        total = np.zeros_like(network.flat_grads)
        for start in range(0, BATCH, SHARD):
            part = slice(start, start + SHARD)
            values, labels = images[part], y[rows[part]]
            for layer, title, flop in zip(network.layers, titles, flops):
                values = watch.time(
                    f"{title}: forward",
                    lambda layer=layer, values=values: layer.forward(values, True),
                    flop * len(values),
                    [values, *layer.params.values()],
                )
            dy = watch.time(
                "softmax and loss", lambda v=values, t=labels: _loss(loss, t, v), arrays=[values]
            )
            for place in reversed(range(len(network.layers))):
                layer = network.layers[place]
                # dx and dW are products of the forward's size each
                dy = watch.time(
                    f"{titles[place]}: backward",
                    lambda layer=layer, dy=dy: layer.backward(dy),
                    2 * flops[place] * SHARD,
                    [dy, *layer.params.values(), *layer.grads.values()],
                )
            watch.time(
                "add the shards' gradients",
                lambda total=total: np.add(total, network.flat_grads, out=total),
                arrays=[total, network.flat_grads],
            )
        vector = network.flat_params
        watch.time(
            "optimizer",
            lambda total=total: network.optimizer.update(
                network.flat_params, total, [slice(0, network.flat_params.size)]
            ),
            arrays=[vector] * 7,  # reads w, g, m, v and writes w, m, v
        )
        watch.step()
    for piece in watch.pieces.values():
        del piece.seconds[0]  # the first step compiles kernels
    return list(watch.pieces.values())


def _loss(loss: Any, y: np.ndarray, values: np.ndarray) -> np.ndarray:
    loss.forward(y, values)
    return loss.backward(y, values) / values.dtype.type(BATCH)


def _titles(model: Model) -> list[str]:
    """
    >>> _titles(MODELS["tutorial"])[:2]
    ['1 conv 32', '2 pool']
    """
    steps = [step[:1] if step[0] == "pool" else step[:2] for step in layers_of(model)]
    return [f"{place} {' '.join(map(str, step))}" for place, step in enumerate(steps, 1)]


def engine_pieces(model: Model, x: np.ndarray, y: np.ndarray, repeats: int) -> list[Piece]:
    """The pieces of a step that runs the plan: what `fit` does, on one lane and one thread."""
    from benchmarks.frameworks.minicnn_ import build
    from minicnn.engine.lanes import Lane
    from minicnn.inputs import Data

    network = build(model)
    runner = network.runner(training=True)
    plan = runner.network.plan
    lane = Lane(plan, np.zeros_like(network.flat_params))
    titles = ["+".join(_titles(model)[k] for k in entry.layers) for entry in plan.entries]
    flops = [sum(flops_of(model)[k] for k in entry.layers) for entry in plan.entries]
    params = [
        [array for k in entry.layers for array in plan.layers[k].params.values()]
        for entry in plan.entries
    ]
    watch = Stopwatch()
    for stage, title in zip(lane.stages, titles):
        _watch_transforms(watch, stage, title)
    rng, data = np.random.default_rng(0), Data(x, y)
    for number in range(repeats + 1):
        batch = next(iter(data.batches(BATCH, rng.permutation(len(x)))))
        for shard in runner.network.shards(BATCH):
            lane.seek(number, shard.start)
            values = watch.time(
                "gather the batch",
                lambda batch=batch, shard=shard: batch.inputs(shard, network.input_shape[1:], lane),
                arrays=[x[shard]],
            )
            size = len(values)
            for stage, title, flop, arrays in zip(lane.stages, titles, flops, params):
                values = watch.time(
                    f"{title}: forward",
                    lambda stage=stage, values=values: stage.forward(values, True),
                    flop * size,
                    [values, *arrays],
                )
            dy = watch.time(
                "softmax and loss",
                lambda b=batch, s=shard, v=values: runner.loss_backward(b, s, v)[1],
                arrays=[values],
            )
            for place in reversed(range(len(lane.stages))):
                products = 1 if place == 0 else 2  # the first needs no dx
                dy = watch.time(
                    f"{titles[place]}: backward",
                    lambda stage=lane.stages[place], dy=dy: stage.backward(dy),
                    products * flops[place] * size,
                    [dy, *params[place], *params[place]],
                )
        runner.train(batch, number)  # not timed: fills the lanes that the next piece adds up
        runner.snapshot.begin(network)
        watch.time(
            "add up, optimizer",
            lambda: runner.update(network),
            arrays=[network.flat_params] * 14,  # lanes 2, g 2, Adam 4 in, 3 out and 3 copies
        )
        watch.step()
    for piece in watch.pieces.values():
        del piece.seconds[0]  # the first step compiles kernels
    return list(watch.pieces.values())


def _watch_transforms(watch: Stopwatch, step: Any, title: str) -> None:
    """Time the transforms of a convolution by Winograd's method as pieces within it."""
    from minicnn.engine import winograd
    from minicnn.engine.convolutions import WinogradConvolution

    if not isinstance(step, WinogradConvolution):
        return

    def timed(name: str) -> Callable[..., Any]:
        kernel = getattr(winograd, name)
        return lambda *args: watch.time(
            f"{WITHIN}{title}: transform, {name}", lambda: kernel(*args)
        )

    names = ("measure", "tiles", "gradients", "patches", "scatter")
    step.kernels = SimpleNamespace(**vars(winograd) | {name: timed(name) for name in names})


WAYS: dict[str, Callable[..., list[Piece]]] = {
    "the engine: what `fit` runs": engine_pieces,
    "the layers, one by one: what `jit_compile=False` runs": layer_pieces,
}


def whole_steps(
    model: Model, x: np.ndarray, y: np.ndarray, repeats: int, threads: int
) -> dict[str, float]:
    """Milliseconds of `train_on_batch`, which checks its arguments too, by number of threads."""
    import minicnn
    from benchmarks.frameworks.minicnn_ import build

    network = build(model)
    x, y = x[:BATCH], y[:BATCH]
    result = {}
    before = minicnn.get_num_threads()
    for n in sorted({1, threads}):
        minicnn.set_num_threads(n)
        times = []
        for _ in range(repeats + 2):
            start = time.perf_counter()
            network.train_on_batch(x, y)
            times.append(time.perf_counter() - start)
        result[str(n)] = 1e3 * statistics.median(times[2:])
    minicnn.set_num_threads(before)
    return result


def table(pieces: list[Piece], limits: dict[str, float]) -> str:
    """A line for each piece: its time, its share, what it reaches, and how near to the limit."""
    total = sum(piece.milliseconds for piece in pieces if not piece.name.startswith(WITHIN))
    head = ["piece", "ms", "share", "GFLOP/s", "of the product's", "GB/s", "of copying's"]
    lines = [head, ["---"] + ["--:"] * (len(head) - 1)]
    for piece in pieces:
        seconds = max(piece.milliseconds / 1e3, 1e-9)
        products = ["", ""]
        if piece.flop:
            rate = piece.flop / seconds / 1e9
            products = [f"{rate:.1f}", f"{rate / limits['gflops']:.0%}"]
        moved = piece.mb / 1e3 / seconds
        lines.append(
            [
                piece.name,
                f"{piece.milliseconds:.2f}",
                f"{piece.milliseconds / total:.0%}",
                *products,
                *([f"{moved:.1f}", f"{moved / limits['gbytes']:.0%}"] if piece.mb else ["", ""]),
            ]
        )
    lines.append(["**sum**", f"**{total:.2f}**", "", "", "", "", ""])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


INTRODUCTION = """\
Written by `python -m benchmarks.profile_step`. One step of training on {batch} images, taken apart.
Every piece is timed alone, on one thread, over the shards of {shard} images that go through the
network at once; medians of {repeats} steps.

How to read it: GFLOP/s counts the multiplications and additions of the piece's matrix products, and
the column after it sets them beside NumPy's matrix product on one thread. GB/s counts what the
piece has to read and write at least once (a layer also makes arrays of its own, which are not
counted), beside copying memory on one thread; more than 100 % means that it came from the cache. A
piece near one of its two limits cannot become much faster without doing less. Convolutions by
Winograd's method do less: a quarter of the multiplications that are counted here, so they may pass
100 %; lines that begin with "{within}" are part of the piece before them, and what is left of it
are matrix products."""


def page(results: dict[str, Any], repeats: int) -> str:
    """The page, from what `main` has measured."""
    limits = results["limits"]
    parts = [
        "# Where the time of one step goes",
        INTRODUCTION.format(batch=BATCH, shard=SHARD, repeats=repeats, within=WITHIN.strip()),
        f"{results['machine']['processor']}, {results['date']}, commit {results['commit']}, load "
        f"before the run {results['machine']['load before']}.",
        "## What the machine can do",
        "\n".join(
            [
                "| threads | matrix product, GFLOP/s | copying memory, GB/s read and written |",
                "| --: | --: | --: |",
                *(f"| {n} | {v['gflops']:.0f} | {v['gbytes']:.1f} |" for n, v in limits.items()),
            ]
        ),
    ]
    for name, model in results["models"].items():
        parts.append(f"## {name}")
        flop = sum(flops_of(WORKLOADS[name])) * 3 * BATCH
        best = {n: flop / v["gflops"] / 1e6 for n, v in limits.items()}
        parts.append(
            "\n".join(
                [
                    f"A step needs {flop / 1e9:.2f} GFLOP, counted without any trick.",
                    "",
                    "| threads | whole step, ms | as many GFLOP at the limit, ms |",
                    "| --: | --: | --: |",
                    *(f"| {n} | {ms:.2f} | {best[n]:.2f} |" for n, ms in model["whole"].items()),
                ]
            )
        )
        for way, pieces in model["ways"].items():
            parts += [f"### {way[0].upper()}{way[1:]}", table(pieces, limits["1"])]
    return "\n\n".join(parts) + "\n"


def measure(models: list[str], repeats: int, threads: int, megabytes: int = 256) -> dict[str, Any]:
    """Limits, whole steps and pieces, for `page`."""
    from threadpoolctl import threadpool_limits

    import minicnn

    rng = np.random.default_rng(0)
    x = rng.random((8 * BATCH, 28, 28, 1), np.float32)
    y = rng.integers(0, 10, len(x)).astype(np.uint8)
    results: dict[str, Any] = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M"),
        "commit": machine.commit(),
        "machine": machine.describe(threads),
        "limits": machine.limits(threads, megabytes),
        "models": {},
    }
    for name in models:
        model = WORKLOADS[name]
        whole = whole_steps(model, x, y, repeats, threads)
        before = minicnn.get_num_threads()
        minicnn.set_num_threads(1)
        with threadpool_limits(1, user_api="blas"):
            ways = {
                way: pieces(model, x, y, repeats)
                for way, pieces in WAYS.items()
                if name in MODELS or pieces is engine_pieces
            }
        minicnn.set_num_threads(before)
        results["models"][name] = {"whole": whole, "ways": ways}
    return results


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile_step", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions; written to outputs/")
    parser.add_argument("--models", nargs="+", choices=PROFILED, default=PROFILED)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--output", type=Path, help="folder of the page; docs if not given")
    args = parser.parse_args(arguments)
    folder = args.output or ROOT / ("outputs/benchmarks" if args.quick else "docs")
    repeats = 3 if args.quick else 40
    results = measure(args.models, repeats, args.threads, 32 if args.quick else 256)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "profile.md"
    path.write_text(page(results, repeats))
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
