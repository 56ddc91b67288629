"""Settings and shapes that a layer refuses, when it is made, set, built or called."""

import numpy as np
import pytest

from minicnn import Sequential, layers, losses
from minicnn.initializers import GlorotUniform
from minicnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GroupNormalization,
    Input,
    Layer,
    LayerNormalization,
    MaxPooling2D,
    Rescaling,
    RMSNormalization,
    Tanh,
)
from minicnn.optimizers import SGD, Adam, RMSprop
from refusals.helpers import NoAnswer, Own, refused, trained

NOT_A_SIZE = [(0, ValueError), (-1, ValueError), (2.5, TypeError), (None, TypeError)]
SIZED = {
    "filters": lambda value: Conv2D(value, 3),
    "kernel_size": lambda value: Conv2D(8, value),
    "units": lambda value: Dense(value),
    "pool_size": lambda value: MaxPooling2D(value),
    "strides": lambda value: Conv2D(8, 3, strides=value),
}


@pytest.mark.parametrize(("value", "error"), [*NOT_A_SIZE, ("3", TypeError), (True, TypeError)])
@pytest.mark.parametrize("name", SIZED)
def test_each_size_of_a_layer_has_to_be_a_positive_integer(name, value, error):
    error = ValueError if name == "units" else error  # as in Keras, whatever is wrong
    with refused(error, f"expected {name} to be", f"received {value!r}"):
        SIZED[name](value)


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("value", [2**31, 10**20, 10**30, np.uint64(2**63)])
def test_sizes_of_layers_beyond_int32_are_refused(name, value):
    words = f"expected {name} to be an integer from 1 to 2147483647, received {value!r}"
    with refused(ValueError, words):
        SIZED[name](value)
    with refused(ValueError, "expected each size of input_shape to be an integer from 1 to 214748"):
        Dense(3, input_shape=(value,))


def test_huge_integers_are_shortened_in_messages():
    for wrong in (10**400, 10**5000):
        with refused(ValueError, "expected units to be an integer from 1 to 21474", "received 2**"):
            Dense(wrong)
        with refused(ValueError, "expected units to be an integer >= 1, received -2**"):
            Dense(-wrong)
        with refused(ValueError, "SGD: expected learning_rate to be a number in [0, inf), rec"):
            SGD(wrong)


def test_windows_and_weights_that_fit_into_no_memory_are_refused():
    with refused(ValueError, "expected pool_size of at most 2147483647 cells, received (50000, 50"):
        MaxPooling2D(50_000, padding="same")
    with refused(ValueError, "expected a shape of at most", "received (2147483647, 2147483647, 1"):
        Conv2D(2, 2**31 - 1, padding="same").build((None, 4, 4, 1))


@pytest.mark.parametrize(("value", "error"), NOT_A_SIZE)
@pytest.mark.parametrize("name", ["kernel_size", "pool_size", "strides"])
def test_both_sizes_of_a_pair_are_checked(name, value, error):
    with refused(error, f"expected {name} to be", f"received {value!r}"):
        SIZED[name]((2, value))


BUILT = [
    lambda: Dense(3),
    lambda: Conv2D(2, 2),
    lambda: BatchNormalization(),
    lambda: Dropout(0.5),
    lambda: Flatten(),
    lambda: MaxPooling2D(2),
    lambda: Activation("softmax"),
]


@pytest.mark.parametrize(
    ("shape", "error", "words"),
    [
        (5, TypeError, "input_shape to be a tuple, batch axis first"),
        ("ab", TypeError, "received 'ab'"),
        (None, TypeError, "received None"),
        ((), ValueError, "to have a batch axis, received ()"),
        ((None, 4, 4, -3), ValueError, "to be an integer >= 1, received -3"),
        ((None, 4, 4, 0), ValueError, "to be an integer >= 1, received 0"),
        ((0, 4, 4, 1), ValueError, "to be an integer >= 1, received 0"),
        ((None, 4, 4, 2.5), TypeError, "to be an integer >= 1, received 2.5"),
        ((None, 4, 4, "a"), TypeError, "to be an integer >= 1, received 'a'"),
        ((None, 4, 4, True), TypeError, "to be an integer >= 1, received True"),
    ],
)
@pytest.mark.parametrize("make", BUILT)
def test_build_refuses_wrong_shapes(make, shape, error, words):
    layer = make()
    with refused(error, f"{layer.who}: expected", "input_shape", words):
        layer.build(shape)
    assert layer.awaits_build
    assert not layer.params


