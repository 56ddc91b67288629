"""Layers that move, pad, resize or scale numbers: see `LayerCase`. `layers.py` takes these."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cases import Draw, Example, LayerCase, Shape
from minicnn.layers import (
    CenterCrop,
    Cropping2D,
    GlobalMaxPooling2D,
    Identity,
    Layer,
    Normalization,
    Permute,
    RepeatVector,
    Reshape,
    Resizing,
    UnitNormalization,
    UpSampling2D,
    ZeroPadding2D,
)


def images(draw: Draw) -> Shape:
    return draw.size(1, 3), draw.size(1, 5), draw.size(1, 5), draw.size(1, 3)


def of_images(kwargs: Any) -> Any:
    return lambda draw, sample: kwargs if len(sample) == 3 else None


def some_sides(draw: Draw, high: int) -> Any:
    four = ((draw.size(0, high), draw.size(0, high)), (draw.size(0, high), draw.size(0, high)))
    return draw.one_of(draw.size(0, high), (draw.size(0, high), draw.size(0, high)), four)


def padded(case: Any, layer: Any, x: Any) -> Any:
    N, H, W, C = case.shape
    (top, bottom), (left, right) = layer.padding
    return [
        [
            [
                x[n][h][w] if 0 <= h < H and 0 <= w < W else [0.0] * C
                for w in range(-left, W + right)
            ]
            for h in range(-top, H + bottom)
        ]
        for n in range(N)
    ]


def cropped(case: Any, layer: Any, x: Any) -> Any:
    N, H, W, _ = case.shape
    (top, bottom), (left, right) = layer.cropping
    return [
        [[x[n][h][w] for w in range(left, W - right)] for h in range(top, H - bottom)]
        for n in range(N)
    ]


def some_cropping(draw: Draw) -> tuple[dict[str, Any], Shape]:
    return {"cropping": some_sides(draw, 1)}, (draw.size(1, 3), draw.size(3, 5), draw.size(3, 5), 2)


def sources(n_in: int, n_out: int, interpolation: str) -> list[list[tuple[int, float]]]:
    """Of each output row the input rows that it mixes, and how much of each."""
    found = []
    for i in range(n_out):
        if interpolation == "nearest":
            found.append([(min(math.floor((i + 0.5) * n_in / n_out), n_in - 1), 1.0)])
            continue
        place = min(max((i + 0.5) * n_in / n_out - 0.5, 0), n_in - 1)
        low = math.floor(place)
        found.append([(low, 1 - place + low), (min(low + 1, n_in - 1), place - low)])
    return found


def scaled(image: Any, height: int, width: int, interpolation: str) -> Any:
    rows = sources(len(image), height, interpolation)
    columns = sources(len(image[0]), width, interpolation)
    return [
        [
            [
                math.fsum(p * q * image[h][w][c] for h, p in row for w, q in column)
                for c in range(len(image[0][0]))
            ]
            for column in columns
        ]
        for row in rows
    ]


def upsampled(case: Any, layer: Any, x: Any) -> Any:
    _, H, W, _ = case.shape
    s, t = layer.size
    return [scaled(image, s * H, t * W, layer.interpolation) for image in x]


def resized(case: Any, layer: Any, x: Any) -> Any:
    _, H, W, C = case.shape
    h, w = int(W * layer.height / layer.width), int(H * layer.width / layer.height)
    smaller = isinstance(layer, CenterCrop) and (layer.height > H or layer.width > W)
    if isinstance(layer, CenterCrop) and not smaller:
        top, left = (H - layer.height) // 2, (W - layer.width) // 2
        return [
            [row[left : left + layer.width] for row in image[top : top + layer.height]]
            for image in x
        ]
    if smaller or layer.crop_to_aspect_ratio:
        h, w = max(min(H, h), 1), max(min(W, w), 1)
        top, left = (H - h) // 2, (W - w) // 2
        x = [[row[left : left + w] for row in image[top : top + h]] for image in x]
    elif layer.pad_to_aspect_ratio:
        top, left = max(0, h - H) // 2, max(0, w - W) // 2
        fill = [layer.fill_value] * C
        x = [
            [[fill] * (W + 2 * left)] * top
            + [[fill] * left + row + [fill] * left for row in image]
            + [[fill] * (W + 2 * left)] * top
            for image in x
        ]
    how = "bilinear" if isinstance(layer, CenterCrop) else layer.interpolation
    return [scaled(image, layer.height, layer.width, how) for image in x]


def some_resizing(draw: Draw) -> tuple[dict[str, Any], Shape]:
    crop = draw.flag()
    kwargs = {
        "height": draw.size(1, 6),
        "width": draw.size(1, 6),
        "interpolation": draw.one_of("bilinear", "nearest"),
        "crop_to_aspect_ratio": crop,
        "pad_to_aspect_ratio": not crop and draw.flag(),
    }
    return kwargs, images(draw)


def torch_matrices(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    """PyTorch's interpolate, on the part of the image that is resized."""
    H, W = x.shape[1:3]
    height, width = layer.output_shape(tuple(x.shape))[1:3]
    how = getattr(layer, "interpolation", "bilinear")
    if not isinstance(layer, UpSampling2D):
        h, w = int(W * height / width), int(H * width / height)
        if isinstance(layer, CenterCrop) and height <= H and width <= W:
            top, left = (H - height) // 2, (W - width) // 2
            return x[:, top : top + height, left : left + width]
        if isinstance(layer, CenterCrop) or layer.crop_to_aspect_ratio:
            h, w = max(min(H, h), 1), max(min(W, w), 1)
            top, left = (H - h) // 2, (W - w) // 2
            x = x[:, top : top + h, left : left + w]
        elif layer.pad_to_aspect_ratio:
            top, left = max(0, h - H) // 2, max(0, w - W) // 2
            sides = (0, 0, left, left, top, top)
            x = torch.nn.functional.pad(x, sides, value=layer.fill_value)
    options = {"mode": "nearest-exact"} if how == "nearest" else {"mode": "bilinear"}
    y = torch.nn.functional.interpolate(x.permute(0, 3, 1, 2), (height, width), **options)
    return y.permute(0, 2, 3, 1)


