"""Sequential: layers in a row, under Keras's calls."""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, config, inputs, losses, metrics, optimizers, seeds, summary, training
from minicnn.callbacks import Callback, History
from minicnn.callbacks import checked as checked_callbacks
from minicnn.console import say
from minicnn.engine import threads
from minicnn.engine.blas import single_threaded_blas
from minicnn.engine.plan import Plan, as_layers, lower
from minicnn.engine.shards import ShardedNetwork, before_softmax
from minicnn.layers import contents
from minicnn.layers.base import Layer, Shape, checked_init, checked_weights, unique_name
from minicnn.layers.input import InputLayer
from minicnn.parameters import FlatParameters
from minicnn.progress import checked_verbose
from minicnn.subclasses import of_the_user
from minicnn.training import expect_finite
from minicnn.weights import Weight

Array = NDArray[Any]
T = TypeVar("T")

BATCH_SIZE = 32  # Keras's default

HOW_TO_BUILD = (
    "Give the first layer input_shape=(H, W, C), or call build((None, H, W, C)) or fit first"
)

# arguments of Keras's fit, evaluate and predict that have no other setting here
OF_KERAS: dict[str, tuple[Any, ...]] = {
    "auto_scale_loss": (True,),
    "run_eagerly": (False,),
    "steps": (None,),
    "steps_per_execution": (1,),
    "steps_per_epoch": (None,),
    "validation_batch_size": (None,),
    "validation_steps": (None,),
    "weighted_metrics": (None,),
}

_LAYER = "Put what it computes into a layer: subclass minicnn.layers.Layer"
_LOSS = "Put what it computes into a loss: subclass minicnn.losses.Loss"
_HOOK = "Do what it does in a callback, or write the loop yourself around train_on_batch"

# methods that subclasses of other libraries' models define, and what to do here instead
OVERRIDDEN = {
    "call": _LAYER,
    "forward": _LAYER,
    "backward": _LAYER,
    "compute_loss": _LOSS,
    "compute_metrics": "Put what it computes into a metric: subclass minicnn.metrics.Metric",
    "train_step": _HOOK,
    "training_step": _HOOK,
    "test_step": _HOOK,
    "validation_step": _HOOK,
    "predict_step": _HOOK,
}

_building = threading.RLock()

_served: weakref.WeakKeyDictionary[optimizers.Optimizer, weakref.ref[Sequential]] = (
    weakref.WeakKeyDictionary()
)
_owners: weakref.WeakKeyDictionary[Layer, weakref.ref[Sequential]] = weakref.WeakKeyDictionary()


def _auto_or_flag(value: Any, name: str, who: str) -> bool | str:
    if not isinstance(value, (bool, str)) or value not in ("auto", True, False):
        raise ValueError(
            f"{who}: expected {name} to be 'auto', True or False, received {checks.shown(value)}"
        )
    return value


