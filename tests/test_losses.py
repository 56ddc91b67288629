import numpy as np
import pytest
from cases import rng_of
from cases.losses import examples, pair
from counts import draws
from hypothesis import given
from hypothesis import strategies as st
from strategies import FORMS

from minicnn import losses
from minicnn.layers import Softmax
from minicnn.losses import (
    EPSILON,
    CategoricalCrossentropy,
    Loss,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from minicnn.utils import to_categorical

rng = np.random.default_rng(30)


CASES = {  # a batch of vectors and one of sequences for each example of the table
    f"{name}, {shape}": (loss, *pair(rng_of(name), loss, shape))
    for name, loss in examples().items()
    for shape in ((6, 4), (3, 2, 4))
}
every_case = pytest.mark.parametrize(("loss", "y", "y_pred"), CASES.values(), ids=CASES.keys())


@every_case
def test_gradient_by_central_differences(loss, y, y_pred):
    weight = rng.standard_normal(len(y))
    gradient = loss.backward(y, y_pred) * weight.reshape(-1, *[1] * (y_pred.ndim - 1))
    numeric = np.empty_like(y_pred)
    for index in np.ndindex(y_pred.shape):
        step = np.zeros_like(y_pred)
        step[index] = 1e-5
        difference = loss.forward(y, y_pred + step) - loss.forward(y, y_pred - step)
        numeric[index] = difference @ weight / 2e-5
    assert np.abs(gradient - numeric).max() / np.abs(numeric).max() < 1e-7


@every_case
def test_one_value_a_sample_and_their_mean(loss, y, y_pred):
    values = loss.forward(y, y_pred)
    assert values.shape == (len(y),)
    alone = [loss.forward(y[n : n + 1], y_pred[n : n + 1])[0] for n in range(len(y))]
    np.testing.assert_allclose(values, alone, rtol=1e-13)
    assert loss(y, y_pred) == pytest.approx(values.mean())
    weight = rng.random(len(y))
    assert loss(y, y_pred, sample_weight=weight) == pytest.approx((weight * values).mean())


def test_sparse_and_one_hot_agree():
    labels, z = rng.integers(0, 5, 7), rng.standard_normal((7, 5))
    for from_logits, y_pred in ((True, z), (False, Softmax().forward(z))):
        sparse = SparseCategoricalCrossentropy(from_logits)
        plain = CategoricalCrossentropy(from_logits)
        one_hot = to_categorical(labels, 5)
        np.testing.assert_allclose(sparse.forward(labels, y_pred), plain.forward(one_hot, y_pred))
        np.testing.assert_allclose(sparse.backward(labels, y_pred), plain.backward(one_hot, y_pred))


def test_logits_and_probabilities_agree_where_no_clip_acts():
    labels, z = rng.integers(0, 5, 7), rng.standard_normal((7, 5))
    softmax = Softmax()
    p = softmax.forward(z)
    on_logits, on_p = SparseCategoricalCrossentropy(True), SparseCategoricalCrossentropy()
    np.testing.assert_allclose(on_logits.forward(labels, z), on_p.forward(labels, p))
    through_softmax = softmax.backward(on_p.backward(labels, p))
    np.testing.assert_allclose(on_logits.backward(labels, z), through_softmax, atol=1e-14)


@draws(100)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 100.0, 1e4]))
def test_logits_of_any_size_in_float32(seed, scale):
    """F5: finite, and within 1e-5 of float64."""
    draw = np.random.default_rng(seed)
    z = (scale * draw.uniform(-1, 1, (8, 10))).astype(np.float32)
    z[0], z[1] = scale, -scale
    labels = draw.integers(0, 10, 8)
    for loss, y in (
        (SparseCategoricalCrossentropy(True), labels),
        (CategoricalCrossentropy(True), to_categorical(labels, 10)),
    ):
        for method in (loss.forward, loss.backward):
            ours, exact = method(y, z), method(y, z.astype(np.float64))
            assert ours.dtype == np.float32
            assert np.isfinite(ours).all()
            np.testing.assert_allclose(ours, exact, rtol=1e-5, atol=1e-5)


def test_probabilities_of_zero_and_one_stay_finite():
    p = np.array([[0.0, 1.0], [1.0, 0.0]])
    loss = SparseCategoricalCrossentropy()
    np.testing.assert_allclose(loss.forward(np.array([0, 0]), p), [-np.log(1e-7), 0], atol=2e-7)
    assert np.isfinite(loss.backward(np.array([0, 0]), p)).all()


