"""The steps that the page shows: which view each gets, and what that view has to know.

A layer with an activation inside makes two: x -> z and z -> y. A view works out as much as it can
from x, dy and the parameters; what is said here is what it cannot know. A class without a view, or
a user's subclass that defines forward anew, gets the general one: what goes in, what comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.explain.collect import Leaf, Tap, Walk
from minicnn.layers import (
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Reshape,
    Softmax,
    SpatialDropout2D,
)
from minicnn.layers.activations import Activation, Elementwise
from minicnn.layers.base import Layer

Array = NDArray[Any]


@dataclass
class Stage:
    """One step of the image's way.

    Attributes
    ----------
    view : str
        Name of the view in web/.
    letters : (str, str)
        What goes in and what comes out: "x" and "y", or "z" between a layer and its activation.
    x, y, dy, dx : ndarray or None
    arrays : dict of str to ndarray
        Parameters and what else is one number a channel or unit, by their letters.
    settings : dict
        Plain values that the view works with.
    notes : list of str
        Sentences that the page shows.
    """

    name: str
    layer: Layer
    view: str
    letters: tuple[str, str]
    x: Array
    y: Array
    dy: Array | None = None
    dx: Array | None = None
    arrays: dict[str, Array] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def stages_of(walk: Walk) -> list[Stage]:
    """The steps of all layers, first to last."""
    return [stage for leaf in walk.leaves for stage in _of_leaf(leaf, walk)]


def _of_leaf(leaf: Leaf, walk: Walk) -> list[Stage]:
    inner = leaf.activation
    if not leaf.splits or inner is None:
        return [_stage(leaf.place, leaf.tap, ("x", "y"), walk)]
    if type(leaf.layer) is Activation:  # does nothing but its activation
        return [_stage(leaf.place, inner, ("x", "y"), walk)]
    first = _stage(leaf.place, leaf.tap, ("x", "z"), walk, y=inner.x, dy=inner.dx)
    name = f"{leaf.place} / {inner.layer.name}"
    return [first, _stage(name, inner, ("z", "y"), walk)]


def _stage(
    name: str,
    tap: Tap,
    letters: tuple[str, str],
    walk: Walk,
    *,
    y: Array | None = None,
    dy: Array | None = None,
) -> Stage:
    """`y` and `dy` are z and dz, where the layer goes on with an activation."""
    x, y = tap.x, tap.y if y is None else y
    if x is None or y is None:
        raise RuntimeError(f"{tap.layer.who}: expected its forward to be called, and it was not")
    dy = tap.dy if dy is None else dy
    arrays = [None if a is None else np.atleast_1d(a) for a in (x, y, dy, tap.dx)]
    stage = Stage(name, tap.layer, "generic", letters, *arrays)  # type: ignore[arg-type]
    for kind, methods, describe in VIEWS:
        if _is(tap.layer, kind, methods):
            describe(stage, tap, walk)
            break
    else:
        _generic(stage, tap, walk)
    if tap.layer.regularizers and stage.dx is not None:
        which = " and ".join(tap.layer.regularizers)
        stage.notes.append(f"A regularizer adds its own gradient to that of {which} here.")
    return stage


def _is(layer: Layer, kind: type[Layer], methods: tuple[str, ...]) -> bool:
    """Whether it does what `kind` does, as a subclass that keeps these methods does."""
    return isinstance(layer, kind) and all(
        getattr(type(layer), name) is getattr(kind, name) for name in methods
    )


# -- what each view has to know -------------------------------------------------------------------


def _windows(stage: Stage, windows: Any) -> None:
    stage.settings |= {
        key: getattr(windows, key)
        for key in ("K_h", "K_w", "S_h", "S_w", "P_top", "P_left", "D_h", "D_w")
    }


def _convolution(stage: Stage, tap: Tap, walk: Walk) -> None:
    layer: Any = tap.layer
    stage.view = "convolution"
    _windows(stage, layer.windows((1, *stage.x.shape)))
    stage.settings |= {"groups": layer.groups, "padding": layer.padding}
    stage.arrays |= {key: layer.params[key] for key in ("W", "b") if key in layer.params}


def _dense(stage: Stage, tap: Tap, walk: Walk) -> None:
    if stage.x.ndim != 1:
        return _generic(stage, tap, walk)
    stage.view = "dense"
    stage.arrays |= {key: tap.layer.params[key] for key in ("W", "b") if key in tap.layer.params}
    return None


def _pooling(stage: Stage, tap: Tap, walk: Walk) -> None:
    layer: Any = tap.layer
    stage.view = "max_pooling" if isinstance(layer, MaxPooling2D) else "average_pooling"
    _windows(stage, layer.windows((1, *stage.x.shape)))


def _global_average(stage: Stage, tap: Tap, walk: Walk) -> None:
    H, W, C = stage.x.shape
    stage.view = "average_pooling"
    stage.settings |= {"K_h": H, "K_w": W, "S_h": 1, "S_w": 1, "P_top": 0, "P_left": 0}
    stage.settings |= {"D_h": 1, "D_w": 1}
    stage.y = stage.y.reshape(1, 1, C)
    stage.dy = None if stage.dy is None else stage.dy.reshape(1, 1, C)
    stage.notes.append("One window covers the whole image. y (C,) is drawn as 1 x 1 x C.")


def _slope(tap: Tap, walk: Walk) -> Array | None:
    """dy/dx cell by cell, if the layer keeps the shape; the loss's own way in has none."""
    if tap.x is None or tap.y is None or tap.x.shape != tap.y.shape:
        return None
    return tap.slope((walk.run, *tap.y.shape))


