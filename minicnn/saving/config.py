"""Keras's form of a model's configuration, from ours and back.

    ours    {"class_name": "Dense", "config": {"units": 3, ...}}
    Keras's {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3, ...},
             "registered_name": None, "build_config": {"input_shape": [None, 8]}}

The settings have the same names on both sides. What differs stands in the tables at the top. Where
Keras has no word for something of ours, an entry "minicnn" beside "config" holds it: Keras ignores
it, and `described_here` takes it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minicnn import checks, losses
from minicnn.custom_objects import get_registered_name
from minicnn.items import stacks_of
from minicnn.layers import InputLayer, Layer
from minicnn.layers.activations.known import name_or_description
from minicnn.losses import Loss
from minicnn.metrics import Metric
from minicnn.saving.errors import SavedFileError
from minicnn.saving.registry import (
    ALIASES,
    NOT_OF_KERAS,
    ONLY_ACTIVATIONS,
    TABLES,
    is_ours,
    module_of,
)
from minicnn.settings import Configured, encoded, ignored, own_class, restored

if TYPE_CHECKING:
    from minicnn.models import Sequential
    from minicnn.stack import Item, Stack

# what Keras's configs hold beside ours, at the value that `ignored` of the class allows
ONLY_IN_KERAS = (
    "antialias",
    "axis",
    "data_format",
    "fill_mode",
    "ignore_class",
    "input_axes",
    "label_smoothing",
    "loss_scale_factor",
    "output_axes",
    "quantization_config",
    "reduction",
    "renorm",
    "renorm_clipping",
    "renorm_momentum",
    "rms_scaling",
    "synchronized",
    "threshold",
)

MOST_LAYERS = 1000
OURS = "minicnn"  # the key that Keras ignores


# -- to Keras's form ------------------------------------------------------------------------------


def serialized(thing: Configured) -> dict[str, Any]:
    """An initializer, optimizer, loss or the like in Keras's form."""
    kind: Any = type(thing)
    config = translated_config(thing)
    if isinstance(thing, (Metric, Loss)):
        config.pop("dtype", None)
    return _entry(kind, config)


def _entry(kind: Any, config: dict[str, Any]) -> dict[str, Any]:
    """What stands for an object of that class."""
    module = module_of(kind)
    if module is None:
        return _of_the_user(kind, config)
    registered = f"{OURS}>{kind.__name__}" if kind in NOT_OF_KERAS else None
    return {
        "module": module,
        "class_name": kind.__name__,
        "config": config,
        "registered_name": registered,
    }


def _of_the_user(kind: Any, config: Any) -> dict[str, Any]:
    return {
        "module": kind.__module__,
        "class_name": kind.__name__,
        "config": config,
        "registered_name": get_registered_name(kind),
    }


def translated_config(thing: Configured) -> dict[str, Any]:
    """`get_config`, with the objects inside in Keras's form and the keys that only Keras has."""
    config = thing.get_config()
    for key, value in config.items():
        held = vars(thing).get(key)
        if isinstance(held, Configured) and isinstance(value, dict):
            config[key] = serialized(held)
    defaults = ignored(type(thing))
    for key in ONLY_IN_KERAS:
        if key in defaults and key not in config:
            config[key] = "channels_last" if key == "data_format" else defaults[key][0]
    return config


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
    if config.get("activity_regularizer", ...) is None and "activity_regularizer" not in explicit:
        del config["activity_regularizer"]
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
        described = _entry(kind, config)
        if "trainable" not in explicit and kind.__name__ in WITHOUT_TRAINABLE:
            ours["trainable"] = config.pop("trainable")
        if ours:
            described[OURS] = {"config": ours}
    if input_shape is not None and not kind.built_when_made:
        described["build_config"] = {"input_shape": list(input_shape)}
    return described


WITHOUT_TRAINABLE = ("SpatialDropout2D",)  # whose constructor takes no `trainable` in Keras


