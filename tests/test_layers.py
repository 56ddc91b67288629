"""What single layers promise; what all have in common: test_contract.py."""

import copy
import inspect
import pickle
from collections import Counter

import numpy as np
import pytest
from cases.layers import public_layers

from minicnn import Sequential, config, layers, seeds
from minicnn.initializers import GlorotUniform, Initializer
from minicnn.layers import (
    Activation,
    AveragePooling2D,
    AvgPool2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2D,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Sigmoid,
    Softmax,
    Tanh,
)
from minicnn.layers.names import unique_name
from minicnn.utils import set_random_seed

rng = np.random.default_rng(20)


# -- kinks and ends of ranges ----------------------------------------------------------------------


def test_of_equal_cells_the_first_takes_the_whole_gradient():
    layer = MaxPooling2D(2)
    layer.forward(np.zeros((1, 2, 2, 1)))
    np.testing.assert_array_equal(
        layer.backward(np.full((1, 1, 1, 1), 3.0)).ravel(), [3.0, 0, 0, 0]
    )


def test_a_cell_that_wins_several_windows_collects_from_each():
    layer = MaxPooling2D(2, 1)
    layer.forward(np.array([[0.0, 0, 0], [0, 9, 0], [0, 0, 0]]).reshape(1, 3, 3, 1))
    dx = layer.backward(np.array([1.0, 20, 300, 4000]).reshape(1, 2, 2, 1))
    np.testing.assert_array_equal(dx.ravel(), [0, 0, 0, 0, 4321, 0, 0, 0, 0])


def test_relu_at_zero_has_slope_zero():
    layer = ReLU()
    layer.forward(np.array([[-0.0, 0.0]]))
    np.testing.assert_array_equal(layer.backward(np.array([[7.0, 7.0]])), [[0, 0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_and_sigmoid_bear_numbers_of_any_size(dtype):
    x = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4]], dtype)
    np.testing.assert_allclose(Softmax().forward(x), [[1, 0, 0], [1 / 3] * 3], atol=1e-7)
    np.testing.assert_allclose(Sigmoid().forward(x), [[1, 0, 0.5], [0, 0, 0]])


def test_aliases_are_the_same_classes():
    assert (MaxPool2D, AvgPool2D) == (MaxPooling2D, AveragePooling2D)
    assert layers.Convolution2DTranspose is layers.Conv2DTranspose
    assert layers.SeparableConvolution2D is layers.SeparableConv2D


# -- dropout --------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean_and_the_right_share():
    y = Dropout(0.3, seed=5).forward(np.ones((200, 500)), training=True)
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.006)
    assert y.mean() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(y[y > 0], 1 / 0.7)


def test_dropout_draws_anew_at_each_step_and_repeats_from_its_seed():
    x = np.ones((20, 20))
    one, other = Dropout(0.5, seed=5), Dropout(0.5, seed=5)
    steps = [one.forward(x, training=True) for _ in range(3)]
    assert not np.array_equal(steps[0], steps[1])
    assert not np.array_equal(steps[1], steps[2])
    for step in steps:
        np.testing.assert_array_equal(step, other.forward(x, training=True))
    one.seek(1, 0)
    np.testing.assert_array_equal(steps[1], one.forward(x, training=True))


def test_dropout_draws_the_same_for_a_sample_wherever_the_batch_is_cut():
    x = np.ones((10, 3, 4))
    layer = Dropout(0.5, seed=8)
    layer.seek(4, 0)
    whole = layer.forward(x, training=True)
    layer.seek(4, 6)
    np.testing.assert_array_equal(whole[6:], layer.forward(x[6:], training=True))


@pytest.mark.parametrize(("rate", "expected"), [(0, 1.0), (1, 0.0), (0.0, 1.0)])
def test_dropout_at_the_ends_of_its_range(rate, expected):
    layer = Dropout(rate)
    np.testing.assert_array_equal(layer.forward(np.ones((3, 4)), training=True), expected)
    np.testing.assert_array_equal(layer.backward(np.full((3, 4), 2.0)), 2 * expected)