def _relu(stage: Stage, tap: Tap, walk: Walk) -> None:
    layer: Any = tap.layer
    plain = (layer.max_value, layer.negative_slope, layer.threshold) == (None, 0, 0)
    if not plain:
        return _elementwise(stage, tap, walk)
    stage.view = "relu"
    return None


def _elementwise(stage: Stage, tap: Tap, walk: Walk) -> None:
    slope = _slope(tap, walk)
    if slope is None or tap is walk.end:
        return _generic(stage, tap, walk)
    stage.view, stage.arrays["slope"] = "elementwise", slope
    return None


def _rescaling(stage: Stage, tap: Tap, walk: Walk) -> None:
    _elementwise(stage, tap, walk)
    if stage.view == "elementwise":
        stage.settings["rule"] = "y = x * scale + offset, so the slope is the scale."


def _dropout(stage: Stage, tap: Tap, walk: Walk) -> None:
    layer: Any = tap.layer
    slope = _slope(tap, walk)
    if slope is None:
        return _generic(stage, tap, walk)
    stage.view = "dropout"
    stage.settings["rate"] = float(layer.rate)
    if walk.training:
        stage.arrays["mask"] = slope
    else:
        stage.notes.append(
            "This pass is inference: dropout does nothing, y = x. With training=True the page "
            "shows a mask of training."
        )
    return None


def _flatten(stage: Stage, tap: Tap, walk: Walk) -> None:
    stage.view = "flatten"


def _normalization(stage: Stage, tap: Tap, walk: Walk) -> None:
    layer: Any = tap.layer
    x, dy = tap.batch_x, tap.batch_dy
    axes = tuple(range(stage.x.ndim))  # in the batch, all but the channels
    if x is None or layer.axes_in(x.shape) != (x.ndim - 1,):
        return _generic(stage, tap, walk)
    stage.view = "normalization"
    of_batch = walk.training and layer.trainable
    m = x.size // x.shape[-1]
    if of_batch:
        mean = x.mean(axes, dtype=np.float64)
        var = np.square(x - mean).mean(axes, dtype=np.float64)
    else:
        mean, var = layer.state["moving_mean"], layer.state["moving_variance"]
    ones = np.ones(x.shape[-1])
    stage.arrays |= {"mean": mean, "var": var}
    stage.arrays["gamma"] = layer.params.get("gamma", ones)
    stage.arrays["beta"] = layer.params.get("beta", 0 * ones)
    stage.settings |= {"epsilon": float(layer.epsilon), "of_batch": of_batch, "m": m, "N": walk.run}
    if dy is not None:
        x_hat = (x - mean) / np.sqrt(var + layer.epsilon)
        stage.arrays["dbeta"] = dy.sum(axes, dtype=np.float64)
        stage.arrays["dgamma"] = (dy * x_hat).sum(axes, dtype=np.float64)
    if of_batch and m == 1:
        stage.notes.append(
            "The batch has one number in each channel, which is its own mean: x_hat is 0. Give x "
            "as a batch of several images."
        )
    return None


def _softmax(stage: Stage, tap: Tap, walk: Walk) -> None:
    if stage.x.ndim != 1 or tap.layer.axis not in (-1, 1):  # type: ignore[attr-defined]
        return _generic(stage, tap, walk)
    stage.view = "softmax"
    if walk.end is tap and stage.dx is not None:
        target = _distribution(walk.target, stage.y)
        difference = None if target is None else stage.y - target
        if difference is not None and np.allclose(difference, stage.dx, atol=1e-5):
            stage.arrays["t"] = target  # type: ignore[assignment]
        stage.settings["with_loss"] = True
    return None


def _distribution(target: Any, p: Array) -> Array | None:
    """The target as a distribution over the classes."""
    if np.ndim(target) == 0:
        t = np.zeros_like(p)
        if not 0 <= int(target) < len(p):  # a label that is ignored
            return None
        t[int(target)] = 1
        return t
    return np.asarray(target, p.dtype) if np.shape(target) == p.shape else None


def _generic(stage: Stage, tap: Tap, walk: Walk) -> None:
    stage.view = "generic"
    stage.arrays |= tap.layer.params
    if stage.dx is not None:
        stage.arrays |= {f"d{key}": grad for key, grad in tap.layer.grads.items()}
    if walk.end is tap:
        stage.notes.append(
            "The loss takes what goes in here, and works out its gradient at once, so the backward "
            "of this layer is not run."
        )


Describe = Callable[[Stage, Tap, Walk], None]
PASSES = ("forward", "backward")
VIEWS: list[tuple[type[Layer], tuple[str, ...], Describe]] = [
    (Conv2D, PASSES, _convolution),
    (Dense, PASSES, _dense),
    (MaxPooling2D, PASSES, _pooling),
    (AveragePooling2D, PASSES, _pooling),
    (GlobalAveragePooling2D, PASSES, _global_average),
    (ReLU, (*PASSES, "value", "slope"), _relu),
    (Softmax, PASSES, _softmax),
    (Elementwise, PASSES, _elementwise),
    (Rescaling, PASSES, _rescaling),
    (Dropout, PASSES, _dropout),
    (SpatialDropout2D, PASSES, _dropout),
    (Flatten, PASSES, _flatten),
    (Reshape, PASSES, _flatten),
    (BatchNormalization, PASSES, _normalization),
]
