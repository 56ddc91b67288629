"""The deeper model with batch normalization beside PyTorch, round by round.

    python -m benchmarks.normalization --rounds 7

Two networks: normalization behind each convolution's ReLU, and before it. Both libraries train the
same weights on the same batches; their first losses have to agree before anything is timed. Prints
how many times as fast minicnn is, and the same for the network without normalization.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minicnn
from benchmarks import data
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    ReLU,
)

BATCH = 128
PLACES = ("none", "behind ReLU", "before ReLU")


def minicnn_model(place: str, rate: float) -> minicnn.Sequential:
    layers: list[Any] = [Input((28, 28, 1))]
    for filters in (32, 64):
        for _ in range(2):
            before = place == "before ReLU"
            layers.append(Conv2D(filters, 3, padding="same", activation=None if before else "relu"))
            layers += [] if place == "none" else [BatchNormalization(epsilon=1e-3)]
            layers += [ReLU()] if before else []
        layers += [MaxPooling2D(2), Dropout(rate)]
    layers += [Flatten(), Dense(128, "relu"), Dropout(2 * rate), Dense(10)]
    model = minicnn.Sequential(layers)
    model.compile("adam", minicnn.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def torch_model(place: str, rate: float, model: minicnn.Sequential) -> Any:
    """The same network with the same weights, channels last, PyTorch's fastest layout here."""
    import torch
    from torch import nn

    parts: list[Any] = []
    channels = 1
    for filters in (32, 64):
        for _ in range(2):
            parts.append(nn.Conv2d(channels, filters, 3, padding=1))
            relu, norm = nn.ReLU(), nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)
            parts += {
                "none": [relu],
                "behind ReLU": [relu, norm],
                "before ReLU": [norm, relu],
            }[place]
            channels = filters
        parts += [nn.MaxPool2d(2), nn.Dropout(rate)]
    parts += [nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Dropout(2 * rate)]
    network = nn.Sequential(*parts, nn.Linear(128, 10)).to(memory_format=torch.channels_last)
    learning = [m for m in network if isinstance(m, (nn.Conv2d, nn.Linear, nn.BatchNorm2d))]
    ours = [layer for layer in model.layers if layer.params]
    with torch.no_grad():
        for theirs, layer in zip(learning, ours):
            if isinstance(theirs, nn.BatchNorm2d):
                continue  # both begin with ones and zeros
            W = layer.params["W"]
            if W.ndim == 4:
                W = W.transpose(3, 2, 0, 1)
            elif len(W) == 3136:
                W = W.reshape(7, 7, 64, -1).transpose(3, 2, 0, 1).reshape(W.shape[1], -1)
            else:
                W = W.T
            theirs.weight.copy_(torch.from_numpy(np.ascontiguousarray(W)))
            theirs.bias.copy_(torch.from_numpy(layer.params["b"].copy()))
    return network


class Torch:
    def __init__(self, place: str, rate: float, model: minicnn.Sequential) -> None:
        import torch

        self.torch = torch
        self.network = torch_model(place, rate, model)
        self.optimizer = torch.optim.Adam(self.network.parameters(), eps=1e-7)
        self.loss = torch.nn.CrossEntropyLoss()

    def images(self, x: Any) -> Any:
        tensor = self.torch.from_numpy(x.transpose(0, 3, 1, 2))
        return tensor.to(memory_format=self.torch.channels_last)

    def train(self, x: Any, y: Any) -> float:
        self.network.train()
        self.optimizer.zero_grad()
        loss = self.loss(self.network(self.images(x)), self.torch.from_numpy(y))
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def predict(self, x: Any) -> Any:
        self.network.eval()
        with self.torch.inference_mode():
            return self.network(self.images(x)).numpy()


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def race(place: str, x: Any, y: Any, rounds: int, steps: int) -> list[float]:
    """PyTorch's seconds over ours, to train and to predict: medians over the rounds."""
    batches = [slice(BATCH * (k % 16), BATCH * (k % 16 + 1)) for k in range(steps)]
    minicnn.utils.set_random_seed(1)
    model = minicnn_model(place, 0.0)
    peer = Torch(place, 0.0, model)
    for batch, rtol in zip(batches, (1e-5, 1e-2, 1e-2)):  # Adam's first steps are all one size,
        ours, theirs = model.train_on_batch(x[batch], y[batch]), peer.train(x[batch], y[batch])
        np.testing.assert_allclose(ours, theirs, rtol=rtol)  # so rounding of tiny gradients shows
    model = minicnn_model(place, 0.25)
    peer = Torch(place, 0.25, model)

    def train(step: Callable[[Any, Any], Any]) -> None:
        for batch in batches:
            step(x[batch], y[batch])

    pairs: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
        (lambda: train(model.train_on_batch), lambda: train(peer.train)),
        (
            lambda: model.predict(x, batch_size=2048, verbose=0),
            lambda: [peer.predict(x[k : k + 256]) for k in range(0, 2048, 256)],
        ),
    ]
    medians = []
    for pair in pairs:
        ratios = []
        for turn in range(rounds + 1):
            taken = {k: seconds(pair[k]) for k in ((1, 0) if turn % 2 else (0, 1))}
            ratios.append(taken[1] / taken[0])
        medians.append(statistics.median(ratios[1:]))  # the first one warms up
    return medians


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.normalization", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=16, help="steps of training in a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", help="folder with Fashion-MNIST, or 'synthetic'")
    args = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(args.threads)
    minicnn.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        data.prepare(Path(folder), args.data, 4096)
        held = data.Data(Path(folder))
        x, y = held.x_train[:2048], held.y_train[:2048].astype(np.int64)
    print(f"{'network':<14}{'train':>8}{'predict':>9}   times as fast as PyTorch (medians)")
    for place in PLACES:
        trained, predicted = race(place, x, y, args.rounds, args.steps)
        print(f"{place:<14}{trained:>8.2f}{predicted:>9.2f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