def test_flatten_needs_to_know_its_sizes():
    layer = Flatten()
    with refused(ValueError, f"{layer.who}: expected all sizes", "received (None, None, 3)"):
        layer.build((None, None, 3))


@pytest.mark.parametrize(
    ("value", "error"),
    [(1.5, ValueError), (-0.1, ValueError), (np.nan, ValueError), ("a", TypeError)],
)
def test_a_rate_is_checked_whenever_it_is_set(value, error):
    model = trained()
    layer = model.layers[3]
    with refused(error, f"{layer.who}: expected rate to be a number in [0, 1]", model=model):
        layer.rate = value
    assert layer.rate == 0.2


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (np.nan, ValueError, "to be a number in (-inf, inf), received nan"),
        (10**400, ValueError, "to be a number in (-inf, inf), received 2**1328 or more"),
        ("abc", TypeError, "to be a number in (-inf, inf), received 'abc'"),
        (None, TypeError, "to be a number in (-inf, inf), received None"),
        ({1: 2}, TypeError, "to be a number in (-inf, inf), received {1: 2}"),
        (np.array("abc"), TypeError, "to be a number in (-inf, inf), received"),
        (np.array(True), TypeError, "to be a number in (-inf, inf), received"),
        ([True, False], TypeError, "to hold numbers, received [True, False]"),
        (["a", "b"], TypeError, "to be an array of real numbers, received dtype <U1"),
        ([1j, 2], TypeError, "to be an array of real numbers, received dtype complex128"),
        ([[1, 2], [3]], TypeError, "to be an array of numbers, received a ragged sequence"),
        (np.ma.array([1, 2], mask=[0, 1]), TypeError, "without masked numbers"),
        ([0.1, np.nan], ValueError, "to be finite, received nan at index [1]"),
        ([], ValueError, "to be a number, or one for each channel, received an array of shape"),
        (np.ones((2, 3)), ValueError, "to be a number, or one for each channel, received an array"),
        (np.ones((3, 1)), ValueError, "to be a number, or one for each channel, received an array"),
        ([1, 2, -1e300], ValueError, "to fit into float32, whose largest number is 3.4e+38, rec"),
        (
            1e300,
            ValueError,
            "to fit into float32, whose largest number is 3.4e+38, received 1e+300",
        ),
    ],
)
@pytest.mark.parametrize("name", ["scale", "offset"])
def test_a_rescaling_is_checked_whenever_it_is_set(name, value, error, words):
    model = Sequential([Rescaling(0.5, 0.5, input_shape=(3,)), Dense(2)])
    layer = model.layers[0]
    with refused(error, f"{layer.who}: expected {name} {words}", model=model):
        setattr(layer, name, value)
    assert (layer.scale, layer.offset) == (0.5, 0.5)


