"""The table of cases: every public layer, loss, optimizer, metric and initializer, once each.

What has to hold for a kind draws its cases from here and from no other list: the contract, the
properties, gradient checks, PyTorch, Keras's fixtures, the engine's twins, wrong calls. A new class
is one entry in `layers.py`, `losses.py`, `optimizers.py`, `metrics.py` or `initializers.py` of this
package; `test_complete.py` names the classes that have none. What the entry says is explained here.

Nothing here imports hypothesis, torch or keras: the script that asks Keras for its numbers
(`fixtures/make_keras_fixtures.py`) reads the same table, in an environment without the others.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Shape = tuple[int, ...]


def rng_of(name: str) -> np.random.Generator:
    """The random numbers of the case of that name, whatever other cases there are."""
    return np.random.default_rng(zlib.crc32(name.encode()))


class Draw:
    """Choices of a seed. They are even, where hypothesis's own keep to the small and the same."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng((seed, 0))

    def size(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high + 1))

    def number(self, low: float, high: float) -> float:
        return float(self._rng.uniform(low, high))

    def one_of(self, *choices: Any) -> Any:
        return choices[self.size(0, len(choices) - 1)]

    def flag(self) -> bool:
        return self.one_of(False, True)

    def pair(self, high: int) -> Any:
        """One integer or two, as the layers' arguments allow."""
        return self.one_of(self.size(1, high), (self.size(1, high), self.size(1, high)))

    def shape(self, most_axes: int = 4) -> Shape:
        """A batch of vectors, sequences or images."""
        return tuple(self.size(1, 4) for _ in range(self.size(2, most_axes)))


def _spaced(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """0.02 from each other and 0.01 from 0: no kink of a maximum or of ReLU is near."""
    size = int(np.prod(shape))
    return (rng.permutation(size).reshape(shape) - (size - 1) // 2 + 0.5) * 0.02


VALUES: dict[str, Callable[[np.random.Generator, Shape], np.ndarray]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "ties": lambda rng, shape: rng.integers(-2, 2, shape).astype(float),
    "negative": lambda rng, shape: rng.uniform(-20, -1, shape),
    "spaced": _spaced,
    "around 5": lambda rng, shape: rng.normal(5, 3, shape),
}


@dataclass(frozen=True)
class Example:
    """A layer's arguments, and the batch that it gets: its shape, and which of VALUES it holds."""

    kwargs: Mapping[str, Any]
    shape: Shape
    values: str = "normal"


@dataclass(frozen=True)
class LayerCase:
    """What the tests have to know of a layer.

    Attributes
    ----------
    examples : dict of Example
        By a name of a few words. Together they give every argument that the constructor has.
    definition : callable(case, layer, x)
        y in plain loops over Python's numbers. `case` is a `strategies.Case`: arguments in
        `case.kwargs`, shape of x in `case.shape`, `case.training`. x is nested lists; y may have
        any shape that flattens to the right order.
    torch : callable(torch, layer, params, x, training)
        y as PyTorch computes it, from tensors under the names of `layer.params`.
    keras : dict of Example, or str
        What `make_keras_fixtures.py` asks of Keras's layer of the same name, in arguments that
        float32 holds exactly, since TensorFlow rounds some (0.25, not 0.3); or a sentence why
        there is nothing to ask.
    draw : callable(draw) -> arguments, shape of a batch
        Random ones, every argument among them. Left out: no arguments, any shape.
    linear : dict or None
        Arguments that make y linear in x and in each parameter; None if none do.
    side : callable(layer, y) or None
        On which side of its kinks a pass went: arrays that differ when a kink was crossed.
    inside : callable(draw, shape of a sample) -> arguments or None
        How it stands in a random network, None where it cannot. Left out: without arguments.
    weight : int
        How often a random network draws it, beside others.
    fused : callable(draw, shape of a sample) -> arguments or None; or None
        Arguments under which it is part of a step of the engine's; left out where none has it.
    built_when_made : bool
        As in Keras, where a layer without weights is built by its constructor.
    """

    examples: Mapping[str, Example]
    definition: Callable[..., Any]
    torch: Callable[..., Any]
    keras: Mapping[str, Example] | str
    draw: Callable[[Draw], tuple[dict[str, Any], Shape]] = lambda draw: ({}, draw.shape())
    linear: Mapping[str, Any] | None = None
    side: Callable[..., Any] | None = None
    inside: Callable[[Draw, Shape], dict[str, Any] | None] = lambda draw, sample: {}
    weight: int = 1
    fused: Callable[[Draw, Shape], dict[str, Any] | None] | None = None
    built_when_made: bool = True


@dataclass(frozen=True)
class LossCase:
    """What the tests have to know of a loss.

    Attributes
    ----------
    targets : str
        One of TARGETS in `losses.py`: what y is. y_pred is what PREDICTIONS there make of it, if
        anything; else probabilities, or logits under `from_logits`.
    definition : callable(loss, targets, rows)
        The loss of each row of predictions (C,), from lists of Python's numbers.
    torch : callable(torch, loss, y, rows)
        The same from tensors; PyTorch differentiates it.
    examples : dict of dict
        Arguments, by a name of a few words.
    clips_logits : bool
        Whether Keras makes probabilities of logits and clips them, where no clip is needed.
    keras_error : float
        How far Keras's float64 is from the definition.
    """

    targets: str
    definition: Callable[..., list[float]]
    torch: Callable[..., Any]
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"": {}})
    clips_logits: bool = False
    keras_error: float = 1e-12


