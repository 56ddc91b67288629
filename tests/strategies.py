"""What the cross-cutting tests draw: layers, networks, and arrays of every make.

Everything random about a drawn case comes from its `seed`, so that a failure prints as one line
which makes it again: `Case(Conv2D, {'filters': 2, ...}, (2, 5, 4, 1), 'normal', seed=3).layer()`.
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import minicnn.layers
from minicnn import Input, Sequential
from minicnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    InputLayer,
    Layer,
    Linear,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Sigmoid,
    Softmax,
    Tanh,
)
from minicnn.layers.activations import KNOWN as ACTIVATIONS

EXAMPLES = int(os.environ.get("MINICNN_EXAMPLES", "200"))  # (G3); tools/mutants.py draws fewer
PROFILE = settings(derandomize=True, deadline=None, max_examples=EXAMPLES)
SEEDS = st.integers(0, 2**32 - 1)


# -- bars -----------------------------------------------------------------------------------------

TALLY: dict[str, dict[str, float]] = {}  # what was checked -> cases so far, worst error, limit


def error(ours: Any, truth: Any, floor: float = 0.0) -> float:
    """Largest difference, as a part of the largest true number (or of `floor`, if that is more)."""
    ours, truth = np.asarray(ours, np.float64), np.asarray(truth, np.float64)
    if ours.shape != truth.shape:
        raise AssertionError(f"shape {ours.shape} instead of {truth.shape}")
    scale = max(float(np.abs(truth).max(initial=0)), floor)
    largest = float(np.abs(ours - truth).max(initial=0))
    return largest / scale if scale else largest


def within(limit: float, what: str, value: float) -> None:
    """Assert that `value` keeps to the limit of the bar that `what` names first, and count it.

    Not by an assert statement: `python -O` would take it out of this file, which is no test module.
    """
    row = TALLY.setdefault(what, {"cases": 0, "worst": 0.0, "limit": limit})
    row["cases"] += 1
    row["worst"] = max(row["worst"], float(value))
    if not value <= limit:  # NaN is no value that keeps to a limit
        raise AssertionError(f"{what}: {value:.2g} instead of at most {limit:.0e}")


if "MINICNN_WORST" in os.environ:  # a file for the worst errors, which docs/ quotes
    atexit.register(lambda: Path(os.environ["MINICNN_WORST"]).write_text(json.dumps(TALLY)))


def public_layers() -> set[type[Layer]]:
    """Every layer class that `minicnn.layers` shows to its users."""
    public = (getattr(minicnn.layers, name) for name in minicnn.layers.__all__)
    classes = {thing for thing in public if isinstance(thing, type) and issubclass(thing, Layer)}
    classes -= {thing for thing in classes if thing.forward is Layer.forward}  # abstract
    return classes - {Layer}


# -- arrays of every make -------------------------------------------------------------------------


def _read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def _every_other(x: np.ndarray) -> np.ndarray:
    between = np.nan if x.dtype.kind == "f" else 1
    wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), between, x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


def _transposed(x: np.ndarray) -> np.ndarray:
    """Strides in another order than both C's and Fortran's."""
    order = [*range(1, x.ndim), 0]
    return x.transpose(order).copy().transpose(np.argsort(order))


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "every other cell": _every_other,
    "reversed": lambda x: x[::-1].copy()[::-1],
    "transposed": _transposed,
    "read-only": _read_only,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "list": lambda x: x.tolist(),
    "memory map": lambda x: x.view(np.memmap),  # the subclass alone: no file is needed
}
forms = st.sampled_from(sorted(FORMS))


# -- one layer ------------------------------------------------------------------------------------

VALUES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "ties": lambda rng, shape: rng.integers(-2, 2, shape).astype(float),
    "negative": lambda rng, shape: rng.uniform(-20, -1, shape),
    "spaced": lambda rng, shape: _spaced(rng, shape),
}


def _spaced(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """0.02 from each other and 0.01 from 0: no kink of a maximum or of ReLU is near."""
    size = int(np.prod(shape))
    return (rng.permutation(size).reshape(shape) - (size - 1) // 2 + 0.5) * 0.02


@dataclass(frozen=True)
class Case:
    """A layer by its class and arguments, and the batch that it is tried on."""

    kind: type[Layer]
    kwargs: dict[str, Any]
    shape: tuple[int, ...]
    values: str = "normal"
    seed: int = 0
    training: bool = False

    def __repr__(self) -> str:
        return (
            f"Case({self.kind.__name__}, {self.kwargs}, {self.shape}, {self.values!r}, "
            f"seed={self.seed}, training={self.training})"
        )

    def rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, purpose))

    def layer(self, dtype: Any = "float64", **changes: Any) -> Layer:
        """The layer, built, with nothing left at the 0 or 1 that could hide a missing term."""
        layer = self.kind(**{**self.kwargs, "dtype": dtype, **changes})
        layer.build((None, *self.shape[1:]))
        draw = self.rng(1)
        for array in layer.params.values():
            array[...] = draw.standard_normal(array.shape)
        for key, array in layer.state.items():
            spread = (0.5, 2.0) if key == "moving_variance" else (-1.0, 1.0)
            array[...] = draw.uniform(*spread, array.shape)
        return layer

    def x(self, dtype: Any = "float64", values: str | None = None) -> np.ndarray:
        return VALUES[values or self.values](self.rng(2), self.shape).astype(dtype)

    def dy(self, y: np.ndarray) -> np.ndarray:
        return self.rng(3).standard_normal(y.shape).astype(y.dtype)

    def forward(self, layer: Layer, x: Any) -> np.ndarray:
        """One pass at the same place of the layer's random stream, whenever it is called."""
        layer.seek(0, 0)
        return layer.forward(x, self.training)


