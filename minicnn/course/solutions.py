"""Solutions of the exercises, written to be read. Try first: `course.hint(name)` has hints."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import numpy as np

# -- page 1 ---------------------------------------------------------------------------------------


def neuron_backward(dy, x, w):
    return dy * w, dy * x, dy


def numeric_gradient(f, x, h):
    dx = np.zeros_like(x)
    for k in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[k] += h
        below[k] -= h
        dx[k] = (f(above) - f(below)) / (2 * h)
    return dx


# -- page 2 ---------------------------------------------------------------------------------------


def dense_forward(x, W, b):
    return x @ W + b


def dense_backward(dy, x, W):
    dx = dy @ W.T
    dW = x.T @ dy
    db = dy.sum(axis=0)
    return dx, dW, db


def relu_backward(dy, x):
    return dy * (x > 0)


# -- page 3 ---------------------------------------------------------------------------------------


def conv_forward(x, W, b, S, P):
    x = np.pad(x, ((0, 0), (P, P), (P, P), (0, 0)))
    K_h, K_w, _, C_out = W.shape
    H_out, W_out = (x.shape[1] - K_h) // S + 1, (x.shape[2] - K_w) // S + 1
    y = np.empty((len(x), H_out, W_out, C_out), x.dtype)
    for i in range(H_out):
        for j in range(W_out):
            window = x[:, i * S : i * S + K_h, j * S : j * S + K_w]
            y[:, i, j] = np.tensordot(window, W, axes=3) + b
    return y


def im2col(x, K_h, K_w, S, P):
    x = np.pad(x, ((0, 0), (P, P), (P, P), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (K_h, K_w), axis=(1, 2))[:, ::S, ::S]
    # (N, H_out, W_out, C_in, K_h, K_w): the channels go behind the cells of the window
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, K_h * K_w * x.shape[3])


# -- page 4 ---------------------------------------------------------------------------------------


def col2im(dcols, x_shape, K_h, K_w, S, P):
    N, H_in, W_in, C_in = x_shape
    dx = np.zeros((N, H_in + 2 * P, W_in + 2 * P, C_in), dcols.dtype)
    H_out, W_out = (dx.shape[1] - K_h) // S + 1, (dx.shape[2] - K_w) // S + 1
    dcols = dcols.reshape(N, H_out, W_out, K_h, K_w, C_in)
    for i in range(H_out):
        for j in range(W_out):
            dx[:, i * S : i * S + K_h, j * S : j * S + K_w] += dcols[:, i, j]
    return dx[:, P : P + H_in, P : P + W_in]


def conv_backward(dy, x, W, S, P):
    K_h, K_w, _, C_out = W.shape
    dy = dy.reshape(-1, C_out)
    dW = im2col(x, K_h, K_w, S, P).T @ dy
    dcols = dy @ W.reshape(-1, C_out).T
    return col2im(dcols, x.shape, K_h, K_w, S, P), dW.reshape(W.shape), dy.sum(axis=0)


# -- page 5 ---------------------------------------------------------------------------------------


def max_pool_forward(x, K, S):
    N, H_in, W_in, C = x.shape
    y = np.empty((N, (H_in - K) // S + 1, (W_in - K) // S + 1, C), x.dtype)
    for i in range(y.shape[1]):
        for j in range(y.shape[2]):
            y[:, i, j] = x[:, i * S : i * S + K, j * S : j * S + K].max(axis=(1, 2))
    return y


def max_pool_backward(dy, x, K, S):
    dx = np.zeros_like(x)
    for n, i, j, c in np.ndindex(dy.shape):
        window = x[n, i * S : i * S + K, j * S : j * S + K, c]
        a, b = divmod(window.argmax(), K)  # of equal cells the first
        dx[n, i * S + a, j * S + b, c] += dy[n, i, j, c]
    return dx


def average_pool_backward(dy, x_shape, K, S):
    dx = np.zeros(x_shape, dy.dtype)
    for i in range(dy.shape[1]):
        for j in range(dy.shape[2]):
            share = dy[:, i, j] / K**2
            dx[:, i * S : i * S + K, j * S : j * S + K] += share[:, None, None]
    return dx


# -- page 6 ---------------------------------------------------------------------------------------


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_cross_entropy(z, k):
    N = len(z)
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(N)
    dz = np.exp(log_p)
    dz[rows, k] -= 1
    return -log_p[rows, k].mean(), dz / N


# -- page 7 ---------------------------------------------------------------------------------------


def momentum_step(w, g, v, lr, momentum):
    v = momentum * v - lr * g
    return w + v, v


def adam_step(w, g, m, v, t, lr, beta_1, beta_2, epsilon):
    m = beta_1 * m + (1 - beta_1) * g
    v = beta_2 * v + (1 - beta_2) * g**2
    alpha = lr * (1 - beta_2**t) ** 0.5 / (1 - beta_1**t)
    return w - alpha * m / (np.sqrt(v) + epsilon), m, v


def l2_penalty(W, factor):
    return factor * (W**2).sum(), 2 * factor * W


def dropout(x, keep, rate):
    return x * keep / (1 - rate)


# -- page 8 ---------------------------------------------------------------------------------------


def winograd(x, w):
    a = (x[0] - x[2]) * w[0]
    b = (x[1] + x[2]) * ((w[0] + w[1] + w[2]) / 2)
    c = (x[2] - x[1]) * ((w[0] - w[1] + w[2]) / 2)
    d = (x[1] - x[3]) * w[2]
    return np.array([a + b + c, b - c - d], x.dtype)
