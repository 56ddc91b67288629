"""A model's configuration in Keras's form, from ours and back: layers, and models as layers.

What stands for one object is in `objects.py`, and what `compile` chose in `compiling.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minicnn import checks
from minicnn.items import stacks_of
from minicnn.layers import InputLayer, Layer
from minicnn.layers.activations.known import name_or_description
from minicnn.saving.compiling import compile_config
from minicnn.saving.errors import SavedFileError
from minicnn.saving.objects import (
    OURS,
    described_here,
    entry_of,
    expect_ours,
    policy,
    translated_config,
    users_entry,
)
from minicnn.saving.registry import ONLY_ACTIVATIONS, TABLES, is_ours
from minicnn.settings import own_class, restored

if TYPE_CHECKING:
    from minicnn.models import Sequential
    from minicnn.stack import Item, Stack

MOST_LAYERS = 1000


# -- to Keras's form ------------------------------------------------------------------------------


def layer_to_keras(layer: Layer, dtype: str, input_shape: Any = None) -> dict[str, Any]:
    """A layer in Keras's form; `input_shape` of a batch if the model is built."""
    kind: Any = type(layer)
    config = translated_config(layer)
    ours: dict[str, Any] = {}  # settings of ours that Keras's class has not
    if "input_shape" in config:
        ours["input_shape"] = config.pop("input_shape")
    if config.get("dtype") is None:
        ours["dtype"] = None
    config["dtype"] = policy(config.get("dtype") or dtype)
    explicit = inspect.signature(kind.__init__).parameters
    name = name_or_description(layer) if kind in ONLY_ACTIVATIONS else None  # type: ignore[arg-type]
    if isinstance(name, str):
        common = {key: config[key] for key in ("name", "trainable", "dtype")}
        described = {
            "module": "keras.layers",
            "class_name": "Activation",
            "config": {**common, "activation": name},
            "registered_name": None,
        }
        own = {key: one for key, one in config.items() if key not in common}
        described[OURS] = {"class_name": kind.__name__, "config": {**own, **ours}}
    else:
        described = entry_of(kind, config)
        if "trainable" not in explicit and kind.__name__ in WITHOUT_TRAINABLE:
            ours["trainable"] = config.pop("trainable")
        if ours:
            described[OURS] = {"config": ours}
    if input_shape is not None and not kind.built_when_made:
        described["build_config"] = {"input_shape": list(input_shape)}
    return described


WITHOUT_TRAINABLE = ("SpatialDropout2D",)  # whose constructor takes no `trainable` in Keras


def keras_class(item: Item) -> str:
    """The name of the class that Keras's files have for a layer."""
    name = name_or_description(item) if type(item) in ONLY_ACTIVATIONS else None  # type: ignore[arg-type]
    return "Activation" if isinstance(name, str) else type(item).__name__


def sequential_config(model: Stack) -> dict[str, Any]:
    """The config of a model: Keras's, with all layers in it.

    Raises TypeError for settings that JSON cannot hold, ValueError for more than 1000 layers and
    models inside.
    """
    from minicnn.stack import Stack

    dtype = model.common_dtype().name
    items: list[dict[str, Any]] = []
    sample = model.sample_shape
    if sample is not None:
        given = model.declared_input
        items.append(
            {
                "module": "keras.layers",
                "class_name": "InputLayer",
                "config": {
                    "batch_shape": [None if given is None else given.batch_size, *sample],
                    "dtype": dtype,
                    "sparse": False,
                    "ragged": False,
                    "name": "input_layer" if given is None else given.name,
                    "optional": False,
                },
                "registered_name": None,
            }
        )
        if given is None:
            items[-1][OURS] = {"declared_by": "layer"}
        elif given.dtype is None:
            items[-1][OURS] = {"config": {"dtype": None}}
    below = model.input_shape if model.built else None
    for item in model.layers:
        if isinstance(item, Stack):
            items.append(model_to_keras(item))
        else:
            items.append(layer_to_keras(item, dtype, below))
        if below is not None:
            below = _output_shape(item, below)
    _expect_few(sum(len(one.layers) for one in stacks_of(model)), model.who)
    return {
        "name": model.name,
        "trainable": model.trainable or not model.layers,
        "dtype": policy(dtype),
        "layers": items,
        "build_input_shape": list(model.input_shape) if model.built else None,
    }


def _expect_few(layers: int, who: str) -> None:
    """Raise ValueError for more layers than a file is read with; nested models count as well."""
    if layers > MOST_LAYERS:
        raise ValueError(f"{who}: expected at most {MOST_LAYERS} layers, received {layers}")


