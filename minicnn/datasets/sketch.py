"""A block of images while they are drawn, the shapes laid onto them, and the cloth.

A shape is a signed distance over the coordinates (u, v); `synthetic_fashion` says how an image is
made of shapes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minicnn.checks import Array

SIDE = 28
Images = NDArray[np.uint8]
Number = float | Array  # a float for all images of a block, or a column (n, 1) with one for each


class Sketch:
    """A block of images while they are drawn: their coordinates, ink and randomness."""

    def __init__(self, rng: np.random.Generator, n: int) -> None:
        self.rng, self.n = rng, n
        grid = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2) / (SIDE / 2)
        x = np.tile(grid, SIDE) - self.about(0.0, 0.14)
        y = np.repeat(grid, SIDE) - self.about(0.0, 0.11)
        turn, shear, bend = self.about(0.0, 0.09), self.about(0.0, 0.05), self.about(0.0, 0.03)
        scale = self.about(0.94, 0.11)
        self.v = (y * np.cos(turn) - x * np.sin(turn)) / scale
        self.u = (x * np.cos(turn) + y * np.sin(turn)) / (scale * self.about(1.0, 0.07))
        self.u += shear * self.v + bend * np.sin(3.0 * self.v + self.about(0.0, 3.0))
        self.side = np.abs(self.u)
        self.pixels = SIDE / 2 * scale * self.about(0.9, 0.15)  # pixels in one unit of u or v
        self.ink = np.zeros((n, SIDE * SIDE), dtype=np.float32)

    def between(self, low: Number, high: Number) -> Array:
        """A column of numbers, uniform between `low` and `high`."""
        return low + (high - low) * self.rng.random((self.n, 1), dtype=np.float32)

    def about(self, middle: Number, spread: Number) -> Array:
        """A column of numbers around `middle`, never farther away than `spread`."""
        return self.between(middle - spread, middle + spread)

    def chance(self, p: float) -> Array:
        """A column that is 1 with probability `p`, else 0."""
        return (self.rng.random((self.n, 1), dtype=np.float32) < p).astype(np.float32)

    def noise(self, size: int) -> Array:
        """White noise over the picture, variance 1, in squares of `size` pixels."""
        small = SIDE // size
        coarse = np.frombuffer(self.rng.bytes(self.n * small * small), dtype=np.uint8)
        coarse = coarse.reshape(self.n, small, 1, small, 1)
        fine = np.broadcast_to(coarse, (self.n, small, size, small, size)).reshape(self.n, -1)
        return (fine.astype(np.float32) - 127.5) / 73.9  # 0 to 255, made mean 0 and variance 1

    def paint(self, distance: Array, shade: Number, opacity: Number = 1.0) -> None:
        """Cover the inside of a shape with `shade`, its edge antialiased."""
        cover = distance * -self.pixels
        cover += 0.5
        np.clip(cover, 0.0, 1.0, out=cover)
        cover *= opacity
        self.ink += cover * (shade - self.ink)

    def seam(self, distance: Array, depth: Number, width: float = 1.0) -> None:
        """Darken (`depth` > 0) or lighten a line, `width` pixels wide, where `distance` is 0."""
        line = np.abs(distance) * -self.pixels
        line += 0.5 + width / 2
        np.clip(line, 0.0, 1.0, out=line)
        line *= -depth
        line += 1.0
        self.ink *= line

    def develop(self) -> Images:
        """The pictures as uint8 (n, 28, 28)."""
        self.ink *= 1.0 + self.between(0.01, 0.05) * self.noise(1)
        np.clip(self.ink, 0.0, 1.0, out=self.ink)
        return (self.ink * 255.0 + 0.5).astype(np.uint8).reshape(-1, SIDE, SIDE)


def mix(mask: Array, yes: Number, no: Number) -> Array:
    """`yes` where the 0/1 column `mask` is 1, `no` where it is 0."""
    chosen: Array = mask * yes + (1.0 - mask) * no
    return chosen


def profile(t: Array, knots: Sequence[tuple[Number, Number]]) -> Array:
    """The broken line through `knots` (position, value), positions rising, level outside."""
    (left, value), *rest = knots
    line = np.zeros_like(t)
    line += value
    for right, target in rest:
        along = np.minimum(np.maximum(t - left, 0.0), right - left)
        along *= (target - value) / (right - left)
        line += along
        left, value = right, target
    return line


def strip(
    x: Array,
    y: Array,
    start: tuple[Number, Number],
    end: tuple[Number, Number],
    r0: Number,
    r1: Number,
) -> Array:
    """Distance to a straight strip with flat ends; half its width goes from `r0` to `r1`."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = np.sqrt(dx * dx + dy * dy)
    dx, dy = dx / length, dy / length
    x, y = x - start[0], y - start[1]
    along, across = x * dx, x * dy
    along += y * dy
    across -= y * dx
    np.abs(across, out=across)
    across -= r0 + along * ((r1 - r0) / length)
    along -= length / 2
    np.abs(along, out=along)
    along -= length / 2
    return np.maximum(along, across)


