"""The plan of a network: which layers run as one stage, and why the others do not.

`lower` goes through the layers in order and takes the longest run that a fused stage covers. All
others run through their own forward and backward. `print(model.plan())` shows the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicnn import html
from minicnn.engine.activations import curve_of, inside, is_linear, is_relu
from minicnn.engine.any_window import (
    FEWEST_CHANNELS,
    GroupedConvolution,
    ImplicitConvolution,
    PointwiseConvolution,
    TransposedConvolution,
    groups_together,
    transposed_way_of,
    way_of,
)
from minicnn.engine.convolutions import DirectConvolution, WinogradConvolution, winograd_pays
from minicnn.engine.dense_stages import MOST_LAYERS, DenseStage, SingleDenseStage, fits
from minicnn.engine.normalization_stages import (
    GroupNormalizationStage,
    LayerNormalizationStage,
    NormalizationStage,
)
from minicnn.engine.separable import DepthwiseStage, SeparableStage
from minicnn.engine.stages import (
    POOLINGS,
    ActivationStage,
    FusedStage,
    PoolingStage,
    RescalingStage,
    Shared,
    Stage,
    UpSamplingStage,
    is_dropout,
)
from minicnn.layers import (
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Flatten,
    GroupNormalization,
    Layer,
    LayerNormalization,
    MaxPooling2D,
    Rescaling,
    SeparableConv2D,
    UpSampling2D,
)
from minicnn.layers.activations import ActivatedLayer
from minicnn.layers.contents import layers_inside
from minicnn.layers.normalizing import axes_of
from minicnn.subclasses import of_the_user

Array = NDArray[Any]

PRODUCT_LAYERS = Conv2D, Conv2DTranspose, Dense, DepthwiseConv2D, SeparableConv2D
# the bias is added with what stands behind
PRODUCTS = GroupedConvolution, ImplicitConvolution, PointwiseConvolution, SeparableStage
# The kernels of several Dense layers in one call take two seconds to compile: they are used where
# Dense layers have a fourth or more of the network's multiply-adds, and gain little elsewhere.
DENSE_SHARE = 4
BY_ITSELF: dict[type[Layer], tuple[Callable[..., Stage], str]] = {
    GroupNormalization: (GroupNormalizationStage, "group normalization, image by image"),
    LayerNormalization: (LayerNormalizationStage, "layer normalization, row by row"),
    UpSampling2D: (UpSamplingStage, "nearest-neighbour upsampling"),
}


class Entry(NamedTuple):
    """Layers that run as one stage."""

    layers: tuple[int, ...]  # places in the network
    kind: Callable[..., Stage] | None  # makes the stage; None: the layer itself
    why: str


class Plan:
    """How a network is run. Made once for a model; every lane gets its own stages from it.

    Attributes
    ----------
    outputs : list of int
        Numbers in each output that a stage makes, for one sample; empty if they are not known.
    widest : int
        The largest of them; 0 if they are not known.
    work : int
        Multiply-adds of one sample's forward; 0 if it is not known.
    sample_shape : tuple of int
        Of the inputs; () if it is not known.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        entries: list[Entry],
        outputs: Sequence[int] = (),
        work: int = 0,
        sample_shape: tuple[int, ...] = (),
    ) -> None:
        self.layers = list(layers)
        self.entries = entries
        self.outputs, self.widest = list(outputs), max(outputs, default=0)
        self.work, self.sample_shape = work, sample_shape

    @property
    def fuses(self) -> bool:
        """Whether any stage is a fused one."""
        return any(entry.kind is not None for entry in self.entries)

    @property
    def passes(self) -> int:
        """Stages, where a stage of several Dense layers counts as that many."""
        return sum(max(1, len(_dense_layers(self.layers, entry))) for entry in self.entries)

    @property
    def learning(self) -> int:
        """The first stage that learns or stands behind one that does: those before need no dx."""
        first = (_needs_dx(self.layers, entry.layers[-1] + 1) for entry in self.entries)
        return next((k for k, learns in enumerate(first) if learns), len(self.entries))

    def stages(self, replicas: Sequence[Layer], shared: Shared) -> list[Stage]:
        """The stages for a lane, working with the lane's replicas of the layers."""
        stages: list[Stage] = []
        # a layer of the user's may keep what it is passed, for one further on
        ours = not any(of_the_user(type(one)) for one in layers_inside(list(replicas)))
        for number, entry in enumerate(self.entries):
            own = [replicas[k] for k in entry.layers]
            stage: Stage = own[0]
            if entry.kind is not None:
                stage = entry.kind(own, needs_dx=_needs_dx(replicas, entry.layers[0]))
                if isinstance(stage, FusedStage):
                    stage.share(number, shared if ours else shared.of_one_stage())
            stages.append(stage)
        return stages

    def rows(self) -> list[tuple[str, str, str]]:
        """Of each stage: its layers, its kind, and why it is of that kind."""
        return [
            (
                " + ".join(self.layers[k].name for k in entry.layers),
                getattr(entry.kind, "__name__", "layer"),
                entry.why,
            )
            for entry in self.entries
        ]

    def __str__(self) -> str:
        return "\n".join(f"{names:<52} {kind:<24} {why}" for names, kind, why in self.rows())

    def _repr_html_(self) -> str:
        return html.table(("Layers", "Stage", "Why"), self.rows())


