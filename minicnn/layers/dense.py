"""Dense: every output sees every input."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicnn import checks, constraints, initializers, regularizers
from minicnn.layers import activations
from minicnn.layers.base import Array, Shape, checked_shape
from minicnn.settings import Setting


class Dense(activations.ActivatedLayer):
    """Fully connected layer.

    Shapes
        x   (N, ..., in)
        W   (in, units)
        b   (units,)
        y   (N, ..., units)

    Forward
        z = x @ W + b        y = activation(z)

    Backward
        dz = activation's backward(dy)
        dW = x^T @ dz        db = sum of dz over all axes but the last        dx = dz @ W^T

    Why: weight W[p, q] carries x[p] into z[q], so its gradient is x[p] * dz[q], summed over the
    samples; input x[p] reaches every z[q] through W[p, q], so it collects dz[q] * W[p, q] from all.

    Source: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors",
    1986.

    Parameters
    ----------
    units : int
        Size of the last axis of y.
    activation : str, Layer or None
        What is applied to z: "relu", "softmax", ... None leaves it.
    use_bias : bool
    kernel_initializer, bias_initializer : str, Initializer, or array of the parameter's values
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        A penalty on W or b that is added to the loss: "l2", L1(0.001), ...
    activity_regularizer : str or Regularizer, optional
        A penalty on y, divided by N.
    kernel_constraint, bias_constraint : str, Constraint or function, optional
        What W or b is held to after each step: "non_neg", MaxNorm(2), ...
    input_shape : tuple of int, optional
        Shape of one sample; on the first layer of a model it builds the model at once.

    Raises
    ------
    TypeError, ValueError
        For arguments or inputs outside these; the message names the layer, what it expected and
        what came.

    Examples
    --------
    >>> layer = Dense(2)
    >>> layer.build((None, 3))
    >>> layer.set_weights([[[1, 0], [0, 1], [1, 1]], [10, 20]])
    >>> layer.forward(np.array([[1.0, 2.0, 3.0]]))
    array([[14., 25.]], dtype=float32)
    >>> layer.backward(np.array([[1.0, -1.0]]))     # (1, -1) @ W^T
    array([[ 1., -1.,  0.]], dtype=float32)
    >>> layer.grads["W"]
    array([[ 1., -1.],
           [ 2., -2.],
           [ 3., -3.]], dtype=float32)
    """

    units = Setting(partial(checks.size, wrong_type=ValueError), fixed=True)  # as in Keras
    use_bias = Setting(checks.boolean, fixed=True)
    kernel_initializer = Setting(initializers.setting)
    bias_initializer = Setting(initializers.setting)
    kernel_regularizer = Setting(regularizers.setting, fixed=True)
    bias_regularizer = Setting(regularizers.setting, fixed=True)
    kernel_constraint = Setting(constraints.setting, fixed=True)
    bias_constraint = Setting(constraints.setting, fixed=True)

    ignored = {
        "lora_alpha": (None,),
        "lora_rank": (None,),
        "quantization_config": (None,),
    }

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.units = units
        self.activation = activation
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = bias_regularizer
        self.kernel_constraint = kernel_constraint
        self.bias_constraint = bias_constraint

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checked_shape(input_shape, self.who))
        self.add_param(
            "W",
            (input_shape[-1], self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.add_param(
                "b",
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        super().build(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2 or not input_shape[-1]:
            raise ValueError(
                f"{self.who}: expected input of shape (N, ..., features), received "
                f"{tuple(input_shape)}. For one sample add a batch axis: x[None]"
            )
        if self.built and input_shape[-1] != len(self.params["W"]):
            raise ValueError(
                f"{self.who}: expected {len(self.params['W'])} input features on the last axis, "
                f"for which it was built, received input of shape {tuple(input_shape)}"
            )
        return self.activation.output_shape((*input_shape[:-1], self.units))

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        z = x @ self.params["W"]
        if self.use_bias:
            z += self.params["b"]
        self._cache = x
        return self.activation.forward(z, training)

    def backward(self, dy: Array) -> Array:
        dy, x = self._recall(dy)
        W = self.params["W"]
        dz = self.activation.backward(dy).reshape(-1, self.units)

        np.matmul(x.reshape(-1, len(W)).T, dz, out=self.grads["W"])
        if self.use_bias:
            np.sum(dz, axis=0, out=self.grads["b"])
        return (dz @ W.T).reshape(x.shape)
