"""Page 4: backward of a convolution, window by window and as col2im."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.course import package
from minicnn.course.exercise import Array, Exercise, Gradient, Slip, arguments
from minicnn.course.pages.convolution import inputs, padded, windows


def _image(
    dcols: Array,
    x_shape: tuple[int, ...],
    K_h: int,
    K_w: int,
    S: int,
    P: int,
    *,
    add: bool = True,
    step: bool = True,
    cut: str = "both",
    mean: bool = False,
) -> Array:
    """col2im with mistakes. `cut` is where padding is cut off: both sides, "no", "start", "end"."""
    N, H, W, C = x_shape
    dx = np.zeros((N, H + 2 * P, W + 2 * P, C))
    count = np.zeros((H + 2 * P, W + 2 * P, 1))
    places = list(windows(H + 2 * P, W + 2 * P, K_h, K_w, S))
    H_out, W_out = np.max(places, axis=0) + 1
    dcols = dcols.reshape(N, H_out, W_out, K_h, K_w, C)
    for i, j in places:
        h, w = (i * S, j * S) if step else (i, j)
        there = dx[:, h : h + K_h, w : w + K_w]
        there[...] = dcols[:, i, j] + there * add
        count[h : h + K_h, w : w + K_w] += 1
    if mean:
        dx /= np.maximum(count, 1)
    if cut == "no":
        return dx
    first = {"both": P, "start": 2 * P, "end": 0}[cut]
    return dx[:, first : first + H, first : first + W]


OVERWRITTEN = (
    "where windows overlap, the last one overwrites what the others sent back: a cell sums over "
    "all windows that hold it, so write += instead of ="
)
STEP = (
    "window (i, j) is written to row i, column j: it came from row i * S, column j * S, and that "
    "is where its gradient goes"
)
CUT_NO = (
    "it still has the padding: the gradient of the zeros around the image is of no use; cut off P "
    "on all sides, dx[:, P : P + H_in, P : P + W_in]"
)
CUT_END = (
    "the padding is cut off at the wrong end, behind the image only: the image begins at row P and "
    "column P, dx[:, P : P + H_in, P : P + W_in]"
)
CUT_START = (
    "the padding is cut off at the wrong end, before the image only: the image begins at row P and "
    "column P, dx[:, P : P + H_in, P : P + W_in]"
)

COL2IM = Exercise(
    name="col2im",
    page=4,
    arguments=arguments("dcols, x_shape, K_h, K_w, S, P"),
    outputs=("dx",),
    task="the transpose of im2col: each cell of dx sums what all windows that hold it send back",
    cases=lambda rng: [
        {
            "dcols": rng.normal(size=(dy.size // dy.shape[3], W[..., 0].size)),
            "x_shape": x.shape,
            "K_h": W.shape[0],
            "K_w": W.shape[1],
            "S": S,
            "P": P,
        }
        for x, W, _, dy, S, P in inputs(rng)
    ],
    right=package.col2im,
    slips=(
        Slip("overwritten", "dx", OVERWRITTEN, _image, {"add": False}),
        Slip("stride ignored", "dx", STEP, _image, {"step": False}),
        Slip("padding not removed", "dx", CUT_NO, _image, {"cut": "no"}),
        Slip("padding removed on the wrong side", "dx", CUT_END, _image, {"cut": "end"}),
        Slip("padding removed on the wrong side", "dx", CUT_START, _image, {"cut": "start"}),
        Slip(
            "averaged over the windows",
            "dx",
            "it is divided by the number of windows that hold a cell: they add up",
            _image,
            {"mean": True},
        ),
    ),
    hints=(
        "make room for the padding: zeros of shape (N, H_in + 2 P, W_in + 2 P, C_in)",
        "dcols.reshape(N, H_out, W_out, K_h, K_w, C_in) gives the windows their shape again",
        "for each window (i, j): add its numbers to the place that im2col has read them from; in "
        "the end cut off the padding",
    ),
)


def _dx(
    dy: Array,
    x: Array,
    W: Array,
    S: int,
    P: int,
    *,
    turn: tuple[int, ...] = (),
    share: bool = False,
    filters: bool = True,
    **of_image: Any,
) -> Array:
    """dx with mistakes: those of `_image`, and a kernel turned along the axes `turn`."""
    K_h, K_w = W.shape[:2]
    kernel = np.flip(W, turn)
    if not filters:
        dy, kernel = dy[..., :1], kernel[..., :1]
    dcols = dy.reshape(-1, dy.shape[3]) @ kernel.reshape(-1, dy.shape[3]).T
    dx = _image(dcols, x.shape, K_h, K_w, S, P, **of_image)
    return dx / len(x) if share else dx


def _not_spread(dy: Array, x: Array, W: Array, S: int, P: int) -> Array:
    """dx as if the windows lay side by side, one row and column apart: smaller than x."""
    K_h, K_w, C_in, _ = W.shape
    rows, columns = dy.shape[1] + K_h - 1 - 2 * P, dy.shape[2] + K_w - 1 - 2 * P
    return _dx(dy, np.zeros((len(x), rows, columns, C_in)), W, 1, P)


def _covered(dy: Array, x: Array, W: Array, S: int, P: int) -> Array:
    """dx of the rows and columns that windows have reached."""
    rows, columns = ((n - 1) * S + k - P for n, k in zip(dy.shape[1:3], W.shape))
    dx = _dx(dy, x, W, S, P, cut="no")
    return dx[:, P:rows, P:columns]


def _dW(
    dy: Array,
    x: Array,
    W: Array,
    S: int,
    P: int,
    *,
    turn: tuple[int, ...] = (),
    share: bool = False,
    places: bool = False,
    step: bool = True,
    last: bool = False,
    images: bool = True,
    cut: str = "both",
) -> Array:
    """dW with mistakes; of the two sides of the padding `cut` may be looked at on one only."""
    K_h, K_w = W.shape[:2]
    x = padded(x, P, {"both": P, "end": 0, "start": 2 * P}[cut])
    if not images:
        x, dy = x[-1:], dy[-1:]
    dW = np.zeros(W.shape)
    for i, j in np.ndindex(dy.shape[1:3]):
        h, w = (i * S, j * S) if step else (i, j)
        part = np.tensordot(x[:, h : h + K_h, w : w + K_w], dy[:, i, j], axes=(0, 0))
        dW = part if last else dW + part
    dW = np.flip(dW, turn)
    if share:
        dW = dW / len(x)
    return dW / (dy.shape[1] * dy.shape[2]) if places else dW


def _db(
    dy: Array,
    x: Array,
    W: Array,
    S: int,
    P: int,
    *,
    over: tuple[int, ...] = (0, 1, 2),
    divisor: str = "",
) -> Array:
    """db with mistakes: summed over other axes, or divided by a size."""
    sizes = {"": 1, "N": len(dy), "places": dy.shape[1] * dy.shape[2], "all": dy[..., 0].size}
    return dy.sum(axis=over) / sizes[divisor]


TURNED = (
    "the kernel is turned the wrong way. As a convolution of dy, dx needs W rotated by half a "
    "circle, W[::-1, ::-1]: the last window that holds a cell holds it in its first place. Window "
    "by window, dx += dy * W turns it by itself, and a second rotation is too many"
)
DIVIDED = "it is divided by N: every image adds its part. The loss has divided by N already"
DIVIDED_BY_PLACES = (
    "it is divided by the number of windows: each window adds its part, for the weight is used in "
    "all of them"
)

CONV_BACKWARD = Exercise(
    name="conv_backward",
    page=4,
    arguments=arguments("dy, x, W, S, P"),
    outputs=arguments("dx, dW, db"),
    task="the gradients of a convolution with bias; windows S apart, P rows and columns of zeros "
    "around x",
    cases=lambda rng: [
        {"dy": dy, "x": x, "W": W, "S": S, "P": P} for x, W, _, dy, S, P in inputs(rng)
    ],
    right=package.conv_backward,
    slips=(
        Slip("kernel not rotated", "dx", TURNED, _dx, {"turn": (0, 1)}),
        Slip(
            "kernel flipped on one axis",
            "dx",
            "the kernel is flipped on one of its axes only: for a rotation both are reversed, "
            "W[::-1, ::-1]",
            _dx,
            {"turn": (0,)},
        ),
        Slip(
            "kernel flipped on one axis",
            "dx",
            "the kernel is flipped on one of its axes only: for a rotation both are reversed, "
            "W[::-1, ::-1]",
            _dx,
            {"turn": (1,)},
        ),
        Slip("overwritten", "dx", OVERWRITTEN, _dx, {"add": False}),
        Slip("stride ignored", "dx", STEP, _dx, {"step": False}),
        Slip(
            "stride ignored",
            "dx",
            "it is smaller than x: the windows lie S apart. Put S - 1 rows and columns of zeros "
            "between the numbers of dy first, or write window (i, j) to row i * S, column j * S",
            _not_spread,
        ),
        Slip(
            "last rows missing",
            "dx",
            "it ends behind the last window: the rows and columns of x that no window has reached "
            "belong to it, with the gradient 0. Begin with np.zeros_like(x)",
            _covered,
        ),
        Slip("padding not removed", "dx", CUT_NO, _dx, {"cut": "no"}),
        Slip("padding removed on the wrong side", "dx", CUT_END, _dx, {"cut": "end"}),
        Slip("padding removed on the wrong side", "dx", CUT_START, _dx, {"cut": "start"}),
        Slip(
            "averaged over the batch",
            "dx",
            "it is divided by N: an image's dx comes from its part of dy alone",
            _dx,
            {"share": True},
        ),
        Slip(
            "filters not summed",
            "dx",
            "only filter 0 sends something back: sum over all C_out filters",
            _dx,
            {"filters": False},
        ),
        Slip("averaged over the batch", "dW", DIVIDED, _dW, {"share": True}),
        Slip("averaged over the windows", "dW", DIVIDED_BY_PLACES, _dW, {"places": True}),
        Slip(
            "kernel rotated",
            "dW",
            "it is turned by half a circle: W[a, b] met the cell (i*S + a, j*S + b) of window "
            "(i, j), so dW[a, b] sums x there times dy[i, j], and nothing is reversed",
            _dW,
            {"turn": (0, 1)},
        ),
        Slip(
            "stride ignored",
            "dW",
            "window (i, j) is read at row i, column j: it is at row i * S, column j * S",
            _dW,
            {"step": False},
        ),
        Slip(
            "overwritten",
            "dW",
            "only the last window counts: the windows add up, so write += instead of =",
            _dW,
            {"last": True},
        ),
        Slip(
            "overwritten",
            "dW",
            "only the last window of the last image counts: all add up, so write += instead of =",
            _dW,
            {"last": True, "images": False},
        ),
        Slip(
            "images not summed",
            "dW",
            "only the last image counts: dW sums over the whole batch",
            _dW,
            {"images": False},
        ),
        Slip(
            "windows without the padding",
            "dW",
            "its windows begin at the image instead of P rows and columns before it: work with the "
            "padded x that forward has seen",
            _dW,
            {"cut": "end"},
        ),
        Slip("averaged over the batch", "db", DIVIDED, _db, {"divisor": "N"}),
        Slip("averaged over the windows", "db", DIVIDED_BY_PLACES, _db, {"divisor": "places"}),
        Slip(
            "averaged over the windows",
            "db",
            "it is the mean of dy: b[f] is added at every place of every image, so dy is summed "
            "over axes 0, 1 and 2",
            _db,
            {"divisor": "all"},
        ),
        Slip(
            "not summed over positions",
            "db",
            "it is summed over the batch only: b[f] is added at every place, so sum over axes 0, 1 "
            "and 2",
            _db,
            {"over": (0,)},
        ),
        Slip(
            "not summed over the batch",
            "db",
            "it is summed over the places only: sum over the images too, axes 0, 1 and 2",
            _db,
            {"over": (1, 2)},
        ),
        Slip(
            "summed over the filters",
            "db",
            "all is added up to one number: each filter has its bias, so sum over axes 0, 1 and 2 "
            "and keep axis 3",
            _db,
            {"over": (0, 1, 2, 3)},
        ),
        Slip(
            "bias forgotten",
            "db",
            "it is not worked out: b[f] is added to every y[n, i, j, f], so its gradient is the "
            "sum of dy[n, i, j, f] over n, i, j",
            lambda dy, x, W, S, P: np.zeros(W.shape[3]),
        ),
    ),
    hints=(
        "forget matrices. Window (i, j) computed y[n, i, j, f] = sum of x[n, i*S + a, j*S + b, c] "
        "W[a, b, c, f] + b[f]. Take one product of this sum: what do its two factors get back?",
        "x gets W dy, and W gets x dy. So go through the windows with the loops of forward, and "
        "add in both places: dx[:, i*S : i*S + K_h, j*S : j*S + K_w] += ..., dW += ...",
        "with P > 0 work on the padded x and on a dx of the same size, and cut the padding off dx "
        "in the end",
    ),
    gradient=Gradient(
        "x",
        {"x": "dx", "W": "dW", "b": "db"},
        lambda x, W, b, S, P: package.conv_forward(x, W, b, S, P)[0],
        lambda case: {"b": np.zeros(case["W"].shape[3])},
    ),
)

EXERCISES = (COL2IM, CONV_BACKWARD)
