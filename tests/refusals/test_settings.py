"""Settings refuse wrong values and names, at construction and later."""

import numpy as np
import pytest
from test_settings import MADE, kinds, settings_of

from minicnn import layers, metrics
from minicnn.callbacks import Callback, History
from minicnn.initializers import Constant, GlorotUniform
from minicnn.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    InputLayer,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Softmax,
    Tanh,
)
from minicnn.losses import CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy
from minicnn.metrics import BinaryAccuracy
from minicnn.optimizers import SGD, Adam, RMSprop
from minicnn.settings import arguments, ignored

LAYER = {"activity_regularizer": None, "autocast": True, "trainable": True, "dtype": None}
REGULARIZED = dict.fromkeys(
    ("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint")
)


OPTIMIZER = {
    "weight_decay": None,
    "clipnorm": None,
    "clipvalue": None,
    "global_clipnorm": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


POOL = {"pool_size": (2, 2), "strides": None, "padding": "valid", "data_format": None}
LOSS = {"reduction": "sum_over_batch_size", "dtype": None}


# Keras 3's optional arguments, with its defaults
KERAS_ARGUMENTS = {
    Activation: LAYER,
    layers.AveragePooling2D: {**LAYER, **POOL},
    BatchNormalization: {
        **LAYER,
        "axis": -1,
        "momentum": 0.99,
        "epsilon": 0.001,
        "center": True,
        "scale": True,
        "beta_initializer": "zeros",
        "gamma_initializer": "ones",
        "moving_mean_initializer": "zeros",
        "moving_variance_initializer": "ones",
        "beta_regularizer": None,
        "gamma_regularizer": None,
        "beta_constraint": None,
        "gamma_constraint": None,
        "synchronized": False,
        "renorm": False,
        "renorm_clipping": None,
        "renorm_momentum": 0.99,
    },
    Conv2D: {
        **LAYER,
        **REGULARIZED,
        "strides": (1, 1),
        "padding": "valid",
        "data_format": None,
        "dilation_rate": (1, 1),
        "groups": 1,
        "activation": None,
        "use_bias": True,
        "kernel_initializer": "glorot_uniform",
        "bias_initializer": "zeros",
    },
    Dense: {
        **LAYER,
        **REGULARIZED,
        "activation": None,
        "use_bias": True,
        "kernel_initializer": "glorot_uniform",
        "bias_initializer": "zeros",
        "lora_rank": None,
        "lora_alpha": None,
        "quantization_config": None,
    },
    Dropout: {**LAYER, "noise_shape": None, "seed": None},
    Flatten: {**LAYER, "data_format": None},
    InputLayer: {
        "batch_size": None,
        "dtype": None,
        "sparse": None,
        "ragged": None,
        "batch_shape": None,
        "input_tensor": None,
        "optional": False,
        "name": None,
    },
    MaxPooling2D: {**LAYER, **POOL},
    ReLU: {**LAYER, "max_value": None, "negative_slope": 0.0, "threshold": 0.0},
    Rescaling: {**LAYER, "offset": 0.0},
    Softmax: {**LAYER, "axis": -1},
    SGD: {**OPTIMIZER, "learning_rate": 0.01, "momentum": 0.0, "nesterov": False, "name": "SGD"},
    RMSprop: {
        **OPTIMIZER,
        "learning_rate": 0.001,
        "rho": 0.9,
        "momentum": 0.0,
        "epsilon": 1e-7,
        "centered": False,
        "name": "rmsprop",
    },
    Adam: {
        **OPTIMIZER,
        "learning_rate": 0.001,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "amsgrad": False,
        "name": "adam",
    },
    CategoricalCrossentropy: {**LOSS, "from_logits": False, "label_smoothing": 0.0, "axis": -1},
    MeanSquaredError: LOSS,
    SparseCategoricalCrossentropy: {**LOSS, "from_logits": False, "ignore_class": None, "axis": -1},
    BinaryAccuracy: {"dtype": None, "threshold": 0.5},
    **{kind: {"dtype": None} for kind in metrics.KNOWN.values() if kind is not BinaryAccuracy},
    Constant: {"value": 0.0},
    GlorotUniform: {"seed": None},
}


# arguments of every class above, of which each class has to refuse those that are not its own
ALL_ARGUMENTS = sorted({name for table in KERAS_ARGUMENTS.values() for name in table})
FIRST = {
    Activation: ("relu",),
    Conv2D: (4, 3),
    layers.Conv2DTranspose: (4, 3),
    layers.DepthwiseConv2D: (3,),
    layers.SeparableConv2D: (4, 3),
    Dense: (3,),
    Dropout: (0.5,),
    layers.AlphaDropout: (0.5,),
    layers.GaussianDropout: (0.5,),
    layers.GaussianNoise: (0.5,),
    layers.RandomBrightness: (0.1,),
    layers.RandomContrast: (0.1,),
    layers.RandomCrop: (3, 4),
    layers.RandomRotation: (0.1,),
    layers.RandomTranslation: (0.1, 0.1),
    layers.RandomZoom: (0.1,),
    layers.SpatialDropout2D: (0.5,),
    layers.CenterCrop: (3, 4),
    layers.Permute: ((2, 1),),
    layers.RepeatVector: (3,),
    layers.Reshape: ((3, 4),),
    layers.Resizing: (3, 4),
    InputLayer: ((4,),),
    Rescaling: (1.0,),
    layers.Threshold: (0.5, 0.25),
    metrics.IoU: (3, (0, 1)),
    metrics.MeanIoU: (3,),
    metrics.OneHotIoU: (3, (0, 1)),
    metrics.OneHotMeanIoU: (3,),
    metrics.PrecisionAtRecall: (0.5,),
    metrics.RecallAtPrecision: (0.5,),
    metrics.SensitivityAtSpecificity: (0.5,),
    metrics.SpecificityAtSensitivity: (0.5,),
}


class Nonsense:
    """A value that no setting takes."""


@kinds
def test_a_wrong_value_is_the_same_error_at_construction_and_later(kind):
    if kind in (Callback, History, InputLayer):
        return
    for name in settings_of(kind):
        thing = MADE[kind]()
        before = thing.get_config()
        with pytest.raises((TypeError, ValueError)) as later:
            setattr(thing, name, Nonsense())
        assert f"expected {name} " in str(later.value)
        assert thing.get_config() == before
        if name in arguments(kind):
            first = dict(zip(arguments(kind), FIRST.get(kind, ())))
            with pytest.raises(type(later.value), match=f"expected {name} "):
                kind(**{**first, name: Nonsense()})


@pytest.mark.parametrize(
    "kind", KERAS_ARGUMENTS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}"
)
def test_keras_s_defaults_are_taken_and_foreign_arguments_refused(kind):
    first = FIRST.get(kind, ())
    for name, default in KERAS_ARGUMENTS[kind].items():
        kind(*first, **{name: default})
    kind(*first, **KERAS_ARGUMENTS[kind])
    own = {*KERAS_ARGUMENTS[kind], *arguments(kind), *ignored(kind)}
    for name in ALL_ARGUMENTS:
        if name not in own:
            with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
                kind(*first, **{name: None})
    for name, values in ignored(kind).items():
        if name in arguments(kind):  # an argument of Keras's in front of some of ours
            assert arguments(kind)[name].default == values[0]
        assert name in KERAS_ARGUMENTS[kind] or kind in (InputLayer, Conv2D, GlorotUniform)
        with pytest.raises(ValueError, match=f"{name} can only be {values[0]!r}"):
            kind(*first, **{name: "something else"})


