"""Where a gradient is wrong: the worst numbers, and what their places have in common."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.gradcheck.differences import Differences, Probe, slope
from minicnn.gradcheck.result import Wrong

Array = NDArray[Any]

SHOWN = 5  # wrong numbers that are listed
SAMPLE = 32  # numbers of a large tensor that are looked at


def wrong_numbers(
    found: Differences, analytic: Array, off: Array, shape: tuple[int, ...]
) -> tuple[tuple[Wrong, ...], str]:
    """The numbers that are off the most, worst first, and what the places of all have in common."""
    gap = np.where(off, np.nan_to_num(np.abs(analytic - found.numeric), nan=np.inf), -1)
    listed = []
    for k in np.argsort(-gap, kind="stable")[: min(SHOWN, int(off.sum()))]:
        note = ""
        if found.kinked[k]:
            note = f" (on a kink, between {found.low[k]:.6g} and {found.high[k]:.6g})"
        listed.append(Wrong(_index(k, shape), float(analytic[k]), float(found.numeric[k]), note))
    return tuple(listed), _in_common(np.argwhere(off.reshape(shape)), shape)


def _in_common(indices: Array, shape: tuple[int, ...]) -> str:
    """What these places share, if they lie together."""
    if len(indices) < 3:
        return ""
    said = []
    for axis, size in enumerate(shape):
        present = set(indices[:, axis].tolist())
        if size > 2 and (len(present) == 1 or present == {0, size - 1}):
            said.append(f"axis {axis} at {' or '.join(map(str, sorted(present)))} of {size}")
    return f"all of them have {', '.join(said)}" if said else ""


def sample_of_wrong(probe: Probe, dy: Array, gradient: Array, linear: bool) -> tuple[Wrong, ...]:
    """Some wrong numbers of a large tensor: the one that halving leads to, and a few others."""
    tensor = probe.tensor
    places = probe.rng.choice(tensor.size, size=min(SAMPLE, tensor.size), replace=False)
    analytic, not_finite = gradient.reshape(-1), np.flatnonzero(~np.isfinite(gradient))
    places[0] = not_finite[0] if not_finite.size else _halving(probe, dy, gradient, linear)
    y_0, lines = probe.y(), probe.lines(False, places)
    numeric = np.array([dy.reshape(-1) @ slope(y, y_0, h).value for y, h in lines])
    gap = np.nan_to_num(np.abs(analytic[places] - numeric), nan=np.inf)
    least = 1e-6 * float(np.abs(numeric).max(initial=0))
    return tuple(
        Wrong(_index(places[n], tensor.shape), float(analytic[places[n]]), float(numeric[n]))
        for n in np.argsort(-gap, kind="stable")[:SHOWN]
        if gap[n] > least
    )


def _halving(probe: Probe, dy: Array, gradient: Array, linear: bool) -> int:
    """The place of a wrong number: of two halves, again and again the one that is more wrong."""
    begin, end = 0, probe.tensor.size
    exact = copy.copy(probe)
    exact.rounding = np.zeros(dy.size)
    while end - begin > 1:
        middle = (begin + end) // 2
        ways = np.zeros((2, probe.tensor.size))
        for way, half in zip(ways, (slice(begin, middle), slice(middle, end))):
            way[half] = probe.rng.choice([-1.0, 1.0], size=half.stop - half.start)
        found = exact.by_direction(dy, tolerance=1e-4, linear=linear, directions=ways)
        gap = np.abs(probe.analytic(gradient, found) - found.numeric)
        begin, end = (middle, end) if gap[1] > gap[0] else (begin, middle)
    return begin


def _index(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(place, shape))
