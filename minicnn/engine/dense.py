"""Dense layers one behind the other, each way in one call:

    forward     y_k = y_{k-1} W_k + b_k, and ReLU if the layer has it, from k = 1 on;  y_0 = x
    backward    dz_k = dy_k where y_k > 0,  db_k = sum of dz_k,  dW_k = y_{k-1}^T dz_k,
                dy_{k-1} = dz_k W_k^T, from the last k down

The products are those of `products.py`. Each call from Python gives up the interpreter's lock, and
has to wait for it if another shard's thread holds it then. Layer by layer these would be four calls
each, many of which take less time than the wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from minicnn.engine import products
from minicnn.engine.passes import gradient_of_product
from minicnn.engine.vectors import LANES
from minicnn.kernels.compiler import jit

VECTORS = 2  # in a row of a tile; one in forward for fewer than 16 units, which are padded
NO_MATRIX = np.zeros((0, 0), np.float32)


def memory_size(N: int, widths: Sequence[int], *, back: bool) -> int:
    """Numbers that `forward` needs for N samples, with so many inputs and units; and `backward`."""
    widest = max(widths)
    padded = (N + widest + 1) * LANES  # y, W and bias of a layer of fewer than 16 units
    sums = max(products.sums_size(K, max(units, LANES)) for K, units in pairwise(widths))
    return padded + max(sums, back * (2 * N + VECTORS * LANES) * widest)  # dz, dy and W_T


@cache
def forward(samples: int) -> Any:
    """The kernel for tiles of so many samples; N is no less. Its tuples, all of one length, begin
    with what belongs to `count` layers: W (inputs, units), the bias, of length 0 where there is
    none, whether ReLU is behind it, and the output (N, units).
    """
    multiply, padded = products.multiply(VECTORS, samples), products.multiply_padded(samples)

    @jit
    def forward(
        x: Any, weights: Any, biases: Any, relus: Any, outputs: Any, ones: Any, memory: Any,
        count: int, N: int, columns: int,
    ) -> None:  # fmt: skip
        wide_y, start = memory[: N * columns], N * columns
        for k in range(count):
            (K, units), relu, bias = weights[k].shape, relus[k], biases[k]
            x_k = outputs[k - 1].reshape(-1) if k > 0 else x.reshape(-1)
            W, y = weights[k].reshape(-1), outputs[k].reshape(-1)
            if units >= columns:
                multiply(x_k, W, bias, ones, relu, memory[start:], y, N, K, units)
            else:
                wide_W, rest = memory[start:], start + K * columns
                wide_bias = memory[rest : rest + min(len(bias), 1) * columns]  # none for none
                sums = memory[rest + columns :]
                padded(
                    x_k, W, bias, ones, relu, sums, wide_W, wide_bias, wide_y, y, N, K, units,
                    columns,
                )  # fmt: skip

    return forward


@cache
def backward(samples: int) -> Any:
    """The kernel, as that of `forward`: the gradients, and dx if `needs_dx`, from the last dy."""
    outer, outer_padded = products.outer, products.outer_padded
    multiply = products.multiply_transposed(VECTORS, samples)
    padded = products.multiply_transposed_padded(VECTORS, samples)

    @jit
    def backward(
        x: Any, weights: Any, relus: Any, outputs: Any, dy: Any, dWs: Any, dbs: Any, dx: Any,
        needs_dx: bool, argmax: Any, none: Any, ones: Any, memory: Any, widest: int, count: int,
        N: int, columns: int, no: bool, zero: int,
    ) -> None:  # fmt: skip
        wide_dz, start = memory[: N * columns], N * columns
        wide_W, start = memory[start : start + widest * columns], start + widest * columns
        all_dz, start = memory[start : start + N * widest], start + N * widest
        all_dy, start = memory[start : start + N * widest], start + N * widest
        W_T, dy_k = memory[start:], dy.reshape(-1)
        for below in range(count):
            k = count - 1 - below
            K, units = weights[k].shape
            W, dW = weights[k].reshape(-1), dWs[k].reshape(-1)
            dz, images = all_dz[: N * units], (N, 1, 1, units)
            gradient_of_product(
                dy_k.reshape(images), outputs[k].reshape(images), argmax, no, relus[k], ones[0],
                dz.reshape(images), dbs[k],
            )  # fmt: skip
            x_k = outputs[k - 1].reshape(-1) if k > 0 else x.reshape(-1)
            if units >= columns:
                outer(x_k, dz, dW, N, K, units)
            else:
                outer_padded(x_k, dz, wide_dz, wide_W, dW, N, K, units, columns)
            if k > 0 or needs_dx:
                dy_k = all_dy[: N * K] if k > 0 else dx.reshape(-1)
                if units >= columns:
                    multiply(dz, W, none, ones, no, W_T, dy_k, N, K, units, zero)
                else:
                    padded(
                        dz, W, none, ones, no, wide_dz, wide_W, W_T, dy_k, N, K, units, columns,
                        zero,
                    )  # fmt: skip

    return backward
