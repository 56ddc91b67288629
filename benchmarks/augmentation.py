"""Images a second of the augmentation layers, beside PyTorch, torchvision and Keras.

    python -m benchmarks.augmentation --rounds 7

28x28 images in batches of 1,024, on all cores. Ours runs in shards over the engine's threads, as
in `fit`; PyTorch by `flip` or by `affine_grid` and `grid_sample` on the whole batch; torchvision
by its transforms, image by image, as a data set applies them (on a batch they draw one number for
all its images); Keras by its layers in a compiled function. What is not installed is left out.
Before anything is timed all but torchvision, which takes whole pixels and degrees, have to agree at
fixed extremes. Prints the medians of the rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import minicnn
from minicnn.engine.shards import ShardedNetwork

BATCH, SIZE = 1024, 28
GOALS = {"flip": 60_000, "translation": 60_000, "rotation": 25_000, "zoom": 25_000}


def layers_of(library: Any, fixed: bool) -> dict[str, Any]:
    """The layers by kind; `fixed` at extremes that leave nothing to chance, but for the coin."""
    part = 0.25

    def factor(f: float) -> Any:
        return (f, f) if fixed else f

    return {
        "flip": library.RandomFlip("horizontal"),
        "translation": library.RandomTranslation(
            factor(part), factor(part / 2), fill_mode="constant"
        ),
        "rotation": library.RandomRotation(factor(part / 2), fill_mode="constant"),
        "zoom": library.RandomZoom(factor(part), fill_mode="constant"),
    }


class Ours:
    """A layer as `fit` runs it: shards of the batch on the engine's threads."""

    def __init__(self, layer: Any) -> None:
        model = minicnn.Sequential([minicnn.Input((SIZE, SIZE, 1)), layer])
        self.network = ShardedNetwork(model.plan(), np.float32, training=False)
        self.step = 0

    def __call__(self, x: Any) -> Any:
        y = np.empty_like(x)
        self.step += 1

        def work(lane: Any, shard: slice) -> None:
            lane.seek(self.step, shard.start)
            y[shard] = lane.forward(x[shard], True)

        self.network.run(len(x), work)
        return y


def by_torch(kind: str, fixed: bool) -> Callable[[Any], Any]:
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    torch.set_num_threads(os.cpu_count() or 1)

    def numbers(n: int, f: float) -> Any:
        return torch.full((n,), f) if fixed else (2 * torch.rand(n) - 1) * f

    def moved(x: Any) -> Any:
        images = torch.from_numpy(x).permute(0, 3, 1, 2)
        n = len(images)
        if kind == "flip":
            coins = torch.rand(n) < 0.5
            return torch.where(coins[:, None, None, None], images.flip(3), images)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0] = theta[:, 1, 1] = 1
        if kind == "translation":
            theta[:, 1, 2], theta[:, 0, 2] = -2 * numbers(n, 0.25), -2 * numbers(n, 0.125)
        elif kind == "zoom":
            zoom = 1 + numbers(n, 0.25)
            theta[:, 0, 0] = theta[:, 1, 1] = zoom
        else:
            angle = 2 * np.pi * numbers(n, 0.125)
            theta[:, 0, 0] = theta[:, 1, 1] = torch.cos(angle)
            theta[:, 1, 0] = torch.sin(angle)
            theta[:, 0, 1] = -theta[:, 1, 0]
        grid = affine_grid(theta, list(images.shape), align_corners=False)
        return grid_sample(images, grid, align_corners=False)

    def run(x: Any) -> Any:
        with torch.inference_mode():
            return moved(x).permute(0, 2, 3, 1).numpy()

    return run


def by_torchvision(kind: str) -> Callable[[Any], Any]:
    import torch
    from torchvision.transforms import InterpolationMode, v2

    linear = InterpolationMode.BILINEAR
    transform = {
        "flip": v2.RandomHorizontalFlip(),
        "translation": v2.RandomAffine(0, translate=(0.125, 0.25), interpolation=linear),
        "rotation": v2.RandomRotation(45, interpolation=linear),
        "zoom": v2.RandomAffine(0, scale=(0.8, 1.33), interpolation=linear),
    }[kind]

    def run(x: Any) -> Any:
        images = torch.from_numpy(x).permute(0, 3, 1, 2)
        return torch.stack([transform(image) for image in images]).permute(0, 2, 3, 1).numpy()

    return run


def by_keras(layer: Any) -> Callable[[Any], Any]:
    import tensorflow as tf

    compiled = tf.function(lambda x: layer(x, training=True))
    return lambda x: compiled(tf.constant(x)).numpy()


def competitors(kind: str, fixed: bool) -> dict[str, Callable[[Any], Any]]:
    found: dict[str, Callable[[Any], Any]] = {
        "minicnn": Ours(layers_of(minicnn.layers, fixed)[kind])
    }
    if importlib.util.find_spec("torch"):
        found["torch"] = by_torch(kind, fixed)
    if importlib.util.find_spec("torchvision") and not fixed:
        found["torchvision"] = by_torchvision(kind)
    if importlib.util.find_spec("keras") and importlib.util.find_spec("tensorflow"):
        import keras

        found["keras"] = by_keras(layers_of(keras.layers, fixed)[kind])
    return found


def check(kind: str, x: Any) -> None:
    """Raise AssertionError unless all libraries make the same of the images."""
    results = {name: run(x) for name, run in competitors(kind, fixed=True).items()}
    for name, y in results.items():
        if kind == "flip":  # whose coins fall differently: each image is one of two
            same = (y == x).all(axis=(1, 2, 3)) | (y == x[:, :, ::-1]).all(axis=(1, 2, 3))
            if not same.all():
                raise AssertionError(f"{name} has done something else than to flip")
        else:
            np.testing.assert_allclose(
                y, results["minicnn"], atol=1e-4, err_msg=f"{kind} by {name}"
            )


def rate(run: Callable[[Any], Any], x: Any, seconds: float) -> float:
    """Images a second."""
    count, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        run(x)
        count += len(x)
    return count / passed


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    options = parser.parse_args()
    x = np.random.default_rng(0).random((BATCH, SIZE, SIZE, 1), dtype=np.float32)
    for kind, goal in GOALS.items():
        check(kind, x)
        runs = competitors(kind, fixed=False)
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for run in runs.values():
            run(x)  # compiles
        for _ in range(options.rounds):  # in turn, so that all see the same machine
            for name, run in runs.items():
                rates[name].append(rate(run, x, options.seconds))
        medians = {name: statistics.median(each) for name, each in rates.items()}
        shown = ", ".join(f"{name} {median:,.0f}" for name, median in medians.items())
        print(f"{kind:<12} {shown} images/s; goal {goal:,}", flush=True)


if __name__ == "__main__":
    main()