def some_reshape(draw: Draw) -> tuple[dict[str, Any], Shape]:
    shape = draw.shape()
    sizes = list(np.random.default_rng(draw.size(0, 999)).permutation(shape[1:]).tolist())
    if draw.flag():
        sizes[draw.size(0, len(sizes) - 1)] = -1
    return {"target_shape": draw.one_of(tuple(sizes), sizes, (-1, 1), [-1])}, shape


def some_permute(draw: Draw) -> tuple[dict[str, Any], Shape]:
    shape = draw.shape()
    order = np.random.default_rng(draw.size(0, 999)).permutation(len(shape) - 1) + 1
    return {"dims": draw.one_of(tuple, list)(order.tolist())}, shape


def largest(case: Any, layer: Any, x: Any) -> Any:
    C = range(case.shape[3])
    return [[max(cell[c] for row in image for cell in row) for c in C] for image in x]


def normalized(case: Any, layer: Any, x: Any) -> Any:
    x = np.asarray(x)
    kept = sorted(axis % x.ndim for axis in layer.axis)
    sizes = tuple(x.shape[k] for k in kept)
    given = tuple(layer.get_config()[key] for key in ("mean", "variance"))
    if given[0] is None:
        given = (layer.state["mean"], layer.state["variance"])
    mean, variance = (np.broadcast_to(one, sizes) for one in given)
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        at = tuple(index[k] for k in kept)
        deviation = max(math.sqrt(variance[at]), 1e-7)
        v = float(x[index])
        y[index] = mean[at] + v * deviation if layer.invert else (v - mean[at]) / deviation
    return y


