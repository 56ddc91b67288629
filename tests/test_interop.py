"""Weights from and to PyTorch: by hand, and live against PyTorch where it is installed."""

import re

import numpy as np
import pytest
from strategies import error, within

import minicnn
from minicnn import Sequential
from minicnn.interop import from_torch, to_torch
from minicnn.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GroupNormalization,
    Identity,
    Layer,
    LayerNormalization,
    MaxPooling2D,
    Normalization,
    PReLU,
    RepeatVector,
    Reshape,
    RMSNormalization,
    SeparableConv2D,
    Softmax,
)


def built(*layers, dtype="float32"):
    """A model whose arrays are all random."""
    model, rng = Sequential(list(layers)), np.random.default_rng(3)
    assert model.built
    for layer in model.leaves:
        for key, array in layer.arrays().items():
            spread = (0.5, 2.0) if "variance" in key else (-1.0, 1.0)
            array[...] = rng.uniform(*spread, array.shape)
    return model


def small():
    """Convolution, batch normalization and Dense behind Flatten."""
    return built(
        Conv2D(2, (1, 2), activation="relu", input_shape=(2, 3, 1)),
        BatchNormalization(),
        Flatten(),
        Dropout(0.5),
        Dense(3),
    )


# -- by hand --------------------------------------------------------------------------------------


def test_names_count_modules_from_0():
    """The activation inside Conv2D is one of them."""
    assert list(to_torch(small())) == [
        "0.weight",
        "0.bias",
        "2.weight",
        "2.bias",
        "2.running_mean",
        "2.running_var",
        "2.num_batches_tracked",
        "5.weight",
        "5.bias",
    ]


def test_kernels_by_hand():
    model = small()
    W, b = model.layers[0].params["W"], model.layers[0].params["b"]
    arrays = to_torch(model)
    assert arrays["0.weight"].shape == (2, 1, 1, 2)
    assert arrays["0.weight"][1, 0, 0, 1] == W[0, 1, 0, 1]
    np.testing.assert_array_equal(arrays["0.bias"], b)


def test_rows_behind_flatten_by_hand():
    """The image behind the convolution has 2x2 cells of two channels."""
    model = small()
    W = model.layers[-1].params["W"]  # rows: cell (h, w), channel c at (h * 2 + w) * 2 + c
    theirs = to_torch(model)["5.weight"]  # columns: c * 4 + h * 2 + w
    for h in (0, 1):
        for w in (0, 1):
            for c in (0, 1):
                np.testing.assert_array_equal(theirs[:, c * 4 + h * 2 + w], W[(h * 2 + w) * 2 + c])


def test_what_comes_back_is_the_same_to_the_bit_and_a_copy():
    model = small()
    before = model.get_weights()
    arrays = to_torch(model)
    assert all(array.flags.c_contiguous and array.flags.writeable for array in arrays.values())
    model.set_weights([0 * array for array in before])
    from_torch(model, arrays)
    assert all(map(np.array_equal, model.get_weights(), before))
    for array in arrays.values():
        array[...] = 7
    assert all(map(np.array_equal, model.get_weights(), before))


def test_modules_are_taken_by_position_whatever_their_numbers_and_the_order_of_a_file():
    model = small()
    arrays = to_torch(model)
    renamed = {f"net.{10 * int(key[0])}.{key[2:]}": arrays[key] for key in arrays}
    other = small()
    other.set_weights([0 * array for array in other.get_weights()])
    from_torch(other, renamed)
    assert all(map(np.array_equal, other.get_weights(), model.get_weights()))
    numbered = {key.removeprefix("net."): array for key, array in renamed.items()}
    from_torch(other, dict(sorted(numbered.items())))
    assert all(map(np.array_equal, other.get_weights(), model.get_weights()))


def test_like_gives_the_names():
    model = small()
    arrays = to_torch(model)
    like = {f"features.{key}": array for key, array in arrays.items()}
    del like["features.2.num_batches_tracked"]
    assert list(to_torch(model, like)) == list(like)


def test_gamma_or_beta_that_a_layer_does_not_have():
    model = built(Dense(3, input_shape=(2,)), BatchNormalization(scale=False))
    arrays = to_torch(model)
    np.testing.assert_array_equal(arrays["1.weight"], np.ones(3))
    from_torch(model, arrays)
    with pytest.raises(ValueError, match=r"1\.weight.\] to be 1 throughout, since BatchNorm"):
        from_torch(model, {**arrays, "1.weight": arrays["1.weight"] + 1})


# -- refusals -------------------------------------------------------------------------------------


