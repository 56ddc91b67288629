"""One pass through a copy of the model, and what went in and out of each layer, for one image."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.engine.blas import single_threaded_blas
from minicnn.engine.logits import before_activation
from minicnn.explain.attention import Attention, class_of, grad_cam, saliency
from minicnn.layers.activations import Linear, Sigmoid, Softmax
from minicnn.layers.base import Layer
from minicnn.layers.conv import ConvolutionLayer
from minicnn.layers.regularization import OutputPenalty, with_penalties
from minicnn.losses.base import Loss

Array = NDArray[Any]


class Tap:
    """Notes what passes through a layer.

    Attributes
    ----------
    x, y, dy, dx : ndarray or None
        Of the image that is shown: copies, without the batch axis. None where nothing passed.
    batch_x, batch_dy : ndarray or None
        Of all images.
    given : ndarray or None
        What `backward` hands on instead of what the layer would: the gradient that the loss has
        worked out at the layer's input, the logits.
    """

    def __init__(self, layer: Layer, row: int) -> None:
        self.layer, self.row = layer, row
        self.x: Array | None = None
        self.y: Array | None = None
        self.dy: Array | None = None
        self.dx: Array | None = None
        self.batch_x: Array | None = None
        self.batch_dy: Array | None = None
        self.given: Array | None = None
        self._forward, self._backward = layer.forward, layer.backward
        vars(layer).update(forward=self.forward, backward=self.backward)  # of the copy alone

    def forward(self, x: Array, training: bool = False) -> Array:
        self.x = x[self.row].copy()
        self.batch_x = x
        y = self._forward(x, training)
        self.y = y[self.row].copy()
        return y

    def backward(self, dy: Array) -> Array:
        self.dy = dy[self.row].copy() if self.given is None else None
        self.batch_dy = dy
        dx = self._backward(dy) if self.given is None else self.given
        self.dx = dx[self.row].copy()
        return dx

    def slope(self, shape: tuple[int, ...]) -> Array:
        """dy/dx of the image, for a layer that works cell by cell on a batch of `shape`.

        Its backward multiplies dy by the slope, so of ones it makes the slope.
        """
        ones = np.ones(shape, self.layer.dtype or np.float32)
        slope: Array = self._backward(ones)[self.row].copy()
        return slope

    def forget_gradients(self) -> None:
        self.dy = self.dx = self.batch_dy = self.given = None


@dataclass
class Leaf:
    """A layer of the model: its tap, and that of the activation inside it, where z and y differ."""

    layer: Layer
    place: str  # names of the models around it and its own: "base / conv2d"
    tap: Tap
    activation: Tap | None

    @property
    def taps(self) -> list[Tap]:
        return [self.tap] if self.activation is None else [self.tap, self.activation]

    @property
    def last(self) -> Tap:
        return self.activation or self.tap

    @property
    def splits(self) -> bool:
        """Whether the activation was the last thing that the layer did."""
        inner = self.activation
        return (
            inner is not None
            and inner.y is not None
            and self.tap.y is not None
            and np.array_equal(inner.y, self.tap.y, equal_nan=True)
        )


@dataclass
class Walk:
    """What one pass showed.

    Attributes
    ----------
    N : int
        Images in the batch.
    run : int
        Images that went through the model: all, or the one that is shown.
    output : ndarray of shape (run, ...)
        What the model gave; the image that is shown is `output[row]`.
    loss : float or None
        The image's loss; None without y.
    end : Tap or None
        The softmax or sigmoid whose input the loss takes.
    """

    leaves: list[Leaf]
    N: int
    run: int
    image: int
    training: bool
    output: Array
    step: int
    loss: float | None = None
    end: Tap | None = None
    target: Any = None
    row: int = 0
    attention: Attention = field(default_factory=Attention)


def walk_through(
    model: Any, x: Array, y: Array | None, loss: Loss | None, image: int, training: bool
) -> Walk:
    """Run the batch x through a copy of the built model; with y, the loss's gradient back.

    The gradient is that of the sum of the images' losses, so an image's numbers do not depend on
    how many others there are; `fit` divides by N. The others are left out where no layer looks at
    them: a test set may be given as it is.
    """
    twin = copy.deepcopy(model)  # with its own gradients, running statistics and random numbers
    layers = with_penalties(twin.leaves)
    for layer in layers:
        if isinstance(layer, OutputPenalty):
            layer.samples = 1  # each image's own penalty, as its own loss
    N, first, row = len(x), 0, image
    if not (training and any(layer.mixes_samples for layer in twin.leaves)):
        x, first, row = x[image : image + 1], image, 0
        y = None if y is None else y[image : image + 1]
    places = places_of(twin)
    leaves = [_leaf(layer, places[id(layer)], row) for layer in twin.leaves]
    with single_threaded_blas(), np.errstate(all="ignore"):
        output = x
        for layer in layers:
            layer.seek(model.steps_taken, first)  # the masks of the next step of training
            output = layer.forward(output, training)
        walk = Walk(leaves, N, len(x), image, training, output, model.steps_taken, row=row)
        walk.attention = _attention(walk, layers)
        for leaf in leaves:
            for tap in leaf.taps:
                tap.forget_gradients()
        if y is not None and loss is not None:
            _loss_and_gradients(walk, layers, y, loss)
    return walk


def places_of(model: Any, prefix: str = "") -> dict[int, str]:
    """The leaves by their id, each with the names of the models around it."""
    found = {}
    for item in model.layers:
        if isinstance(item, Layer):
            found[id(item)] = f"{prefix}{item.name}"
        else:
            found |= places_of(item, f"{prefix}{item.name} / ")
    return found


def _leaf(layer: Layer, place: str, row: int) -> Leaf:
    inner = getattr(layer, "activation", None)
    if not isinstance(inner, Layer) or type(inner) is Linear:
        return Leaf(layer, place, Tap(layer, row), None)
    return Leaf(layer, place, Tap(layer, row), Tap(inner, row))


def _back(layers: list[Layer], dy: Array) -> Array:
    for layer in reversed(layers):
        dy = layer.backward(dy)
    return dy


def _before_end(walk: Walk, layers: list[Layer], activation: str) -> tuple[list[Layer], Tap | None]:
    """The layers up to the logits' activation, and its tap; (all of them, None) without one."""
    if not before_activation(layers, activation)[1]:
        return layers, None
    kind = Sigmoid if activation == "sigmoid" else Softmax
    for leaf in reversed(walk.leaves):
        if isinstance(leaf.last.layer, kind):
            return layers[: layers.index(leaf.layer) + 1], leaf.last
    return layers, None