# -- settings, float types and names ---------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: Conv2D(2, 3), lambda: MaxPooling2D(3, 1)])
def test_a_padding_that_is_set_later_is_read_as_one_given_at_once(make):
    layer = make()
    layer.padding = "VALID"
    assert layer.output_shape((1, 5, 5, 2)) == (1, 3, 3, 2)
    layer.padding = "Same"
    assert layer.forward(np.ones((1, 5, 5, 2))).shape == (1, 5, 5, 2)
    layer = make()
    for wrong, error in (("full", ValueError), (None, TypeError), (1, TypeError)):
        with pytest.raises(error, match="expected padding to be one of same, valid"):
            layer.padding = wrong
    assert layer.padding == "valid"


def test_a_padding_that_is_set_later_means_the_same_to_both_ways():
    x = rng.standard_normal((4, 6, 6, 4)).astype("f")
    outputs = []
    for jit_compile in ("auto", False):
        conv = Conv2D(4, 3, kernel_initializer="ones")
        conv.padding = "SAME"
        model = Sequential([conv])
        model.compile("sgd", "mse", jit_compile=jit_compile)
        model.build((None, 6, 6, 4))
        outputs.append(model.predict(x, verbose=0))
    assert outputs[0].shape == (4, 6, 6, 4)
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-4)


def test_dtype_and_name():
    with pytest.raises(ValueError, match="float32 or float64"):
        Dense(2, dtype="int32")
    with pytest.raises(ValueError, match="float32 or float64"):
        Dense(2, dtype="nonsense")
    with pytest.raises(TypeError, match="name"):
        Dense(2, name="")
    layer = Dense(2, dtype="float64")
    assert layer.forward(np.ones((1, 2), np.float32)).dtype == np.float64
    assert Dense(2).forward(np.ones((1, 2), np.uint8)).dtype == np.float32
    assert Dense(2).forward(np.ones((1, 2), np.float16)).dtype == np.float32


def test_floatx_decides_for_new_layers():
    config.set_floatx("float64")
    try:
        layer = Dense(2)
        layer.build((None, 3))
        assert layer.params["W"].dtype == np.float64
    finally:
        config.set_floatx("float32")
    with pytest.raises(ValueError, match="float32, float64"):
        config.set_floatx("float16")


def test_automatic_names_are_those_of_keras(monkeypatch):
    monkeypatch.setattr("minicnn.layers.names._names", Counter())
    for cls, snake in (
        ("Conv2D", "conv2d"),
        ("MaxPooling2D", "max_pooling2d"),
        ("AveragePooling2D", "average_pooling2d"),
        ("ReLU", "re_lu"),
        ("BatchNormalization", "batch_normalization"),
        ("Dense", "dense"),
    ):
        assert [unique_name(cls) for _ in range(3)] == [snake, f"{snake}_1", f"{snake}_2"]


# -- batch normalization --------------------------------------------------------------------------


def test_batch_normalization_keeps_its_digits_far_from_zero():
    """F6: float32 on N(100, 1) against float64."""
    x = rng.normal(100, 1, (64, 5, 5, 3))
    dy = rng.standard_normal(x.shape)
    single, double = BatchNormalization(dtype="float32"), BatchNormalization(dtype="float64")
    rounded = x.astype(np.float32).astype(np.float64)
    y = double.forward(rounded, training=True)
    assert np.abs(single.forward(rounded, training=True) - y).max() <= 1e-5
    dx = double.backward(dy)
    assert np.abs(single.backward(dy) - dx).max() <= 1e-5