def without(arrays, key):
    return {name: array for name, array in arrays.items() if name != key}


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda a: without(without(a, "5.weight"), "5.bias"), ValueError, "3 modules.*received 2"),
        (lambda a: {**a, "9.weight": a["5.weight"]}, ValueError, "3 modules.*received 4"),
        (lambda a: without(a, "5.bias"), ValueError, "bias, weight of module '5'.*Dense"),
        (lambda a: {**a, "0.gamma": a["0.bias"]}, ValueError, "module '0'.*Conv2D.*gamma"),
        (
            lambda a: {**a, "5.weight": a["5.weight"].T},
            ValueError,
            r"5\.weight.\] of shape \(3, 8\), which is Dense.*\(8, 3\) here, received \(8, 3\)",
        ),
        (lambda a: {**a, "0.bias": np.array([1, np.nan])}, ValueError, r"0\.bias.\] to be finite"),
        (lambda a: {**a, "0.bias": ["a", "b"]}, TypeError, r"0\.bias.\] to be an array"),
        (lambda a: {**a, 3: a["0.bias"]}, TypeError, "each name of state_dict"),
        (lambda a: list(a), TypeError, "state_dict to be a state_dict.*received list"),
        (lambda a: {}, ValueError, "received 0: none"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(change, kind, words):
    model = small()
    before = model.get_weights()
    given = change({key: array + 1 for key, array in to_torch(model).items()})
    with pytest.raises(kind, match=f"from_torch: .*{words}"):
        from_torch(model, given)
    assert all(map(np.array_equal, model.get_weights(), before))


class Own(Layer):
    def forward(self, x, training=False):
        return self._input(x)


@pytest.mark.parametrize(
    ("layers", "kind", "words"),
    [
        ([Own(input_shape=(3,))], TypeError, "received Own"),
        ([Normalization(input_shape=(3,))], ValueError, "Normalization.*mean, variance"),
        ([PReLU(input_shape=(2, 3, 2))], ValueError, r"shared_axes=\[1, 2\]"),
        ([BatchNormalization(axis=1, input_shape=(2, 3, 2))], ValueError, "axis=1"),
        ([LayerNormalization(axis=[2, 3], input_shape=(2, 3, 2))], ValueError, r"axis=\[2, 3\]"),
        (
            [Flatten(input_shape=(2, 3, 4)), GroupNormalization(2), Dense(1)],
            ValueError,
            "behind Flatten",
        ),
        ([Flatten(input_shape=(2, 3, 4)), RepeatVector(2)], ValueError, "RepeatVector"),
        ([Reshape((4, 3, 2), input_shape=(2, 3, 4))], ValueError, "Reshape"),
        ([Reshape((2, 3, 2), input_shape=(12,)), Conv2D(1, 1)], ValueError, "Reshape"),
        ([Flatten(input_shape=(2, 3, 4)), Reshape((2, 6, 2))], ValueError, "Reshape"),
    ],
)
def test_layers_that_pytorch_has_no_module_for(layers, kind, words):
    model = Sequential(layers)
    for call in (to_torch, lambda model: from_torch(model, {})):
        with pytest.raises(kind, match=words):
            call(model)


def test_models_that_are_none_or_not_built():
    for call in (to_torch, lambda model: from_torch(model, {})):
        with pytest.raises(ValueError, match="_torch needs a built model"):
            call(Sequential([Dense(2)]))
        with pytest.raises(TypeError, match="model to be a Sequential"):
            call([Dense(2)])


# -- live -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch():
    found = pytest.importorskip("torch", reason="PyTorch is not installed")
    found.set_num_threads(1)
    return found


SAME = {"epsilon": 1e-5}  # PyTorch's


def twins(nn):
    """Networks here, and the same in PyTorch."""
    return {
        "tutorial": (
            [
                Conv2D(4, 3, activation="relu", input_shape=(10, 9, 2)),
                MaxPooling2D(2),
                Dropout(0.2),
                Flatten(),
                Dense(6, activation="relu"),
                Dense(3, activation="softmax"),
            ],
            nn.Sequential(
                nn.Conv2d(2, 4, 3),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Dropout(0.2),
                nn.Flatten(),
                nn.Linear(48, 6),
                nn.ReLU(),
                nn.Linear(6, 3),
                nn.Softmax(1),
            ),
        ),
        "all kinds of convolution": (
            [
                Conv2D(4, 3, groups=2, padding="same", input_shape=(7, 8, 4)),
                DepthwiseConv2D((2, 3), depth_multiplier=2, use_bias=False),
                PReLU(shared_axes=[1, 2]),
                SeparableConv2D(6, 3, depth_multiplier=2, activation="tanh"),
                Conv2DTranspose(3, (2, 3), strides=2),
                Dense(5, activation="sigmoid"),
                GlobalAveragePooling2D(),
                Dense(2, use_bias=False),
            ],
            nn.Sequential(
                nn.Conv2d(4, 4, 3, groups=2, padding=1),
                nn.Conv2d(4, 8, (2, 3), groups=4, bias=False),
                nn.PReLU(8),
                nn.Conv2d(8, 16, 3, groups=8, bias=False),
                nn.Conv2d(16, 6, 1),
                nn.Tanh(),
                nn.ConvTranspose2d(6, 3, (2, 3), stride=2),
                nn.Conv2d(3, 5, 1),
                nn.Sigmoid(),
                nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
                nn.Linear(5, 2, bias=False),
            ),
        ),
        "normalizations": (
            [
                Conv2D(4, 2, input_shape=(5, 6, 3)),
                BatchNormalization(**SAME),
                GroupNormalization(2, **SAME),
                LayerNormalization(axis=[1, 2, 3], **SAME),
                Flatten(),
                BatchNormalization(**SAME),
                Dropout(0.5),
                PReLU(),
                LayerNormalization(**SAME),
                RMSNormalization(epsilon=1e-6),
                Activation("tanh"),
                Dense(4),
                BatchNormalization(center=False, scale=False, **SAME),
                PReLU(shared_axes=[1]),
            ],
            nn.Sequential(
                nn.Conv2d(3, 4, 2),
                nn.BatchNorm2d(4),
                nn.GroupNorm(2, 4),
                nn.LayerNorm([4, 4, 5]),
                nn.Flatten(),
                nn.BatchNorm1d(80),
                nn.Dropout(0.5),
                nn.PReLU(80),
                nn.LayerNorm(80),
                nn.RMSNorm(80, eps=1e-6),
                nn.Tanh(),
                nn.Linear(80, 4),
                nn.BatchNorm1d(4, affine=False),
                nn.PReLU(1),
            ),
        ),
        "from a row to an image": (
            [
                Dense(24, input_shape=(5,)),
                BatchNormalization(**SAME),
                Activation("relu"),
                Reshape((2, 3, 4)),
                Conv2DTranspose(2, 2),
                Identity(),
                Reshape((-1,)),
                Dense(3),
                Softmax(),
            ],
            nn.Sequential(
                nn.Linear(5, 24),
                nn.BatchNorm1d(24),
                nn.ReLU(),
                nn.Unflatten(1, (4, 2, 3)),
                nn.ConvTranspose2d(4, 2, 2),
                nn.Identity(),
                nn.Flatten(),
                nn.Linear(24, 3),
                nn.Softmax(1),
            ),
        ),
        "models inside": (
            [
                minicnn.Input((6, 5, 2)),
                Sequential([Conv2D(3, 2, activation="relu"), Sequential([Conv2D(2, 2)])]),
                Flatten(),
                Dense(2),
            ],
            nn.Sequential(
                nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Sequential(nn.Conv2d(3, 2, 2))),
                nn.Flatten(),
                nn.Linear(24, 2),
            ),
        ),
    }


