"""Every layer and every loss of the package, in many configurations, and whole models.

Where the defaults of its arguments show all that a class does, its cases come by themselves; the
others are listed here. A layer or loss without a case is a failure: see `missing`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import layers, losses
from minicnn.gradcheck.api import check_layer, check_loss, check_model
from minicnn.gradcheck.result import CheckResult
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
    MaxPooling2D,
    Rescaling,
    Softmax,
)
from minicnn.losses import Loss
from minicnn.models import Sequential

RANDOM_MODELS = 30
ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "tanh")


@dataclass(frozen=True)
class Case:
    """One thing to check: `run(seed)` checks it."""

    kind: str
    label: str
    run: Callable[[int], CheckResult]


def cases(random_models: int = RANDOM_MODELS) -> Iterator[Case]:
    """All cases, layers first, then losses and models."""
    for name in layer_classes():
        yield from LAYERS.get(name, _none)()
    for name in loss_classes():
        yield from LOSSES.get(name, _none)()
    yield from _models()
    for number in range(random_models):
        yield Case("Sequential", f"random network {number}", _random_check(number))


def missing() -> list[str]:
    """Layers and losses of the package that no case covers."""
    made = {**dict.fromkeys(layer_classes(), LAYERS), **dict.fromkeys(loss_classes(), LOSSES)}
    return [name for name, table in made.items() if not list(table.get(name, _none)())]


def _needs_arguments(cls: type) -> bool:
    """Whether the constructor has an argument without a default."""
    parameters = inspect.signature(cls).parameters.values()
    return any(p.default is p.empty and p.kind is not p.VAR_KEYWORD for p in parameters)


def layer_classes() -> dict[str, type[Layer]]:
    """The layers that the package offers, by name; other names for the same class left out."""
    public = {name: getattr(layers, name) for name in layers.__all__}
    return {
        name: cls
        for name, cls in public.items()
        if isinstance(cls, type)
        and issubclass(cls, Layer)
        and cls.__name__ == name
        and cls.forward is not Layer.forward  # abstract
    }


def loss_classes() -> dict[str, type[Loss]]:
    """The losses that the package offers, by name."""
    return {
        name: cls
        for name, cls in vars(losses).items()
        if isinstance(cls, type) and issubclass(cls, Loss) and cls is not Loss and name[0] != "_"
    }


# -- layers ---------------------------------------------------------------------------------------


def _none() -> Iterator[Case]:
    return iter(())


def _layer(make: Callable[[], Any], shape: tuple[int, ...], label: str, **options: Any) -> Case:
    def run(seed: int) -> CheckResult:
        return check_layer(make(), shape, seed=seed, **options)

    kind = type(make()).__name__
    return Case(kind, f"{label} x {shape}" if label else f"x {shape}", run)


def _conv2d() -> Iterator[Case]:
    kernels, strides = ((1, 1), (2, 2), (3, 3), (3, 2)), ((1, 1), (2, 2), (2, 1), (3, 2))
    for K, S, padding in itertools.product(kernels, strides, ("valid", "same")):
        label = f"{K[0]}x{K[1]} strides {S[0]},{S[1]} {padding}"
        yield _layer(lambda K=K, S=S, p=padding: Conv2D(3, K, S, p), (2, 6, 5, 2), label)  # type: ignore[misc]
    for name in ACTIVATIONS:
        yield _layer(
            lambda name=name: Conv2D(3, 3, 2, "same", activation=name),  # type: ignore[misc]
            (2, 6, 5, 2),
            f"3x3 strides 2,2 same {name}",
        )
    yield _layer(lambda: Conv2D(2, 3, use_bias=False), (1, 5, 5, 1), "3x3 no bias")
    yield _layer(lambda: Conv2D(2, 5, padding="same"), (2, 3, 2, 1), "5x5 same, larger than x")
    yield _layer(lambda: Conv2D(8, 3, activation="relu"), (2, 16, 16, 3), "3x3 relu")


def _pooling(make: Callable[..., Layer]) -> Iterator[Case]:
    pools, strides = ((2, 2), (3, 3), (2, 3)), (None, (1, 1), (2, 2), (3, 1))
    for K, S, padding in itertools.product(pools, strides, ("valid", "same")):
        label = f"{K[0]}x{K[1]} strides {f'{S[0]},{S[1]}' if S else 'as pool'} {padding}"
        yield _layer(lambda K=K, S=S, p=padding: make(K, S, p), (2, 7, 5, 2), label)  # type: ignore[misc]
    yield _layer(lambda: make(4, 1, "same"), (2, 3, 2, 1), "4x4 same, larger than x")
    yield _layer(lambda: make(2), (4, 14, 14, 4), "2x2")


def _dense() -> Iterator[Case]:
    for name in ACTIVATIONS:
        yield _layer(lambda name=name: Dense(4, name), (5, 3), name)  # type: ignore[misc]
    yield _layer(lambda: Dense(3, use_bias=False), (4, 3), "no bias")
    yield _layer(lambda: Dense(2, "relu"), (2, 3, 2, 4), "relu")
    yield _layer(lambda: Dense(1), (1, 1), "")
    yield _layer(lambda: Dense(32, "relu"), (16, 784), "relu")


def _dropout() -> Iterator[Case]:
    for rate in (0.0, 0.25, 0.5, 0.9):
        yield _layer(lambda rate=rate: Dropout(rate), (4, 10), f"rate {rate}")  # type: ignore[misc]
    yield _layer(lambda: Dropout(0.5), (4, 10), "rate 0.5, inference", training=False)
    yield _layer(lambda: Dropout(0.5), (2, 4, 3, 2), "rate 0.5")


def _by_default(cls: type[Layer]) -> Iterator[Case]:
    """Made without arguments, on numbers, vectors, sequences and images, if it takes them."""
    for shape in ((7,), (5, 4), (2, 5, 3), (2, 4, 3, 2), (4, 14, 14, 4)):
        with contextlib.suppress(TypeError, ValueError):
            cls().output_shape((None, *shape[1:]))
            yield _layer(cls, shape, "")


def _softmax() -> Iterator[Case]:
    for shape in ((5, 4), (3, 1), (2, 3, 2, 4), (128, 10)):
        yield _layer(Softmax, shape, "")


def _activation() -> Iterator[Case]:
    for name in ACTIVATIONS:
        yield _layer(lambda name=name: Activation(name), (5, 4), name)  # type: ignore[misc]


def _rescaling() -> Iterator[Case]:
    yield _layer(lambda: Rescaling(1 / 255, -0.5), (5, 4), "")
    channels = [0.5, -2.0, 3.0]
    yield _layer(lambda: Rescaling(channels, channels[::-1]), (2, 4, 3, 3), "one for each channel")


def _input() -> Iterator[Case]:
    yield _layer(lambda: InputLayer((4, 3, 2)), (2, 4, 3, 2), "")


def _batch_normalization() -> Iterator[Case]:
    for shape in ((5, 4), (3, 4, 3, 2), (8, 8, 8, 4)):
        yield _layer(BatchNormalization, shape, "")
        yield _layer(BatchNormalization, shape, "inference", training=False)


WITH_ARGUMENTS: dict[str, Callable[[], Iterator[Case]]] = {
    "Activation": _activation,
    "AveragePooling2D": lambda: _pooling(AveragePooling2D),
    "BatchNormalization": _batch_normalization,
    "Conv2D": _conv2d,
    "Dense": _dense,
    "Dropout": _dropout,
    "InputLayer": _input,
    "MaxPooling2D": lambda: _pooling(MaxPooling2D),
    "Rescaling": _rescaling,
    "Softmax": _softmax,
}
LAYERS: dict[str, Callable[[], Iterator[Case]]] = {
    name: WITH_ARGUMENTS.get(name, functools.partial(_by_default, cls))
    for name, cls in layer_classes().items()
    if name in WITH_ARGUMENTS or not _needs_arguments(cls)
}


# -- losses ---------------------------------------------------------------------------------------


def _loss(
    make: Callable[[], Loss], draw: Callable[[np.random.Generator], tuple[Any, Any]], label: str
) -> Case:
    def run(seed: int) -> CheckResult:
        y_true, y_pred = draw(np.random.default_rng(seed))
        return check_loss(make(), y_true, y_pred, seed=seed)

    return Case(type(make()).__name__, label, run)


SHAPES = ((5, 3), (1, 2), (4, 2, 3), (2, 3, 2, 4))


def _sparse() -> Iterator[Case]:
    for shape, logits in itertools.product(SHAPES, (True, False)):

        def draw(rng: np.random.Generator, s: Any = shape, z: bool = logits) -> tuple[Any, Any]:
            return rng.integers(s[-1], size=s[:-1]), _predictions(rng, s, z)

        make = losses.SparseCategoricalCrossentropy
        yield _loss(lambda z=logits, make=make: make(z), draw, _of(logits, shape))  # type: ignore[misc]


def _categorical() -> Iterator[Case]:
    for shape, logits in itertools.product(SHAPES, (True, False)):

        def draw(rng: np.random.Generator, s: Any = shape, z: bool = logits) -> tuple[Any, Any]:
            return rng.dirichlet(np.ones(s[-1]), size=s[:-1]), _predictions(rng, s, z)

        make = losses.CategoricalCrossentropy
        yield _loss(lambda z=logits, make=make: make(z), draw, _of(logits, shape))  # type: ignore[misc]


def _any_targets(cls: type[Loss]) -> Iterator[Case]:
    """Targets and predictions between 0 and 1, which numbers and probabilities may be alike."""
    for shape in SHAPES:

        def draw(rng: np.random.Generator, s: Any = shape) -> tuple[Any, Any]:
            return rng.uniform(0.1, 0.9, s), rng.uniform(0.1, 0.9, s)

        yield _loss(cls, draw, f"y_pred {shape}")


def _predictions(rng: np.random.Generator, shape: tuple[int, ...], logits: bool) -> Any:
    """Logits, or probabilities that do not sum to 1 exactly, nor come near the clip."""
    return 3 * rng.normal(size=shape) if logits else rng.uniform(0.1, 0.9, shape)


def _of(logits: bool, shape: tuple[int, ...]) -> str:
    return f"{'logits' if logits else 'probabilities'} {shape}"


OF_CLASSES: dict[str, Callable[[], Iterator[Case]]] = {
    "CategoricalCrossentropy": _categorical,
    "SparseCategoricalCrossentropy": _sparse,
}
LOSSES: dict[str, Callable[[], Iterator[Case]]] = {
    name: OF_CLASSES.get(name, functools.partial(_any_targets, cls))
    for name, cls in loss_classes().items()
    if name in OF_CLASSES or not _needs_arguments(cls)
}


# -- models ---------------------------------------------------------------------------------------


def _models() -> Iterator[Case]:
    def tutorial() -> list[Layer]:
        first = Conv2D(4, 3, activation="relu", input_shape=(12, 12, 1))
        dense = [Flatten(), Dense(8, activation="relu"), Dropout(0.5)]
        return [first, MaxPooling2D(2), Dropout(0.25), *dense, Dense(3, activation="softmax")]

    def strided() -> list[Layer]:
        first = Conv2D(3, 3, 2, "same", activation="tanh", input_shape=(7, 8, 2))
        return [first, AveragePooling2D(3, 2, "same"), Flatten(), Dense(4), Softmax()]

    def fused() -> list[Layer]:
        first = Rescaling(1 / 2, 0.1, input_shape=(9, 10, 1))
        direct = Conv2D(4, 3, padding="same", activation="relu")
        several = Conv2D(5, 3, activation="relu")
        dense = [Flatten(), Dense(8, activation="relu"), Dropout(0.5)]
        return [first, direct, Dropout(0.2), several, MaxPooling2D(2), *dense, Dense(3), Softmax()]

    def regression() -> list[Layer]:
        return [Dense(6, "sigmoid", input_shape=(5,)), Dense(2)]

    sparse, one_hot = "sparse_categorical_crossentropy", "categorical_crossentropy"
    yield _model("conv, pool, dropout, dense: softmax", tutorial, sparse, 20)
    yield _model("strided conv, average pool, softmax layer", strided, one_hot, 5)
    yield _model("dense: mean squared error", regression, "mean_squared_error", 9)
    yield _model("all steps fused", fused, sparse, 20)
    yield _model("all steps fused, several shards for each lane", fused, sparse, 300)


def _model(label: str, stack: Callable[[], list[Layer]], loss: str, n: int) -> Case:
    def run(seed: int) -> CheckResult:
        rng = np.random.default_rng(seed)
        model = _seeded(stack(), rng)
        x, y = rng.normal(size=(n, *model.input_shape[1:])), _targets(model, loss, n, rng)
        return check_model(model, x, y, loss=loss, seed=seed)

    return Case("Sequential", label, run)


def _seeded(stack: list[Layer], rng: np.random.Generator) -> Sequential:
    """A model whose first weights come from `rng`."""
    declared, stack[0].declared_shape = stack[0].declared_shape, None
    model = Sequential(stack)
    model.rng = rng
    model.build((None, *(declared or ())))
    return model


def _targets(model: Sequential, loss: str, n: int, rng: np.random.Generator) -> Any:
    shape = model.output_shape[1:]
    if loss == "sparse_categorical_crossentropy":
        return rng.integers(shape[-1], size=(n, *shape[:-1]))
    return rng.dirichlet(np.ones(shape[-1]), size=(n, *shape[:-1]))


def _random_check(number: int) -> Callable[[int], CheckResult]:
    def run(seed: int) -> CheckResult:
        rng = np.random.default_rng([seed, number])
        model = random_model(rng)
        loss = str(rng.choice(["sparse_categorical_crossentropy", "categorical_crossentropy"]))
        n = int(rng.integers(2, 12))
        x, y = rng.normal(size=(n, *model.input_shape[1:])), _targets(model, loss, n, rng)
        return check_model(model, x, y, loss=loss, seed=seed)

    return run


def random_model(rng: np.random.Generator) -> Sequential:
    """A network of 2 to 6 layers for small images, drawn at random; built.

    >>> model = random_model(np.random.default_rng(1))
    >>> 2 <= len(model.layers) <= 6, len(model.input_shape)
    (True, 4)
    """

    def activation() -> str:
        return str(rng.choice(["linear", "relu", "sigmoid", "tanh"]))

    def pair(high: int) -> tuple[int, int]:
        return int(rng.integers(1, high + 1)), int(rng.integers(1, high + 1))

    makers: list[Callable[[], Layer]] = [
        lambda: Conv2D(int(rng.integers(1, 4)), pair(3), pair(2), "same", activation=activation()),
        lambda: MaxPooling2D(pair(3), pair(2), "same"),
        lambda: AveragePooling2D(pair(3), pair(2), "same"),
        lambda: Dropout(float(rng.uniform(0, 0.6))),
        lambda: Activation(activation()),
        lambda: Conv2D(int(rng.integers(1, 4)), 2, 1, "valid", activation=activation()),
    ]
    stack = [makers[rng.choice(len(makers) - (k > 0))]() for k in range(rng.integers(0, 5))]
    stack += [Flatten(), Dense(int(rng.integers(2, 5)), activation="softmax")]
    sample = (*(int(size) for size in rng.integers(4, 7, size=2)), int(rng.integers(1, 3)))
    model = Sequential(stack)
    model.rng = rng
    model.build((None, *sample))
    return model
