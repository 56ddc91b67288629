"""What the cross-cutting tests draw: layers, networks, and arrays of every make.

Everything random about a drawn case comes from its `seed`, so that a failure prints as one line
which makes it again: `Case(Conv2D, {'filters': 2, ...}, (2, 5, 4, 1), 'normal', seed=3).layer()`.
"""

from __future__ import annotations

import atexit
import json
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cases import VALUES, Draw
from cases.layers import LAYERS
from hypothesis import strategies as st

from minicnn import Input, Sequential
from minicnn.layers import (
    ActivityRegularization,
    Dense,
    Flatten,
    Layer,
)

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
    """Assert that `value` keeps to the tolerance that `what` names first, and count it.

    Not by an assert statement: `python -O` would take it out of this file, which is no test module.
    """
    row = TALLY.setdefault(what, {"cases": 0, "worst": 0.0, "limit": limit})
    row["cases"] += 1
    row["worst"] = max(row["worst"], float(value))
    if not value <= limit:  # NaN is no value that keeps to a limit
        raise AssertionError(f"{what}: {value:.2g} instead of at most {limit:.0e}")


if "MINICNN_WORST" in os.environ:  # a file for the worst errors, which docs/ quotes
    atexit.register(lambda: Path(os.environ["MINICNN_WORST"]).write_text(json.dumps(TALLY)))


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
            spread = (0.5, 2.0) if key.endswith("variance") else (-1.0, 1.0)
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


CASES = {  # the examples of the table, by layer and name
    f"{kind.__name__} {name}": Case(kind, e.kwargs, e.shape, e.values, zlib.crc32(name.encode()))
    for kind, case in LAYERS.items()
    for name, e in case.examples.items()
}
every_kind = sorted(LAYERS, key=lambda kind: kind.__name__)
PLAIN_VALUES = ("normal", "ties", "negative")


@st.composite
def cases(draw_from: Any, kind: type[Layer], *values: str, **changes: Any) -> Case:
    """Cases of a layer, with numbers of these kinds, and some arguments held to `changes`."""
    seed = draw_from(SEEDS)
    draw = Draw(seed)
    kwargs, shape = LAYERS[kind].draw(draw)
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


DRAWN = [kind for kind in every_kind for _ in range(LAYERS[kind].weight)]


def network(seed: int) -> Network:
    """2 to 6 layers: images or vectors in, any layers that fit, Flatten where due, Dense last."""
    draw = Draw(seed)
    count = draw.size(1, 5)
    body: list[tuple[type[Layer], dict[str, Any]]] = []
    images = (draw.size(3, 7), draw.size(3, 7), draw.size(1, 2))
    sample = shape = draw.one_of(images, images, (draw.size(1, 6),))
    while len(body) < count - (len(shape) > 1):
        kind = draw.one_of(*DRAWN)
        kwargs = LAYERS[kind].inside(draw, shape)
        # penalties on outputs are part of the loss, which the tests of networks take by itself
        if kwargs is not None and kind is not ActivityRegularization:
            body.append((kind, kwargs))
            shape = kind(**kwargs).output_shape((None, *shape))[1:]
    if len(shape) > 1:
        body.append((Flatten, {}))
    loss = draw.one_of("sparse_categorical_crossentropy", "categorical_crossentropy", "mse")
    return Network(sample, tuple(body), draw.size(2, 4), loss, seed)


networks = SEEDS.map(network)
