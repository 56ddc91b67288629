"""Every layer and every loss of the package, in many configurations, and whole models.

A class whose defaults show all that it does is checked without being listed here. A layer or loss
without a case is a failure: see `missing`.
"""

from __future__ import annotations

import contextlib
import copy
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
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPooling2D,
    Rescaling,
    Softmax,
)
from minicnn.losses import Loss
from minicnn.models import Sequential

Shape = tuple[int, ...]
Example = tuple[dict[str, Any], Shape]  # arguments, and the shape of x

RANDOM_MODELS = 30
ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "tanh")
BOTH = ("valid", "same")
SPARSE, ONE_HOT = "sparse_categorical_crossentropy", "categorical_crossentropy"


@dataclass(frozen=True)
class Case:
    """One thing to check: `run(seed)` checks it."""

    kind: str
    label: str
    run: Callable[[int], CheckResult]


def cases(random_models: int = RANDOM_MODELS) -> Iterator[Case]:
    """All cases, layers first, then losses and models."""
    for name, layer in LAYERS.items():
        for arguments, shape in EXAMPLES.get(name) or _by_default(layer):
            yield _layer(name, layer, dict(arguments), shape)
    for name, loss in LOSSES.items():
        choices = (True, False) if "from_logits" in inspect.signature(loss).parameters else (None,)
        for shape, logits in itertools.product(LOSS_SHAPES, choices):
            yield _loss(name, loss, shape, logits)
    yield from _models()
    for number in range(random_models):
        yield _random(number)


def missing() -> list[str]:
    """Layers and losses of the package that no case covers."""
    covered = {case.kind for case in cases(0)}
    return [name for name in (*layer_classes(), *loss_classes()) if name not in covered]


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


def _has_defaults(cls: type) -> bool:
    """Whether the constructor does without arguments."""
    parameters = inspect.signature(cls).parameters.values()
    return all(p.default is not p.empty or p.kind is p.VAR_KEYWORD for p in parameters)


# -- layers ---------------------------------------------------------------------------------------


def _each(*shapes: Shape, **choices: Any) -> list[Example]:
    """An example for each of these shapes with each combination of these choices.

    >>> _each((4, 10), rate=(0.2, 0.5))
    [({'rate': 0.2}, (4, 10)), ({'rate': 0.5}, (4, 10))]
    """
    combined = [dict(zip(choices, chosen)) for chosen in itertools.product(*choices.values())]
    return [(dict(arguments), shape) for shape in shapes for arguments in combined]