class Sequential:
    """A stack of layers, each taking what the one before it gives.

    Parameters
    ----------
    layers : list of Layer, optional
        As if each were given to `add` in turn.
    name : str, optional

    Attributes
    ----------
    flat_params, flat_grads : ndarray of shape (parameters,)
        All parameters as one vector, and the gradient of the loss at the last training step. Each
        `layer.params[key]` and `layer.grads[key]` is a view into them.
    optimizer, loss, history
        Set by `compile` and `fit`.
    stop_training : bool
        A callback sets it to end `fit` after the current batch.
    steps_taken : int
        Steps of training so far, whatever the optimizer: the place in the streams of dropout.

    Examples
    --------
    >>> from minicnn.layers import Dense
    >>> model = Sequential([Dense(3, activation="relu", input_shape=(4,)), Dense(2)])
    >>> model.count_params()       # 4*3 + 3 and 3*2 + 2
    23
    >>> model.predict(np.zeros((5, 4)), verbose=0).shape
    (5, 2)
    """

    name = checks.Setting(checks.text)
    jit_compile = checks.Setting(_auto_or_flag)

    def __init__(
        self,
        layers: Iterable[Layer] | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        self.name = unique_name(type(self).__name__) if name is None else name
        self.rng = seeds.new_generator()  # of initial values, masks and shuffling
        seeds.differ_after_fork(self)
        self._layers: list[Layer] = []
        self.built = False
        self._flat = FlatParameters([], config.floatx())
        self._trainable_parts: list[slice] | None = None  # None: compiled before it was built
        self.optimizer: optimizers.Optimizer = optimizers.RMSprop()
        self.loss: losses.Loss | None = None
        self.history: History | None = None
        self.stop_training = False
        self._input: InputLayer | None = None
        self._input_shape: Shape | None = None
        self._output_shapes: list[Shape] = []  # of each layer, once the model is built
        self._metrics: list[Any] = []
        self._loss_weight = 1.0
        self._compiled = False
        self.jit_compile = "auto"
        self._kept: dict[str, tuple[Any, Any]] = {}  # settings, and what they led to
        self._in_fit = (0, 0)  # process and thread that fit runs in
        self.steps_taken = 0
        if layers is not None and not isinstance(layers, (list, tuple)):
            raise TypeError(
                f"Sequential: expected a list of layers, received {checks.shown(layers)}"
            )
        for layer in layers or ():
            self.add(layer)
        if not checks.boolean(trainable, "trainable", "Sequential"):
            self.trainable = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse methods that other libraries' `fit` calls, and that this one would not."""
        super().__init_subclass__(**kwargs)
        for name, instead in OVERRIDDEN.items():
            if name in vars(cls):
                raise TypeError(
                    f"{cls.__name__}: expected no method {name}, since fit, evaluate and predict "
                    f"would not call it. {instead}"
                )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("loss", "optimizer", "jit_compile"):  # what `fit` has chosen its way by
            self._not_in_fit(name)
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<Sequential name={self.name}, built={self.built}>"

    # -- structure --------------------------------------------------------------------------------

    @property
    def who(self) -> str:
        return f"Sequential '{self.name}'"

    @property
    def layers(self) -> list[Layer]:
        """The layers, first to last, without the `Input`; change them with `add` and `pop`."""
        return list(self._layers)

    @property
    def trainable(self) -> bool:
        """Whether any layer learns; setting it sets every layer. `compile` makes it count."""
        return any(layer.trainable for layer in self._layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._layers:
            layer.trainable = checks.boolean(value, "trainable", self.who)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Float type that the model computes in."""
        return self._flat.params.dtype

    @property
    def flat_params(self) -> Array:
        """All parameters as one vector; what is assigned to it is copied into it."""
        return self._flat.params

    @flat_params.setter
    def flat_params(self, values: Any) -> None:
        given = checks.numeric(values, "flat_params", self.who)
        if given.shape != self.flat_params.shape:
            raise ValueError(
                f"{self.who}: expected flat_params of shape {self.flat_params.shape}, received "
                f"{given.shape}"
            )
        checks.finite(given, "flat_params", self.who, dtype=self.dtype)
        self._flat.params[...] = given

    @property
    def flat_grads(self) -> Array:
        """The gradient of the loss at the last step, in the order of `flat_params`."""
        return self._flat.grads

    @property
    def trainable_parts(self) -> list[slice]:
        """Where the parameters lie in the vector that training changes, by the last `compile`."""
        return self._trainable_parts or []

    @property
    def input_shape(self) -> Shape:
        """Shape of a batch that goes in, (None, ...); AttributeError before it is built."""
        if self._input_shape is None:
            raise AttributeError(f"{self.who}: input_shape is not known yet. {HOW_TO_BUILD}")
        return self._input_shape

    @property
    def output_shape(self) -> Shape:
        """Shape of a batch that comes out, (None, ...); AttributeError before it is built."""
        if not self._output_shapes:
            raise AttributeError(f"{self.who}: output_shape is not known yet. {HOW_TO_BUILD}")
        return self._output_shapes[-1]

    def add(self, layer: Layer) -> None:
        """Put `layer` on top. Once the input's shape is known, it is built at once.

        A compiled model stays compiled.

        Raises
        ------
        ValueError
            If it is not a layer, its name is taken, it does not fit on the layer below, or another
            model has it. The model is then unchanged.
        """
        if not isinstance(layer, Layer):
            raise ValueError(f"{self.who}: {_not_a_layer(layer)}")
        checked_init(layer)
        self._not_in_fit("add")
        if isinstance(layer, InputLayer):
            if self._layers or self._input is not None:
                raise ValueError(f"{self.who}: expected Input to come first and once")
            self._input = layer
            return
        if any(other.name == layer.name for other in self._layers):
            raise ValueError(
                f"{self.who}: expected all layers to have unique names, received a second "
                f"'{layer.name}'"
            )
        owner = _owners.get(layer, lambda: None)()
        if owner is not None and owner is not self:
            raise ValueError(
                f"{layer.who} belongs to {owner.who}, whose parameter vector holds its weights. "
                "Make a new layer and copy them: new.set_weights(old.get_weights())"
            )
        layers = [*self._layers, layer]
        if self._output_shapes:
            self._grow(layer, self._output_shapes[-1])
            return
        sample = self._declared_sample(layer)
        self._common_dtype(layers)
        if sample is not None:
            self._shapes(layers, (None, *sample))  # raises before anything is changed
        if sample is None:
            self._layers = layers
            return
        with self._unchanged_on_error(layers):
            self._layers = layers
            self.build((None, *sample))

    def _grow(self, layer: Layer, below: Shape) -> None:
        """Put `layer` on top of a built model that gives outputs of the shape `below`."""
        self._common_dtype([layer])
        output_shape = tuple(layer.output_shape(below))  # raises before anything is changed
        with self._unchanged_on_error([layer]):
            self._build_layer(layer, below)
            self._flat.append(layer)
            self._layers = [*self._layers, layer]
            self._output_shapes = [*self._output_shapes, output_shape]
            if self._trainable_parts is not None:
                self._trainable_parts = [*self._trainable_parts, *self._flat.parts([layer])]
            self._vectors_resized()

    def _build_layer(self, layer: Layer, input_shape: Shape) -> None:
        if layer.awaits_build:
            layer.set_dtype(self.dtype)
            layer.rng = self.rng
            layer.build(input_shape)
        _owners[layer] = weakref.ref(self)

    def _vectors_resized(self) -> None:
        """The optimizer's slots follow, where it has served this model."""
        self._kept = {}
        if _served.get(self.optimizer, lambda: None)() is self:
            self.optimizer.resize(self.flat_params.size)

    def pop(self) -> Layer:
        """Take the top layer off and return it. Raises ValueError if there is none.

        A compiled model stays compiled.
        """
        if not self._layers:
            raise ValueError(f"{self.who}: there are no layers to pop")
        self._not_in_fit("pop")
        *below, layer = self._layers
        self._flat.absorb()
        self._layers = below
        _owners.pop(layer, None)
        if self.built:
            self._flat.remove_last(layer)
            size = self.flat_params.size
            parts = [slice(p.start, min(p.stop, size)) for p in self.trainable_parts]
            if self._trainable_parts is not None:
                self._trainable_parts = [part for part in parts if part.start < part.stop]
            self._vectors_resized()
            self._output_shapes = self._output_shapes[:-1]
            if not below:
                self.built, self._input_shape = False, None
        return layer

    def build(self, input_shape: Shape | None = None) -> None:
        """Create all parameters for inputs of `input_shape`, (None, ...) with the batch axis first.

        Raises ValueError where a layer cannot take what it would get; nothing is built then.
        """
        if input_shape is None:
            sample = self._declared_sample(self.layers[0]) if self.layers else None
            if sample is None:
                raise ValueError(f"{self.who}: expected an input_shape such as (None, 28, 28, 1)")
            input_shape = (None, *sample)
        if not isinstance(input_shape, (list, tuple)) or not input_shape:
            raise TypeError(
                f"{self.who}: expected input_shape to be a tuple, batch axis first, such as "
                f"(None, 28, 28, 1), received {checks.shown(input_shape)}"
            )
        if input_shape[0] is not None:
            checks.size(input_shape[0], "the batch axis of input_shape", self.who)
        if not all(isinstance(n, (int, np.integer)) and n > 0 for n in input_shape[1:]):
            raise ValueError(
                f"{self.who}: expected all sizes of input_shape behind the batch axis to be "
                f"integers of at least 1, received {checks.shown(tuple(input_shape))}"
            )
        if not self.layers:
            raise ValueError(f"{self.who}: there are no layers to build; add some first")
        given, input_shape = tuple(input_shape), (None, *input_shape[1:])
        try:
            shapes = self._shapes(self.layers, input_shape)
        except ValueError as error:
            if given[0] is None or not self._fits((None, *given)):
                raise
            raise ValueError(
                f"{self.who}: expected input_shape to have the batch axis first, received {given}. "
                f"Write build({(None, *given)})"
            ) from error
        dtype = self._common_dtype(self._layers)
        with self._unchanged_on_error(self._layers):
            if not self.built:
                self._flat = FlatParameters([], dtype)
                for layer, shape in zip(self._layers, shapes):
                    self._build_layer(layer, shape)
                self.bind(dtype)
                if self._trainable_parts is not None:
                    self._trainable_parts = self._flat.parts(self._layers)
                self._vectors_resized()
            self._input_shape, self._output_shapes = input_shape, shapes[1:]
            self._kept = {}
            self.built = True

    @contextlib.contextmanager
    def _unchanged_on_error(self, layers: list[Layer]) -> Iterator[None]:
        """Whatever is raised within, Ctrl-C too, leaves the model and `layers` unchanged."""
        inside = contents.layers_inside(layers)
        held = [vars(self), vars(self._flat), *(part for one in inside for part in _dicts(one))]
        before = [dict(part) for part in held]
        owners = [_owners.get(layer) for layer in layers]
        random = self.rng.bit_generator.state
        try:
            yield
        except BaseException:
            for part, content in zip(held, before):
                part.clear()
                part.update(content)
            self.rng.bit_generator.state = random
            for layer, owner in zip(layers, owners):
                _owners.pop(layer, None)
                if owner is not None:
                    _owners[layer] = owner
            raise

    def _shapes(self, layers: list[Layer], input_shape: Shape) -> list[Shape]:
        """Input shape of each layer, and the output shape of the last one."""
        shapes = [input_shape]
        for layer in layers:
            shapes.append(tuple(layer.output_shape(shapes[-1])))
        return shapes

    def _fits(self, input_shape: Shape) -> bool:
        try:
            self._shapes(self.layers, input_shape)
        except (TypeError, ValueError):
            return False
        return True

    def _declared_sample(self, first: Layer) -> Shape | None:
        """The shape of one sample that Input or the first layer declares."""
        if self._input is not None:
            return self._input.declared_shape
        return (self.layers[0] if self.layers else first).declared_shape

    def _common_dtype(self, layers: list[Layer]) -> np.dtype[Any]:
        given = {layer.dtype for layer in (self._input, *layers) if layer is not None}
        if self.built:
            given.add(self.dtype)
        given.discard(None)
        if len(given) > 1:
            raise ValueError(
                f"{self.who}: expected layers of one dtype, since their parameters are one vector, "
                f"received {sorted(map(str, given))}"
            )
        return given.pop() if given else np.dtype(config.floatx())  # type: ignore[return-value]

    def bind(self, dtype: Any) -> None:
        """Lay all parameters into one vector, gradients into another; layers get views of them."""
        self._flat = FlatParameters(self._layers, dtype)
        self._kept = {}

    def _rejoin(self) -> None:
        """Take in arrays that were put in the place of parameters, instead of written into them.

        Raises TypeError or ValueError for what is no array of the right shape.
        """
        if "train" in self._kept:
            self._kept["train"][1].after_fork()
        self._flat.absorb()
        self._flat.separate_states(self._layers)

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: the layers hold all numbers that the vectors do."""
        passing: dict[str, Any] = {"_kept": {}, "_in_fit": (0, 0)}
        return {**self.__dict__, **passing, "_flat": self.dtype}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        dtype = state["_flat"]
        for layer in self._layers:
            _owners[layer] = weakref.ref(self)
        self._flat = FlatParameters([], dtype)
        if self.built:
            self.bind(dtype)
        seeds.differ_after_fork(self)
        if self.optimizer.state:
            _served[self.optimizer] = weakref.ref(self)
        if self.history is not None:
            self.history.set_model(self)

    def __copy__(self) -> Sequential:
        """As `copy.deepcopy`: two models over the same layers would each take the other's apart."""
        return copy.deepcopy(self)

    def __deepcopy__(self, memo: dict[Any, Any]) -> Sequential:
        if contents.WORKER in memo:  # a layer's reference to its model, say
            return self
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return twin

    def reseed(self) -> None:
        """Draw other numbers from now on; for forked processes."""
        bits = self.rng.bit_generator
        bits.state = type(bits)().state

    def _needs_build(self, what: str) -> None:
        if not self.built:
            raise ValueError(f"{self.who}: {what} needs a built model. {HOW_TO_BUILD}")

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, or at that place.

        Raises ValueError if there is none, or unless exactly one of the two is given.
        """
        if (name is None) == (index is None):
            raise ValueError(f"{self.who}: get_layer takes either a name or an index")
        if index is not None:
            count = len(self._layers)
            index = checks.integer(index, "index", self.who, minimum=-count)
            if index >= count:
                raise ValueError(
                    f"{self.who}: expected index to be that of a layer, and there are {count}, "
                    f"received {checks.shown(index)}"
                )
            return self._layers[index]
        if not isinstance(name, str):
            raise TypeError(
                f"{self.who}: expected name to be a text, received {checks.shown(name)}"
            )
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise ValueError(
            f"{self.who}: no such layer: {checks.shown(name)}. Existing layers are: {names}"
        )

    def count_params(self) -> int:
        """Numbers that the model holds. Raises ValueError before it is built."""
        self._needs_build("count_params")
        return sum(layer.count_params() for layer in self.layers)

    def summary(
        self,
        line_length: int | None = None,
        *,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
    ) -> None:
        """Print a table of the layers, their output shapes and their parameters.

        Parameters
        ----------
        line_length : int, optional
            Columns, 1 to 10,000; as wide as the terminal, at most 88, if not given.
        print_fn : callable, optional
            Receives the text instead of standard output, which gets plain characters where it
            cannot write the table's.
        expand_nested : bool
            Taken for Keras's sake; a Sequential here holds no other models.
        show_trainable : bool
            One more column: Y for layers whose parameters are trained, N for frozen ones.
        """
        if line_length is not None:
            line_length = checks.integer(
                line_length, "line_length", "summary", minimum=1, maximum=summary.WIDEST_ASKED
            )
        if print_fn is not None and not callable(print_fn):
            raise TypeError(
                "summary: expected print_fn to be a function of a text, received "
                f"{checks.shown(print_fn)}"
            )
        checks.boolean(expand_nested, "expand_nested", "summary")
        show_trainable = checks.boolean(show_trainable, "show_trainable", "summary")
        rows = []
        shape = self._input_shape
        for layer in self.layers:
            title = f"{layer.name} ({type(layer).__name__})"
            if shape is None:
                row = [title, "?", "0 (unbuilt)" if not layer.built else _count(layer)]
            else:
                shape = tuple(layer.output_shape(shape))
                row = [title, f"({', '.join(map(str, shape))})", _count(layer)]
            if show_trainable:
                row.append("-" if not layer.params else "Y" if layer.trainable else "N")
            rows.append(row)

        built = [layer for layer in self.layers if layer.built]
        learning = [layer for layer in built if layer.trainable]
        trainable = sum(array.size for layer in learning for array in layer.params.values())
        total = sum(layer.count_params() for layer in built)
        optimizer = 0
        if self._compiled and self.optimizer.iterations:
            # + 2 as Keras counts: the number of steps and the learning rate
            optimizer = sum(vector.size for vector in self.optimizer.state.values()) + 2
        counts = {
            "Total params": total + optimizer,
            "Trainable params": trainable,
            "Non-trainable params": total - trainable,
            "Optimizer params": optimizer,
        }
        lines = [f'Model: "{self.name}"', summary.table(rows, line_length)]
        lines += [
            f" {label}: {count:,} ({summary.size(count, self.dtype.itemsize)})"
            for label, count in counts.items()
            if count or label != "Optimizer params"
        ]
        (print_fn or say)("\n".join(lines))

    # -- weights ----------------------------------------------------------------------------------

    def _weight_arrays(self) -> dict[str, Array]:
        return {
            f"{layer.name}/{key}": array
            for layer in self.layers
            for key, array in layer._arrays().items()
        }

    @property
    def weights(self) -> list[Weight]:
        """All arrays with Keras's names, in the order of `get_weights`; views, no copies.

        Of layers that are not built there are none.
        """
        return [weight for layer in self.layers for weight in layer.weights]

    @property
    def trainable_weights(self) -> list[Weight]:
        """Those of `weights` that training changes."""
        return [weight for weight in self.weights if weight.trainable]

    @property
    def non_trainable_weights(self) -> list[Weight]:
        """The others: running statistics, and everything in frozen layers."""
        return [weight for weight in self.weights if not weight.trainable]

    def get_weights(self) -> list[Array]:
        """Copies of all weights, in Keras's order and shapes: layer by layer, kernel then bias.

        Raises ValueError before the model is built.
        """
        self._needs_build("get_weights")
        return [array.copy() for array in self._weight_arrays().values()]

    def set_weights(self, weights: list[Any]) -> None:
        """Copy `weights`, as `get_weights` of this or of Keras's model returns them.

        Raises ValueError before the model is built, or if the count or a shape differs; nothing is
        changed then.
        """
        self._needs_build("set_weights")
        for target, values in checked_weights(self._weight_arrays(), weights, self.who):
            target[...] = values

    # -- one walk through the layers --------------------------------------------------------------

    def forward(self, x: Array, training: bool = False) -> Array:
        """Output for one batch x: every layer's `forward`, first to last."""
        training = checks.boolean(training, "training", self.who)
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, dy: Array) -> Array:
        """Gradient of x for the last `forward`: every layer's `backward`, last to first.

        Fills `flat_grads`, and with it every `layer.grads`.
        """
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        self._flat.collect_gradients()
        return dy

    def __call__(self, x: Any, training: bool = False) -> Array:
        """Output for one batch x, as `forward`, after the checks that `predict` makes."""
        training = checks.boolean(training, "training", "Sequential()")
        data = self._data(x, "Sequential()")
        self._build_for(data)
        (batch,) = data.batches(len(data))
        with single_threaded_blas(), np.errstate(all="ignore"):  # what overflows is found below
            y = self.forward(batch.all_inputs(self.input_shape[1:]), training)
        expect_finite(self, batch, y, "Sequential()")
        return y

    # -- training ---------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        *,
        jit_compile: bool | str = "auto",
        **keras: Any,
    ) -> None:
        """Choose how the model is trained. The weights are kept; a new optimizer starts afresh.

        Parameters
        ----------
        optimizer : str or Optimizer
            "adam", "rmsprop", "sgd", or an object such as Adam(learning_rate=0.001).
        loss : str or Loss
            "sparse_categorical_crossentropy", "categorical_crossentropy", "mean_squared_error".
        loss_weights : float, optional
            Factor on the loss, or a list of this one factor.
        metrics : list of str, Metric or callable
            "accuracy" and the like; a callable takes (y_true, y_pred) and gives a value a sample.
        jit_compile : "auto", True or False
            Run fused steps where there are some (`plan()` shows which), or, with False, walk
            through the layers one by one. The results agree within rounding.

        Raises
        ------
        TypeError, ValueError
            For unknown names (the message lists the known ones) and other types. The model is then
            compiled as it was before.
        """
        checks.only_defaults(keras, OF_KERAS, "compile()")
        loss_weight = _loss_weight(loss_weights)
        if metrics is not None and not isinstance(metrics, (list, tuple)):
            raise TypeError(
                f"compile: expected metrics to be a list, received {checks.shown(metrics)}. "
                f"Write metrics={checks.shown(_as_list(metrics))}"
            )
        self._not_in_fit("compile")
        new_optimizer = optimizers.get(optimizer, "compile")
        if "iterations" not in vars(new_optimizer):
            raise TypeError(
                f"compile: expected the __init__ of {type(new_optimizer).__name__} to call "
                "Optimizer's. Begin it with: super().__init__(learning_rate)"
            )
        new_loss = None if loss is None else losses.get(loss, "compile")
        for metric in metrics or ():
            _check_metric(metric)
        jit_compile = _auto_or_flag(jit_compile, "jit_compile", "compile")
        if new_loss is not None and new_loss.from_logits and self._ends_in_softmax():
            warnings.warn(
                f"compile: {new_loss.name} with from_logits=True, but the model ends in softmax, "
                "whose outputs are probabilities. The loss is computed from the logits before the "
                "softmax. Leave out from_logits=True, or the softmax",
                UserWarning,
                stacklevel=2,
            )
        one_output = self.built and self.output_shape[-1] == 1
        if new_loss is not None and new_loss.from_logits is not None and one_output:
            warnings.warn(
                f"compile: {new_loss.name} with one output, which is then always the right class: "
                "the loss is 0 and nothing is learned. Give the last layer one unit for each class",
                UserWarning,
                stacklevel=2,
            )
        self.optimizer, self.loss, self._metrics = new_optimizer, new_loss, list(metrics or ())
        self.jit_compile, self._loss_weight = jit_compile, loss_weight
        self._trainable_parts = self._flat.parts(self._layers) if self.built else None
        self._compiled = True
        self._kept = {}

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: list[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        *,
        validation_freq: int = 1,
        **keras: Any,
    ) -> History:
        """Train for some epochs; called again, it goes on from where it stopped.

        Parameters
        ----------
        x : array of shape (N, ...)
            Inputs of any real type; each batch is cast to the model's float type. Images without
            their channel axis are accepted where the model has one channel.
        y : array of shape (N,) or (N, ...)
            Targets, as the loss takes them.
        batch_size : int, optional
            Samples a step, 32 if not given; the last batch of an epoch may be shorter.
        epochs : int
            Number of the last epoch; with `initial_epoch` 0, how many there are.
        verbose : 0, 1, 2 or "auto"
            Silent, a progress bar, one line an epoch. "auto" is 1. Where standard output is no
            terminal, 1 prints one line an epoch too.
        callbacks : list of Callback
        validation_split : float in (0, 1)
            Part of the samples, from the end, that is kept back for validation.
        validation_data : (x, y) or (x, y, sample_weight)
            Judged after each epoch; takes precedence over `validation_split`.
        shuffle : bool
            New order in every epoch.
        class_weight : dict of int to float
            Factor on the loss of each class's samples; validation goes without it.
        sample_weight : array of shape (N,)
            Factor on the loss of each sample; `validation_split` divides it too.
        initial_epoch : int
            Number of the first epoch.
        validation_freq : int
            Validate after every so many epochs.

        Returns
        -------
        History
            `.history` holds one figure an epoch for "loss", each metric, and the same with "val_".

        Raises
        ------
        TypeError, ValueError
            For arguments that do not fit, or before `compile`; nothing is changed then.
        FloatingPointError
            If the loss or the gradient becomes NaN or infinite; names the layer and the step. The
            weights are those of the last whole step, as they are after KeyboardInterrupt. Callbacks
            see that loss first; if one sets `stop_training`, fit ends without an error.
        """
        checks.only_defaults(keras, OF_KERAS, "fit()")
        self._needs_compile("fit")
        size = self._batch_size(batch_size, "fit")
        epochs = checks.integer(epochs, "epochs", "fit", minimum=0, maximum=2**62)
        first = checks.integer(initial_epoch, "initial_epoch", "fit", minimum=0, maximum=2**62)
        shuffle = checks.boolean(shuffle, "shuffle", "fit")
        every = checks.integer(validation_freq, "validation_freq", "fit", minimum=1)
        hooks = checked_callbacks(callbacks, "fit")
        level = checked_verbose(verbose, "fit")
        data = self._data(x, "fit", y, sample_weight, class_weight)
        validation = None
        split = not inputs.is_zero(validation_split)
        if split:
            validation_split = inputs.share(validation_split)
        if validation_data is not None:
            if not isinstance(validation_data, (list, tuple)) or len(validation_data) not in (2, 3):
                raise ValueError(
                    "fit: expected validation_data to be (x_val, y_val) or (x_val, y_val, "
                    f"sample_weight), received {type(validation_data).__name__}"
                )
            x_val, y_val, *weight_val = validation_data
            weight = weight_val[0] if weight_val else None
            like = data.x.shape[1:]
            validation = self._data(x_val, "fit validation_data", y_val, weight, like=like)
        elif split:
            data, validation = inputs.split(data, validation_split)
        data = self._with_class_weight(data, class_weight, "fit")
        self._train_for(data)
        here = (os.getpid(), threading.get_ident())
        outer = self._fitting()
        if outer not in ((0, 0), here):
            raise RuntimeError(f"fit: {training.in_two_threads(self)}")
        self._in_fit = here
        try:
            return training.fit(
                self,
                data,
                validation,
                batch_size=size,
                epochs=range(first, epochs),
                verbose=level,
                callbacks=hooks,
                shuffle=shuffle,
                validation_freq=every,
            )
        finally:
            self._in_fit = outer

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        *,
        callbacks: list[Callback] | None = None,
        return_dict: bool = False,
        **keras: Any,
    ) -> Any:
        """Loss and metrics over all samples, without training.

        Returns
        -------
        list of float
            [loss, *metrics]; a bare float without metrics; a dict by name with `return_dict=True`.

        Raises
        ------
        TypeError, ValueError
            As `fit`.
        FloatingPointError
            If the outputs are NaN or infinite; names the layer.
        """
        checks.only_defaults(keras, OF_KERAS, "evaluate()")
        return_dict = checks.boolean(return_dict, "return_dict", "evaluate")
        self._needs_compile("evaluate")
        size = self._batch_size(batch_size, "evaluate")
        hooks = checked_callbacks(callbacks, "evaluate")
        level = checked_verbose(verbose, "evaluate")
        data = self._data(x, "evaluate", y, sample_weight)
        self._build_for(data)
        self._announce(hooks, data, size, level)
        logs = training.evaluate(
            self, data, batch_size=size, verbose=level, callbacks=hooks, who="evaluate"
        )
        return dict(sorted(logs.items())) if return_dict else _in_order(logs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        *,
        callbacks: list[Callback] | None = None,
        **keras: Any,
    ) -> Array:
        """The model's output for every sample, in their order; works in batches.

        Returns
        -------
        ndarray of shape (N, ...) in the model's float type

        Raises
        ------
        TypeError, ValueError
            For inputs that do not fit.
        FloatingPointError
            If the outputs are NaN or infinite; names the layer.
        """
        checks.only_defaults(keras, OF_KERAS, "predict()")
        size = self._batch_size(batch_size, "predict")
        hooks = checked_callbacks(callbacks, "predict")
        level = checked_verbose(verbose, "predict")
        data = self._data(x, "predict")
        self._build_for(data)
        self._announce(hooks, data, size, level)
        return training.predict(self, data, batch_size=size, verbose=level, callbacks=hooks)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """One step on one batch; loss and metrics of this batch, before the step, as `evaluate`.

        Raises as `fit`.
        """
        self._needs_compile("train_on_batch")
        return_dict = checks.boolean(return_dict, "return_dict", "train_on_batch")
        data = self._data(x, "train_on_batch", y, sample_weight, class_weight)
        data = self._with_class_weight(data, class_weight, "train_on_batch")
        self._train_for(data)
        runner = self.runner(training=True)
        with single_threaded_blas():
            values = runner.step(self, inputs.Batch(data, np.arange(len(data))))
        logs = runner.means().add(values)
        return dict(sorted(logs.items())) if return_dict else _in_order(logs)

    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics of one batch, without training, as `evaluate` of this batch alone.

        Raises as `evaluate`.
        """
        self._needs_compile("test_on_batch")
        return_dict = checks.boolean(return_dict, "return_dict", "test_on_batch")
        data = self._data(x, "test_on_batch", y, sample_weight)
        self._build_for(data)
        logs = training.evaluate(self, data, batch_size=len(data), who="test_on_batch")
        return dict(sorted(logs.items())) if return_dict else _in_order(logs)

    def predict_on_batch(self, x: Any) -> Array:
        """The model's output for one batch, as `predict` without its progress.

        Raises as `predict`.
        """
        data = self._data(x, "predict_on_batch")
        self._build_for(data)
        return training.predict(self, data, batch_size=len(data), who="predict_on_batch")

    @property
    def metrics_names(self) -> list[str]:
        """Names of the figures that `evaluate` lists, in their order: "loss", then the metrics.

        Raises ValueError before the model is compiled and built.
        """
        self._needs_compile("metrics_names")
        self._needs_build("metrics_names")
        return ["loss", *(metric.name for metric in self._chosen_metrics(self.output_shape))]

    def plan(self) -> Plan:
        """How the model is run: which layers are fused into one step, and why others are not.

        `print(model.plan())` shows it. Raises ValueError before the model is built.
        """
        self._needs_build("plan")
        return self.lowered(before_softmax(self.layers)[0])

    def lowered(self, layers: list[Layer]) -> Plan:
        """The plan for `layers`, these or these without their softmax."""
        if not self.jit_compile:
            return as_layers(layers, "compiled with jit_compile=False")
        return lower(layers, self.input_shape[1:], self.dtype)

    def runner(self, *, training: bool, arrays: bool = True) -> training.Runner:
        """What runs this model's steps; raises ValueError if it was compiled without a loss.

        With `arrays=False` what is written into arrays that layers keep as settings does not count
        yet, since to compare large ones takes time.
        """
        from minicnn.training import Runner

        if self.loss is None:
            raise ValueError(f"{self.who}: compile it with a loss first")
        loss = self.loss
        if training:
            self._rejoin()
        return self._keep(
            "train" if training else "test",
            lambda: Runner(self, loss, self._chosen_metrics(self.output_shape), training),
            arrays=arrays,
        )

    def network(self) -> tuple[ShardedNetwork, bool]:
        """What predicts: the network up to the logits, and whether a softmax stands behind it."""

        def make() -> tuple[ShardedNetwork, bool]:
            layers, ends_in_softmax = before_softmax(self._layers)
            plan = self.lowered(layers)
            return ShardedNetwork(plan, self.dtype, training=False), ends_in_softmax

        return self._keep("predict", make)

    def _keep(self, use: str, make: Callable[[], T], *, arrays: bool = True) -> T:
        """What `make` makes, kept for the next call, as long as no setting has changed since."""
        chosen = (self.loss, self.optimizer, self.jit_compile)
        before, made = self._kept.get(use, (None, None))
        if before is None or before.chosen != chosen or before.changed(self._layers, arrays=arrays):
            made = make()
            self._kept[use] = contents.Settings(chosen, self._layers), made
        return made

    def _chosen_metrics(self, output_shape: Shape) -> list[metrics.Metric]:
        """The metrics that `compile` asked for, for outputs of that shape."""
        if self.loss is None:
            raise ValueError(f"{self.who}: compile it with a loss first")
        chosen = [metrics.get(m, self.loss, output_shape) for m in self._metrics]
        return metrics.distinct(chosen)

    def _ends_in_softmax(self) -> bool:
        return bool(self.layers) and before_softmax(self.layers)[1]

    # -- arguments --------------------------------------------------------------------------------

    def _fitting(self) -> tuple[int, int]:
        """Process and thread that fit runs in; (0, 0) if in none, or in that which forked this."""
        process, thread = vars(self).get("_in_fit", (0, 0))
        return (process, thread) if process == os.getpid() else (0, 0)

    def _not_in_fit(self, what: str) -> None:
        if self._fitting() != (0, 0):
            raise ValueError(
                f"{what}: expected {self.who} to be at rest, but it is in the midst of fit. End "
                "that first: a callback sets model.stop_training = True"
            )

    def _needs_compile(self, what: str) -> None:
        if not self._compiled or self.loss is None:
            raise ValueError(
                f"{what}: expected a compiled model. Call compile(optimizer=..., loss=...) first"
            )
        kinds = {"loss": losses.Loss, "optimizer": optimizers.Optimizer}
        for name, kind in kinds.items():
            if not isinstance(value := getattr(self, name), kind):
                raise TypeError(
                    f"{what}: expected model.{name} to be a {kind.__name__}, received "
                    f"{checks.shown(value)}. Choose it with compile({name}={checks.shown(value)})"
                )

    def _batch_size(self, batch_size: Any, who: str) -> int:
        if batch_size is None:
            return BATCH_SIZE
        return checks.integer(batch_size, "batch_size", who, minimum=1)

    def _announce(self, hooks: list[Callback], data: inputs.Data, size: int, level: int) -> None:
        for hook in hooks:
            hook.set_model(self)
            hook.set_params({"verbose": level, "epochs": 1, "steps": math.ceil(len(data) / size)})

    def _sample_shape(self) -> Shape | None:
        if self._input_shape is not None:
            return self._input_shape[1:]
        return self._declared_sample(self.layers[0]) if self.layers else None

    def _data(
        self,
        x: Any,
        who: str,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        like: Shape | None = None,
    ) -> inputs.Data:
        """The arguments as checked `Data`; changes nothing, copies nothing that is an array.

        Before the model is built, samples have to be of shape `like`, if it is given.
        """
        if not self.layers:
            raise ValueError(f"{who}: {self.who} has no layers; add some first")
        if self.built:
            self._rejoin()
        inputs.expect_array(x, "x", who)
        x = checks.numeric(x, "x", who)
        if x.ndim < 1 or len(x) == 0:
            raise ValueError(f"{who}: expected at least one sample in x, received shape {x.shape}")
        sample = self._sample_shape() or like
        if sample is not None and not inputs.same_sample(x.shape[1:], sample):
            raise ValueError(inputs.wrong_sample(who, x.shape, sample))
        threads.get_num_threads()  # may raise, for what the environment says: before any change
        dtype = self.dtype if self.built else self._common_dtype(self.layers)
        checks.finite(x, "x", who, dtype=dtype, run=threads.run)
        without_y = ("predict", "predict_on_batch", "Sequential()")
        if who in without_y or y is None:
            if who not in without_y:
                raise TypeError(f"{who}: expected y, the targets, received None")
            return inputs.Data(x.view(), who=who, dtype=dtype)
        output = self._shapes(self.layers, (None, *(sample or x.shape[1:])))[-1]
        if self.loss is None:
            raise ValueError(f"{who}: expected a compiled model")
        inputs.expect_array(y, "y", who)
        y = checks.numeric(y, "y", who)
        checks.same_length({"'x' sizes": x, "'y' sizes": np.atleast_1d(y)}, who)
        if y.ndim == 0:
            raise ValueError(f"{who}: expected y to be an array, received the number {y}")
        y = self.loss.targets(y, output, who)
        checks.finite(y, "y", who, dtype=dtype)
        for metric in self._chosen_metrics(output):
            metric.check(y, output, f"{who}: metric {metric.name}")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError(
                    f"{who}: expected class_weight or sample_weight, received both. Multiply the "
                    "sample_weight of each sample by the factor of its class"
                )
            inputs.by_class(y, class_weight, int(output[-1]), who)  # may raise, so at once
        weight = inputs.sample_weights(y, sample_weight, who)
        if self._loss_weight != 1:
            weight = (np.ones(len(y)) if weight is None else weight) * self._loss_weight
        verify = functools.partial(self.loss.check_values, output_shape=output, who=who)
        # views: a shape that is set on the user's arrays meanwhile does not reach these
        return inputs.Data(x.view(), y.view(), weight, who=who, dtype=dtype, verify=verify)

    def _with_class_weight(self, data: inputs.Data, class_weight: Any, who: str) -> inputs.Data:
        """The data that are trained on, each sample's loss times the factor of its class."""
        if class_weight is None or data.y is None:
            return data
        factors = inputs.by_class(data.y, class_weight, int(self._outputs(data)[-1]), who)
        weight = factors if data.weight is None else data.weight * factors
        return replace(data, weight=weight)

    def _outputs(self, data: inputs.Data) -> Shape:
        sample = self._sample_shape() or data.x.shape[1:]
        return self._shapes(self._layers, (None, *sample))[-1]

    def _build_for(self, data: inputs.Data) -> None:
        """Build the model for `data`, if that has not been done."""
        if not self.built:
            with _building:  # the first calls may come from several threads at once
                if not self.built:
                    self.build((None, *(self._sample_shape() or data.x.shape[1:])))

    def _train_for(self, data: inputs.Data) -> None:
        """Make model and optimizer ready for training on `data`."""
        other = _served.get(self.optimizer, lambda: None)()
        if other is not None and other is not self:
            raise ValueError(
                f"{checks.shown(self.optimizer)} has taken steps with {other.who}, and keeps what "
                "it learned of them. Give each model an optimizer of its own"
            )
        with self._unchanged_on_error(self.layers) if not self.built else contextlib.nullcontext():
            self._build_for(data)
            self.optimizer.check(self.flat_params)
        _served[self.optimizer] = weakref.ref(self)
        if self._trainable_parts is None:
            self._trainable_parts = self._flat.parts(self._layers)


