"""Conv2D: the same small window of weights, slid over the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks, constraints, initializers, kernels, regularizers
from minicnn.layers import activations
from minicnn.layers.base import Array, Shape, checked_shape
from minicnn.layers.windows import checked_padding, windows
from minicnn.settings import Setting


class Conv2D(activations.ActivatedLayer):
    """2-D convolution (cross-correlation: the kernel is not flipped).

    Shapes
        x   (N, H_in, W_in, C_in)
        W   (K_h, K_w, C_in, C_out)
        b   (C_out,)
        y   (N, H_out, W_out, C_out)

    Forward
        z[n,i,j,f] = b[f] + sum over a,b,c of x[n,h,w,c] * W[a,b,c,f]
                     with h = i*S_h + a - P_top,   w = j*S_w + b - P_left
        y = activation(z)

        im2col writes every window as a row, so the sums become one matrix product:
        z = cols @ W + b,   cols (N*H_out*W_out, K_h*K_w*C_in),   W (K_h*K_w*C_in, C_out)

    Backward
        dz = activation's backward(dy)
        dW = cols^T @ dz        db = sum of dz over n, i, j        dx = col2im(dz @ W^T)

    Why: each weight takes part in every window, so its gradient sums over the windows; each pixel
    takes part in every window that covers it, and col2im sums what those windows send back.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998; im2col:
    Chellapilla, Puri and Simard, "High performance convolutional neural networks", 2006.

    Parameters
    ----------
    filters : int
        C_out.
    kernel_size, strides : int or (int, int)
        (K_h, K_w) and (S_h, S_w); one int stands for both.
    padding : "valid" or "same"
        No padding, or zeros around the image so that H_out = ceil(H_in / S_h).
    activation : str, Layer or None
        What is applied to z: "relu", "softmax", ... None leaves it.
    use_bias : bool
    kernel_initializer, bias_initializer : str, Initializer, or array of the parameter's values
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        A penalty on W or b that is added to the loss: "l2", L1(0.001), ...
    activity_regularizer : str or Regularizer, optional
        A penalty on y, divided by N.
    kernel_constraint, bias_constraint : str, Constraint or function, optional
        What W or b is held to after each step: MaxNorm(2, axis=[0, 1, 2]), ...
    input_shape : (H_in, W_in, C_in), optional
        On the first layer of a model: builds it at once.

    Raises
    ------
    TypeError, ValueError
        For arguments or inputs outside these; the message names the layer, what it expected and
        what came.

    Examples
    --------
    A filter of ones sums each 2x2 window; its gradient sums each pixel's part in the windows.

    >>> layer = Conv2D(1, 2, kernel_initializer="ones")
    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> layer.forward(x)[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    >>> dy = np.array([[1.0, 0], [0, 10]]).reshape(1, 2, 2, 1)
    >>> layer.backward(dy)[0, :, :, 0]
    array([[ 1.,  1.,  0.],
           [ 1., 11., 10.],
           [ 0., 10., 10.]])
    >>> layer.grads["W"][:, :, 0, 0]    # x[a, b] + 10 x[1 + a, 1 + b]
    array([[40., 51.],
           [73., 84.]])
    """

    filters = Setting(checks.size, fixed=True)
    kernel_size = Setting(checks.pair, fixed=True)
    strides = Setting(checks.pair, fixed=True)
    padding = Setting(checked_padding, fixed=True)
    use_bias = Setting(checks.boolean, fixed=True)
    kernel_initializer = Setting(initializers.setting)
    bias_initializer = Setting(initializers.setting)
    kernel_regularizer = Setting(regularizers.setting, fixed=True)
    bias_regularizer = Setting(regularizers.setting, fixed=True)
    kernel_constraint = Setting(constraints.setting, fixed=True)
    bias_constraint = Setting(constraints.setting, fixed=True)

    ignored = {
        "data_format": (None, "channels_last"),
        "dilation_rate": (1, (1, 1)),
        "groups": (1,),
        "lora_alpha": (None,),
        "lora_rank": (None,),
    }

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        *,
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
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
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
        C_in = input_shape[-1]
        self.add_param(
            "W",
            (*self.kernel_size, C_in, self.filters),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.add_param(
                "b",
                (self.filters,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        super().build(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        win = windows(input_shape, self.kernel_size, self.strides, self.padding, self.who)
        if self.built and input_shape[-1] != self.params["W"].shape[2]:
            raise ValueError(
                f"{self.who}: expected {self.params['W'].shape[2]} input channels, for which it "
                f"was built, received input of shape {tuple(input_shape)}"
            )
        return input_shape[0], win.H_out, win.W_out, self.filters

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        W = self.params["W"]
        win = windows(x.shape, self.kernel_size, self.strides, self.padding, self.who)
        N, _, _, C_in = x.shape

        cols: Array = np.empty((N, win.H_out, win.W_out, win.K_h, win.K_w, C_in), x.dtype)
        kernels.im2col(x, win.S_h, win.S_w, win.P_top, win.P_left, cols)
        cols = cols.reshape(-1, win.K_h * win.K_w * C_in)  # one window a row

        z = cols @ W.reshape(-1, self.filters)
        if self.use_bias:
            z += self.params["b"]
        self._cache = x.shape, win, cols
        return self.activation.forward(z.reshape(N, win.H_out, win.W_out, self.filters), training)

    def backward(self, dy: Array) -> Array:
        dy, (x_shape, win, cols) = self._recall(dy)
        W = self.params["W"]
        dz = self.activation.backward(dy).reshape(-1, self.filters)

        np.matmul(cols.T, dz, out=self.grads["W"].reshape(-1, self.filters))
        if self.use_bias:
            np.sum(dz, axis=0, out=self.grads["b"])

        N, _, _, C_in = x_shape
        dcols = dz @ W.reshape(-1, self.filters).T
        dcols = dcols.reshape(N, win.H_out, win.W_out, win.K_h, win.K_w, C_in)
        dx = np.empty(x_shape, dz.dtype)
        kernels.col2im(dcols, win.S_h, win.S_w, win.P_top, win.P_left, dx)
        return dx