@pytest.mark.parametrize("name", ["scale", "offset"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_rescaling_for_another_number_of_channels(name, dtype):
    numbers = {"scale": 0.5, "offset": 0.5, name: [0.1, 0.2, 0.3, 0.4]}
    layer = Rescaling(**numbers)
    words = f"{layer.who}: expected input of shape (N, ..., 4), since {name} has 4 numbers"
    for shape in ((2, 3), (2, 4, 3), (4,), (2, 4, 4, 1)):
        with refused(ValueError, words, f"received {shape}"):
            layer.forward(np.ones(shape))
    with refused(ValueError, words, "received (None, 3)", model=(model := Sequential())):
        model.add(Rescaling(**numbers, name=layer.name, input_shape=(3,)))
    model = Sequential([Rescaling(0.5, 0.5, dtype=dtype, input_shape=(3,)), Dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    setattr(model.layers[0], name, [1, 2])
    for call in (model.predict, model, lambda x: model.fit(x, np.ones((4, 2)), verbose=0)):
        with refused(ValueError, f"since {name} has 2 numbers", "received (", model=model):
            call(np.ones((4, 3)))
    setattr(model.layers[0], name, [1, 2, 3])
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)


def test_a_rescaling_that_the_float_type_cannot_hold():
    layer = Rescaling(1e300)
    with refused(ValueError, f"{layer.who}: expected scale to fit into float32"):
        layer.forward(np.ones((1, 2), "float32"))
    assert layer.forward(np.ones((1, 2)))[0, 0] == 1e300, "float64 holds it"
    with refused(ValueError, "Rescaling 'large': expected scale to fit into float32"):
        Sequential([Rescaling(1e300, name="large"), Dense(2)]).build((None, 2))


UNKNOWN = {
    "padding": (lambda name: Conv2D(2, 3, padding=name), "same, valid"),
    "padding of a pool": (lambda name: AveragePooling2D(2, padding=name), "same, valid"),
    "activation": (lambda name: Dense(2, activation=name), "softmax, softplus"),
    "initializer": (lambda name: Dense(2, kernel_initializer=name), "glorot_normal, glorot_unif"),
    "initializer of the bias": (lambda name: Conv2D(2, 2, bias_initializer=name), "zeros"),
    "optimizer": (
        lambda name: Sequential().compile(name, "mse"),
        "adam, adamax, adamw, lion, nadam, rmsprop, sgd",
    ),
    "loss": (lambda name: Sequential().compile("sgd", name), "mse, msle, poisson, sparse_c"),
    "metric": (
        lambda name: Sequential().compile("sgd", "mse", metrics=[name]),
        "acc, accuracy, auc, bce, binary_accuracy",
    ),
}


@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.parametrize(("name", "error"), [("nonsense", ValueError), (3, TypeError)])
def test_unknown_names_list_the_known(kind, name, error):
    call, known = UNKNOWN[kind]
    with refused(error, kind.split()[0], known, f"received {name!r}"):
        call(name)


@pytest.mark.parametrize("value", [-0.1, 1.1, 50, np.nan, np.inf])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("rate", Dropout),
        ("momentum", lambda value: SGD(momentum=value)),
        ("momentum", lambda value: BatchNormalization(momentum=value)),
        ("rho", lambda value: RMSprop(rho=value)),
        ("beta_1", lambda value: Adam(beta_1=value)),
        ("beta_2", lambda value: Adam(beta_2=value)),
    ],
)
def test_shares_lie_between_0_and_1(name, make, value):
    with refused(ValueError, f"expected {name} to be a number in [0, 1", f"received {value!r}"):
        make(value)
    for wrong in ("0.5", None, True, [0.5], 0.5j):
        with refused(TypeError, f"expected {name} to be a number in [0, 1", f"received {wrong!r}"):
            make(wrong)


@pytest.mark.parametrize(
    ("shape", "error", "words"),
    [
        (28, TypeError, "input_shape to be a tuple such as (28, 28, 1), received 28"),
        ("28", TypeError, "received '28'"),
        ((28.0, 28, 1), TypeError, "each size of input_shape to be an integer >= 1, received 28.0"),
        ((28, -1, 1), ValueError, "received -1"),
        ((28, 0, 1), ValueError, "received 0"),
        ((None, 28, 28, 1), ValueError, "Leave the batch axis out: (28, 28, 1)"),
    ],
)
def test_wrong_input_shapes_are_refused(shape, error, words):
    for make in (lambda: Conv2D(2, 3, input_shape=shape), lambda: Input(shape)):
        with refused(error, words):
            make()


@pytest.mark.parametrize("shape", [(None, None, 1), (28, None, 1), (28, 28, None)])
def test_an_input_shape_with_an_open_size_is_refused(shape):
    """Taking the first None off would not help."""
    for make in (lambda: Conv2D(2, 3, input_shape=shape), lambda: Input(shape)):
        with refused(ValueError, f"all sizes known, received {shape}") as caught:
            make()
        assert "batch axis" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (lambda: Dense(3), "units", 4),
        (lambda: Dense(3), "use_bias", False),
        (lambda: Conv2D(2, 2), "filters", 3),
        (lambda: Conv2D(2, 2), "kernel_size", (3, 3)),
        (lambda: Conv2D(2, 2), "strides", (2, 2)),
        (lambda: Conv2D(2, 2), "padding", "same"),
        (lambda: Conv2D(2, 2), "use_bias", False),
        (lambda: BatchNormalization(), "center", False),
        (lambda: BatchNormalization(), "scale", False),
        (lambda: MaxPooling2D(2), "pool_size", (3, 3)),
        (lambda: AveragePooling2D(2), "strides", (1, 1)),
        (lambda: MaxPooling2D(2), "padding", "same"),
    ],
)
def test_settings_that_parameters_depend_on_stay_after_build(make, name, value):
    layer = make()
    before = getattr(layer, name)
    setattr(layer, name, value)  # not built: nothing depends on it
    setattr(layer, name, before)
    layer.build((None, 4, 4, 2))
    words = f"{layer.who}: expected {name} to stay {before!r}", f"received {value!r}. Make a new"
    with refused(ValueError, *words):
        setattr(layer, name, value)
    assert getattr(layer, name) == before