# Keras's own numbers, of its tests of MeanSquaredError
Y = np.array([[1.0, 9, 2], [-5, -2, 6]])[..., None]
Y_PRED = np.array([[4.0, 8, 12], [8, 1, 3]])[..., None]


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist])
@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, 49.5),
        (2.3, 113.85),
        ([2.3], 113.85),
        ([1.2, 3.4], 767.8 / 6),
        ([[1.2], [3.4]], 767.8 / 6),
        ([[[1.2]], [[3.4]]], 767.8 / 6),
        ([[3, 6, 5], [0, 4, 2]], 587 / 6),
        ([[[3], [6], [5]], [[0], [4], [2]]], 587 / 6),
        ([[1, 0, 0]], (9 + 169) / 6),
        (0, 0),
        ([0, 0], 0),
        ([True, False], 110 / 6),
    ],
)
def test_weights_of_all_of_samples_and_of_positions(weights, expected, form):
    weights = weights if weights is None or form is np.asarray else form(np.asarray(weights))
    value = MeanSquaredError()(form(Y), form(Y_PRED), sample_weight=weights)
    assert isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-15)


@every_case
def test_weights_against_the_formula(loss, y, y_pred):
    """sum of weight * loss, divided by how many losses there are, one for each position."""
    losses = np.empty(y_pred.shape[:-1])
    for place in np.ndindex(losses.shape):
        losses[place] = loss.forward(y[place][None], y_pred[place][None])[0]
    n, column = len(y), (len(y), *[1] * (losses.ndim - 1))
    for shape in ((), (n,), (n, 1), losses.shape, (*losses.shape, 1)):
        weights = rng.random(shape)
        if shape in ((n,), (n, 1)):
            each = weights.reshape(column)
        else:
            each = weights.reshape(losses.shape) if shape else weights
        expected = (losses * each).sum() / losses.size
        assert loss(y, y_pred, sample_weight=weights) == pytest.approx(expected, rel=1e-13)


def test_one_dimensional_arrays():
    y, y_pred = np.array([1.0, 0, 1, 0]), np.array([0.1, 0.2, 0.3, 0.4])
    square, weights = (y_pred - y) ** 2, np.array([0.4, 0.3, 0.2, 0.1])
    loss = MeanSquaredError()
    for one, other in ((y, y_pred), (y[:, None], y_pred), (y, y_pred[:, None])):
        assert loss(one, other) == pytest.approx(square.mean(), rel=1e-15)
        for shape in (4, (4, 1)):
            expected = (square * weights).sum() / 4
            if one.ndim == other.ndim == 1:  # one loss, the mean of all, as in Keras
                expected = square.mean() * weights.mean()
            assert loss(one, other, weights.reshape(shape)) == pytest.approx(expected, rel=1e-15)
    p = np.array([0.2, 0.5, 0.3])
    for label in (1, [1], np.array(1), np.array([1.0])):
        value = SparseCategoricalCrossentropy()(label, p)
        assert value == SparseCategoricalCrossentropy()([1], p[None])
    assert CategoricalCrossentropy()([0, 1, 0], p) == pytest.approx(-np.log(0.5), rel=1e-15)
    logits = CategoricalCrossentropy(from_logits=True)
    assert logits([0, 1, 0], np.log(p), sample_weight=3) == pytest.approx(-3 * np.log(0.5))
    with pytest.raises(ValueError, match="labels from 0 to 2"):
        SparseCategoricalCrossentropy()(3, p)
    with pytest.raises(ValueError, match="expected y of shape"):
        SparseCategoricalCrossentropy()([0, 1], p)
    with pytest.raises(ValueError, match="same number of samples|expected y of shape"):
        loss(np.zeros(3), np.zeros(4))


class Cubed(Loss):
    """A user's, of one value a sample."""

    def forward(self, y_true, y_pred):
        return (np.abs(y_pred - y_true) ** 3).sum(axis=-1).reshape(len(y_pred), -1).mean(axis=1)


def test_a_users_loss_takes_the_same_weights():
    y, y_pred = rng.standard_normal((2, 3, 4, 2))
    cubes = (np.abs(y_pred - y) ** 3).sum(axis=-1)
    weights = rng.random((3, 4))
    loss = Cubed()
    assert loss(y, y_pred, sample_weight=weights) == pytest.approx((cubes * weights).mean())
    by_sample = (cubes * weights[:, :1]).mean()
    assert loss(y, y_pred, sample_weight=weights[:, 0]) == pytest.approx(by_sample)
    assert loss(y[0, :, 0], y_pred[0, :, 0], 2) == pytest.approx(
        2 * (np.abs(y_pred - y) ** 3)[0, :, 0].mean()
    )


def test_labels_of_any_integral_type_and_shape():
    loss = SparseCategoricalCrossentropy()
    p = Softmax().forward(rng.standard_normal((3, 4)))
    expected = loss([0, 3, 1], p)
    for y in (
        np.array([0, 3, 1], np.uint8),
        np.array([0.0, 3, 1], np.float32),
        np.array([[0], [3], [1]]),
        np.array([0, 3, 1], ">i8"),
    ):
        assert loss(y, p) == expected


def test_get():
    assert isinstance(losses.get("MSE"), MeanSquaredError)
    assert isinstance(losses.get("SparseCategoricalCrossentropy"), SparseCategoricalCrossentropy)
    assert isinstance(losses.get(CategoricalCrossentropy), CategoricalCrossentropy)
    own = MeanSquaredError()
    assert losses.get(own) is own
    with pytest.raises(ValueError, match="mean_squared_error, .*mse, .*sparse_.*received 'mas'"):
        losses.get("mas")
    with pytest.raises(TypeError, match="subclass Loss"):
        losses.get(lambda y, p: 0)
    with pytest.raises(TypeError, match="one of"):
        losses.get(3)
    with pytest.raises(NotImplementedError, match="forward"):
        Loss().forward(None, None)
    with pytest.raises(NotImplementedError, match="backward"):
        Loss().backward(None, None)