@pytest.mark.parametrize(
    ("make", "name", "right"),
    [
        (lambda: Conv2D(2, 3, kernelsize=2), "kernelsize", "kernel_size"),
        (lambda: Conv2D(2, 3, stride=2), "stride", "strides"),
        (lambda: Dense(2, activaton="relu"), "activaton", "activation"),
        (lambda: Adam(beta1=0.5), "beta1", "beta_1"),
        (lambda: Adam(learningrate=0.5), "learningrate", "learning_rate"),
        (lambda: BatchNormalization(momemtum=0.5), "momemtum", "momentum"),
        (lambda: MeanSquaredError(reducton="mean"), "reducton", "reduction"),
        (lambda: GlorotUniform(sede=1), "sede", "seed"),
        (lambda: setattr(Adam(), "beta1", 0.5), "beta1", "beta_1"),
        (lambda: setattr(Adam(), "learningrate", 0.5), "learningrate", "learning_rate"),
        (lambda: setattr(SGD(), "dceay", 0.5), "dceay", "decay"),
        (lambda: setattr(SGD(), "nestrov", True), "nestrov", "nesterov"),
        (lambda: setattr(Conv2D(2, 3), "stride", 2), "stride", "strides"),
        (lambda: setattr(Dense(2), "trainble", False), "trainble", "trainable"),
        (lambda: setattr(BatchNormalization(), "momemtum", 0.5), "momemtum", "momentum"),
        (lambda: setattr(Dropout(0.5), "raet", 0.1), "raet", "rate"),
        (lambda: setattr(History(), "on_epoch_ends", print), "on_epoch_ends", "on_epoch_end"),
        (lambda: Dense.from_config({"unit": 3}), "unit", "units"),
    ],
)
def test_a_wrong_name_names_the_right_one(make, name, right):
    with pytest.raises(TypeError, match=rf"'{name}'.*\b{right}\b"):
        make()


def test_later_values_are_checked_and_brought_into_form():
    conv = Conv2D(2, 3)
    conv.strides = 2
    assert conv.strides == (2, 2)
    assert conv(np.ones((1, 7, 7, 1), np.float32)).shape == (1, 3, 3, 2)
    for thing, name, wrong in (
        (MaxPooling2D(), "pool_size", (0, 0)),
        (BatchNormalization(), "momentum", -1),
        (Adam(), "iterations", -1),
        (Adam(), "learning_rate", -0.1),
        (SGD(), "momentum", 2),
        (Constant(), "value", np.nan),
        (conv, "strides", 1),  # built by now
    ):
        with pytest.raises(ValueError, match=f"expected {name} "):
            setattr(thing, name, wrong)
    dense = Dense(2)
    dense.activation = "tanh"
    assert type(dense.activation) is Tanh


def test_a_config_without_a_needed_key():
    with pytest.raises(TypeError, match="Conv2D: expected config to hold 'kernel_size'"):
        Conv2D.from_config({"filters": 2})
    for wrong in (None, 3, [("units", 3)], {3: 4}):
        with pytest.raises(TypeError, match="Dense: expected config to be a dict"):
            Dense.from_config(wrong)