@pytest.mark.parametrize(
    ("make", "name", "wrong", "error"),
    [
        (lambda: Dense(3), "units", None, ValueError),
        (lambda: Dense(3), "units", 2**31, ValueError),
        (lambda: Dense(3), "use_bias", np.array([True, False]), TypeError),
        (lambda: Dense(3), "kernel_initializer", None, TypeError),
        (lambda: Dense(3), "bias_initializer", "nonsense", ValueError),
        (lambda: Conv2D(2, 2), "filters", 2.5, TypeError),
        (lambda: Conv2D(2, 2), "kernel_size", {1, 2}, TypeError),
        (lambda: Conv2D(2, 2), "strides", (1, 0), ValueError),
        (lambda: Conv2D(2, 2), "padding", 3, TypeError),
        (lambda: Conv2D(2, 2), "kernel_initializer", np.array(["zeros"]), TypeError),
        (lambda: MaxPooling2D(2, padding="same"), "pool_size", (2**40, 2**40), ValueError),
        (lambda: MaxPooling2D(2, padding="same"), "pool_size", (2**20, 2**20), ValueError),
        (lambda: AveragePooling2D(2), "strides", "2", TypeError),
        (lambda: BatchNormalization(), "axis", True, TypeError),
        (lambda: BatchNormalization(), "momentum", 1.5, ValueError),
        (lambda: BatchNormalization(), "momentum", "0.9", TypeError),
        (lambda: BatchNormalization(), "epsilon", 0, ValueError),
        (lambda: BatchNormalization(), "epsilon", np.ones(3), TypeError),
        (lambda: BatchNormalization(), "center", "no", TypeError),
        (lambda: Dropout(0.5), "seed", [1, 2], TypeError),
        (lambda: Dropout(0.5), "seed", -1, ValueError),
        (lambda: Flatten(), "name", 3, TypeError),
        (lambda: Flatten(), "name", np.array(["a", "b"]), TypeError),
        (lambda: GlorotUniform(seed=1), "seed", True, TypeError),
        (lambda: GlorotUniform(seed=1), "seed", np.arange(3), TypeError),
    ],
)
def test_settings_are_checked_whenever_they_are_set(make, name, wrong, error):
    """A pool of 2^80 cells, or a list as a seed that holds itself, killed the process."""
    thing = make()
    before = getattr(thing, name)
    who = getattr(thing, "who", type(thing).__name__)
    with refused(error, f"{who}: expected {name} ", "received"):
        setattr(thing, name, wrong)
    assert getattr(thing, name) == before


def test_activation_and_trainable_are_checked_when_they_are_set():
    model = trained()
    with refused(ValueError, "expected activation to be one of", "received 'tahn'", model=model):
        model.layers[0].activation = "tahn"
    unknown = "received <ufunc 'tanh'>, whose derivative is not known"
    with refused(TypeError, unknown, "activations.Function", model=model):
        model.layers[0].activation = np.tanh
    for wrong in (Dense, Dense(3), 3, np.ones(2), [Tanh()]):
        for layer in (model.layers[0], model.layers[-1]):
            words = "expected activation to be one of", f"received {wrong!r}"
            with refused(TypeError, *words, model=model):
                layer.activation = wrong
    with refused(TypeError, "expected trainable to be True or False, received 'no'", model=model):
        model.layers[0].trainable = "no"


def test_input_needs_a_shape():
    with refused(TypeError, "shape", "received None"):
        Input(None)


@pytest.mark.parametrize(
    "inner",
    [
        lambda: Dense(3),
        lambda: Conv2D(2, 2),
        lambda: BatchNormalization(),
        lambda: Flatten(),
        lambda: MaxPooling2D(2),
        lambda: Dropout(0.5),
    ],
    ids=["Dense", "Conv2D", "BatchNormalization", "Flatten", "MaxPooling2D", "Dropout"],
)
@pytest.mark.parametrize("outer", [lambda a: Dense(4, activation=a), Activation])
def test_only_an_activation_serves_as_one(outer, inner):
    """Another layer has parameters that no one would train, another shape, or random numbers."""
    with refused(TypeError, "activation"):
        outer(inner())


