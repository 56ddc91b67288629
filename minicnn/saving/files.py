"""Whole models and weights to files and back; see `minicnn.saving`."""

from __future__ import annotations

import datetime
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicnn import checks
from minicnn.custom_objects import checked as checked_custom_objects
from minicnn.custom_objects import custom_object_scope
from minicnn.engine import ranks
from minicnn.layers.arrays import unfilled
from minicnn.saving import archive, atomic, backup, compiling, config, hdf5, json_text, npz, state
from minicnn.saving.errors import SavedFileError, named

if TYPE_CHECKING:
    from minicnn.models import Sequential

KERAS = "3.15.1"  # whose format this is
FORMAT = 1


# -- models ---------------------------------------------------------------------------------------


def save_model(model: Sequential, filepath: Any, overwrite: bool = True) -> None:
    """As `model.save(filepath)`."""
    _expect_model(model, "save_model")
    path = checked_path(filepath, (".keras",), "save", "model.keras")
    _expect_free(path, overwrite, "save")
    atomic.write(path, model_bytes(model))


def model_bytes(
    model: Sequential, more: Mapping[str, bytes] | None = None, *, functions: bool = False
) -> bytes:
    """The content of a `.keras` file, with `more` members.

    With `functions` a learning rate may be a function, of which the file holds the name.
    """
    from minicnn import __version__

    if not model.built:
        warnings.warn(
            f"save: {model.who} is not built yet, so it is saved without weights. Build it first",
            UserWarning,
            stacklevel=4,
        )
    described = config.model_to_keras(model, functions=functions)
    now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    metadata = {"keras_version": KERAS, "date_saved": now, "minicnn_version": __version__}
    members = {
        archive.METADATA: json_text.to_json(metadata).encode(),
        archive.CONFIG: json_text.to_json(described).encode(),
        archive.WEIGHTS: _weights_bytes(model),
        **(more or {}),
    }
    private = {
        "format": FORMAT,
        "minicnn_version": __version__,
        "sha256": archive.sha256(members),
        "state": state.private(model),
    }
    members[archive.PRIVATE] = json_text.to_json(private).encode()
    return archive.packed(members)


