"""The layers that vary images in training: see `LayerCase`. `layers.py` takes these.

What a layer draws is drawn here too, by the reference kernel from the place in the layer's stream;
what it makes of that is written out again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cases import Draw, Example, LayerCase, Shape
from cases.shapes import scaled
from minicnn.kernels import reference
from minicnn.layers import (
    Layer,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
)

FILL_MODES = ("constant", "nearest", "reflect", "wrap")


def drawn(layer: Layer, n: int, count: int, bounds: Any = (0, 1)) -> list[list[float]]:
    """The numbers of the first step: `count` for each of n images, stretched to the bounds."""
    layer.seek(0, 0)
    u = np.empty(n * count)
    reference.uniform(*layer._place(count), u)
    low, high = bounds
    return (low + (high - low) * u).reshape(n, count).tolist()


def images(draw: Draw) -> Shape:
    return draw.size(1, 3), draw.size(1, 5), draw.size(1, 5), draw.size(1, 3)


def of_images(make: Any) -> Any:
    """How a layer stands in a random network: behind images alone."""
    return lambda draw, sample: make(draw) if len(sample) == 3 else None


def seeded(draw: Draw, **kwargs: Any) -> dict[str, Any]:
    return {**kwargs, "seed": draw.size(0, 2**32)}


# -- mirrored -------------------------------------------------------------------------------------


def flipped(case: Any, layer: Any, x: Any) -> Any:
    if not case.training:
        return x
    y = []
    for image, (coin,) in zip(x, drawn(layer, len(x), 1)):
        if coin < 0.5 and "vertical" in layer.mode:
            image = image[::-1]
        if coin < 0.5 and "horizontal" in layer.mode:
            image = [row[::-1] for row in image]
        y.append(image)
    return y


def torch_flipped(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    if not training:
        return x
    axes = [k for k, word in ((1, "vertical"), (2, "horizontal")) if word in layer.mode]
    coins = torch.tensor(drawn(layer, len(x), 1))[:, :, None, None] < 0.5
    return torch.where(coins, torch.flip(x, axes), x)


# -- shifted, turned, zoomed ----------------------------------------------------------------------


def place_of(layer: Any, x: Any) -> Any:
    """For each image a function from (i, j) to the row and column that it is taken from."""
    H, W = len(x[0]), len(x[0][0])
    Y, X = (H - 1) / 2, (W - 1) / 2
    if isinstance(layer, RandomRotation):

        def turned(angle: float) -> Any:
            cos, sin = math.cos(angle), math.sin(angle)
            return lambda i, j: (
                Y + sin * (j - X) + cos * (i - Y),
                X + cos * (j - X) - sin * (i - Y),
            )

        return [turned(2 * math.pi * u) for (u,) in drawn(layer, len(x), 1, layer.factor)]
    given = layer.height_factor, layer.width_factor
    height, width = (f if isinstance(f, (tuple, type(None))) else (-f, f) for f in given)
    rows = [u for u, _ in drawn(layer, len(x), 2, tuple(sorted(height)))]
    columns = [v for _, v in drawn(layer, len(x), 2, tuple(sorted(width or height)))]
    if isinstance(layer, RandomZoom):
        columns = rows if layer.width_factor is None else columns
        return [
            lambda i, j, u=u, v=v: (Y + (1 + u) * (i - Y), X + (1 + v) * (j - X))
            for u, v in zip(rows, columns)
        ]
    return [lambda i, j, u=u, v=v: (i - H * u, j - W * v) for u, v in zip(rows, columns)]


def inside_of(place: float, size: int, mode: str) -> float:
    """The place in the image that stands for one beyond its edge, a mirror or a turn at a time."""
    if mode == "constant":
        return place
    if mode == "nearest":
        return min(max(place, 0), size - 1)
    if mode == "reflect":
        while not -0.5 <= place <= size - 0.5:
            place = -1 - place if place < -0.5 else 2 * size - 1 - place
        return min(max(place, 0), size - 1)
    place = round(place) if abs(place - round(place)) < 1e-9 else place
    left = place < 0
    while not 0 <= place < size:
        place += size if place < 0 else -size
    if place > size - 1:
        return size - 1 if left else 0
    return place


def moved(case: Any, layer: Any, x: Any) -> Any:
    if not case.training:
        return x
    _, H, W, C = case.shape
    y = []
    for image, place in zip(x, place_of(layer, x)):
        for i in range(H):
            for j in range(W):
                h, w = place(i, j)
                h = inside_of(h, H, layer.fill_mode)
                w = inside_of(w, W, layer.fill_mode)
                if layer.interpolation == "nearest":
                    h, w = (math.copysign(math.floor(abs(p) + 0.5), p) for p in (h, w))
                y += [
                    math.fsum(
                        max(0, 1 - abs(h - a))
                        * max(0, 1 - abs(w - b))
                        * (image[a][b][c] if 0 <= a < H and 0 <= b < W else layer.fill_value)
                        for a in (math.floor(h), math.floor(h) + 1)
                        for b in (math.floor(w), math.floor(w) + 1)
                    )
                    for c in range(C)
                ]
    return y


def torch_moved(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    """By grid_sample, which knows no "wrap": the places are brought inside of the image before."""
    if not training:
        return x
    N, H, W, _ = x.shape
    grid = np.array(
        [
            [[place(i, j) for j in range(W)] for i in range(H)]
            for place in place_of(layer, x.tolist())
        ]
    )
    for axis, size in enumerate((H, W)):
        flat = grid[..., axis].ravel().tolist()
        inside = np.array([inside_of(p, size, layer.fill_mode) for p in flat])
        if layer.interpolation == "nearest":
            inside = np.copysign(np.floor(np.abs(inside) + 0.5), inside)
        grid[..., axis] = (2 * inside.reshape(N, H, W) + 1) / size - 1
    sampled = torch.nn.functional.grid_sample(
        x.permute(0, 3, 1, 2) - layer.fill_value,
        torch.tensor(grid[..., ::-1].copy()).to(x.dtype),
        padding_mode="zeros" if layer.fill_mode == "constant" else "border",
        align_corners=False,
    )
    return sampled.permute(0, 2, 3, 1) + layer.fill_value


def a_factor(draw: Draw) -> Any:
    return draw.one_of(0.3, 1, (-0.4, 0.2), [0.25, 0.5], (0, 0))


def some_filling(draw: Draw) -> dict[str, Any]:
    return seeded(
        draw,
        fill_mode=draw.one_of(*FILL_MODES),
        interpolation=draw.one_of("bilinear", "nearest"),
        fill_value=draw.one_of(0.0, 1.5, -2),
    )


def some_moving(*factors: str) -> Any:
    return lambda draw: (
        {**some_filling(draw), **{k: a_factor(draw) for k in factors}},
        images(draw),
    )


# -- brighter, of more contrast, cut, painted over -----------------------------------------------


def brightened(case: Any, layer: Any, x: Any) -> Any:
    if not case.training:
        return x
    low, high = layer.value_range
    added = [u * (high - low) for (u,) in drawn(layer, len(x), 1, layer.factor)]
    each = np.prod(case.shape[1:])
    return [min(max(v + added[k // each], low), high) for k, v in enumerate(np.ravel(x).tolist())]


def contrasted(case: Any, layer: Any, x: Any) -> Any:
    if not case.training:
        return x
    N, H, W, C = case.shape
    low, high = layer.value_range
    lower, upper = layer.factor
    y = np.empty(case.shape)
    for n, (factor,) in enumerate(drawn(layer, N, 1, (1 - lower, 1 + upper))):
        for c in range(C):
            channel = [x[n][h][w][c] for h in range(H) for w in range(W)]
            mean = math.fsum(channel) / (H * W)
            z = [min(max((v - mean) * factor + mean, low), high) for v in channel]
            y[n, :, :, c] = np.reshape(z, (H, W))
    return y


def torch_brightened(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    if not training:
        return x
    low, high = layer.value_range
    u = torch.tensor(drawn(layer, len(x), 1, layer.factor), dtype=x.dtype)[:, :, None, None]
    return torch.clamp(x + u * (high - low), low, high)


def torch_contrasted(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    if not training:
        return x
    lower, upper = layer.factor
    factors = drawn(layer, len(x), 1, (1 - lower, 1 + upper))
    c = torch.tensor(factors, dtype=x.dtype)[:, :, None, None]
    mean = x.mean((1, 2), keepdim=True)
    return torch.clamp((x - mean) * c + mean, *layer.value_range)


def within_the_range(layer: Any, y: Any) -> Any:
    low, high = layer.value_range
    return (y <= low, y >= high)


def some_color(draw: Draw) -> tuple[dict[str, Any], Shape]:
    factor = draw.one_of(0.3, 1, (0.2, 0.9), [0.75, 0.25], 0)
    return seeded(
        draw, factor=factor, value_range=draw.one_of((-2, 2), (0, 1), [-100.0, 100.0])
    ), images(draw)


def window_of(layer: Any, H: int, W: int, training: bool) -> tuple[int, int, int, int]:
    """Of the part that is cut out: first row, rows, first column, columns."""
    if training and layer.height <= H and layer.width <= W:
        ((u, v),) = drawn(layer, 1, 2)
        top, left = math.floor(u * (H - layer.height + 1)), math.floor(v * (W - layer.width + 1))
        return top, layer.height, left, layer.width
    h = max(min(H, int(W * layer.height / layer.width)), 1)
    w = max(min(W, int(H * layer.width / layer.height)), 1)
    return (H - h) // 2, h, (W - w) // 2, w


def cut_out(case: Any, layer: Any, x: Any) -> Any:
    top, h, left, w = window_of(layer, *case.shape[1:3], case.training)
    parts = [[row[left : left + w] for row in image[top : top + h]] for image in x]
    return [scaled(part, layer.height, layer.width, "bilinear") for part in parts]


def torch_cut_out(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    top, h, left, w = window_of(layer, *x.shape[1:3], training)
    part = x[:, top : top + h, left : left + w].permute(0, 3, 1, 2)
    size = (layer.height, layer.width)
    part = torch.nn.functional.interpolate(part, size, mode="bilinear", align_corners=False)
    return part.permute(0, 2, 3, 1)


def rectangles(layer: Any, N: int, H: int, W: int) -> Any:
    """Whether each pixel is painted over: (N, H, W) of True and False."""
    covered = np.zeros((N, H, W), bool)
    (low, high), (least, most) = layer.scale, layer.factor
    for n, (s, t, x, y, p, coin) in enumerate(drawn(layer, N, 6)):
        width = W * math.sqrt(low + (high - low) * s)
        height = H * math.sqrt(low + (high - low) * t)
        left, top = x * (W - width), y * (H - height)
        for i in range(H):
            for j in range(W):
                inside = top <= i < top + height and left <= j < left + width
                covered[n, i, j] = inside and coin < least + (most - least) * p
    return covered


def painting(layer: Any, shape: Shape) -> Any:
    """The numbers to paint with."""
    low, high = layer.value_range
    if layer.fill_value is not None:
        return np.clip(np.broadcast_to(np.array(layer.fill_value, float), shape), low, high)
    layer.seek(0, 0)
    z = np.empty(int(np.prod(shape)))
    reference.normal(*layer._place(int(np.prod(shape[1:]))), z)
    return np.clip(high * z.reshape(shape), low, high)


def painted(case: Any, layer: Any, x: Any) -> Any:
    if not case.training:
        return x
    covered = rectangles(layer, *case.shape[:3])[..., None]
    return np.where(covered, painting(layer, case.shape), x)


def torch_painted(torch: Any, layer: Any, params: Any, x: Any, training: bool) -> Any:
    if not training:
        return x
    covered = torch.tensor(rectangles(layer, *x.shape[:3])[..., None])
    return torch.where(covered, torch.tensor(painting(layer, tuple(x.shape))).to(x.dtype), x)


def some_erasing(draw: Draw) -> tuple[dict[str, Any], Shape]:
    shape = images(draw)
    each = tuple(draw.number(-2, 2) for _ in range(shape[3]))
    return seeded(
        draw,
        factor=draw.one_of(1, 0.5, (1, 1), [0.25, 0.75]),
        scale=draw.one_of((0.02, 0.33), 1, (0.5, 0.25)),
        fill_value=draw.one_of(None, 1.5, 0, each),
        value_range=draw.one_of((0, 255), (-1, 1)),
    ), shape


AUGMENTATION_CASES: dict[type[Layer], LayerCase] = {
    RandomBrightness: LayerCase(
        examples={
            "some": Example({"factor": 0.5, "value_range": (-2, 2), "seed": 3}, (3, 4, 5, 2)),
            "bytes": Example({"factor": (-0.1, 0.3), "seed": 3}, (2, 3, 3, 1)),
        },
        definition=brightened,
        torch=torch_brightened,
        keras={
            f"{part}, {where}": Example(
                {"factor": (part, part), "value_range": where, "seed": 0}, (2, 4, 3, 2)
            )
            for part, where in ((0.25, (-1, 2)), (-0.5, (0, 4)), (1, (0, 255)), (0, (0, 1)))
        },
        draw=some_color,
        linear={"value_range": (-1e6, 1e6), "factor": 1e-6},
        side=within_the_range,
        inside=of_images(lambda draw: seeded(draw, factor=0.25, value_range=(-8, 8))),
    ),
    RandomContrast: LayerCase(
        examples={
            "some": Example({"factor": 0.5, "value_range": (-2, 2), "seed": 3}, (3, 4, 5, 2)),
            "bytes": Example({"factor": (0.1, 0.3), "seed": 3}, (2, 3, 3, 1)),
        },
        definition=contrasted,
        torch=torch_contrasted,
        # 1 - lower is 1 + upper at (0, 0) alone
        keras={
            f"{where}": Example({"factor": (0, 0), "value_range": where, "seed": 0}, (2, 4, 3, 2))
            for where in ((-1, 1), (0, 255))
        },
        draw=some_color,
        linear={"value_range": (-1e6, 1e6)},
        side=within_the_range,
        inside=of_images(lambda draw: seeded(draw, factor=0.25, value_range=(-8, 8))),
    ),
    RandomCrop: LayerCase(
        examples={
            "a part": Example({"height": 2, "width": 3, "seed": 3}, (3, 5, 4, 2)),
            "of something smaller": Example({"height": 6, "width": 3, "seed": 3}, (3, 5, 4, 2)),
        },
        definition=cut_out,
        torch=torch_cut_out,
        keras={
            "all": Example({"height": 4, "width": 5, "seed": 0}, (2, 4, 5, 2)),
            "twice as large": Example({"height": 4, "width": 4, "seed": 0}, (2, 2, 2, 2)),
            "larger, of the same proportions": Example(
                {"height": 4, "width": 8, "seed": 0}, (2, 3, 6, 1)
            ),
        },
        draw=lambda draw: (
            seeded(draw, height=draw.size(1, 6), width=draw.size(1, 6)),
            images(draw),
        ),
        linear={},
        inside=lambda draw, sample: (
            seeded(draw, height=max(sample[0] - 1, 1), width=max(sample[1] - 1, 1))
            if len(sample) == 3
            else None
        ),
    ),
    RandomErasing: LayerCase(
        examples={
            "noise": Example({"factor": (0.9, 1), "scale": (0.2, 0.5), "seed": 3}, (4, 5, 4, 2)),
            "a number": Example({"fill_value": 9, "value_range": (-1, 2), "seed": 3}, (4, 5, 4, 3)),
        },
        definition=painted,
        torch=torch_painted,
        keras={
            f"all, {value}": Example(
                {
                    "factor": (1, 1),
                    "scale": (1, 1),
                    "fill_value": value,
                    "value_range": (-1, 2),
                    "seed": 0,
                },
                (2, 4, 3, 3),
            )
            for value in (0.5, 7, (0.25, 0.5, 3.0))
        },
        draw=some_erasing,
        linear={"fill_value": 0, "value_range": (0, 1)},
        inside=of_images(lambda draw: seeded(draw, fill_value=0.5, value_range=(-8, 8))),
    ),
    RandomFlip: LayerCase(
        examples={
            "both ways": Example({"seed": 3}, (6, 3, 4, 2)),
            "left and right": Example({"mode": "horizontal", "seed": 4}, (6, 3, 4, 1)),
        },
        definition=flipped,
        torch=torch_flipped,
        keras="its coins fall in another way",
        draw=lambda draw: (
            seeded(draw, mode=draw.one_of("horizontal", "VERTICAL", "horizontal_and_vertical")),
            images(draw),
        ),
        linear={},
        inside=of_images(lambda draw: seeded(draw, mode=draw.one_of("horizontal", "vertical"))),
        weight=2,
    ),
    RandomRotation: LayerCase(
        examples={
            "some": Example({"factor": 0.2, "seed": 3}, (3, 5, 4, 2)),
            "a quarter": Example(
                {
                    "factor": (0.25, 0.25),
                    "fill_mode": "constant",
                    "interpolation": "nearest",
                    "fill_value": 7.0,
                    "seed": 4,
                },
                (2, 4, 4, 1),
            ),
        },
        definition=moved,
        torch=torch_moved,
        keras={  # whose matrices are float32: "nearest" rounds the difference away
            f"{part}, {mode}": Example(
                {"factor": (part, part), "fill_mode": mode, "interpolation": "nearest", "seed": 0},
                (2, 5, 3, 2),
            )
            for part in (0.25, 0.125, -0.4375)
            for mode in ("constant", "nearest", "reflect")
        },
        draw=some_moving("factor"),
        linear={"fill_value": 0},
        inside=of_images(lambda draw: {**some_filling(draw), "factor": 0.25}),
    ),
    RandomTranslation: LayerCase(
        examples={
            "some": Example(
                {"height_factor": 0.3, "width_factor": (-0.2, 0.4), "seed": 3}, (3, 5, 4, 2)
            ),
            "wrapped": Example(
                {"height_factor": 1, "width_factor": 1, "fill_mode": "wrap", "seed": 5},
                (4, 3, 5, 1),
            ),
            "filled": Example(
                {
                    "height_factor": 0.5,
                    "width_factor": 0.5,
                    "fill_mode": "constant",
                    "interpolation": "nearest",
                    "fill_value": 7.0,
                    "seed": 4,
                },
                (3, 4, 4, 1),
            ),
        },
        definition=moved,
        torch=torch_moved,
        keras={
            f"{down}, {right}, {mode}, {how}": Example(
                {
                    "height_factor": (down, down),
                    "width_factor": (right, right),
                    "fill_mode": mode,
                    "interpolation": how,
                    "fill_value": 0.5,
                    "seed": 0,
                },
                (2, 4, 8, 2),
            )
            for down, right in ((0.25, -0.125), (0.0625, 0.03125), (-0.6875, 1.0))
            for mode in FILL_MODES
            for how in ("bilinear", "nearest")
            if mode != "wrap" or abs(right) < 1  # beyond a period TensorFlow's is another
        },
        draw=some_moving("height_factor", "width_factor"),
        linear={"fill_value": 0},
        inside=of_images(
            lambda draw: {**some_filling(draw), "height_factor": 0.3, "width_factor": 0.3}
        ),
        weight=2,
    ),
    RandomZoom: LayerCase(
        examples={
            "some": Example(
                {"height_factor": 0.5, "width_factor": (-0.2, 0.4), "seed": 3}, (3, 5, 4, 2)
            ),
            "in proportion": Example(
                {
                    "height_factor": (0.2, 0.9),
                    "fill_mode": "constant",
                    "interpolation": "nearest",
                    "fill_value": 7.0,
                    "seed": 4,
                },
                (3, 4, 6, 1),
            ),
        },
        definition=moved,
        torch=torch_moved,
        keras={
            f"{up}, {mode}, {how}": Example(
                {
                    "height_factor": (up, up),
                    "width_factor": across,
                    "fill_mode": mode,
                    "interpolation": how,
                    "fill_value": 0.5,
                    "seed": 0,
                },
                (2, 5, 7, 2),
            )
            for up, across in ((0.5, None), (-0.5, (0.25, 0.25)), (0.75, (-0.25, -0.25)))
            for mode in ("constant", "nearest", "reflect")
            for how in ("bilinear", "nearest")
        },
        draw=lambda draw: (
            {
                **some_filling(draw),
                "height_factor": draw.one_of(0.3, (-0.4, 0.2), [0.25, 1]),
                "width_factor": draw.one_of(None, 0.9, (-0.9, -0.5)),
            },
            images(draw),
        ),
        linear={"fill_value": 0},
        inside=of_images(lambda draw: {**some_filling(draw), "height_factor": 0.4}),
    ),
}