class Draw:
    """Choices of a seed. They are even, where hypothesis's own keep to the small and the same."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng((seed, 0))

    def size(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high + 1))

    def one_of(self, *choices: Any) -> Any:
        return choices[self.size(0, len(choices) - 1)]

    def flag(self) -> bool:
        return self.one_of(False, True)

    def pair(self, high: int) -> Any:
        """One integer or two, as the layers' arguments allow."""
        return self.one_of(self.size(1, high), (self.size(1, high), self.size(1, high)))

    def shape(self, most_axes: int = 4) -> tuple[int, ...]:
        """A batch of vectors, sequences or images."""
        return tuple(self.size(1, 4) for _ in range(self.size(2, most_axes)))


ACTIVATION_NAMES = (None, *sorted(ACTIVATIONS))
Configuration = tuple[dict[str, Any], tuple[int, ...]]  # arguments, shape of a batch


def _windows(draw: Draw, name: str) -> Configuration:
    """Windows larger than the image where padding allows them, strides beyond the window, and
    sizes that the strides do not divide all come up."""
    window, padding = draw.pair(4), draw.one_of("valid", "same", "SAME")
    kwargs = {name: window, "padding": padding}
    if draw.flag():
        kwargs["strides"] = draw.pair(4)
    K_h, K_w = window if isinstance(window, tuple) else (window, window)
    H_low, W_low = (K_h, K_w) if padding == "valid" else (1, 1)
    return kwargs, (draw.size(1, 2), draw.size(H_low, 6), draw.size(W_low, 6), draw.size(1, 3))


def _convolution(draw: Draw) -> Configuration:
    kwargs, shape = _windows(draw, "kernel_size")
    kwargs |= {"filters": draw.size(1, 3), "use_bias": draw.flag()}
    return {**kwargs, "activation": draw.one_of(*ACTIVATION_NAMES)}, shape


def _dense(draw: Draw) -> Configuration:
    activation = draw.one_of(*ACTIVATION_NAMES)
    kwargs = {"units": draw.size(1, 5), "use_bias": draw.flag(), "activation": activation}
    return kwargs, draw.shape()