def test_losses_have_the_names_of_keras():
    assert Loss.name == "loss"
    for name in ("sparse_categorical_crossentropy", "categorical_crossentropy"):
        assert losses.get(name).name == name
    assert losses.get("mse").name == "mean_squared_error"


def test_predictions_that_are_whole_numbers_do_not_round_the_targets():
    assert MeanSquaredError()(np.array([[0.5]]), np.array([[1]])) == 0.25


def test_a_loss_is_computed_in_the_float_type_of_the_predictions():
    y, y_pred = rng.standard_normal((2, 7, 3)).astype(np.float32)
    values = MeanSquaredError().forward(y, y_pred)
    assert values.dtype == np.float32
    assert MeanSquaredError()(y, y_pred) == values.astype(np.float64).mean()


def test_labels_of_a_sequence_may_stand_in_a_column():
    loss = SparseCategoricalCrossentropy(from_logits=True)
    labels, z = rng.integers(0, 4, (2, 3)), rng.standard_normal((2, 3, 4))
    assert loss(labels[..., None], z) == loss(labels, z)


def test_checked_labels_are_integers_and_integers_are_not_copied():
    loss = SparseCategoricalCrossentropy()
    assert loss.targets(np.array([0.0, 2.0]), (None, 3), "it").dtype.kind == "i"
    pixels = np.array([0, 2], np.uint8)
    assert loss.targets(pixels, (None, 3), "it").dtype == np.uint8


def test_a_column_of_labels_is_told_from_one_hot_rows_by_its_last_axis():
    with pytest.raises(ValueError, match="For whole-number labels use"):
        CategoricalCrossentropy().targets(np.zeros((2, 3, 1)), (None, 3, 4), "it")
    with pytest.raises(ValueError, match="Give one-hot rows of 4 classes"):
        CategoricalCrossentropy().targets(np.zeros((2, 1, 3)), (None, 2, 4), "it")


def test_the_gradient_of_categorical_crossentropy_is_linear_in_the_target():
    z, target = rng.standard_normal((3, 4)), rng.random((3, 4))  # rows that do not sum to 1
    for loss in (CategoricalCrossentropy(from_logits=True), CategoricalCrossentropy()):
        y_pred = z if loss.from_logits else np.exp(z)
        once, thrice = loss.backward(target, y_pred), loss.backward(3 * target, y_pred)
        np.testing.assert_allclose(thrice, 3 * once, rtol=1e-12)
        step = 1e-6 * rng.standard_normal(z.shape)
        difference = loss.forward(target, y_pred + step) - loss.forward(target, y_pred - step)
        np.testing.assert_allclose((once * 2 * step).sum(axis=1), difference, rtol=1e-6)


def test_a_probability_on_the_edge_of_the_clip_still_teaches():
    p = np.array([[EPSILON, 1 - EPSILON]])
    assert p.sum() == 1
    for label in (0, 1):
        one_hot = np.eye(2)[[label]]
        gradient = CategoricalCrossentropy().backward(one_hot, p)
        sparse = SparseCategoricalCrossentropy().backward(np.array([label]), p)
        np.testing.assert_allclose(gradient, sparse, rtol=1e-12)
        assert gradient[0, label] != 1


@every_case
@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_any_make_give_the_same_and_stay_as_they_are(loss, y, y_pred, form):
    y_in_form, y_pred_in_form = FORMS[form](y), FORMS[form](y_pred)
    assert loss(y_in_form, y_pred_in_form) == loss(y, y_pred)
    if form != "list":  # forward and backward are given arrays
        for method in (loss.forward, loss.backward):
            # NumPy adds the numbers of other strides in another order, and has other exponentials
            ours, plain = method(y_in_form, y_pred_in_form), method(y, y_pred)
            np.testing.assert_allclose(ours, plain, rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(y_in_form, y)
    np.testing.assert_array_equal(y_pred_in_form, y_pred)


def test_only_a_users_own_losses_are_watched_and_they_may_have_other_bases():
    for kind in losses.KNOWN.values():
        assert not hasattr(kind.forward, "__wrapped__")
        assert not hasattr(kind.backward, "__wrapped__")
    seen = []

    class Register:
        def __init_subclass__(cls, **kwargs):
            seen.append(cls)

    class Own(Loss, Register):
        def forward(self, y_true, y_pred):
            return y_pred

    assert seen == [Own]
    assert hasattr(Own.forward, "__wrapped__")


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_targets_of_a_regression_are_finite(wrong):
    with pytest.raises(ValueError, match="y.*finite"):
        MeanSquaredError()(np.array([[wrong]]), np.zeros((1, 1)))
