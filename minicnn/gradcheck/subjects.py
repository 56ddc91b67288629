"""What is checked: a function of named tensors, and the gradient that it claims to have.

A subject works on a copy in float64, so the user's objects do not change, and gives the same
numbers at every call: random generators and running statistics are restored before each pass.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator

from minicnn import checks, losses
from minicnn.engine.lanes import Lane
from minicnn.gradcheck import copies
from minicnn.gradcheck.result import Mistake
from minicnn.inputs import Data
from minicnn.layers.base import Array, Layer, Shape
from minicnn.layers.regularization import OutputPenalty
from minicnn.layers.subclassing import checked_init
from minicnn.models import Sequential
from minicnn.training.step import Runner

Gradients = dict[str, Array]


class Subject(Protocol):
    """A function y = f(tensors) with a backward pass."""

    who: str  # its name in messages
    tensors: dict[str, Array]  # float64; what is written into them, the next `forward` sees
    training: bool = True
    y_shape: Shape | None = None  # that it promises

    def forward(self) -> Array:
        """y at the present values of the tensors; float64, a new array."""

    def backward(self, dy: Array) -> dict[str, Any]:
        """The claimed gradients of <dy, y>, by name, unchecked."""

    def sizes(self) -> dict[str, float]:
        """Numbers by which a gradient may be off, with the names that the formulas give them."""

    def perturb(self, rng: Generator) -> None:
        """Give random numbers to the parameters that are constant."""
        copies.move_constants([t for name, t in self.tensors.items() if name != "x"], rng)

    def problems(self, dy: Array) -> Iterable[Mistake]:
        """Faults beside wrong numbers."""
        return []

    def layers_and_inputs(self) -> Iterable[tuple[Layer, Array]]:
        """The layers that have replicas, and their inputs."""
        return []


class LayerSubject(Subject):
    """A copy of one layer, or of an object with the same methods, and a batch x (N, ...)."""

    def __init__(self, layer: Any, x: Array, *, training: bool, rng: Generator) -> None:
        if isinstance(layer, Layer):
            checked_init(layer)
        self.who = str(getattr(layer, "who", type(layer).__name__))
        built = copies.copy_of(layer, self.who, np.float64)
        _build(built, x.shape, rng)
        self.layer = copies.copy_of(built, self.who, np.float64)  # its build may ignore the dtype
        self.params: dict[str, Array] = dict(getattr(self.layer, "params", {}))
        self.x = np.array(x, np.float64, order="C")
        self.tensors = {"x": self.x, **{k: p for k, p in self.params.items() if copies.is_float(p)}}
        self.training, self._passes = training, copies.Passes(self.layer, training)
        if callable(output_shape := getattr(self.layer, "output_shape", None)):
            self.y_shape = tuple(output_shape(x.shape))

    def forward(self) -> Array:
        return np.array(self._passes.forward(self.x.copy()))

    def backward(self, dy: Array) -> dict[str, Any]:
        for table in copies.tables(self.layer, "grads"):  # so that what is added to them shows
            for array in table.values():
                if isinstance(array, np.ndarray) and array.flags.writeable:
                    array[...] = 0
        return self._both_passes(dy)

    def _both_passes(self, dy: Array) -> dict[str, Any]:
        self.forward()
        dx = self._passes.backward(dy.copy())
        grads = getattr(self.layer, "grads", {})
        found = {"x": dx, **{key: grads.get(key) for key in self.params}}
        return {name: copy.copy(gradient) for name, gradient in found.items()}

    def problems(self, dy: Array) -> Iterator[Mistake]:
        """The passes may read x, dy and the parameters; writing belongs to the optimizer."""
        x, own = self.x.copy(), dy.copy()
        arrays = {f"params[{k!r}]": p for k, p in self.params.items() if isinstance(p, np.ndarray)}
        by_forward = copies.written(lambda: self._passes.forward(x), x=x, **arrays)
        by_backward = copies.written(lambda: self._passes.backward(own), x=x, dy=own, **arrays)
        if "x" in by_forward:
            yield Mistake("writes x", "forward writes into x; work on a new array")
        if "x" in by_backward:
            yield Mistake("writes x", "backward writes into the x that forward was given")
        if "dy" in by_backward:
            yield Mistake("writes dy", "backward writes into dy: make a new array, dz = dy * ...")
        for key, parameter in self.params.items():
            name = f"params[{key!r}]"
            replaced = self.layer.params.get(key) is not parameter
            if replaced or name in by_forward + by_backward:
                yield Mistake("writes params", f"a pass changes {name}; that is the optimizer's")
        yield from self._old_gradients(dy)

    def _old_gradients(self, dy: Array) -> Iterator[Mistake]:
        """A second pass has to replace the gradients of the first."""
        passes = [self.backward(dy), self._both_passes(dy), self._both_passes(dy)]
        for name in passes[0]:
            if any(found[name] is None for found in passes):
                continue
            a, b, c = (np.asarray(found[name]) for found in passes)
            close = 1e-9 * float(np.abs(a).max(initial=0))
            if a.shape != b.shape or not np.isfinite(close) or np.abs(a - b).max() <= close:
                continue
            if np.allclose(c - b, b - a, rtol=0, atol=close):
                kind, told = "accumulated", "is added to the old one instead of replacing it"
                told += ": it grows with every backward. Write =, or [...] =, instead of +="
            else:
                kind, told = "not repeatable", "differs between two passes over the same x and dy"
            yield Mistake(kind, f"the gradient of {name} {told}")

    def layers_and_inputs(self) -> Iterable[tuple[Layer, Array]]:
        return [(self.layer, self.x)] if isinstance(self.layer, Layer) else []

    def sizes(self) -> dict[str, float]:
        x, y = self.x.shape, self.forward().shape
        sizes: dict[str, float] = {"N": x[0]}
        if len(x) == len(y) == 4:
            sizes |= zip(("H_in", "W_in", "C_in", "H_out", "W_out", "C_out"), (*x[1:], *y[1:]))
        elif min(len(x), len(y)) > 1:
            sizes |= {"inputs": x[-1], "outputs": y[-1]}
        settings = {"kernel_size": "K", "pool_size": "K", "strides": "S"}
        pairs = [(letter, getattr(self.layer, name, None)) for name, letter in settings.items()]
        pairs += [("K", p.shape[:2]) for p in self.params.values() if np.ndim(p) == 4]
        for letter, pair in pairs:
            if isinstance(pair, tuple) and len(pair) == 2:
                sizes |= {f"{letter}_h": pair[0], f"{letter}_w": pair[1]}
        for product in ("K_h*K_w", "S_h*S_w", "H_in*W_in", "H_out*W_out", "N*H_out*W_out"):
            factors = product.split("*")
            if sizes.keys() >= set(factors):
                sizes[product] = math.prod(sizes[factor] for factor in factors)
        sizes["the numbers in y"] = math.prod(y)
        sizes["the numbers in a sample of y"] = math.prod(y[1:])
        for name, value in getattr(self.layer, "__dict__", {}).items():
            if isinstance(value, float) and 0 < value < 1:  # a rate, a momentum
                sizes |= {name: value, f"(1 - {name})": 1 - value}
        return sizes


def _build(layer: Any, x_shape: Shape, rng: Generator) -> None:
    """Build what is not built; the weights come from `rng`, not from the package's own stream."""
    built = getattr(layer, "built", False) or getattr(layer, "params", None)
    waits = layer.awaits_build if isinstance(layer, Layer) else not built
    if not waits or not callable(getattr(layer, "build", None)):
        return
    for part in copies.parts(layer):
        if isinstance(part, Layer) and part.rng is None:
            part.rng = np.random.default_rng(rng.integers(2**63))
    layer.build((None, *x_shape[1:]))
    if isinstance(layer, Layer) and not layer.built:
        told = "build(input_shape) has to end with super().build(input_shape)"
        raise ValueError(f"{layer.who}: {told}")