def _loss_and_gradients(walk: Walk, layers: list[Layer], y: Array, loss: Loss) -> None:
    before, end = _before_end(walk, layers, loss.activation)
    shape = walk.output.shape
    last = loss.axis % len(shape) == len(shape) - 1
    walk.target = y[walk.row]
    takes_logits = loss.from_logits is not None and (last or not loss.joint)
    logits = None if end is None else end.batch_x
    if end is not None and logits is not None and takes_logits:
        told = loss.on_logits()  # as `fit` does it: exact for logits of any size
        losses = told.forward(y, logits)
        end.given, walk.end = told.backward(y, logits), end
        _back(before, np.zeros_like(walk.output))
    else:
        if loss.from_logits and end is not None:
            loss = loss.on_probabilities()
        losses = loss.forward(y, walk.output)
        _back(layers, loss.backward(y, walk.output))
    walk.loss = float(np.float32(losses[walk.row]))


def _attention(walk: Walk, layers: list[Layer]) -> Attention:
    """What the class that the model chose depends on, in this image."""
    if walk.output.ndim != 2:
        return Attention(why_not="The output is no list of classes.")
    chosen = class_of(walk.output[walk.row])
    for activation in ("softmax", "sigmoid"):
        before, end = _before_end(walk, layers, activation)
        if end is not None:
            break
    seed = np.zeros_like(walk.output)
    seed[walk.row, chosen] = 1
    if end is not None:
        end.given = seed
    try:
        dx = _back(before, seed)[walk.row]
    except NotImplementedError as error:  # a user's layer that only predicts
        return Attention(why_not=f"No gradient reaches the image: {error}.")
    found = Attention(chosen=chosen, of_score=end is not None)
    if dx.ndim == 3:
        found.saliency = saliency(dx)
    for leaf in reversed(walk.leaves):
        A, dA = leaf.tap.y, leaf.tap.dy
        if isinstance(leaf.layer, ConvolutionLayer) and A is not None and dA is not None:
            found.cam, found.cam_layer = grad_cam(A, dA), leaf.place
            break
    return found
