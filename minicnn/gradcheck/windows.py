"""Mistakes with the windows of a convolution or pooling: overlap, stride, padding.

As in `mistakes.py`, each function yields mistakes and whether they fit. They look at the Jacobians
J and B, one row for each output, so that each window stands by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from minicnn.gradcheck.mistakes import Evidence

Array = NDArray[Any]
Fitting = Iterator[tuple[bool, str, str]]
Sizes = tuple[int, ...]  # of the two axes of images

FAR = 3  # rows and columns by which a window may be displaced
STRIDES = (1, 2, 3, 4)


def one_window(e: Evidence) -> Fitting:
    """Where windows overlap, the last one written stays."""
    if e.name != "x" or not e.is_image:
        return
    C_out = e.dy.shape[-1]
    places = np.arange(e.dy.size // C_out)[:, None]
    J = e.J.reshape(len(places), C_out, -1)
    for windows in (_reach(e), J.any(axis=1)):
        last = np.where(windows, places, -1).max(axis=0)
        first = np.where(windows, places, len(places)).min(axis=0)
        for only in (last, first):
            yield (
                e.same(e.B.reshape(J.shape), J * (places == only)[:, None, :]),
                "overlap",
                "where windows overlap, one overwrites what the others sent back: add with += "
                "(np.add.at for index arrays) instead of =",
            )


def _reach(e: Evidence) -> Array:
    """Which places of y depend on each number at all: bool (places, numbers).

    A place is an index of all axes of y but the last: one window of a convolution. The numbers are
    moved very far, so that a maximum or a ReLU cannot hide the dependence.
    """
    y_0 = e.y.reshape(-1, e.y.shape[-1])
    far = 1e3 * max(1.0, float(np.abs(e.tensor).max()))
    depends = np.zeros((len(y_0), e.tensor.size), bool)
    for k in range(e.tensor.size):
        line = e.probe.line(k)
        for t in (far, -far):
            depends[:, k] |= (line(t).reshape(y_0.shape) != y_0).any(axis=1)
    return depends


def displaced_windows(e: Evidence) -> Fitting:
    """dx: each window's share is written to the wrong place."""
    if e.name != "x" or not e.is_image:
        return
    shape = (*e.y.shape, *e.x.shape)
    paths = "nijfnhwc->ijhwnfc"  # no gradient goes from one sample to another
    J, B = (np.einsum(paths, matrix.reshape(shape)) for matrix in (e.J, e.B))
    H_out, W_out, H_in, W_in = J.shape[:4]
    i, j, h, w = np.ogrid[:H_out, :W_out, :H_in, :W_in]
    sent = B.any(axis=(4, 5, 6))
    drift = (0, -1, -2, -3)  # of a window, for each window before it: stride taken as 1, say
    shift = range(-FAR, FAR + 1)
    for D_h, D_w, d_h, d_w in _smallest_first(drift, drift, shift, shift):
        source_h, source_w = h - (i * D_h + d_h), w - (j * D_w + d_w)
        inside = (source_h >= 0) & (source_h < H_in) & (source_w >= 0) & (source_w < W_in)
        if (inside & sent).sum() * 2 < sent.sum():  # too little of it can be compared
            continue
        moved = J[i, j, source_h.clip(0, H_in - 1), source_w.clip(0, W_in - 1)]
        if not e.same(moved[inside], B[inside]):
            continue
        shifted = f"shifted by {d_h:+d} rows and {d_w:+d} columns"
        extra = f" (and all are {shifted})" if d_h or d_w else ""
        yield (
            bool(D_h or D_w),
            "stride forgotten",
            "the stride is forgotten: from one window to the next, what goes back moves "
            f"{-D_h} rows and {-D_w} columns too few{extra}. Window (i, j) begins at row i*S_h, "
            "column j*S_w",
        )
        yield (
            bool(d_h or d_w),
            "crop forgotten",
            f"it is {shifted}: the padding before the image (P_top, P_left) has to be cut "
            "off on the way back, or the wrong end of it was",
        )
        return


def _smallest_first(*ranges: Iterable[int]) -> list[tuple[int, ...]]:
    return sorted(itertools.product(*ranges), key=lambda numbers: sum(map(abs, numbers)))


def multiples(rows: Array, others: Array, axis: Any = 1) -> Array:
    """For each row, which multiple of the same row of `others` comes nearest to it."""
    square = (others * others).sum(axis=axis)
    factors: Array = (rows * others).sum(axis=axis) / np.where(square, square, 1)
    return factors


def displaced_inputs(e: Evidence) -> Fitting:
    """dW: it is worked out from other windows of x than forward's."""
    if not e.is_image or e.tensor.ndim != 4 or e.name == "x":
        return
    if e.tensor.shape[2:] != (e.x.shape[3], e.y.shape[3]):
        return
    shape = (*e.y.shape, *e.tensor.shape)
    paths = "nijfabcf->nijfabc"  # a filter sees its own channel of dy only
    J, B = (np.einsum(paths, matrix.reshape(shape)) for matrix in (e.J, e.B))
    right, slopes = _find_windows(e, J, None)
    used, _ = _find_windows(e, B, slopes) if right else (None, None)
    if right is None or used is None or used == right:
        return
    yield (
        used[:2] != right[:2],
        "stride forgotten",
        f"the stride is forgotten: it is worked out from windows {used[0]}x{used[1]} apart, "
        f"where forward's are {right[0]}x{right[1]} apart",
    )
    yield (
        True,
        "crop forgotten",
        f"it is worked out from windows that are shifted by {used[2] - right[2]:+d} rows and "
        f"{used[3] - right[3]:+d} columns: take the padding (P_top, P_left) into account",
    )


def _find_windows(
    e: Evidence, rows: Array, slopes: Array | None
) -> tuple[tuple[int, ...] | None, Array | None]:
    """(S_h, S_w, first row, first column) of the windows of x that `rows` consist of.

    `rows` (N, H_out, W_out, C_out, K_h, K_w, C_in): each is a window of x times the slope of the
    activation there; `slopes` (N, H_out, W_out, C_out), or None to find them, too.
    """
    out, kernel = rows.shape[1:3], rows.shape[4:6]
    begins = _smallest_first(*(range(1 - K, K) for K in kernel))
    for S_h, S_w, begin in itertools.product(STRIDES, STRIDES, begins):
        windows = _windows(e.x, out, kernel, (S_h, S_w), begin)[:, :, :, None]
        at = multiples(rows, windows, axis=(4, 5, 6)) if slopes is None else slopes
        if e.same(rows, windows * at[..., None, None, None]):
            return (S_h, S_w, *begin), at
    return None, None


def _windows(x: Array, out: Sizes, kernel: Sizes, strides: Sizes, begin: Sizes) -> Array:
    """Windows of x with zeros around it, shape (N, H_out, W_out, K_h, K_w, C)."""
    rows, columns = (
        np.arange(out[k])[:, None] * strides[k] + np.arange(kernel[k]) + begin[k] for k in (0, 1)
    )
    outside = rows.max() - x.shape[1], columns.max() - x.shape[2], -rows.min(), -columns.min()
    far = 1 + max(0, *outside)
    padded = np.pad(x, ((0, 0), (far, far), (far, far), (0, 0)))
    return padded[:, far + rows[:, None, :, None], far + columns[None, :, None, :]]
