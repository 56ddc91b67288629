"""What is checked: a function of named tensors, and the gradient that it claims to have.

A subject works on a copy in float64, so nothing of the user's is changed, and it does the same
thing at every call: what a layer draws at random or counts up is restored before each pass.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, losses
from minicnn.engine.shards import before_softmax
from minicnn.inputs import Data
from minicnn.layers.base import Layer, checked_init
from minicnn.layers.contents import Streams, layers_inside
from minicnn.models import Sequential
from minicnn.training import Runner

Array = NDArray[Any]
Shape = tuple[Any, ...]

BATCH = 3  # samples, where the shape leaves it open; differs from the 2 in so many formulas


class Subject:
    """A function y = f(tensors) with a backward pass.

    Attributes
    ----------
    who : str
        How messages name it.
    tensors : dict of str to ndarray
        What y is differentiated by, float64. Write into them, and the next `forward` sees it.
    """

    who: str
    tensors: dict[str, Array]
    training = True

    def forward(self) -> Array:
        """y at the present values of the tensors; float64, a new array."""
        raise NotImplementedError

    def backward(self, dy: Array) -> dict[str, Any]:
        """The claimed gradients of <dy, y>, by name; as they come, whatever their shape."""
        raise NotImplementedError

    def expect(self, y: Array) -> None:
        """Raise ValueError where `forward` contradicts what else is said about its shape."""

    def problems(self, dy: Array) -> list[tuple[str, str]]:
        """Faults beside wrong numbers, as pairs (kind, what is wrong and what to do)."""
        return []

    def sizes(self) -> dict[str, float]:
        """Numbers by which a gradient may be off, with the names that the formulas give them."""
        return {}

    def walked(self) -> Iterable[tuple[Any, Array]]:
        """The layers that have replicas, and their inputs."""
        return []


# -- a layer --------------------------------------------------------------------------------------


class LayerSubject(Subject):
    """A copy of one layer, and a batch for it.

    Parameters
    ----------
    layer : Layer, or an object with `forward(x)`, `backward(dy)`, `params` and `grads`
    x : ndarray of shape (N, ...)
    training : bool
        Passed to `forward`, if it takes it.
    rng : Generator
        Gives the copy's first weights, if it is not built, and moves constant parameters.
    perturb : bool
        Whether parameters whose numbers are all equal get random ones.
    """

    def __init__(
        self, layer: Any, x: Array, *, training: bool, rng: np.random.Generator, perturb: bool
    ) -> None:
        if isinstance(layer, Layer):
            checked_init(layer)
        self.who = name_of(layer)
        self.training = training
        self.layer = _copy(layer, self.who, np.float64)
        _build(self.layer, x.shape, rng)
        self.layer = _copy(self.layer, self.who, np.float64)  # a build may not care for the dtype
        self.params: dict[str, Array] = dict(getattr(self.layer, "params", {}))
        if perturb:
            move_constants(self.params.values(), rng)
        self.x = np.array(x, np.float64, order="C")
        floats = {key: p for key, p in self.params.items() if _is_float(p)}
        self.tensors = {"x": self.x, **floats}
        self._run = forward_call(self.layer, training)
        self._rewind = Rewind([self.layer])
        forget_gradients(self.layer)

    def forward(self) -> Array:
        self._rewind()
        return np.array(self._run(self.x.copy()))

    def backward(self, dy: Array) -> dict[str, Any]:
        forget_gradients(self.layer)
        self.forward()
        return self._gradients(dy.copy())

    def _gradients(self, dy: Array) -> dict[str, Any]:
        dx = plain_backward(self.layer, dy)
        grads = getattr(self.layer, "grads", {})
        found = {"x": dx, **{key: grads.get(key) for key in self.params}}
        return {name: copy.copy(gradient) for name, gradient in found.items()}

    def problems(self, dy: Array) -> list[tuple[str, str]]:
        return [*self._written_inputs(dy), *self._old_gradients(dy)]

    def expect(self, y: Array) -> None:
        output_shape = getattr(self.layer, "output_shape", None)
        promised = tuple(output_shape(self.x.shape)) if callable(output_shape) else y.shape
        if promised != y.shape:
            raise ValueError(
                f"{self.who}: forward returns shape {y.shape}, but output_shape({self.x.shape}) "
                f"is {promised}. Define output_shape(input_shape) to say the same"
            )

    def _written_inputs(self, dy: Array) -> Iterator[tuple[str, str]]:
        """The passes may read x, dy and the parameters; writing belongs to the optimizer."""
        self._rewind()
        x, given = self.x.copy(), dy.copy()
        before = {key: np.array(p) for key, p in self.params.items()}
        self._run(x)
        if not np.array_equal(x, self.x):
            yield "writes x", "forward writes into x; work on a new array"
            x[...] = self.x
        plain_backward(self.layer, given)
        if not np.array_equal(x, self.x):
            yield "writes x", "backward writes into the x that forward was given"
        if not np.array_equal(given, dy):
            yield "writes dy", "backward writes into dy; write dz = dy * ..., not dy *= ..."
        for key, value in before.items():
            same = self.layer.params[key] is self.params[key]
            if not same or not np.array_equal(self.params[key], value):
                yield "writes params", f"a pass changes params['{key}']; that is the optimizer's"
                self.params[key][...] = value

    def _old_gradients(self, dy: Array) -> Iterator[tuple[str, str]]:
        """A second pass has to replace the gradients of the first."""
        passes = [self.backward(dy)]
        for _ in range(2):
            self.forward()
            passes.append(self._gradients(dy.copy()))
        for name in passes[0]:
            if any(found[name] is None for found in passes):
                continue
            a, b, c = (np.asarray(found[name]) for found in passes)
            close = 1e-9 * float(np.abs(a).max(initial=0))
            if a.shape != b.shape or not np.isfinite(close) or np.abs(a - b).max() <= close:
                continue
            if np.allclose(c - b, b - a, rtol=0, atol=close):
                yield (
                    "accumulated",
                    f"the gradient of {name} is added to the old one instead of replacing it: it "
                    "grows with every backward. Write =, or [...] =, instead of +=",
                )
            else:
                yield (
                    "not repeatable",
                    f"the gradient of {name} differs between two passes over the same x and dy",
                )

    def walked(self) -> Iterable[tuple[Any, Array]]:
        return [(self.layer, self.x)] if isinstance(self.layer, Layer) else []

    def sizes(self) -> dict[str, float]:
        y = self.forward()
        return {
            **batch_sizes(self.x.shape, y.shape),
            **window_sizes(self.layer, self.params),
            **_fractions(self.layer),
        }


def name_of(thing: Any) -> str:
    """How messages name a layer, loss or model: "Conv2D 'conv2d_1'"."""
    who = getattr(thing, "who", None)
    return who if isinstance(who, str) else type(thing).__name__


def _copy(thing: Any, who: str, dtype: Any = None) -> Any:
    """A deep copy of a layer, loss or model; with a `dtype`, its layers are turned to that."""
    arrays = [] if dtype is None else [a for t in _tables(thing) for a in t.values()]
    memo = {
        id(a): np.array(a, dtype, order="C") for a in arrays if _is_float(a)
    }  # its counterparts
    try:
        twin = copy.deepcopy(thing, memo)
    except Exception as error:
        raise TypeError(
            f"{who}: the check works on a copy, and copy.deepcopy of it fails ({error}). "
            "Define __deepcopy__, or leave out the attribute that cannot be copied"
        ) from error
    for one in with_inner(twin) if dtype is not None else ():
        if isinstance(one, Layer):
            one.set_dtype(dtype)
    return twin


def forward_call(layer: Any, training: bool) -> Callable[[Array], Any]:
    """`layer.forward` of x alone; `training` is handed over in the way it is taken, if it is."""
    try:
        parameters = list(inspect.signature(layer.forward).parameters.values())
    except (TypeError, ValueError):  # a compiled function tells nothing
        return layer.forward
    if any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters):
        return lambda x: layer.forward(x, training=training)
    required = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if len(required) > 1:
        return lambda x: layer.forward(x, training)
    return layer.forward


def plain_backward(layer: Any, dy: Array) -> Any:
    """`layer.backward`, without the check of dx that a user's class gets from `Layer`."""
    plain = getattr(layer.backward, "plain", None)
    return layer.backward(dy) if plain is None else plain(layer, dy)


