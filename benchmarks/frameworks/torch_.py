"""PyTorch: a loop written by hand over tensors in memory; plain, channels last, or compiled."""

from __future__ import annotations

import shutil

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.frameworks.base import BATCHES, EPSILON, LEARNING_RATE, Framework
from benchmarks.networks import channels_first, layers_of, reconstructs, shapes_of


class FlattenLast(nn.Module):
    """Flatten in the order (h, w, c): no copy where the channels lie last in memory."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class Crop(nn.Module):
    """The first 2 H x 2 W of a transposed convolution's 2 H + 1 x 2 W + 1: Keras's "same"."""

    def forward(self, x):
        return x[:, :, :-1, :-1]


def activation(name: str | None) -> list[nn.Module]:
    kinds = {"relu": lambda: nn.ReLU(inplace=True), "tanh": nn.Tanh}
    return [kinds[name]()] if name else []


def build(model, flatten_last=False) -> nn.Sequential:
    """The layers up to the logits."""
    modules: list[nn.Module] = []
    steps = layers_of(model)
    for place, (step, before) in enumerate(zip(steps, shapes_of(model))):
        kind, last = step[0], place == len(steps) - 1
        if kind in ("conv", "depthwise"):
            padding, more = step[-2:]
            K, own = more["kernel"], kind == "depthwise"
            modules.append(
                nn.Conv2d(
                    before[-1],
                    before[-1] if own else step[1],
                    K,
                    stride=more["strides"],
                    padding=K // 2 if padding == "same" else 0,
                    groups=before[-1] if own else 1,
                )
            )
            modules += activation(more["activation"])
        elif kind == "transposed":
            more = step[-1]
            kernel, strides = more["kernel"], more["strides"]
            modules += [nn.ConvTranspose2d(before[-1], step[1], kernel, stride=strides), Crop()]
            modules += activation(more["activation"])
        elif kind == "pool":
            modules.append(nn.MaxPool2d(2) if step[1] == "max" else nn.AvgPool2d(2))
        elif kind == "norm":  # with Keras's epsilon and momentum
            modules.append(nn.BatchNorm2d(before[-1], eps=1e-3, momentum=0.01))
        elif kind == "relu":
            modules += activation("relu")
        elif kind == "global":
            modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        elif kind == "dropout":
            modules.append(nn.Dropout(step[1]))
        elif kind == "flatten":
            modules.append(FlattenLast() if flatten_last else nn.Flatten())
        else:
            modules.append(nn.Linear(before[0], step[1]))
            modules += [] if last else activation(step[2])
    return nn.Sequential(*modules)


class Torch(Framework):
    def __init__(self, threads: int, layout: str) -> None:
        super().__init__(threads)
        if layout == "compiled" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
            raise ImportError("torch.compile needs a C++ compiler, and there is none")
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self.layout = layout

    def versions(self):
        return {"torch": torch.__version__}

    def load(self, model, weights):
        super().load(model, weights)
        last = self.layout == "channels_last"
        self.network = build(model, flatten_last=last)
        if last:
            self.network = self.network.to(memory_format=torch.channels_last)
        arrays = channels_first(weights, model, flatten_last=last)
        self.initial = [torch.from_numpy(array) for array in arrays]
        self._reset()
        self.forward = torch.compile(self.network) if self.layout == "compiled" else self.network

    def _reset(self):
        held = self.network.state_dict()  # with the moving statistics of normalizations
        arrays = [array for name, array in held.items() if not name.endswith("batches_tracked")]
        with torch.no_grad():
            for array, values in zip(arrays, self.initial, strict=True):
                array.copy_(values)

    def axes(self, work):
        if work == "train":
            return {"adam": ["fused", "foreach"]}
        if self.layout == "compiled":
            return {"batch": [256]}  # each one would be compiled anew
        return {"batch": BATCHES, "frozen": [False, True]}

    def _images(self, x):
        tensor = torch.from_numpy(np.ascontiguousarray(x)).permute(0, 3, 1, 2)
        if self.layout == "channels_last":
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor.contiguous()

    def _targets(self, y):
        return self._images(y) if reconstructs(self.model) else torch.from_numpy(y.astype("i8"))

    def _loss(self, y_pred, y, **how):
        function = functional.mse_loss if reconstructs(self.model) else functional.cross_entropy
        return function(y_pred, y, **how)

    def _adam(self, setting):
        kind = {setting.get("adam", "foreach"): True}
        return torch.optim.Adam(self.network.parameters(), LEARNING_RATE, eps=EPSILON, **kind)

    def first_losses(self, x, y, batch, steps, setting):
        self._reset()
        self.network.train()
        for module in self.network:
            if isinstance(module, nn.Dropout):
                module.eval()
        images, labels = self._images(x), self._targets(y)
        adam, losses = self._adam(setting), []
        for step in range(steps):
            # Keras, and so minicnn, adds epsilon before the bias correction, PyTorch after it
            adam.param_groups[0]["eps"] = EPSILON / (1 - 0.999 ** (step + 1)) ** 0.5
            part = slice(step * batch, (step + 1) * batch)
            adam.zero_grad()
            loss = self._loss(self.forward(images[part]), labels[part])
            loss.backward()
            adam.step()
            losses.append(loss.item())
        self._reset()
        return losses

    def training(self, x, y, batch, epochs, setting):
        self._reset()
        images, labels = self._images(x), self._targets(y)
        adam = self._adam(setting)

        def call():
            self.network.train()
            for _ in range(epochs):
                self._train_epoch(images, labels, batch, adam)

        return call

    def _train_epoch(self, images, labels, batch, adam):
        total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for rows in torch.randperm(len(images)).split(batch):
            x, y = images.index_select(0, rows), labels.index_select(0, rows)
            adam.zero_grad(set_to_none=True)
            logits = self.forward(x)
            loss = self._loss(logits, y)
            loss.backward()
            adam.step()
            total += loss.detach() * len(rows)
            if not reconstructs(self.model):
                right += (logits.detach().argmax(1) == y).sum()
        return total / len(images), right / len(images)

    def epoch(self, train, validation, batch, setting):
        fit = self.training(*train, batch, 1, setting)
        images, labels = self._images(validation[0]), self._targets(validation[1])

        def call():
            fit()
            self.network.eval()
            total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
            with torch.inference_mode():
                for x, y in zip(images.split(batch), labels.split(batch)):
                    logits = self.forward(x)
                    total += self._loss(logits, y, reduction="sum")
                    if not reconstructs(self.model):
                        right += (logits.argmax(1) == y).sum()

        return call

    def predicting(self, x, setting):
        self._reset()
        self.network.eval()
        forward, images = self.forward, self._images(x)
        if setting.get("frozen"):
            script = torch.jit.trace(self.network, images[: setting["batch"]])
            forward = torch.jit.optimize_for_inference(torch.jit.freeze(script))

        def call():
            outputs = np.empty((len(images), *shapes_of(self.model)[-1]), np.float32)
            start = 0
            with torch.inference_mode():
                for part in images.split(setting["batch"]):
                    y = forward(part)
                    if reconstructs(self.model):
                        y = y.permute(0, 2, 3, 1)
                    else:
                        y = functional.softmax(y, 1)
                    outputs[start : start + len(part)] = y.numpy()
                    start += len(part)
            return outputs

        return call