def _described_layers(entries: list[Any]) -> int:
    """How many layers and models a config's list of layers describes, at all depths."""
    count = 0
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("class_name") == "InputLayer":
            continue
        config = entry.get("config")
        inner = config.get("layers") if isinstance(config, dict) else None
        count += 1 + (_described_layers(inner) if isinstance(inner, list) else 0)
    return count


def _output_shape(item: Item, below: Any) -> Any:
    for leaf in [item] if isinstance(item, Layer) else item.leaves:
        below = leaf.output_shape(below)
    return below


def model_to_keras(model: Stack, *, functions: bool = False) -> dict[str, Any]:
    """A model in Keras's form; `functions` as in `compile_config`."""
    from minicnn.models import Sequential

    kind: Any = type(model)
    config = model.get_config()  # type: ignore[attr-defined]
    if kind is Sequential:
        described: dict[str, Any] = {"module": "keras", "class_name": "Sequential"}
        described |= {"config": config, "registered_name": None}
    else:
        described = users_entry(kind, config)
    if model.built:
        described["build_config"] = {"input_shape": list(model.input_shape)}
    chosen: Any = model
    described["compile_config"] = compile_config(chosen, functions=functions)
    if described["compile_config"]:
        described[OURS] = {"compile": {"jit_compile": chosen.jit_compile}}
    return described


# -- from Keras's form ----------------------------------------------------------------------------


def layer_of(description: Any) -> Item:
    """The layer or model that an entry of a Sequential's config describes."""
    if not isinstance(description, dict) or "class_name" not in description:
        raise SavedFileError(f"expected a layer, received {checks.shown(description)}")
    if _is_model(description):
        return model_of(description)
    if description["class_name"] == "InputLayer":
        return _input_of(description)
    known = TABLES["keras.layers"]
    return restored(described_here(description), known.values(), "layer", "load")


def _is_model(description: Mapping[str, Any]) -> bool:
    from minicnn.models import Sequential

    own = own_class(description)
    if own is not None:
        return isinstance(own, type) and issubclass(own, Sequential)
    return description["class_name"] == "Sequential" and is_ours(description)


def _input_of(description: Mapping[str, Any]) -> InputLayer:
    config = dict(described_here(description)["config"])
    shape = config.pop("batch_shape", None)
    if shape is not None:
        checks.batch_shape(shape, "batch_shape", "InputLayer")
        config["batch_size"], config["shape"] = shape[0], shape[1:]
    if config.get("dtype") not in ("float32", "float64"):
        config["dtype"] = None  # images may come as bytes; a model computes in floats
    if isinstance(config.get("shape"), list):
        config["shape"] = tuple(config["shape"])
    return InputLayer.from_config(config)


def model_of(description: Any) -> Sequential:
    """The model that `model_to_keras`, or Keras, has described; not yet compiled."""
    from minicnn.models import Sequential

    if not isinstance(description, dict) or not isinstance(description.get("class_name"), str):
        raise SavedFileError(f"expected a model, received {checks.shown(description)}")
    if not _is_model(description):
        name = description["class_name"]
        expect_ours(description)
        raise SavedFileError(f"expected a Sequential, and it holds a {checks.shown(name)}")
    kind: Any = own_class(description) or Sequential
    return kind.from_config(description.get("config"))


def sequential_of(kind: type[Sequential], config: Any) -> Sequential:
    """A model of class `kind` from its config; see `Sequential.from_config`."""
    if not isinstance(config, dict) or not isinstance(config.get("layers"), list):
        raise TypeError(
            f"{kind.__name__}: expected config to be a dict with a list of layers, as get_config "
            f"returns it, received {checks.shown(config)}"
        )
    entries = config["layers"]
    _expect_few(_described_layers(entries), kind.__name__)
    model = kind(name=config.get("name"))
    layers = []
    for entry in entries:
        extra = entry.get(OURS) if isinstance(entry, dict) else None
        if isinstance(extra, dict) and extra.get("declared_by") == "layer":
            continue  # the input's shape is that of the first layer, which brings it along
        layers.append(layer_of(entry))
    model.add_all(layers)
    shape = config.get("build_input_shape")
    if shape is not None and not model.built and model.layers:
        model.build(shape)
    return model


def cloned(model: Sequential, clone_function: Any = None) -> Sequential:
    """As `clone_model`."""
    from minicnn.stack import Stack

    kind: Any = type(model)
    twin = kind(name=model.name)
    if model.declared_input is not None:
        twin.add(InputLayer.from_config(model.declared_input.get_config()))
    for item in model.layers:
        if isinstance(item, Stack):
            twin.add(cloned(item, clone_function))  # type: ignore[arg-type]
        elif clone_function is not None:
            twin.add(clone_function(item))
        else:
            twin.add(type(item).from_config(item.get_config()))
    return twin
