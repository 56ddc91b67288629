"""What Keras has and minicnn has not: each import and each use says what to write instead."""

import importlib

import numpy as np
import pytest

import minicnn
from minicnn import absent, layers, losses
from minicnn.layers import Dense, Flatten, Input, Layer
from minicnn.models import Model, Sequential
from refusals.helpers import refused

GRAPH = ("no functional API", "Sequential(", "forward and backward")


def test_a_functional_model():
    inputs = Input(shape=(4,))
    for call in (
        lambda: Model(inputs=inputs, outputs=inputs),
        lambda: Model(inputs, inputs, name="m"),
        lambda: minicnn.Model(),
        lambda: Dense(3)(inputs),
        lambda: Flatten()(Dense(3)),
        lambda: Sequential([Dense(3)])(inputs),
    ):
        with refused(TypeError, *GRAPH):
            call()


def test_a_layer_s_output_is_no_input_of_another():
    base = Sequential([Input((4,)), Dense(3), Dense(2)])
    for call in (
        lambda: Dense(5)(base.output),
        lambda: Dense(5)(base.layers[0].output),
        lambda: Model(base.input, base.layers[0].output),
        lambda: base.predict(base.input),
    ):
        with refused(TypeError, "no functional API"):
            call()


def test_a_sequential_is_a_model_as_in_keras():
    model = Sequential([Input((4,)), Dense(3)])
    assert isinstance(model, minicnn.Model)

    class Own(Sequential):
        pass

    assert isinstance(Own([Dense(2)]), Model)


def test_a_model_written_as_a_class():
    with refused(TypeError, "Own: expected a class derived from Sequential", *GRAPH):

        class Own(Model):
            def __init__(self):
                super().__init__()
                self.dense = Dense(3)

            def call(self, x):
                return self.dense(x)


def test_a_layer_with_call_is_shown_forward_and_backward():
    with refused(
        TypeError,
        "Own: expected forward(self, x, training=False) and backward(self, dy)",
        "no automatic differentiation",
        "received call",
    ):

        class Own(Layer):
            def call(self, inputs):
                return inputs


def relu6(x):
    raise AssertionError("is not called")


relu6.__module__ = "tensorflow.python.ops"


def test_functions_of_other_libraries_as_activation_and_loss():
    with refused(TypeError, "activation", "derivative", "activations.Function("):
        Dense(3, activation=relu6)
    with refused(TypeError, "expected loss to be", "gradient"):
        Sequential([Dense(3)]).compile("sgd", relu6)


@pytest.mark.parametrize("name", absent.LAYERS)
def test_layers_that_only_keras_has(name):
    words = f"minicnn.layers has no {name}. {absent.LAYERS[name]}"
    for find in (
        lambda: exec(f"from minicnn.layers import {name}", {}),
        lambda: getattr(layers, name),
        lambda: exec(f"from minicnn.layers.core import {name}", {}),
    ):
        with pytest.raises(ImportError) as caught:
            find()
        assert str(caught.value) == words


def test_what_is_written_instead_of_one_dimension_runs():
    model = Sequential(
        [
            Input((9, 2)),
            layers.Reshape((1, 9, 2)),
            layers.Conv2D(4, (1, 3)),
            layers.MaxPooling2D((1, 2)),
            Flatten(),
            Dense(3),
        ]
    )
    assert model.predict(np.zeros((5, 9, 2)), verbose=0).shape == (5, 3)


def test_other_names_are_missing_in_python_s_words():
    for module in (layers, losses):
        with pytest.raises(AttributeError, match="has no attribute 'Dence'"):
            _ = module.Dence
    assert not hasattr(layers, "Dence")
    with pytest.raises(ImportError, match="cannot import name 'Dence'"):
        exec("from minicnn.layers import Dence", {})
    assert set(absent.LAYERS).isdisjoint(layers.__all__)


@pytest.mark.parametrize(
    "statement",
    [
        "from minicnn.applications import VGG16",
        "from minicnn.applications.vgg16 import VGG16, preprocess_input",
        "from minicnn.applications.resnet50 import decode_predictions",
        "import minicnn; minicnn.applications.MobileNetV2(weights='imagenet')",
    ],
)
def test_pretrained_models(statement):
    with pytest.raises(ImportError, match=r"applications has no \w+. There are no pretrained"):
        exec(statement, {})


def test_the_module_of_pretrained_models_is_left_alone_by_inspection():
    module = importlib.import_module("minicnn.applications")
    assert not hasattr(module, "__wrapped__")
    assert not hasattr(module, "_private")
