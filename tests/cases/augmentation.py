"""The layers that vary images in training: see `LayerCase`. `layers.py` takes these.

What a layer draws is drawn here too, by the reference kernel from the place in the layer's stream;
what it makes of that is written out again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cases import Draw, Example, LayerCase, Shape
from minicnn.kernels import reference
from minicnn.layers import (
    Layer,
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
    rows = [u for u, _ in drawn(layer, len(x), 2, layer.height_factor)]
    columns = [v for _, v in drawn(layer, len(x), 2, layer.width_factor or layer.height_factor)]
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


AUGMENTATION_CASES: dict[type[Layer], LayerCase] = {
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