def _build(layer: Any, x_shape: Shape, rng: np.random.Generator) -> None:
    """Build what is not built; the weights come from `rng`, not from the package's own stream."""
    built = not getattr(layer, "awaits_build", not getattr(layer, "built", False))
    if built or not callable(getattr(layer, "build", None)):
        return
    if not isinstance(layer, Layer) and getattr(layer, "params", None):
        return
    for one in with_inner(layer):
        if isinstance(one, Layer) and one.rng is None:
            one.rng = fork(rng)
    layer.build((None, *x_shape[1:]))
    if isinstance(layer, Layer) and not layer.built:
        raise ValueError(
            f"{layer.who}: build(input_shape) has to end with super().build(input_shape)"
        )


def fork(rng: np.random.Generator) -> np.random.Generator:
    """Another generator, which may be wound back without touching `rng`."""
    return np.random.default_rng(rng.integers(2**63))


def with_inner(thing: Any) -> list[Any]:
    """`thing`, and the layers that it holds, however deep."""
    inside = layers_inside(getattr(thing, "__dict__", {}))
    return [thing, *(one for one in inside if one is not thing)]


def _tables(thing: Any) -> list[dict[str, Any]]:
    """The dicts of arrays in `thing` and the layers inside it."""
    names = ("params", "grads", "state")
    tables = [getattr(one, name, None) for one in with_inner(thing) for name in names]
    return [table for table in tables if isinstance(table, dict)]


