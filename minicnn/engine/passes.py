"""Single passes over memory: what the engine does in one loop where the layers take several.

Unlike the kernels in `minicnn.kernels`, these have no twin in plain Python: the tests of the two
ways through a network hold each to the layers whose work it does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.engine.elementary import exp_below
from minicnn.kernels.compiler import jit, jit_fma, jit_sums
from minicnn.kernels.memory import FLOATS_IN_LINE

# Pixels that are added up one after the other: the sum of many more would lose digits. Beside so
# many it does not matter that a tile of sums is loaded and stored.
SUMMED = 256


@jit
def rows_in_a_sum(rows: int, cols: int) -> int:
    """How many of an image's rows are added up before the sum goes to that of all: whole rows of
    SUMMED pixels, and of less than twice as many.
    """
    parts = max(1, rows * cols // SUMMED)
    return -(-rows // parts)


@jit_sums
def gather(x: Any, rows: Any, out: Any) -> bool:
    """Rows of x (N, size), of any type, into the floats of out (len(rows), size).

    Returns whether all of them are finite.
    """
    total = out.dtype.type(0)
    for n in range(len(rows)):
        row = rows[n]
        for i in range(x.shape[1]):
            value = out.dtype.type(x[row, i])
            out[n, i] = value
            total += value - value  # 0, but NaN for NaN and infinity
    return bool(total == 0)


@jit_sums
def add(a: Any, b: Any, out: Any) -> Any:
    """a + b into out; returns the sum of its squares."""
    total = out.dtype.type(0)
    for i in range(len(out)):
        value = a[i] + b[i]
        out[i] = value
        total += value * value
    return total


@jit_sums
def copy(a: Any, out: Any) -> Any:
    """a into out; returns the sum of its squares."""
    total = out.dtype.type(0)
    for i in range(len(out)):
        out[i] = a[i]
        total += a[i] * a[i]
    return total


@jit
def sparse_crossentropy(z: Any, labels: Any, factor: Any, losses: Any, dz: Any) -> None:
    """Softmax and cross-entropy of each row of logits z: its loss, and factor * (p - one-hot)."""
    n, classes = z.shape
    for i in range(n):
        largest = z[i, 0]
        for q in range(1, classes):
            largest = max(largest, z[i, q])
        total = z.dtype.type(0)
        for q in range(classes):
            dz[i, q] = np.exp(z[i, q] - largest)
            total += dz[i, q]
        losses[i] = np.log(total) - (z[i, labels[i]] - largest)
        for q in range(classes):
            dz[i, q] *= factor / total
        dz[i, labels[i]] -= factor


@jit_fma
def softmax(y: Any) -> None:
    """`layers.Softmax` of each row, in place."""
    n, classes = y.shape
    for i in range(n):
        largest = y[i, 0]
        for q in range(1, classes):
            largest = max(largest, y[i, q])
        total = y.dtype.type(0)
        for q in range(classes):
            y[i, q] = exp_below(y[i, q] - largest)
            total += y[i, q]
        for q in range(classes):
            y[i, q] /= total


@jit_fma
def gradient_of_product(
    dy: Any, y: Any, argmax: Any, pool: bool, relu: bool, scale: Any, dz: Any, db: Any
) -> None:
    """dz (N, H, W, F) and its sums db (F,), from the dy behind ReLU, 2x2 max-pooling and dropout.

    Nothing comes back where ReLU or dropout left 0; `scale` is that of dropout.
    """
    zero = np.float32(0)
    N, H, W, F = dz.shape
    sums = np.empty((3, F), np.float32)
    for f in range(F):  # without slices, whose code takes a second to compile
        sums[0, f], sums[1, f], sums[2, f] = zero, zero, zero
    for n in range(N):
        for h in range(H):
            i = h // 2
            for w in range(W):
                if pool:
                    j, here = w // 2, 2 * (h % 2) + w % 2
                    if i < dy.shape[1] and j < dy.shape[2]:
                        for f in range(F):
                            d = dy[n, i, j, f] * scale
                            d = d if argmax[n, i, j, f] == here else zero
                            dz[n, h, w, f] = d
                            sums[0, f] += d
                    else:  # a last odd row or column
                        for f in range(F):
                            dz[n, h, w, f] = zero
                else:
                    for f in range(F):
                        d = zero if relu and y[n, h, w, f] <= 0 else dy[n, h, w, f] * scale
                        dz[n, h, w, f] = d
                        sums[0, f] += d
            carry(sums, (h + 1) * W, W, h + 1 == H)
    for f in range(F):
        db[f] = sums[2, f]


@jit_fma
def gradient_of_bias(dz: Any, db: Any) -> None:
    """db (F,), the sums of dz (N, pixels, F)."""
    zero = np.float32(0)
    sums = np.empty((3, len(db)), np.float32)
    for f in range(len(db)):
        sums[0, f], sums[1, f], sums[2, f] = zero, zero, zero
    for n in range(len(dz)):
        for p in range(dz.shape[1]):
            for f in range(len(db)):
                sums[0, f] += dz[n, p, f]
            carry(sums, p + 1, 1, p + 1 == dz.shape[1])
    for f in range(len(db)):
        db[f] = sums[2, f]


@jit
def carry(sums: Any, done: int, more: int, ends: bool) -> None:
    """sums (3, F) are those of some hundred pixels, of an image and of all: each level goes into
    the next, as long sums in float32 lose digits. `done` of the image's pixels are in, `more` since
    the last call.
    """
    if not ends and done // SUMMED == (done - more) // SUMMED:
        return
    for level in range(2 if ends else 1):
        for f in range(sums.shape[1]):
            sums[level + 1, f] += sums[level, f]
            sums[level, f] = 0


@jit
def flush_denormals(value: Any, least: Any) -> Any:
    """A value of an optimizer's slot; 0 for those below `least`, which no longer move a weight.

    Where the gradient is 0 for good (a pixel that is always black, a unit that ReLU has silenced),
    the slots shrink by a factor every step. After some 800 steps they would be denormal numbers and
    stay so for ever, and processors take a hundred times as long for these.
    """
    return value if abs(value) >= least else value - value  # NaN stays NaN


@jit
def claim(w: Any, one: Any) -> None:
    """Take w's lines away from the other cores, before a pass writes to it; `one` is 1.

    All threads read the weights, so the cores share their lines, and a store has to wait until the
    others have dropped theirs. A loop of nothing but stores has dozens of lines on the way at once;
    in a pass that writes several arrays in turn each line holds up the stores behind it.
    """
    for i in range(0, len(w), FLOATS_IN_LINE):
        w[i] *= one  # a number that the compiler does not know: it would leave out w[i] = w[i]


@jit
def adam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    kept: Any,
    rest_1: Any,
    rest_2: Any,
    alpha: Any,
    epsilon: Any,
    least_m: Any,
    least_v: Any,
) -> None:
    """`optimizers.Adam.step`, with rest_1 = 1 - beta_1 and rest_2 = 1 - beta_2."""
    old_w, old_m, old_v, done = kept
    for i in range(len(w)):
        old_w[i], old_m[i], old_v[i] = w[i], m[i], v[i]
        m[i] = flush_denormals(m[i] + rest_1 * (g[i] - m[i]), least_m)
        v[i] = flush_denormals(v[i] + rest_2 * (g[i] * g[i] - v[i]), least_v)
        w[i] -= alpha * m[i] / (np.sqrt(v[i]) + epsilon)
    done[0] = True


@jit
def amsgrad(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    v_hat: Any,
    kept: Any,
    rest_1: Any,
    rest_2: Any,
    alpha: Any,
    epsilon: Any,
    least_m: Any,
    least_v: Any,
) -> None:
    """`adam` with the largest v so far."""
    old_w, old_m, old_v, old_v_hat, done = kept
    for i in range(len(w)):
        old_w[i], old_m[i], old_v[i], old_v_hat[i] = w[i], m[i], v[i], v_hat[i]
        m[i] = flush_denormals(m[i] + rest_1 * (g[i] - m[i]), least_m)
        v[i] = flush_denormals(v[i] + rest_2 * (g[i] * g[i] - v[i]), least_v)
        v_hat[i] = np.maximum(v_hat[i], v[i])
        w[i] -= alpha * m[i] / (np.sqrt(v_hat[i]) + epsilon)
    done[0] = True


@jit
def nadam(
    w: Any,
    g: Any,
    m: Any,
    v: Any,
    kept: Any,
    rest_1: Any,
    rest_2: Any,
    of_m: Any,
    of_g: Any,
    of_v: Any,
    epsilon: Any,
    least_m: Any,
    least_v: Any,
) -> None:
    """`optimizers.Nadam.step`: m_hat = of_m * m + of_g * g, times lr, and v_hat = of_v * v."""
    old_w, old_m, old_v, done = kept
    for i in range(len(w)):
        old_w[i], old_m[i], old_v[i] = w[i], m[i], v[i]
        m[i] = flush_denormals(m[i] + rest_1 * (g[i] - m[i]), least_m)
        v[i] = flush_denormals(v[i] + rest_2 * (g[i] * g[i] - v[i]), least_v)
        w[i] -= (of_m * m[i] + of_g * g[i]) / (np.sqrt(of_v * v[i]) + epsilon)
    done[0] = True


@jit
def adamax(
    w: Any,
    g: Any,
    m: Any,
    u: Any,
    kept: Any,
    rest_1: Any,
    beta_2: Any,
    alpha: Any,
    epsilon: Any,
    least_m: Any,
    least_u: Any,
) -> None:
    """`optimizers.Adamax.step`."""
    old_w, old_m, old_u, done = kept
    for i in range(len(w)):
        old_w[i], old_m[i], old_u[i] = w[i], m[i], u[i]
        m[i] = flush_denormals(m[i] + rest_1 * (g[i] - m[i]), least_m)
        u[i] = flush_denormals(np.maximum(beta_2 * u[i], np.abs(g[i])), least_u)
        w[i] -= alpha * m[i] / (u[i] + epsilon)
    done[0] = True


@jit
def lion(
    w: Any, g: Any, m: Any, kept: Any, beta_1: Any, rest_1: Any, rest_2: Any, lr: Any, least: Any
) -> None:
    """`optimizers.Lion.step`; only the sign of m counts, so `least` is the least normal number."""
    old_w, old_m, done = kept
    for i in range(len(w)):
        old_w[i], old_m[i] = w[i], m[i]
        w[i] -= lr * np.sign(beta_1 * m[i] + rest_1 * g[i])
        m[i] = flush_denormals(m[i] + rest_2 * (g[i] - m[i]), least)
    done[0] = True


@jit
def adagrad(w: Any, g: Any, a: Any, kept: Any, lr: Any, epsilon: Any) -> None:
    """`optimizers.Adagrad.step`."""
    old_w, old_a, done = kept
    for i in range(len(w)):
        old_w[i], old_a[i] = w[i], a[i]
        a[i] += g[i] * g[i]
        w[i] -= lr * g[i] / np.sqrt(a[i] + epsilon)
    done[0] = True


@jit
def adadelta(
    w: Any,
    g: Any,
    a: Any,
    D: Any,
    kept: Any,
    rho: Any,
    rest: Any,
    lr: Any,
    epsilon: Any,
    least: Any,
) -> None:
    """`optimizers.Adadelta.step`, with rest = 1 - rho."""
    old_w, old_a, old_D, done = kept
    for i in range(len(w)):
        old_w[i], old_a[i], old_D[i] = w[i], a[i], D[i]
        a[i] = flush_denormals(rho * a[i] + rest * g[i] * g[i], least)
        d = -np.sqrt(D[i] + epsilon) / np.sqrt(a[i] + epsilon) * g[i]
        D[i] = flush_denormals(rho * D[i] + rest * d * d, least)
        w[i] += lr * d
    done[0] = True


@jit
def rmsprop(
    w: Any, g: Any, v: Any, kept: Any, rho: Any, rest: Any, lr: Any, epsilon: Any, least: Any
) -> None:
    """`optimizers.RMSprop.step`, with rest = 1 - rho."""
    old_w, old_v, done = kept
    for i in range(len(w)):
        old_w[i], old_v[i] = w[i], v[i]
        v[i] = flush_denormals(rho * v[i] + rest * g[i] * g[i], least)
        w[i] -= lr * g[i] / np.sqrt(v[i] + epsilon)
    done[0] = True


@jit
def rmsprop_with(
    w: Any,
    g: Any,
    v: Any,
    a: Any,
    b: Any,
    kept: Any,
    rho: Any,
    rest: Any,
    lr: Any,
    epsilon: Any,
    share: Any,
    least_v: Any,
    least_a: Any,
    least_b: Any,
) -> None:
    """`rmsprop`, centered by the mean a and with the sum b; where one is not wanted it is empty."""
    old_w, old_v, old_a, old_b, done = kept
    for i in range(len(w)):
        old_w[i], old_v[i] = w[i], v[i]
        v[i] = flush_denormals(rho * v[i] + rest * g[i] * g[i], least_v)
        variance = v[i]
        if len(a):
            old_a[i] = a[i]
            a[i] = flush_denormals(a[i] + rest * (g[i] - a[i]), least_a)
            variance -= a[i] * a[i]
        d = lr * g[i] / np.sqrt(variance + epsilon)
        if len(b):
            old_b[i] = b[i]
            b[i] = flush_denormals(share * b[i] + d, least_b)
            d = b[i]
        w[i] -= d
    done[0] = True


@jit
def momentum(
    w: Any, g: Any, v: Any, kept: Any, share: Any, lr: Any, nesterov: bool, least: Any
) -> None:
    """`optimizers.SGD.step` with momentum."""
    old_w, old_v, done = kept
    for i in range(len(w)):
        old_w[i], old_v[i] = w[i], v[i]
        v[i] = flush_denormals(share * v[i] - lr * g[i], least)
        w[i] += share * v[i] - lr * g[i] if nesterov else v[i]
    done[0] = True


@jit
def sgd(w: Any, g: Any, kept: Any, lr: Any) -> None:
    """`optimizers.SGD.step` without momentum."""
    old_w, done = kept
    for i in range(len(w)):
        old_w[i] = w[i]
        w[i] -= lr * g[i]
    done[0] = True
