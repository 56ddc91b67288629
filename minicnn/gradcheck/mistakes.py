"""Which common mistake would explain a wrong gradient?

Each suspicion is one function: it takes a `Comparison` and yields "kind: explanation" if it fits:
if the gradient with the mistake undone, or the right one with the mistake made, agrees with the
differences. The first that fits is reported, the simplest first.

The simple ones look at the gradient as a whole. The others look at the two Jacobians, one row for
each output: J from differences of forward, and B from backward, whose row o is the gradient for a
dy that is 1 at output o and 0 elsewhere. There each window and each ReLU stands by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from minicnn.gradcheck.copies import unchanged
from minicnn.gradcheck.differences import Probe
from minicnn.gradcheck.result import Mistake
from minicnn.gradcheck.subjects import LayerSubject
from minicnn.layers.base import Array

if TYPE_CHECKING:
    from minicnn.gradcheck.check import Comparison

LARGEST = 2_000_000  # entries of a Jacobian; larger ones take too long
MOST_ROWS = 3_000
FIT = 1e-6  # how far two Jacobians may differ, relative to the largest entry
FAR = 3  # rows and columns by which a window may be displaced


def explain(e: Comparison) -> Mistake | None:
    """The first mistake that fits."""
    if e.given.shape != e.tensor.shape:
        return _first(e, wrong_shape, turned)
    mistake = _first(e, single_precision, named_factor, turned)
    small = max(e.dy.size, e.tensor.size) <= MOST_ROWS and e.dy.size * e.tensor.size <= LARGEST
    if mistake is None and small and e.same(e.B, e.J):  # one output at a time it is right
        return _first(e, not_linear_in_dy)
    by_jacobian = (
        *(dy_ignored, mask_missing, activation_slope, not_summed, one_window, displaced),
        *(cross_terms, parameter_turned, statistics, output_factors, not_linear_in_dy),
    )
    return mistake or _first(e, *(by_jacobian if small else ()), any_factor)


def _first(e: Comparison, *suspicions: Callable[[Comparison], Iterator[str]]) -> Mistake | None:
    found = (told for suspicion in suspicions for told in suspicion(e))
    return next((Mistake(*told.split(": ", 1)) for told in found), None)


# -- the gradient as a whole ----------------------------------------------------------------------


def wrong_shape(e: Comparison) -> Iterator[str]:
    """The right numbers in another shape: unsummed, uncropped."""
    g, shape = e.given, e.tensor.shape
    if g.size == e.tensor.size and e.agrees(g.reshape(shape)):
        yield f"shape: the numbers are right, but not the shape: reshape to {shape}"
    for count in range(1, g.ndim + 1):
        for axes in itertools.combinations(range(g.ndim), count):
            if e.agrees(g.sum(axis=axes)):
                missing = f"sum it over {_axes(axes)} too"
                yield f"not summed: it is not summed over all the right axes: {missing}"
    if g.ndim == e.tensor.ndim == 4:
        (H_g, W_g), (H, W) = g.shape[1:3], shape[1:3]
        for top, left in itertools.product(range(H_g - H + 1), range(W_g - W + 1)):
            if e.agrees(g[:, top : top + H, left : left + W]):
                cut = f"the gradient of the image itself is [:, {top}:{top + H}, {left}:{left + W}]"
                yield f"crop forgotten: the padding is not cropped: {cut} of it"


def single_precision(e: Comparison) -> Iterator[str]:
    """Right, but for the digits that float32 has lost on the way."""
    near = e.gap(e.given) <= 1e-6 * np.abs(e.numeric).max()
    with np.errstate(over="ignore"):
        if near.all() and np.array_equal(e.given, e.given.astype(np.float32)):
            yield "float32: it is rounded to float32: make buffers with dtype=x.dtype"


def named_factor(e: Comparison) -> Iterator[str]:
    """Off by a factor that is the size of something; a factor of 0 is another mistake."""
    if e.factor == 0:
        yield "zero: it is 0 everywhere: backward does not work it out, or not in place"
        return
    names = _names_of(abs(e.factor), e.subject.sizes())
    if names or abs(e.factor + 1) <= FIT:
        minus = "-" if e.factor < 0 else ""
        listed = " = ".join([f"{minus}{name}" for name in names[:4]] or ["the wrong sign"])
        share = e.name not in ("x", "y_pred") and any(name.startswith("1/") for name in names)
        hint = ". A mean instead of a sum? The loss divides by N, once" if share else ""
        yield f"factor: it is {e.factor:.6g} times the right one: {listed}{hint}"


def any_factor(e: Comparison) -> Iterator[str]:
    """Off by a factor that is the size of nothing; one number alone proves none."""
    if np.isfinite(e.factor) and len(e.numeric) >= 3 and not e.agrees(e.given):
        yield f"factor: it is {e.factor:.6g} times the right one, a factor that is no size here"


def _names_of(c: float, sizes: dict[str, float]) -> list[str]:
    """The names under which a factor is known: 2, 1/N, K_h*K_w, 2/N ...

    >>> _names_of(0.25, {"N": 4, "C": 8}), _names_of(0.25, {"C": 8})
    (['1/N'], ['2/C'])
    """
    named = [(name, float(size)) for name, size in sizes.items() if size not in (0, 1)]
    below = [(f"({name})" if "*" in name else name, size) for name, size in named]
    once = [("2", 2.0), ("1/2", 0.5), *named, *((f"1/{n}", 1 / s) for n, s in below)]
    twice = [(f"2*{n}", 2 * s) for n, s in named] + [(f"2/{n}", 2 / s) for n, s in below]
    for labels in (once, twice) if abs(c - 1) > FIT else ():
        if fitting := [label for label, value in labels if abs(value - c) <= FIT * c]:
            return fitting
    return []


def turned(e: Comparison) -> Iterator[str]:
    """Right, but for the order of the axes or the direction of an image's."""
    g = e.given
    for order in itertools.permutations(range(g.ndim)) if 2 <= g.ndim <= 4 else ():
        if order != tuple(range(g.ndim)) and e.agrees(g.transpose(order)):
            how = f".transpose{order}" + (" or .T" if g.ndim == 2 else "")
            yield f"transposed: it is transposed: {how} of it is right"
    a, b = (1, 2) if e.name == "x" else (0, 1)
    for axes in ((a, b), (a,), (b,)) if g.ndim == 4 else ():
        if e.agrees(np.flip(g, axes)):
            yield f"flipped: it is flipped: np.flip(..., axis={axes}) of it is right"


