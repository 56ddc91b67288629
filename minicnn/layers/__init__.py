"""The layers, one lesson a file. Read `base.py` for the notation, then `dense.py` and `conv.py`."""

from __future__ import annotations

import sys
from typing import Any

from minicnn import absent
from minicnn.layers.activations import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Activation,
    ActivationLayer,
    Exponential,
    HardShrink,
    HardSigmoid,
    HardSiLU,
    HardTanh,
    LeakyReLU,
    Linear,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    SoftShrink,
    Softsign,
    Sparsemax,
    SparsePlus,
    SparseSigmoid,
    Squareplus,
    Tanh,
    TanhShrink,
    Threshold,
)
from minicnn.layers.augmentation import (
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
)
from minicnn.layers.base import Layer
from minicnn.layers.batchnorm import BatchNormalization
from minicnn.layers.conv import Conv2D
from minicnn.layers.conv_transpose import Conv2DTranspose
from minicnn.layers.dense import Dense
from minicnn.layers.depthwise import DepthwiseConv2D, SeparableConv2D
from minicnn.layers.dropout import Dropout, SpatialDropout2D
from minicnn.layers.flatten import Flatten
from minicnn.layers.groupnorm import GroupNormalization
from minicnn.layers.input import Input, InputLayer
from minicnn.layers.layernorm import LayerNormalization, RMSNormalization
from minicnn.layers.noise import AlphaDropout, GaussianDropout, GaussianNoise
from minicnn.layers.padding import Cropping2D, ZeroPadding2D
from minicnn.layers.pooling import (
    AveragePooling2D,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
)
from minicnn.layers.regularization import ActivityRegularization
from minicnn.layers.rescaling import Rescaling
from minicnn.layers.reshaping import Identity, Permute, RepeatVector, Reshape
from minicnn.layers.resizing import CenterCrop, Resizing, UpSampling2D
from minicnn.layers.standardize import Normalization, UnitNormalization

# Keras 2's modules that are this one: `from minicnn.layers.convolutional import Conv2D`
for _name in ("advanced_activations", "convolutional", "core", "normalization"):
    sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]

# Keras's other names for the same classes
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
SeparableConvolution2D = SeparableConv2D
MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D


def __getattr__(name: str) -> Any:
    """What to write in the place of a layer that only Keras has."""
    return absent.attribute(__name__, name, absent.LAYERS)


__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Activation",
    "ActivationLayer",
    "ActivityRegularization",
    "AlphaDropout",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "CenterCrop",
    "Conv2D",
    "Conv2DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Exponential",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "HardShrink",
    "HardSiLU",
    "HardSigmoid",
    "HardTanh",
    "Identity",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool2D",
    "MaxPooling2D",
    "Mish",
    "Normalization",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv2D",
    "SeparableConvolution2D",
    "SiLU",
    "Sigmoid",
    "SoftShrink",
    "Softmax",
    "Softplus",
    "Softsign",
    "SparsePlus",
    "SparseSigmoid",
    "Sparsemax",
    "SpatialDropout2D",
    "Squareplus",
    "Tanh",
    "TanhShrink",
    "Threshold",
    "UnitNormalization",
    "UpSampling2D",
    "ZeroPadding2D",
]
