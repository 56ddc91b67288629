"""One right call of each public callable.

`wrong_calls.py` puts wrong values in the place of the arguments, one or two at a time. What is
public is found by inspection: a new function, class or method without an entry here fails
`test_wrong_calls.py`, which says what to write. Layers come from the table in `cases/`.
"""

from __future__ import annotations

import atexit
import copy
import functools
import hashlib
import importlib
import inspect
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cases.metrics import METRICS as METRIC_CASES
from cases.optimizers import OPTIMIZERS
from strategies import CASES

import minicnn
from minicnn import (
    activations,
    callbacks,
    constraints,
    course,
    initializers,
    interop,
    losses,
    metrics,
    optimizers,
    regularizers,
    saving,
    tuning,
)
from minicnn.callbacks import Callback
from minicnn.datasets import cifar10, cifar100, fashion_mnist, idx, mnist, synthetic_fashion
from minicnn.explain import explain
from minicnn.gradcheck import check_layer, check_loss, check_model
from minicnn.layers import ActivationLayer, Dense, Dropout, Input, InputLayer, Layer, Tanh
from minicnn.layers.activations import KNOWN, Function
from minicnn.layers.activations.known import NEEDS_ARGUMENTS
from minicnn.models import Sequential
from minicnn.optimizers import SGD, Optimizer, schedules
from minicnn.preprocessing.image import ImageDataGenerator
from minicnn.py_dataset import PyDataset
from minicnn.savable import NOT_EXPORTED
from minicnn.settings import arguments as settings_of
from minicnn.settings import ignored


@dataclass
class Valid:
    """A right call: what is called, and with what.

    Attributes
    ----------
    function : callable
    given : dict
        The arguments by name; those of `*args` as a tuple, of which the first is replaced.
    watched : object
        What has to be unchanged after an error.
    keras : dict
        Arguments of Keras's that the function takes with these values alone.
    skipped : tuple of str
        Arguments that are no user's.
    also : tuple of callable
        Their arguments it takes too: `Dense(...)` those of `Layer(...)`.
    succeeds : bool
        False where what the right call needs is not there.
    """

    function: Callable[..., Any]
    given: dict[str, Any] = field(default_factory=dict)
    watched: Any = None
    keras: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    also: tuple[Callable[..., Any], ...] = ()
    succeeds: bool = True

    def parameters(self) -> dict[str, inspect.Parameter]:
        """The arguments that there are, apart from **kwargs."""
        if isinstance(self.function, Assign):
            return {}
        found: dict[str, inspect.Parameter] = {}
        for function in (self.function, *self.also):
            found |= inspect.signature(function).parameters
        return {
            name: parameter
            for name, parameter in found.items()
            if parameter.kind is not parameter.VAR_KEYWORD and name not in self.skipped
        }


class Assign:
    """Sets an attribute (or an entry of a dict), and then uses what it was set on."""

    def __init__(
        self, set_it: Callable[[Any], None], use: Callable[[], Any] = lambda: None
    ) -> None:
        self.set_it, self.use = set_it, use
        self.done = False  # whether the value was taken: then it stays, whatever its use says

    def __call__(self, **given: Any) -> Any:
        (value,) = given.values()
        self.set_it(value)
        self.done = True
        return self.use()


def setter(thing: Any, name: str) -> Callable[[Any], None]:
    return lambda value: setattr(thing, name, value)


def entry(table: dict[str, Any], key: str) -> Callable[[Any], None]:
    return lambda value: table.__setitem__(key, value)


SPARSE = "sparse_categorical_crossentropy"
RNG = np.random.default_rng


class OneEpoch(Callback):
    """Ends `fit` after one epoch, however many were asked for."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = True


def samples() -> tuple[np.ndarray, np.ndarray]:
    return RNG(0).standard_normal((12, 4)).astype("float32"), np.arange(12) % 3


def model() -> Sequential:
    """A model of all that a layer can hold, after one step."""
    layers: list[Layer] = [Input((4,)), Dense(5, "relu", name="dense")]
    layers += [minicnn.layers.BatchNormalization(name="norm"), Dropout(0.2, seed=1)]
    model = Sequential([*layers, Dense(3, "softmax", name="top")], name="model")
    model.compile(SGD(0.01, momentum=0.9), SPARSE, metrics=["accuracy"])
    model.train_on_batch(*samples())
    return model


def _exporting() -> Valid:
    path = Path(tempfile.gettempdir()) / f"valid_call_{os.getpid()}.onnx"
    atexit.register(path.unlink, missing_ok=True)
    one = model()
    return Valid(one.export, {"filepath": path, "format": "onnx"}, one, NOT_EXPORTED)


def _to_torch() -> Valid:
    one = model()
    return Valid(interop.to_torch, {"model": one, "like": interop.to_torch(one)}, one)


def _from_torch() -> Valid:
    one = model()
    return Valid(interop.from_torch, {"model": one, "state_dict": interop.to_torch(one)}, one)


def unbuilt() -> Sequential:
    return Sequential([Dense(5, "relu", name="dense"), Dense(3, name="top")], name="model")


def of_model(method: str, **given: Any) -> Callable[[], Valid]:
    """A call of a model's method; x and y are samples where it takes them."""

    def make() -> Valid:
        subject = model()
        x, y = samples()
        parameters = inspect.signature(getattr(Sequential, method)).parameters
        data = {k: v for k, v in {"x": x, "y": y, "verbose": 0}.items() if k in parameters}
        return Valid(getattr(subject, method), {**data, **given}, subject)

    return make


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def _file(ending: str) -> str:
    """The path of a file with the model, or its weights, in it."""
    path = f"{_folder().name}/model{ending}"
    (model().save if ending == ".keras" else model().save_weights)(path)
    return path


def _in_a_folder(method: str, ending: str) -> Callable[[], Valid]:
    def make() -> Valid:
        valid = of_model(method, filepath=_file(ending))()
        valid.skipped = ("overwrite",)  # test_saving.py: the file is there
        return valid

    return make


def of_object(make: Callable[[], Any], method: str, **given: Any) -> Callable[[], Valid]:
    def valid() -> Valid:
        thing = make()
        return Valid(getattr(thing, method), dict(given), thing)

    return valid


def of_function(function: Callable[..., Any], *skipped: str, **given: Any) -> Callable[[], Valid]:
    return lambda: Valid(function, dict(given), skipped=skipped)


LAYER_ARGUMENTS = (Layer,)  # what every layer's constructor hands on to


