"""Numbers brought to a common scale: over the data set, or each vector by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minicnn import checks
from minicnn.layers.base import Array, Layer, Shape
from minicnn.layers.normalizing import axes_of, axes_setting
from minicnn.settings import ReadSetting, Setting

MIN_DEVIATION = 1e-7  # of a deviation that is divided by: Keras's epsilon
SHORTEST = 1e-12  # of a length that is divided by, as in Keras


def _axes(value: Any, name: str, who: str) -> tuple[int, ...]:
    most = checks.MOST_AXES
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        return (checks.integer(value, name, who, minimum=-most, maximum=most),)
    return tuple(checks.integer(k, f"each {name}", who, minimum=-most, maximum=most) for k in value)


def _numbers(value: Any, name: str, who: str) -> Any:
    """A number, or an array that nothing can write into; None stays None."""
    if value is None:
        return None
    if not isinstance(value, (list, tuple, np.ndarray)):
        return checks.real(value, name, who)
    array = np.array(checks.numeric(value, name, who), np.float64)
    checks.finite(array, name, who)
    array.flags.writeable = False
    return array


def _kept(axes: tuple[int, ...], input_shape: Shape, who: str) -> tuple[int, ...]:
    """The axes from 1 on, in their order, or a ValueError."""
    n = len(input_shape)
    found = sorted(axis + n if axis < 0 else axis for axis in axes)
    if not all(0 < axis < n for axis in found) or len(set(found)) != len(found):
        raise ValueError(
            f"{who}: expected axis among the axes 1 to {n - 1} of the input {tuple(input_shape)}, "
            f"each once (axis 0 is the batch), received {axes}"
        )
    return tuple(found)


class _Statistic(ReadSetting[Any]):
    """What was given; once the layer is built, what it uses, in a shape that stretches over x."""

    def given(self, thing: Any) -> Any:
        return vars(thing)[self.name]

    def __get__(self, thing: Any, owner: type) -> Any:
        if thing is None or self.name not in vars(thing):
            return super().__get__(thing, owner)
        if thing.awaits_build:
            return vars(thing)[self.name]
        values = thing.in_use(self.name, thing.built_for).astype(thing.dtype)
        values.flags.writeable = False  # only `adapt` finds others
        return values


class Normalization(Layer):
    """Every number minus the mean of the data, over their standard deviation.

    Shapes
        x, y             any
        mean, variance   one number for each place along `axis`

    Forward
        y = (x - mean) / max(sqrt(variance), 1e-7)
        or, with invert, y = mean + x * max(sqrt(variance), 1e-7)

    Backward
        dx = dy / max(sqrt(variance), 1e-7), or with invert dy * max(sqrt(variance), 1e-7)

    Why: mean and variance are learned by `adapt` before training, and are constants of it.

    Parameters
    ----------
    axis : int, sequence of int or None
        Each place along it has a mean and variance; None: one for all numbers.
    mean, variance : number or array, optional
        Both or none; without them `adapt` finds them. As attributes of a layer that is built they
        are arrays that stretch over x, as in Keras: (1, C), or (1, 1, 1, C) for images.
    invert : bool
        Whether the layer takes the scale back.

    Examples
    --------
    >>> layer = Normalization()
    >>> layer.adapt(np.array([[0.0, 10.0], [2.0, 30.0]]))
    >>> layer(np.array([[1.0, 40.0]]))
    array([[0., 2.]], dtype=float32)
    >>> layer.mean
    array([[ 1., 20.]], dtype=float32)
    """

    axis = Setting(_axes, fixed=True)
    mean = _Statistic(_numbers, fixed=True)
    variance = _Statistic(_numbers, fixed=True)
    invert = Setting(checks.boolean)

    def __init__(
        self,
        axis: int | Sequence[int] | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.mean = mean
        self.variance = variance
        self.invert = invert
        self.expect_consistent()

    @property
    def given(self) -> tuple[Any, Any]:
        """Mean and variance as the constructor got them: None if `adapt` has to find them."""
        return vars(self)["mean"], vars(self)["variance"]

    def expect_consistent(self) -> None:
        mean, variance = self.given
        if (mean is None) != (variance is None):
            raise ValueError(
                f"{self.who}: expected mean and variance both or neither, received mean="
                f"{checks.shown(mean)} and variance={checks.shown(variance)}"
            )
        if variance is not None:
            checks.not_negative(np.asarray(variance), "variance", self.who)
        shape = np.shape(mean)
        if shape != np.shape(variance) or len(shape) > len(self.axis):
            raise ValueError(
                f"{self.who}: expected mean and variance of one shape, with at most the "
                f"{len(self.axis)} axes of axis, received {shape} and {np.shape(variance)}"
            )

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checks.batch_shape(input_shape, "input_shape", self.who))
        if self.given[0] is None:
            shape = tuple(input_shape[k] for k in _kept(self.axis, input_shape, self.who))
            self.add_state("mean", shape, "zeros")
            self.add_state("variance", shape, "ones")
            self.add_state("count", (), "zeros")  # without a meaning, as in Keras's files
        super().build(input_shape)
        self.built_for = tuple(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        kept = _kept(self.axis, input_shape, self.who)
        shape = tuple(input_shape[k] for k in kept)
        if None in shape:
            raise ValueError(
                f"{self.who}: expected the sizes along axis {self.axis} to be known, received "
                f"{tuple(input_shape)}"
            )
        wanted = self.state["mean"].shape if "mean" in self.state else np.shape(self.given[0])
        fits = shape == wanted if "mean" in self.state else _fits(wanted, shape)
        if not fits:
            raise ValueError(
                f"{self.who}: expected input whose axis {self.axis} has the sizes {wanted} of "
                f"mean, received {tuple(input_shape)}"
            )
        return tuple(input_shape)

    def adapt(self, data: Any) -> None:
        """Find mean and variance of an array, or of batches one after the other.

        What was found before is forgotten. Raises TypeError or ValueError for data that are no
        arrays of finite numbers of one kind of sample, or if mean was given; then nothing changes.
        """
        if self.given[0] is not None:
            raise ValueError(
                f"{self.who}: expected adapt for a layer without mean and variance, received "
                f"mean={checks.shown(self.given[0])}. Make it without"
            )
        single = isinstance(data, np.ndarray)
        if not single and (isinstance(data, (str, bytes, dict)) or not isinstance(data, Iterable)):
            raise TypeError(
                f"{self.who}: expected data to be an array or batches, received "
                f"{checks.shown(data)}"
            )
        count, mean, variance = 0.0, np.zeros(()), np.zeros(())
        shape: Shape = ()
        for batch in [data] if single else data:
            batch = batch[0] if isinstance(batch, tuple) and len(batch) else batch
            if not hasattr(batch, "shape"):
                raise TypeError(
                    f"{self.who}: expected data to be an array or batches of arrays, received a "
                    f"batch {checks.shown(batch)}. Write adapt(np.array(...))"
                )
            x = checks.numeric(batch, "data", self.who)
            if x.ndim < 1 or x.size == 0:
                raise ValueError(f"{self.who}: expected data with samples, received {x.shape}")
            checks.finite(x, "data", self.who)
            self.output_shape(x.shape)
            kept = _kept(self.axis, x.shape, self.who)
            sizes = tuple(x.shape[k] for k in kept)
            if count and sizes != np.shape(mean):
                raise ValueError(
                    f"{self.who}: expected batches of one kind, received {x.shape} after {shape}"
                )
            over = tuple(k for k in range(x.ndim) if k not in kept)
            n = float(x.size / max(1, int(np.prod(sizes))))
            share = n / (count + n)
            with np.errstate(over="ignore", invalid="ignore"):  # refused below
                m, v = x.mean(axis=over, dtype=np.float64), x.var(axis=over, dtype=np.float64)
                new = mean + (m - mean) * share
                parts = variance + (mean - new) ** 2, v + (m - new) ** 2
                variance = parts[0] * (1 - share) + parts[1] * share
            count, mean, shape = count + n, new, x.shape
        if not count:
            raise ValueError(f"{self.who}: expected at least one batch of data, received none")
        found = {"mean": mean, "variance": variance}
        for key, values in found.items():
            checks.finite(np.asarray(values), f"the {key} of data", self.who, dtype=self.dtype)
        if self.awaits_build:
            self.build((None, *shape[1:]))
        for key, values in found.items():
            self.state[key][...] = values

    def in_use(self, name: str, shape: Shape) -> Array:
        """Mean or variance, given or found, in a shape that stretches over x of that shape."""
        kept = _kept(self.axis, shape, self.who)
        given = vars(self)[name]
        values = np.broadcast_to(
            self.state[name] if given is None else given, [shape[k] for k in kept]
        )
        return values.reshape([size if k in kept else 1 for k, size in enumerate(shape)])

    def mean_and_deviation(self, x: Array) -> tuple[Array, Array]:
        """Mean and deviation in a shape that stretches over x."""
        mean, variance = (self.in_use(name, x.shape) for name in ("mean", "variance"))
        deviation = np.maximum(np.sqrt(variance), MIN_DEVIATION)
        return mean.astype(x.dtype), deviation.astype(x.dtype)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        mean, deviation = self.mean_and_deviation(x)
        self._cache = (1 / deviation if not self.invert else deviation,)
        y: Array = mean + x * deviation if self.invert else (x - mean) / deviation
        return y

    def backward(self, dy: Array) -> Array:
        dy, (slope,) = self._recall(dy)
        dx: Array = dy * slope
        return dx


def _fits(given: tuple[int, ...], sizes: tuple[int, ...]) -> bool:
    """Whether numbers of the shape `given` stretch over `sizes`."""
    behind = sizes[len(sizes) - len(given) :]
    return all(n in (1, size) for n, size in zip(given, behind))


class UnitNormalization(Layer):
    """Each vector over its length.

    Shapes
        x, y   (N, ..., features)

    Forward
        y = x / max(|x|, 1e-12),   |x| the root of the sum of squares along axis

    Backward
        dx = (dy - y * sum(dy * y)) / |x|,   or dy / 1e-12 where |x| is below that

    Why: y does not change where x grows along itself, so that part of dy goes nowhere.

    Parameters
    ----------
    axis : int or list of int
        Not the batch.

    Examples
    --------
    >>> UnitNormalization().forward(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """

    built_when_made = True
    axis: Any = Setting(axes_setting)

    def __init__(self, axis: int | list[int] = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def output_shape(self, input_shape: Shape) -> Shape:
        axes_of(self.axis, input_shape, self.who)
        return tuple(input_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        axes = axes_of(self.axis, x.shape, self.who)
        largest = np.abs(x).max(axis=axes, keepdims=True)
        unit = np.where(largest > 0, largest, 1)  # squares of large numbers would overflow
        length = unit * np.sqrt(((x / unit) ** 2).sum(axis=axes, keepdims=True))
        below = length < SHORTEST
        length = np.where(below, x.dtype.type(SHORTEST), length)
        y = x / length
        self._cache = y, length, below, axes
        return y

    def backward(self, dy: Array) -> Array:
        dy, (y, length, below, axes) = self._recall(dy)
        along = (dy * y).sum(axis=axes, keepdims=True)
        dx: Array = (dy - np.where(below, 0, y * along)) / length
        return dx