def _normalization(draw: Draw) -> Configuration:
    shape = (draw.size(4, 7), *draw.shape()[1:])
    kwargs = {
        "axis": draw.one_of(-1, len(shape) - 1),
        "momentum": draw.one_of(0.0, 0.6, 0.99, 1.0),
        "epsilon": draw.one_of(1e-3, 1e-2),
        "center": draw.flag(),
        "scale": draw.flag(),
    }
    return kwargs, shape


def _dropout(draw: Draw) -> Configuration:
    return {"rate": draw.one_of(0, 0.1, 0.5, 0.9, 1), "seed": draw.size(0, 2**32)}, draw.shape()


def _rescaling(draw: Draw) -> Configuration:
    """One number for all channels, or one for each, as a list, a tuple or an array."""
    shape = draw.shape()
    kwargs: dict[str, Any] = {"scale": draw.one_of(1 / 255, 1, -2.5)}
    kwargs["offset"] = draw.one_of(0.0, -1.0, np.float32(0.5))
    for name in kwargs:
        if draw.flag():
            numbers = [draw.size(-20, 20) / 8 for _ in range(shape[-1])]
            kwargs[name] = draw.one_of(list, tuple, np.array)(numbers)
    return kwargs, shape


def _input(draw: Draw) -> Configuration:
    shape = draw.shape()
    return {"shape": shape[1:]}, shape


def _plain(draw: Draw) -> Configuration:
    return {}, draw.shape()


# A new public layer has to be entered here: a test says so.
CONFIGURATIONS: dict[type[Layer], Callable[[Draw], Configuration]] = {
    Activation: lambda draw: ({"activation": draw.one_of(*ACTIVATION_NAMES)}, draw.shape()),
    AveragePooling2D: lambda draw: _windows(draw, "pool_size"),
    BatchNormalization: _normalization,
    Conv2D: _convolution,
    Dense: _dense,
    Dropout: _dropout,
    Flatten: lambda draw: ({}, draw.one_of(draw.shape(), (draw.size(1, 4),))),
    InputLayer: _input,
    Linear: _plain,
    MaxPooling2D: lambda draw: _windows(draw, "pool_size"),
    ReLU: lambda draw: ({}, draw.one_of(draw.shape(), (draw.size(1, 9),))),
    Rescaling: _rescaling,
    Sigmoid: _plain,
    Softmax: _plain,
    Tanh: _plain,
}
every_kind = sorted(CONFIGURATIONS, key=lambda kind: kind.__name__)
PLAIN_VALUES = ("normal", "ties", "negative")


@st.composite
def cases(draw_from: Any, kind: type[Layer], *values: str, **changes: Any) -> Case:
    """Cases of a layer, with numbers of these kinds, and some arguments held to `changes`."""
    seed = draw_from(SEEDS)
    draw = Draw(seed)
    kwargs, shape = CONFIGURATIONS[kind](draw)
    numbers = draw.one_of(*(values or PLAIN_VALUES))
    return Case(kind, {**kwargs, **changes}, shape, numbers, seed, training=draw.flag())