@dataclass(frozen=True)
class OptimizerCase:
    """What the tests have to know of an optimizer.

    Attributes
    ----------
    examples : dict of dict
        Arguments by a name of a few words: for Keras's fixtures, the engine, and all the rest.
    step : callable(optimizer, w, g, t, memory) -> w
        One step on one number, by the formula of the paper; t counts from 1, `memory` is a dict.
    draw : callable(draw) -> arguments
        Random ones, every argument among them.
    torch : callable(torch, optimizer, w, gradients)
        The tensor w after each step of PyTorch's optimizer of these settings.
    """

    examples: Mapping[str, Mapping[str, Any]]
    step: Callable[..., float]
    draw: Callable[[Draw], dict[str, Any]]
    torch: Callable[..., list[Any]]


@dataclass(frozen=True)
class MetricCase:
    """What the tests have to know of a metric.

    Attributes
    ----------
    targets : str
        What y is: one of TARGETS in `losses.py`, or "classes".
    definition : callable(metric, targets, rows, weights)
        The metric of rows of predictions (C,), from lists of Python's numbers; weights of the rows.
    examples : dict of dict
        Arguments, by a name of a few words.
    rounded : bool
        Whether predictions are tenths, so that some are equal or lie on a threshold.
    """

    targets: str
    definition: Callable[..., Any]
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"": {}})
    rounded: bool = False


@dataclass(frozen=True)
class InitializerCase:
    """One number that all values are, or the variance of random ones and whether it is uniform."""

    constant: float | None = None
    variance: Callable[[int, int], float] | None = None  # of fan_in and fan_out
    uniform: bool = False


WRAPPERS = ("Function", "MeanMetricWrapper")  # of a function that the user brings
OF_VALUES = ("Mean", "Sum")  # and not of y_true and y_pred


def public(module: Any, base: type) -> set[type]:
    """The classes of that base that a user finds in a module, without those that are abstract."""
    method = {"Layer": "forward", "Loss": "forward", "Metric": "check", "Optimizer": "step"}
    name = method.get(base.__name__, "draw")
    return {
        cls
        for key, cls in vars(module).items()
        if isinstance(cls, type)
        and issubclass(cls, base)
        and not key.startswith("_")
        and key not in (*WRAPPERS, *OF_VALUES)
        and getattr(cls, name) is not getattr(base, name)
    }


def missing(kind: str, file: str, classes: set[type], table: Mapping[type, Any]) -> list[str]:
    """What to write, for each of the classes that has no case."""
    record = f"{kind.capitalize()}Case"
    return [
        f"{cls.__name__} is a public {kind} without a case: add `{cls.__name__}: {record}(...)` "
        f"to {file}; what goes into it says {record} in tests/cases/__init__.py"
        for cls in sorted(classes - set(table), key=lambda cls: cls.__name__)
    ]