@pytest.mark.parametrize(
    "make",
    [
        lambda value: Dense(2, use_bias=value),
        lambda value: Conv2D(2, 2, use_bias=value),
        lambda value: Dense(2, trainable=value),
        lambda value: BatchNormalization(center=value),
        lambda value: BatchNormalization(scale=value),
        lambda value: SGD(nesterov=value),
        lambda value: losses.CategoricalCrossentropy(from_logits=value),
    ],
    ids=["Dense", "Conv2D", "trainable", "center", "scale", "nesterov", "from_logits"],
)
def test_flags_of_layers_have_to_be_true_or_false(make):
    """Every word is true to Python, "False" too."""
    with refused(TypeError, "True or False, received 'False'"):
        make("False")


@pytest.mark.parametrize("name", ["", 3, None])
def test_seed_dtype_and_name_are_checked(name):
    for wrong, error in ((-1, ValueError), (1.5, TypeError), ("1", TypeError)):
        with refused(error, "expected seed to be an integer >= 0", f"received {wrong!r}"):
            Dropout(0.5, seed=wrong)
        with refused(error, "expected seed to be an integer >= 0", f"received {wrong!r}"):
            GlorotUniform(seed=wrong)
    for wrong in ("float16", int, "nonsense", "a\udce4", {"a": 2}, [("a", 3)], np.eye(2)):
        with refused(ValueError, "expected dtype to be float32 or float64", f"received {wrong!r}"):
            Dense(2, dtype=wrong)
        with refused(ValueError, "expected dtype to be float32 or float64", f"received {wrong!r}"):
            GlorotUniform()((2, 3), dtype=wrong)
    if name is not None:
        with refused(TypeError, "expected name to be a non-empty string", f"received {name!r}"):
            Dense(2, name=name)


NO_SHAPES = [
    (None, TypeError, "received None"),
    (5, TypeError, "received 5"),
    ("ab", TypeError, "received 'ab'"),
    ({2: 3}, TypeError, "received {2: 3}"),
    (np.ones(4), TypeError, "received array"),
    ((), ValueError, "received ()"),
    ((None, np.ones(2), 4, 3), TypeError, "each size of input_shape"),
    ((None, "a", 4, 3), TypeError, "each size of input_shape"),
    ((None, 10**5000, 4, 3), ValueError, "2**16609 or more"),
    ((None, -(10**5000), 4, 3), ValueError, "-2**16609 or more"),
    ((None, NoAnswer(), 4, 3), TypeError, "each size of input_shape"),
]


@pytest.mark.parametrize(("shape", "error", "words"), NO_SHAPES)
@pytest.mark.parametrize(
    "make",
    [
        *BUILT,
        lambda: AveragePooling2D(2),
        lambda: Activation("relu"),
        lambda: Activation(None),
        lambda: Rescaling([1.0, 2.0, 3.0]),
        lambda: Input((2,)),
        lambda: Own(),
    ],
)
def test_output_shape_refuses_what_is_no_shape(make, shape, error, words):
    layer = make()
    with refused(error, layer.who, words):
        layer.output_shape(shape)


@pytest.mark.parametrize(
    "wrong",
    [np.float32(2), np.ones(2, "f"), Dense(2, dtype="float32"), {"a": 1}, [("f", 4)], ("f",)],
)
def test_dtype_refuses_an_object_that_only_has_one(wrong):
    for make in (lambda: Dense(2, dtype=wrong), lambda: GlorotUniform()((2,), wrong)):
        with refused(ValueError, "expected dtype to be float32 or float64, received"):
            make()
    for right in ("float32", np.float32, np.dtype("f4"), "f4"):
        assert Dense(2, dtype=right).dtype == np.float32


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("data_format", [None, "channels_last"], ["channels_first", False, ["channels_last"]]),
    ],
)
def test_an_argument_that_asks_for_nothing_is_of_the_right_kind(name, right, wrong):
    for value in right:
        Conv2D(2, 3, **{name: value})
    for value in wrong:
        with refused(ValueError, f"Conv2D: {name} can only be", f"received {value!r}"):
            Conv2D(2, 3, **{name: value})


@pytest.mark.parametrize("wrong", [True, 1.0, np.True_, [1], "1", 0, -1])
def test_groups_are_a_whole_number(wrong):
    error = ValueError if wrong in (0, -1) and type(wrong) is int else TypeError
    with refused(error, "expected groups to be an integer >= 1", f"received {wrong!r}"):
        Conv2D(2, 3, groups=wrong)


