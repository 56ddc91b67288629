"""What every layer promises: each example of the table in `cases/layers.py`, all the checks."""

import copy
import dataclasses
import inspect
import pickle
import re
from contextlib import contextmanager

import numpy as np
import pytest
from cases.layers import LAYERS
from counts import some_and_all
from strategies import CASES, FORMS, Case, every_kind

from minicnn import Input, Sequential
from minicnn.engine.activations import KNOWN as CURVES
from minicnn.layers import (
    GELU,
    GLU,
    BatchNormalization,
    Dense,
    Flatten,
    InputLayer,
    Layer,
    ReLU,
    Sigmoid,
    Tanh,
)
from minicnn.layers.randomness import RandomLayer
from minicnn.settings import ignored


def first_of_each(cases):
    """By layer, the name of its first example: the quick run takes that one, CI the others, too."""
    return {case.kind: name for name, case in reversed(cases.items())}


def layers_with(wanted):
    cases = {name: case for name, case in CASES.items() if wanted(case)}
    first = first_of_each(cases).values()
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(case, id=name, marks=() if name in first else pytest.mark.in_ci)
            for name, case in cases.items()
        ],
    )


every_layer = layers_with(lambda case: True)
either_mode = pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
either_type = pytest.mark.parametrize("dtype", ["float32", "float64"])


def same(one, other, what=""):
    np.testing.assert_array_equal(one, other, err_msg=what, strict=True)


# -- the table itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", every_kind)
def test_the_examples_of_a_layer_give_every_argument(kind):
    taken = {
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD
    } - {*inspect.signature(Layer).parameters, *ignored(kind)}
    given = {name for example in LAYERS[kind].examples.values() for name in example.kwargs}
    assert taken == given - set(inspect.signature(Layer).parameters)


# -- a layer by itself ----------------------------------------------------------------------------


RUN_IN_KERAS = {
    f"{kind.__name__} {name}": Case(kind, e.kwargs, e.shape, e.values)
    for kind, case in LAYERS.items()
    if not isinstance(case.keras, str)
    for name, e in case.keras.items()
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{source}: {name}")
        for source, table in (("contract", CASES), ("Keras", RUN_IN_KERAS))
        for name, case in table.items()
        if not issubclass(case.kind, RandomLayer) or "seed" in case.kwargs
    ],
)
def test_forward_is_the_definition_in_plain_loops(case):
    for training in (False, True):
        case = dataclasses.replace(case, training=training)
        layer, x = case.layer(), case.x()
        truth = LAYERS[case.kind].definition(case, layer, x.tolist())
        y = case.forward(layer, x)
        np.testing.assert_allclose(
            y.ravel(), np.ravel(truth), rtol=1e-12, atol=1e-12, err_msg=f"training={training}"
        )


@every_layer
@either_type
@either_mode
def test_output_shape_is_true_and_the_float_type_is_kept(case, dtype, training):
    layer = case.kind(**case.kwargs)
    x = case.x(dtype)
    y = layer.forward(x, training)
    assert layer.built
    assert layer.output_shape(case.shape) == y.shape
    assert layer.output_shape((None, *case.shape[1:])) == (None, *y.shape[1:])
    assert y.dtype == dtype
    assert layer.dtype in ((dtype,) if layer.count_params() else (dtype, None))
    dx = layer.backward(case.dy(y))
    assert (dx.shape, dx.dtype) == (x.shape, x.dtype)
    for array in (y, dx, *layer.params.values(), *layer.grads.values(), *layer.state.values()):
        assert type(array) is np.ndarray
        assert array.dtype == dtype
        assert array.dtype.isnative


@every_layer
def test_the_shape_is_known_before_the_layer_is_built(case):
    layer = case.kind(**case.kwargs)
    foreseen = layer.output_shape((None, *case.shape[1:]))
    assert layer.awaits_build
    layer.build((None, *case.shape[1:]))
    assert layer.built
    assert not layer.awaits_build
    assert foreseen == (None, *layer.forward(case.x()).shape[1:])


@every_layer
def test_a_layer_without_parameters_is_built_when_it_is_made(case):
    """As in Keras, where Flatten and Rescaling are built by their first input nevertheless."""
    layer = case.kind(**case.kwargs)
    assert layer.built == LAYERS[case.kind].built_when_made
    if layer.built:
        assert layer.count_params() == 0
        assert layer.get_weights() == layer.weights == []
        layer.set_weights([])
    inside = getattr(layer, "activation", layer)
    assert inside.built or inside is layer


