"""Sequential: layers in a row, under Keras's calls."""

from __future__ import annotations

import contextlib
import copy
import math
import numbers
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, config, losses, metrics, optimizers, seeds, summary, training
from minicnn.callbacks import Callback, History
from minicnn.callbacks import checked as checked_callbacks
from minicnn.engine import threads
from minicnn.engine.plan import Plan, as_layers, lower
from minicnn.engine.shards import before_softmax
from minicnn.layers import contents
from minicnn.layers.base import Layer, Shape, checked_init, checked_weights, unique_name
from minicnn.layers.input import InputLayer
from minicnn.progress import checked_verbose
from minicnn.weights import Weight

Array = NDArray[Any]

BATCH_SIZE = 32  # Keras's default

# arguments of Keras's fit, evaluate and predict that have no other setting here
OF_KERAS: dict[str, tuple[Any, ...]] = {
    "steps": (None,),
    "steps_per_epoch": (None,),
    "validation_batch_size": (None,),
    "validation_steps": (None,),
}

_served: weakref.WeakKeyDictionary[optimizers.Optimizer, weakref.ref[Sequential]] = (
    weakref.WeakKeyDictionary()
)
_owners: weakref.WeakKeyDictionary[Layer, weakref.ref[Sequential]] = weakref.WeakKeyDictionary()


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
        A callback sets it to end `fit` after the current epoch.

    Examples
    --------
    >>> from minicnn.layers import Dense
    >>> model = Sequential([Dense(3, activation="relu", input_shape=(4,)), Dense(2)])
    >>> model.count_params()       # 4*3 + 3 and 3*2 + 2
    23
    >>> model.predict(np.zeros((5, 4)), verbose=0).shape
    (5, 2)
    """

    def __init__(
        self,
        layers: Iterable[Layer] | None = None,
        *,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        if name is not None and (not isinstance(name, str) or not name):
            raise TypeError(
                f"Sequential: expected name to be a non-empty string, received {name!r}"
            )
        self.name = name if name is not None else unique_name(type(self).__name__)
        self.rng = seeds.new_generator()  # of initial values, masks and shuffling
        self._layers: list[Layer] = []
        self.built = False
        self._flat_params: Array = np.empty(0, config.floatx())
        self.flat_grads: Array = np.empty(0, config.floatx())
        self.trainable_parts: list[slice] = []
        self.optimizer: optimizers.Optimizer = optimizers.RMSprop()
        self.loss: losses.Loss | None = None
        self.history: History | None = None
        self.stop_training = False
        self._input: InputLayer | None = None
        self._input_shape: Shape | None = None
        self._output_shape: Shape | None = None
        self._metrics: list[Any] = []
        self._compiled = False
        self.jit_compile: bool | str = "auto"
        self._train_runner: training.Runner | None = None
        self._train_settings: dict[Any, Any] = {}  # when it was made
        self._in_fit = 0  # the thread that fit runs in
        if layers is not None and not isinstance(layers, (list, tuple)):
            raise TypeError(f"Sequential: expected a list of layers, received {layers!r}")
        for layer in layers or ():
            self.add(layer)
        if not checks.boolean(trainable, "trainable", "Sequential"):
            self.trainable = False

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
        return self.flat_params.dtype

    @property
    def flat_params(self) -> Array:
        """All parameters as one vector; what is assigned to it is copied into it."""
        return self._flat_params

    @flat_params.setter
    def flat_params(self, values: Any) -> None:
        given = checks.numeric(values, "flat_params", self.who)
        if given.shape != self._flat_params.shape:
            raise ValueError(
                f"{self.who}: expected flat_params of shape {self._flat_params.shape}, received "
                f"{given.shape}"
            )
        checks.finite(given, "flat_params", self.who, dtype=self.dtype)
        self._flat_params[...] = given

    @property
    def input_shape(self) -> Shape:
        """Shape of a batch that goes in, (None, ...). Raises ValueError before it is built."""
        self._needs_build("input_shape")
        return self._input_shape  # type: ignore[return-value]

    @property
    def output_shape(self) -> Shape:
        """Shape of a batch that comes out, (None, ...). Raises ValueError before it is built."""
        self._needs_build("output_shape")
        return self._output_shape  # type: ignore[return-value]

    def add(self, layer: Layer) -> None:
        """Put `layer` on top. Once the input's shape is known, it is built at once.

        Raises
        ------
        TypeError
            If it is not a layer.
        ValueError
            If its name is taken, it does not fit on the layer below, or another model has it.
            The model is then as it was.
        """
        if not isinstance(layer, Layer):
            raise TypeError(
                f"{self.who}: expected a layer such as Dense(10), received {layer!r}. "
                "Own layers have to subclass minicnn.layers.Layer"
            )
        checked_init(layer)
        self._not_in_fit("add")
        if isinstance(layer, InputLayer):
            if self.layers or self._input is not None:
                raise ValueError(f"{self.who}: expected Input to come first and once")
            self._input = layer
            return
        if any(other.name == layer.name for other in self.layers):
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
        sample = self._input_shape[1:] if self._input_shape else self._declared_sample(layer)
        layers = [*self.layers, layer]
        self._common_dtype(layers)
        if sample is not None:
            self._shapes(layers, (None, *sample))  # raises before anything is changed
        with self._put_back_on_error(layers):
            self._layers = layers
            if sample is not None:
                self.build((None, *sample))

    def pop(self) -> Layer:
        """Take the top layer off and return it. Raises ValueError if there is none."""
        if not self.layers:
            raise ValueError(f"{self.who}: there are no layers to pop")
        self._not_in_fit("pop")
        layer = self._layers.pop()
        self._compiled = False  # the optimizer's vectors no longer fit
        _owners.pop(layer, None)
        for arrays in (layer.params, layer.grads):
            arrays.update({key: array.copy() for key, array in arrays.items()})
        if self.built and self.layers:
            self.build(self._input_shape)
        elif self.built:
            self.built = False
            self._input_shape = self._output_shape = None
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
                f"(None, 28, 28, 1), received {input_shape!r}"
            )
        if not all(isinstance(n, (int, np.integer)) and n > 0 for n in input_shape[1:]):
            raise ValueError(
                f"{self.who}: expected all sizes of input_shape behind the batch axis to be "
                f"integers of at least 1, received {tuple(input_shape)}"
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
        dtype = self._common_dtype(self.layers)
        grown = len(self.layers) != len(_built(self.layers))
        with self._put_back_on_error(self.layers):
            for layer, shape in zip(self.layers, shapes):
                if layer.awaits_build:
                    layer.set_dtype(dtype)
                    layer.rng = self.rng
                    layer.build(shape)
                _owners[layer] = weakref.ref(self)
            if self.built and grown:
                self._compiled = False  # the optimizer's vectors no longer fit
            self._input_shape, self._output_shape = input_shape, tuple(shapes[-1])
            self.built = True
            self._bind(dtype)

    @contextlib.contextmanager
    def _put_back_on_error(self, layers: list[Layer]) -> Iterator[None]:
        """Whatever is raised within, Ctrl-C too, leaves the model and `layers` as they were."""
        inside = contents.layers_inside(layers)
        held = [vars(self), *(part for layer in inside for part in _dicts(layer))]
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
        given.discard(None)
        if len(given) > 1:
            raise ValueError(
                f"{self.who}: expected layers of one dtype, since their parameters are one vector, "
                f"received {sorted(map(str, given))}"
            )
        return given.pop() if given else np.dtype(config.floatx())  # type: ignore[return-value]

    def _bind(self, dtype: Any) -> None:
        """Lay all parameters into one vector, gradients into another; layers get views of them."""
        arrays = [array for layer in self.layers for array in layer.params.values()]
        length = sum(array.size for array in arrays)
        self._flat_params, self.flat_grads = np.empty(length, dtype), np.zeros(length, dtype)
        start = 0
        for layer in self.layers:
            for key, array in layer.params.items():
                part = slice(start, start + array.size)
                self.flat_params[part] = array.ravel()
                layer.params[key] = self.flat_params[part].reshape(array.shape)
                layer.grads[key] = self.flat_grads[part].reshape(array.shape)
                start += array.size
        self._train_runner, self._train_settings = None, {}

    def _rejoin(self) -> None:
        """Take in arrays that were put in the place of parameters, instead of written into them."""
        for layer in self.layers:
            for key, array in layer.params.items():
                if array.base is self.flat_params:
                    continue
                if np.shape(array) != layer.grads[key].shape:
                    raise ValueError(
                        f"{layer.who}: expected {key} of shape {layer.grads[key].shape}, "
                        f"received {np.shape(array)}"
                    )
                layer.params[key] = np.asarray(array, self.dtype)
                self._bind(self.dtype)
                return self._rejoin()
        return None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """After a copy or unpickling, which tears views and vectors apart: join them again."""
        self.__dict__.update(state)
        for layer in self.layers:
            _owners[layer] = weakref.ref(self)
        if self.built:
            self._bind(self.flat_params.dtype)

    def __copy__(self) -> Sequential:
        """As `copy.deepcopy`: two models over the same layers would each take the other's apart."""
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_train_runner": None, "_train_settings": {}, "_in_fit": 0}

    def _needs_build(self, what: str) -> None:
        if not self.built:
            raise ValueError(
                f"{self.who}: {what} needs a built model. Give the first layer "
                "input_shape=(H, W, C), or call build((None, H, W, C)) or fit first"
            )

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of that name, or at that place.

        Raises ValueError if there is none, or unless exactly one of the two is given.
        """
        if (name is None) == (index is None):
            raise ValueError(f"{self.who}: get_layer takes either a name or an index")
        if index is not None:
            index = checks.integer(index, "index", self.who, minimum=-len(self.layers))
            if index >= len(self.layers):
                raise ValueError(f"{self.who}: no layer {index}, there are {len(self.layers)}")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise ValueError(f"{self.who}: no such layer: {name!r}. Existing layers are: {names}")

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
            Columns; as wide as the terminal, at most 88, if not given.
        print_fn : callable, optional
            Receives the text instead of standard output.
        expand_nested : bool
            Taken for Keras's sake; a Sequential here holds no other models.
        show_trainable : bool
            One more column: Y for layers whose parameters are trained, N for frozen ones.
        """
        if line_length is not None:
            line_length = checks.integer(line_length, "line_length", "summary", minimum=1)
        if print_fn is not None and not callable(print_fn):
            raise TypeError(
                f"summary: expected print_fn to be a function of a text, received {print_fn!r}"
            )
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

        trainable = sum(part.stop - part.start for part in self._trainable_parts())
        total = sum(layer.count_params() for layer in _built(self.layers))
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
        (print_fn or print)("\n".join(lines))

    def _trainable_parts(self) -> list[slice]:
        """Where the trainable layers' parameters lie in the vector; neighbours joined."""
        parts: list[slice] = []
        start = 0
        for layer in _built(self.layers):
            stop = start + sum(array.size for array in layer.params.values())
            if layer.trainable and stop > start:
                if parts and parts[-1].stop == start:
                    parts[-1] = slice(parts[-1].start, stop)
                else:
                    parts.append(slice(start, stop))
            start = stop
        return parts

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
        for layer in self.layers:
            x = layer.forward(x, training)
        return x

    def backward(self, dy: Array) -> Array:
        """Gradient of x for the last `forward`: every layer's `backward`, last to first.

        Fills `flat_grads`, and with it every `layer.grads`.
        """
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    def __call__(self, x: Any, training: bool = False) -> Array:
        """Output for one batch x, as `forward`, after the checks that `predict` makes."""
        training = checks.boolean(training, "training", "Sequential()")
        data = self._data(x, "Sequential()")
        self._build_for(data)
        return self.forward(data.x.reshape(len(data), *self.input_shape[1:]), training)

    # -- training ---------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        jit_compile: bool | str = "auto",
    ) -> None:
        """Choose how the model is trained. The weights are kept; a new optimizer starts afresh.

        Parameters
        ----------
        optimizer : str or Optimizer
            "adam", "rmsprop", "sgd", or an object such as Adam(learning_rate=0.001).
        loss : str or Loss
            "sparse_categorical_crossentropy", "categorical_crossentropy", "mean_squared_error".
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
        if metrics is not None and not isinstance(metrics, (list, tuple)):
            raise TypeError(
                f"compile: expected metrics to be a list, received {metrics!r}. "
                f"Write metrics={_as_list(metrics)!r}"
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
        if not isinstance(jit_compile, (bool, str)) or jit_compile not in ("auto", True, False):
            raise ValueError(
                f"compile: expected jit_compile to be 'auto', True or False, "
                f"received {jit_compile!r}"
            )
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
        self.jit_compile = jit_compile
        self.trainable_parts = self._trainable_parts()
        self._compiled = True
        self._train_runner = None

    def fit(
        self,
        x: Any,
        y: Any,
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
            Factor on the loss of each class's samples.
        sample_weight : array of shape (N,)
            Factor on the loss of each sample.
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
            weights are those of the last whole step, as they are after KeyboardInterrupt.
        """
        checks.only_defaults(keras, OF_KERAS, "fit()")
        self._needs_compile("fit")
        size = self._batch_size(batch_size, "fit")
        epochs = checks.integer(epochs, "epochs", "fit", minimum=0)
        first = checks.integer(initial_epoch, "initial_epoch", "fit", minimum=0)
        shuffle = checks.boolean(shuffle, "shuffle", "fit")
        every = checks.integer(validation_freq, "validation_freq", "fit", minimum=1)
        hooks = checked_callbacks(callbacks, "fit")
        level = checked_verbose(verbose, "fit")
        data = self._data(x, "fit", y, sample_weight, class_weight)
        validation = None
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
        elif not _is_zero(validation_split):
            data, validation = _split(data, validation_split)
        self._build_for(data)
        outer = self._in_fit
        if outer not in (0, threading.get_ident()):
            raise RuntimeError(f"fit: {training.in_two_threads(self)}")
        self._in_fit = threading.get_ident()
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
        y: Any,
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
            As `fit`; ValueError before the model is built.
        """
        checks.only_defaults(keras, OF_KERAS, "evaluate()")
        return_dict = checks.boolean(return_dict, "return_dict", "evaluate")
        self._needs_compile("evaluate")
        self._needs_build("evaluate")
        size = self._batch_size(batch_size, "evaluate")
        hooks = checked_callbacks(callbacks, "evaluate")
        level = checked_verbose(verbose, "evaluate")
        data = self._data(x, "evaluate", y, sample_weight)
        self._rejoin()
        self._announce(hooks, data, size, level)
        logs = training.evaluate(self, data, batch_size=size, verbose=level, callbacks=hooks)
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
            For inputs that do not fit; ValueError before the model is built.
        """
        checks.only_defaults(keras, OF_KERAS, "predict()")
        self._needs_build("predict")
        size = self._batch_size(batch_size, "predict")
        hooks = checked_callbacks(callbacks, "predict")
        level = checked_verbose(verbose, "predict")
        data = self._data(x, "predict")
        self._rejoin()
        self._announce(hooks, data, size, level)
        return training.predict(self, data, batch_size=size, verbose=level, callbacks=hooks)

    def train_on_batch(
        self,
        x: Any,
        y: Any,
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
        self._build_for(data)
        runner = self.runner(training=True)
        with threads.single_threaded_blas():
            values = runner.step(self, training.Batch(data, np.arange(len(data))))
        logs = runner.means().add(values)
        return dict(sorted(logs.items())) if return_dict else _in_order(logs)

    def test_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics of one batch, without training, as `evaluate` of this batch alone.

        Raises as `evaluate`.
        """
        self._needs_compile("test_on_batch")
        self._needs_build("test_on_batch")
        return_dict = checks.boolean(return_dict, "return_dict", "test_on_batch")
        data = self._data(x, "test_on_batch", y, sample_weight)
        self._rejoin()
        logs = training.evaluate(self, data, batch_size=len(data))
        return dict(sorted(logs.items())) if return_dict else _in_order(logs)

    def predict_on_batch(self, x: Any) -> Array:
        """The model's output for one batch, as `predict` without its progress.

        Raises as `predict`.
        """
        self._needs_build("predict_on_batch")
        data = self._data(x, "predict_on_batch")
        self._rejoin()
        return training.predict(self, data, batch_size=len(data))

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

    def runner(self, *, training: bool) -> training.Runner:
        """What runs this model's steps; the one that trains is kept for the next call."""
        from minicnn.training import Runner

        chosen = {"loss": self.loss, "optimizer": self.optimizer, "jit": self.jit_compile}
        settings = contents.settings([chosen, *self._layers]) if training else {}
        if training:
            self._rejoin()
        if training and self._train_runner and contents.unchanged(self._train_settings, settings):
            return self._train_runner
        if self.loss is None:
            raise ValueError(f"{self.who}: compile it with a loss first")
        runner = Runner(self, self.loss, self._chosen_metrics(self.output_shape), training)
        if training:
            self._train_runner, self._train_settings = runner, settings
        return runner

    def _chosen_metrics(self, output_shape: Shape) -> list[metrics.Metric]:
        """The metrics that `compile` asked for, for outputs of that shape."""
        if self.loss is None:
            raise ValueError(f"{self.who}: compile it with a loss first")
        chosen = [metrics.get(m, self.loss, output_shape) for m in self._metrics]
        return metrics.distinct(chosen)

    def _ends_in_softmax(self) -> bool:
        return bool(self.layers) and before_softmax(self.layers)[1]

    # -- arguments --------------------------------------------------------------------------------

    def _not_in_fit(self, what: str) -> None:
        if vars(self).get("_in_fit"):
            raise ValueError(
                f"{what}: expected {self.who} to be at rest, but it is in the midst of fit. End "
                "that first: a callback sets model.stop_training = True"
            )

    def _needs_compile(self, what: str) -> None:
        if not self._compiled or self.loss is None:
            why = "" if self.loss is None else ": its layers have changed since it was compiled"
            raise ValueError(
                f"{what}: expected a compiled model. "
                f"Call compile(optimizer=..., loss=...) first{why}"
            )
        kinds = {"loss": losses.Loss, "optimizer": optimizers.Optimizer}
        for name, kind in kinds.items():
            if not isinstance(value := getattr(self, name), kind):
                raise TypeError(
                    f"{what}: expected model.{name} to be a {kind.__name__}, received {value!r}. "
                    f"Choose it with compile({name}={value!r})"
                )

    def _batch_size(self, batch_size: Any, who: str) -> int:
        if batch_size is None:
            return BATCH_SIZE
        return checks.integer(batch_size, "batch_size", who, minimum=1)

    def _announce(self, hooks: list[Callback], data: training.Data, size: int, level: int) -> None:
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
    ) -> training.Data:
        """The arguments as checked `Data`; changes nothing, copies nothing that is an array.

        Before the model is built, samples have to be of shape `like`, if it is given.
        """
        if not self.layers:
            raise ValueError(f"{who}: {self.who} has no layers; add some first")
        if x is None:
            raise TypeError(f"{who}: expected x to be an array, received None")
        x = checks.numeric(x, "x", who)
        if x.ndim < 1 or len(x) == 0:
            raise ValueError(f"{who}: expected at least one sample in x, received shape {x.shape}")
        sample = self._sample_shape() or like
        if sample is not None and not _same_sample(x.shape[1:], sample):
            raise ValueError(_wrong_sample(who, x.shape, sample))
        threads.get_num_threads()  # may raise, for what the environment says: before any change
        dtype = self.dtype if self.built else self._common_dtype(self.layers)
        checks.finite(x, "x", who, dtype=dtype, run=threads.run)
        without_y = ("predict", "predict_on_batch", "Sequential()")
        if who in without_y or y is None:
            if who not in without_y:
                raise TypeError(f"{who}: expected y, the targets, received None")
            return training.Data(x)
        output = self._shapes(self.layers, (None, *(sample or x.shape[1:])))[-1]
        if self.loss is None:
            raise ValueError(f"{who}: expected a compiled model")
        y = checks.numeric(y, "y", who)
        checks.same_length({"'x' sizes": x, "'y' sizes": np.atleast_1d(y)}, who)
        if y.ndim == 0:
            raise ValueError(f"{who}: expected y to be an array, received the number {y}")
        y = self.loss.targets(y, output, who)
        checks.finite(y, "y", who, dtype=dtype)
        for metric in self._chosen_metrics(output):
            metric.check(y, output, f"{who}: metric {metric.name}")
        weight = _weights(y, sample_weight, class_weight, int(output[-1]), who)
        return training.Data(x, y, weight)

    def _build_for(self, data: training.Data) -> None:
        """Make the model ready for `data`: build it, if that has not been done."""
        other = _served.get(self.optimizer, lambda: None)()
        if other is not None and other is not self:
            raise ValueError(
                f"{self.optimizer!r} has taken steps with {other.who}, and keeps what it learned "
                "of them. Give each model an optimizer of its own"
            )
        with self._put_back_on_error(self.layers) if not self.built else contextlib.nullcontext():
            if not self.built:
                self.build((None, *(self._sample_shape() or data.x.shape[1:])))
            self._rejoin()
            self.optimizer.check(self.flat_params)
        _served[self.optimizer] = weakref.ref(self)
        if not self.trainable_parts:  # compiled before it was built
            self.trainable_parts = self._trainable_parts()