@pytest.mark.parametrize("wrong", [True, (True, 1), (1, 1, 1), (1, 1.0), 0, (1, -1)])
def test_a_dilation_rate_is_one_whole_number_or_two(wrong):
    with pytest.raises((TypeError, ValueError), match="expected .*dilation_rate"):
        Conv2D(2, 3, dilation_rate=wrong)


@pytest.mark.parametrize("make", [lambda: Dropout(0.5), BatchNormalization])
def test_training_is_true_or_false_in_forward_too(make):
    layer = make()
    for wrong in (None, "yes", 1, np.array([True, False])):
        with refused(TypeError, f"{layer.who}: expected training to be True or False"):
            layer.forward(np.ones((2, 3)), wrong)
        with refused(TypeError, f"{layer.who}: expected training to be True or False"):
            layer(np.ones((2, 3)), training=wrong)


@pytest.mark.parametrize("make", [Dense, Conv2D, MaxPooling2D, Flatten, BatchNormalization])
def test_input_shape_of_too_many_axes_is_refused(make):
    layer = make(*(2, 2)[: {Dense: 1, Conv2D: 2}.get(make, 0)])
    for call in (layer.output_shape, layer.build):
        with refused(ValueError, f"{layer.who}: expected input_shape to have at most 32 axes"):
            call((2,) * 5000)


@pytest.mark.parametrize(("value", "error"), [*NOT_A_SIZE, ("3", TypeError), (True, TypeError)])
def test_sizes_have_to_be_positive_integers(value, error):
    for call in (
        lambda: Conv2D(value, 3),
        lambda: Conv2D(8, value),
        lambda: Conv2D(8, (3, value)),
        lambda: Conv2D(8, 3, value),
        lambda: MaxPooling2D(value),
        lambda: AveragePooling2D((value, 2)),
    ):
        with pytest.raises(error, match=r"expected (filters|kernel_size|strides|units|pool_size)"):
            call()
    with pytest.raises(ValueError, match="expected units to be an integer >= 1, received"):
        Dense(value)  # Keras's class of error for whatever is wrong with the units
    if value is not None:  # which means pool_size
        with pytest.raises(error, match="expected strides"):
            MaxPooling2D(2, value)


def test_three_sizes_are_not_a_pair():
    with pytest.raises(ValueError, match="one integer or two"):
        Conv2D(8, (3, 3, 3))


@pytest.mark.parametrize(
    "make", [lambda p: Conv2D(2, 3, padding=p), lambda p: MaxPooling2D(2, 2, p)]
)
def test_unknown_padding_lists_the_known(make):
    with pytest.raises(ValueError, match="one of same, valid; received 'full'"):
        make("full")
    with pytest.raises(TypeError, match="one of same, valid"):
        make(1)
    assert make("SAME").padding == "same"


def test_unknown_activation_and_initializer_list_the_known():
    with pytest.raises(ValueError, match="linear, .*softmax, .*tanh, tanh_shrink; received 'rleu'"):
        Dense(2, activation="rleu")
    with pytest.raises(TypeError, match="activation"):
        Activation(3)
    with pytest.raises(ValueError, match="glorot_normal, glorot_uniform, he_normal"):
        Conv2D(2, 2, kernel_initializer="xavier")


@pytest.mark.parametrize(
    ("rate", "error"), [(1.5, ValueError), (-0.1, ValueError), ("a", TypeError)]
)
def test_dropout_refuses_wrong_rates(rate, error):
    with pytest.raises(error, match="expected rate to be a number in"):
        Dropout(rate)
    with pytest.raises(ValueError, match="expected rate"):
        Dropout(float("nan"))


def test_images_need_four_axes_and_the_message_says_how():
    with pytest.raises(
        ValueError, match=r"\(N, H, W, C\), received \(128, 28, 28\).*x\[..., None\]"
    ):
        Conv2D(2, 3).forward(np.zeros((128, 28, 28)))
    with pytest.raises(ValueError, match="reshape"):
        MaxPooling2D(2).forward(np.zeros((128, 784)))
    with pytest.raises(ValueError, match="Leave the batch axis out"):
        Conv2D(2, 3).build((None, None, 28, 28, 1))


def test_windows_have_to_fit():
    for layer in (Conv2D(2, 4), MaxPooling2D(4), AveragePooling2D((1, 4))):
        with pytest.raises(ValueError, match=r"padding='same' or smaller windows"):
            layer.forward(np.zeros((1, 3, 3, 1)))
    assert Conv2D(2, 4, padding="same").forward(np.zeros((1, 3, 3, 1))).shape == (1, 3, 3, 2)


