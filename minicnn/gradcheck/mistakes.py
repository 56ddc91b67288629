"""Which common mistake would explain a wrong gradient?

Each suspicion is one function: it takes the `Evidence` and returns the `Mistake` that fits, or
None. One fits only if the gradient with the mistake undone, or the right one with the mistake
made, agrees with the differences to the bar. They are tried from the simplest on.

The simple ones look at the gradient as a whole. The others look at the two Jacobians, one row for
each output: J from differences of forward, and B from backward, whose row o is what it answers to
a dy that is 1 at output o and 0 elsewhere. There each window and each ReLU stands by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn.gradcheck.differences import Line, jacobian
from minicnn.gradcheck.result import Mistake
from minicnn.gradcheck.subjects import LayerSubject, Subject

Array = NDArray[Any]

LARGEST = 2_000_000  # entries of a Jacobian that is worth its time
MOST_ROWS = 3_000
FIT = 1e-6  # agreement that is asked of a Jacobian, relative to its greatest entry
FAR = 3  # rows and columns by which a window may be displaced
STRIDES = (1, 2, 3, 4)


class Evidence:
    """All that is known about one wrong gradient.

    Parameters
    ----------
    subject : Subject
    name : str
        The tensor whose gradient is wrong.
    given : object
        What backward gave for it.
    dy : ndarray
    numeric, tolerance : ndarray of shape (count,)
        What the differences say, number by number or along directions, and how exactly.
    project : callable
        Takes a gradient of the tensor's shape to the values that correspond to `numeric`.
    linear : bool
        Whether y is linear in the tensor.
    eps : float
    """

    def __init__(
        self,
        subject: Subject,
        name: str,
        given: Any,
        dy: Array,
        numeric: Array,
        tolerance: Array,
        project: Callable[[Array], Array],
        *,
        linear: bool,
        eps: float,
    ) -> None:
        self.subject, self.name, self.dy = subject, name, dy
        self.tensor = subject.tensors[name]
        self.given = np.asarray(given, np.float64)
        self.numeric, self.tolerance, self.project = numeric, tolerance, project
        self.linear, self.eps = linear, eps

    def agrees(self, gradient: Array) -> bool:
        """Whether `gradient`, of the tensor's shape, is the right one."""
        if gradient.shape != self.tensor.shape:
            return False
        return bool((np.abs(self.project(gradient) - self.numeric) <= self.tolerance).all())

    @cached_property
    def x(self) -> Array:
        """The input, whichever tensor is wrong."""
        return self.subject.tensors.get("x", self.tensor)

    @cached_property
    def y(self) -> Array:
        return self.subject.forward()

    @cached_property
    def sizes(self) -> dict[str, float]:
        return self.subject.sizes()

    @property
    def is_image(self) -> bool:
        """Whether x and y are batches of images."""
        return self.x.ndim == 4 and self.y.ndim == 4 and len(self.x) == len(self.y)

    @cached_property
    def small(self) -> bool:
        """Whether the Jacobians can be had."""
        rows, columns = self.dy.size, self.tensor.size
        return max(rows, columns) <= MOST_ROWS and rows * columns <= LARGEST

    @cached_property
    def J(self) -> Array:
        """dy_o / d(tensor)_k from differences, shape (outputs, numbers)."""
        return jacobian(self.subject, self.tensor, eps=self.eps, linear=self.linear)

    @cached_property
    def B(self) -> Array:
        """The same from backward, one output after another."""
        rows = []
        for o in range(self.dy.size):
            dy = np.zeros(self.dy.size)
            dy[o] = 1
            row = self.subject.backward(dy.reshape(self.dy.shape))[self.name]
            rows.append(np.asarray(row, np.float64).reshape(-1))
        return np.stack(rows)

    def same(self, a: Array, b: Array) -> bool:
        """Whether parts of Jacobians agree."""
        return bool((np.abs(a - b) <= FIT * max(float(np.abs(self.J).max()), 1e-300)).all())

    @cached_property
    def reach(self) -> Array:
        """Which places of y depend on each number at all: bool (places, numbers).

        A place is an index of all axes of y but the last, a window of a convolution. The numbers
        are moved very far, so that a maximum or a ReLU cannot hide the dependence.
        """
        y_0 = self.y.reshape(-1, self.y.shape[-1])
        far = 1e3 * max(1.0, float(np.abs(self.tensor).max()))
        depends = np.zeros((len(y_0), self.tensor.size), bool)
        for k in range(self.tensor.size):
            line = Line(self.subject, self.tensor, k)
            for t in (far, -far):
                depends[:, k] |= (line(t).reshape(y_0.shape) != y_0).any(axis=1)
        return depends


