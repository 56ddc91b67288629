"""Conv2D: the same small window of weights, slid over the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks, constraints, initializers, regularizers
from minicnn.layers import activations
from minicnn.layers.base import Array, Shape, checked_shape
from minicnn.layers.windows import Windows, checked_padding, col2im, im2col, windows
from minicnn.settings import Setting


class ConvolutionLayer(activations.ActivatedLayer):
    """Settings and checks of all convolutions."""

    kernel_size = Setting(checks.pair, fixed=True)
    strides = Setting(checks.pair, fixed=True)
    padding = Setting(checked_padding, fixed=True)
    dilation_rate = Setting(checks.pair, fixed=True)
    use_bias = Setting(checks.boolean, fixed=True)
    bias_initializer = Setting(initializers.setting)
    bias_regularizer = Setting(regularizers.setting, fixed=True)
    bias_constraint = Setting(constraints.setting, fixed=True)

    ignored = {
        "data_format": (None, "channels_last"),
    }

    def __init__(
        self,
        kernel_size: Any,
        strides: Any,
        padding: Any,
        *,
        dilation_rate: Any,
        activation: Any,
        use_bias: Any,
        bias_initializer: Any,
        bias_regularizer: Any,
        bias_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.dilation_rate = dilation_rate
        self.activation = activation
        self.use_bias = use_bias
        self.bias_initializer = bias_initializer
        self.bias_regularizer = bias_regularizer
        self.bias_constraint = bias_constraint

    def get_config(self) -> dict[str, Any]:
        return {"activity_regularizer": None, **super().get_config()}  # Keras's have it in any case

    def _add_bias(self, size: int) -> None:
        if self.use_bias:
            self.add_param(
                "b",
                (size,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def windows(self, input_shape: Shape) -> Windows:
        """Where the windows lie on an input of that shape."""
        return windows(
            input_shape,
            self.kernel_size,
            self.strides,
            self.padding,
            self.who,
            self.dilation_rate,
        )

    def _expect_channels(self, input_shape: Shape, C_in: int) -> None:
        """Raise ValueError unless the input has the C_in channels of the kernel."""
        if input_shape[-1] != C_in:
            raise ValueError(
                f"{self.who}: expected {C_in} input channels, for which it was built, received "
                f"input of shape {tuple(input_shape)}"
            )

    def _refuse_strides_with_gaps(self) -> None:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{self.who}: expected strides or dilation_rate to be 1, as in Keras, received "
                f"strides={self.strides} and dilation_rate={self.dilation_rate}. Leave one out"
            )


def in_groups(a: Array, groups: int) -> Array:
    """Rows a (M, K, groups * C) as (groups, M, K * C): the channels of each group by themselves.

    With one group it is a view.
    """
    M, K, channels = a.shape
    a = a.reshape(M, K, groups, channels // groups)
    return a.transpose(2, 0, 1, 3).reshape(groups, M, -1)


def from_groups(a: Array, K: int) -> Array:
    """Undo `in_groups`: a (groups, M, K * C) as (M, K, groups * C)."""
    groups, M, _ = a.shape
    return a.reshape(groups, M, K, -1).transpose(1, 2, 0, 3).reshape(M, K, -1)


class Conv2D(ConvolutionLayer):
    """2-D convolution (cross-correlation: the kernel is not flipped).

    Shapes
        x   (N, H_in, W_in, C_in)
        W   (K_h, K_w, C_in / groups, C_out)
        b   (C_out,)
        y   (N, H_out, W_out, C_out)

    Forward
        z[n,i,j,f] = b[f] + sum over a,b,c of x[n,h,w,c] * W[a,b,c,f]
                     with h = i*S_h + a*D_h - P_top,   w = j*S_w + b*D_w - P_left
        y = activation(z)

        im2col writes every window as a row, so the sums become one matrix product:
        z = cols @ W + b,   cols (N*H_out*W_out, K_h*K_w*C_in),   W (K_h*K_w*C_in, C_out)

        With groups, the first C_out / groups filters see the first C_in / groups channels alone,
        and so on: one such product for each group.

    Backward
        dz = activation's backward(dy)
        dW = cols^T @ dz        db = sum of dz over n, i, j        dx = col2im(dz @ W^T)

    Why: each weight takes part in every window, so its gradient sums over the windows; each pixel
    takes part in every window that covers it, and col2im sums what those windows send back.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998; im2col:
    Chellapilla, Puri and Simard, "High performance convolutional neural networks", 2006; groups:
    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012; dilation: Yu and Koltun, "Multi-scale context aggregation by dilated
    convolutions", 2016.

    Parameters
    ----------
    filters : int
        C_out.
    kernel_size, strides : int or (int, int)
        (K_h, K_w) and (S_h, S_w); one int stands for both.
    padding : "valid" or "same"
        No padding, or zeros around the image so that H_out = ceil(H_in / S_h).
    data_format : "channels_last" or None
        Images are (N, H, W, C) in any case.
    dilation_rate : int or (int, int)
        (D_h, D_w): how far apart the cells of a window lie. Not together with strides.
    groups : int
        Parts into which the channels and the filters are divided, both evenly.
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

    Two cells apart, the same window takes the corners.

    >>> Conv2D(1, 2, dilation_rate=2, kernel_initializer="ones").forward(x)[0, :, :, 0]
    array([[16.]])
    """

    filters = Setting(checks.size, fixed=True)
    groups = Setting(checks.size, fixed=True)
    kernel_initializer = Setting(initializers.setting)
    kernel_regularizer = Setting(regularizers.setting, fixed=True)
    kernel_constraint = Setting(constraints.setting, fixed=True)

    ignored = {
        "lora_alpha": (None,),
        "lora_rank": (None,),
    }

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = (1, 1),
        groups: int = 1,
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
        self.groups = groups
        self.kernel_initializer = kernel_initializer
        self.kernel_regularizer = kernel_regularizer
        self.kernel_constraint = kernel_constraint
        self._check_together()

    def _check_together(self) -> None:
        self._refuse_strides_with_gaps()
        if self.filters % self.groups:
            raise ValueError(
                f"{self.who}: expected filters to be evenly divisible by groups, received "
                f"filters={self.filters} and groups={self.groups}"
            )

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checked_shape(input_shape, self.who))
        C_in = input_shape[-1] // self.groups  # of the channels, those that a filter sees
        self.add_param(
            "W",
            (*self.kernel_size, C_in, self.filters),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self._add_bias(self.filters)
        super().build(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        self._check_together()
        win = self.windows(input_shape)
        if input_shape[-1] % self.groups:
            raise ValueError(
                f"{self.who}: expected the number of input channels to be evenly divisible by "
                f"groups, received groups={self.groups} and input of shape {tuple(input_shape)}"
            )
        if self.built:
            self._expect_channels(input_shape, self.params["W"].shape[2] * self.groups)
        z_shape = input_shape[0], win.H_out, win.W_out, self.filters
        return self.activation.output_shape(z_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        win = self.windows(x.shape)
        W = in_groups(self.params["W"].reshape(-1, 1, self.filters), self.groups)

        cols = in_groups(im2col(x, win), self.groups)  # one window a row
        z = from_groups(cols @ W, 1)
        if self.use_bias:
            z += self.params["b"]
        self._cache = x.shape, win, cols
        return self.activation.forward(z.reshape(len(x), win.H_out, win.W_out, -1), training)

    def backward(self, dy: Array) -> Array:
        dy, (x_shape, win, cols) = self._recall(dy)
        W = in_groups(self.params["W"].reshape(-1, 1, self.filters), self.groups)
        dz = self.activation.backward(dy).reshape(-1, 1, self.filters)

        if self.use_bias:
            np.sum(dz, axis=(0, 1), out=self.grads["b"])
        dz = in_groups(dz, self.groups)
        dW = from_groups(cols.swapaxes(1, 2) @ dz, 1)
        self.grads["W"][...] = dW.reshape(self.grads["W"].shape)

        dcols = from_groups(dz @ W.swapaxes(1, 2), win.K_h * win.K_w)
        return col2im(dcols, win, x_shape)