def test_a_layer_keeps_to_the_channels_it_was_built_for():
    conv, dense = Conv2D(2, 2), Dense(2)
    conv.build((None, 4, 4, 3))
    dense.build((None, 5))
    with pytest.raises(ValueError, match=r"'conv.*expected 3 input channels"):
        conv.forward(np.zeros((1, 4, 4, 1)))
    with pytest.raises(ValueError, match="expected 5 input features"):
        dense.forward(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="add a batch axis"):
        dense.forward(np.zeros(5))


def test_declared_shapes_leave_the_batch_axis_out():
    with pytest.raises(ValueError, match=r"Leave the batch axis out: \(28, 28, 1\)"):
        Conv2D(2, 3, input_shape=(None, 28, 28, 1))
    with pytest.raises(TypeError, match="tuple such as"):
        Input(28)
    with pytest.raises(ValueError, match="each size of input_shape"):
        Input((28, 0, 1))


def test_a_layer_that_defines_nothing_says_what_is_missing():
    with pytest.raises(NotImplementedError, match=r"forward\(x, training\)"):
        Layer().forward(np.zeros((1, 1)))
    with pytest.raises(NotImplementedError, match=r"backward\(dy\)"):
        Layer().backward(np.zeros((1, 1)))


NORMALIZATIONS = [
    BatchNormalization,
    layers.LayerNormalization,
    layers.RMSNormalization,
    lambda **words: layers.GroupNormalization(1, **words),
]


@pytest.mark.parametrize("make", NORMALIZATIONS)
@pytest.mark.parametrize(
    ("shape", "axis"), [((4, 5, 6, 3), 4), ((4, 3), 3), ((4, 2, 3), 0), ((4, 2, 3), -3)]
)
def test_an_axis_of_no_sample_is_refused_as_soon_as_the_rank_is_known(make, shape, axis):
    words = f"expected axis to name axes from 1 to {len(shape) - 1} of the input"
    layer = make(axis=axis, name="mine")
    for call in (layer.output_shape, layer.build, lambda shape: layer.forward(np.ones(shape))):
        with refused(ValueError, f"Normalization 'mine': {words}", f"received {axis} for input"):
            call(shape)
    assert not layer.built
    with refused(ValueError, words):
        Sequential([make(axis=axis, input_shape=shape[1:])])
    layer.axis = -1
    assert layer.forward(np.ones(shape)).shape == shape
    with pytest.raises(ValueError, match="expected axis to stay -1"):
        layer.axis = axis


@pytest.mark.parametrize("make", NORMALIZATIONS)
@pytest.mark.parametrize(
    ("axis", "error"),
    [(-33, ValueError), (1.0, TypeError), (None, TypeError), (True, TypeError), ("1", TypeError)],
)
def test_a_normalization_refuses_wrong_axes(make, axis, error):
    with refused(error, "expected axis to be an integer >= -32"):
        make(axis=axis)


@pytest.mark.parametrize("make", NORMALIZATIONS[:3])
def test_a_normalization_refuses_wrong_lists_of_axes(make):
    with refused(ValueError, "expected axis to name at least one axis"):
        make(axis=[])
    with refused(TypeError, "expected each number of axis to be an integer"):
        make(axis=[1, 2.0])
    for twice in ([1, 1], [1, -2]):
        with refused(ValueError, "axes from 1 to 2 of the input, each once", f"received {twice}"):
            make(axis=twice).forward(np.ones((2, 3, 4)))
    layer = make(axis=[1, 2])
    layer.forward(np.ones((2, 3, 4)))
    with refused(ValueError, "expected 3 x 4 channels on axis [1, 2], for which it was built"):
        layer.forward(np.ones((2, 4, 3)))


def test_group_normalization_refuses_groups_that_do_not_divide_the_channels():
    for groups in (4, 12):
        with refused(ValueError, "the 6 channels on axis -1", f"groups={groups}", "groups=-1"):
            layers.GroupNormalization(groups).forward(np.ones((2, 3, 6)))
    for groups, error in ((0, ValueError), (-2, ValueError), (True, TypeError), (2.0, TypeError)):
        with refused(error, "expected groups to be", f"received {groups}"):
            layers.GroupNormalization(groups)
    with refused(TypeError, "expected axis to be an integer"):
        layers.GroupNormalization(1, axis=[1])


@pytest.mark.parametrize(("name", "value"), [("renorm", True), ("synchronized", True)])
def test_what_batch_normalization_does_not_do_is_refused_by_name(name, value):
    with refused(ValueError, f"{name} can only be False here, received True"):
        BatchNormalization(**{name: value})