def explain(evidence: Evidence) -> Mistake | None:
    """The first mistake of the list that fits."""
    if evidence.given.shape != evidence.tensor.shape:
        return wrong_shape(evidence)
    for suspicion in SIMPLE:
        if (mistake := suspicion(evidence)) is not None:
            return mistake
    if evidence.small and evidence.same(evidence.B, evidence.J):
        return not_linear_in_dy(evidence)  # one output at a time it is right
    if evidence.small:
        for suspicion in BY_JACOBIAN:
            if (mistake := suspicion(evidence)) is not None:
                return mistake
    return any_factor(evidence)


# -- the gradient as a whole ----------------------------------------------------------------------


def wrong_shape(e: Evidence) -> Mistake | None:
    """The right numbers in another shape: unsummed, transposed, uncropped."""
    g, shape = e.given, e.tensor.shape
    if g.squeeze().shape == e.tensor.squeeze().shape and e.agrees(g.reshape(shape)):
        return Mistake("shape", f"the numbers are right, but not the shape: reshape to {shape}")
    for count in range(1, g.ndim + 1):
        for axes in itertools.combinations(range(g.ndim), count):
            if e.agrees(g.sum(axis=axes)):
                return Mistake(
                    "not summed",
                    f"it is not summed over all the right axes: sum it over {_axes(axes)} too",
                )
    for order in itertools.permutations(range(g.ndim)):
        if e.agrees(g.transpose(order)):
            return Mistake("transposed", f"it is transposed: .transpose{order} of it is right")
    if g.ndim == 4 and e.tensor.ndim == 4:
        (H_g, W_g), (H, W) = g.shape[1:3], shape[1:3]
        for top, left in itertools.product(range(H_g - H + 1), range(W_g - W + 1)):
            if e.agrees(g[:, top : top + H, left : left + W]):
                return Mistake(
                    "crop forgotten",
                    "the padding is not cropped: the gradient of the image itself is "
                    f"[:, {top}:{top + H}, {left}:{left + W}] of it",
                )
    if g.size == e.tensor.size and e.agrees(g.reshape(shape)):
        return Mistake("shape", f"the numbers are right, but not the shape: reshape to {shape}")
    return None


def nothing(e: Evidence) -> Mistake | None:
    if e.given.any():
        return None
    return Mistake("zero", "it is 0 everywhere: backward does not work it out, or not in place")


def single_precision(e: Evidence) -> Mistake | None:
    """Right, but for the digits that float32 has lost on the way."""
    scale = float(np.abs(e.numeric).max())
    if not (np.abs(e.project(e.given) - e.numeric) <= 1e-6 * scale).all():
        return None
    with np.errstate(over="ignore"):
        if not np.array_equal(e.given, e.given.astype(np.float32)):
            return None
    return Mistake("float32", "it is rounded to float32: make buffers with dtype=x.dtype")


def named_factor(e: Evidence) -> Mistake | None:
    """Off by a factor that is the size of something."""
    c = _factor(e)
    if c is None or c == 0:
        return None
    names = list(_names_of(abs(c), e.sizes))
    if not names and abs(c + 1) > FIT:
        return None
    minus = "-" if c < 0 else ""
    listed = " = ".join([f"{minus}{name}" for name in names[:4]] or ["the wrong sign"])
    undo = f"it is {c:.6g} times the right one: {listed}"
    share = e.name not in ("x", "y_pred") and any(name.startswith("1/") for name in names)
    hint = ". A mean instead of a sum? The loss divides by N, once" if share else ""
    return Mistake("factor", undo + hint)