class LossSubject(Subject):
    """A loss as a function of the predictions (N, ..., C); y is the loss of each sample."""

    def __init__(self, loss: Any, y_true: Array, y_pred: Array) -> None:
        self.who = type(loss).__name__
        self.loss = copies.copy_of(loss, self.who)
        self.y_true, self.y_pred = y_true, np.array(y_pred, np.float64, order="C")
        self.tensors = {"y_pred": self.y_pred}

    def forward(self) -> Array:
        return np.array(self.loss.forward(self.y_true.copy(), self.y_pred.copy()))

    def backward(self, dy: Array) -> dict[str, Any]:
        gradient = self.loss.backward(self.y_true.copy(), self.y_pred.copy())
        if isinstance(gradient, np.ndarray) and gradient.shape == self.y_pred.shape:
            gradient = (dy * gradient.T).T  # sample by sample
        return {"y_pred": gradient}

    def problems(self, dy: Array) -> Iterator[Mistake]:
        arrays = {"y_true": self.y_true.copy(), "y_pred": self.y_pred.copy()}
        for what in ("forward", "backward"):
            if copies.written(partial(getattr(self.loss, what), *arrays.values()), **arrays):
                yield Mistake("writes x", f"{what} writes into y_true or y_pred")

    def sizes(self) -> dict[str, float]:
        N, *positions, C = self.y_pred.shape
        sizes = {"N": N, "C": C, "the predictions in a sample": math.prod(positions)}
        return {**sizes, "the numbers in a sample": C * math.prod(positions)}