# -- output by output -----------------------------------------------------------------------------


def dy_ignored(e: Comparison) -> Iterator[str]:
    if e.same(e.given.reshape(-1), e.J.sum(axis=0)):
        yield "dy ignored: it does not depend on dy: it is the gradient of the sum of y"


def mask_missing(e: Comparison) -> Iterator[str]:
    """What y = 0 has stopped on the way up is let through on the way down."""
    stopped = (e.y() == 0) & ~e.J.any(axis=1)
    through = int((stopped & e.B.any(axis=1)).sum())
    if through and e.same(e.B[~stopped], e.J[~stopped]):
        what = "dropout's" if hasattr(getattr(e.subject, "layer", None), "rate") else "the ReLU's"
        yield (
            f"mask missing: {what} mask is missing: gradient passes through {through} outputs "
            "that are 0 whatever moves. Multiply dy by the mask first"
        )


def activation_slope(e: Comparison) -> Iterator[str]:
    """dy was not multiplied by the slope of the activation."""
    y = e.y()[:, None]
    slopes = {"tanh": ("(1 - y^2)", 1 - y * y), "sigmoid": ("y * (1 - y)", y * (1 - y))}
    for name, (formula, values) in slopes.items():
        if e.same(e.B * values, e.J):
            dz = f"dz = dy * {formula} is what goes further down"
            yield f"activation slope: the slope of {name} is missing: {dz}"


def not_summed(e: Comparison) -> Iterator[str]:
    """Only one sample, row or column of dy was counted, or a bias summed over the wrong axes."""
    names = ["sample", "row", "column", "channel"]
    if e.dy.ndim != 4:
        names = ["sample", *(f"index (axis {axis})" for axis in range(1, e.dy.ndim))]
    places = np.indices(e.dy.shape).reshape(e.dy.ndim, -1, 1)  # of each output
    for axis, size in enumerate(e.dy.shape):
        for index in {0, size - 1} if size > 1 else ():
            if e.same(e.B, e.J * (places[axis] == index)):
                yield (
                    f"not summed: only {names[axis]} {index} of dy is counted: sum over axis "
                    f"{axis} too, or add up (+=) where each overwrites what the one before it left"
                )
    if e.tensor.ndim != 1 or e.name == "x":
        return
    dz, units = e.J.sum(axis=1)[:, None], e.tensor.size  # each output has one bias
    if units > 1 and e.same(e.B, np.repeat(dz, units, axis=1)):
        yield "not summed: it is summed over all axes: keep the axis of the bias apart"
    for axis, size in enumerate(e.dy.shape):
        if size == units and e.same(e.B, dz * (places[axis] == np.arange(size))):
            right = _axes(tuple(range(e.dy.ndim - 1)))
            yield f"not summed: it is summed over the wrong axes, all but {axis}: sum over {right}"


