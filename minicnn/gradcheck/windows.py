"""Mistakes with the windows of a convolution or pooling: overlap, stride, padding.

As in `mistakes.py`, each function yields mistakes and whether they fit. They look at the Jacobians
J and B, one row for each output, so that each window stands by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from minicnn.gradcheck.mistakes import Evidence

Array = NDArray[Any]
Fitting = Iterator[tuple[bool, str, str]]

FAR = 3  # rows and columns by which a window may be displaced


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


def displaced(e: Evidence) -> Fitting:
    """The windows are not where forward's are: those that dx is written to, or that dW comes from.

    Then what window (i, j) has in B is what it has in J, but i and j steps and some cells away.
    """
    if not e.is_image or e.tensor.ndim != 4:
        return
    of_x = e.name == "x"
    axis = 5 if of_x else 4  # rows of the tensor, behind the four axes of y
    J, B = (
        np.moveaxis(matrix.reshape(*e.y.shape, *e.tensor.shape), (1, 2, axis, axis + 1), range(4))
        for matrix in (e.J, e.B)
    )
    H_out, W_out, H, W = J.shape[:4]
    i, j, h, w = np.ogrid[:H_out, :W_out, :H, :W]
    given = B.any(axis=(4, 5, 6, 7))
    drift = range(-FAR, 1 if of_x else FAR + 1)  # for each window before: stride taken as 1, say
    shift = range(-FAR, FAR + 1)
    candidates = itertools.product(drift, drift, shift, shift)
    for D_h, D_w, d_h, d_w in sorted(candidates, key=lambda numbers: sum(map(abs, numbers))):
        rows, columns = i * D_h + d_h, j * D_w + d_w
        from_h, from_w = (h - rows, w - columns) if of_x else (h + rows, w + columns)
        inside = (from_h >= 0) & (from_h < H) & (from_w >= 0) & (from_w < W)
        later = (inside & given)[min(1, H_out - 1) :, min(1, W_out - 1) :]
        if not later.any():  # of the first windows no step is seen
            continue
        moved = J[i, j, from_h.clip(0, H - 1), from_w.clip(0, W - 1)]
        if e.same(moved[inside], B[inside]):
            shifted = f"shifted by {d_h:+d} rows and {d_w:+d} columns"
            if D_h or D_w:
                extra = f" (and all are {shifted})" if d_h or d_w else ""
                told = _wrong_steps(e, D_h, D_w, extra)
                yield True, "stride forgotten", f"the stride is forgotten: {told}"
            told = (
                f"it is {shifted}: the padding before the image (P_top, P_left) has to be cut "
                "off on the way back, or the wrong end of it was"
                if of_x
                else f"it is worked out from windows that are {shifted}: take the padding (P_top, "
                "P_left) into account"
            )
            yield bool(d_h or d_w), "crop forgotten", told
            return


def _wrong_steps(e: Evidence, D_h: int, D_w: int, extra: str) -> str:
    """What is wrong if from one window to the next there are so many rows and columns too many."""
    if e.name == "x":
        return (
            f"from one window to the next, what goes back moves {-D_h} rows and {-D_w} columns too "
            f"few{extra}. Window (i, j) begins at row i*S_h, column j*S_w"
        )
    sizes = e.subject.sizes()
    if not {"S_h", "S_w"} <= sizes.keys():
        return (
            f"its windows of x are {D_h:+d} rows and {D_w:+d} columns further apart than forward's"
        )
    S_h, S_w = sizes["S_h"], sizes["S_w"]
    return (
        f"it is worked out from windows {S_h + D_h}x{S_w + D_w} apart, where forward's are "
        f"{S_h}x{S_w} apart"
    )