@layers_with(lambda case: LAYERS[case.kind].built_when_made)
def test_a_layer_that_is_built_when_made_takes_inputs_of_any_size_and_type(case):
    layer = case.kind(**case.kwargs)
    step = 2 if case.kind is GLU else 1  # which halves an axis
    for grow, dtype in ((0, "float64"), (1, "float32"), (2, "float64")):
        shape = (3, *(size + grow * step for size in case.shape[1:]))
        x = case.rng(5).standard_normal(shape).astype(dtype)
        y = layer.forward(x, training=True)
        assert y.shape == layer.output_shape(shape)
        assert y.dtype == dtype
        assert layer.backward(case.dy(y)).shape == shape


@every_layer
def test_gradients_match_the_parameters(case):
    layer = case.layer()
    assert layer.grads.keys() == layer.params.keys()
    layer.backward(case.dy(layer.forward(case.x(), training=True)))
    assert layer.grads.keys() == layer.params.keys()
    for key, array in layer.params.items():
        assert layer.grads[key].shape == array.shape
        assert layer.grads[key].dtype == array.dtype
        assert layer.grads[key].any()
        assert not np.shares_memory(layer.grads[key], array)
    counted = [*layer.params.values(), *layer.state.values()]
    assert layer.count_params() == sum(array.size for array in counted)
    for ours, array in zip(layer.get_weights(), counted, strict=True):
        same(ours, array)
        assert not np.shares_memory(ours, array)


@every_layer
@either_mode
def test_nothing_that_is_given_is_written_to(case, training):
    layer = case.layer()
    x = case.x()
    before, params = x.tobytes(), [array.tobytes() for array in layer.params.values()]
    y = layer.forward(x, training)
    dy = case.dy(y)
    dy_before, y_before = dy.tobytes(), y.tobytes()
    layer.backward(dy)
    assert x.tobytes() == before
    assert dy.tobytes() == dy_before
    assert y.tobytes() == y_before
    assert [array.tobytes() for array in layer.params.values()] == params


@every_layer
@either_mode
def test_a_second_backward_replaces_the_gradients_in_the_same_arrays(case, training):
    layer = case.layer()
    y = layer.forward(case.x(), training)
    dy = case.dy(y)
    arrays = dict(layer.grads)
    dx = layer.backward(dy).copy()
    grads = {key: array.copy() for key, array in layer.grads.items()}
    for array in layer.grads.values():
        array[...] = np.nan
    same(layer.backward(dy), dx)
    for key, array in layer.grads.items():
        assert array is arrays[key]
        same(array, grads[key])
    layer.backward(-2 * dy)
    for key, array in layer.grads.items():
        same(array, -2 * grads[key])


@every_layer
@either_mode
def test_what_a_pass_returned_is_not_overwritten_by_the_next(case, training):
    layer = case.layer()
    y = layer.forward(case.x(), training)
    dx = layer.backward(case.dy(y))
    before = y.tobytes(), dx.tobytes()
    layer.backward(-case.dy(layer.forward(case.x(values="negative"), training)))
    assert (y.tobytes(), dx.tobytes()) == before


@every_layer
def test_a_batch_gives_what_its_samples_give_one_by_one(case):
    layer = case.layer()
    x = case.x()
    y = layer.forward(x)
    alone = np.concatenate([layer.forward(x[n : n + 1]) for n in range(len(x))])
    np.testing.assert_allclose(y, alone, rtol=1e-13, atol=1e-13)


@layers_with(lambda case: not case.kind.mixes_samples)
def test_in_training_too_unless_it_says_that_it_mixes_samples(case):
    """What lets a batch be cut into shards: outputs stay the same, gradients of parameters add."""
    layer = case.layer()
    x = case.x()
    layer.seek(5, 0)
    y = layer.forward(x, training=True)
    dy = case.dy(y)
    dx = layer.backward(dy).copy()
    grads = {key: array.copy() for key, array in layer.grads.items()}
    sums = {key: np.zeros_like(array) for key, array in grads.items()}
    for n in range(len(x)):
        layer.seek(5, n)
        alone = layer.forward(x[n : n + 1], training=True)
        np.testing.assert_allclose(alone, y[n : n + 1], rtol=1e-13, atol=1e-13)
        back = layer.backward(dy[n : n + 1])
        np.testing.assert_allclose(back, dx[n : n + 1], rtol=1e-13, atol=1e-13)
        for key, array in layer.grads.items():
            sums[key] += array
    for key, array in grads.items():
        np.testing.assert_allclose(sums[key], array, rtol=1e-12, atol=1e-12)