@pytest.mark.parametrize(
    "kind", [BatchNormalization, LayerNormalization, GroupNormalization, RMSNormalization]
)
def test_an_epsilon_of_0_is_refused_as_equal_inputs_would_give_nan(kind):
    with refused(ValueError, "expected epsilon to be a number in (0, inf", "received 0"):
        kind(epsilon=0)


def test_batch_normalization_refuses_wrong_arguments():
    with pytest.raises(ValueError, match="momentum"):
        BatchNormalization(momentum=1.5)
    with pytest.raises(ValueError, match="epsilon"):
        BatchNormalization(epsilon=0)
    layer = BatchNormalization(center=False, scale=False)
    layer.build((None, 3))
    assert not layer.params
    with pytest.raises(ValueError, match="expected 3 channels"):
        layer.forward(np.zeros((2, 4)))


def test_dense_has_to_know_its_last_axis_and_no_other():
    assert Dense(2).output_shape((None, None, 5)) == (None, None, 2)
    with pytest.raises(ValueError, match="Dense 'dense"):
        Dense(2).output_shape((None, 5, None))


def test_batch_normalization_has_to_know_its_channels_and_no_other_size():
    layer = BatchNormalization()
    assert layer.output_shape((None, None, 5)) == (None, None, 5)
    for shape in ((None, 5, None), (None,), (5,)):
        with pytest.raises(ValueError, match="BatchNormalization 'batch"):
            layer.output_shape(shape)


@pytest.mark.parametrize("kind", [MaxPooling2D, AveragePooling2D])
def test_settings_of_a_pooling_stay_from_its_first_input_on(kind):
    layer = kind(2)
    layer.pool_size, layer.strides, layer.padding = (3, 3), (1, 1), "same"
    layer.forward(np.ones((1, 5, 5, 1)))
    for name, value in (("pool_size", (2, 2)), ("strides", (2, 2)), ("padding", "valid")):
        with pytest.raises(ValueError, match=f"expected {name} to stay"):
            setattr(layer, name, value)


@pytest.mark.parametrize("kind", [lambda: Conv2D(2, 3), MaxPooling2D], ids=["Conv2D", "pooling"])
@pytest.mark.parametrize(
    "sizes", [(0, 28, 1), (None, 28, 1), (28, 2.5, 1), (28, 28, 0), (-4, 9, 1)]
)
def test_images_have_sizes_of_at_least_1(kind, sizes):
    with pytest.raises(ValueError, match="All of H, W, C have to be known and at least 1"):
        kind().output_shape((None, *sizes))


@pytest.mark.parametrize("more", [2, (1, 3), (2, 0)])
def test_an_output_padding_as_large_as_the_strides_is_refused(more):
    with refused(ValueError, "expected output_padding to be less than strides", "strides=(2, 3)"):
        layers.Conv2DTranspose(2, 3, strides=(2, 3), output_padding=more)


@pytest.mark.parametrize("wrong", [True, 1.0, -1, (1, 1, 1), (1, 1.0), "1"])
def test_an_output_padding_is_none_or_one_or_two_whole_numbers(wrong):
    with pytest.raises((TypeError, ValueError), match="expected .*output_padding"):
        layers.Conv2DTranspose(2, 3, strides=3, output_padding=wrong)


def test_an_output_of_no_cell_is_refused():
    layer = layers.Conv2DTranspose(2, 4, output_padding=0, padding="same")
    with refused(ValueError, "expected an output of at least one cell", "(2, 1, 1, 3)"):
        layer.forward(np.ones((2, 1, 1, 3)))


@pytest.mark.parametrize("strides", [2, (1, 2)])
def test_a_transposed_convolution_has_strides_or_gaps(strides):
    with refused(ValueError, "expected strides or dilation_rate to be 1, as in Keras"):
        layers.Conv2DTranspose(2, 3, strides=strides, dilation_rate=2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.DepthwiseConv2D(2),
        lambda: layers.SeparableConv2D(3, 2),
        lambda: layers.Conv2DTranspose(3, 2),
    ],
)
def test_a_convolution_keeps_to_the_channels_it_was_built_for(make):
    layer = make()
    layer.forward(np.ones((1, 4, 4, 2)))
    with refused(ValueError, "expected 2 input channels, for which it was built", "(1, 4, 4, 3)"):
        layer.forward(np.ones((1, 4, 4, 3)))