def test_batch_normalization_trains_on_the_whole_batch_in_a_model():
    x, y = rng.standard_normal((70, 4)), rng.standard_normal((70, 2))
    model = Sequential([BatchNormalization(input_shape=(4,), dtype="float64"), Dense(2)])
    model.compile("sgd", "mse")
    model.train_on_batch(x, y)
    mean, variance = model.layers[0].state.values()
    np.testing.assert_allclose(mean, 0.01 * x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance, 0.99 + 0.01 * x.var(axis=0), rtol=1e-12)
    assert [w.shape for w in model.get_weights()] == [(4,)] * 4 + [(4, 2), (2,)]


@pytest.mark.parametrize(("shape", "axis"), [((4, 5, 6, 3), 3), ((4, 3), 1), ((4, 2, 3), 2)])
def test_the_last_axis_by_its_number_is_the_same_axis(shape, axis):
    x = rng.standard_normal(shape)
    by_number, last = BatchNormalization(axis), BatchNormalization(axis=-1)
    np.testing.assert_array_equal(by_number.forward(x, True), last.forward(x, True))
    np.testing.assert_array_equal(by_number.forward(x), last.forward(x))
    assert by_number.axis == axis
    model = Sequential([BatchNormalization(axis=axis, input_shape=shape[1:]), Flatten(), Dense(2)])
    assert model.predict(x, verbose=0).shape == (4, 2)


ACTIVATED = {
    "Dense": (lambda given: Dense(3, given, kernel_initializer=GlorotUniform(1)), (6, 6, 4)),
    "Conv2D": (
        lambda given: Conv2D(3, 2, activation=given, kernel_initializer=GlorotUniform(1)),
        (6, 6, 6, 4),
    ),
    "Activation": (Activation, (6, 6, 4)),
}
every_activated = pytest.mark.parametrize(("make", "shape"), ACTIVATED.values(), ids=ACTIVATED)


@every_activated
@pytest.mark.parametrize("built", [False, True], ids=["new", "built"])
@pytest.mark.parametrize(
    "given", [None, Linear(), Tanh(), Softmax()], ids=lambda g: type(g).__name__
)
def test_an_activation_that_is_set_later_is_as_one_given_at_once(make, shape, built, given):
    x = rng.standard_normal(shape)
    late, whole = make("relu"), make(given)
    if built:
        late.backward(np.ones_like(late.forward(x)))
    late.activation = given
    assert type(late.activation) is (Linear if given is None else type(given))
    y = late.forward(x, True)
    np.testing.assert_array_equal(y, whole.forward(x, True))
    dy = rng.standard_normal(y.shape)
    np.testing.assert_array_equal(late.backward(dy), whole.backward(dy))
    for key, gradient in whole.grads.items():
        np.testing.assert_array_equal(late.grads[key], gradient)


@pytest.mark.parametrize("jit_compile", ["auto", False])
def test_an_activation_set_to_none_between_two_fits_is_linear(jit_compile):
    x, y = rng.standard_normal((20, 6, 6, 2)), rng.standard_normal((20, 3))
    late, whole = (
        Sequential([Conv2D(2, 3, activation=a, input_shape=(6, 6, 2)), Flatten(), Dense(3, a)])
        for a in ("relu", None)
    )
    for model in (late, whole):
        model.compile("sgd", "mse", jit_compile=jit_compile)
    late.fit(x, y, verbose=0)
    late.layers[0].activation = late.layers[-1].activation = None
    whole.set_weights(late.get_weights())
    for model in (late, whole):
        model.fit(x, y, epochs=2, verbose=0, shuffle=False)
    np.testing.assert_array_equal(late.flat_params, whole.flat_params)
    np.testing.assert_array_equal(late.predict(x, verbose=0), whole.predict(x, verbose=0))
    assert (late.predict(x, verbose=0) < 0).any()