def test_batch_normalization_says_that_it_mixes_samples():
    """Were it cut into shards, each would have a mean of its own."""
    assert {kind for kind in every_kind if kind.mixes_samples} == {BatchNormalization}


@every_layer
def test_without_training_nothing_is_random_and_nothing_moves(case):
    layer = case.layer()
    x, other = case.x(), case.x(values="negative")
    state = {key: array.tobytes() for key, array in layer.state.items()}
    y = layer.forward(x).copy()
    layer.forward(other)
    same(layer.forward(x), y)
    assert {key: array.tobytes() for key, array in layer.state.items()} == state
    same(layer(x, training=False), y)


@layers_with(lambda case: not issubclass(case.kind, RandomLayer) or "seed" in case.kwargs)
def test_two_layers_of_equal_weights_and_seed_do_the_same(case):
    one, other = case.layer(), case.layer()
    for _ in range(2):
        y = one.forward(case.x(), training=True)
        same(y, other.forward(case.x(), training=True))
        same(one.backward(case.dy(y)), other.backward(case.dy(y)))


@every_layer
def test_backward_needs_a_forward(case):
    with pytest.raises(RuntimeError, match=rf"{case.kind.__name__} '.*': backward needs .*forward"):
        case.kind(**case.kwargs).backward(np.zeros(case.shape))
    built = case.layer()
    with pytest.raises(RuntimeError, match=r"Call forward\(x\) first"):
        built.backward(np.zeros(case.shape))
    y = built.forward(case.x())
    built.forget()
    with pytest.raises(RuntimeError, match=r"Call forward\(x\) first"):
        built.backward(case.dy(y))


@every_layer
def test_dy_has_to_have_the_shape_of_y(case):
    layer = case.layer()
    y = layer.forward(case.x())
    dy = case.dy(y)
    layer.backward(dy)
    grads = {key: array.copy() for key, array in layer.grads.items()}
    for wrong in (y[..., None], y[:-1], y.reshape(-1, *y.shape)[:, :-1], y.sum()):
        with pytest.raises(ValueError, match=r"expected dy of shape \(.*received \(") as caught:
            layer.backward(np.zeros(np.shape(wrong)))
        assert str(y.shape) in str(caught.value)
        assert f"received {np.shape(wrong)}" in str(caught.value)
        assert layer.who in str(caught.value)
    for wrong in (dy.astype(complex), dy.astype(object), dy.astype(str)):
        with pytest.raises(TypeError, match="expected dy to be an array of real numbers"):
            layer.backward(wrong)
    for key, array in layer.grads.items():
        same(array, grads[key])


@every_layer
def test_a_refused_input_leaves_the_last_pass_as_it_was(case):
    layer = case.layer()
    y = layer.forward(case.x())
    dy = case.dy(y)
    dx = layer.backward(dy).copy()
    empty = np.zeros((0, *case.shape[1:]))
    for wrong, error in ((empty, ValueError), (np.full(case.shape, "a"), TypeError)):
        with pytest.raises(error, match=case.kind.__name__):
            layer.forward(wrong)
    same(layer.backward(dy), dx)


@every_layer
def test_a_refused_input_does_not_build(case):
    layer = case.kind(**case.kwargs)
    for wrong in (np.zeros((0, *case.shape[1:])), np.full(case.shape, "a"), 3.0):
        with pytest.raises((TypeError, ValueError), match="expected"):
            layer.forward(wrong)
    assert layer.awaits_build
    assert not layer.params
    assert layer.dtype is None