def _dense_layers(layers: Sequence[Layer], entry: Entry) -> list[int]:
    """Places in the network of a stage's Dense layers, each of which has an output."""
    return [k for k in entry.layers if _is(layers, k, Dense)]


def as_layers(layers: Sequence[Layer], why: str) -> Plan:
    """Every layer by itself."""
    return Plan(layers, [Entry((k,), None, why) for k in range(len(layers))])


def lower(
    layers: Sequence[Layer], sample_shape: tuple[int, ...], dtype: Any, *, training: bool
) -> Plan:
    """The plan for `layers` on samples of `sample_shape`, to train them or to predict alone."""
    if np.dtype(dtype) != np.float32:
        return as_layers(layers, f"the fused stages are for float32, this model is {dtype}")
    shapes: list[tuple[Any, ...]] = [(None, *sample_shape)]
    for layer in layers:
        shapes.append(tuple(layer.output_shape(shapes[-1])))
    work = list(map(_work, layers, shapes, shapes[1:]))
    of_dense = sum(one for layer, one in zip(layers, work) if type(layer) is Dense)
    several = DENSE_SHARE * of_dense >= sum(work)
    entries: list[Entry] = []
    k = 0
    while k < len(layers):
        needs_dx = _needs_dx(layers, k)
        entry = (
            _convolution(layers, shapes, k, training=training)
            or _depthwise(layers, shapes, k, training=training)
            or _transposed(layers, shapes, k)
            or _dense(layers, shapes, k, training=training, several=several)
            or _normalization(layers, shapes, k)
            or _by_itself(layers, shapes, k)
            or _pooling(layers, k)
            or _activation(layers, k)
        )
        if _is(layers, k, Rescaling) and not needs_dx:
            entry = Entry((k,), RescalingStage, "scaled into a buffer")
        entries.append(entry or Entry((k,), None, _why_not(layers[k], shapes[k])))
        k = entries[-1].layers[-1] + 1
    made = {k for entry in entries for k in (*_dense_layers(layers, entry), entry.layers[-1])}
    outputs = [math.prod(shapes[k + 1][1:]) for k in made]
    return Plan(layers, entries, outputs, sum(work), sample_shape)


def _work(layer: Layer, before: tuple[Any, ...], after: tuple[Any, ...]) -> int:
    """Multiply-adds of a layer's forward, a sample: its weights, at each position of the output."""
    if not isinstance(layer, PRODUCT_LAYERS):
        return 0
    positions = before[1:-1] if isinstance(layer, Conv2DTranspose) else after[1:-1]
    weights = sum(array.size for array in layer.params.values() if array.ndim > 1)
    return int(weights * math.prod(positions))


def _is(layers: Sequence[Layer], k: int, kind: type[Layer]) -> bool:
    """Whether layer k is exactly of that class; a subclass may do something else."""
    return k < len(layers) and type(layers[k]) is kind


def _is_dropout(layers: Sequence[Layer], k: int) -> bool:
    """Whether layer k drops each cell by itself."""
    return k < len(layers) and is_dropout(layers[k])


