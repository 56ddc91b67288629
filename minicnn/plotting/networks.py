"""Pictures of a model: its filters, its feature maps, what its cells can see."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.layers import (
    Conv2DTranspose,
    Layer,
)
from minicnn.layers.conv import ConvolutionLayer
from minicnn.models import Sequential
from minicnn.plotting import arguments
from minicnn.plotting.grids import MOST_CELLS, cells
from minicnn.plotting.sheet import (
    RIM,
    SMALLEST,
    number_size,
    scale,
    written,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

MOST_NUMBERS = 2_500  # written into kernels


def filters(
    model: Any,
    layer: Any = None,
    *,
    channel: int = 0,
    columns: int = 8,
    size: float = 10,
    suptitle: str | None = None,
) -> Figure:
    """Draw the kernels of a convolution: blue below 0, white at 0, orange above.

    All have one scale of colours. Numbers are written into them where there is room.

    Parameters
    ----------
    model : Sequential or Layer
        Built; or a convolution itself.
    layer : str or Layer, optional
        Which one of the model: its name, or the layer. The first convolution if not given.
    channel : int
        The input channel whose weights are shown: kernels are (K_h, K_w, C_in).
    columns : int
    size : float
        Width of the figure in inches, 0.1 to 100.
    suptitle : str, optional
        Over the whole picture, instead of the layer's name and the shape of its kernel.

    Raises
    ------
    ValueError
        A model that is not built, without a convolution or without that layer; a layer without
        kernels; a channel that is not there; more than 2,500 kernels.
    TypeError
        No model and no layer; arguments of the wrong type.
    """
    who = "filters"
    found = _convolution_of(model, layer, who)
    columns = checks.integer(columns, "columns", who, minimum=1, maximum=MOST_CELLS)
    size, suptitle = arguments.size(size, who), arguments.suptitle(suptitle, who)
    W = _kernels(found, who)
    C_in = W.shape[2]
    channel = checks.integer(channel, "channel", who, minimum=-(2**31), maximum=2**31)
    if not -C_in <= channel < C_in:
        raise ValueError(
            f"{who}: expected channel to be one of the {C_in} of {found.who}, 0 to {C_in - 1}, "
            f"received {channel}"
        )
    if suptitle is None:
        of = "" if C_in == 1 else f", channel {channel % C_in}"
        suptitle = arguments.text(f"{found.name}: kernels {W.shape}{of}", "the layer's name", who)
    titles = [str(k) for k in range(W.shape[3])]
    maps = W[:, :, channel]
    return _maps(maps, titles, columns, size, suptitle, scale(maps), who, numbers=True)


def activations(
    model: Any,
    x: Any,
    layer: Any = None,
    *,
    image: int = 0,
    columns: int = 8,
    size: float = 10,
    suptitle: str | None = None,
) -> Figure:
    """Draw the feature maps that a layer makes of an image, one for each of its channels.

    White is 0, orange above it, blue below, on one scale for all maps: a dead channel is blank.
    The pass is one of inference, by a copy of the model.

    Parameters
    ----------
    model : Sequential
        Built.
    x : array of shape (N, ...)
        Images as `predict` takes them.
    layer : str or Layer, optional
        Which layer's output: its name, or the layer. The first convolution's if not given.
    image : int
        Which one of x; from the end if negative.
    columns, size
        As in `filters`.
    suptitle : str, optional
        Over the whole picture, instead of the layer's name and the shape of its output.

    Raises
    ------
    ValueError
        As `filters`; x of another shape; a layer whose output is no image; more than 2,500 maps.
    TypeError
        No model; x no array of numbers; arguments of the wrong type.
    FloatingPointError
        If the maps are NaN or infinite.
    """
    who = "activations"
    found = layer_of(built_model(model, who), layer, who)
    columns = checks.integer(columns, "columns", who, minimum=1, maximum=MOST_CELLS)
    size, suptitle = arguments.size(size, who), arguments.suptitle(suptitle, who)
    one = one_image(model, x, image, who)
    maps = outputs(model, one, found)[-1][0]
    if maps.ndim != 3:
        raise ValueError(
            f"{who}: expected layer to be one whose output is an image (H, W, C), received "
            f"{found.who}, whose output has shape {maps.shape}. Choose one before Flatten"
        )
    if not np.isfinite(maps).all():
        raise FloatingPointError(f"{who}: the output of {found.who} is NaN or infinite")
    if suptitle is None:
        suptitle = arguments.text(f"{found.name}: {maps.shape}", "the layer's name", who)
    titles = [str(k) for k in range(maps.shape[2])]
    return _maps(maps, titles, columns, size, suptitle, scale(maps), who)


# -- arguments ------------------------------------------------------------------------------------


def built_model(model: Any, who: str) -> Sequential:
    if not isinstance(model, Sequential):
        raise TypeError(f"{who}: expected model to be a Sequential, received {checks.shown(model)}")
    model.expect_built(who)
    return model


def _named(item: Any) -> str:
    return f"'{item.name}'"


def layer_of(model: Sequential, layer: Any, who: str) -> Layer:
    """The leaf that `layer` names, or is; the first convolution for None."""
    leaves = model.leaves
    if layer is None:
        found = next((leaf for leaf in leaves if isinstance(leaf, ConvolutionLayer)), None)
        if found is None:
            raise ValueError(
                f"{who}: expected a model with a convolution, or layer to name another of its "
                f"layers, received {model.who} without one"
            )
        return found
    if not isinstance(layer, (str, Layer, Sequential)):
        raise TypeError(
            f"{who}: expected layer to be the name of a layer or the layer, received "
            f"{checks.shown(layer)}"
        )
    for one in [*model.layers, *leaves]:
        if one is layer or (isinstance(layer, str) and one.name == layer):
            return one if isinstance(one, Layer) else one.leaves[-1]
    raise ValueError(
        f"{who}: expected layer to be one of {', '.join(map(_named, leaves))}, received "
        f"{checks.shown(layer if isinstance(layer, str) else layer.name)}"
    )


def _convolution_of(model: Any, layer: Any, who: str) -> ConvolutionLayer:
    if isinstance(model, Layer):
        if layer is not None:
            raise TypeError(
                f"{who}: expected layer only beside a model, received {checks.shown(layer)}. "
                "Leave it out where the layer itself comes first"
            )
        found: Layer = model
    elif isinstance(model, Sequential):
        model.expect_built(who)
        found = layer_of(model, layer, who)
    else:
        raise TypeError(
            f"{who}: expected model to be a Sequential or a convolution, received "
            f"{checks.shown(model)}"
        )
    if not isinstance(found, ConvolutionLayer):
        name = "model" if found is model else "layer"
        raise ValueError(
            f"{who}: expected {name} to be a convolution, which has kernels, received {found.who}"
        )
    if not found.built:
        raise ValueError(
            f"{who}: expected model to be built, received {found.who} without weights. Call "
            "build(input_shape) first, or the layer on an image"
        )
    return found


def _kernels(layer: ConvolutionLayer, who: str) -> Array:
    """Its kernels as (K_h, K_w, C_in, filters), copied."""
    if "depthwise_kernel" in layer.params:
        W = layer.params["depthwise_kernel"]
    else:
        W = layer.params["W"]
    if isinstance(layer, Conv2DTranspose):
        W = W.swapaxes(2, 3)  # (K_h, K_w, C_out, C_in)
    elif not hasattr(layer, "filters") or "depthwise_kernel" in layer.params:
        W = W.reshape(*W.shape[:2], 1, -1)  # one channel each
    if not np.isfinite(W).all():
        raise ValueError(
            f"{who}: expected the weights of {layer.who} to be finite, and some are not. Load the "
            "model, or train it, anew"
        )
    return W.copy()


def one_image(model: Sequential, x: Any, image: Any, who: str) -> Array:
    """The chosen image of x, as a batch of one."""
    data = model.checked_data(x, who)
    N = len(data)
    k = checks.integer(image, "image", who, minimum=-(2**62), maximum=2**62)
    if not -N <= k < N:
        raise ValueError(
            f"{who}: expected image to be the number of one of the {N} images in x, {-N} to "
            f"{N - 1}, received {k}"
        )
    (batch,) = data.batches(N)
    return batch.all_inputs(model.input_shape[1:])[k % N :][:1]


def outputs(model: Sequential, x: Array, last: Layer) -> list[Array]:
    """What each layer up to `last` makes of the batch x, in inference."""
    twin = copy.deepcopy(model)
    outputs = []
    with np.errstate(all="ignore"):
        for leaf in twin.leaves[: index(model.leaves, last) + 1]:
            x = leaf.forward(x, training=False)
            outputs.append(x.copy())
    return outputs


def index(leaves: Sequence[Layer], layer: Layer) -> int:
    return next(k for k, leaf in enumerate(leaves) if leaf is layer)


# -- many maps ------------------------------------------------------------------------------------


def _maps(
    maps: Array,
    titles: list[str],
    columns: int,
    size: float,
    suptitle: str,
    colors: Any,
    who: str,
    *,
    numbers: bool = False,
) -> Figure:
    """The channels of maps (H, W, F) side by side, each under its title."""
    count = maps.shape[2]
    if count > MOST_CELLS:
        raise ValueError(
            f"{who}: expected layer to have at most {MOST_CELLS:,} channels, received {count:,}"
        )
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    points = arguments.font_size(size / columns, titles, largest=10)
    figure, axes = cells(rows, columns, size, points, suptitle, who)
    of, (low, high) = colors
    texts = [
        written(maps[:, :, k]) for k in range(count if numbers and maps.size <= MOST_NUMBERS else 0)
    ]
    side = axes[0].get_position().width * size / max(maps.shape[:2])
    font = number_size(side, [text for one in texts for row in one for text in row])
    for k, (axis, title) in enumerate(zip(axes, titles)):
        values = maps[:, :, k]
        axis.imshow(values, cmap=of, vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(title, fontsize=points, pad=3)
        axis.set_axis_on()  # the frame: without one, a blank map could not be seen
        axis.spines[:].set_edgecolor(RIM)
        if texts and font >= SMALLEST:
            for (row, column), value in np.ndenumerate(values):
                ink = arguments.ink(of((value - low) / (high - low)))
                style: dict[str, Any] = {
                    "ha": "center",
                    "va": "center",
                    "fontsize": font,
                    "color": ink,
                }
                axis.text(column, row, texts[k][row][column], **style)
    return figure
