"""A model as an ONNX file, which other programs run without Python: `model.export("model.onnx")`.

    orders.py        in which order images are held, and become rows
    graph.py         nodes, constants, and what has to be transposed where
    activations.py   the activations as operators
    layers.py        the layers as operators; a new layer is one function and one line of the table

The package `onnx` is imported here, when it is first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minicnn import checks
from minicnn.items import shapes_along
from minicnn.layers.base import Layer
from minicnn.saving import atomic

if TYPE_CHECKING:
    from minicnn.stack import Item, Stack

OPSET, IR_VERSION = 18, 8  # what runtimes know since the beginning of 2023
LARGEST = 2**31 - 2**20  # bytes of constants: a file holds 2 GB, and has nodes, too


def export(model: Stack, filepath: Any, format: Any) -> None:
    """Write the built `model` to a file; see `Sequential.export`."""
    from minicnn.saving.files import checked_path

    checks.one_of(format, {"onnx"}, "format", "export")
    path = checked_path(filepath, (".onnx",), "export", "model.onnx")
    atomic.write(path, onnx_bytes(model))


def onnx_bytes(model: Stack) -> bytes:
    """The content of the file that `model.export` writes, for a runtime that takes bytes."""
    from minicnn.export.layers import expect_known

    model.expect_built("export")
    named = _with_paths(model.layers)
    for layer, _ in named:
        expect_known(layer, "export")
    onnx = _package()
    model.gather()
    made = _proto(onnx, model, named)
    onnx.checker.check_model(made, full_check=True)
    content: bytes = made.SerializeToString()
    return content


def _package() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "export: expected the package onnx, which is not installed. Install it: "
            "pip install 'minicnn[onnx]'"
        ) from error
    return onnx


def _with_paths(items: list[Item], prefix: str = "") -> list[tuple[Layer, str]]:
    """Each layer that computes, with its name and those of the models that it is in."""
    found = []
    for item in items:
        path = f"{prefix}{item.name}"
        inside = [(item, path)] if isinstance(item, Layer) else _with_paths(item.layers, f"{path}/")
        found += inside
    return found


def _proto(onnx: Any, model: Stack, named: list[tuple[Layer, str]]) -> Any:
    import minicnn
    from minicnn.export.graph import Graph, Value
    from minicnn.export.layers import EXPORTERS

    graph = Graph(model.dtype)
    shape = model.input_shape
    x = Value("input", shape, tuple(range(len(shape))))
    for layer, path in named:
        graph.layer = path
        (_, y_shape) = shapes_along([layer], x.shape)
        x = EXPORTERS[type(layer)](graph, layer, x, y_shape)
    graph.result(x)
    if graph.bytes > LARGEST:
        raise ValueError(
            f"export: expected a model of less than 2 GB, which an ONNX file can hold, received "
            f"{model.who} of {graph.bytes / 1e9:.1f} GB"
        )
    helper = onnx.helper
    kind = helper.np_dtype_to_tensor_dtype(model.dtype)
    ends = [
        helper.make_tensor_value_info(name, kind, ["N", *sizes[1:]])
        for name, sizes in (("input", shape), ("output", model.output_shape))
    ]
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            model.name,
            ends[:1],
            ends[1:],
            graph.constants,
            doc_string=f"{model.who}: {_written(shape)} in, {_written(model.output_shape)} out",
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="minicnn",
        producer_version=minicnn.__version__,
    )


def _written(shape: tuple[Any, ...]) -> str:
    return f"({', '.join(map(str, ('N', *shape[1:])))})"
