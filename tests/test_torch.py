"""Live oracle: what PyTorch computes for the same weights, and what we do. (F2)

PyTorch means other things by some of the same words; each translation in `cases/` says which.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases.layers import LAYERS
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import PROFILE, SEEDS, cases, error, every_kind, networks, within

from minicnn import losses
from minicnn.layers import BatchNormalization
from minicnn.optimizers import SGD, Adam, RMSprop

torch = pytest.importorskip("torch", reason="PyTorch, the live oracle, is not installed")
F = torch.nn.functional
torch.set_num_threads(1)  # on work this small its threads only wait

LIMITS = {"float64": (1e-12, 1e-11), "float32": (1e-5, 3e-5)}  # forward, backward
either_type = st.sampled_from(sorted(LIMITS))


def tensor(array, *, learned=True):
    return torch.tensor(array, requires_grad=learned)


# -- layers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", every_kind, ids=lambda kind: kind.__name__)
@PROFILE
@given(st.data(), either_type)
def test_layer(kind, data, dtype):
    """(F2) y, dx and the gradient of every parameter."""
    case = data.draw(cases(kind, "normal", "spaced"))
    layer, x = case.layer(dtype), case.x(dtype)
    params = {key: tensor(array) for key, array in layer.params.items()}
    given_x = tensor(x)
    their_y = LAYERS[kind].torch(torch, layer, params, given_x, case.training)
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
        z = LAYERS[type(layer)].torch(torch, layer, their_params, z, True)
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