def _dicts(layer: Layer) -> list[dict[str, Any]]:
    """All that a build of the layer changes."""
    return [vars(layer), layer.params, layer.grads, layer.state]


def _built(layers: list[Layer]) -> list[Layer]:
    return [layer for layer in layers if layer.built]


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


def _same_sample(given: Shape, sample: Shape) -> bool:
    """Whether the shapes agree, give or take a last axis of size 1."""
    given, sample = tuple(given), tuple(sample)
    return given == sample or (*given, 1) == sample or given == (*sample, 1)


def _wrong_sample(who: str, shape: Shape, sample: Shape) -> str:
    expected = f"({', '.join(['N', *map(str, sample)])})"
    message = f"{who}: expected x of shape {expected}, received {tuple(shape)}."
    if tuple(shape) == tuple(sample) or (*shape, 1) == tuple(sample):
        return f"{message} For one sample add a batch axis: x[None]"
    if (*shape[1:], 1) == tuple(sample):
        return f"{message} Add a channel axis: x[..., None]"
    if len(shape) > 2 and shape[0] == 1 and _same_sample(shape[2:], sample):
        return f"{message} For a list that holds one array, give the array itself: x[0]"
    if len(shape) == 1:
        return f"{message} Each sample has to be an array of its own; is x what was meant?"
    return f"{message} Reshape the data, or build the model for input_shape={tuple(shape[1:])}"