def parameter_turned(e: Comparison) -> Iterator[str]:
    """dx: worked out with a kernel that is flipped or transposed.

    That gives the Jacobian of the same layer with its parameter turned, but for the slope of the
    activation, which is one factor for each output.
    """
    one_layer = e.name == "x" and isinstance(e.subject, LayerSubject)
    for name, parameter in e.subject.tensors.items() if one_layer else ():
        for how, turned in _turns(parameter.copy()) if name != "x" else ():
            with unchanged(parameter):
                parameter[...] = turned
                other = e.jacobian()
            if not np.array_equal(turned, parameter) and _rows_are_multiples(e, other):
                kind = how.partition(" ")[0]
                yield f"{kind}: it is worked out with {name} {how}: forward uses {name} as is"


def _turns(p: Array) -> Iterator[tuple[str, Array]]:
    for axes in ((0, 1), (0,), (1,)) if p.ndim == 4 else ():
        yield f"flipped along {_axes(axes)}", np.flip(p, axes)
    for a, b in sorted({(0, 1), (p.ndim - 2, p.ndim - 1)}) if p.ndim >= 2 else ():
        if p.shape[a] == p.shape[b]:
            yield f"transposed along axes {a, b}", p.swapaxes(a, b)


def _rows_are_multiples(e: Comparison, other: Array) -> bool:
    """Whether each row of B is a multiple of the same row of `other`, where both are not 0."""
    both = (np.count_nonzero(e.B, axis=1) > 1) & (np.count_nonzero(other, axis=1) > 1)
    if both.sum() * 8 < e.B.any(axis=1).sum() or both.sum() < 2:  # a ReLU may be open in one only
        return False
    B, other = e.B[both], other[both]
    return e.same(B, other * _multiples(B, other))


def _multiples(rows: Array, others: Array) -> Array:
    """For each row, which multiple of the same row of `others` comes nearest to it; a column."""
    square = (others * others).sum(axis=1, keepdims=True)
    return (rows * others).sum(axis=1, keepdims=True) / np.where(square, square, 1)


def cross_terms(e: Comparison) -> Iterator[str]:
    """Each output's gradient goes to its own cell only, though forward mixes the cells."""
    if e.name == "x" and e.dy.shape == e.tensor.shape:
        own = e.J * np.eye(e.tensor.size, dtype=bool)
        if e.same(e.B, own) and not e.same(e.J, own):
            yield (
                "cross terms: each cell of dy is sent to its own cell of x only, but forward mixes "
                "the cells: the terms dy_q * dy_q/dx_p with q != p are missing"
            )


def statistics(e: Comparison) -> Iterator[str]:
    """Normalization: in a channel of m cells, with normalized cells v, J is g (I - 1/m - v v^T/m),
    where the second term is the mean's, the third the variance's.
    """
    C = e.dy.shape[-1]
    m = e.dy.size // C
    if e.name != "x" or e.dy.shape != e.tensor.shape or e.dy.ndim < 2 or m < 3:
        return
    wrong = (e.B - e.J).reshape(m, C, m, C)
    explained, shares = np.zeros_like(wrong), np.zeros(2)  # one channel's goes to no other
    for c in range(C):
        v = e.y().reshape(m, C)[:, c]
        v = v - v.mean()
        basis = np.stack([np.ones(m * m), np.outer(v, v).ravel()], axis=1)
        share, *_ = np.linalg.lstsq(basis, wrong[:, c, :, c].ravel(), rcond=None)
        explained[:, c, :, c] = (basis @ share).reshape(m, m)
        shares = np.maximum(shares, np.abs(share * basis.max(axis=0)))
    seen = shares > 1e3 * FIT * np.abs(e.J).max()
    if seen.any() and e.same(wrong, explained):
        names = itertools.compress(("the mean", "the variance"), seen)
        yield (
            f"statistics: the gradient that flows through {' and '.join(names)} is missing: x "
            "moves the batch's statistics, and they move every cell of the channel"
        )


