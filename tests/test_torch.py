"""Live oracle: what PyTorch computes for the same weights, and what we do. (F2)

PyTorch means other things by some of the same words; each translation below says which. Dropout
draws its masks in its own way, so there its mask is ours and the comparison is of the rest.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import CONFIGURATIONS, PROFILE, SEEDS, cases, error, every_kind, networks, within

from minicnn import losses
from minicnn.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    InputLayer,
    Linear,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Sigmoid,
    Softmax,
    Tanh,
)
from minicnn.optimizers import SGD, Adam, RMSprop

torch = pytest.importorskip("torch", reason="PyTorch, the live oracle, is not installed")
F = torch.nn.functional
torch.set_num_threads(1)  # on work this small its threads only wait

LIMITS = {"float64": (1e-12, 1e-11), "float32": (1e-5, 3e-5)}  # forward, backward
either_type = st.sampled_from(sorted(LIMITS))


def tensor(array, *, learned=True):
    return torch.tensor(array, requires_grad=learned)


# -- each layer, as PyTorch writes it -------------------------------------------------------------

ACTIVATIONS = {
    None: lambda z: z,
    "linear": lambda z: z,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: torch.softmax(z, dim=-1),
    "tanh": torch.tanh,
}


def images_first(x):
    """NHWC, as ours, to NCHW."""
    return x.permute(0, 3, 1, 2)


def channels_last(y):
    return y.permute(0, 2, 3, 1)


def padded(x, window, strides, padding, value):
    """x (NCHW) with the cells of "same" around it: the odd one at the end, which PyTorch's own
    padding="same" refuses with strides and its padding=1 puts on both sides."""
    if padding.lower() == "valid":
        return x
    before_and_after = []
    for n, k, s in zip(x.shape[:1:-1], window[::-1], strides[::-1]):  # width first, as F.pad has it
        total = max(0, (math.ceil(n / s) - 1) * s + k - n)
        before_and_after += [total // 2, total - total // 2]
    return F.pad(x, before_and_after, value=value)


def convolution(layer, params, x):
    kernel = params["W"].permute(3, 2, 0, 1).contiguous()  # (C_out, C_in, K_h, K_w)
    x = padded(images_first(x), layer.kernel_size, layer.strides, layer.padding, 0.0)
    z = F.conv2d(x, kernel, params.get("b"), stride=layer.strides)
    return ACTIVATIONS[layer.activation.name](channels_last(z))


def max_pooling(layer, params, x):
    x = padded(images_first(x), layer.pool_size, layer.strides, layer.padding, -math.inf)
    return channels_last(F.max_pool2d(x, layer.pool_size, layer.strides))


def average_pooling(layer, params, x):
    """The mean of the padded window, divided by the share of its cells that are real."""
    x = images_first(x)
    means = [
        F.avg_pool2d(
            padded(cells, layer.pool_size, layer.strides, layer.padding, 0.0),
            layer.pool_size,
            layer.strides,
        )
        for cells in (x, torch.ones_like(x))
    ]
    return channels_last(means[0] / means[1])


def dense(layer, params, x):
    return ACTIVATIONS[layer.activation.name](F.linear(x, params["W"].T, params.get("b")))


def normalization(layer, params, x, training):
    """Their momentum is the share of what is new."""
    rows = x.reshape(-1, x.shape[-1])
    mean, var = (torch.tensor(layer.state[f"moving_{key}"]) for key in ("mean", "variance"))
    return F.batch_norm(
        rows,
        mean,
        var,
        params.get("gamma"),
        params.get("beta"),
        training=training,
        momentum=1 - layer.momentum,
        eps=layer.epsilon,
    ).reshape(x.shape)


def dropout(layer, params, x, training):
    if not training:
        return x
    layer.seek(0, 0)
    return x * torch.tensor(layer.forward(np.ones(x.shape, layer_type(x)), training=True))


def layer_type(x):
    return str(x.dtype).removeprefix("torch.")


def by_name(name):
    return lambda layer, params, x: ACTIVATIONS[name](x)


def rescaled(layer, params, x):
    scale, offset = (torch.tensor(number, dtype=x.dtype) for number in (layer.scale, layer.offset))
    return x * scale + offset


THEIRS = {
    Activation: lambda layer, params, x: ACTIVATIONS[layer.activation.name](x),
    AveragePooling2D: average_pooling,
    BatchNormalization: normalization,
    Conv2D: convolution,
    Dense: dense,
    Dropout: dropout,
    Flatten: lambda layer, params, x: x.flatten(1) if x.dim() > 1 else x[:, None],
    InputLayer: by_name(None),
    Linear: by_name(None),
    MaxPooling2D: max_pooling,
    ReLU: by_name("relu"),
    Rescaling: rescaled,
    Sigmoid: by_name("sigmoid"),
    Softmax: by_name("softmax"),
    Tanh: by_name("tanh"),
}


def theirs(layer, params, x, training):
    mode = (training,) if type(layer) in (BatchNormalization, Dropout) else ()
    return THEIRS[type(layer)](layer, params, x, *mode)


def test_every_layer_is_compared():
    assert set(THEIRS) == set(CONFIGURATIONS)


@pytest.mark.parametrize("kind", every_kind, ids=lambda kind: kind.__name__)
@PROFILE
@given(st.data(), either_type)
def test_layer(kind, data, dtype):
    """(F2) y, dx and the gradient of every parameter."""
    case = data.draw(cases(kind, "normal", "spaced"))
    layer, x = case.layer(dtype), case.x(dtype)
    params = {key: tensor(array) for key, array in layer.params.items()}
    given_x = tensor(x)
    their_y = theirs(layer, params, given_x, case.training)
    y = case.forward(layer, x)
    forward, backward = LIMITS[dtype]
    assert y.shape == tuple(their_y.shape)
    within(forward, f"F2 {kind.__name__} {dtype}", error(y, their_y.detach(), 1.0))

    dy = case.dy(y)
    their_y.backward(torch.tensor(dy))
    dx = layer.backward(dy)
    largest = max(1.0, float(np.abs(x).max()))  # of the summands of dW
    within(backward, f"F2 {kind.__name__} {dtype} backward", error(dx, given_x.grad, 1.0))
    for key, array in layer.grads.items():
        off = error(array, params[key].grad, largest)
        within(backward, f"F2 {kind.__name__} {dtype} backward", off)


@PROFILE
@given(cases(BatchNormalization))
def test_running_statistics(case):
    """Theirs take the variance with m - 1 below the line, ours with m."""
    layer, x = case.layer(), case.x()
    before = {key: array.copy() for key, array in layer.state.items()}
    mean, var = (tensor(before[f"moving_{key}"], learned=False) for key in ("mean", "variance"))
    rows = torch.tensor(x.reshape(-1, x.shape[-1]))
    new, m = 1 - layer.momentum, len(rows)
    F.batch_norm(rows, mean, var, training=True, momentum=new, eps=layer.epsilon)
    layer.forward(x, training=True)
    kept = layer.momentum * before["moving_variance"]
    biased = kept + (var.numpy() - kept) * (m - 1) / m
    within(1e-12, "F2 moving_mean", error(layer.state["moving_mean"], mean, 1.0))
    within(1e-12, "F2 moving_variance", error(layer.state["moving_variance"], biased, 1.0))


# -- losses ---------------------------------------------------------------------------------------


@PROFILE
@given(st.integers(1, 6), st.integers(1, 8), SEEDS, either_type, st.sampled_from([1.0, 30.0, 1e4]))
def test_cross_entropy_on_logits(n, classes, seed, dtype, scale):
    rng = np.random.default_rng(seed)
    z = (scale * rng.uniform(-1, 1, (n, classes))).astype(dtype)
    labels = rng.integers(0, classes, n)
    target = rng.dirichlet(np.ones(classes), n).astype(dtype)
    forward, backward = LIMITS[dtype]
    for loss, y, their_y in (
        (losses.SparseCategoricalCrossentropy(True), labels, torch.tensor(labels)),
        (losses.CategoricalCrossentropy(True), target, torch.tensor(target)),
    ):
        given_z = tensor(z)
        values = F.cross_entropy(given_z, their_y, reduction="none")
        values.sum().backward()
        off = error(loss.forward(y, z), values.detach(), 1.0)
        within(forward, f"F2 cross-entropy {dtype}", off)
        off = error(loss.backward(y, z), given_z.grad, 1.0)
        within(backward, f"F2 cross-entropy {dtype} backward", off)
        mean = F.cross_entropy(given_z, their_y).item()
        assert loss(y, z) == pytest.approx(mean, rel=forward, abs=forward)


@PROFILE
@given(st.integers(1, 6), st.integers(1, 8), SEEDS, either_type)
def test_cross_entropy_on_probabilities_and_squares(n, classes, seed, dtype):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 3.0), n).astype(dtype)
    assume(p.min() > 1e-6 and (classes == 1 or p.max() < 1 - 1e-6))  # where no clip acts
    labels = rng.integers(0, classes, n)
    target = rng.standard_normal((n, classes)).astype(dtype)
    forward, backward = LIMITS[dtype]
    rows = np.arange(n)
    for loss, y, value in (
        (
            losses.SparseCategoricalCrossentropy(),
            labels,
            lambda q: -torch.log(q / q.sum(dim=1, keepdim=True))[rows, labels],
        ),
        (losses.MeanSquaredError(), target, lambda q: ((q - torch.tensor(target)) ** 2).mean(1)),
    ):
        if classes == 1 and y is labels:
            continue  # a probability of 1 is clipped
        given_p = tensor(p)
        values = value(given_p)
        values.sum().backward()
        off = error(loss.forward(y, p), values.detach(), 1.0)
        within(forward, f"F2 {loss.name} {dtype}", off)
        off = error(loss.backward(y, p), given_p.grad, 1.0)
        within(backward, f"F2 {loss.name} {dtype} backward", off)


# -- optimizers -----------------------------------------------------------------------------------


def their_sgd(w, ours):
    """v = momentum * v + g and w = w - lr * v: the same steps, as long as lr stays."""
    return torch.optim.SGD([w], ours.learning_rate, ours.momentum, nesterov=ours.nesterov)


def their_rmsprop(w, ours):
    """epsilon stands outside of the root there, so it is held too small to matter."""
    return torch.optim.RMSprop([w], ours.learning_rate, ours.rho, eps=0.0)


def their_adam(w, ours):
    betas = ours.beta_1, ours.beta_2
    return torch.optim.Adam([w], ours.learning_rate, betas, eps=ours.epsilon)


RATES, SHARES = st.floats(1e-3, 2), st.floats(0.05, 0.999)
OPTIMIZERS = {
    "sgd": (st.builds(SGD, RATES), their_sgd),
    "momentum": (st.builds(SGD, RATES, SHARES), their_sgd),
    "nesterov": (st.builds(SGD, RATES, SHARES, st.just(True)), their_sgd),
    "rmsprop": (st.builds(RMSprop, RATES, SHARES, epsilon=st.just(1e-300)), their_rmsprop),
    "adam": (st.builds(Adam, RATES, SHARES, SHARES, st.floats(1e-8, 1e-2)), their_adam),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@settings(PROFILE, max_examples=100)
@given(st.data(), st.integers(1, 10), SEEDS)
def test_optimizer(name, data, steps, seed):
    strategy, make_theirs = OPTIMIZERS[name]
    ours = data.draw(strategy)
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(5)
    theirs_w = tensor(w.copy())
    optimizer = make_theirs(theirs_w, ours)
    for t in range(1, steps + 1):
        g = rng.choice([-1, 1], 5) * rng.uniform(0.1, 2, 5)
        if name == "adam":  # their epsilon is added after v's correction for its cold start
            optimizer.param_groups[0]["eps"] = ours.epsilon / math.sqrt(1 - ours.beta_2**t)
        theirs_w.grad = torch.tensor(g)
        optimizer.step()
        ours.update(w, g)
        within(1e-11, f"F2 {name}", error(w, theirs_w.detach(), 1.0))


# -- whole networks -------------------------------------------------------------------------------


@settings(PROFILE, max_examples=60)
@given(networks, st.integers(2, 40), either_type)
def test_network(network, n, dtype):
    """Loss, outputs and gradients of a step of training, shards and all, against autograd."""
    model = network.model(dtype)
    x, y = network.batch(n)
    x = x.astype(dtype)
    model.compile(SGD(0.0), network.loss)
    plain = network.model(dtype, logits=True)
    params = [{key: tensor(array) for key, array in layer.params.items()} for layer in plain.layers]
    z = torch.tensor(x)
    for layer, their_params in zip(plain.layers, params):
        z = theirs(layer, their_params, z, True)
    if network.loss == "mse":
        their_loss = F.mse_loss(z, torch.tensor(y.astype(dtype)))
    else:
        their_y = torch.tensor(y if y.ndim == 1 else y.astype(dtype))
        their_loss = F.cross_entropy(z, their_y)
    their_loss.backward()
    truth = np.concatenate([p.grad.numpy().ravel() for table in params for p in table.values()])

    loss = model.train_on_batch(x, y)
    forward, backward = LIMITS[dtype]
    within(forward, f"F2 networks {dtype}", error(loss, their_loss.item(), 1.0))
    off = error(model.flat_grads, truth, 1.0)
    within(backward, f"F2 networks {dtype} backward", off)