def ellipse(x: Array, y: Array, centre: tuple[Number, Number], a: Number, b: Number) -> Array:
    """Distance (nearly) to an ellipse with half axes `a` along x and `b` along y."""
    radius: Array = np.sqrt(np.square((x - centre[0]) / a) + np.square((y - centre[1]) / b))
    return (radius - 1.0) * np.minimum(a, b, dtype=np.float32)


def box(x: Array, y: Array, centre: tuple[Number, Number], a: Number, b: Number) -> Array:
    """Distance to a rectangle, `a` and `b` half its width and height."""
    return np.maximum(np.abs(x - centre[0]) - a, np.abs(y - centre[1]) - b)


def overlap(*distances: Array) -> Array:
    """Distance to what all the shapes have in common."""
    return functools.reduce(np.maximum, distances)


def row(t: Array, period: Number) -> Array:
    """`t` folded into -period/2 ... period/2: what is drawn once around 0 repeats for ever."""
    turns = t / period
    turns -= np.rint(turns)
    turns *= period
    return turns


def fabric(
    s: Sketch, *, stripes: float = 0.2, plaid: float = 0.05, prints: float = 0.15
) -> tuple[Array, Array]:
    """The cloth: its brightness at every pixel, and its base brightness as a column.

    `stripes`, `plaid` and `prints` are the probabilities of those patterns.
    """
    base = mix(s.chance(0.25), s.between(0.2, 0.55), s.between(0.55, 1.0))
    checked = s.chance(plaid)
    level = np.maximum(s.chance(stripes), checked) * s.between(0.08, 0.35)
    upright = np.maximum(s.chance(stripes * 0.4), checked) * s.between(0.08, 0.35)
    cloth = s.between(-0.12, 0.12) * s.u + s.between(-0.15, 0.15) * s.v + 1.0
    cloth += level * np.clip(2.0 * np.sin(s.v * s.between(9, 26) + s.about(0, 3)), -1, 1)
    cloth += upright * np.clip(2.0 * np.sin(s.u * s.between(9, 24) + s.about(0, 3)), -1, 1)
    wrinkle = s.u * s.about(0.0, 9.0) + s.v * s.about(0.0, 5.0) + s.about(0.0, 3.0)
    cloth += s.between(0.0, 0.09) * np.sin(wrinkle)
    speckles = s.chance(prints) * s.between(0.1, 0.3)
    flowers = s.chance(prints * 0.5) * s.between(0.08, 0.25)
    cloth += (speckles + s.between(0.0, 0.04)) * s.noise(1)
    blots = s.noise(2)
    cloth += flowers * (blots + np.roll(blots, SIDE + 1, axis=1))
    cloth *= base
    np.clip(cloth, 0.08, 1.0, out=cloth)
    return cloth, base
