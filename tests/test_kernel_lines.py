"""Every kernel once, on arrays so small that it also runs uncompiled.

CI runs this file three times: compiled; with NUMBA_DISABLE_JIT=1, where coverage sees the lines of
the kernels and all of them have to be reached; and with NUMBA_BOUNDSCHECK=1, where a kernel that
reads or writes outside of its arrays is an error.
"""

import functools

import numba
import numpy as np
import pytest
from counts import and_slow
from numba.core.errors import TypingError

from minicnn import kernels
from minicnn.engine import passes, plan, products, vectors, winograd, winograd_products
from minicnn.engine.activations import KNOWN as CURVES
from minicnn.engine.dense_stages import DenseStage
from minicnn.engine.lanes import Lane
from minicnn.engine.shards import ShardedNetwork
from minicnn.engine.stages import ActivationStage, PoolingStage
from minicnn.engine.updates import single_pass
from minicnn.kernels import reference
from minicnn.kernels.compiler import jit_fma
from minicnn.kernels.fast import keep
from minicnn.layers import (
    GELU,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    GroupNormalization,
    Input,
    LayerNormalization,
    MaxPooling2D,
    ReLU,
    SeparableConv2D,
    Sigmoid,
    Softmax,
    Tanh,
    Threshold,
    UpSampling2D,
)
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.models import Sequential
from minicnn.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, Lion, Nadam, RMSprop

rng = np.random.default_rng(80)

GEOMETRIES = {
    "valid": ((2, 5, 4, 3), (3, 2), (1, 1), (0, 0), (3, 3)),
    "strides": ((1, 6, 7, 2), (2, 3), (2, 3), (0, 0), (3, 2)),
    "padding on all sides": ((2, 3, 3, 2), (3, 3), (1, 1), (1, 1), (3, 3)),
    "padding at the end": ((1, 3, 5, 1), (2, 2), (2, 2), (0, 0), (2, 3)),
}
GAPS = {  # as above, and the dilation: of the convolutions alone
    **{name: (*geometry, (1, 1)) for name, geometry in GEOMETRIES.items()},
    "gaps": ((1, 6, 5, 2), (2, 3), (1, 1), (0, 0), (3, 1), (3, 2)),
    "gaps and padding": ((2, 3, 4, 1), (2, 2), (2, 1), (1, 1), (2, 4), (2, 3)),
}


