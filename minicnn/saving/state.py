"""The numbers of a model by their places in a weights file, and back.

    layers/conv2d/vars/0                 kernel of the first Conv2D, whatever its name
    layers/conv2d_1/vars/0               of the second
    layers/sequential/layers/dense/...   inside a nested model
    optimizer/vars/0, 1                  iteration, learning rate (not with a schedule)
    optimizer/vars/2, ...                average, accumulator, then the slots, in Keras's order
    minicnn/slots/m                      a whole vector, where frozen layers have values in it

All but the last is Keras's layout.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minicnn import checks
from minicnn.layers import Layer, Normalization
from minicnn.layers.contents import layers_inside
from minicnn.layers.names import snake_case
from minicnn.layers.randomness import RandomLayer
from minicnn.optimizers import Adadelta, Adam, Adamax, Nadam, Optimizer, RMSprop
from minicnn.optimizers.base import ACCUMULATOR, AVERAGE
from minicnn.saving.config import keras_class
from minicnn.saving.errors import SavedFileError
from minicnn.saving.hdf5 import Content, Stored
from minicnn.stack import Stack, serve

if TYPE_CHECKING:
    from minicnn.models import Sequential

Array = NDArray[Any]

# slots that Keras lists together, variable by variable; the others come one after the other
TOGETHER: dict[type[Optimizer], tuple[tuple[str, ...], ...]] = {
    Adadelta: (("a", "D"),),
    Adam: (("m", "v"), ("v_hat",)),
    Adamax: (("m", "u"),),
    Nadam: (("m", "v"),),
    RMSprop: (("v",), ("b",), ("a",)),
}


# -- layers ---------------------------------------------------------------------------------------


def places(stack: Stack, inside: str = "") -> Iterator[tuple[str, Any]]:
    """The group of each layer and of each nested model, with that layer or model."""
    counts: dict[str, int] = {}
    for item in stack.layers:
        snake = snake_case(keras_class(item))
        count = counts[snake] = counts.get(snake, -1) + 1
        place = f"{inside}layers/{snake}_{count}" if count else f"{inside}layers/{snake}"
        yield place, item
        if isinstance(item, Stack):
            yield from places(item, f"{place}/")


def layer_arrays(model: Stack) -> dict[str, tuple[Layer, str, Array]]:
    """All arrays of the layers by their places: the layer, the key there, the array itself."""
    return {
        f"{place}/vars/{number}": (layer, key, array)
        for place, layer in places(model)
        if isinstance(layer, Layer)
        for number, (key, array) in enumerate(layer.arrays().items())
    }


def groups(model: Sequential) -> dict[str, str | None]:
    """The groups of a file, with the attribute `name` that Keras gives them."""
    found: dict[str, str | None] = {"vars": model.name}
    found |= {f"{place}/vars": item.name for place, item in places(model)}
    if model.compiled:
        found["optimizer/vars"] = model.optimizer.name
    return found


def arrays(model: Sequential) -> dict[str, Array]:
    """Everything that a weights file holds."""
    model.gather()
    found = {
        path: _as_stored(layer, key, array)
        for path, (layer, key, array) in layer_arrays(model).items()
    }
    return {**found, **(_optimizer_arrays(model) if model.compiled else {})}


def _as_stored(layer: Layer, key: str, array: Array) -> Array:
    if isinstance(layer, Normalization) and key == "count":
        return array.astype(np.int64)  # Keras's type for it
    return array


class Values:
    """New values for arrays: collected and checked first, then all put in.

    Raises SavedFileError for numbers that the array's float type turns into infinity. NaN and
    infinity in the file are the model's own: training may have come to them.
    """

    def __init__(self, places: Mapping[str, tuple[Array, Array]]) -> None:
        """`places` has pairs (array, values) by their places in the file."""
        self.pairs = [
            (array, in_type(values, array.dtype, place))
            for place, (array, values) in places.items()
        ]

    def put_in(self) -> None:
        for target, values in self.pairs:
            target[...] = values


def weights_of(model: Sequential, content: Content, *, skip_mismatch: bool = False) -> Values:
    """The file's values for the layers. Raises SavedFileError unless they fit.

    With `skip_mismatch` layers that do not fit are left out, with a warning.
    """
    expected = layer_arrays(model)
    stored = {f"layers/{path}": one for path, one in content.under("layers").items()}
    faults: dict[str, str] = {}  # by the layer's group
    for path in expected.keys() | stored.keys():
        fault = _fault(path, expected, stored)
        if fault:
            faults.setdefault(path.rpartition("/vars/")[0], fault)
    expect_fit(model, faults, skip_mismatch)
    return Values(
        {
            path: (array, content[path])
            for path, (_, _, array) in expected.items()
            if path.rpartition("/vars/")[0] not in faults
        }
    )


def in_type(values: Array, dtype: np.dtype[Any], place: str) -> Array:
    """The values in a model's float type. Raises SavedFileError where one becomes infinite."""
    if values.dtype.kind != "f" or values.dtype.itemsize <= dtype.itemsize:
        return values
    with np.errstate(over="ignore", under="ignore"):
        converted = values.astype(dtype)
    beyond = np.isinf(converted) & np.isfinite(values)
    if beyond.any():
        raise SavedFileError(
            f"{place} holds {values[beyond].flat[0]:g}, and the largest number of the model's "
            f"{dtype} is {np.finfo(dtype).max:.2g}. Load it into a model of float64"
        )
    return converted


