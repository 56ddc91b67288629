"""Models in files: what `model.save` writes and `load_model` reads.

    model.save("model.keras")                        everything; Keras opens it, too
    model = minicnn.models.load_model("model.keras")

    files.py       the calls            archive.py   the zip archive of a `.keras` file
    config.py      layers, as JSON      state.py     numbers, and where they belong
    objects.py     one object in it     compiling.py what `compile` chose
    registry.py    names of classes     hdf5.py      arrays in a file, npz.py in NumPy's
    errors.py      SavedFileError       atomic.py    a file is replaced as a whole

Reading trusts nothing: no name in a file is imported, no code in it is run, and no memory is taken
for what it only claims to hold.
"""

from __future__ import annotations

from typing import Any

from minicnn.custom_objects import (
    custom_object_scope,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from minicnn.saving.errors import SavedFileError

LATER = (
    "clone_model",
    "load_model",
    "load_weights",
    "model_from_json",
    "save_model",
    "save_weights",
)


def __getattr__(name: str) -> Any:
    """The calls, which need all of the package, imported when they are first asked for."""
    if name in LATER:
        from minicnn.saving import files

        return getattr(files, name)
    raise AttributeError(f"module 'minicnn.saving' has no attribute {name!r}")


__all__ = [
    "SavedFileError",
    "clone_model",
    "custom_object_scope",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "model_from_json",
    "register_keras_serializable",
    "save_model",
    "save_weights",
]