def _is_zero(value: Any) -> bool:
    """Whether it is the number 0; an array of them, or False, is not."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and value == 0


def _split(data: training.Data, validation_split: Any) -> tuple[training.Data, training.Data]:
    part = checks.real(
        validation_split, "validation_split", "fit", low=0, high=1, open_low=True, open_high=True
    )
    at = math.floor(len(data) * (1 - part))
    if at == 0 or at == len(data):
        raise ValueError(
            f"fit: expected validation_split={part} of {len(data)} samples to leave some on both "
            f"sides, received {at} to train on and {len(data) - at} to validate"
        )
    return data.split(at)


def _weights(
    y: Array, sample_weight: Any, class_weight: Any, classes: int, who: str
) -> Array | None:
    """One factor a sample from both arguments, or None."""
    weight: Array | None = None
    if sample_weight is not None:
        weight = checks.numeric(sample_weight, "sample_weight", who).astype(np.float64)
        if weight.shape == (len(y), 1):
            weight = weight[:, 0]
        checks.factors(weight, len(y), "sample_weight", who)
    if class_weight is not None:
        if not isinstance(class_weight, dict):
            raise TypeError(
                f"{who}: expected class_weight to be a dict of class to factor, "
                f"received {type(class_weight).__name__}"
            )
        labels = y if y.ndim == 1 else y[..., 0] if y.shape[-1] == 1 else y.argmax(axis=-1)
        if labels.ndim != 1:
            raise ValueError(
                f"{who}: expected one label a sample for class_weight, received y of {y.shape}"
            )
        by_class = np.ones(len(y))
        for label, factor in class_weight.items():
            label = checks.integer(label, "each key of class_weight", who, minimum=0)
            if label >= classes > 1:
                raise ValueError(
                    f"{who}: expected the keys of class_weight to be classes from 0 to "
                    f"{classes - 1}, received {label}"
                )
            factor = checks.real(factor, f"class_weight[{label!r}]", who, low=0)
            by_class[labels == label] = factor
        weight = by_class if weight is None else weight * by_class
    return weight