def _needs_dx(layers: Sequence[Layer], k: int) -> bool:
    """Whether a layer before layer k has parameters, whose gradients need the dx of layer k."""
    return any(layer.params for layer in layers[:k])


def _runs_activation(layers: Sequence[Layer], k: int) -> bool:
    """Whether layer k is an activation that is part of a pass."""
    return k < len(layers) and curve_of(layers[k]) is not None and not is_linear(layers[k])


def _activation_of(layers: Sequence[Layer], run: list[int]) -> Layer:
    """The activation of the layer at the end of `run`; where it has none, that of the
    layer behind, which then joins the run."""
    layer = layers[run[-1]]
    own = layer.activation if isinstance(layer, ActivatedLayer) else layer
    if is_linear(own) and _runs_activation(layers, run[-1] + 1):
        run.append(run[-1] + 1)
        own = layers[run[-1]]
    return inside(own)


def _convolution(
    layers: Sequence[Layer], shapes: list[tuple[Any, ...]], k: int, *, training: bool
) -> Entry | None:
    conv = layers[k]
    if not isinstance(conv, (Conv2D, SeparableConv2D)) or _why_not(conv, shapes[k]):
        return None
    if _is_depthwise(conv, shapes[k]):
        return None
    kind, way = _way_of(conv, shapes[k], _needs_dx(layers, k))
    size, run = "x".join(map(str, conv.kernel_size)), [k]
    activation = _activation_of(layers, run)
    relu = is_relu(activation)  # then a 0 in y tells backward what dropout did
    separable = "separable " * (kind is SeparableStage)
    what, name = [f"{size} {separable}convolution"], type(activation).__name__
    if not relu and not is_linear(activation):
        if curve_of(activation) is None:
            return Entry((k,), kind, f"{what[0]}, {name} as a layer {way}")
        if _is_dropout(layers, run[-1] + 1):
            run.append(run[-1] + 1)
            name += ", dropout"
        second = "" if kind in PRODUCTS else " in a second pass"
        return Entry(tuple(run), kind, f"{what[0]} {way}, {name}{second}")
    what.append(name)
    behind = kind not in (DirectConvolution, WinogradConvolution) or (
        kind is DirectConvolution and _pools(layers, shapes, run[-1] + 2)
    )
    if not training and _normalizes(layers, shapes, run[-1] + 1) and not (relu and behind):
        run.append(run[-1] + 1)
        what.append("batch normalization in the same pass")
        if not relu and _relu_behind(layers, run[-1]):
            run.append(run[-1] + 1)
            what.append("ReLU")
            relu = True
    if _pools(layers, shapes, run[-1] + 1):
        run.append(run[-1] + 1)
        what.append("2x2 max-pooling")
    if _is_dropout(layers, run[-1] + 1) and (relu or what[-1] == "2x2 max-pooling"):
        run.append(run[-1] + 1)
        what.append("dropout")
    return Entry(tuple(run), kind, f"{', '.join(what)} {way}")


def _is_depthwise(layer: Layer, shape: tuple[Any, ...]) -> bool:
    """Whether each filter sees one channel, and few filters the same."""
    if type(layer) is Conv2D:
        return layer.groups == shape[3] > 1 and layer.filters < FEWEST_CHANNELS * layer.groups
    return type(layer) is DepthwiseConv2D


def _depthwise(
    layers: Sequence[Layer], shapes: list[tuple[Any, ...]], k: int, *, training: bool
) -> Entry | None:
    conv = layers[k]
    if not isinstance(conv, ActivatedLayer) or not _is_depthwise(conv, shapes[k]):
        return None
    relu, run, way = is_relu(conv.activation), [k], "sixteen channels at a time"
    if not relu and not is_linear(conv.activation):
        return _with_activation(layers, run, DepthwiseStage, f"depthwise convolution {way}")
    what = [f"depthwise convolution, {type(conv.activation).__name__}"]
    if not training and not relu and _normalizes(layers, shapes, k + 1):
        run.append(k + 1)
        what.append("batch normalization in the same pass")
    if not relu and _relu_behind(layers, run[-1]):
        run.append(run[-1] + 1)
        what.append("ReLU")
    return Entry(tuple(run), DepthwiseStage, f"{', '.join(what)} {way}")