def expect_fit(model: Sequential, faults: Mapping[str, str], skip_mismatch: bool) -> None:
    """Raise SavedFileError if there are faults; with `skip_mismatch` warn of them."""
    listed = [faults[place] for place in sorted(faults)]
    if listed and not skip_mismatch:
        more = f" (and {len(listed) - 1} more)" if len(listed) > 1 else ""
        raise SavedFileError(f"{model.who} and the file do not fit together: {listed[0]}{more}")
    if listed:
        warnings.warn(
            f"load_weights: what does not fit was left alone: {checks.shown('; '.join(listed))}",
            UserWarning,
            stacklevel=5,
        )


def _fault(
    path: str, expected: Mapping[str, tuple[Layer, str, Array]], stored: Mapping[str, Stored]
) -> str:
    """What keeps the file's array from taking its place; empty if nothing."""
    if path not in stored:
        layer, key, array = expected[path]
        return f"{layer.who} has {key} {array.shape}, and the file has no {path}"
    given = stored[path]
    if path not in expected:
        return f"the file has {path} {given.shape}, and the model has not"
    layer, key, array = expected[path]
    if given.shape != array.shape:
        return f"{layer.who} has {key} {array.shape}, and {path} is {given.shape}"
    whole = isinstance(layer, Normalization) and key == "count"
    if given.dtype.kind != "f" and not whole:
        return f"{layer.who} has {key} in {array.dtype}, and {path} is in {given.dtype}"
    return ""


# -- the optimizer --------------------------------------------------------------------------------


def _slot_groups(optimizer: Optimizer, names: list[str]) -> list[list[str]]:
    """The vectors of the optimizer's state in Keras's order, those together that it lists so."""
    found = [[name] for name in (AVERAGE, ACCUMULATOR) if name in names]
    own = [name for name in names if name not in (AVERAGE, ACCUMULATOR)]
    kinds: list[Any] = [kind for kind in type(optimizer).__mro__ if kind in TOGETHER]
    for group in TOGETHER[kinds[0]] if kinds else ():
        if chosen := [name for name in group if name in own]:
            found.append(chosen)
            own = [name for name in own if name not in chosen]
    return [*found, *([name] for name in own)]


def _has_rate(optimizer: Optimizer) -> bool:
    """Whether the rate is a number, not what a schedule or a function gives."""
    return isinstance(vars(optimizer)["learning_rate"], float)


def _order(optimizer: Optimizer, names: list[str], parts: list[slice]) -> list[tuple[str, slice]]:
    """Which part of which vector each variable behind the learning rate is, in Keras's order."""
    return [
        (name, part) for group in _slot_groups(optimizer, names) for part in parts for name in group
    ]