def torch_normalized(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    mean, deviation = (
        torch.tensor(one, dtype=x.dtype) for one in layer.mean_and_deviation(x.detach().numpy())
    )
    return mean + x * deviation if layer.invert else (x - mean) / deviation


def some_normalizing(draw: Draw) -> tuple[dict[str, Any], Shape]:
    shape = draw.shape()
    axis = draw.one_of(-1, None, 1, (1,), [-1, 1] if len(shape) > 2 else [-1])
    kwargs: dict[str, Any] = {"axis": axis, "invert": draw.flag()}
    if draw.flag():
        kwargs |= {"mean": draw.number(-2, 2), "variance": draw.number(0.5, 4)}
    return kwargs, shape


def unit(case: Any, layer: Any, x: Any) -> Any:
    x = np.asarray(x)
    over = tuple(axis % x.ndim for axis in np.atleast_1d(layer.axis).tolist())
    y = np.zeros(x.shape)
    for index in np.ndindex(*(1 if k in over else n for k, n in enumerate(x.shape))):
        at = tuple(slice(None) if k in over else i for k, i in enumerate(index))
        length = math.sqrt(math.fsum(v * v for v in x[at].ravel().tolist()))
        y[at] = x[at] / max(length, 1e-12)
    return y


SHAPE_CASES: dict[type[Layer], LayerCase] = {
    CenterCrop: LayerCase(
        examples={
            "cut": Example({"height": 3, "width": 2}, (2, 6, 5, 3)),
            "resized": Example({"height": 4, "width": 6}, (2, 3, 5, 2)),
        },
        definition=resized,
        torch=torch_matrices,
        keras={
            "even": Example({"height": 2, "width": 4}, (2, 6, 8, 3)),
            "odd": Example({"height": 3, "width": 4}, (2, 6, 7, 2)),
        },
        draw=lambda draw: ({"height": draw.size(1, 6), "width": draw.size(1, 6)}, images(draw)),
        linear={},
        inside=of_images({"height": 3, "width": 4}),
        built_when_made=False,
    ),
    Cropping2D: LayerCase(
        examples={"all sides": Example({"cropping": ((1, 0), (0, 2))}, (3, 4, 5, 2))},
        definition=cropped,
        torch=lambda torch, layer, params, x, training: x[
            :,
            layer.cropping[0][0] : x.shape[1] - layer.cropping[0][1],
            layer.cropping[1][0] : x.shape[2] - layer.cropping[1][1],
        ],
        keras={
            "one": Example({"cropping": 1}, (2, 5, 4, 2)),
            "two": Example({"cropping": [2, 1]}, (2, 5, 4, 2)),
            "four": Example({"cropping": [[0, 2], [1, 0]]}, (2, 5, 4, 2)),
        },
        draw=some_cropping,
        linear={},
        inside=lambda draw, sample: (
            {"cropping": ((0, 1), (1, 0))} if len(sample) == 3 and min(sample[:2]) > 2 else None
        ),
        built_when_made=False,
    ),
    GlobalMaxPooling2D: LayerCase(
        examples={
            "a row for each image": Example({}, (3, 4, 5, 2)),
            "an image of one cell": Example({"keepdims": True}, (2, 3, 3, 4)),
        },
        definition=largest,
        torch=lambda torch, layer, params, x, training: x.amax((1, 2), keepdim=layer.keepdims),
        keras={
            "flat": Example({}, (2, 3, 4, 5)),
            "keepdims": Example({"keepdims": True}, (2, 3, 4, 5)),
            "ties": Example({}, (2, 3, 4, 5), "ties"),
        },
        draw=lambda draw: ({"keepdims": draw.flag()}, images(draw)),
        side=lambda layer, y: layer._cache,
        inside=lambda draw, sample: {"keepdims": draw.flag()} if len(sample) == 3 else None,
        fused=lambda draw, sample: {"keepdims": draw.flag()} if len(sample) == 3 else None,
    ),
    Identity: LayerCase(
        examples={"vectors": Example({}, (4, 5))},
        definition=lambda case, layer, x: x,
        torch=lambda torch, layer, params, x, training: x,
        keras={"3d": Example({}, (3, 4, 5))},
        linear={},
    ),
    Normalization: LayerCase(
        examples={
            "each channel": Example({}, (3, 4, 2, 3)),
            "given": Example(
                {"axis": [1, -1], "mean": [1.0, 2.0], "variance": [4.0, 0.25], "invert": True},
                (4, 3, 2),
            ),
            "one for all": Example({"axis": None, "mean": 0.5, "variance": 2}, (4, 3)),
        },
        definition=normalized,
        torch=torch_normalized,
        keras={
            "numbers": Example({"mean": 0.5, "variance": 4.0}, (4, 3)),
            "each channel": Example({"mean": [0.5, 1.0], "variance": [4.0, 0.0625]}, (3, 4, 2)),
            "inverted": Example({"mean": 0.5, "variance": 4.0, "invert": True}, (4, 3)),
            "one for all": Example({"axis": None, "mean": 0.5, "variance": 4.0}, (4, 3)),
        },
        draw=some_normalizing,
        linear={},
        inside=lambda draw, sample: {"mean": 0.5, "variance": 4.0},
        built_when_made=False,
    ),
    Permute: LayerCase(
        examples={"images": Example({"dims": (2, 3, 1)}, (3, 4, 5, 2))},
        definition=lambda case, layer, x: np.transpose(x, (0, *layer.dims)),
        torch=lambda torch, layer, params, x, training: x.permute(0, *layer.dims),
        keras={
            "3d": Example({"dims": [2, 1]}, (2, 3, 4)),
            "4d": Example({"dims": [3, 1, 2]}, (2, 3, 4, 5)),
        },
        draw=some_permute,
        linear={},
        inside=lambda draw, sample: {"dims": tuple(range(1, len(sample) + 1))[::-1]},
        built_when_made=False,
    ),
    RepeatVector: LayerCase(
        examples={"three": Example({"n": 3}, (4, 5))},
        definition=lambda case, layer, x: [[row] * layer.n for row in x],
        torch=lambda torch, layer, params, x, training: x[:, None].expand(-1, layer.n, -1),
        keras={"2": Example({"n": 2}, (3, 4))},
        draw=lambda draw: ({"n": draw.size(1, 4)}, (draw.size(1, 4), draw.size(1, 4))),
        linear={},
        inside=lambda draw, sample: None,
        built_when_made=False,
    ),
    Reshape: LayerCase(
        examples={
            "what is left": Example({"target_shape": (-1, 2)}, (3, 4, 3, 2)),
        },
        definition=lambda case, layer, x: np.ravel(x),
        torch=lambda torch, layer, params, x, training: x.reshape(
            layer.output_shape(tuple(x.shape))
        ),
        keras={
            "left": Example({"target_shape": [-1, 2]}, (2, 12)),
            "between": Example({"target_shape": [2, -1, 3]}, (2, 4, 3)),
            "all given": Example({"target_shape": [6, 2]}, (2, 4, 3)),
        },
        draw=some_reshape,
        linear={},
        inside=lambda draw, sample: {"target_shape": sample[::-1]},
    ),
    Resizing: LayerCase(
        examples={
            "bilinear": Example({"height": 4, "width": 7}, (2, 5, 4, 2)),
            "nearest, cut": Example(
                {"height": 4, "width": 3, "interpolation": "nearest", "crop_to_aspect_ratio": True},
                (2, 5, 6, 2),
            ),
            "padded": Example(
                {"height": 4, "width": 8, "pad_to_aspect_ratio": True, "fill_value": 0.0},
                (2, 5, 4, 2),
            ),
        },
        definition=resized,
        torch=torch_matrices,
        keras={
            "nearest": Example({"height": 3, "width": 3, "interpolation": "nearest"}, (2, 4, 4, 2)),
            "nearest, larger": Example(
                {"height": 7, "width": 5, "interpolation": "nearest"}, (2, 3, 4, 2)
            ),
        },
        draw=some_resizing,
        linear={},
        inside=of_images({"height": 4, "width": 3}),
        built_when_made=False,
    ),
    UnitNormalization: LayerCase(
        examples={"vectors": Example({"axis": -1}, (4, 5))},
        definition=unit,
        torch=lambda torch, layer, params, x, training: (
            x / torch.sqrt((x * x).sum(layer.axis, keepdim=True).clamp(min=1e-12))
        ),
        keras={
            "2d": Example({}, (4, 5)),
            "4d": Example({"axis": [1, 2]}, (2, 3, 4, 2)),
        },
        # vectors of some length: central differences are far off where |x| is as small as 0.01
        draw=lambda draw: (
            {"axis": draw.one_of(1, [1], (1, -1))},
            (draw.size(1, 3), draw.size(6, 8), draw.size(1, 3)),
        ),
        inside=lambda draw, sample: None,
    ),
    UpSampling2D: LayerCase(
        examples={
            "nearest": Example({"size": 2}, (2, 3, 4, 2)),
            "bilinear": Example({"size": (2, 3), "interpolation": "bilinear"}, (2, 3, 4, 2)),
        },
        definition=upsampled,
        torch=torch_matrices,
        keras={
            "2": Example({"size": 2}, (2, 3, 4, 2)),
            "2x3": Example({"size": [2, 3]}, (2, 3, 4, 2)),
        },
        draw=lambda draw: (
            {"size": draw.pair(3), "interpolation": draw.one_of("nearest", "bilinear")},
            images(draw),
        ),
        linear={},
        inside=of_images({"size": (1, 2)}),
        fused=lambda draw, sample: {"size": draw.pair(2)} if len(sample) == 3 else None,
        built_when_made=False,
    ),
    ZeroPadding2D: LayerCase(
        examples={"all sides": Example({"padding": ((1, 0), (0, 2))}, (3, 4, 5, 2))},
        definition=padded,
        torch=lambda torch, layer, params, x, training: torch.nn.functional.pad(
            x, (0, 0, *layer.padding[1], *layer.padding[0])
        ),
        keras={
            "default": Example({}, (2, 3, 4, 2)),
            "one": Example({"padding": 2}, (2, 3, 4, 2)),
            "two": Example({"padding": [2, 1]}, (2, 3, 4, 2)),
            "four": Example({"padding": [[0, 2], [1, 0]]}, (2, 3, 4, 2)),
        },
        draw=lambda draw: ({"padding": some_sides(draw, 3)}, images(draw)),
        linear={},
        inside=of_images({"padding": 1}),
        built_when_made=False,
    ),
}
