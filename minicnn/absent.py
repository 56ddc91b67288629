"""What Keras has and minicnn has not, and what to write instead: for the error of an import."""

from __future__ import annotations

from typing import Any

from minicnn.symbolic import NO_GRAPH

_SEQUENCES = "There are no layers for text and sequences: minicnn is for images"
_ONE_D = (
    "A sequence is an image of height 1: Reshape((1, steps, channels)) before the layer of the "
    "same name for two dimensions, with windows such as (1, 3)"
)
_THREE_D = "There are no layers for volumes: minicnn is for images, (N, H, W, C)"
_FUNCTION = (
    "There is no automatic differentiation: write Activation(activations.Function(function, "
    "derivative)), or subclass minicnn.layers.Layer and define forward and backward"
)

LAYERS: dict[str, str] = {
    **dict.fromkeys(
        (
            *("AdditiveAttention", "Attention", "Bidirectional", "CategoryEncoding"),
            *("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Discretization", "Embedding", "GRU"),
            *("GRUCell", "GroupQueryAttention", "HashedCrossing", "Hashing", "IntegerLookup"),
            *("LSTM", "LSTMCell", "Masking", "MultiHeadAttention", "RNN", "SimpleRNN"),
            *("SimpleRNNCell", "StackedRNNCells", "StringLookup", "TextVectorization"),
            "TimeDistributed",
        ),
        _SEQUENCES,
    ),
    **dict.fromkeys(
        (
            *("AvgPool1D", "AveragePooling1D", "Conv1D", "Conv1DTranspose", "Convolution1D"),
            *("Cropping1D", "DepthwiseConv1D", "GlobalAveragePooling1D", "GlobalAvgPool1D"),
            *("GlobalMaxPool1D", "GlobalMaxPooling1D", "MaxPool1D", "MaxPooling1D"),
            *("SeparableConv1D", "SpatialDropout1D", "UpSampling1D", "ZeroPadding1D"),
        ),
        _ONE_D,
    ),
    **dict.fromkeys(
        (
            *("AvgPool3D", "AveragePooling3D", "Conv3D", "Conv3DTranspose", "Convolution3D"),
            *("Cropping3D", "GlobalAveragePooling3D", "GlobalMaxPooling3D", "MaxPool3D"),
            *("MaxPooling3D", "SpatialDropout3D", "UpSampling3D", "ZeroPadding3D"),
        ),
        _THREE_D,
    ),
    **dict.fromkeys(
        (
            *("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply"),
            *("Subtract", "add", "average", "concatenate", "dot", "maximum", "minimum"),
            *("merge", "Merge", "multiply", "subtract"),
        ),
        NO_GRAPH,
    ),
    "Lambda": _FUNCTION,
    "EinsumDense": "Write Reshape or Permute, and Dense",
    "MelSpectrogram": "minicnn is for images",
    "STFTSpectrogram": "minicnn is for images",
    "SpectralNormalization": "Write kernel_constraint, such as MaxNorm(1)",
    "TorchModuleWrapper": "Give a PyTorch model's weights to minicnn.interop.from_torch",
    "Wrapper": "Subclass minicnn.layers.Layer",
}

APPLICATIONS = (
    "There are no pretrained models: their architectures need branches, or weights that minicnn "
    "does not distribute. Write a Sequential of VGG's kind, and load weights that you have with "
    "load_weights or minicnn.interop.from_torch"
)


def attribute(module: str, name: str, known: dict[str, str]) -> Any:
    """The end of a module's `__getattr__`.

    Raises ImportError with the advice for a name of Keras's, since `from ... import` would hide
    the words of an AttributeError, which it is for every other name.
    """
    if name in known:
        raise ImportError(f"{module} has no {name}. {known[name]}", name=module)
    raise AttributeError(f"module {module!r} has no attribute {name!r}")
