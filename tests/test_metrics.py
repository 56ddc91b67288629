import numpy as np
import pytest

from minicnn import losses, metrics

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
    with pytest.raises(ValueError, match="acc, accuracy, binary_accuracy.*received 'acuracy'"):
        metrics.get("acuracy", MSE, (None, 2))
    with pytest.raises(TypeError, match="one of"):
        metrics.get(3, MSE, (None, 2))


def test_a_function_serves_as_metric():
    def top_2(y, p):
        return (np.argsort(p, axis=-1)[:, -2:] == y[:, None]).any(axis=1)

    metric = metrics.get(top_2, SPARSE, (None, 3))
    assert metric.name == "top_2"
    assert metric([0, 0], [[0.3, 0.1, 0.6], [0.1, 0.3, 0.6]]) == 0.5
    mean = metrics.get(lambda y, p: 0.5, SPARSE, (None, 3))
    with pytest.raises(ValueError, match="one value a sample"):
        mean([0, 0], np.ones((2, 3)))


def test_wrong_calls():
    with pytest.raises(ValueError, match="same number"):
        metrics.MeanSquaredError()([1], [[1], [2]])
    with pytest.raises(ValueError, match="at least one"):
        metrics.MeanSquaredError()([], [])
    with pytest.raises(NotImplementedError, match="values"):
        metrics.Metric()([1], [1])


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