def _of_layers() -> Iterator[tuple[str, Callable[[], Valid]]]:
    """Constructor, methods and settings of every layer, from the table in `cases/layers.py`."""
    fullest = {}
    for case in CASES.values():  # of each class the case that gives most arguments
        if case.kind not in fullest or len(case.kwargs) > len(fullest[case.kind].kwargs):
            fullest[case.kind] = case
    for kind, case in fullest.items():
        name = name_of(kind)

        def made(case: Any = case, kind: Any = kind) -> Valid:
            given = {k: v for k, v in case.kwargs.items() if k != "input_shape"}
            also = LAYER_ARGUMENTS if kind is not InputLayer else ()
            return Valid(kind, given, None, ignored(kind), also=also)

        yield name, made
        yield f"{name}.forward", lambda case=case: _passing(case, "forward")
        yield f"{name}.__call__", lambda case=case: _passing(case, "__call__")
        yield f"{name}.backward", lambda case=case: _backward(case)
        yield f"{name}.build", lambda case=case: _building(case)
        yield f"{name}.output_shape", lambda case=case: _shapes(case)
        yield f"{name}.set_weights", lambda case=case: _weights(case)
        yield f"{name}.set_dtype", lambda case=case: _set_dtype(case)
        for setting in (*case.kwargs, "trainable", "name"):
            if setting != "shape":  # of an Input, which declares it once
                yield f"{name}.{setting} =", lambda c=case, s=setting: _setting(c, s, built=False)
                yield f"{name}.{setting} = (built)", lambda c=case, s=setting: _setting(c, s)
        for table in ("params", "grads", "state"):
            for key in getattr(case.layer(), table):
                yield f"{name}.{table}[{key}] =", lambda c=case, t=table, k=key: _entry(c, t, k)


def _of_activations() -> Iterator[tuple[str, Callable[[], Valid]]]:
    """The functions of `minicnn.activations`, with an example of their layer's arguments."""
    for function, name in activations.FUNCTIONS.items():
        layer = NEEDS_ARGUMENTS[name][0] if name in NEEDS_ARGUMENTS else KNOWN[name]
        given = next((case.kwargs for case in CASES.values() if case.kind is layer), {})
        given = {k: v for k, v in given.items() if k in inspect.signature(function).parameters}
        given = {"x": RNG(1).standard_normal((3, 4)), **given}
        yield name_of(function), lambda f=function, g=given: Valid(f, g)
    yield "activations.get", lambda: Valid(activations.get, {"identifier": "relu"})


def _adapting() -> Valid:
    layer = minicnn.layers.Normalization()
    return Valid(layer.adapt, {"data": RNG(3).standard_normal((5, 3))}, layer)


def _passing(case: Any, method: str) -> Valid:
    layer = case.layer()
    return Valid(getattr(layer, method), {"x": case.x()}, layer)


def _backward(case: Any) -> Valid:
    layer = case.layer()
    return Valid(layer.backward, {"dy": case.dy(layer.forward(case.x()))}, layer)


def _building(case: Any) -> Valid:
    layer = case.kind(**case.kwargs)
    return Valid(layer.build, {"input_shape": (None, *case.shape[1:])}, layer)


def _shapes(case: Any) -> Valid:
    layer = case.layer()
    return Valid(layer.output_shape, {"input_shape": (None, *case.shape[1:])}, layer)


def _weights(case: Any) -> Valid:
    layer = case.layer()
    return Valid(layer.set_weights, {"weights": layer.get_weights()}, layer)


def _set_dtype(case: Any) -> Valid:
    layer = case.kind(**case.kwargs)
    return Valid(layer.set_dtype, {"dtype": "float32"}, layer)


def _setting(case: Any, name: str, *, built: bool = True) -> Valid:
    layer = case.layer() if built else case.kind(**case.kwargs)
    right = {**case.kwargs, "activation": Tanh()}.get(name, {"name": "layer"}.get(name, True))
    use = lambda: layer.backward(case.dy(layer.forward(case.x(), training=True)))  # noqa: E731
    setting = inspect.getattr_static(case.kind, name)
    stays = built and getattr(setting, "fixed", False)
    return Valid(Assign(setter(layer, name), use), {name: right}, layer, succeeds=not stays)


def _table(case: Any, name: str) -> Valid:
    layer = case.layer()
    use = lambda: layer.backward(case.dy(layer.forward(case.x(), training=True)))  # noqa: E731
    return Valid(Assign(setter(layer, name), use), {name: dict(getattr(layer, name))}, layer)


def _entry(case: Any, table: str, key: str) -> Valid:
    layer = case.layer()
    right = getattr(layer, table)[key].copy()
    use = lambda: layer.backward(case.dy(layer.forward(case.x(), training=True)))  # noqa: E731
    return Valid(Assign(entry(getattr(layer, table), key), use), {key: right}, layer)


def _adding(method: str) -> Valid:
    layer = Dense(2, name="dense")
    given = {"key": "extra", "shape": (2, 3), "initializer": initializers.Ones()}
    return Valid(getattr(layer, method), given, layer)