def _optimizer_arrays(model: Sequential) -> dict[str, Array]:
    optimizer, w = model.optimizer, model.store.params
    several = optimizer.gradient_accumulation_steps or 1
    variables: list[Any] = [np.int64(optimizer.iterations * several + optimizer.waiting)]
    if _has_rate(optimizer):
        variables.append(np.float32(optimizer.learning_rate))
    found: dict[str, Array] = {}
    if optimizer.state:
        shapes = model.store.shapes()
        names = list(optimizer.state)
        for name, part in _order(optimizer, names, model.trainable_parts):
            vector = optimizer.state[name][part]
            variables.append(vector.reshape(shapes[part.start]))
        if isinstance(optimizer, Nadam):
            product = optimizer.momenta()[2] if optimizer.iterations else 1.0
            variables.append(w.dtype.type(product))
        for name in names:
            if not _same_bits(_rebuilt(model, name), optimizer.state[name]):
                found[f"minicnn/slots/{name}"] = optimizer.state[name]
    found |= {f"optimizer/vars/{n}": np.asarray(one) for n, one in enumerate(variables)}
    return found


def _rebuilt(model: Sequential, name: str) -> Array:
    """What the file's variables alone would make of a vector of the optimizer's state."""
    vector = model.optimizer.first_vector(name, model.store.params)
    for part in model.trainable_parts:
        vector[part] = model.optimizer.state[name][part]
    return vector