def policy(dtype: str) -> dict[str, Any]:
    return {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": dtype},
        "registered_name": None,
    }


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
        given = model._input
        items.append(
            {
                "module": "keras.layers",
                "class_name": "InputLayer",
                "config": {
                    "batch_shape": [None, *sample],
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


def model_to_keras(model: Stack) -> dict[str, Any]:
    """A model in Keras's form."""
    from minicnn.models import Sequential

    kind: Any = type(model)
    config = model.get_config()  # type: ignore[attr-defined]
    if kind is Sequential:
        described: dict[str, Any] = {"module": "keras", "class_name": "Sequential"}
        described |= {"config": config, "registered_name": None}
    else:
        described = _of_the_user(kind, config)
    if model.built:
        described["build_config"] = {"input_shape": list(model.input_shape)}
    described["compile_config"] = compile_config(model)  # type: ignore[arg-type]
    if described["compile_config"]:
        described[OURS] = {"compile": {"jit_compile": model.jit_compile}}  # type: ignore[attr-defined]
    return described


def compile_config(model: Sequential) -> dict[str, Any]:
    """What `compile` chose, in Keras's form; empty before it is called."""
    if not model._compiled:
        return {}
    return {
        "optimizer": serialized(model.optimizer),
        "loss": None if model.loss is None else loss_to_keras(model.loss),
        "loss_weights": None if model.loss_weight == 1 else [model.loss_weight],
        "metrics": [metric_to_keras(one) for one in model._metrics] or None,
        "weighted_metrics": None,
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": model.jit_compile,
    }


def loss_to_keras(loss: Loss) -> Any:
    """Its name, if that says all."""
    for name, kind in losses.KNOWN.items():
        if kind is type(loss) and kind().get_config() == loss.get_config():
            return name
    return serialized(loss)


def metric_to_keras(metric: Any) -> Any:
    """As the user gave it to compile: a name, an object, or a function by its name."""
    if isinstance(metric, str):
        return metric
    if isinstance(metric, type):
        metric = metric()
    if isinstance(metric, Configured):
        return serialized(metric)
    if callable(metric):
        name = get_registered_name(metric)
        return {
            "module": getattr(metric, "__module__", None),
            "class_name": "function",
            "config": getattr(metric, "__name__", name),
            "registered_name": name,
        }
    return encoded(metric, "metric", "compile")


# -- from Keras's form ----------------------------------------------------------------------------


def described_here(value: Any) -> Any:
    """A config of Keras's or ours with everything in it as our constructors take it."""
    if isinstance(value, list):
        return [described_here(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "class_name" not in value:
        return {key: described_here(one) for key, one in value.items()}
    kind, config = value["class_name"], value.get("config")
    if kind == "DTypePolicy" and isinstance(config, dict):
        return config.get("name")
    if kind == "__tuple__":
        return described_here(value.get("items"))
    if kind in ("__numpy__", "__tensor__") and isinstance(config, dict):
        return described_here(config.get("value"))
    if kind == "__lambda__":
        raise SavedFileError("it holds the code of a lambda, which is never run")
    if kind == "function":
        found = own_class({**value, "class_name": config})
        if found is None:
            raise SavedFileError(
                f"the function {checks.shown(config)} is not known. Give it as custom_objects="
                f"{{{checks.shown(config)}: ...}}, or write @register_keras_serializable() above it"
            )
        return found
    if not isinstance(kind, str):
        raise SavedFileError(f"class_name has to be a text, and is {checks.shown(kind)}")
    if own_class(value) is None:
        _expect_ours(value)
    found = {"class_name": ALIASES.get(kind, kind), "config": described_here(config)}
    if isinstance(value.get("registered_name"), str):
        found["registered_name"] = value["registered_name"]
    extra = value.get(OURS)
    if isinstance(extra, dict):
        if "class_name" in extra:  # a layer of ours that is Activation in Keras
            found["class_name"] = extra["class_name"]
            found["config"].pop("activation", None)
        if isinstance(found["config"], dict):
            found["config"].update(described_here(extra.get("config", {})))
    return found


def _expect_ours(description: Mapping[str, Any]) -> None:
    kind = description["class_name"]
    if not is_ours(description):
        raise SavedFileError(
            f"the class {checks.shown(kind)} of {checks.shown(description.get('module'))} is not "
            f"known. Give it as custom_objects={{{checks.shown(kind)}: ...}}, or write "
            "@register_keras_serializable() above it"
        )


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
        config["shape"] = shape[1:]
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
        _expect_ours(description)
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
    if model._input is not None:
        twin.add(InputLayer.from_config(model._input.get_config()))
    for item in model.layers:
        if isinstance(item, Stack):
            twin.add(cloned(item, clone_function))  # type: ignore[arg-type]
        elif clone_function is not None:
            twin.add(clone_function(item))
        else:
            twin.add(type(item).from_config(item.get_config()))
    return twin


def compile_as(model: Sequential, description: Mapping[str, Any]) -> None:
    """Compile the model as an entry `compile_config` says."""
    config = description.get("compile_config")
    if not isinstance(config, dict) or not config:
        return
    ours = description.get(OURS)
    chosen = ours.get("compile", {}) if isinstance(ours, dict) else {}
    given = {key: described_here(value) for key, value in config.items()}
    for name in ("loss", "metrics"):
        given[name] = _by_one_output(given.get(name))
    # Keras stores what "auto" came to on its backend
    given["jit_compile"] = chosen.get("jit_compile", "auto")
    for name in ("loss", "optimizer"):
        _drop_dtype(given.get(name))
    for metric in given["metrics"] or ():
        _drop_dtype(metric)
    if given["loss"] is None and not model.layers:
        del given["loss"]
    model.compile(**given)


def _by_one_output(value: Any) -> Any:
    """A list for each output, of which a Sequential has one, opened."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        return value[0]
    return value


def _drop_dtype(description: Any) -> None:
    """Losses and metrics have no float type here: they take the model's."""
    if isinstance(description, dict) and isinstance(description.get("config"), dict):
        description["config"].pop("dtype", None)
