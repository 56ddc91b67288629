import functools

import numpy as np
import pytest

from minicnn import Sequential, losses, metrics
from minicnn.layers import Dense
from minicnn.optimizers import SGD

SPARSE = losses.SparseCategoricalCrossentropy()
ONE_HOT = losses.CategoricalCrossentropy()
MSE = losses.MeanSquaredError()


def test_accuracies():
    p = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert metrics.SparseCategoricalAccuracy()([1, 1, 1], p) == pytest.approx(2 / 3)
    assert metrics.SparseCategoricalAccuracy()([[1], [0], [1]], p) == 1
    assert metrics.CategoricalAccuracy()([[0, 1], [1, 0], [1, 0]], p) == pytest.approx(2 / 3)
    assert metrics.BinaryAccuracy()([1, 0, 1], p[:, 1:]) == 1
    assert metrics.BinaryAccuracy()([[0], [0], [1]], p[:, 1:]) == pytest.approx(2 / 3)


def test_errors():
    y, p = np.array([0.0, 3.0]), np.array([[1.0], [1.0]])
    assert metrics.MeanSquaredError()(y, p) == 2.5
    assert metrics.MeanAbsoluteError()(y, p) == 1.5


@pytest.mark.parametrize(
    ("loss", "outputs", "kind"),
    [
        (SPARSE, 10, metrics.SparseCategoricalAccuracy),
        (ONE_HOT, 10, metrics.CategoricalAccuracy),
        (MSE, 1, metrics.BinaryAccuracy),
        (MSE, 3, metrics.CategoricalAccuracy),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "acc"])
def test_accuracy_is_chosen_by_loss_and_output_and_keeps_its_name(loss, outputs, kind, name):
    metric = metrics.get(name, loss, (None, outputs))
    assert type(metric) is kind
    assert metric.name == name


def test_get():
    assert metrics.get("mae", MSE, (None, 2)).name == "mae"
    own = metrics.MeanAbsoluteError("distance")
    assert metrics.get(own, MSE, (None, 2)) is own
    assert isinstance(
        metrics.get(metrics.MeanSquaredError, MSE, (None, 2)), metrics.MeanSquaredError
    )
    with pytest.raises(ValueError, match="acc, accuracy, .*binary_accuracy.*received 'acuracy'"):
        metrics.get("acuracy", MSE, (None, 2))
    with pytest.raises(TypeError, match="one of"):
        metrics.get(3, MSE, (None, 2))


def test_a_function_serves_as_metric():
    def top_2(y, p):
        return (np.argsort(p, axis=-1)[:, -2:] == y[:, None]).any(axis=1)

    metric = metrics.get(top_2, SPARSE, (None, 3))
    assert metric.name == "top_2"
    assert metric([0, 0], [[0.3, 0.1, 0.6], [0.1, 0.3, 0.6]]) == 0.5
    short = metrics.get(lambda y, p: [0.5], SPARSE, (None, 3))
    with pytest.raises(ValueError, match="one value a sample, shape .2,., or one number for the b"):
        short([0, 0], np.ones((2, 3)))


def largest_error(y, p):
    return np.abs(y - p).max()


@pytest.mark.parametrize("given", [0.25, 1, True, np.float32(0.25), np.array(0.25)])
def test_a_function_may_return_one_number_for_the_batch(given):
    metric = metrics.get(lambda y, p: given, MSE, (None, 3))
    np.testing.assert_array_equal(metric.values(np.zeros(4), np.zeros((4, 3))), [float(given)] * 4)
    assert metric(np.zeros(4), np.zeros((4, 3))) == float(given)


@pytest.mark.parametrize("jit_compile", ["auto", False])
def test_one_number_for_each_batch_is_weighted_by_its_size(jit_compile):
    x, y = np.arange(10.0)[:, None], np.zeros(10)
    model = Sequential([Dense(1, kernel_initializer="ones", use_bias=False, input_shape=(1,))])
    model.compile(SGD(0.0), "mse", metrics=[largest_error, "mae"], jit_compile=jit_compile)
    logs = model.fit(x, y, batch_size=4, shuffle=False, validation_data=(x, y), verbose=0).history
    assert logs["largest_error"] == [(4 * 3 + 4 * 7 + 2 * 9) / 10]
    assert logs["mae"] == [4.5]
    assert model.test_on_batch(x, y) == [28.5, 9.0, 4.5]


def test_a_loss_is_a_function_of_one_number_for_the_batch():
    x, y = np.arange(10.0)[:, None], np.zeros(10)
    model = Sequential([Dense(1, kernel_initializer="ones", use_bias=False, input_shape=(1,))])
    model.compile("sgd", "mse", metrics=[MSE, losses.MeanSquaredError])
    assert model.metrics_names == ["loss", "mean_squared_error", "mean_squared_error_1"]
    assert model.evaluate(x, y, verbose=0) == [28.5, 28.5, 28.5]


def test_a_metric_of_a_user_gives_one_value_a_sample():
    class Own(metrics.Metric):
        def values(self, y_true, y_pred):
            return 0.5

    with pytest.raises(ValueError, match=r"Own: expected one value a sample, shape \(2,\)"):
        Own()([0, 0], np.ones((2, 3)))


