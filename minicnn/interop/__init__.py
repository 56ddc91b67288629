"""Weights from and to other libraries, as arrays: none of them is imported.

from_torch, to_torch      PyTorch's nn.Sequential of the same layers (torch.py)

Keras's own files are opened by `minicnn.models.load_model`, and `model.export` writes ONNX.
"""

from __future__ import annotations

from minicnn.interop.torch import from_torch, to_torch

__all__ = ["from_torch", "to_torch"]