def output_factors(e: Comparison) -> Iterator[str]:
    """Each output's part is a multiple of the right one, but not all the same multiple."""
    factors = _multiples(e.B, e.J)
    distinct = np.unique(factors[e.J.any(axis=1)].round(6))
    listed = " or ".join(f"{c:g}" for c in distinct)
    if len(distinct) > 3:
        listed = f"{distinct[0]:g} to {distinct[-1]:g}"
        if (np.count_nonzero(e.J, axis=1) <= 1).all():  # any wrong number is a multiple
            return
    if len(distinct) > 1 and e.same(e.B, e.J * factors):
        yield (
            "output factor: what each output sends back is a multiple of the right one, by "
            f"{listed}: is the slope of an activation wrong for some, or the number of cells in "
            "the windows at the edge?"
        )


def not_linear_in_dy(e: Comparison) -> Iterator[str]:
    if not e.same(e.B.T @ e.dy.reshape(-1), e.given.reshape(-1)):
        yield (
            "not linear in dy: backward does more with dy than to multiply and add (is a mask "
            "taken from dy instead of x?): its answer to a sum of two dy is not the sum of "
            "its answers"
        )


def one_window(e: Comparison) -> Iterator[str]:
    """Where windows overlap, the last one written stays: each cell of x hears from one at most."""
    if e.name != "x" or not e.is_image:
        return
    shape = (-1, e.dy.shape[-1], e.tensor.size)  # windows, channels of y, cells of x
    J, B = e.J.reshape(shape), e.B.reshape(shape)
    heard, overlap = B.any(axis=1, keepdims=True), (J.any(axis=1).sum(axis=0) > 1).any()
    if overlap and heard.sum(axis=0).max() <= 1 and e.same(B, J * heard):
        yield (
            "overlap: where windows overlap, one overwrites what the others sent back: add with += "
            "(np.add.at for index arrays) instead of ="
        )


def displaced(e: Comparison) -> Iterator[str]:
    """Windows are not where forward's are, those of dx or those that dW comes from.

    Then what window (i, j) has in B is what it has in J, but i and j steps and some cells away.
    """
    if not e.is_image or e.tensor.ndim != 4:
        return
    of_x = e.name == "x"
    axis = 5 if of_x else 4  # rows of the tensor, behind the four axes of y
    both = np.stack([e.J, e.B], axis=-1).reshape(*e.dy.shape, *e.tensor.shape, 2)
    J, B = np.moveaxis(both, (-1, 1, 2, axis, axis + 1), range(5))
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
        if not e.same(moved[inside], B[inside]):
            continue
        shifted = f"shifted by {d_h:+d} rows and {d_w:+d} columns"
        if D_h or D_w:
            told = _wrong_steps(e, D_h, D_w, f" (and all are {shifted})" if d_h or d_w else "")
            yield f"stride forgotten: the stride is forgotten: {told}"
        elif d_h or d_w:
            told = "has to be cut off" if of_x else "counts"
            yield (
                f"crop forgotten: its windows are {shifted}: the padding before the image (P_top, "
                f"P_left) {told}, and not the one behind"
            )
        return


def _wrong_steps(e: Comparison, D_h: int, D_w: int, extra: str) -> str:
    """What is wrong if from one window to the next there are so many rows and columns too many."""
    if e.name == "x":
        return (
            f"from one window to the next, what goes back moves {-D_h} rows and {-D_w} columns too "
            f"few{extra}. Window (i, j) begins at row i*S_h, column j*S_w"
        )
    S_h, S_w = (e.subject.sizes().get(name) for name in ("S_h", "S_w"))
    if S_h is None or S_w is None:
        further = f"{D_h:+d} rows and {D_w:+d} columns further apart"
        return f"its windows of x are {further} than forward's"
    apart = f"{S_h + D_h}x{S_w + D_w} apart, where forward's are {S_h}x{S_w} apart"
    return f"it is worked out from windows {apart}"


def tie(probe: Probe, dy: Array) -> Mistake | None:
    """Where x has ties, do all equal cells get the gradient?

    Raising any one of them raises the maximum, so each has the slope 1 on its right side, or, for a
    minimum, on its left; a backward that gives it to all agrees with the one-sided slopes.
    """
    if max(dy.size, probe.tensor.size) > MOST_ROWS:
        return None
    y_0, B = probe.y(), probe.claimed_jacobian(dy.shape)
    for h in (probe.eps, -probe.eps):
        lines = (probe.line(k) for k in range(probe.tensor.size))
        slopes = np.stack([(y(h) - y_0) / h for y in lines], axis=1)
        if np.allclose(B, slopes, rtol=0, atol=1e-4 * max(np.abs(slopes).max(), 1e-300)):
            told = "of equal cells each gets the whole gradient, though only one of them can win"
            way_out = "send it to the first (argmax), not to all where x == max"
            return Mistake("tie", f"{told}: {way_out}")
    return None


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"