@every_layer
def test_what_is_no_array_of_numbers_is_refused(case):
    shape = case.shape
    empty = np.zeros((0, *shape[1:]))
    with pytest.raises(ValueError, match=re.escape(f"empty axis, received shape {empty.shape}")):
        case.layer().forward(empty)
    for wrong in (np.zeros(shape, complex), np.zeros(shape, object), np.full(shape, "a")):
        with pytest.raises(TypeError, match=rf"real numbers, received dtype {wrong.dtype}"):
            case.layer().forward(wrong)
    with pytest.raises(TypeError, match="ragged"):
        case.layer().forward([[1, 2], [3]])
    with pytest.raises(ValueError, match="a number"):
        case.layer().forward(3.0)


@every_layer
def test_arrays_of_any_make_are_taken(case):
    x = case.x("float32").astype("float64")  # so that every form holds exactly these numbers
    layer = case.layer()
    y = layer.forward(x).copy()
    dy = case.dy(y)
    dx = layer.backward(dy).copy()
    for form, make in FORMS.items():
        same(layer.forward(make(x)), y, form)
        same(layer.backward(make(dy)), dx, form)


@every_layer
def test_numbers_of_other_types_become_the_layers_floats(case):
    layer = case.layer()
    x = case.rng(9).integers(0, 2, case.shape)
    y = layer.forward(x.astype("float64")).copy()
    for kind in ("bool", "uint8", "int16", "int64", "float16", "longdouble"):
        same(layer.forward(x.astype(kind)), y, kind)


# -- replicas -------------------------------------------------------------------------------------


@every_layer
def test_a_replica_shares_the_parameters_and_nothing_that_a_pass_changes(case):
    layer = case.layer()
    y = layer.forward(case.x())
    dy = case.dy(y)
    dx = layer.backward(dy).copy()
    twin = layer.replica()
    assert type(twin) is type(layer)
    assert twin.name == layer.name
    for mine, its in ((layer.params, twin.params), (layer.state, twin.state)):
        assert mine.keys() == its.keys()
        for key, array in mine.items():
            assert its[key] is array
    with pytest.raises(RuntimeError, match="first"):
        twin.backward(dy)
    grads = {key: array.copy() for key, array in layer.grads.items()}
    for key, array in grads.items():  # as the engine does: arrays of its own
        twin.grads[key] = np.full_like(array, np.nan)
    twin.forward(case.x(values="negative"))
    twin.backward(2 * dy)
    for key, array in layer.grads.items():
        same(array, grads[key])
    same(layer.backward(dy), dx)
    if "W" in layer.params:  # what the one learns, the other knows
        layer.params["W"][...] = 0
        assert not twin.params["W"].any()


@every_layer
@either_mode
def test_a_replica_does_what_its_layer_does(case, training):
    layer = case.layer()
    twin = layer.replica()
    results = []
    for one in (layer, twin):
        one.seek(3, 0)
        y = one.forward(case.x(), training)
        results.append((y, one.backward(case.dy(y)), *(g.copy() for g in one.grads.values())))
    for mine, its in zip(*results, strict=True):
        same(mine, its)


# -- a layer in a model ---------------------------------------------------------------------------


def in_a_model(case, dtype="float64"):
    """The layer of the table between two others that have parameters."""
    sample = case.shape[1:] or (1,)
    model = Sequential([Input(sample, dtype=dtype), BatchNormalization()])
    if case.kind is not InputLayer:  # of which a model takes one, at its beginning
        model.add(case.kind(**case.kwargs))
    model.add(Flatten())
    model.add(Dense(2))
    model.compile("adam", "mse")
    return model


def batch(case, n=9):
    rng = case.rng(8)
    return rng.standard_normal((n, *(case.shape[1:] or (1,)))), rng.standard_normal((n, 2))


def assert_one_memory(model):
    """The vectors are the layers' arrays: in order, without a gap, and seen from both sides."""
    for vector, table in ((model.flat_params, "params"), (model.flat_grads, "grads")):
        assert vector.flags.c_contiguous
        start = 0
        for layer in model.layers:
            for array in getattr(layer, table).values():
                place = vector[start : start + array.size]
                assert array.__array_interface__["data"] == place.__array_interface__["data"]
                assert array.flags.c_contiguous
                same(array.ravel(), place)
                start += array.size
        assert start == vector.size
    assert model.flat_params.dtype == model.flat_grads.dtype == model.dtype


