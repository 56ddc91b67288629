"""The numbers: one walk through a copy of the model in inference mode, and a few steps with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.blas import single_threaded_blas
from minicnn.inputs import Batch, Data
from minicnn.layers import BatchNormalization, GroupNormalization, Layer, LayerNormalization
from minicnn.layers.activations import ReLU, Sigmoid, Tanh
from minicnn.models import Sequential

Array = NDArray[Any]

SAMPLES = 512  # for the walk: a unit that is silent on all of them is as good as dead
CHUNK = 128  # of them at a time, so that wide layers' outputs fit into memory
BATCH = 128  # samples of the steps
STEPS = 10  # on one batch: enough for Adam's means to act, few enough to be quick

# Where the slope is less than a hundredth of its largest: 1 - 0.995^2 and 0.0025 / 0.25.
SATURATED_TANH = 0.995
SATURATED_SIGMOID = 0.0025

NORMALIZING = (BatchNormalization, GroupNormalization, LayerNormalization)


@dataclass
class Units:
    """The units of one layer's activation: channels of a convolution, or units of a dense layer."""

    layer: str
    kind: str  # "relu", "tanh" or "sigmoid"
    largest: Array  # of each unit, shape (units,)
    saturated: float = 0.0  # sum over the chunks of the share of outputs where the slope is gone
    chunks: int = 0

    @property
    def dead(self) -> int:
        return int((self.largest <= 0).sum()) if self.kind == "relu" else 0

    @property
    def share_saturated(self) -> float:
        return self.saturated / self.chunks


@dataclass
class Walk:
    """What the layers make of the samples."""

    units: list[Units]
    outputs: Array  # (N, ...)
    first: Array | None  # what the first chunk brings to the first layer with weights
    normalized: bool  # whether that layer normalizes


@dataclass
class Kernel:
    """What a step does to one layer's kernel."""

    layer: str
    weight: float  # norm
    gradient: float  # norm
    rms: float  # root of the mean square of the gradient
    ratio: float  # norm of the update by that of the weights; 0 where these are 0


@dataclass
class Steps:
    """`STEPS` steps on one batch, by a copy."""

    losses: list[float] = field(default_factory=list)  # before each step, without penalties
    kernels: list[Kernel] = field(default_factory=list)  # of the first step
    norm: float = 0.0  # of the whole gradient, at the first step
    failed: str = ""  # what became NaN or infinite


def activation_of(layer: Any) -> Any:
    """The layer that is the layer's activation, or itself."""
    inner = getattr(layer, "activation", None)
    return inner if isinstance(inner, Layer) else layer


def walk(model: Sequential, data: Data, rows: Array) -> Walk:
    """Take these samples through the layers in inference mode."""
    found: dict[int, Units] = {}
    outputs, first, normalized, seen = [], None, False, False
    ending = model.leaves[-1]
    for start in range(0, len(rows), CHUNK):
        x = Batch(data, rows[start : start + CHUNK]).all_inputs(model.input_shape[1:])
        for place, layer in enumerate(model.leaves):
            if not seen and layer.params:
                first, normalized, seen = (
                    np.array(x, np.float64),
                    isinstance(layer, NORMALIZING),
                    True,
                )
            x = layer.forward(x, False)
            if layer is not ending:
                _note(found, place, layer, x)
        outputs.append(x)
        seen = True
    return Walk([found[key] for key in sorted(found)], np.concatenate(outputs), first, normalized)


def _note(found: dict[int, Units], place: int, layer: Layer, y: Array) -> None:
    activation = activation_of(layer)
    flat = y.reshape(-1, y.shape[-1])
    if isinstance(activation, ReLU) and not activation.negative_slope and not activation.threshold:
        kind, gone = "relu", 0.0
    elif isinstance(activation, Tanh):
        kind, gone = "tanh", float(np.mean(np.abs(flat) > SATURATED_TANH))
    elif isinstance(activation, Sigmoid):
        far = np.minimum(flat, 1 - flat) < SATURATED_SIGMOID
        kind, gone = "sigmoid", float(np.mean(far))
    else:
        return
    largest = flat.max(axis=0)
    if place not in found:
        found[place] = Units(layer.name, kind, largest)
    units = found[place]
    units.largest = np.maximum(units.largest, largest)
    units.saturated += gone
    units.chunks += 1


def kernels_of(model: Sequential) -> list[tuple[Layer, str]]:
    """The layers that learn, each with its array of weights that has at least two axes."""
    return [
        (layer, key)
        for layer in model.leaves
        if layer.trainable
        for key, array in layer.params.items()
        if array.ndim > 1
    ]


def take_steps(model: Sequential, data: Data, rows: Array) -> Steps:
    """Train `model`, which is a copy, for some steps on one batch."""
    found = Steps()
    # gradients that are gathered over several steps would leave the weights where they are
    model.optimizer.gradient_accumulation_steps = None
    runner = model.runner(training=True)
    batch = Batch(data, rows[:BATCH])
    kernels = kernels_of(model)
    before = [layer.params[key].astype(np.float64) for layer, key in kernels]
    with single_threaded_blas():
        for step in range(STEPS):
            try:
                penalty = runner.penalty()
                measured = runner.step(model, batch)
            except FloatingPointError as error:
                found.failed = str(error)
                break
            found.losses.append(float(measured.sums[0]) / measured.samples - penalty)
            if step:
                continue
            found.norm = float(np.linalg.norm(model.flat_grads.astype(np.float64)))
            for (layer, key), old in zip(kernels, before):
                g = layer.grads[key].astype(np.float64)
                size, moved = (
                    float(np.linalg.norm(old)),
                    float(np.linalg.norm(layer.params[key] - old)),
                )
                norm = float(np.linalg.norm(g))
                ratio = moved / size if size else 0.0
                found.kernels.append(Kernel(layer.name, size, norm, norm / g.size**0.5, ratio))
    return found


def equal_units(model: Sequential) -> list[str]:
    """Hidden layers all of whose units have the same weights."""
    hidden = kernels_of(model)[:-1]
    return [
        layer.name
        for layer, key in hidden
        if layer.params[key].shape[-1] > 1
        and (layer.params[key] == layer.params[key][..., :1]).all()
    ]