def _transposed(layers: Sequence[Layer], shapes: list[tuple[Any, ...]], k: int) -> Entry | None:
    conv = layers[k]
    if not (isinstance(conv, Conv2DTranspose) and _is(layers, k, Conv2DTranspose)):
        return None
    kind = transposed_way_of(shapes[k][3], conv.filters)
    return _with_activation(layers, [k], kind, f"transposed convolution {_way(kind)}")


def _with_activation(
    layers: Sequence[Layer], run: list[int], kind: Callable[..., Stage], what: str
) -> Entry:
    """The stage of the layers in `run`, with the activation and the dropout behind the product."""
    activation = _activation_of(layers, run)
    what += f", {type(activation).__name__}"
    if curve_of(activation) is None:
        what += " as a layer"
    elif _is_dropout(layers, run[-1] + 1):
        run.append(run[-1] + 1)
        what += ", dropout"
    return Entry(tuple(run), kind, what)


def _way_of(
    conv: Conv2D | SeparableConv2D, shape: tuple[Any, ...], needs_dx: bool
) -> tuple[Callable[..., Stage], str]:
    """How a convolution is worked out on inputs of `shape`."""
    if isinstance(conv, SeparableConv2D):
        return SeparableStage, "sixteen channels at a time, and as a matrix product"
    if conv.groups != 1:
        sizes = shape[3] // conv.groups, conv.filters // conv.groups
        together = groups_together(conv.groups, *sizes)
        C, F = (size * together for size in sizes)
        return GroupedConvolution, f"in groups, {_way(way_of(C, F, needs_dx=needs_dx))}"
    slides = (*conv.kernel_size, *conv.strides, *conv.dilation_rate) == (3, 3, 1, 1, 1, 1)
    if slides:
        if shape[3] == 1 and not needs_dx and conv.filters >= FEWEST_CHANNELS:
            return DirectConvolution, "in one pass"
        enough = min(shape[3], conv.filters) >= FEWEST_CHANNELS
        if enough and winograd_pays(shape[3], conv.filters, *conv.output_shape(shape)[1:3]):
            return WinogradConvolution, "by Winograd's F(4x4, 3x3)"
    if (*conv.kernel_size, *conv.strides) == (1, 1, 1, 1):
        return PointwiseConvolution, "as a matrix product"
    kind = way_of(shape[3], conv.filters, needs_dx=needs_dx)
    return kind, _way(kind)


def _way(kind: type) -> str:
    """How a convolution of any window runs, and why."""
    if kind in (ImplicitConvolution, TransposedConvolution):
        return "by implicit im2col"
    return f"sixteen images at a time, for fewer than {FEWEST_CHANNELS} filters or channels"


def _pools(layers: Sequence[Layer], shapes: list[tuple[Any, ...]], k: int) -> bool:
    """Whether layer k is a 2x2 max-pooling without padding, which ends a fused stage."""
    pool = layers[k] if _is(layers, k, MaxPooling2D) else None
    return (
        isinstance(pool, MaxPooling2D)
        and (pool.pool_size, pool.strides) == ((2, 2), (2, 2))
        and (pool.padding == "valid" or all(size % 2 == 0 for size in shapes[k][1:3]))
    )


def _normalizes(layers: Sequence[Layer], shapes: list[tuple[Any, ...]], k: int) -> bool:
    """Whether layer k is a batch normalization that a fused stage knows."""
    known = _is(layers, k, BatchNormalization)
    return known and not _why_not(layers[k], shapes[k])


def _relu_behind(layers: Sequence[Layer], k: int) -> bool:
    return k + 1 < len(layers) and is_relu(layers[k + 1])


def _normalization(layers: Sequence[Layer], shapes: list[tuple[Any, ...]], k: int) -> Entry | None:
    if not _normalizes(layers, shapes, k):
        return None
    run, what = [k], ["batch normalization in two phases"]
    relu = _relu_behind(layers, k)
    if relu:
        run.append(k + 1)
        what.append("ReLU")
    pools = _pools(layers, shapes, run[-1] + 1)
    if pools:
        run.append(run[-1] + 1)
        what.append("2x2 max-pooling")
    if _is_dropout(layers, run[-1] + 1) and (relu or pools):
        run.append(run[-1] + 1)
        what.append("dropout")
    return Entry(tuple(run), NormalizationStage, ", ".join(what))


