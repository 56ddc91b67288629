"""What a cell of a model sees: its receptive field."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn.layers import (
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Layer,
    MaxPooling2D,
)
from minicnn.layers.activations import Elementwise, Linear
from minicnn.plotting import arguments
from minicnn.plotting.networks import built_model, index, layer_of, one_image, outputs
from minicnn.plotting.sheet import LINE, MARGIN, Box, Scene, Sheet, figure_of, scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]


def receptive_field(
    model: Any,
    layer: Any = None,
    *,
    at: tuple[int, int] | None = None,
    x: Any = None,
    image: int = 0,
    size: float = 10,
    suptitle: str | None = None,
) -> Figure:
    """Draw which pixels reach one cell of a layer, through all layers on the way.

    The layers' own `backward` says it: every weight is positive in a copy, so that each cell that
    takes part in another gets a share of its gradient. `animate` of the figure goes back layer by
    layer.

    Parameters
    ----------
    model : Sequential
        Built, for images.
    layer : str or Layer, optional
        Where the cell is: the layer's name, or the layer. The last convolution or pooling if not
        given.
    at : (int, int), optional
        Row and column of the cell; from the end if negative. The one in the middle if not given.
    x : array of shape (N, ...), optional
        Images as `predict` takes them: the maps of one of them, means over the channels, are then
        drawn behind the frames.
    image : int
        Which one of x; from the end if negative.
    size : float
        Width of the figure in inches, 2 to 100.
    suptitle : str, optional
        Over the whole picture.

    Raises
    ------
    ValueError, TypeError, FloatingPointError
        As `activations`; `at` outside of the layer's output.
    """
    who = "receptive_field"
    built_model(model, who)
    size, suptitle = arguments.size(size, who, least=2), arguments.suptitle(suptitle, who)
    leaves = model.leaves
    shapes = [tuple(shape) for shape in model.shapes((1, *model.input_shape[1:]))]
    if layer is None:
        images = [leaf for leaf, shape in zip(leaves, shapes[1:]) if len(shape) == 4]
        windowed = [leaf for leaf in images if hasattr(leaf, "windows")]
        found = (windowed or images or [None])[-1]
    else:
        found = layer_of(model, layer, who)
    count = 0 if found is None else index(leaves, found) + 1
    if found is None or len(shapes[count]) != 4 or len(shapes[0]) != 4:
        raise ValueError(
            f"{who}: expected layer to be one of a model for images whose output is an image "
            f"(H, W, C), received {model.who if found is None else found.who}"
        )
    row, column = _cell(at, shapes[count][1:3], who)
    backgrounds: list[Array | None] = [None] * (count + 1)
    if x is not None:
        one = one_image(model, x, image, who)
        passed = [one, *outputs(model, one, found)]
        if not all(np.isfinite(output).all() for output in passed):
            raise FloatingPointError(f"{who}: an output before {found.who} is NaN or infinite")
        backgrounds = [one[0].mean(axis=2) if one.ndim == 4 else None for one in passed]
    steps: list[_Step] = []
    masks = fields(leaves[:count], shapes[: count + 1], row, column)
    for k, (reached, behind) in enumerate(zip(masks, backgrounds)):
        if reached is None:
            continue
        moved = not steps or not np.array_equal(reached, steps[-1].reached)
        if moved or k == count:  # dropout and the like show the same cells once more
            steps.append(_Step("the image" if k == 0 else leaves[k - 1].name, reached, behind))
    scene = _field_scene(steps, size, suptitle)
    return figure_of(scene, scene.frames - 1)


# -- what reaches a cell --------------------------------------------------------------------------


def fields(
    layers: Sequence[Layer], shapes: Sequence[tuple[int, ...]], row: int, column: int
) -> list[Array | None]:
    """The cells that reach (row, column) of the last output: a mask (H, W) for each of `shapes`.

    None where the shape is not that of an image. Every layer is asked by itself, in copies whose
    gradients cannot vanish, see `_open`.
    """
    rng = np.random.default_rng(0)
    reached = np.zeros(shapes[-1], bool)
    reached[0, row, column] = True
    masks = [reached[0].any(axis=2)]
    for layer, shape in zip(reversed(layers), reversed(shapes[:-1])):
        opened = _open(layer, rng)
        if opened is not None:
            opened.forward(rng.uniform(0.1, 0.9, shape))
            # no two alike: a normalization takes the mean of dy off
            reached = opened.backward(reached * rng.uniform(0.5, 1.5, reached.shape)) != 0
        masks.append(reached[0].any(axis=2) if reached.ndim == 4 else None)
    return masks[::-1]


def _open(layer: Layer, rng: np.random.Generator) -> Layer | None:
    """A copy of the layer whose backward reaches all cells that could matter; None: cell by cell.

    All weights are positive, and no two alike; the activation inside is the identity, and the mean,
    in which each cell of a window has its share, stands for the maximum.
    """
    inner = getattr(layer, "activation", None)
    if isinstance(layer, Elementwise):
        return None
    if isinstance(layer, MaxPooling2D):
        return AveragePooling2D(layer.pool_size, layer.strides, layer.padding)
    if isinstance(layer, GlobalMaxPooling2D):
        return GlobalAveragePooling2D(keepdims=layer.keepdims)
    twin = copy.deepcopy(layer)
    if isinstance(inner, Elementwise):
        twin.activation = Linear()
    for values in twin.params.values():
        fan_in = values.size // values.shape[-1] if values.ndim and values.size else 1
        values[...] = rng.uniform(0.5, 1.5, values.shape) / fan_in  # sums stay near 1
    return twin


class _Step:
    """One panel: a map (H, W), and which of its cells reach the one that was chosen."""

    def __init__(self, name: str, reached: Array, behind: Array | None) -> None:
        self.name = arguments.text(name, "the layer's name", "receptive_field")
        self.reached, self.behind = reached, behind
        rows, columns = np.flatnonzero(reached.any(axis=1)), np.flatnonzero(reached.any(axis=0))
        self.top = int(rows[0]) if len(rows) else 0
        self.left = int(columns[0]) if len(columns) else 0
        self.rows = int(rows[-1]) - self.top + 1 if len(rows) else 0
        self.columns = int(columns[-1]) - self.left + 1 if len(columns) else 0

    def title(self) -> str:
        H, W = self.reached.shape
        return f"{self.name}\n{self.rows} x {self.columns} of {H} x {W}"


def _field_scene(steps: list[_Step], size: float, suptitle: str | None) -> Scene:
    across = min(len(steps), 5)
    down = math.ceil(len(steps) / across)
    gap = 0.03 * size + 0.05
    side = min((size - 2 * MARGIN - (across - 1) * gap) / across, 0.3 * size)
    left = (size - across * side - (across - 1) * gap) / 2
    points = arguments.font_size(side, [step.title() for step in steps], largest=11)
    title = 2 * points * LINE + 0.12
    below = 1.1 * points * LINE + 0.3
    height = MARGIN + down * (title + side + gap) + below
    boxes = []
    for k, step in enumerate(steps):
        H, W = step.reached.shape
        cell = side / max(H, W)
        i, j = divmod(k, across)
        middle = left + j * (side + gap) + side / 2
        bottom = MARGIN + title + i * (title + side + gap)
        boxes.append(Box(middle - W * cell / 2, bottom + (side - H * cell) / 2, cell, H, W))

    def draw(sheet: Sheet, frame: int, growing: bool) -> None:
        for k, (step, box) in enumerate(zip(steps, boxes)):
            behind = np.zeros(step.reached.shape) if step.behind is None else step.behind
            sheet.title(box, step.title() if k >= len(steps) - 1 - frame else step.name, points)
            image = step.behind is not None and k == 0
            sheet.grid(box, behind, *scale(behind, image=image), numbers=False)
            if k >= len(steps) - 1 - frame:
                sheet.shade(box, step.reached)
                if step.reached.sum() == step.rows * step.columns:
                    sheet.frame(box, step.top, step.left, step.rows, step.columns)
        first, last = steps[0], steps[-1]
        cell = f"Cell ({last.top}, {last.left}) of {last.name}"
        H, W = first.reached.shape
        sees = f"{cell} sees {first.rows} x {first.columns} of {H} x {W} pixels"
        sheet.text(size / 2, height - below / 2, sees if frame == len(steps) - 1 else cell, points)

    return Scene(draw, len(steps), size, height, suptitle)


def _cell(at: Any, shape: tuple[int, ...], who: str) -> tuple[int, int]:
    if at is None:
        return shape[0] // 2, shape[1] // 2
    row, column = divmod(arguments.cell(at, shape, who), shape[1])
    return row, column
