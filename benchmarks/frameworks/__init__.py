"""One file a framework, each offering the calls of `base.Framework` in its own best way."""

from __future__ import annotations

import importlib
from typing import Any

# name -> (module, class, arguments, how the table calls it)
KNOWN: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "minicnn": ("minicnn_", "MiniCNN", {}, "minicnn"),
    "keras": ("keras_", "Keras", {}, "Keras/TensorFlow"),
    "torch": ("torch_", "Torch", {"layout": "nchw"}, "PyTorch"),
    "torch_last": ("torch_", "Torch", {"layout": "channels_last"}, "PyTorch channels-last"),
    "torch_compile": ("torch_", "Torch", {"layout": "compiled"}, "PyTorch compiled"),
    "onnxruntime": ("onnx_", "OnnxRuntime", {}, "onnxruntime"),
}
PEERS = tuple(name for name in KNOWN if name != "minicnn")


def title(name: str) -> str:
    """How the table calls the framework `name`."""
    return KNOWN[name][3]


def make(name: str, threads: int) -> Any:
    """The framework `name`, limited to `threads`. Raises ImportError if it is not installed."""
    module, kind, arguments, _ = KNOWN[name]
    return getattr(importlib.import_module(f"benchmarks.frameworks.{module}"), kind)(
        threads, **arguments
    )