def any_factor(e: Evidence) -> Mistake | None:
    """Off by a factor that is the size of nothing; one number alone proves none."""
    c = _factor(e)
    if c is None or len(e.numeric) < 3 or e.agrees(e.given):
        return None
    return Mistake("factor", f"it is {c:.6g} times the right one, a factor that is no size here")


def _factor(e: Evidence) -> float | None:
    p, q = e.project(e.given), e.numeric
    if not (q @ q) or not np.isfinite(p).all():
        return None
    c = float(p @ q / (q @ q))
    return c if (np.abs(p - c * q) <= max(1.0, abs(c)) * e.tolerance).all() else None


def _names_of(c: float, sizes: dict[str, float]) -> Iterator[str]:
    """The names under which a factor is known: 2, 1/N, K_h*K_w, 2/N ...

    >>> list(_names_of(0.25, {"N": 4, "C": 8})), list(_names_of(0.25, {"C": 8}))
    (['1/N'], ['2/C'])
    """
    if abs(c - 1) <= FIT:
        return
    named = [(name, float(size)) for name, size in sizes.items() if size not in (0, 1)]
    below = {name: f"({name})" if "*" in name else name for name, _ in named}
    once = [("2", 2.0), ("1/2", 0.5), *named, *((f"1/{below[n]}", 1 / s) for n, s in named)]
    twice = [(f"2*{n}", 2 * s) for n, s in named] + [(f"2/{below[n]}", 2 / s) for n, s in named]
    for labels in (once, twice):
        fitting = [label for label, value in labels if abs(value - c) <= FIT * c]
        if fitting:
            yield from fitting
            return


def transposed(e: Evidence) -> Mistake | None:
    ndim = e.given.ndim
    for order in itertools.permutations(range(ndim)) if 2 <= ndim <= 4 else ():
        if order != tuple(range(ndim)) and e.agrees(e.given.transpose(order)):
            how = ".T" if ndim == 2 else f".transpose{order}"
            return Mistake("transposed", f"it is transposed: {how} of it is right")
    return None


def flipped(e: Evidence) -> Mistake | None:
    if e.given.ndim != 4:
        return None
    rows, columns = (1, 2) if e.name == "x" else (0, 1)
    for axes in ((rows, columns), (rows,), (columns,)):
        if e.agrees(np.flip(e.given, axes)):
            return Mistake("flipped", f"it is flipped: np.flip(..., axis={axes}) of it is right")
    return None


SIMPLE = (nothing, single_precision, named_factor, transposed, flipped)


# -- output by output -----------------------------------------------------------------------------


def dy_ignored(e: Evidence) -> Mistake | None:
    if not e.same(e.given.reshape(-1), e.J.sum(axis=0)):
        return None
    return Mistake("dy ignored", "it does not depend on dy: it is the gradient of the sum of y")


def mask_missing(e: Evidence) -> Mistake | None:
    """What y = 0 has stopped on the way up is let through on the way down."""
    y = e.y.reshape(-1)
    stopped = (y == 0) & ~e.J.any(axis=1)
    through = e.B.any(axis=1)
    if not (stopped & through).any() or not e.same(e.B[~stopped], e.J[~stopped]):
        return None
    what = "dropout's" if hasattr(getattr(e.subject, "layer", None), "rate") else "the ReLU's"
    return Mistake(
        "mask missing",
        f"{what} mask is missing: gradient passes through {int((stopped & through).sum())} outputs "
        "that are 0 whatever moves. Multiply dy by the mask first",
    )