def _dicts(layer: Layer) -> list[dict[str, Any]]:
    """All that a build of the layer changes."""
    return [vars(layer), layer.params, layer.grads, layer.state]


def _count(layer: Layer) -> str:
    return f"{layer.count_params():,}"


def _in_order(logs: dict[str, float]) -> Any:
    values = list(logs.values())
    return values[0] if len(values) == 1 else values


def _check_metric(metric: Any) -> None:
    metrics.check(metric, "compile")


def _as_list(given: Any) -> list[Any]:
    """The `metrics` argument as the list that it should have been; a Sequential has one output."""
    values = list(given.values()) if isinstance(given, dict) else [given]
    return [m for value in values for m in (value if isinstance(value, (list, tuple)) else [value])]


def _not_a_layer(given: Any) -> str:
    """What to say where a layer belongs."""
    package = type(given).__module__.partition(".")[0]
    if isinstance(given, type):
        way_out = f"That is the class: make an object of it, {given.__name__}(...)"
    elif hasattr(given, "call") and of_the_user(type(given)):
        way_out = (
            f"That is {type(given).__name__} of the package {checks.shown(package)}: import it "
            "from minicnn.layers"
        )
    else:
        way_out = "Own layers have to subclass minicnn.layers.Layer"
    return f"expected a layer such as Dense(10), received {checks.shown(given)}. {way_out}"


def _loss_weight(loss_weights: Any) -> float:
    """The `loss_weights` argument: the one factor of a model with one output."""
    if loss_weights is None:
        return 1.0
    if isinstance(loss_weights, (list, tuple)):
        if len(loss_weights) != 1 or isinstance(loss_weights[0], str) or callable(loss_weights[0]):
            raise ValueError(
                "compile: expected loss_weights to be one factor, received "
                f"{checks.shown(loss_weights)}. Metrics have a name: metrics=[...]"
            )
        (loss_weights,) = loss_weights
    return checks.real(loss_weights, "loss_weights", "compile", low=0)