def _is_float(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind == "f"


def move_apart(x: Array, rng: np.random.Generator) -> None:
    """Move numbers by up to 0.01 of their range."""
    width = 0.01 * (float(np.ptp(x)) or 1.0)
    x += rng.uniform(-width, width, x.shape)


def move_constants(arrays: Iterable[Array], rng: np.random.Generator) -> None:
    """Give random numbers to parameters that are all zeros or all ones.

    A gradient that forgets gamma is right as long as gamma is 1, and with zero biases the flat
    parts of an image sit exactly on the kink of a ReLU.
    """
    for array in arrays:
        if _is_float(array) and array.size and (array == array.flat[0]).all():
            width = 0.25 * max(1.0, abs(float(array.flat[0])))
            array += rng.uniform(-width, width, array.shape)


def forget_gradients(layer: Any) -> None:
    """Zeros into all gradients, so that what is added to them is seen as it is."""
    for one in with_inner(layer):
        grads = getattr(one, "grads", None)
        if isinstance(grads, dict):
            for array in grads.values():
                if isinstance(array, np.ndarray) and array.flags.writeable:
                    array[...] = 0


class Rewind:
    """Puts layers to where they were: running statistics, generators, dropout's place."""

    def __init__(self, layers: Iterable[Any]) -> None:
        self._all = [one for layer in layers for one in with_inner(layer)]
        self._arrays = [
            (table, key, array, array.copy())
            for one in self._all
            if isinstance(table := getattr(one, "state", None), dict)
            for key, array in table.items()
            if isinstance(array, np.ndarray)
        ]
        self._streams = Streams(one for one in self._all if isinstance(one, Layer))
        self._generators = [
            (value.bit_generator, value.bit_generator.state)
            for one in self._all
            if not isinstance(one, Layer)
            for value in getattr(one, "__dict__", {}).values()
            if isinstance(value, np.random.Generator)
        ]

    def __call__(self, sample: int = 0) -> None:
        """The next batch is that of the first step, from number `sample` on."""
        for table, key, array, saved in self._arrays:
            array[...] = saved
            table[key] = array
        for generator, state in self._generators:
            generator.state = state
        for one in self._all:
            if callable(getattr(one, "seek", None)):
                one.seek(0, sample)
        self._streams.seek(0, sample)


# -- sizes, by the names of the formulas ----------------------------------------------------------


def batch_sizes(x_shape: Shape, y_shape: Shape) -> dict[str, float]:
    """Sizes that can be read off x and y."""
    sizes: dict[str, float] = {"N": x_shape[0]}
    if len(x_shape) == 4 and len(y_shape) == 4:
        _, H_in, W_in, C_in = x_shape
        _, H_out, W_out, C_out = y_shape
        sizes |= {"H_out*W_out": H_out * W_out, "N*H_out*W_out": x_shape[0] * H_out * W_out}
        sizes |= {"H_in*W_in": H_in * W_in, "C_in": C_in, "C_out": C_out}
        sizes |= {"H_in": H_in, "W_in": W_in, "H_out": H_out, "W_out": W_out}
    elif len(x_shape) > 1 and len(y_shape) > 1:
        sizes |= {"inputs": x_shape[-1], "outputs": y_shape[-1]}
    sizes["the numbers in y"] = math.prod(y_shape)
    sizes["the numbers in a sample of y"] = math.prod(y_shape[1:])
    return sizes


def window_sizes(layer: Any, params: dict[str, Array]) -> dict[str, float]:
    """Sizes of a kernel or pool, from the layer's attributes or its 4-D parameter."""
    sizes: dict[str, float] = {}
    kernels = [p.shape[:2] for p in params.values() if np.ndim(p) == 4]
    window = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
    for pair in (window, *kernels):
        if isinstance(pair, tuple) and len(pair) == 2:
            sizes |= {"K_h*K_w": pair[0] * pair[1], "K_h": pair[0], "K_w": pair[1]}
    strides = getattr(layer, "strides", None)
    if isinstance(strides, tuple) and len(strides) == 2:
        sizes |= {"S_h*S_w": strides[0] * strides[1], "S_h": strides[0], "S_w": strides[1]}
    return sizes


def _fractions(layer: Any) -> dict[str, float]:
    """Settings of the layer between 0 and 1 (rate, momentum), and what they leave to 1."""
    fractions: dict[str, float] = {}
    for name, value in getattr(layer, "__dict__", {}).items():
        if isinstance(value, float) and 0 < value < 1:
            name = name.removeprefix("_")  # behind a property
            fractions |= {name: value, f"(1 - {name})": 1 - value}
    return fractions


# -- a loss ---------------------------------------------------------------------------------------


class LossSubject(Subject):
    """A loss as a function of the predictions; y is the loss of each sample.

    Parameters
    ----------
    loss : Loss, or an object with `forward(y_true, y_pred)` and `backward(y_true, y_pred)`
    y_true, y_pred : ndarray
        Targets, as the loss takes them, and predictions of shape (N, ..., C).
    """

    def __init__(self, loss: Any, y_true: Array, y_pred: Array) -> None:
        self.who = type(loss).__name__
        self.loss = _copy(loss, self.who)
        self.y_true = y_true
        self.tensors = {"y_pred": np.array(y_pred, np.float64, order="C")}

    def forward(self) -> Array:
        return np.array(self.loss.forward(self.y_true.copy(), self.tensors["y_pred"].copy()))

    def backward(self, dy: Array) -> dict[str, Any]:
        y_pred = self.tensors["y_pred"]
        gradient = self.loss.backward(self.y_true.copy(), y_pred.copy())
        if isinstance(gradient, np.ndarray) and gradient.shape == y_pred.shape:
            gradient = gradient * dy.reshape(-1, *[1] * (y_pred.ndim - 1))
        return {"y_pred": gradient}

    def problems(self, dy: Array) -> list[tuple[str, str]]:
        y_pred = self.tensors["y_pred"]
        found = []
        for what in ("forward", "backward"):
            true, pred = self.y_true.copy(), y_pred.copy()
            getattr(self.loss, what)(true, pred)
            if not (np.array_equal(true, self.y_true) and np.array_equal(pred, y_pred)):
                found.append(("writes x", f"{what} writes into y_true or y_pred"))
        return found

    def sizes(self) -> dict[str, float]:
        shape = self.tensors["y_pred"].shape
        sizes: dict[str, float] = {"N": shape[0], "C": shape[-1]}
        if len(shape) > 2:
            sizes["the predictions in a sample"] = math.prod(shape[1:-1])
        return sizes | {"the numbers in a sample": math.prod(shape[1:])}


# -- a model --------------------------------------------------------------------------------------


class Undisturbed:
    """What a walk through the layers does to what they hand on and keep: nothing.

    `engine.Noise` does something.
    """

    def handed_on(self, array: Array, size: float = 0.0) -> Array:
        """What the next layer gets of `array`; `size` is that of the numbers it is a rest of."""
        return array

    def kept(self, layer: Any) -> None:
        """`layer` has kept what its backward needs."""


UNDISTURBED = Undisturbed()


class ModelSubject(Subject):
    """A model as a function of x and all its parameters; y is the loss of each sample.

    The gradients of the parameters are those which `fit` would give to the optimizer: from
    `training.Runner`, through shards and the loss on logits, with `dy` as weights of the samples.
    The layers' own backward, which is the same walk, gives that of x.
    """

    def __init__(
        self,
        model: Sequential,
        x: Any,
        y: Any,
        loss: Any,
        *,
        training: bool,
        rng: np.random.Generator,
        perturb: bool,
    ) -> None:
        self.who = model.who
        self.training = training
        given = model.loss if loss is None else losses.get(loss, "check_model")
        if given is None:
            raise ValueError(
                f"check_model: {model.who} has no loss. Compile it with one, or give loss=..."
            )
        x = _batch(x, "x", "check_model")
        self.dtype = model.dtype if model.built else model._common_dtype(model.layers)  # of `fit`
        self.model = _double_model(model, x.shape, rng)
        sample = self.model.input_shape[1:]
        if math.prod(x.shape[1:]) != math.prod(sample):
            raise ValueError(
                f"check_model: expected x of shape {('N', *sample)}, received {x.shape}"
            )
        self.x = np.array(x, np.float64, order="C").reshape(len(x), *sample)
        self.y_true = given.targets(y, self.model.output_shape, "check_model")
        checks.same_length({"x": self.x, "y": self.y_true}, "check_model")
        if perturb:
            move_constants([p for layer in self.model.layers for p in layer.params.values()], rng)

        layers, softmax = before_softmax(self.model.layers)
        on_logits = softmax and given.from_logits is not None
        self.loss = given.on_logits() if on_logits else given
        # replicas, as those which the runner makes, so that neither draws the other's numbers
        self.layers = [one.replica() for one in (layers if on_logits else self.model.layers)]
        self.given = given
        self._runner = Runner(self.model, given, [], True)
        self._rewind = Rewind(self.layers)
        self.tensors = {"x": self.x}
        for layer in self.model.layers:
            self.tensors |= {f"{layer.name}/{key}": p for key, p in layer.params.items()}

    def forward(self) -> Array:
        return np.array(self.loss.forward(self.y_true, self.outputs()[-1]))

    def outputs(self) -> list[Array]:
        """x, and what each layer up to the logits makes of it."""
        walks = [self._walk(shard, UNDISTURBED) for shard in self._shards()]
        return [np.concatenate(parts) for parts in zip(*walks)]

    def _shards(self) -> list[slice]:
        """The pieces of the batch that `fit` would run: random numbers begin anew in each."""
        return self._runner.network.shards(len(self.x)) if self.training else [slice(len(self.x))]

    def _walk(self, shard: slice, noise: Undisturbed) -> list[Array]:
        self._rewind(shard.start or 0)
        walk = [noise.handed_on(self.x[shard].copy())]
        for layer in self.layers:
            walk.append(noise.handed_on(layer.forward(walk[-1], self.training)))
            noise.kept(layer)
        return walk

    def backward(self, dy: Array) -> dict[str, Any]:
        found = self.walk_back(dy)
        if self.training:
            found |= gradients(self._runner, self.model, self.x, self.y_true, dy)
        return found

    def walk_back(self, dy: Array, noise: Undisturbed = UNDISTURBED) -> dict[str, Any]:
        """The gradients by the layers' own backward, one after the other."""
        walks = []
        for shard in self._shards():
            logits = self._walk(shard, noise)[-1]
            gradient = self.loss.backward(self.y_true[shard], logits)
            gradient = gradient * dy[shard].reshape(-1, *[1] * (logits.ndim - 1))
            of_probabilities = float(np.abs(dy).max()) if self.loss.from_logits else 0.0
            gradient = noise.handed_on(gradient, of_probabilities)
            for layer in reversed(self.layers):
                gradient = noise.handed_on(layer.backward(gradient))
            sums = {f"{one.name}/{key}": g for one in self.layers for key, g in one.grads.items()}
            walks.append({"x": gradient, **{name: np.array(g) for name, g in sums.items()}})
        found = {name: sum(walk[name] for walk in walks) for name in walks[0] if name != "x"}
        return {"x": np.concatenate([walk["x"] for walk in walks]), **found}

    def part(
        self, layers: list[Layer], sample: int, x: Array, dy: Array, noise: Undisturbed
    ) -> dict[str, Array]:
        """y, dx and the gradients ("dW") of some of its layers; x begins at number `sample`."""
        self._rewind(sample)
        y = noise.handed_on(x)
        for layer in layers:
            y = noise.handed_on(layer.forward(y, self.training))
            noise.kept(layer)
        dx = noise.handed_on(dy)
        for layer in reversed(layers):
            dx = noise.handed_on(layer.backward(dx))
        found = {f"d{key}": np.array(g) for layer in layers for key, g in layer.grads.items()}
        return {"y": y, "dx": dx, **found}

    def walked(self) -> Iterable[tuple[Any, Array]]:
        return zip(self.layers, self.outputs())

    def sizes(self) -> dict[str, float]:
        return {"N": len(self.x), "C": self.model.output_shape[-1]}


def gradients(
    runner: Runner, model: Sequential, x: Array, y_true: Array, dy: Array | None
) -> dict[str, Array]:
    """The gradients of <dy, losses> that a step of training works out, by "layer name/key".

    Without dy, those of the mean loss.
    """
    (batch,) = Data(x, y_true, None if dy is None else dy * len(dy)).batches(len(x))
    runner.train(batch, 0)
    runner.network.sum(slice(None), model.flat_grads)
    return {f"{one.name}/{k}": np.array(g) for one in model.layers for k, g in one.grads.items()}


def as_type(model: Sequential, dtype: Any) -> Sequential:
    """A copy of a model that is built, in `dtype`."""
    twin: Sequential = _copy(model, model.who, dtype)
    twin.bind(dtype)
    return twin


def _double_model(model: Sequential, x_shape: Shape, rng: np.random.Generator) -> Sequential:
    """A float64 copy, built."""
    if model.built:
        return as_type(model, np.float64)
    twin: Sequential = _copy(model, model.who, np.float64)
    twin.rng = fork(rng)
    twin.build((None, *x_shape[1:]) if _declared(twin) is None else None)
    return twin


def _declared(model: Sequential) -> Any:
    return model._declared_sample(model.layers[0]) if model.layers else None


def _batch(x: Any, name: str, who: str) -> Array:
    """`x` as an array with a batch axis and no empty one, finite."""
    array = checks.numeric(x, name, who)
    if array.ndim < 1 or 0 in array.shape:
        raise ValueError(
            f"{who}: expected {name} to have a batch axis and no empty axis, received shape "
            f"{array.shape}"
        )
    checks.finite(array, name, who)
    return array
