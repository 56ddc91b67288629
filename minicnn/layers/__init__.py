"""The layers, one lesson a file. Read `base.py` for the notation, then `dense.py` and `conv.py`."""

from __future__ import annotations

from minicnn.layers.activations import (
    Activation,
    ActivationLayer,
    LeakyReLU,
    Linear,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from minicnn.layers.base import Layer
from minicnn.layers.batchnorm import BatchNormalization
from minicnn.layers.conv import Conv2D
from minicnn.layers.dense import Dense
from minicnn.layers.dropout import Dropout
from minicnn.layers.flatten import Flatten
from minicnn.layers.input import Input, InputLayer
from minicnn.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, MaxPooling2D
from minicnn.layers.regularization import ActivityRegularization
from minicnn.layers.rescaling import Rescaling

# Keras's other names for the same classes
Convolution2D = Conv2D
MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D

__all__ = [
    "Activation",
    "ActivationLayer",
    "ActivityRegularization",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Conv2D",
    "Convolution2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "Linear",
    "MaxPool2D",
    "MaxPooling2D",
    "ReLU",
    "Rescaling",
    "Sigmoid",
    "Softmax",
    "Tanh",
]
