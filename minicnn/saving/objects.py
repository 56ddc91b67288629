"""One object in Keras's form of a configuration, from ours and back.

    ours    {"class_name": "Dense", "config": {"units": 3, ...}}
    Keras's {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3, ...},
             "registered_name": None, "build_config": {"input_shape": [None, 8]}}

The settings have the same names on both sides. What differs stands in the table at the top. Where
Keras has no word for something of ours, an entry "minicnn" beside "config" holds it: Keras ignores
it, and `described_here` takes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minicnn import checks
from minicnn.custom_objects import get_registered_name
from minicnn.losses import Loss
from minicnn.metrics import Metric
from minicnn.saving.errors import SavedFileError
from minicnn.saving.registry import ALIASES, NOT_OF_KERAS, is_ours, module_of
from minicnn.settings import Configured, ignored, own_class

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

OURS = "minicnn"  # the key that Keras ignores


# -- to Keras's form ------------------------------------------------------------------------------


def serialized(thing: Configured) -> dict[str, Any]:
    """An initializer, optimizer, loss or the like in Keras's form."""
    kind: Any = type(thing)
    config = translated_config(thing)
    if isinstance(thing, (Metric, Loss)):
        config.pop("dtype", None)
    return entry_of(kind, config)


def entry_of(kind: Any, config: dict[str, Any]) -> dict[str, Any]:
    """What stands for an object of that class."""
    module = module_of(kind)
    if module is None:
        return users_entry(kind, config)
    registered = f"{OURS}>{kind.__name__}" if kind in NOT_OF_KERAS else None
    return {
        "module": module,
        "class_name": kind.__name__,
        "config": config,
        "registered_name": registered,
    }


def users_entry(kind: Any, config: Any) -> dict[str, Any]:
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


def policy(dtype: str) -> dict[str, Any]:
    return {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": dtype},
        "registered_name": None,
    }


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
        expect_ours(value)
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


def expect_ours(description: Mapping[str, Any]) -> None:
    kind = description["class_name"]
    if not is_ours(description):
        raise SavedFileError(
            f"the class {checks.shown(kind)} of {checks.shown(description.get('module'))} is not "
            f"known. Give it as custom_objects={{{checks.shown(kind)}: ...}}, or write "
            "@register_keras_serializable() above it"
        )