def _of_optimizers() -> Iterator[tuple[str, Callable[[], Valid]]]:
    for kind, case in OPTIMIZERS.items():
        fullest = max(case.examples.values(), key=len)  # of each class the one with most arguments
        make = functools.partial(kind, **fullest)
        yield (
            name_of(kind),
            lambda kind=kind: Valid(kind, {}, None, ignored(kind), also=(Optimizer,)),
        )
        settings = [
            name
            for name, parameter in inspect.signature(kind).parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        for name in (*settings, "iterations", "state"):
            yield (
                f"{name_of(kind)}.{name} =",
                lambda make=make, name=name: _optimizer_setting(make(), name),
            )
        yield f"{name_of(kind)}.state[v] =", lambda make=make: _slot(make())
        for name in ("learning_rate", "iterations", "state"):
            yield (
                f"{name_of(kind)}.{name} = (in a model)",
                lambda make=make, name=name: _setting_in_model(make(), name),
            )


def _vectors() -> dict[str, np.ndarray]:
    return {"w": np.ones(5, "float32"), "g": np.arange(5, dtype="float32")}


def _optimizer_setting(optimizer: Optimizer, name: str) -> Valid:
    optimizer.update(**_vectors())
    right = getattr(optimizer, name)
    right = dict(right) if isinstance(right, dict) else right
    use = lambda: optimizer.update(**_vectors())  # noqa: E731
    return Valid(Assign(setter(optimizer, name), use), {name: right}, optimizer)


def _slot(optimizer: Optimizer) -> Valid:
    optimizer.update(**_vectors())
    use = lambda: optimizer.update(**_vectors())  # noqa: E731
    slot = optimizer.slots[0]
    right = optimizer.state[slot].copy()
    return Valid(Assign(entry(optimizer.state, slot), use), {"v": right}, optimizer)


def _setting_in_model(optimizer: Optimizer, name: str) -> Valid:
    subject = model()
    subject.compile(optimizer, SPARSE)
    use = lambda: subject.train_on_batch(*samples())  # noqa: E731
    use()
    right = getattr(optimizer, name)
    right = dict(right) if isinstance(right, dict) else right
    return Valid(Assign(setter(optimizer, name), use), {name: right}, subject)


def _updating() -> Valid:
    optimizer = SGD(0.1, momentum=0.5)
    vectors = _vectors()
    watched = [optimizer, vectors["w"]]
    given = {**vectors, "parts": [slice(0, 2)], "names": ["dense/kernel"]}
    return Valid(optimizer.update, given, watched)


def _diagnosing() -> Valid:
    x, y = samples()
    subject = model()
    return Valid(minicnn.diagnose, {"model": subject, "x": x, "y": y, "history": HISTORY}, subject)


def _finding() -> Valid:
    x, y = samples()
    subject = model()
    return Valid(tuning.find_learning_rate, {"model": subject, "x": x, "y": y, "steps": 3}, subject)


def _model_setting(name: str, right: Any) -> Callable[[], Valid]:
    def make() -> Valid:
        subject = model()
        use = lambda: subject.fit(*samples(), verbose=0)  # noqa: E731
        return Valid(Assign(setter(subject, name), use), {name: right}, subject)

    return make


def _of_model_tables() -> Iterator[tuple[str, Callable[[], Valid]]]:
    """What is put in the place of a model's arrays: seen at its next step, or when it predicts."""
    for table, key, layer in (
        ("params", "W", "dense"),
        ("params", "gamma", "norm"),
        ("state", "moving_mean", "norm"),
    ):
        for method in ("fit", "predict"):

            def make(
                table: str = table, key: str = key, layer: str = layer, method: str = method
            ) -> Valid:
                subject = model()
                held = getattr(subject.get_layer(layer), table)
                given = samples()[:1] if method == "predict" else samples()
                use = lambda: getattr(subject, method)(*given, verbose=0)  # noqa: E731
                return Valid(Assign(entry(held, key), use), {key: held[key].copy()}, subject)

            yield f"models.Sequential.{table}[{key}] = ({method})", make


def _flat_params() -> Valid:
    subject = model()
    return Valid(
        Assign(setter(subject, "flat_params")), {"flat_params": subject.flat_params.copy()}
    )


def _model_backward() -> Valid:
    subject = model()
    y = subject.forward(samples()[0])
    return Valid(subject.backward, {"dy": np.ones_like(y)}, subject)


def _model_weights() -> Valid:
    subject = model()
    return Valid(subject.set_weights, {"weights": subject.get_weights()}, subject)


def _assigning() -> Valid:
    weight = model().weights[0]
    return Valid(weight.assign, {"value": weight.numpy()}, weight.value)


def _adding_a_layer() -> Valid:
    subject = model()
    return Valid(subject.add, {"layer": Dense(2, name="new")}, subject)


def _building_a_model() -> Valid:
    subject = unbuilt()
    return Valid(subject.build, {"input_shape": (None, 4)}, subject)


def _model_shapes() -> Valid:
    subject = model()
    return Valid(subject.compute_output_shape, {"input_shape": (None, 4)}, subject)


def _images() -> np.ndarray:
    return RNG(1).random((3, 4, 5))


def _pictured(function: Callable[..., Any], **given: Any) -> Callable[[], Valid]:
    """A call that takes a model for images, as a network or by one of its layers."""

    def make() -> Valid:
        layers: list[Layer] = [Input((4, 5, 1)), minicnn.layers.Conv2D(3, 2, name="conv")]
        subject = Sequential([*layers, minicnn.layers.Flatten(), Dense(2)], name="model")
        return Valid(function, {"model": subject, "layer": "conv", **given}, subject)

    return make


def _of_pictures() -> Iterator[tuple[str, Callable[[], Valid]]]:
    """Layers at work, and what is inside a model."""
    drawing, image = minicnn.plotting, _images()[0]
    windows = {"strides": (1, 2), "padding": "same"}
    calls = {
        "plotting.operations.draw_convolution": of_function(
            drawing.draw_convolution, image=image, kernel=np.eye(2), bias=0.5, **windows
        ),
        "plotting.operations.draw_pooling": of_function(
            drawing.draw_pooling, image=image, kind="max", pool_size=2, at=(1, 1), **windows
        ),
        "plotting.operations.draw_activation": of_function(
            drawing.draw_activation, image=image, activation="relu", at=(-1, 0)
        ),
        "plotting.volumes.draw_volume": of_function(
            drawing.draw_volume,
            image=image,
            kernels=np.ones((2, 2, 1, 3)),
            bias=np.ones(3),
            activation="relu",
            **windows,
        ),
        "plotting.networks.filters": _pictured(drawing.filters, columns=2, suptitle="text"),
        "plotting.networks.activations": _pictured(
            drawing.activations, x=_images(), image=1, columns=2, suptitle="text"
        ),
        "plotting.fields.receptive_field": _pictured(
            drawing.receptive_field, at=(1, 1), x=_images(), image=1, suptitle="text"
        ),
        "plotting.animation.animate": lambda: _animating(),
    }
    yield from calls.items()


def _animating() -> Valid:
    path = Path(tempfile.gettempdir()) / f"valid_call_{os.getpid()}.gif"
    atexit.register(path.unlink, missing_ok=True)
    figure = minicnn.plotting.draw_pooling(_images()[0])
    given = {"figure": figure, "path": path, "seconds": 0.5}
    return Valid(minicnn.plotting.animate, given)


HISTORY = {"loss": [2.0, 1.0], "val_loss": [2.5, 1.5], "accuracy": [0.1, 0.2]}
ROWS = {"y_true": np.array([0, 1, 2, 1]), "y_pred": np.array([0, 2, 2, 1])}
ONE_HOT, GUESSES = np.eye(3)[[0, 1, 2, 1]], RNG(2).dirichlet([1, 1, 1], 4)
IDX = bytes([0, 0, 8, 1, 0, 0, 0, 3, 9, 0, 7])


def _calls() -> dict[str, Callable[[], Valid]]:
    return {
        **dict(_of_layers()),
        "layers.base.Layer": lambda: Valid(Layer, {}, None, ignored(Layer)),
        **dict(_of_activations()),
        "layers.activations.base.Function": lambda: Valid(
            Function,
            {"function": np.sin, "derivative": np.cos},
            None,
            ignored(Function),
            also=(Layer,),
        ),
        "layers.standardize.Normalization.adapt": lambda: _adapting(),
        "layers.activations.base.ActivationLayer": lambda: Valid(
            ActivationLayer, {}, None, ignored(Layer)
        ),
        "layers.input.Input": lambda: Valid(Input, {"shape": (4,)}, None, ignored(InputLayer)),
        "layers.base.Layer.params =": lambda: _table(CASES["Dense linear"], "params"),
        "layers.base.Layer.grads =": lambda: _table(CASES["Dense linear"], "grads"),
        "layers.base.Layer.state =": lambda: _table(CASES["BatchNormalization of images"], "state"),
        "layers.base.Layer.add_param": lambda: _adding("add_param"),
        "layers.base.Layer.add_state": lambda: _adding("add_state"),
        # models
        "models.Sequential": lambda: Valid(Sequential, {"layers": [Dense(2)], "name": "model"}),
        "stack.Stack.add": _adding_a_layer,
        "stack.Stack.build": _building_a_model,
        "keras_attributes.ModelAttributes.compute_output_shape": lambda: _model_shapes(),
        "models.Sequential.forward": of_model("forward"),
        "models.Sequential.backward": _model_backward,
        "models.Sequential.__call__": of_model("__call__"),
        "compiled.Compiled.compile": of_model("compile", optimizer="adam", loss=SPARSE),
        "models.Sequential.fit": of_model(
            "fit",
            batch_size=5,
            callbacks=[OneEpoch()],
            validation_data=samples(),
            class_weight={0: 1.0, 2: 0.5},
        ),
        "models.Sequential.fit (steps)": of_model(
            "fit",
            steps_per_epoch=2,
            validation_data=samples(),
            validation_steps=2,
            validation_batch_size=3,
            validation_freq=[1],
            callbacks=[OneEpoch()],
        ),
        "models.Sequential.fit (weighted)": of_model(
            "fit", validation_split=0.25, sample_weight=np.ones(12), callbacks=[OneEpoch()]
        ),
        "models.Sequential.evaluate": of_model("evaluate", sample_weight=np.ones(12), steps=2),
        "models.Sequential.predict": of_model("predict", batch_size=5, steps=2),
        "models.Sequential.train_on_batch": of_model(
            "train_on_batch", class_weight={0: 1.0, 2: 0.5}
        ),
        "models.Sequential.train_on_batch (weighted)": of_model(
            "train_on_batch", sample_weight=np.ones(12)
        ),
        "models.Sequential.test_on_batch": of_model("test_on_batch", sample_weight=np.ones(12)),
        "models.Sequential.predict_on_batch": of_model("predict_on_batch"),
        "keras2.Keras2Methods.predict_proba": of_model("predict_proba", batch_size=5),
        "keras2.Keras2Methods.predict_classes": of_model("predict_classes", batch_size=5),
        "stack.Stack.get_layer": of_model("get_layer", name="top"),
        "stack.Stack.get_layer (index)": of_model("get_layer", index=0),
        "stack.Stack.set_weights": _model_weights,
        "savable.Savable.export": lambda: _exporting(),
        "interop.torch.to_torch": lambda: _to_torch(),
        "interop.torch.from_torch": lambda: _from_torch(),
        "models.Sequential.summary": of_model("summary", print_fn=io.StringIO().write),
        "models.Sequential.flat_params =": _flat_params,
        "models.Sequential.trainable =": _model_setting("trainable", True),
        "models.Sequential.loss =": _model_setting("loss", losses.get(SPARSE)),
        "models.Sequential.optimizer =": _model_setting("optimizer", SGD()),
        "models.Sequential.jit_compile =": _model_setting("jit_compile", True),
        "models.Sequential.name =": _model_setting("name", "model"),
        **dict(_of_model_tables()),
        "weights.Weight.assign": _assigning,
        # initializers, losses, metrics, optimizers
        **{
            name_of(kind): of_function(kind, **({"seed": 3} if "seed" in settings_of(kind) else {}))
            for kind in (initializers.Initializer, *initializers.KNOWN.values())
        },
        "initializers.Constant": of_function(initializers.Constant, value=0.5),
        "initializers.Initializer.__call__": of_object(
            initializers.GlorotUniform, "__call__", shape=(2, 3)
        ),
        "initializers.Initializer.seed =": lambda: _seeded(),
        "initializers.fans": of_function(initializers.fans, shape=(2, 3)),
        "initializers.get": of_function(initializers.get, "who", "name", identifier="zeros"),
        **{
            name_of(kind): lambda kind=kind: Valid(
                kind, {}, None, ignored(kind), also=(losses.Loss,)
            )
            for kind in (losses.Loss, *losses.KNOWN.values())
        },
        "losses.own.Function": lambda: Valid(
            losses.Function,
            {"function": _zeros, "gradient": _zeros},
            None,
            ignored(losses.Function),
        ),
        **{
            name_of(function): of_function(
                function,
                y_true=ROWS["y_true"] if function.__name__.startswith("sparse") else ONE_HOT,
                y_pred=GUESSES,
            )
            for function in losses.functions.CLASSES
        },
        "losses.base.Loss.__call__": of_object(
            losses.MeanSquaredError,
            "__call__",
            y_true=ONE_HOT,
            y_pred=GUESSES,
            sample_weight=np.ones(4),
        ),
        "losses.crossentropy.SparseCategoricalCrossentropy.__call__": of_object(
            losses.SparseCategoricalCrossentropy, "__call__", y_true=ROWS["y_true"], y_pred=GUESSES
        ),
        "losses.crossentropy.CategoricalCrossentropy.__call__": of_object(
            losses.CategoricalCrossentropy, "__call__", y_true=ONE_HOT, y_pred=GUESSES
        ),
        "losses.get": of_function(losses.get, "who", identifier="mse"),
        "losses.serialize": of_function(losses.serialize, loss="mse"),
        "losses.deserialize": of_function(losses.deserialize, name="mse", custom_objects={}),
        "metrics.base.Metric": of_function(metrics.Metric, name="metric"),
        **{
            name_of(kind): lambda kind=kind, case=case: Valid(
                kind,
                {"name": "metric", **max(case.examples.values(), key=len)},
                None,
                ignored(kind),
                also=(metrics.Metric,),
            )
            for kind, case in METRIC_CASES.items()
        },
        "metrics.base.Metric.__call__": of_object(
            metrics.CategoricalAccuracy,
            "__call__",
            y_true=ONE_HOT,
            y_pred=GUESSES,
            sample_weight=np.ones(4),
        ),
        "metrics.base.Metric.update_state": of_object(
            metrics.AUC, "update_state", y_true=ONE_HOT, y_pred=GUESSES, sample_weight=np.ones(4)
        ),
        **{
            f"metrics.base.Metric.{name}": of_object(
                metrics.Metric, name, shape=(2,), initializer="zeros"
            )
            for name in ("add_weight", "add_variable")
        },
        **{
            f"metrics.base.{kind.__name__}{method}": make
            for kind in (metrics.Mean, metrics.Sum)
            for method, make in {
                "": of_function(kind, name="metric"),
                ".update_state": of_object(kind, "update_state", values=np.ones(4)),
                ".__call__": of_object(kind, "__call__", values=np.ones(4)),
            }.items()
        },
        "metrics.own.MeanMetricWrapper": lambda: Valid(
            metrics.MeanMetricWrapper,
            {"fn": _zeros, "name": "metric"},
            None,
            ignored(metrics.MeanMetricWrapper),
        ),
        **{
            f"metrics.functions.{name}": of_function(
                getattr(metrics, name),
                y_true=ROWS["y_true"] if name.startswith("sparse") else ONE_HOT,
                y_pred=GUESSES,
            )
            for name in (
                "binary_accuracy",
                "categorical_accuracy",
                "sparse_categorical_accuracy",
                "sparse_top_k_categorical_accuracy",
                "top_k_categorical_accuracy",
            )
        },
        "metrics.serialize": of_function(metrics.serialize, metric=metrics.AUC()),
        "metrics.deserialize": of_function(
            metrics.deserialize, config=metrics.serialize(metrics.AUC()), custom_objects={}
        ),
        "metrics.get": of_function(
            metrics.get,
            "who",
            identifier="accuracy",
            loss=losses.get(SPARSE),
            output_shape=(None, 3),
        ),
        "optimizers.base.Optimizer": lambda: Valid(Optimizer, {}, None, ignored(Optimizer)),
        "optimizers.base.Optimizer.exclude_from_weight_decay": of_object(
            SGD, "exclude_from_weight_decay", var_list=[], var_names=["bias"]
        ),
        **dict(_of_optimizers()),
        "optimizers.base.Optimizer.update": _updating,
        "optimizers.get": of_function(optimizers.get, "who", identifier="adam"),
        # files
        "savable.Savable.save": _in_a_folder("save", ".keras"),
        "savable.Savable.save_weights": _in_a_folder("save_weights", ".weights.h5"),
        "savable.Savable.load_weights": _in_a_folder("load_weights", ".weights.h5"),
        "savable.Savable.to_json": of_model("to_json"),
        "saving.files.save_model": lambda: Valid(
            saving.save_model,
            {"model": model(), "filepath": _file(".keras")},
            skipped=("overwrite",),
        ),
        "saving.files.load_model": lambda: Valid(
            saving.load_model, {"filepath": _file(".keras"), "custom_objects": {"Tanh": Tanh}}
        ),
        "saving.files.model_from_json": lambda: Valid(
            saving.model_from_json, {"json_string": model().to_json(), "custom_objects": {}}
        ),
        "saving.files.clone_model": lambda: Valid(
            saving.clone_model, {"model": model(), "clone_function": copy.deepcopy}
        ),
        # data
        "datasets.idx.parse_idx": of_function(idx.parse_idx, data=IDX, shape=(None,)),
        "datasets.idx.verify": of_function(
            idx.verify,
            data=IDX,
            source="file",
            sha256=hashlib.sha256(IDX).hexdigest(),
        ),
        "datasets.fashion_mnist.load_data": lambda: Valid(
            fashion_mnist.load_data, {"path": "folder"}, succeeds=False
        ),
        "datasets.mnist.load_data": lambda: Valid(
            mnist.load_data, {"path": "folder"}, succeeds=False
        ),
        "datasets.cifar10.load_data": lambda: Valid(
            cifar10.load_data, {"path": "folder"}, succeeds=False
        ),
        "datasets.cifar100.load_data": lambda: Valid(
            cifar100.load_data, {"label_mode": "fine", "path": "folder"}, succeeds=False
        ),
        "datasets.synthetic_fashion.load_data": of_function(
            synthetic_fashion.load_data, n_train=3, n_test=2
        ),
        # pictures
        "utils.images.load_img": lambda: Valid(
            minicnn.utils.load_img,
            {
                "path": _picture(),
                "color_mode": "rgb",
                "target_size": (3, 2),
                "interpolation": "nearest",
                "keep_aspect_ratio": True,
            },
        ),
        "utils.images.img_to_array": of_function(
            minicnn.utils.img_to_array,
            img=_images()[0],
            data_format="channels_last",
            dtype="float32",
        ),
        "utils.images.array_to_img": of_function(
            minicnn.utils.array_to_img,
            x=_images()[0][..., None],
            data_format="channels_last",
            scale=True,
            dtype="float32",
        ),
        "utils.images.save_img": lambda: Valid(
            minicnn.utils.save_img,
            {
                "path": io.BytesIO(),
                "x": _images()[0][..., None],
                "data_format": "channels_last",
                "file_format": "png",
                "scale": True,
            },
        ),
        "utils.image_folders.image_dataset_from_directory": lambda: Valid(
            minicnn.utils.image_dataset_from_directory,
            {
                "directory": _pictures(),
                "labels": "inferred",
                "label_mode": "int",
                "class_names": ["a", "b"],
                "color_mode": "rgb",
                "batch_size": 2,
                "image_size": (3, 2),
                "shuffle": True,
                "seed": 1,
                "validation_split": 0.5,
                "subset": "training",
                "interpolation": "bilinear",
                "follow_links": False,
                "crop_to_aspect_ratio": False,
                "pad_to_aspect_ratio": True,
                "verbose": False,
            },
            keras={"data_format": (None, "channels_last"), "format": (None, "tf")},
        ),
        "utils.normalize": of_function(minicnn.utils.normalize, x=[[3.0, 4.0]], axis=-1, order=2),
        **_of_generators(),
        # the backend
        "backend.clear_session": of_function(minicnn.backend.clear_session, free_memory=True),
        "backend.count_params": of_function(minicnn.backend.count_params, x=ONE_HOT),
        "backend.get_value": of_function(minicnn.backend.get_value, x=ONE_HOT),
        "backend.int_shape": of_function(minicnn.backend.int_shape, x=ONE_HOT),
        "backend.ndim": of_function(minicnn.backend.ndim, x=ONE_HOT),
        "backend.set_epsilon": of_function(minicnn.backend.set_epsilon, value=1e-7),
        "backend.set_image_data_format": of_function(
            minicnn.backend.set_image_data_format, data_format="channels_last"
        ),
        "backend.set_value": of_function(
            minicnn.backend.set_value, x=np.zeros((2, 3)), value=np.ones((2, 3))
        ),
        # the rest
        "py_dataset.PyDataset": lambda: Valid(
            PyDataset, {"workers": 2, "use_multiprocessing": False, "max_queue_size": 3}
        ),
        "utils.to_categorical (any label)": of_function(minicnn.utils.to_categorical, x=[0, 2]),
        "utils.to_categorical": of_function(minicnn.utils.to_categorical, x=[0, 2], num_classes=3),
        "seeds.set_random_seed": of_function(minicnn.utils.set_random_seed, seed=1),
        "config.set_floatx": of_function(minicnn.config.set_floatx, value="float32"),
        "engine.shards.set_shard_size": of_function(minicnn.set_shard_size, samples=16),
        "engine.threads.set_num_threads": of_function(minicnn.set_num_threads, n=2),
        "model_selection.train_test_split": of_function(
            minicnn.model_selection.train_test_split,
            arrays=samples(),
            test_size=0.25,
            random_state=1,
            stratify=samples()[1],
        ),
        **_of_callbacks(),
        **dict(_of_rules()),
        "plotting.grids.image_grid": of_function(
            minicnn.plotting.image_grid,
            images=_images(),
            titles=["a", "b", "c"],
            colors=["red", "green", "red"],
            rows=1,
            columns=3,
            suptitle="text",
        ),
        "plotting.grids.augmentation_grid": of_function(
            minicnn.plotting.augmentation_grid,
            layer=minicnn.layers.RandomFlip(),
            image=_images()[0],
            rows=1,
            columns=2,
            seed=3,
        ),
        "plotting.grids.prediction_grid": of_function(
            minicnn.plotting.prediction_grid,
            images=_images(),
            y_true=[0, 1, 2],
            y_pred=[0, 1, 1],
            class_names=["a", "b", "c"],
            rows=1,
            columns=3,
        ),
        **dict(_of_pictures()),
        "plotting.charts.learning_rate_range": of_function(
            minicnn.plotting.charts.learning_rate_range,
            found=tuning.LearningRateRange(*np.array([[0.1, 1], [2, 1], [2, 1]]), False),
        ),
        "course.api.check": lambda: Valid(
            course.check, {"name": "relu_backward", "function": lambda dy, x: dy * (x > 0)}
        ),
        "course.api.hint": of_function(course.hint, name="conv_backward", number=2),
        "course.api.solution": of_function(course.solution, name="conv_backward"),
        "diagnosis.api.diagnose": lambda: _diagnosing(),
        "tuning.find_learning_rate": lambda: _finding(),
        "plotting.charts.training_curves": of_function(
            minicnn.plotting.training_curves, history=HISTORY
        ),
        "plotting.charts.confusion_heatmap": of_function(
            minicnn.plotting.confusion_heatmap, class_names=["a", "b", "c"], **ROWS
        ),
        "reports.accuracy_score": of_function(minicnn.reports.accuracy_score, **ROWS),
        "reports.confusion_matrix": of_function(
            minicnn.reports.confusion_matrix, labels=[0, 1, 2], normalize="true", **ROWS
        ),
        "reports.classification_report": of_function(
            minicnn.reports.classification_report,
            labels=[0, 1, 2],
            target_names=["a", "b", "c"],
            **ROWS,
        ),
        "explain.api.explain": lambda: _explaining(),
        "gradcheck.api.check_layer": lambda: _checking_a_layer(),
        "gradcheck.api.check_loss": of_function(
            check_loss, loss="mse", y_true=ONE_HOT, y_pred=GUESSES
        ),
        "gradcheck.api.check_model": lambda: _checking_a_model(),
    }


def _picture() -> str:
    """The path of a picture of 3 x 2 pixels, in a folder of the process."""
    return os.path.join(_pictures(), "a", "0.png")


@functools.cache
def _pictures() -> str:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in "a/0.png", "a/1.png", "b/0.png", "b/1.png":
        path = Path(folder, name)
        path.parent.mkdir(exist_ok=True)
        minicnn.utils.save_img(path, np.arange(6.0).reshape(3, 2, 1))
    return folder


def _of_generators() -> dict[str, Callable[[], Valid]]:
    made = ImageDataGenerator
    given = {
        "featurewise_center": True, "samplewise_center": True,
        "featurewise_std_normalization": True, "samplewise_std_normalization": True,
        "zca_whitening": False, "zca_epsilon": 1e-6, "rotation_range": 10,
        "width_shift_range": 0.1, "height_shift_range": 2, "brightness_range": (0.5, 1.5),
        "shear_range": 5, "zoom_range": 0.2, "channel_shift_range": 3, "fill_mode": "nearest",
        "cval": 0, "horizontal_flip": True, "vertical_flip": False, "rescale": 0.5,
        "preprocessing_function": abs, "validation_split": 0.5, "interpolation_order": 1,
        "dtype": "float32",
    }  # fmt: skip
    x, image = np.arange(24.0).reshape(4, 3, 2, 1), np.arange(6.0).reshape(3, 2, 1)
    path = "preprocessing.image.ImageDataGenerator"
    saving = {"save_to_dir": None, "save_prefix": "", "save_format": "png"}
    return {
        path: lambda: Valid(made, given, keras={"data_format": (None, "channels_last")}),
        f"{path}.flow": lambda: Valid(
            made(validation_split=0.5).flow,
            {"x": x, "y": [0, 1, 0, 1], "batch_size": 2, "shuffle": True,
             "sample_weight": [1, 1, 1, 1], "seed": 1, **saving, "ignore_class_split": False,
             "subset": "training"},
        ),
        f"{path}.flow_from_directory": lambda: Valid(
            made(validation_split=0.5).flow_from_directory,
            {"directory": _pictures(), "target_size": (3, 2), "color_mode": "rgb",
             "classes": ["a", "b"], "class_mode": "sparse", "batch_size": 2, "shuffle": True,
             "seed": 1, **saving, "follow_links": False, "subset": "training",
             "interpolation": "nearest", "keep_aspect_ratio": False},
        ),
        f"{path}.standardize": lambda: Valid(made(rescale=0.5).standardize, {"x": image}),
        f"{path}.get_random_transform": lambda: Valid(
            made(rotation_range=9).get_random_transform, {"img_shape": (3, 2, 1), "seed": 1}
        ),
        f"{path}.apply_transform": lambda: Valid(
            made().apply_transform, {"x": image, "transform_parameters": {"theta": 3}}
        ),
        f"{path}.random_transform": lambda: Valid(
            made(rotation_range=9).random_transform, {"x": image, "seed": 1}
        ),
        f"{path}.fit": lambda: Valid(
            made(featurewise_center=True).fit, {"x": x, "augment": True, "rounds": 2, "seed": 1}
        ),
    }  # fmt: skip


def _of_callbacks() -> dict[str, Callable[[], Valid]]:
    watching = {"monitor": "loss", "mode": "min", "verbose": 0}
    given: dict[type[Callback], dict[str, Any]] = {
        callbacks.BackupAndRestore: {
            "backup_dir": "run", "save_freq": 5,
            "double_checkpoint": True, "delete_checkpoint": False,
        },
        callbacks.TensorBoard: {"log_dir": "logs", "update_freq": 10},
        callbacks.CSVLogger: {"filename": "log.csv", "separator": ";", "append": True},
        callbacks.EarlyStopping: {
            **watching, "min_delta": 0.1, "patience": 2, "baseline": 0.5,
            "restore_best_weights": True, "start_from_epoch": 1,
        },
        callbacks.LambdaCallback: {
            f"on_{name}": lambda *given: None
            for name in ("epoch_begin", "epoch_end", "train_begin", "train_end",
                         "train_batch_begin", "train_batch_end")
        },
        callbacks.LearningRateScheduler: {"schedule": lambda epoch: 0.1, "verbose": 0},
        callbacks.ModelCheckpoint: {
            **watching, "filepath": "{epoch}.keras", "save_best_only": True,
            "save_weights_only": False, "save_freq": 5, "initial_value_threshold": 0.5,
        },
        callbacks.ReduceLROnPlateau: {
            **watching, "factor": 0.5, "patience": 2, "min_delta": 0.1, "cooldown": 1,
            "min_lr": 0.001,
        },
        callbacks.TerminateOnNaN: {"raise_error": True},
        callbacks.Watch: {**dict(zip("xy", samples())), "print_fn": lambda text: None},
    }  # fmt: skip
    return {name_of(kind): of_function(kind, **its) for kind, its in given.items()}


def _of_rules() -> Iterator[tuple[str, Callable[[], Valid]]]:
    """Regularizers, constraints and schedules: their arguments, and what they are called with."""
    w = RNG(6).standard_normal((3, 4)).astype("float32")
    given: dict[type, dict[str, Any]] = {
        regularizers.L1: {"l1": 0.1},
        regularizers.L2: {"l2": 0.1},
        regularizers.L1L2: {"l1": 0.1, "l2": 0.2},
        regularizers.OrthogonalRegularizer: {"factor": 0.1, "mode": "rows"},
        constraints.MaxNorm: {"max_value": 2.0, "axis": 0},
        constraints.MinMaxNorm: {"min_value": 0.5, "max_value": 2.0, "rate": 0.5, "axis": 0},
        constraints.NonNeg: {},
        constraints.UnitNorm: {"axis": 0},
        schedules.CosineDecay: {
            "initial_learning_rate": 0.1, "decay_steps": 10, "alpha": 0.1, "name": "cosine",
            "warmup_target": 0.2, "warmup_steps": 5,
        },
        schedules.CosineDecayRestarts: {
            "initial_learning_rate": 0.1, "first_decay_steps": 5, "t_mul": 2.0, "m_mul": 0.5,
            "alpha": 0.1, "name": "restarts",
        },
        schedules.ExponentialDecay: {
            "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5,
            "staircase": True, "name": "exponential",
        },
        schedules.InverseTimeDecay: {
            "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5,
            "staircase": True, "name": "inverse",
        },
        schedules.OneCycle: {
            "max_learning_rate": 0.1, "total_steps": 100, "warmup": 0.3, "initial_factor": 25.0,
            "final_factor": 1e4, "name": "cycle",
        },
        schedules.PiecewiseConstantDecay: {
            "boundaries": [5, 10], "values": [0.3, 0.2, 0.1], "name": "pieces",
        },
        schedules.PolynomialDecay: {
            "initial_learning_rate": 0.1, "decay_steps": 10, "end_learning_rate": 0.01,
            "power": 2.0, "cycle": True, "name": "polynomial",
        },
    }  # fmt: skip
    for kind, arguments in given.items():
        yield name_of(kind), of_function(kind, **arguments)
        argument, value = ("x", w) if issubclass(kind, regularizers.Regularizer) else ("w", w)
        if issubclass(kind, schedules.LearningRateSchedule):
            argument, value = "step", 7
        yield (
            f"{name_of(kind)}.__call__",
            of_object(lambda k=kind, a=arguments: k(**a), "__call__", **{argument: value}),
        )
        if issubclass(kind, regularizers.Regularizer):
            yield (
                f"{name_of(kind)}.gradient",
                of_object(lambda k=kind, a=arguments: k(**a), "gradient", x=w),
            )
    for base in (constraints.Constraint, schedules.LearningRateSchedule, regularizers.Regularizer):
        yield name_of(base), of_function(base)
    # None is a right identifier, so a surplus argument has to be refused by the count
    yield "regularizers.get", of_function(lambda identifier: regularizers.get(identifier),
                                          identifier="l2")  # fmt: skip
    yield "constraints.get", of_function(lambda identifier: constraints.get(identifier),
                                         identifier="max_norm")  # fmt: skip


def _seeded() -> Valid:
    initializer = initializers.GlorotUniform(seed=3)
    use = lambda: initializer((2, 3))  # noqa: E731
    return Valid(Assign(setter(initializer, "seed"), use), {"seed": 3}, initializer)


def _checking_a_layer() -> Valid:
    layer = Dense(2, name="dense")
    layer.build((None, 3))
    return Valid(
        check_layer, {"layer": layer, "input_shape_or_x": (None, 3), "wrt": ["x", "W"]}, layer
    )


def _checking_a_model() -> Valid:
    subject = model()
    x, y = samples()
    given = {"model": subject, "x": x, "y": y, "loss": SPARSE, "wrt": ["x", "top/W"]}
    return Valid(check_model, {**given, "training": False}, subject)


def _explaining() -> Valid:
    subject = model()
    x, y = samples()
    path = Path(tempfile.gettempdir()) / f"valid_call_{os.getpid()}.html"
    atexit.register(path.unlink, missing_ok=True)
    given = {"model": subject, "x": x, "y": y, "path": path, "image": 1, "training": True}
    return Valid(explain, {**given, "class_names": ["a", "b", "c"], "megabytes": 5}, subject)


# -- what is public -------------------------------------------------------------------------------

MODULES = (
    "minicnn",
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "course",
    "datasets",
    "datasets.cifar10",
    "datasets.cifar100",
    "datasets.fashion_mnist",
    "datasets.idx",
    "datasets.mnist",
    "datasets.synthetic_fashion",
    "diagnosis",
    "explain",
    "gradcheck",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "model_selection",
    "models",
    "optimizers",
    "optimizers.schedules",
    "plotting",
    "preprocessing",
    "preprocessing.image",
    "regularizers",
    "reports",
    "tuning",
    "utils",
)

# What has a public name and is still not called by users with arguments of theirs, and why.
NOT_CALLED: dict[str, str] = {
    **{
        f"callbacks.*.{name}": "the library calls it"
        for name in ("on_*", "set_*", "watched", "better", "resume", "checkpoint")
    },
    "callbacks.base.CallbackList": "of fit",
    "callbacks.base.checked": "the check itself",
    "config.float_dtype": "the check itself",
    "symbolic.Symbolic.numpy": "is refused",
    "models.Model": "is refused",
    "keras2.Keras2Methods.*_generator": "fit, evaluate and predict by other names",
    "reports.class_labels": "the check itself",
    "datasets.idx.pieces": "of the readers of files",
    "preprocessing.iterators.*": "flow and flow_from_directory make them",
    "preprocessing.image.ImageDataGenerator.draw": "of its iterators",
    "preprocessing.image.ImageDataGenerator.flow_from_dataframe": "is refused",
    "course.result.*": "results, which check makes",
    "diagnosis.result.*": "results, which diagnose makes",
    "gradcheck.result.*": "results, which the checks make",
    "tuning.LearningRateRange*": "a result, which find_learning_rate makes",
    "layers.*.seek": "of the engine",
    "layers.activations.*.value": "what a subclass defines",
    "layers.activations.*.slope": "what a subclass defines",
    "layers.activations.*.applied": "of the package",
    "layers.activations.base.Function.*": "of every layer, by its cases",
    "layers.activations.base.Elementwise.*": "of every layer, by its cases",
    "layers.activations.softmax.AlongAxis.*": "of every layer, by its cases",
    "layers.normalizing.NormalizingLayer.*": "of every layer, by its cases",
    "layers.augmentation.base.*": "of every layer, by its cases",
    "layers.resizing.TakesOneImage.*": "of every layer, by its cases",
    "layers.resizing.ToSize.*": "of every layer, by its cases",
    "layers.randomness.RandomLayer.*": "of every layer, by its cases",
    "layers.dropout.DroppingLayer.*": "of every layer, by its cases",
    "layers.dropout.MaskingLayer.*": "of every layer, by its cases",
    "layers.dropout.Dropout.draw": "of the engine",
    **{
        f"layers.*.{name}": "of saving and export, which give it what the layer holds"
        for name in (
            "windows",
            "windows_of_y",
            "groups_of",
            "part_of",
            "mean_and_deviation",
            "in_use",
        )
    },
    "optimizers.*.first_vector": "of the engine and of saving",
    "stack.Stack.add_all": "of the constructor and of from_config",
    "stack.Stack.expect_built": "the check itself",
    "layers.base.Layer.*": "of every layer by itself",
    "initializers.*.draw": "what a subclass defines: it gets what __call__ has checked",
    "initializers.*.variance": "what a subclass defines",
    "losses.*.forward": "what a subclass defines: it gets what __call__ or fit has checked",
    "losses.*.backward": "what a subclass defines: it gets what __call__ or fit has checked",
    "losses.*.targets": "the check itself",
    "losses.*.check_values": "the check itself",
    "metrics.*.values": "what a subclass defines: it gets what __call__ or fit has checked",
    "initializers.setting": "the check itself",
    "losses.base.checked_outputs": "the check itself",
    "losses.own.Function.*": "what fit and __call__ have checked",
    "losses.*.checked_weights": "the check itself",
    **{
        f"losses.*.{name}": "of the engine"
        for name in ("chosen", "factors", "losses", "positions", "weighted", "weighted_backward")
    },
    "metrics.*.check": "the check itself",
    **{
        f"metrics.*.{name}": "of the engine"
        for name in ("each", "figure", "measure", "slots", "labels", "ratios")
    },
    **{
        f"regularizers.{name}": "the check itself"
        for name in ("factor", "kind", "penalty", "setting", "slope")
    },
    **{f"constraints.{name}": "the check itself" for name in ("applied", "setting", "*.check")},
    "constraints.*.wanted": "of the package",
    "optimizers.schedules.*.rate": "of the package: __call__ has checked its step",
    **dict.fromkeys(
        (
            "constraints.Constraint.__call__",
            "optimizers.schedules.LearningRateSchedule.__call__",
            "regularizers.Regularizer.__call__",
            "regularizers.Regularizer.gradient",
        ),
        "what a subclass defines",
    ),
    "optimizers.*.step": "what a subclass defines: it gets what update or fit has checked",
    **{
        f"optimizers.base.Optimizer.{name}": "of the engine"
        for name in (
            "changed_by_move",
            "begin",
            "decays",
            "factors",
            "finalize",
            "gathered",
            "move",
            "norm",
            "resize",
        )
    },
    "optimizers.base.Optimizer.check": "the check itself",
    "stack.Stack.bind": "of gradcheck",
    "stack.Stack.shapes": "of inputs, which are checked",
    "stack.Stack.expect_at_rest": "the check itself",
    "compiled.Compiled.expect_at_rest": "the check itself",
    "compiled.Compiled.chosen_metrics": "of inputs, which are checked",
    **{
        f"compiled.Compiled.{name}": "of fit and the learning-rate finder"
        for name in ("build_for", "build_for_training", "expect_compiled")
    },
    "models.Sequential.checked_data": "the check itself",
    "keras_attributes.LayerAttributes.*": "of every layer by itself",
    "compiled.Compiled.plan_of": "of the engine",
    "compiled.Compiled.runner": "of the engine",
}


def _zeros(y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    return np.zeros(y_pred.shape)


def name_of(thing: Any) -> str:
    """`minicnn.layers.conv.Conv2D.build` as "layers.conv.Conv2D.build"."""
    return f"{thing.__module__}.{thing.__qualname__}".removeprefix("minicnn.")


def public() -> dict[str, Any]:
    """All that users can call with arguments, by name: functions, classes and their methods."""
    found: dict[str, Any] = {}
    for name in MODULES:
        module = importlib.import_module(f"minicnn.{name}" if name != "minicnn" else name)
        names = getattr(module, "__all__", None)
        for attribute, thing in vars(module).items():
            mine = thing is not None and getattr(thing, "__module__", None) == module.__name__
            shown = attribute in names if names is not None else mine
            if attribute.startswith("_") or not shown or not callable(thing):
                continue
            found[name_of(thing)] = thing
            if isinstance(thing, type):
                found |= _methods(thing)
    return {name: thing for name, thing in found.items() if _takes_arguments(thing)}


def _methods(kind: type) -> dict[str, Any]:
    found = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("minicnn"):
            owner = kind if base.__name__.startswith("_") else base
            for name, method in vars(base).items():
                if inspect.isfunction(method) and (name == "__call__" or not name.startswith("_")):
                    found[f"{name_of(owner)}.{name}"] = method
    return found


def _takes_arguments(thing: Any) -> bool:
    try:
        parameters = list(inspect.signature(thing).parameters)
    except ValueError:  # an error class of Python's own make
        return False
    return bool([name for name in parameters if name != "self"])


CALLS = _calls()  # by the names of `public`; " =" sets an attribute, "(...)" is another way to call