def _dense(
    layers: Sequence[Layer],
    shapes: list[tuple[Any, ...]],
    k: int,
    *,
    training: bool,
    several: bool,
) -> Entry | None:
    run = [k] if _is(layers, k, Flatten) else []
    first = k + len(run)
    if not _is(layers, first, Dense) or _why_not(layers[first], shapes[first]):
        return None
    activations: list[str] = []
    while several and len(activations) < MOST_LAYERS:
        more = _one_of_several(layers, shapes, run[-1] + 1 if activations else first, training)
        if not more:
            break
        activations.append(type(_activation_of(layers, more[:1])).__name__)
        run += more
    if len(activations) < 2:
        run = [*range(k, first + 1)]
        return _with_activation(layers, run, SingleDenseStage, "matrix product, bias")
    what = f"{len(activations)} matrix products in one call"
    return Entry(tuple(run), DenseStage, ", ".join((what, "bias", *dict.fromkeys(activations))))


def _one_of_several(
    layers: Sequence[Layer], shapes: list[tuple[Any, ...]], k: int, training: bool
) -> list[int]:
    """Dense layer k with what stands behind it, if a `DenseStage` can have it; else nothing."""
    dense = layers[k] if _is(layers, k, Dense) else None
    if not isinstance(dense, Dense) or not fits(shapes[k][-1], dense.units):
        return []
    run = [k]
    activation = _activation_of(layers, run)
    if not (is_relu(activation) or is_linear(activation)):
        return []
    if _is_dropout(layers, run[-1] + 1):
        if training:
            return []
        run.append(run[-1] + 1)
    return run


def _by_itself(layers: Sequence[Layer], shapes: list[tuple[Any, ...]], k: int) -> Entry | None:
    """A layer whose stage covers no other layer."""
    kind, what = BY_ITSELF.get(type(layers[k]), (None, ""))
    return Entry((k,), kind, what) if kind and not _why_not(layers[k], shapes[k]) else None


def _pooling(layers: Sequence[Layer], k: int) -> Entry | None:
    pool = layers[k]
    if type(pool) not in POOLINGS:
        return None
    what = "global"
    if isinstance(pool, (MaxPooling2D, AveragePooling2D)):
        what = "x".join(map(str, pool.pool_size))
    mean = "Average" in type(pool).__name__
    return Entry((k,), PoolingStage, f"{what} {'average' if mean else 'max'}-pooling in one pass")


def _activation(layers: Sequence[Layer], k: int) -> Entry | None:
    if _is_dropout(layers, k):
        return Entry((k,), ActivationStage, "dropout in one pass")
    if not _runs_activation(layers, k):
        return None
    name = type(inside(layers[k])).__name__
    if _is_dropout(layers, k + 1):
        return Entry((k, k + 1), ActivationStage, f"{name} and dropout in one pass")
    return Entry((k,), ActivationStage, f"{name} in one pass")


def _why_not(layer: Any, shape: tuple[Any, ...]) -> str:
    """Why no fused stage can begin with this layer on inputs of `shape`; empty if one can."""
    if type(layer) in (Conv2D, DepthwiseConv2D, SeparableConv2D):
        return ""
    if type(layer) is Dense:
        return "" if len(shape) == 2 else "Dense on sequences has no fused stage"
    if type(layer) is BatchNormalization:
        if axes_of(layer.axis, shape, layer.who) != (len(shape) - 1,) or len(shape) > 4:
            return "only the last axis of images and rows has a fused normalization"
        return ""
    if type(layer) in (GroupNormalization, LayerNormalization):
        last = axes_of(layer.axis, shape, layer.who) == (len(shape) - 1,)
        return "" if last else "the fused stage is for the last axis"
    if type(layer) is UpSampling2D:
        return "" if layer.interpolation == "nearest" else "no fused stage interpolates"
    return f"no fused stage begins with {type(layer).__name__}"