@pytest.mark.parametrize("geometry", GAPS.values(), ids=GAPS.keys())
def test_twins_of_convolutions(geometry):
    image, window, strides, padding, out, gaps = geometry
    N, _, _, C = image
    steps = *strides, *padding, *gaps
    x, W = rng.standard_normal(image), rng.standard_normal((*window, C))
    dy = rng.standard_normal((N, *out, C))
    dcols = rng.standard_normal((N, *out, *window, C))
    results = []
    for module in (kernels, reference):
        cols, y = np.full(dcols.shape, np.nan), np.full(dy.shape, np.nan)
        dx, dx_depthwise, dW = (np.full(shape, np.nan) for shape in (image, image, W.shape))
        module.im2col(x, *steps, cols)
        module.col2im(dcols, *steps, dx)
        module.depthwise(x, W, *steps, y)
        module.depthwise_backward(x, W, dy, *steps, dx_depthwise, dW)
        results.append((cols, dx, y, dx_depthwise, dW))
    for fast, plain in zip(*results):
        np.testing.assert_allclose(fast, plain, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(
    ("n", "inputs", "units"), [(9, 270, 40), (1, 20, 5), (2, 3, products.WIDEST + 1)]
)
def test_products_of_dense_layers(n, inputs, units):
    x, W, dz = (
        rng.standard_normal(s).astype("f4") for s in ((n, inputs), (inputs, units), (n, units))
    )
    y, dW, dx = np.full_like(dz, np.nan), np.full_like(W, np.nan), np.full_like(x, np.nan)

    def buffer(key, shape):
        return np.full(shape, np.nan, np.float32)

    products.forward(x, W, y, buffer)
    products.backward_weights(x, dz, dW, buffer)
    products.backward_inputs(dz, W, dx, buffer)
    for ours, plain in ((y, x @ W), (dW, x.T @ dz), (dx, dz @ W.T)):
        np.testing.assert_allclose(ours, plain, rtol=1e-4, atol=1e-4)
    bias = dz[0]
    products.forward(x, W, y, buffer, bias, relu=True)
    np.testing.assert_allclose(y, np.maximum(x @ W + bias, 0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize(
    "units",
    [(34,), (7,), (34, 7), (32, 33, 40, 3), (33, 2)],
    ids=lambda units: "-".join(map(str, units)),
)
def test_dense_layers_in_one_call(n, units):
    layers: list = [Dense(u, "relu", use_bias=u not in (2, 33)) for u in units[:-1]]
    layers.append(Dense(units[-1], use_bias=units[-1] != 2))
    shape = (None, 35)
    for layer in layers:
        layer.build(shape)
        shape = layer.output_shape(shape)
        layer.params["W"][...] = rng.standard_normal(layer.params["W"].shape)
        if "b" in layer.params:
            layer.params["b"][...] = rng.standard_normal(layer.units)
    x, dy = (rng.standard_normal((n, size)).astype("f4") for size in (35, units[-1]))
    expected, expected_dx = x, dy
    for layer in layers:
        expected = layer.forward(expected, True)
    for layer in reversed(layers):
        expected_dx = layer.backward(expected_dx)
    gradients = [array.copy() for layer in layers for array in layer.grads.values()]
    for layer in layers:
        layer.grads.update({key: np.full_like(a, np.nan) for key, a in layer.params.items()})
    for needs_dx in (True, False):
        stage = DenseStage(layers, needs_dx=needs_dx)
        stage.scratch = lambda key, size: np.full(size, np.nan, np.float32)
        close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-3)
        close(stage.forward(x), expected)  # which needs less memory than the way back
        close(stage.forward(x, training=True), expected)
        dx = stage.backward(dy)
        assert (dx is None) is not needs_dx
        if needs_dx:
            close(dx, expected_dx)
        for layer in layers:
            for array in layer.grads.values():
                close(array, gradients.pop(0))
                gradients.append(array.copy())


@pytest.mark.parametrize(
    ("count", "C", "F"), [(9, 70, 20), (8, 16, 130), (66, 258, 32), (8, 80, 144)], ids=str
)
def test_winograds_products_and_the_kernel_there_and_back(count, C, F):
    G = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
    GG = np.kron(G, G) / 24**2  # Lavin and Gray, section 4.3
    g = rng.standard_normal((9, C, F)).astype("f4")
    U = np.tensordot(GG, g, 1)
    cells = {size: winograd.TILES * size + winograd_products.GAP for size in (C, F)}

    def product(size, of, kernel, back):
        """The rows `of` (36, count, ..), far apart, times the kernel."""
        given = np.full((36, cells[of.shape[2]]), np.nan, np.float32)
        given[:, : of[0].size] = of.reshape(36, -1)
        out, vectors = np.full((36, cells[size]), np.nan, np.float32), products.vectors_for(size)
        rows = F if back else C
        panel = np.full(winograd_products.panel_size(rows, vectors), np.nan, np.float32)
        winograd_products.multiply(vectors)(
            given.reshape(-1), cells[of.shape[2]], kernel.reshape(-1), out.reshape(-1),
            cells[size], panel, count, C, F, back, products.NO_BIAS, products.ONE, False, 0,
        )  # fmt: skip
        return given.reshape(-1), out[:, : count * size].reshape(36, count, size)

    V, dM = (rng.standard_normal((36, count, size)).astype("f4") for size in (C, F))
    flat_V, M = product(F, V, g, False)
    flat_dM, dV = product(C, dM, g, True)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4 * C**0.5)
    close(M, V @ U)
    close(dV, dM @ U.transpose(0, 2, 1))

    expected = np.tensordot(GG.T, V.transpose(0, 2, 1) @ dM.astype("f8"), 1)
    tiled, size = winograd_products.overlap(C, F), winograd_products.squares_size(C, F)
    dU = np.full(winograd_products.BLOCK_OF_DU, np.nan, np.float32)
    sums = np.full(9 * size, np.nan, np.float32)
    for add in (False, True):
        winograd_products.gradient(
            flat_V, cells[C], flat_dM, cells[F], count, C, F, dU, sums, size, tiled, add
        )
        dg = sums
        if tiled:
            dg = np.full(g.size, np.nan, np.float32)
            winograd_products.from_squares(sums, C, F, dg)
        close(dg.reshape(g.shape), expected * (2 if add else 1))


def test_cells_of_winograd_that_are_added_by_themselves():
    # of 2x2 tiles with padding 1 on an image of 7x6: one cell outside of it, two inside
    bits = [0, 0, 0, 1 << 0 | 1 << 7 | 1 << 35]
    cells, dx = rng.standard_normal((3, 2)).astype("f4"), np.zeros((1, 7, 6, 2), np.float32)
    winograd.add_cells(cells, 1, 2, 2, 0, 4, np.array(bits), dx)
    expected = np.zeros_like(dx)
    expected[0, 3, 3], expected[0, 4, 4] = cells[:2]
    np.testing.assert_array_equal(dx, expected)


@jit_fma
def of_vectors(a, w, places, out, whole):
    """Each function of `engine.vectors` once, into the next rows of `out`."""
    x, y = vectors.load(2, a, 3, 40), vectors.load_at(2, a, 1, places, 1)
    vectors.store(vectors.numbers(1, np.float32(7)), out, 0, 0)
    vectors.store(vectors.add_outer(vectors.zeros(6), x, w, 0, 2, 3), out, 16, 16)
    vectors.store_rows(vectors.add_products(vectors.zeros(4), x, y), out, 112, 32, 2, 16)
    vectors.store(x + y, out, 176, 16)
    vectors.store(x * y, out, 208, 16)
    vectors.store(vectors.where_above(x, y, x, vectors.zeros(2)), out, 240, 16)
    vectors.store(vectors.where_at_most(x, y, x, vectors.zeros(2)), out, 272, 16)
    vectors.store_at(vectors.where_equal(x, x, y, x), out, 304, places, 0)
    vectors.add_sums(x, out, 352, 5, 1)
    vectors.store_bytes(vectors.numbers(1, np.float32(-1)), whole, 2)
    vectors.store(vectors.load_bytes(whole, 2), out, 368, 0)
    p, q = vectors.split(x)
    vectors.store(vectors.join((p + q, p - q, np.float32(3) * p, p * q)), out, 384, 16)
    vectors.store(vectors.add_sliding(y, vectors.load(6, a, 0, 16), 2, x, 3), out, 464, 16)
    vectors.store(vectors.kept(5, 2**32 - 7, 2**32 - 3, 2**31, np.float32(3)), out, 448, 0)


@jit_fma
def turned(a, out):
    vectors.store(vectors.transposed(vectors.load(16, a, 0, 16)), out, 0, 16)


def test_vectors():
    a = rng.standard_normal(100).astype(np.float32)
    a[40] = np.nan  # in a lane of y alone
    w, places = np.arange(5, dtype=np.float32), np.array([16, 0, 34])
    out, whole = np.zeros((4, 124), np.float32), np.zeros(20, np.int8)
    of_vectors(a, w, places, out, whole)
    x, y = np.stack([a[3:19], a[43:59]]), np.stack([a[1:17], a[35:51]])
    six = a[:96].reshape(6, 16)
    expected = [
        np.full((1, 16), 7),
        (x[:, None] * w[None, ::2, None]).reshape(6, 16),
        (x[:, None] * y).reshape(4, 16),
        x + y,
        x * y,
        np.where(x > y, x, 0),
        np.where(x <= y, x, 0),
        y[::-1],
        np.zeros((1, 16)),
        np.zeros((1, 16)),
        np.full((1, 16), -1),
        [x[0] + x[1], x[0] - x[1], 3 * x[0], x[0] * x[1]],
        [[3.0 * keep(5, 2**32 - 7, 2**32 - 3 + k, 2**31) for k in range(16)]],
        y + six[[0, 2]] * x[0] + six[[3, 5]] * x[1],
    ]
    expected = np.concatenate(expected).reshape(-1)
    expected[[352, 357]] = x.sum(axis=1)
    np.testing.assert_allclose(out.reshape(-1), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(whole, [0] * 2 + [-1] * 16 + [0] * 2)
    square, result = np.arange(256, dtype=np.float32), np.zeros(256, np.float32)
    turned(square, result)
    np.testing.assert_array_equal(result.reshape(16, 16), square.reshape(16, 16).T)


@pytest.mark.parametrize("at", [-1, 85])
def test_a_vector_outside_of_its_array_is_found(at):
    if not (numba.config.DISABLE_JIT or numba.config.BOUNDSCHECK):
        pytest.skip("only where bounds are checked")
    with pytest.raises(IndexError):
        vector_at(np.zeros(100, np.float32), at)


@jit_fma
def vector_at(a, at):
    vectors.store(vectors.load(1, a, at, 0), a, 0, 0)


def test_vectors_are_of_contiguous_float32():
    if numba.config.DISABLE_JIT:
        pytest.skip("only where kernels are compiled")
    with pytest.raises(TypingError, match="expected a contiguous array of float32"):
        vector_at(np.zeros(100), 0)
    with pytest.raises(TypingError, match="expected a contiguous array of float32"):
        vector_at(np.zeros(200, np.float32)[::2], 0)


INTERLEAVED = {  # images, window and further arguments of the layer
    "one channel, ReLU, pooling, dropout": ((17, 7, 6, 1), (4, 3), {"padding": "same"}),
    "a complete group": ((16, 5, 5, 4), (2, 5), {"filters": 8}),
    "strides, which leave a row out": ((8, 8, 7, 3), (3, 2), {"strides": (2, 3)}),
    "a window wider than a tile": ((9, 4, 9, 2), (2, 7), {"filters": 6}),
    "gaps": ((8, 7, 6, 2), (2, 3), {"dilation_rate": (3, 2), "padding": "same"}),
    "strides wider than the window": ((8, 5, 5, 2), (1, 2), {"strides": 3}),
    "small images, four groups and one": ((75, 4, 4, 2), (3, 3), {"filters": 4}),
    "few images, a window as wide": ((3, 5, 1, 2), (3, 3), {"filters": 4, "padding": "same"}),
    "few images, read where they lie": ((3, 5, 4, 2), (2, 2), {"padding": "same"}),
}
IMPLICIT = {
    "strides, phases of unequal width": ((2, 7, 7, 16), (3, 3), {"filters": 20, "strides": 2}),
    "one channel, ReLU, pooling, dropout": (
        (3, 7, 6, 1), (4, 3), {"filters": 16, "padding": "same", "activation": "relu"},
    ),
    "gaps, many filters": (
        (2, 8, 4, 18), (2, 2), {"filters": 33, "dilation_rate": (3, 2), "padding": "same"},
    ),
    "strides wider than the window, ReLU": (
        (2, 5, 5, 16), (1, 1), {"filters": 16, "strides": 3, "activation": "relu"},
    ),
    "a window as wide as the image": (
        (2, 5, 1, 16), (3, 3), {"filters": 16, "padding": "same"},
    ),
    "dx from a row of one": (
        (2, 2, 2, 16), (3, 3), {"filters": 16, "strides": 2, "padding": "same"},
    ),
    "rows of padding alone": ((1, 2, 3, 16), (5, 2), {"filters": 64, "padding": "same"}),
}  # fmt: skip


# each of the others is compiled for this test alone
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", and_slow([*INTERLEAVED][:1], [*INTERLEAVED][1:], "in_ci"))
def test_convolutions_of_sixteen_images_at_a_time(name, first):
    assert_convolution_is_layer("InterleavedConvolution", *INTERLEAVED[name], first)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", and_slow([*IMPLICIT][:1], [*IMPLICIT][1:], "in_ci"))
def test_convolutions_by_implicit_im2col(name, first):
    few = IMPLICIT[name][0][3] < 16 and not first  # for a dx of which vectors are full
    kind = "InterleavedConvolution" if few else "ImplicitConvolution"
    assert_convolution_is_layer(kind, *IMPLICIT[name], first)


def assert_convolution_is_layer(kind, shape, window, more, first):
    pools = shape[3] == 1
    conv = Conv2D(**{"filters": 3, "kernel_size": window, **more})
    if pools:
        conv.activation = ReLU()
    below = [] if first else [Conv2D(shape[3], 1)]
    above = [MaxPooling2D(2), Dropout(0.3, seed=3)] if pools else []
    model = Sequential([Input(shape[1:]), *below, conv, *above])
    stage = Lane(model.plan(), np.zeros(model.flat_params.size, np.float32)).stages[-1]
    assert type(stage).__name__ == kind
    x = rng.standard_normal(shape).astype(np.float32)
    stage.seek(0, 0)
    inferred = stage.forward(x).copy()
    y = stage.forward(x, True).copy()
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx = stage.backward(dy)
    layers = [conv, *above]
    for layer in layers[1:]:
        layer.seek(0, 0)
    plain = functools.reduce(lambda z, layer: layer.forward(z, True), layers, x)
    dx_plain = functools.reduce(lambda d, layer: layer.backward(d), layers[::-1], dy)
    without = functools.reduce(lambda z, layer: layer.forward(z), layers, x)
    for found, expected in [
        (inferred, without),
        (y, plain),
        (stage.conv.grads["W"], conv.grads["W"]),
        (stage.conv.grads["b"], conv.grads["b"]),
    ]:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (dx is None) == first
    if not first:
        np.testing.assert_allclose(dx, dx_plain, rtol=1e-4, atol=1e-5)


def assert_stage_is_layer(name, layer, shape, first):
    below = [] if first else [Conv2D(shape[3], 1)]
    model = Sequential([Input(shape[1:]), *below, layer])
    lane = Lane(model.plan(), np.zeros(model.flat_params.size, np.float32))
    stage = lane.stages[-1]
    assert type(stage).__name__ == name
    x = rng.standard_normal(shape).astype(np.float32)
    y = stage.forward(x, True).copy()
    dy = rng.standard_normal(y.shape).astype(np.float32)
    dx = stage.backward(dy)
    np.testing.assert_allclose(y, layer.forward(x, True), rtol=1e-4, atol=1e-5)
    dx_plain = layer.backward(dy)
    assert (dx is None) == first
    if not first:
        np.testing.assert_allclose(dx, dx_plain, rtol=1e-4, atol=1e-5)
    for key, expected in layer.grads.items():
        np.testing.assert_allclose(lane.layers[-1].grads[key], expected, rtol=1e-4, atol=1e-5)


TRANSPOSED = {  # images, filters, window and further arguments of the layer
    "strides": ((17, 3, 4, 4), 3, (3, 3), {"strides": 2, "padding": "same"}),
    "gaps": ((2, 3, 4, 1), 3, (2, 5), {"dilation_rate": 2}),
    "rows beyond the windows": (
        (16, 2, 3, 8), 3, (2, 2), {"strides": 3, "output_padding": (2, 1)},
    ),
    "sixteen filters and channels": ((3, 3, 4, 16), 20, (3, 3), {"strides": 2, "padding": "same"}),
    "sixteen, rows beyond the windows": (
        (2, 2, 3, 17), 16, (2, 2), {"strides": 3, "output_padding": (2, 1)},
    ),
    "sixteen, gaps": ((2, 3, 4, 16), 16, (2, 3), {"dilation_rate": 2}),
    "sixteen, a window as wide as the image": ((2, 5, 1, 16), 16, (3, 1), {"padding": "same"}),
}  # fmt: skip


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("case", and_slow([*TRANSPOSED][:1], [*TRANSPOSED][1:], "in_ci"))
def test_transposed_convolutions(case, first):
    shape, filters, window, more = TRANSPOSED[case]
    layer = Conv2DTranspose(filters, window, activation="relu", bias_initializer="ones", **more)
    kind = "InterleavedTransposed" if filters < 16 else "TransposedConvolution"
    assert_stage_is_layer(kind, layer, shape, first)


DEPTHWISE = {  # images, window and further arguments of the layer
    "padding, ReLU": ((2, 5, 6, 16), (3, 3), {"padding": "same", "activation": "relu"}),
    "channels beyond a vector": ((1, 4, 4, 20), (2, 3), {}),
    "strides wider than the window": ((2, 7, 5, 16), (1, 2), {"strides": 3}),
    "gaps": ((1, 6, 7, 16), (2, 2), {"dilation_rate": 3, "padding": "same"}),
    "a window that fills no tile": ((1, 6, 7, 16), (6, 5), {"padding": "same"}),
    "few channels, tanh": ((2, 4, 5, 3), (3, 3), {"padding": "same", "activation": "tanh"}),
    "few channels, several filters": (
        (2, 4, 5, 3), (3, 3), {"padding": "same", "activation": "relu", "depth_multiplier": 2},
    ),
    "several filters of many channels": (
        (2, 4, 5, 16), (3, 3), {"padding": "same", "use_bias": False, "depth_multiplier": 2},
    ),
}  # fmt: skip


# each of the others is compiled for this test alone
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("case", and_slow([*DEPTHWISE][:1], [*DEPTHWISE][1:], "in_ci"))
def test_depthwise_convolutions(case, first):
    shape, window, more = DEPTHWISE[case]
    layer = DepthwiseConv2D(window, bias_initializer="ones", **more)
    assert_stage_is_layer("DepthwiseStage", layer, shape, first)


@pytest.mark.in_ci  # its kernels are compiled for it alone
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("channels", "each"), [(16, 1), (3, 2)])
def test_separable_convolutions(channels, each, first):
    layer = SeparableConv2D(3, 2, depth_multiplier=each, bias_initializer="ones", activation="relu")
    assert_stage_is_layer("SeparableStage", layer, (2, 4, 3, channels), first)


@pytest.mark.in_ci  # its kernels are compiled for it alone
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("channels", "stage"), [(4, "GroupedConvolution"), (2, "DepthwiseStage")])
def test_convolutions_in_groups(channels, stage, first):
    layer = Conv2D(4, 2, groups=2, bias_initializer="ones", activation="relu")
    assert_stage_is_layer(stage, layer, (17, 3, 3, channels), first)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("shape", [(2, 5, 7, 20), (1, 2, 2, 16), (2, 1, 3, 5), (2, 3, 2, 1)])
