"""Conv2DTranspose: a convolution's way back, which makes images larger."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks, constraints, initializers, regularizers
from minicnn.layers.base import Array, Shape, checked_shape, image_shape
from minicnn.layers.conv import ConvolutionLayer
from minicnn.layers.windows import Windows, col2im, im2col, reach
from minicnn.settings import Setting


def _output_padding(value: Any, name: str, who: str) -> tuple[int, int] | None:
    """None, or two whole numbers of at least 0; one stands for both."""
    if value is None:
        return None
    sides = value if isinstance(value, (list, tuple)) else (value, value)
    if len(sides) != 2:
        raise ValueError(
            f"{who}: expected {name} to be None, one integer or two (height, width), received "
            f"{checks.shown(value)}"
        )
    h, w = (checks.integer(n, name, who, minimum=0, maximum=checks.LARGEST_SIZE) for n in sides)
    return h, w


def along(n: int, k: int, s: int, padding: str, more: int | None) -> tuple[int, int]:
    """Size of the output along one axis, and what is cut off before it.

    n windows that reach over k cells, s apart, cover (n - 1) * s + k cells; `more` is the
    output_padding.

    >>> along(2, 3, 2, "valid", None), along(2, 3, 2, "same", None), along(2, 3, 2, "same", 1)
    ((5, 0), (4, 0), (4, 0))
    """
    covered = (n - 1) * s + k
    if padding == "valid":
        return covered + (max(0, s - k) if more is None else more), 0
    out = n * s if more is None else (n - 1) * s + k % 2 + more
    return out, max(0, covered - out) // 2


class Conv2DTranspose(ConvolutionLayer):
    """Transposed convolution: forward is the backward of Conv2D, and the other way round.

    Shapes
        x   (N, H_in, W_in, C_in)
        W   (K_h, K_w, C_out, C_in): the two are swapped, as W is that of the Conv2D
        b   (C_out,)
        y   (N, H_out, W_out, C_out)

    Forward
        Every cell of x is multiplied by the kernel and added to its window of z:
        z[n,h,w,f] = b[f] + sum over all (i,j,a,b) that reach (h,w), and c, of
                     x[n,i,j,c] * W[a,b,f,c]
                     with h = i*S_h + a*D_h - P_top,   w = j*S_w + b*D_w - P_left
        z = col2im(x @ W^T) + b,   x (N*H_in*W_in, C_in),   W (K_h*K_w*C_out, C_in)
        y = activation(z)

    Backward
        dz = activation's backward(dy)        db = sum of dz over n, h, w
        cols = im2col(dz)                     dx = cols @ W        dW = cols^T @ x

    Why: Conv2D with this kernel makes of images like y images like x. It is linear, and its
    backward is its transpose, dx = col2im(dz @ W^T): the same line stands there. The transpose of
    a transpose is the convolution again, so here dx is a plain convolution of dz.

    Size, along height with k = (K_h - 1) * D_h + 1:

        valid   H_out = (H_in - 1) * S_h + k + output_padding, left out: max(k, S_h) - k
        same    H_out = H_in * S_h; with output_padding (H_in - 1) * S_h + k % 2 + output_padding;
                what the windows reach beyond that is cut off, half of it before, the odd cell after

    Source: Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional networks", 2010; Dumoulin and
    Visin, "A guide to convolution arithmetic for deep learning", 2016.

    Parameters
    ----------
    filters : int
        C_out.
    kernel_size, strides : int or (int, int)
        (K_h, K_w) and (S_h, S_w); the strides are how much larger the image becomes.
    padding : "valid" or "same"
    output_padding : int, (int, int) or None
        Chooses among the sizes that a strided convolution makes the same of; below the strides.
    data_format : "channels_last" or None
        Images are (N, H, W, C) in any case.
    dilation_rate : int or (int, int)
        As in Conv2D. Not together with strides.
    activation : str, Layer or None
    use_bias : bool
    kernel_initializer, bias_initializer : str, Initializer, or array of the parameter's values
    kernel_regularizer, bias_regularizer : str or Regularizer, optional
        A penalty on a parameter that is added to the loss.
    activity_regularizer : str or Regularizer, optional
        A penalty on y, divided by N.
    kernel_constraint, bias_constraint : str, Constraint or function
        What a parameter is held to after each step; None leaves it.

    Raises
    ------
    TypeError, ValueError
        For arguments or inputs outside these.

    Examples
    --------
    Windows of ones, two apart, overlap in one row and one column.

    >>> layer = Conv2DTranspose(1, 3, strides=2, padding="same", kernel_initializer="ones")
    >>> layer.forward(np.ones((1, 2, 2, 1)))[0, :, :, 0]
    array([[1., 1., 2., 1.],
           [1., 1., 2., 1.],
           [2., 2., 4., 2.],
           [1., 1., 2., 1.]])
    >>> layer.backward(np.ones((1, 4, 4, 1)))[0, :, :, 0]    # of 3x3 windows what is inside
    array([[9., 6.],
           [6., 4.]])
    """

    filters = Setting(checks.size, fixed=True)
    output_padding = Setting(_output_padding, fixed=True)
    kernel_initializer = Setting(initializers.setting)
    kernel_regularizer = Setting(regularizers.setting, fixed=True)
    kernel_constraint = Setting(constraints.setting, fixed=True)

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        output_padding: int | tuple[int, int] | None = None,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = (1, 1),
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
        super().__init__(
            kernel_size,
            strides,
            padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            bias_initializer=bias_initializer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self.filters = filters
        self.output_padding = output_padding
        self.kernel_initializer = kernel_initializer
        self.kernel_regularizer = kernel_regularizer
        self.kernel_constraint = kernel_constraint
        self._check_together()

    def _check_together(self) -> None:
        self._refuse_strides_with_gaps()
        more = self.output_padding
        if more is not None and (more[0] >= self.strides[0] or more[1] >= self.strides[1]):
            raise ValueError(
                f"{self.who}: expected output_padding to be less than strides, received "
                f"output_padding={more} and strides={self.strides}"
            )

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checked_shape(input_shape, self.who))
        C_in = input_shape[-1]
        self.add_param(
            "W",
            (*self.kernel_size, self.filters, C_in),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self._add_bias(self.filters)
        super().build(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        self._check_together()
        _, shape = self.windows_of_y(input_shape)
        if min(shape[1:3]) < 1:
            raise ValueError(
                f"{self.who}: expected an output of at least one cell, received input of shape "
                f"{tuple(input_shape)}, which gives {shape[1]}x{shape[2]}. Leave out "
                "output_padding or padding='same'"
            )
        if self.built:
            self._expect_channels(input_shape, self.params["W"].shape[3])
        return self.activation.output_shape(shape)

    def windows_of_y(self, input_shape: Shape) -> tuple[Windows, Shape]:
        """The windows on y, one for each cell of x, and the shape of y."""
        H_in, W_in, _ = image_shape(input_shape, self.who)
        (K_h, K_w), (S_h, S_w), (D_h, D_w) = self.kernel_size, self.strides, self.dilation_rate
        more_h, more_w = self.output_padding or (None, None)
        H_out, P_top = along(H_in, reach(K_h, D_h), S_h, self.padding, more_h)
        W_out, P_left = along(W_in, reach(K_w, D_w), S_w, self.padding, more_w)
        win = Windows(K_h, K_w, S_h, S_w, P_top, P_left, D_h, D_w, H_in, W_in)
        return win, (input_shape[0], H_out, W_out, self.filters)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        win, y_shape = self.windows_of_y(x.shape)
        rows = x.reshape(-1, x.shape[3])
        W = self.params["W"].reshape(-1, x.shape[3])

        z = col2im(rows @ W.T, win, y_shape)
        if self.use_bias:
            z += self.params["b"]
        self._cache = x.shape, win, rows
        return self.activation.forward(z, training)

    def backward(self, dy: Array) -> Array:
        dy, (x_shape, win, rows) = self._recall(dy)
        W = self.params["W"].reshape(-1, x_shape[3])
        dz = self.activation.backward(dy)

        if self.use_bias:
            np.sum(dz, axis=(0, 1, 2), out=self.grads["b"])
        cols = im2col(dz, win).reshape(len(rows), -1)
        np.matmul(cols.T, rows, out=self.grads["W"].reshape(W.shape))
        return (cols @ W).reshape(x_shape)