def _same_bits(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


class Progress:
    """What a file says of an optimizer: checked first, then put in."""

    def __init__(self, model: Sequential) -> None:
        self.model = model
        self.count = 0  # gradients so far
        self.rate: float | None = None
        self.state: dict[str, Array] = {}

    def put_in(self) -> None:
        optimizer = self.model.optimizer
        several = optimizer.gradient_accumulation_steps or 1
        iterations, waiting = divmod(self.count, several)
        optimizer.state = self.state
        optimizer.iterations, optimizer.waiting = iterations, waiting
        if self.rate is not None and np.float32(optimizer.learning_rate) != np.float32(self.rate):
            optimizer.learning_rate = self.rate
        if self.state:
            serve(optimizer, self.model)


def progress_of(model: Sequential, content: Content) -> Progress | None:
    """What the file says of the model's optimizer; None if it is of other settings.

    Raises SavedFileError for what no file of such an optimizer holds.
    """
    optimizer, w = model.optimizer, model.store.params
    stored = content.under("optimizer/vars")
    if not stored:
        return None
    has_rate = _has_rate(optimizer)
    names = optimizer.vector_names()
    order = _order(optimizer, names, model.trainable_parts)
    head = 1 + has_rate
    if len(stored) not in (head, head + len(order) + isinstance(optimizer, Nadam)):
        return None
    for number in range(len(stored)):
        if str(number) not in stored:
            raise SavedFileError(f"the optimizer has no variable {number}")
    found = Progress(model)
    found.count = int(_scalar(content, "optimizer/vars/0", "i"))
    if not 0 <= found.count < 2**62:
        raise SavedFileError(f"the optimizer has taken {found.count} steps")
    if has_rate:
        found.rate = float(_scalar(content, "optimizer/vars/1", "f"))
        if not 0 <= found.rate < math.inf:  # NaN neither
            raise SavedFileError(f"the optimizer has the learning rate {found.rate}")
    if len(stored) == head:
        return found
    shapes = model.store.shapes()
    found.state = {name: optimizer.first_vector(name, w) for name in names}
    for number, (name, part) in enumerate(order, head):
        path = f"optimizer/vars/{number}"
        given = stored[str(number)]
        if given.shape != shapes[part.start]:
            return None
        if given.dtype.kind != "f":
            raise SavedFileError(f"{path} is in {given.dtype}, and {name} is in floats")
        found.state[name][part] = in_type(content[path], w.dtype, path).reshape(-1)
    for name, given in content.under("minicnn/slots").items():
        if name not in found.state or given.shape != w.shape or given.dtype != w.dtype:
            raise SavedFileError(f"the file has a vector {checks.shown(name)} that does not fit")
        found.state[name] = content[f"minicnn/slots/{name}"].copy()
    return found


def _scalar(content: Content, path: str, kind: str) -> Array:
    value = content[path]
    if value.shape != () or value.dtype.kind != kind:
        raise SavedFileError(f"{path} is no number of the kind that it has to be")
    return value


# -- what Keras has no place for ------------------------------------------------------------------

GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


def private(model: Sequential) -> dict[str, Any]:
    """What it takes to go on bit for bit, beside the numbers: for JSON."""
    found: dict[str, Any] = {
        "steps_taken": model.steps_taken,
        "generators": [_generator_state(one.rng) for one in _stacks(model)],
        "keys": [one.stream_key for one in _random_layers(model)],
    }
    if model.built:
        starts = {part.start for part in model.trainable_parts}
        found["trained"] = [view.place.start in starts for view in model.store.views()]
    if model.compiled:
        optimizer = model.optimizer
        found["optimizer"] = {
            "iterations": optimizer.iterations,
            "waiting": optimizer.waiting,
            "no_decay": _no_decay(model),
        }
    return found


def _no_decay(model: Sequential) -> list[str]:
    """Paths of the parameters that do not decay."""
    paths, pattern = model.optimizer.excluded
    if not paths and not pattern:
        return []
    if not model.built:
        raise ValueError(
            f"{model.who}: expected a built model, since its optimizer leaves weights out of the "
            "decay by their names. Build it before it is saved"
        )
    parts = [view.place for view in model.store.views()]
    return [path for path in model.store.paths(parts) if not model.optimizer.decays(path)]


class Private:
    """What `private` has told of a model: checked first, then put in.

    Raises SavedFileError, TypeError or ValueError if it does not fit.
    """

    def __init__(self, model: Sequential, given: Any) -> None:
        if not isinstance(given, dict):
            raise SavedFileError("it lacks what it takes to go on training")
        self.model, self.stacks, self.keyed = model, _stacks(model), _random_layers(model)
        generators, keys = given.get("generators"), given.get("keys")
        if not isinstance(generators, list) or len(generators) != len(self.stacks):
            raise SavedFileError("it has generators for another number of models")
        if not isinstance(keys, list) or len(keys) != len(self.keyed):
            raise SavedFileError("it has keys for another number of random layers")
        self.steps_taken = _count(given.get("steps_taken"), "steps_taken", 2**62)
        self.generators = [_generator_from(state) for state in generators]
        self.keys = [_count(key, "key", 2**64) for key in keys]
        trained, self.parts = given.get("trained"), None
        if model.built:
            views = model.store.views()
            if not isinstance(trained, list) or len(trained) != len(views):
                raise SavedFileError("it has another number of parameters that are trained")
            self.parts = [view.place for view, learns in zip(views, trained) if learns]
        if model.compiled:
            told = given.get("optimizer")
            if not isinstance(told, dict):
                raise SavedFileError("it lacks what it takes to go on training")
            self.iterations = _count(told.get("iterations"), "iterations", 2**62)
            self.waiting = _count(told.get("waiting"), "waiting", 2**62)
            self.no_decay = checks.texts(told.get("no_decay"), "no_decay", "load")

    def put_in(self) -> None:
        self.model.steps_taken = self.steps_taken
        for stack, generator in zip(self.stacks, self.generators):
            stack.rng = generator
        for layer, key in zip(self.keyed, self.keys):
            layer.stream_key = key
        if self.parts is not None and self.model.compiled:
            self.model.trainable_parts = self.parts

    def put_in_optimizer(self) -> None:
        """What there is beyond the optimizer's variables."""
        optimizer = self.model.optimizer
        optimizer.iterations, optimizer.waiting = self.iterations, self.waiting
        optimizer.excluded = (self.no_decay, "")


def _count(value: Any, name: str, most: int) -> int:
    return checks.integer(value, name, "load", minimum=0, maximum=most)


def _stacks(model: Stack) -> list[Stack]:
    return [model, *(item for _, item in places(model) if isinstance(item, Stack))]


def _random_layers(model: Stack) -> list[RandomLayer]:
    return [one for one in layers_inside(model.leaves) if isinstance(one, RandomLayer)]


def _generator_state(generator: np.random.Generator) -> Any:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value

    return plain(generator.bit_generator.state)


def _generator_from(state: Any) -> np.random.Generator:
    name = state.get("bit_generator") if isinstance(state, dict) else None
    if name not in GENERATORS:
        raise SavedFileError(f"it has a generator that is not known: {checks.shown(name)}")

    def arrays(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: arrays(one) for key, one in value.items()}
        return np.array(value, np.uint64) if isinstance(value, list) else value

    bits = getattr(np.random, name)(0)
    bits.state = arrays(state)
    return np.random.Generator(bits)