# -- networks -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Network:
    """A classifier (or, under mse, a regression) of random layers, and the batches it learns."""

    sample: tuple[int, ...]
    body: tuple[tuple[type[Layer], dict[str, Any]], ...]
    classes: int
    loss: str
    seed: int

    def __repr__(self) -> str:
        body = ", ".join(f"{kind.__name__}({kwargs})" for kind, kwargs in self.body)
        return f"Network({self.sample}, [{body}], {self.classes}, {self.loss!r}, seed={self.seed})"

    def rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, purpose))

    def model(self, dtype: str = "float64", *, logits: bool = False) -> Sequential:
        """The model; with `logits`, without the softmax at its end."""
        end = None if logits or self.loss == "mse" else "softmax"
        model = Sequential([Input(self.sample, dtype=dtype)])
        for kind, kwargs in self.body:
            model.add(kind(**kwargs))
        model.add(Dense(self.classes, activation=end))
        draw = self.rng(1)
        for layer in model.layers:
            for key, array in layer.params.items():
                around = 1.0 if key == "gamma" else 0.0
                width = 0.5 if array.ndim == 1 else np.sqrt(3 / array[..., 0].size)
                array[...] = around + draw.uniform(-width, width, array.shape)
        return model

    def batch(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """n samples and their targets."""
        x = self.rng(2).standard_normal((n, *self.sample))
        labels = self.rng(3).integers(0, self.classes, n)
        if self.loss == "sparse_categorical_crossentropy":
            return x, labels
        if self.loss == "categorical_crossentropy":
            return x, np.eye(self.classes)[labels]
        return x, self.rng(3).standard_normal((n, self.classes))


def _image_layer(draw: Draw, shape: tuple[int, ...]) -> tuple[type[Layer], dict[str, Any]]:
    kinds = (Conv2D, Conv2D, MaxPooling2D, AveragePooling2D, BatchNormalization, Dropout, ReLU)
    kind = draw.one_of(*kinds)
    if kind not in (Conv2D, MaxPooling2D, AveragePooling2D):
        return kind, _dropout_of_some(draw) if kind is Dropout else {}
    # every other one as the engine's fused steps know them
    usual = ((3, 3), (1, 1)) if kind is Conv2D else ((2, 2), (2, 2))
    any_other = (draw.size(1, 3), draw.size(1, 3)), (draw.size(1, 2), draw.size(1, 2))
    window, strides = draw.one_of(usual, any_other)
    fits = window[0] <= shape[0] and window[1] <= shape[1]
    padding = draw.one_of("valid", "same") if fits else "same"
    kwargs = {"strides": strides, "padding": padding}
    if kind is not Conv2D:
        return kind, {"pool_size": window, **kwargs}
    activation = draw.one_of(None, "relu", "relu", "tanh", "sigmoid")
    return kind, {
        "filters": draw.one_of(1, 2, 4, 5),
        "kernel_size": window,
        "activation": activation,
    } | kwargs


def _vector_layer(draw: Draw) -> tuple[type[Layer], dict[str, Any]]:
    activation = Activation, {"activation": draw.one_of(*ACTIVATION_NAMES)}
    others = (
        (BatchNormalization, {}),
        (Dropout, _dropout_of_some(draw)),
        (Softmax, {}),
        (Tanh, {}),
    )
    dense = Dense, {"units": draw.size(2, 6), "activation": draw.one_of(*ACTIVATION_NAMES)}
    return draw.one_of(dense, dense, activation, *others)


def _dropout_of_some(draw: Draw) -> dict[str, Any]:
    return {"rate": draw.one_of(0.2, 0.5), "seed": draw.size(0, 2**32)}


def network(seed: int) -> Network:
    """2 to 6 layers: images or vectors in, some layers, Flatten where it is due, Dense at last."""
    draw = Draw(seed)
    count = draw.size(1, 5)
    body: list[tuple[type[Layer], dict[str, Any]]] = []
    sample: tuple[int, ...] = (draw.size(1, 6),)
    if draw.one_of(True, True, False):
        sample = shape = (draw.size(3, 7), draw.size(3, 7), draw.size(1, 2))
        while len(body) < count - 1:
            kind, kwargs = _image_layer(draw, shape)
            shape = kind(**kwargs).output_shape((None, *shape))[1:]
            body.append((kind, kwargs))
        at = draw.size(max(0, len(body) - 1), len(body))  # one layer may follow on vectors
        body[at:] = [(Flatten, {}), *[_vector_layer(draw) for _ in body[at:]]]
    while len(body) < count:
        body.append(_vector_layer(draw))
    loss = draw.one_of("sparse_categorical_crossentropy", "categorical_crossentropy", "mse")
    return Network(sample, tuple(body), draw.size(2, 4), loss, seed)


networks = SEEDS.map(network)