IMAGE = (2, 5, 4, 3)
VECTORS_AND_IMAGES = (4, 10), (2, 4, 3, 2)
POOLING = [
    *_each(
        (2, 7, 5, 2),
        pool_size=((2, 2), (3, 3), (2, 3)),
        strides=(None, (1, 1), (2, 2), (3, 1)),
        padding=BOTH,
    ),
    ({"pool_size": 4, "strides": 1, "padding": "same"}, (2, 3, 2, 1)),  # larger than x
    ({"pool_size": 2}, (4, 14, 14, 4)),
]
SIZES: list[Example] = [
    ({"height": height, "width": width}, IMAGE) for height, width in ((3, 2), (7, 6), (3, 6))
]
AXES = [*_each((2, 4, 3, 5), axis=(-1, 1, [1, 2, 3], [-1, 1])), *_each((3, 6))]
INTERPOLATIONS = ("bilinear", "nearest")
FILLING = {
    "fill_mode": ("constant", "nearest", "reflect", "wrap"),
    "interpolation": INTERPOLATIONS,
}
EXAMPLES: dict[str, list[Example]] = {
    "Activation": _each((5, 4), activation=ACTIVATIONS),
    "AlphaDropout": _each(*VECTORS_AND_IMAGES, rate=(0.3,)),
    "AveragePooling2D": POOLING,
    "BatchNormalization": [
        *_each((5, 4), (3, 4, 3, 2), (8, 8, 8, 4), training=(True, False)),
        *_each((3, 4, 3, 2), axis=(1, -2, [1, 3]), training=(True, False)),
    ],
    "CenterCrop": SIZES,
    "Conv2D": [
        *_each(
            (2, 6, 5, 2),
            filters=(3,),
            kernel_size=((1, 1), (2, 2), (3, 3), (3, 2)),
            strides=((1, 1), (2, 2), (2, 1), (3, 2)),
            padding=BOTH,
        ),
        *_each(
            (2, 6, 5, 2),
            filters=(3,),
            kernel_size=(3,),
            strides=(2,),
            padding=("same",),
            activation=ACTIVATIONS,
        ),
        ({"filters": 2, "kernel_size": 3, "use_bias": False}, (1, 5, 5, 1)),
        ({"filters": 2, "kernel_size": 5, "padding": "same"}, (2, 3, 2, 1)),  # larger than x
        ({"filters": 8, "kernel_size": 3, "activation": "relu"}, (2, 16, 16, 3)),
    ],
    "Conv2DTranspose": [
        *_each(
            (2, 3, 4, 2),
            filters=(3,),
            kernel_size=((1, 1), (3, 2)),
            strides=((1, 1), (2, 3)),
            padding=BOTH,
        ),
        ({"filters": 2, "kernel_size": 3, "dilation_rate": 2, "activation": "tanh"}, (2, 3, 4, 2)),
        ({"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1}, (2, 3, 4, 2)),
    ],
    "Dense": [
        *_each((5, 3), units=(4,), activation=ACTIVATIONS),
        ({"units": 3, "use_bias": False}, (4, 3)),
        ({"units": 2, "activation": "relu"}, (2, 3, 2, 4)),
        ({"units": 1}, (1, 1)),
        ({"units": 32, "activation": "relu"}, (16, 784)),
    ],
    "DepthwiseConv2D": _each(
        (2, 6, 5, 2),
        kernel_size=((3, 2),),
        strides=((1, 1), (2, 3)),
        padding=BOTH,
        depth_multiplier=(1, 2),
        dilation_rate=(1, 2),
    ),
    "Dropout": [
        *_each((4, 10), rate=(0.0, 0.25, 0.5, 0.9)),
        ({"rate": 0.5, "training": False}, (4, 10)),
        ({"rate": 0.5}, (2, 4, 3, 2)),
        ({"rate": 0.5, "noise_shape": (None, 1, 1, 2)}, (2, 4, 3, 2)),  # whole channels
    ],
    "GaussianDropout": _each(*VECTORS_AND_IMAGES, rate=(0.3,)),
    "GaussianNoise": _each(*VECTORS_AND_IMAGES, stddev=(0.5,)),
    "GroupNormalization": [
        *_each((2, 4, 3, 6), groups=(-1, 1, 2, 3)),
        ({"groups": 2, "axis": 1}, (3, 8, 3)),
        ({"groups": 2}, (3, 8)),
    ],
    "InputLayer": [({"shape": (4, 3, 2)}, (2, 4, 3, 2))],
    "LayerNormalization": AXES,
    "MaxPooling2D": POOLING,
    "Permute": [({"dims": (3, 1, 2)}, IMAGE)],
    "RMSNormalization": AXES,
    "RandomBrightness": [({"factor": 0.5, "value_range": (-9, 9)}, IMAGE)],
    "RandomContrast": [({"factor": 0.5, "value_range": (-9, 9)}, IMAGE)],
    "RandomCrop": SIZES,
    "RandomErasing": [({"factor": (1, 1)}, IMAGE)],
    "RandomFlip": _each((4, 3, 4, 2), mode=("horizontal", "vertical", "horizontal_and_vertical")),
    "RandomRotation": _each(IMAGE, factor=(0.3,), **FILLING),
    "RandomTranslation": _each(IMAGE, height_factor=(0.7,), width_factor=(0.7,), **FILLING),
    "RandomZoom": _each(IMAGE, height_factor=(0.9,), width_factor=(None, 0.9), **FILLING),
    "RepeatVector": [({"n": 3}, (4, 5))],
    "Rescaling": [
        ({"scale": 1 / 255, "offset": -0.5}, (5, 4)),
        ({"scale": [0.5, -2.0, 3.0], "offset": [3.0, -2.0, 0.5]}, (2, 4, 3, 3)),
    ],
    "Reshape": [({"target_shape": (4, -1)}, IMAGE)],
    "Resizing": [
        *(({**size, "interpolation": how}, IMAGE) for size, _ in SIZES for how in INTERPOLATIONS),
        ({"height": 4, "width": 8, "crop_to_aspect_ratio": True}, IMAGE),
        ({"height": 4, "width": 8, "pad_to_aspect_ratio": True}, IMAGE),
    ],
    "SeparableConv2D": _each(
        (2, 6, 5, 2),
        filters=(3,),
        kernel_size=((3, 2),),
        strides=((1, 1), (2, 3)),
        padding=BOTH,
        depth_multiplier=(1, 2),
        activation=(None, "tanh"),
    ),
    "Softmax": _each((5, 4), (3, 1), (2, 3, 2, 4), (128, 10)),
    "SpatialDropout2D": [({"rate": 0.5}, (2, 4, 3, 2))],
}
LAYERS = {
    name: cls for name, cls in layer_classes().items() if name in EXAMPLES or _has_defaults(cls)
}


def _by_default(cls: type[Layer]) -> Iterator[Example]:
    """Made without arguments, on numbers, vectors, sequences and images, if it takes them."""
    for shape in ((7,), (5, 4), (2, 5, 3), (2, 4, 3, 2), (4, 14, 14, 4)):
        with contextlib.suppress(TypeError, ValueError):
            cls().output_shape((None, *shape[1:]))
            yield {}, shape


def _layer(name: str, cls: type[Layer], arguments: dict[str, Any], shape: Shape) -> Case:
    label = ", ".join(f"{key}={value}" for key, value in arguments.items())
    training = arguments.pop("training", True)

    def run(seed: int) -> CheckResult:
        return check_layer(cls(**arguments), shape, training=training, seed=seed)

    return Case(name, f"{label} x {shape}".strip(), run)


# -- losses ---------------------------------------------------------------------------------------


LOSS_SHAPES: tuple[Shape, ...] = ((5, 3), (1, 2), (4, 2, 3), (2, 3, 2, 4))
LOSSES = {name: cls for name, cls in loss_classes().items() if _has_defaults(cls)}


def _loss(name: str, cls: type[Loss], shape: Shape, logits: bool | None) -> Case:
    def run(seed: int) -> CheckResult:
        rng = np.random.default_rng(seed)
        y_true: Any = rng.uniform(0.1, 0.9, shape) if logits is None else _targets(name, shape, rng)
        # probabilities that do not sum to 1 exactly, nor come near the clip
        y_pred = 3 * rng.normal(size=shape) if logits else rng.uniform(0.1, 0.9, shape)
        loss = cls() if logits is None else cls(from_logits=logits)
        return check_loss(loss, y_true, y_pred, seed=seed)

    kinds = {True: "logits", False: "probabilities", None: "y_pred"}
    return Case(name, f"{kinds[logits]} {shape}", run)


def _targets(loss: str, shape: Shape, rng: np.random.Generator) -> Any:
    """Labels, or probabilities of the classes."""
    if loss.lower().startswith("sparse"):
        return rng.integers(shape[-1], size=shape[:-1])
    return rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])


