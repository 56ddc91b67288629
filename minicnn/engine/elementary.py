"""exp, tanh and their relatives for single float32 numbers, in a form that LLVM vectorizes.

NumPy's are calls for whole arrays; these are part of the loop that calls them. So there is no
branch and no table in them, only sums, products, divisions and choices between two numbers that are
both there already, and nothing is worked out in float64.

e^x comes from x = n ln 2 + r with a whole n: 2^n is put together from its bits, and e^r, for |r| up
to 0.35, is a polynomial. What can be written in e^-|x|, which never overflows, is. Polynomials are
fitted for the least relative error and then rounded to float32 (that of e^r is off by 4e-9 of its
value).

Bounds, in units in the last place, against float64 over all float32 numbers
(`tests/test_elementary.py` asserts them):

    exp 2    expm1 2    tanh 2    sigmoid 3    log(1 + e^x) 3    share of the normal distribution 6

Results below 2^-126 are 0: on denormal numbers a processor takes a hundred times as long. NaN stays
NaN, and infinities give the limits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.kernels.compiler import jit_fma

f32, i32 = np.float32, np.int32

ZERO, HALF, ONE, TWO = f32(0), f32(0.5), f32(1), f32(2)
LOG2_E = f32(1.4426950408889634)
LN2_HIGH, LN2_LOW = f32(0.693359375), f32(-2.12194440e-4)  # n times the first is exact
ROUNDER = f32(1.5 * 2**23)  # a sum with it has no place left for a fraction
BIAS, BELOW, SHIFT = i32(127), i32(126), i32(23)  # of the exponent in a float32
LEAST, MOST = f32(-87.33654), f32(89)  # e^LEAST is 2^-126; e^MOST is infinite
E0, E1, E2 = f32(0.49999994), f32(0.1666652), f32(0.0416684)
E3, E4 = f32(0.008368852), f32(0.0013814318)
SMALL = f32(0.625)  # up to it tanh is a polynomial
T0, T1, T2 = f32(-1 / 3), f32(0.13332985), f32(-0.0538725)
T3, T4 = f32(0.021074602), f32(-0.0061878273)
L0, L1, L2, L3 = f32(0.6666641), f32(0.400217), f32(0.27999139), f32(0.28024465)
FARTHEST = f32(12.96)  # beyond it less than 2^-126 of the normal distribution is left
UPPER_BITS = i32(-4096)  # those of the sign, the exponent and half of the digits
THREE = f32(3)
N0, N1, N2, N3 = f32(0.4860558), f32(-0.09652693), f32(-0.01643207), f32(0.045168463)
N4, N5, N6 = f32(-0.022729566), f32(0.0011273312), f32(0.0029948575)
N7, N8, N9 = f32(-0.00026226282), f32(-0.00044622345), f32(-6.3796055e-05)
ROOT_2_PI = f32(0.3989422804014327)  # 1 / sqrt(2 pi)


@jit_fma
def parts(x: Any, less: Any, bias: Any) -> Any:
    """e^(x - less) as (1 + rest) * scale, for a small `less`; scale 2^n, or half of it for the
    bias BELOW."""
    z = x * LOG2_E + ROUNDER
    n = z - ROUNDER
    r = x - n * LN2_HIGH - n * LN2_LOW - less
    rest = r + r * r * ((((E4 * r + E3) * r + E2) * r + E1) * r + E0)
    # the lowest bits of z are n; the higher ones are shifted out
    bits = i32(i32(f32(z).view(np.int32) + bias) << SHIFT)
    return rest, i32(bits).view(np.float32)


@jit_fma
def exp(x: Any) -> Any:
    low, high = x < LEAST, x > MOST
    inside = MOST if high else (LEAST if low else x)
    upper = x > ZERO  # 2^128 is no number, so there it is two factors
    rest, scale = parts(inside, ZERO, BELOW if upper else BIAS)
    y = (scale + rest * scale) * (TWO if upper else ONE)
    return ZERO if low else y


@jit_fma
def exp_below(x: Any) -> Any:
    """e^x for x <= 0."""
    low = x < LEAST
    rest, scale = parts(LEAST if low else x, ZERO, BIAS)
    y = scale + rest * scale
    return ZERO if low else y


@jit_fma
def expm1_below(x: Any) -> Any:
    """e^x - 1 for x <= 0, and 0 for others."""
    inside = LEAST if x < LEAST else x
    rest, scale = parts(ZERO if x > ZERO else inside, ZERO, BIAS)
    return rest * scale + (scale - ONE)


@jit_fma
def tanh_rest(x: Any) -> Any:
    """tanh(x) - x for |x| up to SMALL."""
    z = x * x
    return x * z * ((((T4 * z + T3) * z + T2) * z + T1) * z + T0)


@jit_fma
def tanh(x: Any) -> Any:
    size = abs(x)
    power = exp_below(-TWO * size)
    far = ONE - TWO * power / (ONE + power)
    far = far if x > ZERO else -far
    near = x + tanh_rest(x)
    return near if size < SMALL else far


@jit_fma
def sigmoid(x: Any) -> Any:
    power = exp_below(-abs(x))
    return (power if x < ZERO else ONE) / (ONE + power)


@jit_fma
def log1p(t: Any) -> Any:
    """log(1 + t) for t from 0 to 1: 2 artanh(t / (2 + t))."""
    s = t / (TWO + t)
    w = s * s
    return TWO * s + s * w * (((L3 * w + L2) * w + L1) * w + L0)


@jit_fma
def softplus(x: Any) -> Any:
    """log(1 + e^x)"""
    return (x if x > ZERO else ZERO) + log1p(exp_below(-abs(x)))


@jit_fma
def normal(x: Any) -> Any:
    """The share of the normal distribution below x, and its density there.

    x^2 is needed to more digits than a float32 has, since e^(-x^2 / 2) is off by as much: it is the
    square of x's upper digits, which is exact, and a small rest.
    """
    size = abs(x)
    far = size > FARTHEST
    v = FARTHEST if far else size
    upper = i32(f32(v).view(np.int32) & UPPER_BITS).view(np.float32)
    rest, scale = parts(-HALF * upper * upper, HALF * (v - upper) * (v + upper), BIAS)
    bell = scale + rest * scale
    bell = ZERO if far else bell
    q = (v - THREE) / (v + THREE)
    p = ((((N9 * q + N8) * q + N7) * q + N6) * q + N5) * q + N4
    p = (((p * q + N3) * q + N2) * q + N1) * q + N0
    tail = bell * p / (ONE + v)
    return (tail if x < ZERO else ONE - tail), bell * ROOT_2_PI
