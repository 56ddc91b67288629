"""Settings: declared once on a class, checked whenever they are set, written to a config."""

import copy
import functools
import json
import pickle

import numpy as np
import pytest
from cases.layers import LAYERS
from cases.optimizers import OPTIMIZERS

from minicnn import (
    Sequential,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
)
from minicnn.callbacks import Callback, History
from minicnn.checks import real
from minicnn.initializers import Constant, GlorotUniform, Zeros
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
from minicnn.optimizers import SGD, Adam, RMSprop, schedules
from minicnn.settings import Setting, arguments, ignored

# how each public class is made, with settings that are not the defaults
MADE = {
    Activation: lambda: Activation(Tanh()),
    layers.ActivationLayer: lambda: layers.ActivationLayer(),
    layers.AveragePooling2D: lambda: layers.AveragePooling2D((3, 2), 1, "same"),
    BatchNormalization: lambda: BatchNormalization(momentum=0.5, epsilon=1e-5, scale=False),
    Conv2D: lambda: Conv2D(
        np.int64(4), 3, (2, 1), "SAME", activation="relu", kernel_initializer=np.ones((3, 3, 1, 4))
    ),
    Dense: lambda: Dense(3, "softmax", bias_initializer=Constant(0.5), input_shape=(4,)),
    Dropout: lambda: Dropout(np.float32(0.25), (None, 1), seed=7, trainable=False),
    Flatten: lambda: Flatten(name="rows"),
    InputLayer: lambda: InputLayer((28, 28, 1), dtype="float64"),
    layers.Layer: lambda: layers.Layer(),
    layers.Linear: lambda: layers.Linear(),
    MaxPooling2D: lambda: MaxPooling2D(3, dtype="float64"),
    ReLU: lambda: ReLU(),
    Rescaling: lambda: Rescaling(np.array([0.5, 2.0]), -1),
    layers.Sigmoid: lambda: layers.Sigmoid(),
    Softmax: lambda: Softmax(),
    Tanh: lambda: Tanh(),
    optimizers.Optimizer: lambda: optimizers.Optimizer(0.5),
    SGD: lambda: SGD(0.1, 0.9, True),
    RMSprop: lambda: RMSprop(rho=np.float64(0.5)),
    Adam: lambda: Adam(beta_1=0.5, name="mine"),
    losses.Loss: lambda: losses.Loss(name="mine"),
    losses.BinaryCrossentropy: lambda: losses.BinaryCrossentropy(True, 0.25, 1, reduction="sum"),
    losses.BinaryFocalCrossentropy: lambda: losses.BinaryFocalCrossentropy(True, 0.5, 3),
    CategoricalCrossentropy: lambda: CategoricalCrossentropy(True),
    losses.CategoricalFocalCrossentropy: lambda: losses.CategoricalFocalCrossentropy([0.5, 1]),
    losses.CategoricalHinge: lambda: losses.CategoricalHinge(reduction=None),
    losses.CosineSimilarity: lambda: losses.CosineSimilarity(axis=1),
    losses.Hinge: lambda: losses.Hinge(reduction="none"),
    losses.Huber: lambda: losses.Huber(np.float32(0.5)),
    losses.KLDivergence: lambda: losses.KLDivergence(reduction="mean"),
    losses.LogCosh: lambda: losses.LogCosh(name="mine"),
    losses.MeanAbsoluteError: lambda: losses.MeanAbsoluteError(reduction="SUM"),
    losses.MeanAbsolutePercentageError: lambda: losses.MeanAbsolutePercentageError(),
    MeanSquaredError: lambda: MeanSquaredError(name="mine"),
    losses.MeanSquaredLogarithmicError: lambda: losses.MeanSquaredLogarithmicError(name="mine"),
    losses.Poisson: lambda: losses.Poisson(reduction="mean_with_sample_weight"),
    SparseCategoricalCrossentropy: lambda: SparseCategoricalCrossentropy(np.True_, -1),
    losses.SquaredHinge: lambda: losses.SquaredHinge(name="mine"),
    metrics.Metric: lambda: metrics.Metric("mine"),
    metrics.AUC: lambda: metrics.AUC(50, "pr", "majoring", thresholds=[0.75, 0.25]),
    metrics.Accuracy: lambda: metrics.Accuracy(),
    BinaryAccuracy: lambda: BinaryAccuracy(),
    metrics.BinaryCrossentropy: lambda: metrics.BinaryCrossentropy(from_logits=True),
    metrics.BinaryIoU: lambda: metrics.BinaryIoU([1], np.float64(0.25)),
    metrics.CategoricalCrossentropy: lambda: metrics.CategoricalCrossentropy("mine", axis=1),
    metrics.CategoricalHinge: lambda: metrics.CategoricalHinge(),
    metrics.CosineSimilarity: lambda: metrics.CosineSimilarity(axis=1),
    metrics.F1Score: lambda: metrics.F1Score("macro", 0.5),
    metrics.FBetaScore: lambda: metrics.FBetaScore("micro", 2),
    metrics.FalseNegatives: lambda: metrics.FalseNegatives(0.25),
    metrics.FalsePositives: lambda: metrics.FalsePositives([0.25, 1]),
    metrics.Hinge: lambda: metrics.Hinge(),
    metrics.IoU: lambda: metrics.IoU(3, [2, np.int64(0)]),
    metrics.KLDivergence: lambda: metrics.KLDivergence(),
    metrics.LogCoshError: lambda: metrics.LogCoshError(),
    metrics.Mean: lambda: metrics.Mean(),
    metrics.MeanAbsolutePercentageError: lambda: metrics.MeanAbsolutePercentageError(),
    metrics.MeanIoU: lambda: metrics.MeanIoU(3, ignore_class=-1),
    metrics.MeanSquaredLogarithmicError: lambda: metrics.MeanSquaredLogarithmicError(),
    metrics.OneHotIoU: lambda: metrics.OneHotIoU(3, (1,), axis=1),
    metrics.OneHotMeanIoU: lambda: metrics.OneHotMeanIoU(3, "mine", sparse_y_pred=True),
    metrics.Poisson: lambda: metrics.Poisson(),
    metrics.Precision: lambda: metrics.Precision([0.5], 2, 1),
    metrics.PrecisionAtRecall: lambda: metrics.PrecisionAtRecall(0.5, 20),
    metrics.R2Score: lambda: metrics.R2Score(None, 2),
    metrics.Recall: lambda: metrics.Recall(class_id=np.int64(1)),
    metrics.RecallAtPrecision: lambda: metrics.RecallAtPrecision(0.5, class_id=1),
    metrics.RootMeanSquaredError: lambda: metrics.RootMeanSquaredError("rmse"),
    metrics.SensitivityAtSpecificity: lambda: metrics.SensitivityAtSpecificity(1),
    metrics.SparseCategoricalCrossentropy: lambda: metrics.SparseCategoricalCrossentropy(
        ignore_class=-1
    ),
    metrics.SparseTopKCategoricalAccuracy: lambda: metrics.SparseTopKCategoricalAccuracy(3),
    metrics.SpecificityAtSensitivity: lambda: metrics.SpecificityAtSensitivity(0.5),
    metrics.SquaredHinge: lambda: metrics.SquaredHinge(),
    metrics.Sum: lambda: metrics.Sum("all"),
    metrics.TopKCategoricalAccuracy: lambda: metrics.TopKCategoricalAccuracy(3),
    metrics.TrueNegatives: lambda: metrics.TrueNegatives(),
    metrics.TruePositives: lambda: metrics.TruePositives(0.75),
    metrics.CategoricalAccuracy: lambda: metrics.CategoricalAccuracy("acc"),
    metrics.MeanAbsoluteError: lambda: metrics.MeanAbsoluteError(),
    metrics.MeanSquaredError: lambda: metrics.MeanSquaredError(),
    metrics.SparseCategoricalAccuracy: lambda: metrics.SparseCategoricalAccuracy(),
    initializers.Initializer: lambda: initializers.Initializer(3),
    Constant: lambda: Constant([[1.0, 2.0]]),
    initializers.GlorotNormal: lambda: initializers.GlorotNormal(np.int32(1)),
    GlorotUniform: lambda: GlorotUniform(1),
    initializers.HeNormal: lambda: initializers.HeNormal(1),
    initializers.HeUniform: lambda: initializers.HeUniform(1),
    initializers.Identity: lambda: initializers.Identity(2.0),
    initializers.LecunNormal: lambda: initializers.LecunNormal(1),
    initializers.LecunUniform: lambda: initializers.LecunUniform(1),
    initializers.Ones: lambda: initializers.Ones(),
    initializers.Orthogonal: lambda: initializers.Orthogonal(2.0, seed=1),
    initializers.RandomNormal: lambda: initializers.RandomNormal(1.0, 2.0, seed=1),
    initializers.RandomUniform: lambda: initializers.RandomUniform(-1.0, 2.0, seed=1),
    initializers.TruncatedNormal: lambda: initializers.TruncatedNormal(1.0, 2.0, seed=1),
    initializers.VarianceScaling: lambda: initializers.VarianceScaling(2.0, "fan_avg", "uniform"),
    Zeros: lambda: Zeros(),
    Callback: lambda: Callback(),
    History: lambda: History(),
}

