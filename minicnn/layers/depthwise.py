"""Convolutions that treat each channel by itself: DepthwiseConv2D and SeparableConv2D."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import checks, constraints, initializers, kernels, regularizers
from minicnn.layers.base import Array, Shape, checked_shape
from minicnn.layers.conv import ConvolutionLayer
from minicnn.layers.windows import Windows
from minicnn.settings import Setting


def depthwise(x: Array, W: Array, win: Windows) -> Array:
    """z (N, H_out, W_out, C_in * M) of x (N, H_in, W_in, C_in) and W (K_h, K_w, C_in, M)."""
    M = W.shape[3]
    z: Array = np.empty((len(x), win.H_out, win.W_out, x.shape[3] * M), x.dtype)
    kernels.depthwise(_repeated(x, M), W.reshape(*W.shape[:2], -1), *win.steps, z)
    return z


def depthwise_backward(x: Array, W: Array, dz: Array, win: Windows) -> tuple[Array, Array]:
    """dx and dW for the dz of `depthwise`."""
    M = W.shape[3]
    x_M, W_M = _repeated(x, M), W.reshape(*W.shape[:2], -1)
    dx, dW = np.empty_like(x_M), np.empty(W_M.shape)
    kernels.depthwise_backward(x_M, W_M, dz, *win.steps, dx, dW)
    return dx.reshape(*x.shape, M).sum(axis=-1), dW.reshape(W.shape)


def _repeated(x: Array, M: int) -> Array:
    """Each channel M times, so that each output channel has an input channel to itself."""
    return x if M == 1 else np.repeat(x, M, axis=3)


class DepthwiseConv2D(ConvolutionLayer):
    """Convolution of each channel by itself, with M filters for each.

    Shapes
        x   (N, H_in, W_in, C_in)
        W   (K_h, K_w, C_in, M)
        b   (C_in * M,)
        y   (N, H_out, W_out, C_in * M)

    Forward
        z[n,i,j,c*M+m] = b[c*M+m] + sum over a,b of x[n,h,w,c] * W[a,b,c,m]
                         with h = i*S_h + a*D_h - P_top,   w = j*S_w + b*D_w - P_left
        y = activation(z)

    Backward
        dz = activation's backward(dy)        db = sum of dz over n, i, j
        dW[a,b,c,m] = sum over n,i,j of x[n,h,w,c] * dz[n,i,j,c*M+m]
        dx[n,h,w,c] = sum over m and all (i,j,a,b) that reach (h,w) of dz[n,i,j,c*M+m] * W[a,b,c,m]

    Why: nothing is summed over the channels, so a channel of dx collects from its own M filters
    alone. K_h*K_w numbers for each channel take the place of K_h*K_w*C_in for each filter. A
    matrix product would find too little to do with them; a kernel goes through the windows.

    Source: Sifre, "Rigid-motion scattering for image classification", 2014; Howard et al.,
    "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017.

    Parameters
    ----------
    kernel_size, strides, dilation_rate : int or (int, int)
        As in Conv2D; here strides and dilation_rate go together.
    padding : "valid" or "same"
    depth_multiplier : int
        M, filters for each channel.
    data_format : "channels_last" or None
        Images are (N, H, W, C) in any case.
    activation : str, Layer or None
    use_bias : bool
    depthwise_initializer, bias_initializer : str, Initializer, or array of the parameter's values
    depthwise_regularizer, bias_regularizer : str or Regularizer, optional
        A penalty on a parameter that is added to the loss.
    activity_regularizer : str or Regularizer, optional
        A penalty on y, divided by N.
    depthwise_constraint, bias_constraint : str, Constraint or function
        What a parameter is held to after each step; None leaves it.

    Raises
    ------
    TypeError, ValueError
        For arguments or inputs outside these.

    Examples
    --------
    >>> W = np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2)
    >>> layer = DepthwiseConv2D(1, depth_multiplier=2, depthwise_initializer=W)
    >>> layer.forward(np.array([10.0, 100.0]).reshape(1, 1, 1, 2)).ravel()
    array([ 10.,  20., 300., 400.])
    >>> layer.backward(np.array([1.0, 1.0, 1.0, 0.0]).reshape(1, 1, 1, 4)).ravel()
    array([3., 3.])
    >>> layer.grads["W"].ravel()
    array([ 10.,  10., 100.,   0.])
    """

    depth_multiplier = Setting(checks.size, fixed=True)
    depthwise_initializer = Setting(initializers.setting)
    depthwise_regularizer = Setting(regularizers.setting, fixed=True)
    depthwise_constraint = Setting(constraints.setting, fixed=True)

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
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
        self.depth_multiplier = depth_multiplier
        self.depthwise_initializer = depthwise_initializer
        self.depthwise_regularizer = depthwise_regularizer
        self.depthwise_constraint = depthwise_constraint

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checked_shape(input_shape, self.who))
        C_in, M = input_shape[-1], self.depth_multiplier
        self.add_param(
            "W",
            (*self.kernel_size, C_in, M),
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        self._add_bias(C_in * M)
        super().build(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        win = self.windows(input_shape)
        if self.built:
            self._expect_channels(input_shape, self.params["W"].shape[2])
        z_shape = input_shape[0], win.H_out, win.W_out, input_shape[-1] * self.depth_multiplier
        return self.activation.output_shape(z_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        win = self.windows(x.shape)
        z = depthwise(x, self.params["W"], win)
        if self.use_bias:
            z += self.params["b"]
        self._cache = x, win
        return self.activation.forward(z, training)

    def backward(self, dy: Array) -> Array:
        dy, (x, win) = self._recall(dy)
        dz = self.activation.backward(dy)
        if self.use_bias:
            np.sum(dz, axis=(0, 1, 2), out=self.grads["b"])
        dx, self.grads["W"][...] = depthwise_backward(x, self.params["W"], dz, win)
        return dx


class SeparableConv2D(ConvolutionLayer):
    """A depthwise convolution, then a 1x1 convolution that mixes the channels.

    Shapes
        x                  (N, H_in, W_in, C_in)
        depthwise_kernel   (K_h, K_w, C_in, M), D below
        pointwise_kernel   (1, 1, C_in * M, C_out), P below
        b                  (C_out,)
        u                  (N, H_out, W_out, C_in * M)
        y                  (N, H_out, W_out, C_out)

    Forward
        u = depthwise convolution of x with D: no bias, no activation
        z = u @ P + b, in every cell        y = activation(z)

    Backward
        dz = activation's backward(dy)      db = sum of dz over n, i, j
        dP = u^T @ dz                       du = dz @ P^T
        dD and dx from du, as in DepthwiseConv2D

    Why: first where, then what: windows and channels are summed one after the other. That takes
    K_h*K_w + C_out multiplications for each input cell and channel in place of K_h*K_w*C_out.

    Source: Chollet, "Xception: deep learning with depthwise separable convolutions", 2017.

    Parameters
    ----------
    filters : int
        C_out.
    kernel_size, strides, dilation_rate : int or (int, int)
        Of the depthwise convolution; here strides and dilation_rate go together.
    padding : "valid" or "same"
    data_format : "channels_last" or None
        Images are (N, H, W, C) in any case.
    depth_multiplier : int
        M, depthwise filters for each channel.
    activation : str, Layer or None
    use_bias : bool
    depthwise_initializer, pointwise_initializer, bias_initializer : str, Initializer, or array
    depthwise_regularizer, pointwise_regularizer, bias_regularizer : str or Regularizer, optional
        A penalty on a parameter that is added to the loss.
    activity_regularizer : str or Regularizer, optional
        A penalty on y, divided by N.
    depthwise_constraint, pointwise_constraint, bias_constraint : str, Constraint or function
        What a parameter is held to after each step; None leaves it.

    Raises
    ------
    TypeError, ValueError
        For arguments or inputs outside these.

    Examples
    --------
    >>> kernels = {"depthwise_initializer": "ones", "pointwise_initializer": [[[[1.0], [10.0]]]]}
    >>> kernels = {key: np.array(v) if isinstance(v, list) else v for key, v in kernels.items()}
    >>> layer = SeparableConv2D(1, 2, **kernels)
    >>> x = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> layer.forward(x).item()          # (0 + 2 + 4 + 6) + 10 * (1 + 3 + 5 + 7)
    172.0
    >>> layer.backward(np.ones((1, 1, 1, 1)))[0, 0, 0]
    array([ 1., 10.])
    >>> layer.grads["pointwise_kernel"].ravel()
    array([12., 16.])
    """

    filters = Setting(checks.size, fixed=True)
    depth_multiplier = Setting(checks.size, fixed=True)
    depthwise_initializer = Setting(initializers.setting)
    pointwise_initializer = Setting(initializers.setting)
    depthwise_regularizer = Setting(regularizers.setting, fixed=True)
    pointwise_regularizer = Setting(regularizers.setting, fixed=True)
    depthwise_constraint = Setting(constraints.setting, fixed=True)
    pointwise_constraint = Setting(constraints.setting, fixed=True)

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, int] = (1, 1),
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
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
        self.depth_multiplier = depth_multiplier
        self.depthwise_initializer = depthwise_initializer
        self.pointwise_initializer = pointwise_initializer
        self.depthwise_regularizer = depthwise_regularizer
        self.pointwise_regularizer = pointwise_regularizer
        self.depthwise_constraint = depthwise_constraint
        self.pointwise_constraint = pointwise_constraint

    def build(self, input_shape: Shape) -> None:
        self.output_shape(checked_shape(input_shape, self.who))
        C_in, M, C_out = input_shape[-1], self.depth_multiplier, self.filters
        D, P = (*self.kernel_size, C_in, M), (1, 1, C_in * M, C_out)
        self.add_param(
            "depthwise_kernel",
            D,
            self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        self.add_param(
            "pointwise_kernel",
            P,
            self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        self._add_bias(C_out)
        super().build(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        win = self.windows(input_shape)
        if self.built:
            self._expect_channels(input_shape, self.params["depthwise_kernel"].shape[2])
        z_shape = input_shape[0], win.H_out, win.W_out, self.filters
        return self.activation.output_shape(z_shape)

    def forward(self, x: Array, training: bool = False) -> Array:
        x = self._input(x)
        win = self.windows(x.shape)
        D, P = self.params["depthwise_kernel"], self.params["pointwise_kernel"][0, 0]
        u = depthwise(x, D, win)
        z = u.reshape(-1, len(P)) @ P
        if self.use_bias:
            z += self.params["b"]
        self._cache = x, win, u
        return self.activation.forward(z.reshape(*u.shape[:3], self.filters), training)

    def backward(self, dy: Array) -> Array:
        dy, (x, win, u) = self._recall(dy)
        D, P = self.params["depthwise_kernel"], self.params["pointwise_kernel"][0, 0]
        dz = self.activation.backward(dy).reshape(-1, self.filters)
        if self.use_bias:
            np.sum(dz, axis=0, out=self.grads["b"])
        np.matmul(u.reshape(-1, len(P)).T, dz, out=self.grads["pointwise_kernel"][0, 0])
        du = (dz @ P.T).reshape(u.shape)
        dx, self.grads["depthwise_kernel"][...] = depthwise_backward(x, D, du, win)
        return dx
