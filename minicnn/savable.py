"""What a Sequential does with files: saving, loading, export, and its settings as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minicnn import checks, export, saving
from minicnn.compiled import Compiled
from minicnn.saving import config as saved_config
from minicnn.saving import json_text

if TYPE_CHECKING:
    from minicnn.models import Sequential

# arguments of Keras's export that have no effect here, and their values
NOT_EXPORTED: dict[str, tuple[Any, ...]] = {
    "input_signature": (None,),
    "opset_version": (None, 18),
    "verbose": (None, False),
}


class Savable(Compiled):
    """Base of Sequential; the work is done in `saving/` and `export/`."""

    def save(self, filepath: Any, overwrite: bool = True, zipped: bool | None = None) -> None:
        """Write the whole model to a `.keras` file: layers, weights, and how training stands.

        `minicnn.models.load_model` makes the same model of it, which goes on training bit for bit;
        Keras opens it, too. The old file is replaced as a whole or stays.

        Parameters
        ----------
        filepath : str or path
            Ends in ".keras".
        overwrite : bool
            False raises FileExistsError if there is a file.
        zipped : bool, optional
            Only True: the file is a zip archive.

        Raises
        ------
        TypeError
            For a setting that a file cannot hold, such as a function as learning rate.
        ValueError
            For another ending of the path.
        OSError
            Where nothing can be written.
        """
        checks.expect_defaults({"zipped": zipped}, {"zipped": (None, True)}, "save()")
        saving.save_model(self, filepath, overwrite)

    def save_weights(
        self, filepath: Any, overwrite: bool = True, max_shard_size: float | None = None
    ) -> None:
        """Write the weights to a `.weights.h5` file, as Keras does, or to a `.npz` file.

        A `.weights.h5` file also holds the optimizer's variables, if the model is compiled. A
        `.npz` file holds one array under the path of each weight ("dense/kernel"), for NumPy.

        Raises ValueError before the model is built or for another ending, FileExistsError if there
        is a file and `overwrite` is False, OSError where nothing can be written.
        """
        given = {"max_shard_size": max_shard_size}
        checks.expect_defaults(given, {"max_shard_size": (None,)}, "save_weights()")
        saving.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **keras: Any) -> None:
        """Set the weights from a `.weights.h5`, `.keras` or `.npz` file, of minicnn or of Keras.

        The layers of the first two are found by class and order, whatever their names; arrays of a
        `.npz` by their names. A `.weights.h5` also sets the optimizer's variables, if this one has
        the same settings and has taken steps. In a `.weights.h5` that Keras has written nothing
        says whether its numbers are those that were saved: only its structure can be checked.

        Parameters
        ----------
        skip_mismatch : bool
            Leave out layers that do not fit, with a warning.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            Before the model is built; `saving.SavedFileError` if the file is damaged or does not
            fit. The model is unchanged then.
        """
        instead = {"by_name": "Arrays of a .npz file are found by their names"}
        checks.expect_defaults(keras, {"by_name": (False,)}, "load_weights()", instead)
        saving.load_weights(self, filepath, skip_mismatch)

    def export(self, filepath: Any, format: str = "onnx", **keras: Any) -> None:
        """Write what the model does outside of training to an ONNX file.

        onnxruntime and others run it without Python, and Netron draws it. Input and output are
        called "input" and "output", in the model's float type and with the batch axis open; images
        go in as (N, H, W, C). Nodes have the names of their layers. onnxruntime has some operators
        in float32 alone, the convolutions among them.

        Parameters
        ----------
        filepath : str or path
            Ends in ".onnx".
        format : "onnx"

        Raises
        ------
        ImportError
            If the package `onnx` is missing.
        TypeError
            For a layer or an activation that is not the package's own, which is named.
        ValueError
            For another format, for a model that is not built, or of 2 GB or more. No file is
            written then.
        OSError
            If the file cannot be written; what was there is then as before.
        """
        checks.expect_defaults(keras, NOT_EXPORTED, "export()")
        export.export(self, filepath, format)

    def get_config(self) -> dict[str, Any]:
        """Name, layers and shape of the input in Keras's form, for `from_config` and for JSON."""
        return saved_config.sequential_config(self)

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Sequential:
        """A new model with the layers that `get_config` has told, with fresh first values.

        Raises TypeError or ValueError for anything else, and for classes that are not known.
        """
        with saving.custom_object_scope(custom_objects):
            return saved_config.sequential_of(cls, config)  # type: ignore[arg-type]

    def to_json(self, **kwargs: Any) -> str:
        """The layers' settings as JSON, without weights, for `models.model_from_json`.

        `kwargs` go to `json.dumps`: indent=2, say. Raises TypeError for others, and for settings
        that JSON cannot hold.
        """
        described = saved_config.model_to_keras(self)
        return json_text.to_json(described, **kwargs)