def test_messages_and_names_of_a_function_do_not_tell_how_it_is_wrapped():
    metric = metrics.get(largest_error, MSE, (None, 1))
    assert "largest_error" in repr(metric)
    for wrong in (([1, 2], [[1.0]]), ([], np.zeros((0, 1))), (3.0, [1.0]), (["a"], [1.0])):
        with pytest.raises((TypeError, ValueError), match="^metric largest_error: expected"):
            metric(*wrong)
    assert "_" not in repr(metrics.get(lambda y, p: y, MSE, (None, 1))).partition(":")[0]
    partial = functools.partial(largest_error, p=0)
    assert metrics.get(partial, MSE, (None, 1)).name == "metric"


def test_a_second_metric_of_a_name_gets_a_number():
    """As in Keras; otherwise one figure would take the other's place."""
    mine = metrics.MeanSquaredError("accuracy")
    chosen = [metrics.CategoricalAccuracy("accuracy"), mine, metrics.MeanAbsoluteError("accuracy")]
    names = [metric.name for metric in metrics.distinct(chosen)]
    assert names == ["accuracy", "accuracy_1", "accuracy_2"]
    assert mine.name == "accuracy"
    taken = [metrics.MeanSquaredError("a_1"), *(metrics.MeanSquaredError("a") for _ in range(2))]
    assert [metric.name for metric in metrics.distinct(taken)] == ["a_1", "a", "a_2"]
    assert [m.name for m in metrics.distinct([metrics.MeanSquaredError("loss")])] == ["loss_1"]
    assert metrics.distinct(chosen)[0] is chosen[0]


def test_a_function_sees_the_batches_of_evaluate_one_by_one():
    seen = []

    def largest(y_true, y_pred):
        seen.append(len(y_true))
        return y_true.max()

    model = Sequential([Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse", metrics=[largest])
    y = np.arange(10.0)
    found = model.evaluate(y[:, None], y, batch_size=4, verbose=0)[1]
    assert seen == [4, 4, 2]
    assert found == pytest.approx((4 * 3 + 4 * 7 + 2 * 9) / 10)


class Counted(metrics.Metric):
    """A user's, with Keras's methods and variables."""

    def __init__(self, name="counted", **keras):
        super().__init__(name=name, **keras)
        self.total = self.add_weight(name="total")
        self.count = self.add_weight(name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(np.abs(y_true - y_pred).sum())
        self.count.assign_add(len(y_true))

    def result(self):
        return self.total / self.count


def test_a_metric_with_the_state_api_of_keras_is_called_in_fit_and_evaluate():
    x, y = np.arange(10.0)[:, None], np.zeros((10, 1))
    model, own = Sequential([Dense(1, input_shape=(1,))]), Counted()
    model.compile(SGD(0.0), "mse", metrics=[own, "mae"])
    logs = model.fit(x, y, 4, 2, 0).history
    np.testing.assert_allclose(logs["counted"], logs["mae"], rtol=1e-6)
    _, counted, mae = model.evaluate(x, y, 4, 0)
    assert counted == pytest.approx(mae, rel=1e-6)
    assert float(own.result()) == pytest.approx(mae, rel=1e-6)
    own.reset_state()
    assert not any(one.any() for one in own.variables)


@pytest.mark.parametrize("jit_compile", ["auto", False])
def test_the_metrics_of_a_model_hold_its_last_figures(jit_compile):
    """Named ones too, the same objects through fit and evaluate, as in Keras."""
    x, y = np.arange(10.0)[:, None], np.zeros((10, 1))
    model, mae = Sequential([Dense(1)]), metrics.MeanAbsoluteError()
    assert model.metrics == []
    model.compile(
        SGD(0.001), "mse", metrics=["mse"], weighted_metrics=[mae], jit_compile=jit_compile
    )
    assert [one.name for one in model.metrics] == ["loss"]
    logs = model.fit(x, y, 4, 2, 0).history
    before = model.metrics
    assert [one.name for one in before] == ["loss", "mse", "mean_absolute_error"]
    assert before[2] is mae
    assert all(one.result() == logs[one.name][-1] for one in before)
    told = model.evaluate(x, y, 4, 0)
    assert [one.result() for one in model.metrics] == told
    assert [one.result() for one in before] == told
    told = model.train_on_batch(x, y)
    assert [one.result() for one in model.metrics] == told
    model.reset_metrics()
    assert [one.result() for one in model.metrics] == [0, 0, 0]
    model.compile("sgd", "mse")
    assert [one.name for one in model.metrics] == ["loss"]


@pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
def test_scores_take_weights_in_a_column(average):
    rng = np.random.default_rng(5)
    y, p, weights = rng.integers(0, 2, (9, 3)), rng.random((9, 3)), rng.random(9)
    one = metrics.F1Score(average, 0.5)
    np.testing.assert_array_equal(
        one(y, p, weights[:, None]), type(one)(average, 0.5)(y, p, weights)
    )


def test_a_metric_of_the_user_that_fails_ends_the_first_step():
    class Failing(metrics.Metric):
        def update_state(self, y_true, y_pred, sample_weight=None):
            self.told = True

        def result(self):
            if getattr(self, "told", False):
                raise ZeroDivisionError("nothing counted")
            return 0.0

    model = Sequential([Dense(2, activation="softmax", input_shape=(4,))])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[Failing("failing")])
    with pytest.raises(ZeroDivisionError):
        model.fit(np.ones((64, 4)), np.zeros(64, int), batch_size=8, verbose=0)
    assert model.optimizer.iterations == 1


def test_what_a_figure_of_the_user_returns_stays_as_it_is():
    class Share(metrics.Mean):
        def figure(self, total, count):
            return np.float64(total / max(count, 1))

    assert Share("share").result().dtype == np.float64