def test_two_layers_that_are_set_to_one_activation_do_not_share_its_values():
    tanh, x = Tanh(), rng.standard_normal((5, 3))
    one, other = Dense(3), Dense(3)
    one.activation = other.activation = tanh
    dx = one.backward(np.ones_like(one.forward(x)))
    y = one.forward(x)
    other.forward(10 * x)
    np.testing.assert_array_equal(one.backward(np.ones_like(y)), dx)
    other.activation = one.activation
    assert other.activation is not one.activation


def test_an_activation_that_is_put_in_again_still_knows_its_last_pass():
    layer, x = Dense(3, "tanh"), rng.standard_normal((5, 3))
    dy = rng.standard_normal((5, 3))
    layer.forward(x)
    dx = layer.backward(dy)
    tanh, layer.activation = layer.activation, None
    layer.forward(x)
    assert np.abs(layer.backward(dy) - dx).max() > 0.01
    layer.activation = tanh
    np.testing.assert_array_equal(layer.backward(dy), dx)


@pytest.mark.parametrize("given", ["tanh", Tanh, Tanh(name="mine")])
def test_an_activation_inside_a_layer_does_not_count_in_the_names(given):
    before = unique_name("Tanh")
    Dense(2, activation=given)
    Activation(given)
    ReLU()
    number = int(before.partition("_")[2] or 0)
    assert unique_name("Tanh") == f"tanh_{number + 1}"


@pytest.mark.parametrize("kind", [Layer, *sorted(public_layers(), key=lambda k: k.__name__)])
def test_a_pass_is_inference_unless_training_is_asked_for(kind):
    assert inspect.signature(kind.forward).parameters["training"].default is False


def test_softmax_of_a_sample_without_a_batch_axis():
    with pytest.raises(ValueError, match=r"shape \(N, ..., classes\), received \(3,\).*x\[None\]"):
        Softmax().forward(np.ones(3))


@pytest.mark.parametrize("kind", [MaxPooling2D, AveragePooling2D])
def test_pooling_halves_both_sides_by_default(kind):
    layer = kind()
    assert layer.output_shape((None, 6, 8, 1)) == (None, 3, 4, 1)
    assert layer.pool_size == layer.strides == (2, 2)


def test_only_a_users_own_layers_are_watched_and_they_may_have_other_bases():
    for kind in public_layers():
        assert not hasattr(kind.forward, "__wrapped__")
        assert not hasattr(kind.backward, "__wrapped__")
    seen = []

    class Register:
        def __init_subclass__(cls, **kwargs):
            seen.append(cls)

    class Own(Layer, Register):
        def forward(self, x, training=False):
            return x

    assert seen == [Own]
    assert hasattr(Own.forward, "__wrapped__")


def test_build_settles_the_float_type_and_the_source_of_the_first_values():
    layer = Dense(3)
    assert layer.dtype is None
    assert layer.rng is None
    layer.build((None, 4))
    assert layer.dtype == np.float32
    assert isinstance(layer.rng, np.random.Generator)
    given = Dense(3, kernel_initializer="glorot_uniform")
    given.rng = np.random.default_rng(7)
    given.build((None, 4))
    W = GlorotUniform()((4, 3), np.float32, np.random.default_rng(7))
    np.testing.assert_array_equal(given.params["W"], W)


def test_variance_of_many_numbers_is_summed_in_float64():
    x = rng.uniform(0.1, 1, (2**19, 2)).astype(np.float32)
    layer = BatchNormalization(momentum=0.0)
    layer.forward(x, True)
    variance = x.astype(np.float64).var(axis=0)
    np.testing.assert_allclose(layer.state["moving_variance"], variance, rtol=1e-6)


def test_first_values_lie_in_c_order_whatever_an_initializer_returns():
    class Columns(Initializer):
        def draw(self, shape, rng):
            return np.asfortranarray(rng.standard_normal(shape))

    layer = Dense(3, kernel_initializer=Columns(), dtype="float64")
    layer.build((None, 4))
    assert layer.params["W"].flags.c_contiguous


