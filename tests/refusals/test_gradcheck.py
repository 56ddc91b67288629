"""Wrong calls of the gradient checker."""

import threading

import numpy as np
import pytest
from test_gradcheck import Noise

from minicnn import Sequential
from minicnn.gradcheck import __main__ as command
from minicnn.gradcheck import check_layer, check_loss, check_model
from minicnn.layers import Conv2D, Dense, Layer, ReLU
from minicnn.losses import Loss, MeanSquaredError


class Returns(Layer):
    def __init__(self, change, **kwargs):
        super().__init__(**kwargs)
        self.change = change

    def forward(self, x, training=False):
        return self.change(x)

    def backward(self, dy):
        return dy


class Locked(ReLU):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Unbuilt(Dense):
    def build(self, input_shape):
        self.add_param("W", (input_shape[-1], self.units), self.kernel_initializer)


@pytest.mark.parametrize(
    ("layer", "x", "options", "error", "words"),
    [
        (Dense, (2, 3), {}, TypeError, r"class Dense.*Make an object of it: Dense\(...\)"),
        (Sequential(), (2, 3), {}, TypeError, "there is check_model"),
        ("relu", (2, 3), {}, TypeError, "has no forward"),
        (Locked(), (2, 3), {}, TypeError, "works on a copy"),
        (Unbuilt(2), (2, 3), {}, ValueError, r"end with super\(\).build"),
        (ReLU(), (2, None, 3), {}, ValueError, "None for the batch axis only"),
        (ReLU(), (2, 0), {}, ValueError, "integer >= 1"),
        (ReLU(), (), {}, ValueError, "expected input_shape_or_x to be a shape"),
        (ReLU(), 3.0, {}, ValueError, "expected input_shape_or_x to be a shape"),
        (ReLU(), "abc", {}, TypeError, "input_shape_or_x"),
        (ReLU(), np.zeros((0, 3)), {}, ValueError, "at least one sample"),
        (ReLU(), np.array([[1.0, np.nan]]), {}, ValueError, r"received nan at index \[0, 1\]"),
        (Conv2D(2, 3), (2, 3), {}, ValueError, r"expected input of shape \(N, H, W, C\)"),
        (Conv2D(2, 3), (2, 2, 1), {}, ValueError, r"expected input of shape \(N, H, W, C\)"),
        (ReLU(), (2, 3), {"eps": 0}, ValueError, "expected eps"),
        (ReLU(), (2, 3), {"eps": "a"}, TypeError, "expected eps"),
        (ReLU(), (2, 3), {"seed": -1}, ValueError, "expected seed"),
        (ReLU(), (2, 3), {"tolerance": 2.0}, ValueError, "expected tolerance"),
        (ReLU(), (2, 3), {"linear": "yes"}, TypeError, "expected linear"),
        (ReLU(), (2, 3), {"training": "no"}, TypeError, "expected training to be True or False"),
        (ReLU(), (2, 3), {"max_elements": 1.5}, TypeError, "expected max_elements"),
        (ReLU(), (2, 3), {"max_elements": 0}, ValueError, "expected max_elements"),
        (ReLU(), (2, 3), {"perturb": "no"}, TypeError, "expected perturb to be True or False"),
        (ReLU(), (2, 3), {"perturb": np.ones(2)}, TypeError, "expected perturb to be True or"),
        (ReLU(), (2, 3), {"wrt": []}, ValueError, "expected wrt to hold names, received none"),
        (ReLU(), (2, 3), {"wrt": [[1]]}, TypeError, "expected wrt to be a list of names"),
        (ReLU(), (2, 3), {"wrt": np.array(1.0)}, TypeError, "expected wrt to be a list"),
        (ReLU(), (2, 3), {"wrt": [np.ones(2)]}, TypeError, "expected wrt to be a list of names"),
        (ReLU(), (2, 3), {"wrt": {"x": 1}}, TypeError, "expected wrt to be a list"),
        (ReLU(), (10**5, 10**5), {}, ValueError, "input_shape_or_x to hold at most"),
        (MeanSquaredError(), (2, 3), {}, TypeError, "There is check_loss"),
        (ReLU(), (2, 3), {"max_kinks": 2}, ValueError, "expected max_kinks"),
        (ReLU(), (2, 3), {"wrt": "x"}, TypeError, "expected wrt to be a list"),
        (Dense(2), (2, 3), {"wrt": ["w"]}, ValueError, "name some of x, W, b; received 'w'"),
        (Returns(lambda x: x.astype("f")), (2, 3), {}, ValueError, "return float64 for float64"),
        (Returns(lambda x: x.astype("f").astype("d")), (2, 3), {}, ValueError, "rounds to float32"),
        (Returns(lambda x: x / 0.0 * 0), (2, 3), {}, ValueError, "NaN or infinity"),
        (Returns(lambda x: x[:, :2]), (2, 3), {}, ValueError, r"forward returns shape \(2, 2\)"),
        (
            Noise(lambda self, shape: np.random.normal(size=shape)),
            (2, 3),
            {},
            ValueError,
            "different numbers for the same x",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_wrong_use_of_check_layer(layer, x, options, error, words):
    with pytest.raises(error, match=f"(?s){words}"):
        check_layer(layer, x, **options)


class MeanOfAll(Loss):
    def forward(self, y_true, y_pred):
        return np.mean((y_pred - y_true) ** 2)

    def backward(self, y_true, y_pred):
        return 2 * (y_pred - y_true) / y_pred.size


@pytest.mark.parametrize(
    ("loss", "y_true", "y_pred", "error", "words"),
    [
        (MeanOfAll(), [[0.0]], [[1.0]], ValueError, r"the loss of each sample, shape \(1,\)"),
        ("nonsense", [[0.0]], [[1.0]], ValueError, "nonsense"),
        (3, [[0.0]], [[1.0]], TypeError, "has no forward"),
        (Sequential(), [[0.0]], [[1.0]], TypeError, "expected a loss, received <Sequential"),
        (Dense(1), [[0.0]], [[1.0]], TypeError, "expected a loss, received <Dense"),
        ("mse", [0.0], [1.0], ValueError, r"y_pred of shape \(N, ..., C\)"),
        ("mse", [[0.0]], [[np.inf]], ValueError, "y_pred to be finite"),
        ("mse", [[0.0, 1.0]], [[1.0]], ValueError, "expected y_true of shape"),
        ("mse", [[0.0], [1.0]], [[1.0]], ValueError, "same number of samples"),
        ("sparse_categorical_crossentropy", [5], [[0.5, 0.5]], ValueError, "labels from 0 to 1"),
    ],
)
def test_wrong_use_of_check_loss(loss, y_true, y_pred, error, words):
    with pytest.raises(error, match=words):
        check_loss(loss, y_true, y_pred)


@pytest.mark.parametrize(
    ("model", "x", "y", "options", "error", "words"),
    [
        (Dense(2), [[1.0]], [0], {}, TypeError, "there is check_layer"),
        (Sequential(), [[1.0]], [0], {}, ValueError, "has no layers"),
        (Sequential([Dense(2)]), [[1.0]], [0], {}, ValueError, "give loss=..."),
        (Sequential([Dense(2)]), [[1.0]], [5], {"loss": "mse"}, ValueError, "expected y of shape"),
        (Sequential([Dense(1)]), [[1.0]], [[5], [4]], {"loss": "mse"}, ValueError, "same number"),
        (Sequential([Dense(1)]), [[np.inf]], [[5]], {"loss": "mse"}, ValueError, "finite"),
        (Sequential([Dense(1)]), [], [[5]], {"loss": "mse"}, ValueError, "no empty axis"),
        (Sequential([Dense(1)]), [[1.0]], [[], [4]], {"loss": "mse"}, TypeError, "y to be an arr"),
        (
            Sequential([Dense(1, input_shape=(2,))]),
            [[1.0]],
            [[5]],
            {"loss": "mse"},
            ValueError,
            r"expected x of shape \('N', 2\)",
        ),
        (
            Sequential([Dense(1, name="d")]),
            [[1.0]],
            [[5]],
            {"loss": "mse", "wrt": ["W"]},
            ValueError,
            "name some of x, d/W, d/b",
        ),
        *(
            (Sequential([Dense(1)]), [[1.0]], [[5]], {"loss": "mse", **wrong}, error, words)
            for wrong, error, words in [
                ({"perturb": np.ones(2)}, TypeError, "expected perturb to be True or False"),
                ({"max_elements": 0}, ValueError, "expected max_elements"),
                ({"wrt": []}, ValueError, "expected wrt to hold names"),
                ({"wrt": [[1]]}, TypeError, "expected wrt to be a list of names"),
            ]
        ),
    ],
)
def test_wrong_use_of_check_model(model, x, y, options, error, words):
    with pytest.raises(error, match=words):
        check_model(model, x, y, **options)


@pytest.mark.parametrize("option", ["--seed", "--random-models"])
@pytest.mark.parametrize("value", ["-1", "2.5", "many"])
def test_wrong_use_of_the_command(option, value, capsys):
    with pytest.raises(SystemExit):
        command.main([f"{option}={value}"])
    assert f"argument {option}: expected an integer >= 0" in capsys.readouterr().err


def test_wrong_use_of_a_result():
    result = check_layer(ReLU(), (2, 3))
    for name in (3, None, np.array(["x"]), ["x"]):
        with pytest.raises(TypeError, match="expected the name of a row"):
            result[name]