def activation_slope(e: Evidence) -> Mistake | None:
    """dy was not multiplied by the slope of the activation."""
    y = e.y.reshape(-1, 1)
    slopes = {"tanh": ("(1 - y^2)", 1 - y * y), "sigmoid": ("y * (1 - y)", y * (1 - y))}
    for name, (formula, values) in slopes.items():
        if e.same(e.B * values, e.J):
            return Mistake(
                "activation slope",
                f"the slope of {name} is missing: dz = dy * {formula} is what goes further down",
            )
    return None


def one_index(e: Evidence) -> Mistake | None:
    """Only one sample, row or column of dy was counted."""
    places = np.indices(e.dy.shape).reshape(e.dy.ndim, -1)
    for axis, size in enumerate(e.dy.shape):
        for index in {0, size - 1} if size > 1 else ():
            counted = (places[axis] == index)[:, None]
            if e.same(e.B, e.J * counted):
                what = _axis_names(e.dy)[axis]
                return Mistake(
                    "not summed",
                    f"only {what} {index} of dy is counted: sum over axis {axis} too, or add up "
                    "(+=) where each overwrites what the one before it left",
                )
    return None


def wrong_axes(e: Evidence) -> Mistake | None:
    """A bias summed over other axes than it should be."""
    if e.tensor.ndim != 1 or e.name == "x":
        return None
    dz = e.J.sum(axis=1)[:, None]  # each output has one bias
    if e.tensor.size > 1 and e.same(e.B, np.repeat(dz, e.tensor.size, axis=1)):
        return Mistake("not summed", "it is summed over all axes: keep the axis of the bias apart")
    places = np.indices(e.dy.shape).reshape(e.dy.ndim, -1)
    for axis, size in enumerate(e.dy.shape):
        if size == e.tensor.size:
            kept = places[axis][:, None] == np.arange(size)
            if e.same(e.B, dz * kept):
                right = tuple(k for k in range(e.dy.ndim) if k != e.dy.ndim - 1)
                return Mistake(
                    "not summed",
                    f"it is summed over the wrong axes, all but {axis}: sum over {_axes(right)}",
                )
    return None