def test_a_layer_without_parameters_takes_each_input_in_its_own_float_type():
    layer = ReLU()
    for dtype in (np.float32, np.float64, np.float32):
        assert layer.forward(np.ones((2, 3), dtype)).dtype == dtype


def test_a_refused_build_of_dropout_draws_nothing():
    set_random_seed(3)
    expected = seeds.new_generator().random()
    set_random_seed(3)
    with pytest.raises((TypeError, ValueError), match="Dropout 'dropout"):
        Dropout(0.5).build((None, -3))
    assert seeds.new_generator().random() == expected


def test_dropout_without_a_seed_takes_63_bits_of_the_generator_it_is_given():
    layer = Dropout(0.5)
    layer.rng = np.random.default_rng(7)
    same = Dropout(0.5, seed=int(np.random.default_rng(7).integers(2**63)))
    x = np.ones((1, 100))
    np.testing.assert_array_equal(layer.forward(x, True), same.forward(x, True))
    assert (layer.forward(x, True) != Dropout(0.5, seed=8).forward(x, True)).any()


def test_a_model_chooses_the_seed_of_a_dropout_that_is_built_when_made():
    def masks(seed, *layers):
        set_random_seed(seed)
        model = Sequential([*layers, Dropout(0.5), Activation("relu"), Dropout(0.5)])
        model.build((None, 100))
        assert model.dtype == model.layers[-1].dtype == np.float32
        after = seeds.new_generator().random()
        set_random_seed(seed)
        Sequential([])
        assert seeds.new_generator().random() == after, "they come from the model's generator"
        keys = [layer.stream_key for layer in model.layers if isinstance(layer, Dropout)]
        return keys, model.layers[-1].forward(np.ones((1, 100)), True)

    keys, y = masks(4)
    again, same = masks(4)
    others, _ = masks(5)
    assert len(set(keys)) == 2
    assert 0 not in keys
    assert again == keys
    assert set(others).isdisjoint(keys)
    np.testing.assert_array_equal(same, y)


def test_a_dropout_gets_its_seed_once():
    layer = Dropout(0.5)
    x = np.ones((1, 100))
    layer.forward(x)
    key = layer.stream_key
    layer.forward(x, True)
    model = Sequential([layer, Dense(2)])
    model.build((None, 100))
    model.add(ReLU())
    assert layer.stream_key == key != 0


def test_a_users_layer_with_a_build_of_its_own_is_not_built_before_it():
    class Slope(ReLU):
        def build(self, input_shape):
            self.add_param("alpha", (input_shape[-1],), GlorotUniform())
            super().build(input_shape)

    class Keyed(Dropout):
        def build(self, input_shape):
            super().build(input_shape)
            self.add_state("seen", (1,), GlorotUniform())

    class Plain(Keyed):
        pass

    for make in (Slope, lambda: Keyed(0.5), lambda: Plain(0.5)):
        layer = make()
        assert not layer.built
        layer.forward(np.ones((2, 3)))
        assert layer.built
        assert layer.count_params()

    class Own(Layer):
        def forward(self, x, training=False):
            return self._input(x)

    class Named(MaxPooling2D):
        pass

    assert not Own().built, "as in Keras"
    assert Named(2).built


def test_weights_of_a_layer_that_are_trained_and_that_are_not():
    layer = BatchNormalization()
    layer.build((None, 3))
    assert [weight.name for weight in layer.trainable_weights] == ["gamma", "beta"]
    untrained = [weight.name for weight in layer.non_trainable_weights]
    assert untrained == ["moving_mean", "moving_variance"]


def splitmix64(n):
    """Written once more from the paper of Steele, Lea and Flood."""
    z = n * 0x9E3779B97F4A7C15 % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