for kind, case in {**LAYERS, **OPTIMIZERS}.items():  # the others as the table of cases has them
    fullest = max((getattr(e, "kwargs", e) for e in case.examples.values()), key=len)
    MADE.setdefault(kind, functools.partial(kind, **fullest))

MADE |= {
    regularizers.Regularizer: lambda: regularizers.Regularizer(),
    regularizers.L1: lambda: regularizers.L1(0.5),
    regularizers.L2: lambda: regularizers.L2(np.float32(0.5)),
    regularizers.L1L2: lambda: regularizers.L1L2(0.5, 2),
    regularizers.OrthogonalRegularizer: lambda: regularizers.OrthogonalRegularizer(0.5, "columns"),
    constraints.Constraint: lambda: constraints.Constraint(),
    constraints.MaxNorm: lambda: constraints.MaxNorm(3, [0, 1, 2]),
    constraints.MinMaxNorm: lambda: constraints.MinMaxNorm(0.5, 2, 0.25, -1),
    constraints.NonNeg: lambda: constraints.NonNeg(),
    constraints.UnitNorm: lambda: constraints.UnitNorm((0,)),
}


kinds = pytest.mark.parametrize("kind", MADE, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")


def settings_of(kind):
    return [name for name in dir(kind) if isinstance(vars_of(kind).get(name), Setting)]


def vars_of(kind):
    return {name: value for one in reversed(kind.__mro__) for name, value in vars(one).items()}


def test_every_public_class_is_here():
    modules = (layers, losses, metrics, optimizers, initializers, regularizers, constraints)
    public = [one for module in modules for one in vars(module).values()]
    bases = (layers.Layer, losses.Loss, metrics.Metric, optimizers.Optimizer)
    bases += (regularizers.Regularizer, constraints.Constraint)
    missing = [
        one.__name__
        for one in public
        if isinstance(one, type)
        and issubclass(one, (*bases, initializers.Initializer))
        and not one.__name__.startswith("_")
        and one not in (losses.Function, metrics.MeanMetricWrapper)  # which no config can hold
        and one not in MADE
    ]
    assert not missing, f"add {missing} to MADE: how it is made with other settings than the usual"


@kinds
def test_a_config_goes_through_json_and_makes_an_equal_object(kind):
    thing = MADE[kind]()
    config = thing.get_config()
    assert json.loads(json.dumps(config)) == config
    again = kind.from_config(json.loads(json.dumps(config)))
    assert type(again) is kind
    assert again.get_config() == config
    rules = (regularizers.Regularizer, constraints.Constraint)
    for name in settings_of(kind):
        if isinstance(value := getattr(thing, name, None), rules):
            assert getattr(again, name).get_config() == value.get_config()
        elif name in arguments(kind) and not isinstance(
            getattr(thing, name), (layers.Layer, np.ndarray)
        ):
            mine, other = getattr(thing, name), getattr(again, name)
            assert type(mine) is type(other)
            assert isinstance(mine, initializers.Initializer) or mine == other
    for same in (copy.deepcopy(thing), pickle.loads(pickle.dumps(thing)), copy.copy(thing)):
        assert same.get_config() == config


@kinds
def test_a_config_holds_the_constructor_s_arguments(kind):
    config = MADE[kind]().get_config()
    assert set(config) <= set(arguments(kind))
    # there only if it is set, as in Keras, and what only Keras has
    other_words = {"input_shape", "input_dim", "batch_shape", "lr", "decay"}
    without = {*other_words, "activity_regularizer", *ignored(kind)}
    assert set(arguments(kind)) - set(config) <= without


def test_a_penalty_on_outputs_is_in_the_config_of_convolutions_and_where_there_is_one():
    assert layers.Conv2D(3, 2).get_config()["activity_regularizer"] is None
    for layer in (layers.ReLU(), layers.Dense(3)):
        assert "activity_regularizer" not in layer.get_config()
    penalty = layers.ReLU(activity_regularizer="l2").get_config()["activity_regularizer"]
    assert penalty == {"class_name": "L2", "config": {"l2": 0.01}}


@kinds
def test_repr_names_the_class(kind):
    text = repr(MADE[kind]())
    assert text.startswith(("<", "") if issubclass(kind, layers.Layer) else kind.__name__)
    if issubclass(kind, layers.Layer):
        assert text.startswith(f"<{kind.__name__} name=")


def test_repr_is_a_call():
    assert repr(Adam()) == (
        "Adam(learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-07, amsgrad=False)"
    )
    assert repr(GlorotUniform(3)) == "GlorotUniform(seed=3)"
    assert repr(MeanSquaredError()) == "MeanSquaredError(name='mean_squared_error')"


@kinds
def test_users_own_attributes_are_free(kind):
    thing = MADE[kind]()
    for name in ("note", "note_to_self", "my_counter", "_hidden", "tag"):
        setattr(thing, name, 3)
        assert getattr(thing, name) == 3
    own = type("Own", (kind,), {"__module__": "users"})
    mine = own.from_config(thing.get_config())
    mine.stride, mine.lr, mine.beta1, mine.on_epoch_ends = 1, 2, 3, 4


REGULARIZED = ("kernel_regularizer", "bias_regularizer", "kernel_constraint", "bias_constraint")

WINDOWS = {"kernel_size", "strides", "padding", "dilation_rate", "use_bias"}
EACH_CHANNEL = {"depth_multiplier", "depthwise_regularizer", "depthwise_constraint"}
EACH_CHANNEL |= {"bias_regularizer", "bias_constraint"}

NORMALIZING = {"axis", "center", "scale", "beta_regularizer", "gamma_regularizer"}
NORMALIZING |= {"beta_constraint", "gamma_constraint"}

FIXED = {
    Conv2D: {*WINDOWS, "filters", "groups", *REGULARIZED},
    layers.Conv2DTranspose: {*WINDOWS, "filters", "output_padding", *REGULARIZED},
    layers.DepthwiseConv2D: {*WINDOWS, *EACH_CHANNEL},
    layers.SeparableConv2D: {
        *WINDOWS,
        *EACH_CHANNEL,
        *("filters", "pointwise_regularizer", "pointwise_constraint"),
    },
    Dense: {"units", "use_bias", *REGULARIZED},
    BatchNormalization: NORMALIZING,
    layers.GroupNormalization: {*NORMALIZING, "groups"},
    layers.LayerNormalization: NORMALIZING,
    layers.RMSNormalization: {"axis"},
    MaxPooling2D: {"pool_size", "strides", "padding"},
    layers.AveragePooling2D: {"pool_size", "strides", "padding"},
    layers.GlobalAveragePooling2D: {"keepdims"},
    layers.GlobalMaxPooling2D: {"keepdims"},
    layers.PReLU: {"shared_axes", "alpha_regularizer", "alpha_constraint"},
    layers.CenterCrop: {"height", "width"},
    layers.Cropping2D: {"cropping"},
    layers.Normalization: {"axis", "mean", "variance"},
    layers.Permute: {"dims"},
    layers.RepeatVector: {"n"},
    layers.RandomCrop: {"height", "width"},
    layers.Reshape: {"target_shape"},
    layers.Resizing: {
        "height",
        "width",
        "interpolation",
        "crop_to_aspect_ratio",
        "pad_to_aspect_ratio",
    },
    layers.UpSampling2D: {"size", "interpolation"},
    layers.ZeroPadding2D: {"padding"},
}


SHAPES = {  # where a 9x9 image does not fit
    Dense: (None, 4),
    layers.Normalization: (None, 9, 2),
    layers.RepeatVector: (None, 4),
    layers.Reshape: (None, 12),
}


@kinds
def test_what_build_depends_on_stays(kind):
    fixed = {name for name in settings_of(kind) if vars_of(kind)[name].fixed}
    assert fixed == FIXED.get(kind, set())
    for name in fixed:
        layer = MADE[kind]()
        setattr(layer, name, getattr(layer, name))
        layer.build(SHAPES.get(kind, (None, 9, 9, 1)))
        before = layer.get_config()
        with pytest.raises(ValueError, match=f"expected {name} to stay"):
            setattr(layer, name, getattr(layer, name))
        assert layer.get_config() == before


GET = {
    layers.activations.get: [ReLU, Softmax, Tanh, layers.Sigmoid, layers.Linear, Activation],
    initializers.get: list({*initializers.KNOWN.values()}),
    losses.get: list({*losses.KNOWN.values()}),
    optimizers.get: list({*optimizers.KNOWN.values()}),
    lambda one: metrics.get(one, MeanSquaredError(), (None, 2)): list({*metrics.KNOWN.values()}),
}


@pytest.mark.parametrize(
    "get", GET, ids=["activation", "initializer", "loss", "optimizer", "metric"]
)
def test_get_makes_public_classes_from_their_configs_and_nothing_else(get):
    for kind in GET[get]:
        config = MADE[kind]().get_config()
        made = get({"class_name": kind.__name__, "config": config})
        assert type(made) is kind
        assert made.get_config() == config
        module = {"module": "keras.layers", "registered_name": None}
        assert type(get({"class_name": kind.__name__, "config": config, **module})) is kind
    name = GET[get][0].__name__
    for wrong, words in (
        ({}, "the keys class_name and config"),
        ({"class_name": name}, "the keys class_name and config"),
        ({"class_name": name, "config": {}, "extra": 1}, "the keys class_name and config"),
        ({"class_name": "os.system", "config": {}}, "expected class_name of"),
        ({"class_name": "Dense", "config": {"units": 2}}, "expected class_name of"),
        ({"class_name": 3, "config": {}}, "expected class_name of"),
        ({"class_name": name, "config": 3}, f"{name}: expected config to be a dict"),
        ({"class_name": name, "config": {"nonsense": 3}}, f"{name}.*'nonsense'"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            get(wrong)


def test_configs_of_what_is_inside_a_layer():
    config = Conv2D(2, 3, activation="relu").get_config()
    assert config["activation"] == "relu"
    assert config["kernel_initializer"] == {"class_name": "GlorotUniform", "config": {"seed": None}}
    assert config["strides"] == [1, 1]
    assert Dense(2, kernel_initializer=np.eye(2)).get_config()["kernel_initializer"] == {
        "class_name": "Constant",
        "config": {"value": [[1.0, 0.0], [0.0, 1.0]]},
    }
    inner = Dense(2, Activation("tanh", name="a")).get_config()["activation"]
    assert inner["class_name"] == "Activation"
    assert type(Dense.from_config({"units": 2, "activation": inner}).activation) is Activation


class Scaled(Dense):
    factor = Setting(lambda value, name, who: real(value, name, who, low=0))

    def __init__(self, factor, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.factor = factor


class Undeclared(Dense):
    def __init__(self, factor, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.factor = factor


def test_a_subclass_s_declared_arguments_are_in_its_config():
    layer = Scaled(2, units=3)
    assert layer.get_config()["factor"] == 2.0
    assert Scaled.from_config(layer.get_config()).get_config() == layer.get_config()
    with pytest.raises(ValueError, match="expected factor"):
        layer.factor = -1
    with pytest.raises(TypeError, match="'factor'.*define get_config"):
        Undeclared.from_config(Undeclared(2, units=3).get_config())


def test_a_name_on_the_class_is_a_default():
    class Own(metrics.Metric):
        name = "own"

    assert Own.name == Own().name == "own"
    assert Own("other").name == "other"
    with pytest.raises(TypeError, match="expected name"):
        Own().name = 3


def test_copies_of_a_built_layer_hold_their_settings_and_share_nothing():
    model = Sequential(
        [Conv2D(2, 3, activation="relu", input_shape=(5, 5, 1)), Flatten(), Dense(2)]
    )
    for layer in model.layers:
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), layer.replica()):
            assert other.get_config() == layer.get_config()
            if isinstance(layer, Conv2D):
                assert other.activation is not layer.activation


@pytest.mark.parametrize(
    ("thing", "name", "value"),
    [
        (lambda: layers.MaxPooling2D((2, 3), 1), "strides", (2, 3)),
        (lambda: layers.AveragePooling2D(3, 1), "strides", (3, 3)),
        (lambda: regularizers.L1(0.5), "l1", 0.01),
        (lambda: regularizers.L2(0.5), "l2", 0.01),
        (lambda: regularizers.L1L2(0.5, 0.5), "l1", 0.0),
        (lambda: regularizers.L1L2(0.5, 0.5), "l2", 0.0),
        (lambda: schedules.CosineDecay(0.1, 10), "name", "CosineDecay"),
    ],
)
def test_none_means_the_same_later_as_in_the_constructor(thing, name, value):
    later = thing()
    setattr(later, name, None)
    made = type(later).from_config({**thing().get_config(), name: None})
    assert getattr(later, name) == getattr(made, name) == value


def test_a_layer_that_loses_its_name_gets_an_automatic_one():
    layer = layers.Dense(2, name="mine")
    layer.name = None
    assert layer.name.startswith("dense")


def test_dtype_says_that_it_stays():
    with pytest.raises(AttributeError, match=r"Dense 'mine': .*dtype to the constructor of a new"):
        layers.Dense(2, name="mine").dtype = "float64"


def test_lists_of_a_schedule_cannot_change_past_their_checks():
    schedule = schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3])
    for held in (schedule.boundaries, schedule.values):
        assert isinstance(held, tuple)
    assert schedule.get_config()["boundaries"] == [1, 2]


def test_a_new_model_of_built_layers_has_their_weights():
    built = Sequential([layers.Input((3,)), layers.Dense(4), layers.Dense(2)])
    part = Sequential(built.layers[:-1])
    kernel, bias = part.get_weights()
    np.testing.assert_array_equal(kernel, built.get_weights()[0])
    part.set_weights([kernel + 1, bias])
    np.testing.assert_array_equal(built.get_weights()[0], kernel + 1)
    with pytest.raises(ValueError, match="get_weights needs a built model"):
        Sequential([built.layers[0], layers.Dense(2)]).get_weights()


@pytest.mark.parametrize(
    ("make", "name", "value", "what"),
    [
        (
            lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3]),
            "boundaries",
            [1, 2, 3],
            "values to be one more",
        ),
        (
            lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3]),
            "boundaries",
            [2, 1],
            "boundaries to ascend",
        ),
        (
            lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3]),
            "values",
            [],
            "values to be one more",
        ),
        (lambda: layers.Normalization(mean=1, variance=4), "variance", -1, "variance"),
        (lambda: layers.Normalization(mean=1, variance=4), "mean", [1, 2], "one shape"),
        (lambda: layers.Normalization(mean=1, variance=4), "mean", None, "both or neither"),
        (
            lambda: layers.Resizing(4, 4, crop_to_aspect_ratio=True),
            "pad_to_aspect_ratio",
            True,
            "received both",
        ),
        (lambda: layers.UnitNormalization(), "axis", None, "axis to be an integer"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_later_too(make, name, value, what):
    thing = make()
    config = thing.get_config()
    with pytest.raises((TypeError, ValueError), match=what):
        setattr(thing, name, value)
    assert thing.get_config() == config


def test_private_names_of_a_user_s_layer_keep_their_rules():
    class Half(layers.Layer):
        _rate = Setting(lambda value, name, who: real(value, name, who, low=0, high=1))

        def __init__(self):
            super().__init__()
            self._rate = self._factor = 0.5

        @property
        def _factor(self):
            return vars(self)["_factor"]

        @_factor.setter
        def _factor(self, value):
            if value <= 0:
                raise ValueError("a factor above 0")
            vars(self)["_factor"] = value

    layer = Half()
    for name in ("_rate", "_factor"):
        with pytest.raises(ValueError, match="rate|factor"):
            setattr(layer, name, -7)
        assert getattr(layer, name) == 0.5
