"""The definition of each hot operation, in plain loops that are written to be read.

The twins in `fast.py` have the same names and arguments and give the same results; the tests
hold them to that. Every kernel fills the buffer that its last arguments name and returns nothing.

Letters: image `x` (N, H_in, W_in, C); windows of K_h x K_w cells, S_h and S_w apart, the first of
them P_top rows above and P_left columns left of the image. The cells of a window lie D_h rows and
D_w columns apart, 1 where nothing else is said. Sizes are read off the arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

WORD = 0xFFFFFFFF  # 32 bits
GOLDEN = 0x9E3779B9  # 2^32 / golden ratio: spreads neighbouring counters over all the bits
FACTOR_1, FACTOR_2 = 0x85EBCA6B, 0xC2B2AE35  # of MurmurHash3's last step
FILL_MODES = ("constant", "nearest", "reflect", "wrap")  # how an image goes on beyond its edge
SEAM = 1e-9  # a rounding error this small before the first pixel is no step over the seam of "wrap"


def _cells(
    i: int,
    j: int,
    K_h: int,
    K_w: int,
    S_h: int,
    S_w: int,
    P_top: int,
    P_left: int,
    D_h: int = 1,
    D_w: int = 1,
) -> Iterator[tuple[int, int, int, int]]:
    """Cells of window (i, j), row by row: place in the window (a, b), place in the image (h, w)."""
    for a in range(K_h):
        for b in range(K_w):
            yield a, b, i * S_h + a * D_h - P_top, j * S_w + b * D_w - P_left


def _inside(h: int, w: int, image: Array) -> bool:
    return 0 <= h < image.shape[1] and 0 <= w < image.shape[2]


def im2col(
    x: Array, S_h: int, S_w: int, P_top: int, P_left: int, D_h: int, D_w: int, cols: Array
) -> None:
    """Copy each window of `x` into `cols` (N, H_out, W_out, K_h, K_w, C); padding is 0."""
    N, H_out, W_out, K_h, K_w, _ = cols.shape
    for n in range(N):
        for i in range(H_out):
            for j in range(W_out):
                for a, b, h, w in _cells(i, j, K_h, K_w, S_h, S_w, P_top, P_left, D_h, D_w):
                    cols[n, i, j, a, b] = x[n, h, w] if _inside(h, w, x) else 0


def col2im(
    dcols: Array, S_h: int, S_w: int, P_top: int, P_left: int, D_h: int, D_w: int, dx: Array
) -> None:
    """Transpose of `im2col`: a cell of `dx` sums what all the windows that saw it send back."""
    N, H_out, W_out, K_h, K_w, _ = dcols.shape
    dx[...] = 0
    for n in range(N):
        for i in range(H_out):
            for j in range(W_out):
                for a, b, h, w in _cells(i, j, K_h, K_w, S_h, S_w, P_top, P_left, D_h, D_w):
                    if _inside(h, w, dx):
                        dx[n, h, w] += dcols[n, i, j, a, b]


def depthwise(
    x: Array, W: Array, S_h: int, S_w: int, P_top: int, P_left: int, D_h: int, D_w: int, y: Array
) -> None:
    """Each channel of `x` under its own window of weights `W` (K_h, K_w, C); padding is 0."""
    N, H_out, W_out, _ = y.shape
    K_h, K_w, _ = W.shape
    y[...] = 0
    for n in range(N):
        for i in range(H_out):
            for j in range(W_out):
                for a, b, h, w in _cells(i, j, K_h, K_w, S_h, S_w, P_top, P_left, D_h, D_w):
                    if _inside(h, w, x):
                        y[n, i, j] += x[n, h, w] * W[a, b]


def depthwise_backward(
    x: Array,
    W: Array,
    dy: Array,
    S_h: int,
    S_w: int,
    P_top: int,
    P_left: int,
    D_h: int,
    D_w: int,
    dx: Array,
    dW: Array,
) -> None:
    """What each pair of cell and weight sends back; `dW`, a long sum, is best of float64."""
    N, H_out, W_out, _ = dy.shape
    K_h, K_w, _ = W.shape
    dx[...] = 0
    dW[...] = 0
    for n in range(N):
        for i in range(H_out):
            for j in range(W_out):
                for a, b, h, w in _cells(i, j, K_h, K_w, S_h, S_w, P_top, P_left, D_h, D_w):
                    if _inside(h, w, x):
                        dx[n, h, w] += dy[n, i, j] * W[a, b]
                        dW[a, b] += x[n, h, w] * dy[n, i, j]


def max_pool(
    x: Array,
    K_h: int,
    K_w: int,
    S_h: int,
    S_w: int,
    P_top: int,
    P_left: int,
    y: Array,
    argmax: Array,
) -> None:
    """Largest real cell of each window into `y`, its place a * K_w + b into `argmax`.

    Padding never wins. Of equal cells the first in row-major order wins. NaN wins over all.
    """
    N, H_out, W_out, C = y.shape
    for n in range(N):
        for i in range(H_out):
            for j in range(W_out):
                for c in range(C):
                    best, place = None, -1
                    for a, b, h, w in _cells(i, j, K_h, K_w, S_h, S_w, P_top, P_left):
                        if _inside(h, w, x):
                            cell = x[n, h, w, c]
                            if best is None or cell > best or (cell != cell and best == best):
                                best, place = cell, a * K_w + b
                    y[n, i, j, c] = best
                    argmax[n, i, j, c] = place


def max_pool_backward(
    dy: Array, argmax: Array, K_w: int, S_h: int, S_w: int, P_top: int, P_left: int, dx: Array
) -> None:
    """Send each `dy` to the one cell that won its window; a cell may have won several."""
    N, H_out, W_out, C = dy.shape
    dx[...] = 0
    for n in range(N):
        for i in range(H_out):
            for j in range(W_out):
                for c in range(C):
                    a, b = divmod(int(argmax[n, i, j, c]), K_w)
                    dx[n, i * S_h + a - P_top, j * S_w + b - P_left, c] += dy[n, i, j, c]


def average_pool(
    x: Array, K_h: int, K_w: int, S_h: int, S_w: int, P_top: int, P_left: int, y: Array
) -> None:
    """Mean of the real cells of each window; padding counts neither above nor below the line."""
    N, H_out, W_out, _ = y.shape
    for n in range(N):
        for i in range(H_out):
            for j in range(W_out):
                real = [
                    (h, w)
                    for _, _, h, w in _cells(i, j, K_h, K_w, S_h, S_w, P_top, P_left)
                    if _inside(h, w, x)
                ]
                y[n, i, j] = 0
                for h, w in real:
                    y[n, i, j] += x[n, h, w]
                y[n, i, j] /= len(real)


def average_pool_backward(
    dy: Array, K_h: int, K_w: int, S_h: int, S_w: int, P_top: int, P_left: int, dx: Array
) -> None:
    """Share each `dy` equally among the real cells of its window."""
    N, H_out, W_out, _ = dy.shape
    dx[...] = 0
    for n in range(N):
        for i in range(H_out):
            for j in range(W_out):
                real = [
                    (h, w)
                    for _, _, h, w in _cells(i, j, K_h, K_w, S_h, S_w, P_top, P_left)
                    if _inside(h, w, dx)
                ]
                share = dy[n, i, j] / len(real)
                for h, w in real:
                    dx[n, h, w] += share


def normal_cdf(x: Array, share: Array) -> None:
    """How much of the normal distribution of mean 0 and variance 1 lies below each x; both flat."""
    for i in range(len(x)):
        share[i] = math.erfc(-x[i] / math.sqrt(2)) / 2


def keep_mask(key_1: int, key_2: int, first: int, dropped: int, keep: Array) -> None:
    """Random bits by counter: `keep[i]` says whether the hash of `first + i` reaches `dropped`.

    `keep` is a flat boolean array, `dropped` the rate times 2^32 and below that, the keys 32 random
    bits each. A number depends on its counter alone, never on which thread draws it or in what
    order. The hash is the finalizer of MurmurHash3 (Appleby, 2011) on counter and keys.
    """
    for i in range(len(keep)):
        keep[i] = _hashed(key_1, key_2, first + i) >= dropped


def _hashed(key_1: int, key_2: int, counter: int) -> int:
    h = (counter * GOLDEN + key_1) & WORD ^ key_2
    h = (h ^ (h >> 16)) * FACTOR_1 & WORD
    h = (h ^ (h >> 13)) * FACTOR_2 & WORD
    return h ^ (h >> 16)


def normal(key_1: int, key_2: int, first: int, z: Array) -> None:
    """Random numbers of mean 0 and variance 1 by counter, into the flat `z`.

    Two hashes of the counter, the second with the keys exchanged, are two uniform numbers, of which
    Box and Muller's formula makes a normal one. The first is never 0, whose logarithm there is not.
    """
    for i in range(len(z)):
        u = (_hashed(key_1, key_2, first + i) + 1) / 2**32
        v = _hashed(key_2, key_1, first + i) / 2**32
        z[i] = math.sqrt(-2 * math.log(u)) * math.cos(2 * math.pi * v)


def uniform(key_1: int, key_2: int, first: int, u: Array) -> None:
    """Random numbers in [0, 1) by counter, into the flat `u`: each a hash over 2^32.

    A key is inverted, so that `normal` and `keep_mask` have others at the same counters.
    """
    for i in range(len(u)):
        u[i] = _hashed(key_1 ^ WORD, key_2, first + i) / 2**32


def affine(
    x: Array, matrices: Array, fill_mode: int, bilinear: bool, fill_value: float, y: Array
) -> None:
    """Images with their pixels from other places: `layers/augmentation/geometry.py` says which.

    `matrices` (N, 6) holds a0, a1, a2, b0, b1, b2 of each image, `fill_mode` is a place in
    FILL_MODES.
    """
    for n, i, j, cells in _sources(y, matrices, fill_mode, bilinear):
        y[n, i, j] = 0
        for h, w, weight in cells:
            inside = h is not None and w is not None
            y[n, i, j] += weight * (x[n, h, w] if inside else fill_value)


def affine_backward(dy: Array, matrices: Array, fill_mode: int, bilinear: bool, dx: Array) -> None:
    """Send each `dy` to the pixels that its y was mixed from, by their weights."""
    dx[...] = 0
    for n, i, j, cells in _sources(dy, matrices, fill_mode, bilinear):
        for h, w, weight in cells:
            if h is not None and w is not None:
                dx[n, h, w] += weight * dy[n, i, j]


def _sources(y: Array, matrices: Array, fill_mode: int, bilinear: bool) -> Iterator[Any]:
    """Each pixel (n, i, j) of y with the pixels (h, w) of x and the weights it is mixed by."""
    N, H, W, _ = y.shape
    for n in range(N):
        a0, a1, a2, b0, b1, b2 = matrices[n].tolist()
        for i in range(H):
            for j in range(W):
                rows = _taken(b0 * j + (b1 * i + b2), H, FILL_MODES[fill_mode], bilinear)
                columns = _taken(a0 * j + (a1 * i + a2), W, FILL_MODES[fill_mode], bilinear)
                yield n, i, j, [(h, w, p * q) for h, p in rows for w, q in columns]


def _taken(place: float, size: int, mode: str, bilinear: bool) -> list[tuple[int | None, float]]:
    """The pixels of an axis, None for none, that make the value at `place`, and their weights."""
    if mode == "nearest":
        place = min(max(place, 0.0), size - 1.0)
    elif mode == "reflect":
        place = (place + 0.5) % (2 * size) - 0.5  # the pixels and their mirror image, repeated
        if place > size - 0.5:
            place = 2 * size - 1 - place
        place = min(max(place, 0.0), size - 1.0)
    elif mode == "wrap":
        if abs(place - round(place)) < SEAM:
            place = round(place)
        before = place < 0
        place %= size
        if place > size - 1:  # between the last pixel and the first: the one that is farther inside
            place = size - 1.0 if before else 0.0
    if not bilinear:
        cell = math.floor(place + 0.5) if place >= 0 else math.ceil(place - 0.5)
        return [(cell if 0 <= cell < size else None, 1.0)]
    low = math.floor(place)
    weights = {low: 1 - (place - low), low + 1: place - low}
    return [(cell if 0 <= cell < size else None, w) for cell, w in weights.items() if w > 0]