def test_layer_normalization(shape, first):
    layer = LayerNormalization(gamma_initializer="random_normal", beta_initializer="ones")
    assert_stage_is_layer("LayerNormalizationStage", layer, shape, first)


@pytest.mark.parametrize(
    ("shape", "first"),
    [
        ((3, 4, 2, 6), True),
        ((3, 4, 2, 6), False),
        ((2, 3, 6), True),
        ((3, 6), True),
        ((3, 1, 1, 6), False),
    ],
)
@pytest.mark.parametrize("groups", [1, 3, -1])
def test_group_normalization(groups, shape, first):
    layer = GroupNormalization(groups, gamma_initializer="random_normal", beta_initializer="ones")
    assert_stage_is_layer("GroupNormalizationStage", layer, shape, first)


@pytest.mark.parametrize(("size", "shape"), [((2, 3), (2, 3, 2, 4)), ((1, 1), (1, 2, 2, 1))])
def test_upsampling(size, shape):
    assert_stage_is_layer("UpSamplingStage", UpSampling2D(size), shape, first=False)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("pool", [True, False])
def test_gradients_behind_pooling_and_relu(pool, relu):
    z = rng.standard_normal((2, 5, 4, 3)).astype(np.float32)  # one row is in no window
    dy = rng.standard_normal((2, 2, 2, 3) if pool else z.shape).astype(np.float32)
    windows = z[:, :4].reshape(2, 2, 2, 2, 2, 3).transpose(0, 1, 3, 5, 2, 4).reshape(2, 2, 2, 3, 4)
    y, argmax = (windows.max(-1), windows.argmax(-1)) if pool else (z, z)
    dead = (y <= 0) & relu
    argmax = np.where(dead, -1, argmax).astype(np.int8) if pool else np.zeros((1,) * 4, np.int8)
    dz, db = np.full(z.shape, np.nan, np.float32), np.full(3, np.nan, np.float32)
    passes.gradient_of_product(dy, y, argmax, pool, relu, np.float32(2), dz, db)
    expected = np.where(dead, 0, 2 * dy)
    if pool:
        cells = expected[..., None] * (argmax[..., None] == np.arange(4))
        inside = cells.reshape(2, 2, 2, 3, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(2, 4, 4, 3)
        expected = np.concatenate([inside, np.zeros((2, 1, 4, 3))], axis=1)
    np.testing.assert_allclose(dz, expected, rtol=1e-6)
    np.testing.assert_allclose(db, expected.sum((0, 1, 2)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_twins(geometry):
    image, window, strides, padding, out = geometry
    N, _, _, C = image
    x = rng.integers(-3, 3, image).astype(np.float64)  # with ties
    dy = rng.standard_normal((N, *out, C))
    results = []
    for module in (kernels, reference):
        dx = np.full(image, np.nan)
        y, argmax = np.full(dy.shape, np.nan), np.full(dy.shape, -7, np.int32)
        dx_max, mean, dx_mean = dx.copy(), y.copy(), dx.copy()
        module.max_pool(x, *window, *strides, *padding, y, argmax)
        module.max_pool_backward(dy, argmax, window[1], *strides, *padding, dx_max)
        module.average_pool(x, *window, *strides, *padding, mean)
        module.average_pool_backward(dy, *window, *strides, *padding, dx_mean)
        results.append((y, argmax, dx_max, mean, dx_mean))
    for fast, plain in zip(*results):
        np.testing.assert_allclose(fast, plain, rtol=1e-14, atol=1e-14)


def test_keep_mask():
    masks = []
    for module in (kernels, reference):
        mask = np.zeros(50, bool)
        module.keep_mask(2**32 - 5, 12345, 2**33, 2**31, mask)
        masks.append(mask)
    np.testing.assert_array_equal(*masks)
    assert 10 < masks[0].sum() < 40


def test_normal():
    numbers = np.full((2, 2000), np.nan)
    for module, z in zip((kernels, reference), numbers):
        module.normal(2**32 - 5, 12345, 2**33, z)
    np.testing.assert_allclose(*numbers, rtol=1e-13, atol=1e-14)
    assert abs(numbers[0].mean()) < 0.1
    assert abs(numbers[0].std() - 1) < 0.1


def test_uniform():
    numbers = np.full((2, 2000), np.nan)
    for module, u in zip((kernels, reference), numbers):
        module.uniform(2**32 - 5, 12345, 2**33, u)
    np.testing.assert_array_equal(*numbers)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert abs(numbers[0].mean() - 0.5) < 0.04


@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize("mode", range(4))
@pytest.mark.parametrize("image", [(3, 5, 4, 2), (3, 1, 4, 1), (3, 1, 1, 1)])
@pytest.mark.parametrize("away", [1.0, 1e6, 1e300])
def test_affine(image, mode, bilinear, away):
    """The first image at places between pixels, the second at whole ones, the third anywhere."""
    matrices = rng.standard_normal((3, 6))
    matrices[0] = [1, 0, -0.25, 0, 1, 0.5]
    matrices[1] = [0, 1, 1, -1, 0, 1]
    matrices[2, [2, 5]] *= away
    x, dy = rng.standard_normal((2, *image))
    results = []
    for module in (kernels, reference):
        y, dx = np.full((2, *image), np.nan)
        module.affine(x, matrices, mode, bilinear, 0.75, y)
        module.affine_backward(dy, matrices, mode, bilinear, dx)
        results.append((y, dx))
    for fast, plain in zip(*results):
        np.testing.assert_allclose(fast, plain, rtol=1e-12, atol=1e-12)
    y, filling = results[0][0], np.empty(image)
    kernels.affine(np.zeros(image), matrices, mode, bilinear, 0.75, filling)
    assert ((y - filling) * dy).sum() == pytest.approx((x * results[0][1]).sum(), abs=1e-11)


def test_normal_cdf():
    x, shares = np.array([-9.0, -1.0, 0.0, 2.5]), np.full((2, 4), np.nan)
    for module, share in zip((kernels, reference), shares):
        module.normal_cdf(x, share)
    np.testing.assert_allclose(*shares, rtol=1e-14)
    np.testing.assert_allclose(shares[0, 1:3], [0.15865525393145707, 0.5], rtol=1e-14)


@pytest.fixture
def winograd_always(monkeypatch):
    """On small images and few channels, too, which take little time where nothing is compiled."""
    monkeypatch.setattr(plan, "winograd_pays", lambda *sizes: True)


def networks():
    for channels in (1, 20):
        for padding in ("same", "valid"):
            for activation in ("relu", None):
                for pool in (True, False):
                    for rate in (0.0, 0.5):
                        if rate and not pool and activation is None:
                            continue  # not fused: `plan.py` says why
                        yield channels, padding, activation, pool, rate


@pytest.mark.parametrize(("channels", "padding", "activation", "pool", "rate"), list(networks()))
def test_steps_against_their_layers(channels, padding, activation, pool, rate, winograd_always):
    """Forward and backward of a plan's steps, and of the same layers one by one."""
    # with 21, the last vector of filters repeats some of the one before
    conv = Conv2D(21, 3, padding=padding, activation=activation, bias_initializer="glorot_uniform")
    model = Sequential(
        [
            Input((7, 6, channels)),
            # behind a layer that learns, a convolution of several channels has to give a dx
            *[Dense(channels)] * (channels > 1),
            conv,
            *[MaxPooling2D(2)] * pool,
            Dropout(rate, seed=1),
            Flatten(),
            Dense(3, activation="relu", bias_initializer="glorot_uniform"),
            Dropout(0.3, seed=2),
        ]
    )
    names = [getattr(entry.kind, "__name__", "layer") for entry in model.plan().entries]
    assert ("DirectConvolution" if channels == 1 else "WinogradConvolution") in names
    x = rng.standard_normal((3, 7, 6, channels)).astype(np.float32)
    gradient = np.full(model.flat_params.size, np.nan, np.float32)
    lane = Lane(model.plan(), gradient)
    lane.seek(5, 0)
    np.testing.assert_allclose(lane.forward(x), model.forward(x), rtol=1e-4, atol=1e-5)
    lane.seek(5, 0)
    y = lane.forward(x, True).copy()
    for layer in model.layers:
        layer.seek(5, 0)
    expected = model.forward(x, training=True)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    assert list(lane.backward_in_phases(dy)) == []  # no stage has to wait for other shards
    model.backward(dy)
    np.testing.assert_allclose(gradient, model.flat_grads, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("behind", [True, False])
@pytest.mark.parametrize("channels", [1, 24])
def test_inference_with_a_normalization_in_the_same_pass(channels, behind, pool, winograd_always):
    conv = Conv2D(18, 3, activation="relu" if behind else None, input_shape=(7, 6, channels))
    model = Sequential([conv, BatchNormalization(), *([] if behind else [ReLU()])])
    for layer in [*([MaxPooling2D()] if pool else []), Flatten(), Dense(2)]:
        model.add(layer)
    norm = model.layers[1]
    norm.params["gamma"][:] = np.resize([1, -0.5, 2, 1.5], 18)
    norm.params["beta"][:] = np.resize([0.5, -1, 0.25, 0], 18)
    norm.state["moving_mean"][:] = np.resize([0.1, -0.2, 0.3, 0], 18)
    norm.state["moving_variance"][:] = np.resize([0.5, 2, 1, 1.5], 18)
    network, _ = model.network()
    fused = len(network.plan.entries[0].layers)
    assert fused == (1 if channels == 1 and behind and pool else 2 + pool + (not behind))
    x = rng.standard_normal((3, 7, 6, channels)).astype(np.float32)
    y = Lane(network.plan, None).forward(x)
    np.testing.assert_allclose(y, model.forward(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_normalization_against_its_layers(pool, relu):
    behind = [*([ReLU()] if relu else []), *([MaxPooling2D()] if pool else [])]
    behind += [Dropout(0.5, seed=3)] if behind else []
    inputs = Conv2D(3, 1, input_shape=(5, 4, 3))  # something that learns from dx
    model = Sequential([inputs, BatchNormalization(), *behind, Flatten(), Dense(2)])
    model.layers[1].params["gamma"][:] = [1, -0.5, 2]
    assert len(model.plan().entries) == 3
    x = rng.standard_normal((20, 5, 4, 3)).astype(np.float32)
    dy = rng.standard_normal((20, 2)).astype(np.float32)
    network = ShardedNetwork(model.plan(), np.float32, training=True)
    outputs = {}

    def work(lane, shard):
        lane.seek(5, shard.start)
        outputs[shard.start] = (yield from lane.forward_in_phases(x[shard])).copy()
        yield from lane.backward_in_phases(dy[shard])

    network.gradient(len(x), work)
    gradient = np.empty(model.flat_params.size, np.float32)
    network.sum(slice(0, len(gradient)), gradient)
    for layer in model.layers:
        layer.seek(5, 0)
    expected = model.forward(x, training=True)
    y = np.concatenate([outputs[start] for start in sorted(outputs)])
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    model.backward(dy)
    np.testing.assert_allclose(gradient, model.flat_grads, rtol=1e-3, atol=1e-4)


WITH_ARGUMENTS = [ReLU(6.0, 0.1, 0.5), GELU(approximate=True)]  # other curves than without
CURVED = [kind() for kind in CURVES if kind is not Threshold] + [Threshold(0.5, 2.0)]
COMPILED_ANYWAY = (ReLU, GELU, Tanh, Sigmoid)  # for other tests; the rest is left to CI
QUICK = [layer for layer in CURVED if type(layer) in COMPILED_ANYWAY]
OTHERS = [layer for layer in (*CURVED, *WITH_ARGUMENTS) if layer not in QUICK]


@pytest.mark.parametrize("layer", and_slow(QUICK, OTHERS, "in_ci"), ids=lambda layer: layer.name)
def test_curves_against_their_layers(layer):
    dropout = Dropout(0.5, seed=3)
    dropout.build((None, 2, 3, 4))
    x = np.linspace(-8, 8, 48, dtype=np.float32).reshape(2, 2, 3, 4)
    dy, bias = rng.standard_normal(x.shape).astype(np.float32), np.float32([0, 0.1, 0.2, 0.3])
    for behind in ([], [dropout]):
        stage, db = ActivationStage([layer, *behind]), np.empty_like(bias)
        y, dx = stage.forward(x, True, bias), stage.backward(dy, db)
        expected = layer.forward(x + bias)
        for one in behind:
            one.seek(0, 0)
            expected = one.forward(expected, True)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
        expected = dy
        for one in (*behind, layer):
            expected = one.backward(expected)
        np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(db, expected.sum(axis=(0, 1, 2)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        MaxPooling2D(2),
        MaxPooling2D((3, 2), (2, 1), "same"),
        AveragePooling2D((2, 3), (3, 2), "same"),
        GlobalAveragePooling2D(),
        GlobalMaxPooling2D(keepdims=True),
    ],
    ids=lambda layer: layer.name,
)
def test_pooling_against_its_layer(layer):
    stage = PoolingStage([layer], needs_dx=True)
    x = rng.integers(-2, 3, (2, 5, 4, 3)).astype(np.float32)
    x[1, 1:3, 2, 0] = np.nan
    y = layer.forward(x)
    np.testing.assert_allclose(stage.forward(x, True), y, rtol=1e-6, atol=1e-6)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    np.testing.assert_allclose(stage.backward(dy), layer.backward(dy), rtol=1e-5, atol=1e-6)


def test_gather():
    x, out = np.arange(12, dtype=np.uint8).reshape(4, 3), np.full((2, 3), np.nan, np.float32)
    passes.gather(x, np.array([3, 1]), out)
    np.testing.assert_array_equal(out, [[9, 10, 11], [3, 4, 5]])


def test_copy():
    a, out = rng.standard_normal(40).astype(np.float32), np.full(40, np.nan, np.float32)
    assert passes.copy(a, out) == pytest.approx(np.dot(a, a), rel=1e-6)
    np.testing.assert_array_equal(out, a)


def test_claim_leaves_every_number_as_it_is():
    w = rng.standard_normal(40).astype(np.float32)
    w[::16], w[1::16] = [-0.0, 1e-45, np.inf], 3e38
    before = w.copy()
    passes.claim(w, np.float32(1))
    np.testing.assert_array_equal(w.view(np.int32), before.view(np.int32))


def test_softmax():
    y = (10 * rng.standard_normal((5, 4))).astype(np.float32)
    expected = Softmax().forward(y)
    passes.softmax(y)
    np.testing.assert_allclose(y, expected, rtol=1e-6)


def test_sparse_crossentropy():
    loss = SparseCategoricalCrossentropy(from_logits=True)
    z = (1e4 * rng.standard_normal((5, 4))).astype(np.float32)
    labels, losses, dz = np.array([0, 1, 2, 3, 0]), np.empty(5), np.full_like(z, np.nan)
    passes.sparse_crossentropy(z, labels, np.float32(0.2), losses, dz)
    np.testing.assert_allclose(losses, loss.forward(labels, z), rtol=1e-6)
    np.testing.assert_allclose(dz, 0.2 * loss.backward(labels, z), atol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        Adadelta(0.1),
        Adagrad(0.1),
        Adam(0.1),
        Adam(0.1, amsgrad=True),
        Adamax(0.1),
        Lion(0.1),
        Nadam(0.1),
        RMSprop(0.1),
        RMSprop(0.1, momentum=0.9),
        RMSprop(0.1, centered=True),
        RMSprop(0.1, momentum=0.9, centered=True),
        SGD(0.1),
        SGD(0.1, 0.9),
        SGD(0.1, 0.9, True),
    ],
    ids=repr,
)
def test_single_passes(optimizer):
    # all slots alike, but for a mean whose square is above v: v = 0.5, a = 0.25
    first = {"a": 0.25} if "v" in optimizer.slots else {}
    w = np.ones(6, np.float32)
    state = [np.full(6, first.get(name, 0.5), np.float32) for name in optimizer.slots]
    g = rng.standard_normal(6).astype(np.float32)
    plain, plain_state = w.copy(), [vector.copy() for vector in state]
    before = np.array([w, *state])
    *copies, done = kept = (*np.zeros_like(before), np.zeros(1, bool))
    optimizer.iterations = 3
    single_pass(optimizer, np.float32)(w, g, *state, kept=kept)
    np.testing.assert_array_equal(copies, before)
    assert done[0]
    optimizer.step(plain, g, *plain_state)
    np.testing.assert_allclose(w, plain, rtol=1e-6)
    np.testing.assert_allclose(state, plain_state, rtol=1e-6)


def test_the_fused_cross_entropy_where_no_class_has_all_the_probability():
    loss = SparseCategoricalCrossentropy(from_logits=True)
    z = rng.standard_normal((5, 4))
    labels, values, dz = np.array([0, 1, 2, 3, 0]), np.empty(5), np.full_like(z, np.nan)
    passes.sparse_crossentropy(z, labels, 0.2, values, dz)
    np.testing.assert_allclose(values, loss.forward(labels, z), rtol=1e-14)
    np.testing.assert_allclose(dz, 0.2 * loss.backward(labels, z), rtol=1e-12)


@pytest.mark.parametrize("optimizer", [Adam(0.1, epsilon=0.25), RMSprop(0.1, epsilon=0.25)])
def test_the_fused_steps_of_the_optimizers_with_an_epsilon_that_counts(optimizer):
    w, state = np.ones(6), [np.full(6, 0.5) for _ in optimizer.slots]
    g = rng.standard_normal(6)
    plain, plain_state = w.copy(), [vector.copy() for vector in state]
    optimizer.iterations = 1
    single_pass(optimizer, np.float64)(w, g, *state)
    optimizer.step(plain, g, *plain_state)
    np.testing.assert_allclose(w, plain, rtol=1e-12)


@pytest.mark.parametrize(
    ("pixel", "slope", "weight"),
    [
        (1, 1, 1),
        (1500, 1, 1),
        (1e4, 1, 1),
        (1e31, 1, 1),
        (1, 200, 1),
        (1, 1e5, 1),
        (1, 1e35, 1),
        (1, 1, 1e5),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_tiles_beside_large_numbers(pixel, slope, weight, first, winograd_always):
    """Against the layer, within some eps of the sum of the absolute products of each number.

    For dW the bound is wider at a pixel of 1e4: its tile is just below the limit for being handled
    separately, and dW sums over only a few tiles here.
    """
    below = [] if first else [Conv2D(20, 1, use_bias=False)]
    conv = Conv2D(20, 3, use_bias=False)
    model = Sequential([Input((7, 6, 20)), *below, conv])
    x, dy = rng.random((2, 7, 6, 20), np.float32), rng.random((2, 5, 4, 20), np.float32)
    x[1, :4], x[1, 4, 2], dy[1, :, :2] = 0, 1e-6, 0
    x[0, 1, 2, 3] *= pixel
    dy[0, 0, 1, 2] *= slope
    conv.params["W"][0, 1, 2, 3] *= weight
    step = Lane(model.plan(), np.zeros(model.flat_params.size, np.float32)).stages[-1]
    assert type(step).__name__ == "WinogradConvolution"
    # meant: where squares overflow, the sums count; and behind four tiles, of eight that a product
    # takes, there is whatever was in memory
    with np.errstate(over="ignore", invalid="ignore"):
        found = step.forward(x, True).copy(), step.backward(dy), step.conv.grads["W"].copy()

    def by_layer(x, dy, W):
        layer = Conv2D(20, 3, use_bias=False, dtype="float64")
        layer.build(x.shape)
        layer.params["W"][...] = W
        return layer.forward(x), layer.backward(dy), layer.grads["W"].copy()

    numbers = [array.astype(np.float64) for array in (x, dy, conv.params["W"])]
    true, own = by_layer(*numbers), by_layer(*map(np.abs, numbers))
    assert (found[1] is None) == first
    bound_of_dW = 2.0**-7 if pixel == 1e4 else 2.0**-10
    for got, right, size, bound in zip(found, true, own, (2.0**-10, 2.0**-10, bound_of_dW)):
        if got is not None:
            assert (np.abs(got - right) <= bound * size).all()
