"""What all layers share.

Notation, here and in every layer file:

    x, y              input and output of the layer
    dy                dL/dy, the gradient of the loss with respect to the output: given
    dx, dW, db        dL/dx, dL/dW, dL/db: what `backward` works out
    W, b              weights and bias; gamma and beta scale and shift
    N                 images in the batch
    H_in, W_in        height and width of the input; H_out, W_out of the output
    C_in, C_out       channels of the input and of the output
    K_h, K_w          height and width of the window (kernel or pool)
    S_h, S_w          strides: rows and columns from one window to the next
    D_h, D_w          dilation: rows and columns from one cell of a window to the next
    P_top, P_left     rows and columns of padding before the image
    a, b              row and column within a window, where they are indices
    i, j              row and column of a window, that is, of the output

A size always carries a subscript; a bare W is always weights. Images are (N, H, W, C), convolution
kernels (K_h, K_w, C_in, C_out), dense kernels (in, units): Keras's layouts.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks, config, constraints, initializers, regularizers, seeds
from minicnn.keras_attributes import ARGUMENTS_OF_KERAS_1, LayerAttributes, key_of, shape_of
from minicnn.layers.arrays import (
    checked_weights,
    is_float_array,
    nearest_float,
    replacement,
    without_values,
)
from minicnn.layers.changes import Table
from minicnn.layers.contents import OF_ONE_PASS, Replicable, layers_inside, replace_arrays
from minicnn.layers.names import unique_name
from minicnn.layers.shapes import (
    Shape,
    checked_shape,
    checks_shapes,
    image_shape,
    sample_shape,
    size_of,
)
from minicnn.layers.subclassing import checked_init, definer, watched_backward, watched_forward
from minicnn.outputs import Output
from minicnn.settings import Configured, Setting, arguments
from minicnn.subclasses import of_the_user, refuse_vain_methods
from minicnn.symbolic import NO_GRAPH, Symbolic
from minicnn.weights import KERAS_NAMES, HasWeights, Weight

Array = NDArray[Any]

# what a layer file needs
__all__ = ["Array", "Layer", "Shape", "checked_shape", "image_shape", "size_of"]

# what a subclass may define, and the names that other libraries have for it
CALLED = ("build", "output_shape", "forward", "backward", "seek", "forget")
ELSEWHERE = {
    "call": ("forward", "backward"),
    "__call__": ("forward", "backward"),
    "compute_output_shape": ("output_shape",),
}

TABLES = ("params", "grads", "state")


class Layer(LayerAttributes, Replicable, Configured, HasWeights):
    """Base of all layers: names, parameters, and the checks around `forward` and `backward`.

    A layer of your own defines what differs from "y = x":

    - `build(input_shape)`, only where there are parameters: `add_param` each, then `super().build`.
    - `output_shape(input_shape)`: the shape of y, or a ValueError that says what is wrong with x.
    - `forward(x, training)`: start with `x = self._input(x)`, keep in `self._cache` what backward
      needs, return y.
    - `backward(dy)`: start with `dy, cache = self._recall(dy)`, fill `self.grads`, return dx.
    - A `Setting` for each argument of its constructor (`settings.py` says how): it is then checked,
      now and later, and part of `get_config`.

    `fit` works with replicas of the layer, which share `params` and `state` and nothing else. Other
    attributes may hold what `forward` keeps for `backward`, containers and inner layers too; what
    is to be read after `fit`, such as a count of calls, belongs in `state` (`contents.py`).

    Attributes
    ----------
    params, grads : dict of str to ndarray
        Parameters and the gradients of the loss; same keys, same shapes. In a model they are views
        into the model's two flat vectors, so write into them (`layer.params["W"][...] = w`).
    state : dict of str to ndarray
        What is learned without a gradient, such as running means.
    built : bool
        Whether the parameters exist; from the start where there are none to be made, as in Keras.
    trainable : bool
        False keeps the parameters as they are; takes effect when the model is compiled.
    mixes_samples : bool
        True where one sample's output depends on the others of the batch.
    built_when_made : bool
        True for the layers that are `built` from the start.
    settled : bool
        Whether `build` has been called for the settings that are `fixed`, which then stay.
    """

    name = Setting(checks.text, none=lambda layer: unique_name(type(layer).__name__))
    activity_regularizer = Setting(regularizers.setting)
    ignored = {"autocast": (True,)}
    instead = ARGUMENTS_OF_KERAS_1
    _trainable: bool
    mixes_samples = False
    built_when_made = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """A user's class gets its forward and backward watched; the package's have their tests."""
        super().__init_subclass__(**kwargs)
        refuse_vain_methods(cls, Layer, CALLED, ELSEWHERE)
        if inspect.isfunction(vars(cls).get("output_shape")):
            cls.output_shape = checks_shapes(vars(cls)["output_shape"])  # type: ignore[method-assign]
        if of_the_user(cls):
            for method, watch in (("forward", watched_forward), ("backward", watched_backward)):
                if method in vars(cls):
                    setattr(cls, method, watch(vars(cls)[method]))

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: Any = None,
        input_shape: Shape | None = None,
        input_dim: int | None = None,
        trainable: bool = True,
        activity_regularizer: Any = None,
        **keras: Any,
    ) -> None:
        self._refuse_unknown(keras)
        self.name = name
        self.trainable = trainable
        input_shape = shape_of(input_shape, input_dim, self.who)
        self.declared_shape = None if input_shape is None else sample_shape(input_shape, self.who)
        self.params: dict[str, Array] = Table()
        self.grads: dict[str, Array] = Table()
        self.state: dict[str, Array] = Table()
        self.activity_regularizer = activity_regularizer
        self.regularizers: dict[str, Any] = Table()  # by the keys of parameters
        self.constraints: dict[str, Any] = Table()
        self._ready_made = self.built_when_made and not of_the_user(definer(type(self), "build"))
        self.built = self._ready_made
        self.rng: np.random.Generator | None = None  # of the initial values; a model sets its own
        self._dtype = config.float_dtype(dtype, self.who)
        self._shapes: dict[tuple[str, str], tuple[int, ...]] = Table()  # by table and key
        self._cache: Any = None
        self._y_shape: Shape | None = None
        self._x_shape: Shape | None = None  # in the model that was built last
        self.activity_penalty: float | None = None  # penalty on y of the last call

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what could not take the place of a table or of an inner layer."""
        held = vars(self)
        if name in OF_ONE_PASS and name in held:  # without checks: every forward sets them
            held[name] = value
            return
        if name in TABLES and not isinstance(value, dict):
            raise TypeError(
                f"{self.who}: expected {name} to be a dict of arrays, received "
                f"{checks.shown(value)}. Write into it: layer.{name}[key][...] = values"
            )
        if isinstance(value, str) and isinstance(held.get(name), Layer) and name != "activation":
            raise TypeError(
                f"{self.who}: expected {name} to be a layer such as Tanh(), received "
                f"{checks.shown(value)}. Names are for the constructor, Linear() changes nothing"
            )
        if name not in held and key_of(self, name) and not of_the_user(type(self)):
            raise TypeError(
                f"{self.who}: expected {name} to stay the array that the model computes with, "
                f"received another. Copy the values in: layer.{name}.assign(values)"
            )
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    def get_config(self) -> dict[str, Any]:
        """Name, trainable and dtype, then the class's own settings; see `settings.py`."""
        common = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": None if self._dtype is None else self._dtype.name,
        }
        if self.declared_shape is not None:
            common["input_shape"] = list(self.declared_shape)
        known = arguments(type(self))
        own = super().get_config()
        if own.get("activity_regularizer", ...) is None:
            del own["activity_regularizer"]  # as in Keras
        return {**{key: one for key, one in common.items() if key in known}, **own}

    @property
    def trainable(self) -> bool:
        """Whether training changes the parameters; may be set, and counts from `compile` on."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: Any) -> None:
        for one in layers_inside(self):  # a frozen layer's inner ones are frozen too, as in Keras
            one._trainable = checks.boolean(value, "trainable", self.who)

    @property
    def who(self) -> str:
        """How error messages name this layer: "Conv2D 'conv2d_1'"."""
        return f"{type(self).__name__} '{self.name}'"

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Float type it computes in; None until it is built, if none was asked for."""
        return self._dtype

    @dtype.setter
    def dtype(self, value: Any) -> None:
        raise AttributeError(
            f"{self.who}: expected dtype to stay {self._dtype}, received {checks.shown(value)}. "
            "Give dtype to the constructor of a new layer"
        )

    @property
    def settled(self) -> bool:  # type: ignore[override]
        """Whether `build` has been called for the settings that are `fixed`."""
        return bool(vars(self).get("built")) and not self.awaits_build

    @property
    def awaits_build(self) -> bool:
        """Whether `build` has still to be called, if only to choose a float type or a seed."""
        return not self.built or self._ready_made

    # -- what a subclass defines ------------------------------------------------------------------

    def build(self, input_shape: Shape) -> None:
        """Create the parameters for inputs of `input_shape` (batch axis first, None for any)."""
        self.output_shape(checked_shape(input_shape, self.who))
        self.built, self._ready_made = True, False

    @checks_shapes
    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of y for an x of `input_shape`, batch axis first; ValueError if x cannot be."""
        return tuple(input_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        """y for the batch x."""
        raise NotImplementedError(f"{type(self).__name__} has to define forward(x, training)")

    def backward(self, dy: Array) -> Array:
        """dx for the batch that `forward` saw last; replaces `grads`."""
        raise NotImplementedError(f"{type(self).__name__} has to define backward(dy)")

    # -- what a subclass calls --------------------------------------------------------------------

    def add_param(
        self,
        key: str,
        shape: tuple[int, ...],
        initializer: Any,
        *,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> None:
        """Create `params[key]` with its first values, and `grads[key]` full of zeros.

        The initializer may be given by its name, as an array of the values, or as any function
        (shape, dtype, rng) that returns them. The regularizer's penalty on the parameter is added
        to the loss, by the model: `backward` knows nothing of it. The constraint is what training
        holds the parameter to.
        """
        place = f"of params[{checks.text(key, 'key', self.who)!r}]"
        regularizer = regularizers.get(regularizer, self.who, f"the regularizer {place}")
        constraint = constraints.get(constraint, self.who, f"the constraint {place}")
        if isinstance(constraint, constraints.Constraint):
            shape = checks.shape(shape, "shape", self.who)
            constraint.check(shape, f"the constraint {place}", self.who)
        for table, rule in ((self.regularizers, regularizer), (self.constraints, constraint)):
            table.pop(key, None)
            if rule is not None:
                table[key] = rule
        self.params[key] = self._initial(key, shape, initializer)
        self.grads[key] = np.zeros_like(self.params[key])
        self._shapes = Table({**self._shapes, ("params", key): self.params[key].shape})

    def add_state(self, key: str, shape: tuple[int, ...], initializer: Any) -> None:
        """Create `state[key]` with its first values; `forward` may change it in training."""
        self.state[key] = self._initial(key, shape, initializer)
        self._shapes = Table({**self._shapes, ("state", key): self.state[key].shape})

    def _initial(self, key: str, shape: tuple[int, ...], initializer: Any) -> Array:
        checks.text(key, "key", self.who)
        shape = checks.shape(shape, "shape", self.who)
        if isinstance(initializer, type) or not callable(initializer):
            initializer = initializers.get(initializer, self.who)
        dtype = self._dtype or np.dtype(config.floatx())
        unfilled = without_values(shape, dtype, self.who)
        if unfilled is not None:
            self._dtype = dtype
            return unfilled
        rng = self.rng or seeds.new_generator()
        who = f"{self.who}: {type(initializer).__name__}"  # it may have a __call__ of its own
        try:
            values = initializer(shape, dtype, rng)
        except (TypeError, ValueError) as error:
            if type(error) is TypeError and "argument" in str(error):  # it is called otherwise
                raise TypeError(
                    f"{self.who}: expected an initializer of {checks.shown(key)} to take (shape, "
                    f"dtype), received {checks.shown(initializer)}. Write a function of these that "
                    "returns the first values, or name one: 'glorot_uniform'"
                ) from error
            if type(error) in (TypeError, ValueError):
                raise type(error)(f"{self.who}: {error}") from error
            raise
        values = checks.numeric(values, "its values", who)
        if values.shape != tuple(shape):
            raise ValueError(f"{who}: expected values of shape {shape}, received {values.shape}")
        checks.finite(values, "its values", who, dtype=dtype)
        self._dtype, self.rng = dtype, rng
        return np.array(values, dtype, order="C")  # a copy: the initializer may keep its array

    def _input(self, x: Any) -> Array:
        """x as a C-ordered array of the layer's float type, checked; builds at the first call."""
        if type(x) is not np.ndarray or x.dtype.kind not in "f":
            x = checks.numeric(x, "x", self.who)
        dtype = self._dtype or np.dtype(nearest_float(x.dtype))
        if x.ndim < 1:
            raise ValueError(f"{self.who}: expected x to have a batch axis, received a number")
        if 0 in x.shape:
            raise ValueError(
                f"{self.who}: expected x to have no empty axis, received shape {x.shape}"
            )
        self.take_in()
        y_shape = self.output_shape(x.shape)  # raises before anything is built
        if self.awaits_build:
            declared, self._dtype = self._dtype, dtype
            try:
                self.build((None, *x.shape[1:]))
            finally:
                if not self.arrays():
                    self._dtype = declared
        self._y_shape = y_shape
        return np.ascontiguousarray(x, dtype=dtype)

    def _recall(self, dy: Any) -> tuple[Array, Any]:
        """dy, checked against the y of the last `forward`, and what that forward cached."""
        if self._cache is None:
            raise RuntimeError(
                f"{self.who}: backward needs the values of a forward pass, and there was none. "
                "Call forward(x) first"
            )
        if type(dy) is not np.ndarray or dy.dtype.kind not in "f":
            dy = checks.numeric(dy, "dy", self.who)
        if dy.shape != self._y_shape:
            raise ValueError(
                f"{self.who}: expected dy of shape {self._y_shape}, as forward returned y, "
                f"received {dy.shape}"
            )
        self.take_in()
        self._expect_gradients()
        dtype = self._dtype or np.dtype(nearest_float(dy.dtype))
        return np.ascontiguousarray(dy, dtype=dtype), self._cache

    # -- what a user calls ------------------------------------------------------------------------

    def __call__(self, x: Any, training: bool = False) -> Output:
        """y for the batch x, as `forward`: Keras's way to use a layer on its own.

        y is an array that has `numpy()`, too.
        """
        checked_init(self)
        if isinstance(x, (Layer, Symbolic)):
            received = f"the layer {x.who}" if isinstance(x, Layer) else repr(x)
            raise TypeError(
                f"{self.who}: expected x to be an array, received {received}. {NO_GRAPH}"
            )
        y = self.forward(x, checks.boolean(training, "training", self.who))
        self.activity_penalty = None
        if self.activity_regularizer is not None:
            penalty = regularizers.penalty(self.activity_regularizer, y, self.who)
            self.activity_penalty = penalty / len(y)
        return y.view(Output)

    @property
    def losses(self) -> list[float]:
        """The penalties now: on y of the last call, if there was one, then on the parameters.

        A frozen layer's parameters have none. See `regularizers.py`.
        """
        return penalties([self])

    def count_params(self) -> int:
        """Numbers that this layer holds, trainable and not."""
        if not self.built:
            raise ValueError(
                f"{self.who}: not built yet, so its parameters cannot be counted. "
                "Call build(input_shape), or call the layer on a batch"
            )
        return sum(array.size for array in self.arrays().values())

    @property
    def weights(self) -> list[Weight]:
        """All arrays with their names, in the order of `get_weights`; none before it is built."""
        return [
            Weight(
                name=(name := KERAS_NAMES.get(key, key)),
                path=f"{self.name}/{name}",
                value=array,
                trainable=self.trainable and key in self.params,
            )
            for key, array in self.arrays().items()
        ]

    def get_weights(self) -> list[Array]:
        """Copies of the parameters in Keras's order: kernel, bias (then running statistics)."""
        return [array.copy() for array in self.arrays().values()]

    def set_weights(self, weights: list[Any]) -> None:
        """Copy `weights` (as `get_weights` returns them) into the parameters.

        Raises ValueError if the count or a shape differs; then nothing is changed.
        """
        for target, values in checked_weights(self.arrays(), weights, self.who):
            target[...] = values

    # -- what a model calls -----------------------------------------------------------------------

    def arrays(self) -> dict[str, Array]:
        """Parameters and state by their keys, in the order of `get_weights`."""
        self.take_in()
        return {**self.params, **self.state}

    def take_in(self) -> None:
        """Replace what a user has put in the place of a parameter or state by an array like it.

        Entries that `add_param` and `add_state` have not made may have any shape, but hold floats:
        what training writes into integers would be rounded.

        Raises TypeError or ValueError unless it is one of that shape and of finite numbers.
        """
        for name in ("params", "state"):
            for key, given in getattr(self, name).items():
                if (name, key) not in self._shapes and not is_float_array(given):
                    floats = self._replacement(given, None, name, key)
                    replace_arrays(self, {id(given): floats})  # it may have other names, too
        for (name, key), shape in self._shapes.items():
            table = getattr(self, name)
            given = table.get(key)
            if type(given) is np.ndarray and given.shape == shape and given.dtype == self._dtype:
                continue
            table[key] = self._replacement(given, shape, name, key)

    def _replacement(self, given: Any, shape: Shape | None, name: str, key: str) -> Array:
        dtype = self._dtype or np.dtype(config.floatx())
        return replacement(given, shape, dtype, f"{name}[{checks.shown(key)}]", self.who)

    def _expect_gradients(self) -> None:
        """Raise unless `backward` can write into the gradients; a user's may replace them."""
        for name, key in self._shapes:
            if name != "params":
                continue
            param, grad = self.params[key], self.grads.get(key)
            if type(grad) is np.ndarray and (grad.shape, grad.dtype) == (param.shape, param.dtype):
                continue
            if not of_the_user(definer(type(self), "backward")):
                received = f"{grad.dtype} {grad.shape}" if isinstance(grad, np.ndarray) else grad
                name = f"grads[{checks.shown(key)}]"
                raise TypeError(
                    f"{self.who}: expected {name} to be an array of {param.dtype} and shape "
                    f"{param.shape}, received {checks.shown(received)}. Write into it: "
                    f"layer.{name}[...] = values"
                )

    def set_dtype(self, dtype: Any) -> None:
        """Compute in `dtype` from the next `build` on."""
        self._dtype = config.float_dtype(dtype, self.who)

    def forget(self) -> None:
        """Let go of what the last forward kept for backward."""
        self._cache = None

    def seek(self, step: int, sample: int) -> None:
        """Called before a training pass: random numbers are drawn for that step, and for samples
        of the batch from number `sample` on.
        """


def penalties(layers: list[Layer]) -> list[float]:
    """The penalties of layers and of those inside them: on outputs, then on parameters."""
    inside = [one for layer in layers for one in layers_inside(layer)]
    on_outputs = [one.activity_penalty for one in inside if one.activity_regularizer is not None]
    found = [penalty for penalty in on_outputs if penalty is not None]
    for one in inside:
        for key, regularizer in one.regularizers.items() if one.trainable else ():
            found.append(regularizers.penalty(regularizer, one.params[key], one.who))
    return found