def one_window(e: Evidence) -> Mistake | None:
    """Where windows overlap, the last one written stays."""
    if e.name != "x" or not e.is_image:
        return None
    C_out = e.dy.shape[-1]
    places = np.arange(e.dy.size // C_out)
    J = e.J.reshape(len(places), C_out, -1)
    for windows in (e.reach, J.any(axis=1)):
        last = np.where(windows, places[:, None], -1).max(axis=0)
        first = np.where(windows, places[:, None], len(places)).min(axis=0)
        for winner in (last, first):
            stays = (places[:, None] == winner)[:, None, :]
            if e.same(e.B.reshape(J.shape), J * stays):
                return Mistake(
                    "overlap",
                    "where windows overlap, one overwrites what the others sent back: "
                    "add with += (np.add.at for index arrays) instead of =",
                )
    return None


def displaced_windows(e: Evidence) -> Mistake | None:
    """dx: each window's share is written to the wrong place."""
    if e.name != "x" or not e.is_image:
        return None
    shape = (*e.y.shape, *e.x.shape)
    paths = "nijfnhwc->ijhwnfc"  # no gradient goes from one sample to another
    J, B = (np.einsum(paths, matrix.reshape(shape)) for matrix in (e.J, e.B))
    H_out, W_out, H_in, W_in = J.shape[:4]
    i, j, h, w = np.ogrid[:H_out, :W_out, :H_in, :W_in]
    sent = B.any(axis=(4, 5, 6))
    drift = (0, -1, -2, -3)  # of a window, for each window before it: stride taken as 1, say
    shift = sorted(range(-FAR, FAR + 1), key=abs)
    candidates = itertools.product(drift, drift, shift, shift)
    for D_h, D_w, d_h, d_w in sorted(candidates, key=lambda c: sum(map(abs, c))):
        source_h, source_w = h - (i * D_h + d_h), w - (j * D_w + d_w)
        inside = (source_h >= 0) & (source_h < H_in) & (source_w >= 0) & (source_w < W_in)
        if (inside & sent).sum() * 2 < sent.sum():  # too little of it can be compared
            continue
        moved = J[i, j, source_h.clip(0, H_in - 1), source_w.clip(0, W_in - 1)]
        if e.same(moved[inside], B[inside]):
            return _displaced(D_h, D_w, d_h, d_w)
    return None


def _displaced(D_h: int, D_w: int, d_h: int, d_w: int) -> Mistake | None:
    where = f"{d_h:+d} rows and {d_w:+d} columns"
    if D_h or D_w:
        extra = f" (and all are shifted by {where})" if d_h or d_w else ""
        return Mistake(
            "stride forgotten",
            "the stride is forgotten: from one window to the next, what goes back moves "
            f"{-D_h} rows and {-D_w} columns too few{extra}. Window (i, j) begins at row i*S_h, "
            "column j*S_w",
        )
    if d_h or d_w:
        return Mistake(
            "crop forgotten",
            f"it is shifted by {where}: the padding before the image (P_top, P_left) has to be cut "
            "off on the way back, or the wrong end of it was",
        )
    return None


def displaced_inputs(e: Evidence) -> Mistake | None:
    """dW: it is worked out from other windows of x than forward's."""
    if not e.is_image or e.tensor.ndim != 4 or e.name == "x":
        return None
    if e.tensor.shape[2:] != (e.x.shape[3], e.y.shape[3]):
        return None
    shape = (*e.y.shape, *e.tensor.shape)
    paths = "nijfabcf->nijfabc"  # a filter sees its own channel of dy only
    J, B = (np.einsum(paths, matrix.reshape(shape)) for matrix in (e.J, e.B))
    truth = _find_windows(e, J, None)
    if truth is None:
        return None
    S_h, S_w, d_h, d_w, slopes = truth
    seen = _find_windows(e, B, slopes)
    if seen is None or seen[:4] == truth[:4]:
        return None
    if seen[:2] != (S_h, S_w):
        return Mistake(
            "stride forgotten",
            f"the stride is forgotten: it is worked out from windows {seen[0]}x{seen[1]} apart, "
            f"where forward's are {S_h}x{S_w} apart",
        )
    return Mistake(
        "crop forgotten",
        f"it is worked out from windows that are shifted by {seen[2] - d_h:+d} rows and "
        f"{seen[3] - d_w:+d} columns: take the padding (P_top, P_left) into account",
    )


def _find_windows(
    e: Evidence, rows: Array, slopes: Array | None
) -> tuple[int, int, int, int, Array] | None:
    """(S_h, S_w, first row, first column) of the windows of x that `rows` consist of.

    `rows` (N, H_out, W_out, C_out, K_h, K_w, C_in): each is a window of x times the slope of the
    activation there; `slopes` (N, H_out, W_out, C_out), or None to find them.
    """
    K_h, K_w = rows.shape[4:6]
    begins = itertools.product(range(1 - K_h, K_h), range(1 - K_w, K_w))
    candidates = itertools.product(STRIDES, STRIDES, sorted(begins, key=lambda d: sum(map(abs, d))))
    for S_h, S_w, (d_h, d_w) in candidates:
        win = _windows(e.x, rows.shape[1:3], (K_h, K_w), (S_h, S_w), (d_h, d_w))[:, :, :, None]
        at = slopes
        if at is None:
            square = (win * win).sum(axis=(4, 5, 6))
            at = (rows * win).sum(axis=(4, 5, 6)) / np.where(square, square, 1)
        if e.same(rows, win * at[..., None, None, None]):
            return S_h, S_w, d_h, d_w, at
    return None


def _windows(
    x: Array,
    out: tuple[int, ...],
    kernel: tuple[int, int],
    strides: tuple[int, int],
    begin: tuple[int, int],
) -> Array:
    """Windows of x with zeros around it, shape (N, H_out, W_out, K_h, K_w, C)."""
    places = []
    for k in range(2):
        index = np.arange(out[k])[:, None] * strides[k] + np.arange(kernel[k]) + begin[k]
        places.append(index)
    far = 1 + max(max(p.max() - s, -p.min(), 0) for p, s in zip(places, x.shape[1:3]))
    padded = np.pad(x, ((0, 0), (far, far), (far, far), (0, 0)))
    rows, columns = places[0] + far, places[1] + far
    return padded[:, rows[:, None, :, None], columns[None, :, None, :]]


def parameter_turned(e: Evidence) -> Mistake | None:
    """dx: worked out with a kernel that is flipped or transposed.

    The Jacobian of the same layer with its parameter turned is what backward uses, but for the
    slope of the activation, which is one factor for each output.
    """
    if e.name != "x" or not isinstance(e.subject, LayerSubject):
        return None
    for name, parameter in e.subject.tensors.items():
        if name == "x" or parameter.ndim < 2:
            continue
        for kind, how, turned in _turns(parameter):
            if np.array_equal(turned, parameter):
                continue
            saved = parameter.copy()
            parameter[...] = turned
            try:
                other = jacobian(e.subject, e.tensor, eps=e.eps, linear=e.linear)
            finally:
                parameter[...] = saved
            if _proportional_rows(e, other):
                return Mistake(
                    kind, f"it is worked out with {name} {how}: forward uses {name} as is"
                )
    return None


def _turns(p: Array) -> Iterator[tuple[str, str, Array]]:
    if p.ndim == 4:
        for axes in ((0, 1), (0,), (1,)):
            yield "flipped", f"flipped along {_axes(axes)}", np.flip(p, axes)
        if p.shape[0] == p.shape[1]:
            yield "transposed", "transposed along axes (0, 1)", p.transpose(1, 0, 2, 3)
    if p.shape[-1] == p.shape[-2]:
        yield "transposed", "transposed along its last two axes", p.swapaxes(-1, -2)


def _proportional_rows(e: Evidence, other: Array) -> bool:
    """Whether each row of B is a multiple of the same row of `other`, where both are not 0."""
    both = (np.count_nonzero(e.B, axis=1) > 1) & (np.count_nonzero(other, axis=1) > 1)
    if both.sum() * 8 < e.B.any(axis=1).sum() or both.sum() < 2:  # a ReLU may be open in one only
        return False
    B, other = e.B[both], other[both]
    ratio = (B * other).sum(axis=1) / (other * other).sum(axis=1)
    return e.same(B, other * ratio[:, None])


def cross_terms(e: Evidence) -> Mistake | None:
    """Each output's gradient goes to its own cell only, though forward mixes the cells."""
    if e.name != "x" or e.y.shape != e.x.shape:
        return None
    own = np.eye(e.x.size, dtype=bool)
    if e.same(e.J, e.J * own) or not e.same(e.B, e.J * own):
        return None
    return Mistake(
        "cross terms",
        "each cell of dy is sent to its own cell of x only, but forward mixes the cells: the terms "
        "dy_q * dy_q/dx_p with q != p are missing",
    )


def statistics(e: Evidence) -> Mistake | None:
    """Normalization: the gradient that flows through the mean or the variance is missing.

    Within one channel of m cells, with normalized cells v, J is g (I - 1/m - v v^T/m); the second
    term is the mean's, the third the variance's.
    """
    if e.name != "x" or e.y.shape != e.x.shape or e.x.ndim < 2:
        return None
    C, m = e.x.shape[-1], e.x.size // e.x.shape[-1]
    if m < 3:
        return None
    wrong = (e.B - e.J).reshape(m, C, m, C)
    if not e.same(wrong * ~np.eye(C, dtype=bool)[:, None, :], np.zeros(())):
        return None  # one channel's gradient is sent to another
    missing = np.einsum("pcqc->cpq", wrong)
    shares = np.zeros(2)
    for c in range(C):
        v = e.y.reshape(m, C)[:, c]
        v = v - v.mean()
        basis = np.stack([np.ones(m * m), np.outer(v, v).ravel()], axis=1)
        share, *_ = np.linalg.lstsq(basis, missing[c].ravel(), rcond=None)
        if not e.same(basis @ share, missing[c].ravel()):
            return None
        shares = np.maximum(shares, np.abs(share * basis.max(axis=0)))
    seen = shares > 1e3 * FIT * np.abs(e.J).max()
    names = [name for name, is_seen in zip(("the mean", "the variance"), seen) if is_seen]
    if not names:
        return None
    return Mistake(
        "statistics",
        f"the gradient that flows through {' and '.join(names)} is missing: x moves the batch's "
        "statistics, and they move every cell of the channel",
    )


def output_factors(e: Evidence) -> Mistake | None:
    """Each output's part is a multiple of the right one, but not all the same multiple."""
    square = (e.J * e.J).sum(axis=1)
    factors = (e.B * e.J).sum(axis=1) / np.where(square, square, 1)
    if not e.same(e.B, e.J * factors[:, None]):
        return None
    distinct = np.unique(factors[square > 0].round(6))
    one_number_each = (np.count_nonzero(e.J, axis=1) <= 1).all()  # any wrong number is a multiple
    if len(distinct) < 2 or (one_number_each and len(distinct) > 3):
        return None
    listed = " or ".join(f"{c:g}" for c in distinct)
    if len(distinct) > 3:
        listed = f"{distinct[0]:g} to {distinct[-1]:g}"
    return Mistake(
        "output factor",
        f"what each output sends back is a multiple of the right one, by {listed}: is the slope of "
        "an activation wrong for some, or the number of cells in the windows at the edge?",
    )


def not_linear_in_dy(e: Evidence) -> Mistake | None:
    if e.same(e.B.T @ e.dy.reshape(-1), e.given.reshape(-1)):
        return None
    return Mistake(
        "not linear in dy",
        "backward does more with dy than to multiply and add (is a mask taken from dy instead of "
        "x?): its answer to a sum of two dy is not the sum of its answers",
    )


BY_JACOBIAN = (
    dy_ignored,
    mask_missing,
    activation_slope,
    one_index,
    wrong_axes,
    one_window,
    displaced_windows,
    displaced_inputs,
    cross_terms,
    parameter_turned,
    statistics,
    output_factors,
    not_linear_in_dy,
)


# -- ties -----------------------------------------------------------------------------------------


def tie(subject: Subject, eps: float) -> Mistake | None:
    """Of equal cells, do all get the gradient? Looked at where x has ties.

    Raising any one of the equal cells raises the maximum, so each has the slope 1 on its right
    side, or, for a minimum, on its left; a backward that gives all of them that slope is told by
    agreeing with the one-sided slopes everywhere.
    """
    x = subject.tensors["x"]
    y_0 = subject.forward().reshape(-1)
    if max(y_0.size, x.size) > MOST_ROWS:
        return None
    B = []
    for o in range(y_0.size):
        dy = np.zeros(y_0.size)
        dy[o] = 1
        B.append(np.ravel(subject.backward(dy.reshape(subject.forward().shape))["x"]))
    for side in (1, -1):
        lines = (Line(subject, x, k) for k in range(x.size))
        slopes = np.stack([side * (y(side * eps) - y_0) / eps for y in lines], axis=1)
        if np.allclose(np.stack(B), slopes, rtol=0, atol=1e-4 * max(np.abs(slopes).max(), 1e-300)):
            return Mistake(
                "tie",
                "of equal cells each gets the whole gradient, though only one of them can win: "
                "send it to the first (argmax), not to all where x == max",
            )
    return None


def _axis_names(dy: Array) -> tuple[str, ...]:
    if dy.ndim == 4:
        return "sample", "row", "column", "channel"
    return "sample", *(f"index (axis {axis})" for axis in range(1, dy.ndim))


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"