AFTERWARDS = {
    "building": lambda model, x, y: None,
    "fit": lambda model, x, y: model.fit(x, y, batch_size=4, verbose=0),
    "train_on_batch": lambda model, x, y: model.train_on_batch(x, y),
    "evaluate": lambda model, x, y: model.evaluate(x, y, verbose=0),
    "predict": lambda model, x, y: model.predict(x, verbose=0),
    "forward and backward": lambda model, x, y: model.backward(model.forward(x, training=False)),
    "set_weights": lambda model, x, y: model.set_weights(model.get_weights()),
    "compile": lambda model, x, y: model.compile("sgd", "mse"),
    "building again": lambda model, x, y: model.build((None, *x.shape[1:])),
    "add": lambda model, x, y: model.add(Dense(3)),
    "pop": lambda model, x, y: model.pop(),
    "pop and add": lambda model, x, y: [model.pop(), model.add(Dense(3))],
    "deepcopy": lambda model, x, y: copy.deepcopy(model),
    "pickle": lambda model, x, y: pickle.loads(pickle.dumps(model)),
}
LEARN = ("fit", "train_on_batch")  # of these, the ones that change the weights


@some_and_all(1, 6)
@every_layer
def test_vector_and_views_are_the_same_memory_afterwards(case, seeds):
    # so that the sixth of the quick run is another one for each layer
    first = next(k for k, one in enumerate(CASES.values()) if one is case)
    for k, (what, act) in enumerate(AFTERWARDS.items()):
        if (k + first) % 6 in seeds:
            with naming(what):
                check_memory_after(act, case, fitted=what != "building", learns=what in LEARN)


@contextmanager
def naming(what):
    """Says in an error which of several cases failed."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"after {what}: {error}") from error


def check_memory_after(act, case, fitted, learns):
    model = in_a_model(case)
    x, y = batch(case)
    if fitted:
        model.fit(x, y, batch_size=4, verbose=0)
    below = model.layers[:-1]
    weights = [array for layer in below for array in layer.get_weights()]
    result = act(model, x, y)
    after = result if isinstance(result, Sequential) else model
    assert_one_memory(after)
    if not learns:
        below = after.layers[: len(below)]
        now = [array for layer in below for array in layer.get_weights()]
        for one, other in zip(weights, now, strict=True):
            same(one, other)
    if after is not model:
        assert_one_memory(model)
        assert not np.shares_memory(model.flat_params, after.flat_params)
        before = model.flat_params.copy()
        after.flat_params[...] = 0
        same(model.flat_params, before)


@every_layer
def test_a_popped_layer_keeps_its_weights_and_leaves_the_vector(case):
    model = in_a_model(case)
    model.pop(), model.pop()  # Dense and Flatten
    layer = model.layers[-1]
    weights = layer.get_weights()
    assert model.pop() is layer
    for before, array in zip(weights, layer.get_weights(), strict=True):
        same(before, array)
    for array in (*layer.params.values(), *layer.grads.values()):
        assert not np.shares_memory(array, model.flat_params)
        assert not np.shares_memory(array, model.flat_grads)


COMPILED_ANYWAY = (ReLU, Tanh, Sigmoid, GELU)  # the curves that many tests need


def in_either_type():
    """Each case in both types. Most curves are compiled for this test, in float32: CI has them."""
    first = first_of_each(CASES).values()
    for dtype in ("float32", "float64"):
        for name, case in CASES.items():
            compiled = dtype == "float32" and case.kind in CURVES.keys() - {*COMPILED_ANYWAY}
            marks = [pytest.mark.in_ci] if compiled or name not in first else []
            yield pytest.param(case, dtype, marks=marks, id=f"{dtype}-{name}")


@pytest.mark.parametrize(("case", "dtype"), list(in_either_type()))
def test_a_model_computes_in_one_float_type(case, dtype):
    model = in_a_model(case, dtype)
    x, y = batch(case)
    history = model.fit(x, y, epochs=2, batch_size=4, verbose=0).history
    assert all(np.isfinite(history["loss"]))
    assert model.dtype == model.flat_grads.dtype == model.predict(x, verbose=0).dtype == dtype
    for layer in model.layers:
        for array in (*layer.params.values(), *layer.grads.values(), *layer.state.values()):
            assert array.dtype == dtype
    for vector in model.optimizer.state.values():
        assert vector.dtype == dtype