@pytest.mark.parametrize("step", [0, 1, 5, 2**33])
@pytest.mark.parametrize(("rate", "dropped"), [(0.5, 2**31), (0.25, 2**30), (1, 2**32 - 1)])
def test_keys_of_dropout_come_from_seed_and_step_and_its_counter_from_the_sample(
    rate, dropped, step
):
    layer = Dropout(rate, seed=3)
    layer.build((None, 10))
    layer.seek(step, 7)
    seed = int(np.random.SeedSequence(3).generate_state(1, np.uint64)[0])
    key = splitmix64(seed + step)
    scale = 1 / (1 - rate) if rate < 1 else 0
    assert layer.draw(10) == (key >> 32, key % 2**32, 70, dropped, np.float32(scale))


def test_dropout_of_everything_scales_by_0_the_cell_that_the_threshold_cannot_reach():
    layer = Dropout(1)
    layer._keep = lambda shape: np.ones(shape, np.bool_)
    np.testing.assert_array_equal(layer.forward(np.ones((2, 3)), True), 0)


def test_whole_numbers_become_the_usual_float():
    for numbers in ([1, 2], np.array([1, 2], np.int64), np.array([1, 2], np.uint8)):
        assert ReLU().forward(numbers).dtype == config.floatx() == "float32"


def test_one_open_size_is_no_batch_axis():
    with pytest.raises(ValueError, match="one sample, all sizes known, received \\(None,\\)"):
        Dense(3, input_shape=(None,))


def test_rescaling_adds_nothing_unless_asked_to():
    np.testing.assert_array_equal(Rescaling(2.0).forward(np.array([3.0])), [6.0])


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.array(0.5), 0.5])
def test_rescaling_takes_numpys_numbers(number):
    layer = Rescaling(number, offset=number)
    assert type(layer.scale) is type(layer.offset) is float
    assert layer.scale == 0.5
    assert Rescaling(np.int32(2)).scale == Rescaling(np.array(2, "uint8")).scale == 2.0
    x = np.array([1.0, 2.0], "float32")
    np.testing.assert_array_equal(layer.forward(x), np.array([1, 1.5], "float32"), strict=True)


@pytest.mark.parametrize("name", ["scale", "offset"])
def test_a_rescaling_keeps_numbers_that_no_one_else_can_change(name):
    given, x = np.array([1.0, 2.0, 4.0]), np.ones((2, 3))
    layer = Rescaling(**{"scale": 3.0, "offset": 0.0, name: given})
    y = layer.forward(x)
    given[...] = 7
    np.testing.assert_array_equal(layer.forward(x), y)
    with pytest.raises(ValueError, match="read-only"):
        getattr(layer, name)[0] = 7
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(twin.forward(x), y)
        setattr(twin, name, [0, 0, 0])
        np.testing.assert_array_equal(getattr(layer, name), [1, 2, 4])


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1, 1, 1, 3)])
def test_means_with_the_axes_they_were_taken_over_are_offsets(shape):
    x = rng.standard_normal((4, 5, 5, 3))
    mean = x.mean(axis=(0, 1, 2)).reshape(shape)
    y = Rescaling(1.0, -mean).forward(x)
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-15)
    assert y.shape == x.shape
    assert Rescaling([2.0]).output_shape((None, 5)) == (None, 5), "one number serves all channels"
    assert Rescaling([1, 2]).output_shape((None, None, None)) == (None, None, None)


def test_the_largest_numbers_that_are_taken():
    largest = float(np.finfo(np.float32).max)
    assert Rescaling(largest, dtype="float32").scale == largest
    assert MaxPooling2D((2**31 - 1, 1)).pool_size == (2**31 - 1, 1)


def test_rescaling_takes_its_float_type_by_name():
    layer = Rescaling(1e300)
    with pytest.raises(ValueError, match="float32"):
        layer.set_dtype("float32")
    with pytest.raises((TypeError, ValueError), match="Rescaling 'rescaling.*float64"):
        layer.set_dtype("int32")
    layer.set_dtype("float64")
    assert layer.dtype == np.dtype("float64")
