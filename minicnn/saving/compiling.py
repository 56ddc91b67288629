"""What `compile` chose, in Keras's form and back: the entry `compile_config` of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minicnn import copies, losses
from minicnn import metrics as known_metrics
from minicnn.custom_objects import get_registered_name
from minicnn.losses import Loss
from minicnn.losses.chosen import Crossentropy
from minicnn.optimizers import Optimizer
from minicnn.saving.errors import SavedFileError
from minicnn.saving.objects import OURS, described_here, serialized
from minicnn.settings import Configured, encoded, own_class

if TYPE_CHECKING:
    from minicnn.models import Sequential

# -- to Keras's form ------------------------------------------------------------------------------


def compile_config(model: Sequential, *, functions: bool = False) -> dict[str, Any]:
    """What `compile` chose, in Keras's form; empty before it is called.

    Raises TypeError for a learning rate that is a function, unless `functions` are to be named: a
    backup is read by the program that has them.
    """
    if not model.compiled:
        return {}
    return {
        "optimizer": optimizer_to_keras(model.optimizer, functions=functions),
        "loss": None if model.loss is None else loss_to_keras(model.loss),
        "loss_weights": None if model.loss_weight == 1 else [model.loss_weight],
        "metrics": [metric_to_keras(one) for one in model.given_metrics] or None,
        "weighted_metrics": [metric_to_keras(one) for one in model.given_weighted_metrics] or None,
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": model.jit_compile,
    }


def optimizer_to_keras(optimizer: Optimizer, *, functions: bool) -> dict[str, Any]:
    rate = vars(optimizer)["learning_rate"]
    if not functions or isinstance(rate, (float, Configured)):
        return serialized(optimizer)
    like = copies.twin(optimizer)
    vars(like)["learning_rate"] = 0.0
    described = serialized(like)
    described["config"]["learning_rate"] = function_to_keras(rate)
    return described


def function_to_keras(function: Any) -> dict[str, Any]:
    """A function by its name."""
    name = get_registered_name(function)
    return {
        "module": getattr(function, "__module__", None),
        "class_name": "function",
        "config": getattr(function, "__name__", name),
        "registered_name": name,
    }


def loss_to_keras(loss: Loss) -> Any:
    """Its name, if that says all."""
    if isinstance(loss, Crossentropy):
        return loss.name
    for name, kind in losses.KNOWN.items():
        if kind is type(loss) and kind().get_config() == loss.get_config():
            return name
    if isinstance(loss, losses.Function):
        return function_to_keras(loss.function)
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
        return function_to_keras(metric)
    return encoded(metric, "metric", "compile")


# -- from Keras's form ----------------------------------------------------------------------------

# entries that say how Keras computes, not what; it stores what "auto" came to on its backend
HOW = ("auto_scale_loss", "jit_compile", "run_eagerly", "steps_per_execution")


def compile_as(model: Sequential, description: Mapping[str, Any]) -> None:
    """Compile the model as an entry `compile_config` says.

    Raises SavedFileError for what cannot be compiled here.
    """
    config = description.get("compile_config")
    if not isinstance(config, dict) or not config:
        return
    ours = description.get(OURS)
    how = ours.get("compile", {}) if isinstance(ours, dict) else {}
    try:
        given = {key: value for key, value in config.items() if key not in HOW}
        given["loss"] = _read(_of_one_output(given.get("loss")), losses.KNOWN)
        for name in ("metrics", "weighted_metrics"):
            chosen = _as_list(_of_one_output(given.get(name)))
            given[name] = [_read(one, known_metrics.KNOWN) for one in chosen]
        given["optimizer"] = _read(given.get("optimizer"), {})
        given["jit_compile"] = how.get("jit_compile", "auto")
        if given["loss"] is None and not model.layers:
            del given["loss"]
        model.compile(**given)
    except (TypeError, ValueError) as error:
        raise SavedFileError(
            f"{error}. The model without what compile chose: load_model(..., compile=False)"
        ) from error


def _read(value: Any, known: Mapping[str, type]) -> Any:
    """A loss, a metric or an optimizer as `compile` takes it.

    A function that Keras has under one of the `known` names is given by this name, a class by its
    description: for Keras "MeanSquaredError" is a metric's name, too.
    """
    if isinstance(value, dict) and value.get("class_name") == "function":
        name = value.get("config")
        if own_class({**value, "class_name": name}) is None and name in known:
            return name
    if isinstance(value, str) and value in {kind.__name__ for kind in known.values()}:
        return {"class_name": value, "config": {}}
    found = described_here(value)
    if isinstance(found, dict) and isinstance(found.get("config"), dict):
        found["config"].pop("dtype", None)  # there is none here: they take the model's
    return found


def _of_one_output(value: Any) -> Any:
    """What a list or a dict with an entry for each output has for the one of a Sequential."""
    if isinstance(value, dict) and "class_name" not in value and len(value) == 1:
        return _of_one_output(next(iter(value.values())))
    if isinstance(value, list) and len(value) == 1:
        return _of_one_output(value[0])
    return value


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