# -- models ---------------------------------------------------------------------------------------


def _models() -> Iterator[Case]:
    dense = [Flatten(), Dense(8, "relu"), Dropout(0.5)]
    tutorial = [Conv2D(4, 3, activation="relu"), MaxPooling2D(2), Dropout(0.25), *dense]
    tutorial += [Dense(3, "softmax")]
    strided = [Conv2D(3, 3, 2, "same", activation="tanh"), AveragePooling2D(3, 2, "same")]
    strided += [Flatten(), Dense(4), Softmax()]
    fused = [Rescaling(1 / 2, 0.1), Conv2D(4, 3, padding="same", activation="relu"), Dropout(0.2)]
    fused += [Conv2D(5, 3, activation="relu"), MaxPooling2D(2), *dense, Dense(3), Softmax()]
    regression: list[Layer] = [Dense(6, "sigmoid"), Dense(2)]
    for label, sample, stack, loss, n in (
        ("conv, pool, dropout, dense: softmax", (12, 12, 1), tutorial, SPARSE, 20),
        ("strided conv, average pool, softmax layer", (7, 8, 2), strided, ONE_HOT, 5),
        ("dense: mean squared error", (5,), regression, "mean_squared_error", 9),
        ("all steps fused", (9, 10, 1), fused, SPARSE, 20),
        ("all steps fused, several shards for each lane", (9, 10, 1), fused, SPARSE, 300),
    ):

        def run(seed: int, of: Any = (sample, stack, loss, n)) -> CheckResult:
            sample, stack, loss, n = of
            rng = np.random.default_rng(seed)
            return _checked(_seeded(copy.deepcopy(stack), sample, rng), loss, n, rng, seed)

        yield Case("Sequential", label, run)


def _random(number: int) -> Case:
    def run(seed: int) -> CheckResult:
        rng = np.random.default_rng([seed, number])
        model = random_model(rng)
        loss = str(rng.choice([SPARSE, ONE_HOT]))
        return _checked(model, loss, int(rng.integers(2, 12)), rng, seed)

    return Case("Sequential", f"random network {number}", run)


def _checked(
    model: Sequential, loss: str, n: int, rng: np.random.Generator, seed: int
) -> CheckResult:
    x = rng.normal(size=(n, *model.input_shape[1:]))
    y = _targets(loss, (n, *model.output_shape[1:]), rng)
    return check_model(model, x, y, loss=loss, seed=seed)


def _seeded(stack: list[Layer], sample: Shape, rng: np.random.Generator) -> Sequential:
    """A model for samples of this shape, built; its first weights come from `rng`."""
    model = Sequential(stack)
    model.rng = rng
    model.build((None, *sample))
    return model


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
    return _seeded(stack, sample, rng)