TWINS = [
    "tutorial",
    "all kinds of convolution",
    "normalizations",
    "from a row to an image",
    "models inside",
]


def fill(torch, network):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, array in network.state_dict().items():
            if name.endswith("running_var"):
                array.uniform_(0.5, 2.0)
            elif array.is_floating_point():
                array.uniform_(-0.5, 0.5)


def assert_the_same(torch, model, network):
    x = np.random.default_rng(5).standard_normal((4, *model.input_shape[1:])).astype(model.dtype)
    first = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x
    with torch.no_grad():
        theirs = network.eval()(torch.from_numpy(first)).numpy()
    within(1e-5, "PyTorch's weights", error(model(x), theirs, 1.0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TWINS)
def test_from_torch(torch, name, dtype):
    minicnn.config.set_floatx(dtype)
    try:
        layers, network = twins(torch.nn)[name]
        model = Sequential(layers)
    finally:
        minicnn.config.set_floatx("float32")
    network = network.to(getattr(torch, dtype))
    assert model.dtype == dtype
    fill(torch, network)
    from_torch(model, network.state_dict())
    assert_the_same(torch, model, network)
    back = to_torch(model, network.state_dict())
    for key, tensor in network.state_dict().items():
        np.testing.assert_array_equal(back[key], tensor.numpy(), err_msg=key)


@pytest.mark.parametrize("name", TWINS)
def test_to_torch(torch, name):
    layers, network = twins(torch.nn)[name]
    model = built(*layers)
    fill(torch, network)
    arrays = to_torch(model)
    assert list(arrays) == list(network.state_dict())
    network.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()})
    assert_the_same(torch, model, network)
    before = model.get_weights()
    model.set_weights([0 * array for array in before])
    from_torch(model, network.state_dict())
    assert all(map(np.array_equal, model.get_weights(), before))


def test_a_module_and_a_type_that_numpy_does_not_have(torch):
    model = built(Dense(2, input_shape=(3,)))
    network = torch.nn.Sequential(torch.nn.Linear(3, 2))
    with pytest.raises(TypeError, match=re.escape("Write network.state_dict()")):
        from_torch(model, network)
    with pytest.raises(TypeError, match=r"0\.weight.*tensor\.float\(\)"):
        from_torch(model, network.to(torch.bfloat16).state_dict())