def load_model(
    filepath: Any,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Sequential:
    """The model in a `.keras` file, of minicnn or of Keras.

    Parameters
    ----------
    filepath : str or path
        Ends in ".keras".
    custom_objects : dict, optional
        Classes and functions of your own by their names, in addition to those that
        `register_keras_serializable` knows.
    compile : bool
        Compile it like the one that was saved, with the optimizer where it stopped. A model that
        minicnn has saved goes on bit for bit: random numbers, slots, schedules. False leaves it
        uncompiled.
    safe_mode : bool
        Only True: no code of a file is ever run.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SavedFileError
        If the file is damaged, holds something else, or what is not known here. A ValueError.
    """
    path = _existing(filepath, (".keras",), "load_model")
    custom_objects = checked_custom_objects(custom_objects, "load_model")
    compile = checks.boolean(compile, "compile", "load_model")
    checks.expect_defaults({"safe_mode": safe_mode}, {"safe_mode": (True,)}, "load_model()")
    with named(path):
        return model_from_bytes(_content(path), custom_objects, compile)


def model_from_bytes(
    file: bytes, custom_objects: Mapping[str, Any] | None = None, compile: bool = True
) -> Sequential:
    """The model in the content of a `.keras` file."""
    members = archive.unpacked(file)
    private = _verified(members)
    description = json_text.parsed(_member(members, archive.CONFIG))
    content = hdf5.read(_member(members, archive.WEIGHTS))
    numbers = sum(one.size for one in content.under("layers").values())
    with custom_object_scope(custom_objects):
        with unfilled(numbers):
            model = config.model_of(description)
        state.weights_of(model, content).put_in()
        if compile:
            compiling.compile_as(model, description)
    told = None if private is None else state.Private(model, private["state"])
    if told is not None:
        told.put_in()
    progress = state.progress_of(model, content) if model.built and model.compiled else None
    if progress is not None:
        progress.put_in()
    if told is None:
        model.steps_taken = progress.count if progress is not None else 0
        if progress is None and model.built and model.compiled and content.under("optimizer/vars"):
            warnings.warn(
                "load_model: the file's optimizer has other variables than this one, which starts "
                "afresh",
                UserWarning,
                stacklevel=3,
            )
    elif model.compiled:
        if progress is None and content.under("optimizer/vars"):
            raise SavedFileError("its optimizer has other variables than its settings ask for")
        told.put_in_optimizer()
    return model


def save_backup(model: Sequential, path: Path, run: Any) -> None:
    """Write a `.keras` file that also holds the state `run` of a `fit`, see `backup.encoded`."""
    content = model_bytes(model, {archive.RUN: backup.encoded(run)}, functions=True)
    atomic.write(path, content)


def restore_backup(model: Sequential, path: Path, expect: Callable[[Any], None]) -> Any:
    """Give a compiled model everything that `save_backup` kept of it; returns the state of `fit`.

    `expect(state)` raises where it is of another run. Raises SavedFileError for a damaged file, or
    one of another model. Nothing is changed then.
    """
    model.gather()
    with named(path):
        members = archive.unpacked(_content(path))
        private = _verified(members)
        saved = json_text.parsed(_member(members, archive.CONFIG))
        now = json.dumps(config.model_to_keras(model, functions=True))
        if _layers(saved) != _layers(json.loads(now)):
            raise SavedFileError("it is of a model with other layers")
        if private is None or archive.RUN not in members:
            raise SavedFileError("it is a model, and no backup of a fit")
        run = backup.decoded(members[archive.RUN])
        content = hdf5.read(_member(members, archive.WEIGHTS))
        values = state.weights_of(model, content)
        progress = state.progress_of(model, content)
        if progress is None:
            raise SavedFileError("it is of another optimizer, or of one with other settings")
        told = state.Private(model, private["state"])
    expect(run)
    told.put_in()
    values.put_in()
    progress.put_in()
    told.put_in_optimizer()
    return run


def _layers(description: Any) -> Any:
    """The layers of a model's description, without their names."""
    if isinstance(description, list):
        return [_layers(one) for one in description]
    if not isinstance(description, dict):
        return description
    left_out = ("name", "compile_config", "minicnn")
    return {key: _layers(one) for key, one in description.items() if key not in left_out}


def _member(members: Mapping[str, memoryview], name: str) -> memoryview:
    if name not in members:
        raise SavedFileError(f"it has no {name}")
    return members[name]


def _verified(members: Mapping[str, memoryview]) -> dict[str, Any] | None:
    """What minicnn has added to the file, once all digests are right; None in a file of Keras's."""
    metadata = json_text.parsed(_member(members, archive.METADATA))
    ours = isinstance(metadata, dict) and "minicnn_version" in metadata
    if not ours and archive.PRIVATE not in members:
        return None
    private = json_text.parsed(_member(members, archive.PRIVATE))
    if not isinstance(private, dict) or private.get("format") != FORMAT:
        raise SavedFileError(
            f"it is of the format {checks.shown(private.get('format'))}, and this version of "
            f"minicnn reads {FORMAT}"
            if isinstance(private, dict)
            else f"{archive.PRIVATE} is damaged"
        )
    digests = {name: content for name, content in members.items() if name != archive.PRIVATE}
    if private.get("sha256") != archive.sha256(digests):
        raise SavedFileError("a member is not the one that was saved (SHA-256 differs)")
    return private


# -- configurations -------------------------------------------------------------------------------


def model_from_json(
    json_string: str, custom_objects: Mapping[str, Any] | None = None
) -> Sequential:
    """A new model with the layers that `model.to_json()` has told, with fresh first values.

    Raises TypeError for what is no text, SavedFileError, a ValueError, for what is no such JSON.
    """
    if not isinstance(json_string, str):
        raise TypeError(
            f"model_from_json: expected json_string to be a text, received "
            f"{checks.shown(json_string)}"
        )
    with named("model_from_json: json_string"), custom_object_scope(custom_objects):
        return config.model_of(json_text.parsed(json_string))


def clone_model(
    model: Sequential, input_tensors: Any = None, clone_function: Any = None
) -> Sequential:
    """A new model with layers like those of `model`, and fresh first values; not compiled.

    Parameters
    ----------
    clone_function : callable(layer) -> layer, optional
        Gives the new model's layer for each of the old one's; without it a layer of the same class
        and settings.

    Raises TypeError for anything else, or for a layer whose settings `get_config` does not tell.
    """
    checks.expect_defaults(
        {"input_tensors": input_tensors}, {"input_tensors": (None,)}, "clone_model()"
    )
    _expect_model(model, "clone_model")
    if clone_function is not None and not callable(clone_function):
        raise TypeError(
            "clone_model: expected clone_function to be a function of a layer, received "
            f"{checks.shown(clone_function)}"
        )
    twin = config.cloned(model, clone_function)
    if model.built and not twin.built and twin.layers:
        twin.build(model.input_shape)
    return twin


# -- weights --------------------------------------------------------------------------------------

WEIGHTS = (".weights.h5", ".npz")


def save_weights(model: Sequential, filepath: Any, overwrite: bool = True) -> None:
    """As `model.save_weights(filepath)`."""
    path = checked_path(filepath, WEIGHTS, "save_weights", "model.weights.h5")
    model.expect_built("save_weights")
    _expect_free(path, overwrite, "save_weights")
    content = npz.written(model) if path.name.endswith(".npz") else _weights_bytes(model)
    atomic.write(path, content)


def load_weights(model: Sequential, filepath: Any, skip_mismatch: bool = False) -> None:
    """As `model.load_weights(filepath)`."""
    path = _existing(filepath, (*WEIGHTS, ".keras"), "load_weights")
    model.expect_built("load_weights")
    model.expect_at_rest("load_weights", but_for_hooks=True)
    skip = checks.boolean(skip_mismatch, "skip_mismatch", "load_weights")
    model.gather()
    with named(path):
        file = _content(path)
        if path.name.endswith(".npz"):
            values = npz.weights_of(model, file, skip_mismatch=skip)
            progress = None
        else:
            if path.name.endswith(".keras"):
                members = archive.unpacked(file)
                _verified(members)
                content = hdf5.read(_member(members, archive.WEIGHTS))
            else:
                content = hdf5.read(file)
            values = state.weights_of(model, content, skip_mismatch=skip)
            progress = None
            if model.compiled and model.optimizer.state and not path.name.endswith(".keras"):
                progress = state.progress_of(model, content)
    values.put_in()
    if progress is not None:
        progress.put_in()


def _weights_bytes(model: Sequential) -> bytes:
    return hdf5.written(state.groups(model), state.arrays(model))


# -- paths ----------------------------------------------------------------------------------------


def checked_path(filepath: Any, endings: tuple[str, ...], who: str, example: str) -> Path:
    kind = f"a path such as {example!r}"
    path = Path(checks.path(filepath, "filepath", who, kind=kind))
    if not path.name.endswith(endings):
        advice = f"Write {example!r}"
        if path.suffix in (".h5", ".hdf5") and not path.name.endswith(".weights.h5"):
            advice += f". {path.suffix} is Keras 2's format; Keras loads it and saves this one"
        raise ValueError(
            f"{who}: expected filepath to end in {' or '.join(endings)}, received "
            f"{checks.shown(str(filepath))}. {advice}"
        )
    return path


def _existing(filepath: Any, endings: tuple[str, ...], who: str) -> Path:
    path = checked_path(filepath, endings, who, f"model{endings[0]}")
    if path.is_dir():
        raise IsADirectoryError(f"{who}: expected a file, received the folder {path}")
    if not path.exists():
        raise FileNotFoundError(f"{who}: there is no file {path}")
    if not path.is_file():
        raise SavedFileError(f"{who}: expected a file, received the device {path}")
    return path


def _content(path: Path) -> bytes:
    """What is in the file. Raises SavedFileError for one that is none of ours, however large."""
    with path.open("rb") as file:
        begin = file.read(len(hdf5.SIGNATURE))
        file.seek(-min(archive.END.size, path.stat().st_size), os.SEEK_END)
        if path.name.endswith(".h5"):
            if begin != hdf5.SIGNATURE:
                raise SavedFileError("expected a file of HDF5")
        else:
            archive.expect_end(file.read())
    return path.read_bytes()


def _expect_free(path: Path, overwrite: Any, who: str) -> None:
    overwrite = checks.boolean(overwrite, "overwrite", who)
    if not overwrite and ranks.group().rank == 0 and path.exists():
        raise FileExistsError(
            f"{who}: {path} is there already. Write overwrite=True to replace it, or choose "
            "another name"
        )


def _expect_model(model: Any, who: str) -> None:
    from minicnn.models import Sequential

    if not isinstance(model, Sequential):
        raise TypeError(f"{who}: expected model to be a Sequential, received {checks.shown(model)}")