class ModelSubject(Subject):
    """A model as a function of x and all its parameters; y is the loss of each sample, and one
    number more where there are regularizers, the sum of the penalties.

    The gradients of the parameters are those which `fit` would give to the optimizer: from
    `training.Runner`, through shards and the loss on logits, with `dy` as weights of the samples.
    The layers' own backward, which is the same walk, gives that of x.
    """

    def __init__(
        self, model: Sequential, x: Array, y: Any, loss: Any, *, training: bool, rng: Generator
    ) -> None:
        self.who, self.training = model.who, training
        given = model.loss if loss is None else losses.get(loss, "check_model")
        if given is None:
            told = "has no loss. Compile it with one, or give loss=..."
            raise ValueError(f"check_model: {model.who} {told}")
        if not model.built:
            model = copies.copy_of(model, model.who)
            model.rng = np.random.default_rng(rng.integers(2**63))
            model.build((None, *x.shape[1:]))
        self.dtype = model.dtype
        self.model = as_type(model, np.float64)
        if x[0].size != math.prod(sample := model.input_shape[1:]):
            expected = f"expected x of shape {('N', *sample)}"
            raise ValueError(f"check_model: {expected}, received {x.shape}")
        self.x = np.array(x, np.float64, order="C").reshape(len(x), *sample)
        y = checks.numeric(y, "y", "check_model")
        self.given = given.chosen(y.shape, model.output_shape)
        self.y_true = self.given.targets(y, model.output_shape, "check_model")
        checks.same_length({"x": self.x, "y": self.y_true}, "check_model")
        self.tensors = {"x": self.x}
        for one in self.model.leaves:
            self.tensors |= {f"{one.name}/{key}": p for key, p in one.params.items()}

        self._runner = Runner(self.model, self.given, [], True)
        self.loss = self._runner.loss
        self._lane = Lane(self._runner.network.plan, None)  # up to the logits
        self._lane.begin(len(self.x))
        self.layers: list[Any] = self._lane.layers
        self._penalties: dict[int, float] = {}  # on the outputs of the last walk, by shard
        self._rewind = copies.Rewind(self.layers)
        on_outputs = any(isinstance(one, OutputPenalty) for one in self.layers)
        self._penalized = on_outputs or bool(self._runner.penalized)

    def forward(self) -> Array:
        losses = np.array(self.loss.forward(self.y_true, self.outputs()[-1]))
        penalty = self._runner.penalty(sum(self._penalties.values()))
        return np.append(losses, [penalty] * self._penalized)

    def outputs(self) -> list[Array]:
        """x, and what each layer up to the logits makes of it."""
        walks = []
        for shard in self._shards():
            walks.append(self._up(self.layers, shard.start, self.x[shard]))
            self._penalties[shard.start] = self._lane.penalty()
        return [np.concatenate(parts) for parts in zip(*walks)]

    def _shards(self) -> list[slice]:
        """The pieces of the batch that `fit` would run: random numbers begin anew in each."""
        n = len(self.x)
        return self._runner.network.shards(n) if self.training else [slice(0, n)]

    def _up(self, layers: Sequence[Any], sample: int, x: Array) -> list[Array]:
        self._rewind(sample)
        walk = [x.copy()]
        for layer in layers:
            walk.append(layer.forward(walk[-1], self.training))
        return walk

    def passes(self, layers: Sequence[Any], sample: int, x: Array, dy: Any) -> Gradients:
        """y, dx and the gradients ("layer name/key") of some of its layers, one after the other.

        x begins at number `sample` of the batch; `dy` may be a function of y.
        """
        y = self._up(layers, sample, x)[-1]
        dx = dy(y) if callable(dy) else dy
        for layer in reversed(layers):
            dx = layer.backward(dx)
        return {"y": y, "dx": dx, **named_gradients(layers)}

    def walk_back(self, dy: Array, layers: Sequence[Any] | None = None) -> Gradients:
        """The gradients by the backward of `layers`, or the model's; that of x among them."""
        self.model.flat_grads[...] = 0
        for one in self._runner.penalized:
            one.add_gradient(self.model.flat_params, self.model.flat_grads)
        sums, dx = named_gradients(self.model.leaves), []
        for shard in self._shards():

            def of_loss(y: Array, shard: slice = shard) -> Array:
                return (dy[shard] * self.loss.backward(self.y_true[shard], y).T).T

            found = self.passes(layers or self.layers, shard.start, self.x[shard], of_loss)
            dx.append(found["dx"])
            for name in found.keys() & sums.keys():
                sums[name] = sums[name] + found[name]
        return {"x": np.concatenate(dx), **sums}

    def backward(self, dy: Array) -> dict[str, Any]:
        """`dy` may leave out the penalties, which then count once, as in `fit`."""
        dy, of_penalties = dy[: len(self.x)], dy[len(self.x) :]
        found = self.walk_back(dy)
        if self.training:
            found |= gradients(self._runner, self.model, self.x, self.y_true, dy)
        for factor in of_penalties - 1:
            alone = self.backward(np.zeros_like(dy))
            found = {name: array + factor * alone[name] for name, array in found.items()}
        return found

    def layers_and_inputs(self) -> Iterable[tuple[Layer, Array]]:
        pairs = zip(self.layers, self.outputs())
        return [(one, x) for one, x in pairs if not isinstance(one, OutputPenalty)]

    def penalties_and_inputs(self) -> Iterator[tuple[PenaltyAlone, Array]]:
        """Each regularizer as a layer, and what it is applied to."""
        for layer, x in zip(self.layers, self.outputs()):
            if isinstance(layer, OutputPenalty):
                yield PenaltyAlone(layer.regularizer, f"{layer.layer_name}: its output"), x
        w = self.model.flat_params
        for one in self._runner.penalized:
            yield PenaltyAlone(one.rule, one.who), w[one.place].reshape(one.shape)

    def sizes(self) -> dict[str, float]:
        return {"N": len(self.x), "C": self.model.output_shape[-1]}


class PenaltyAlone:
    """A regularizer as a layer whose output is the penalty."""

    def __init__(self, rule: Any, who: str) -> None:
        self.rule, self.who = rule, f"the regularizer of {who}"

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.reshape(np.asarray(self.rule(x), np.float64), (1,))

    def backward(self, dy: Array) -> Array:
        return dy[0] * np.asarray(self.rule.gradient(self.x))


def gradients(runner: Runner, model: Sequential, x: Array, y_true: Array, dy: Array) -> Gradients:
    """The gradients of <dy, losses> that a step of training works out, by "layer name/key"."""
    (batch,) = Data(x, y_true, dy * len(dy)).batches(len(x))
    runner.train(batch, 0)
    runner.sum_gradient()
    return named_gradients(model.leaves)


def named_gradients(layers: Iterable[Any]) -> Gradients:
    return {f"{one.name}/{key}": np.array(g) for one in layers for key, g in one.grads.items()}


def as_type(model: Sequential, dtype: Any) -> Sequential:
    """A copy of a model that is built, in `dtype`."""
    twin: Sequential = copies.copy_of(model, model.who, dtype)
    twin.bind(dtype)
    return twin
