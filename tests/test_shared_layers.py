"""Models that share layers, and models that serve as layers of others."""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

from minicnn import Sequential
from minicnn.callbacks import Callback
from minicnn.gradcheck import check_model
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Softmax,
)
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import Adam
from minicnn.saving import clone_model
from minicnn.utils import set_random_seed

pytestmark = pytest.mark.both_ways

rng = np.random.default_rng(5)
X, Y = rng.random((40, 8, 8, 1), np.float32), rng.integers(0, 3, 40)
LOSS = "sparse_categorical_crossentropy"


def classifier():
    return Sequential(
        [
            Input((8, 8, 1)),
            Conv2D(4, 3, activation="relu", name="conv"),
            MaxPooling2D(2, name="pool"),
            Flatten(name="flat"),
            Dense(5, activation="relu", name="hidden"),
            Dense(3, name="logits"),
        ]
    )


def trained(model, epochs=2, optimizer="sgd", **kwargs):
    from_logits = not isinstance(model.leaves[-1], Softmax)
    model.compile(optimizer, SparseCategoricalCrossentropy(from_logits=from_logits))
    model.fit(X, Y, epochs=epochs, batch_size=8, shuffle=False, verbose=0, **kwargs)
    return model


# -- layers in several models ---------------------------------------------------------------------


@pytest.mark.parametrize("where", ["metric", "constraint"])
def test_a_model_of_the_same_layers_may_be_asked_within_a_step(where):
    """It takes the layers' views for itself, while the step goes on with the vector."""
    x, y, results = rng.random((24, 4)), np.ones((24, 3)), []
    for asks in (False, True):
        set_random_seed(2)
        features = Sequential([Input((4,)), Dense(5)])

        def ask(features=features, asks=asks):
            if asks:
                features.predict(x, verbose=0)

        def metric(y_true, y_pred, ask=ask):
            ask()
            return np.abs(y_true - y_pred).mean(axis=-1)

        def constraint(w, ask=ask):
            ask()
            return w * w.dtype.type(0.9)

        last = Dense(3, kernel_constraint=constraint if where == "constraint" else None)
        model = Sequential([*features.layers, last])
        model.compile("sgd", "mse", metrics=[metric] if where == "metric" else None)
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        results.append([*model.get_weights(), features.predict(x, verbose=0)])
    for plain, asked in zip(*results):
        np.testing.assert_array_equal(asked, plain)


def test_all_layers_but_the_last_give_what_comes_before_it():
    model = trained(classifier())
    features = Sequential(model.layers[:-1])
    W, b = model.layers[-1].get_weights()
    np.testing.assert_allclose(
        features.predict(X, verbose=0) @ W + b, model.predict(X, verbose=0), atol=1e-6
    )
    assert features.output_shape == (None, 5)


def test_a_softmax_put_behind_a_trained_model():
    model = trained(classifier())
    logits = model.predict(X, verbose=0)
    probabilities = Sequential([*model.layers, Softmax()]).predict(X, verbose=0)
    np.testing.assert_allclose(
        probabilities, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), rtol=1e-5
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_one_model_is_seen_by_the_other(optimizer):
    model = trained(classifier())
    features = Sequential(model.layers[:-1])
    before = features.predict(X, verbose=0)
    trained(model, optimizer=optimizer)
    after = features.predict(X, verbose=0)
    assert np.abs(after - before).max() > 1e-3
    W, b = model.layers[-1].get_weights()
    np.testing.assert_allclose(after @ W + b, model.predict(X, verbose=0), atol=1e-6)
    for ours, theirs in zip(features.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(ours, theirs)


def test_training_by_turns_equals_training_one_model_with_the_same_layers():
    """Two models over all layers, each with plain SGD: whichever takes the step, it is the same."""
    set_random_seed(3)
    alone = trained(classifier(), epochs=0)
    turns = copy.deepcopy(alone)
    other = trained(Sequential(turns.layers), epochs=0)
    for step in range(6):
        x, y = X[5 * step :][:5], Y[5 * step :][:5]
        alone.train_on_batch(x, y)
        (turns, other)[step % 2].train_on_batch(x, y)
    for model in (turns, other):
        for ours, theirs in zip(model.get_weights(), alone.get_weights()):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(model.flat_params, alone.flat_params)


def test_each_models_vector_is_current_whichever_model_was_trained_last():
    model = trained(classifier())
    head = Sequential([Input((5,)), model.layers[-1]])
    head.compile("sgd", LOSS)
    head.layers[0].params["W"][...] += 1
    np.testing.assert_array_equal(head.flat_params, model.flat_params[-head.count_params() :])
    model.flat_params[-3:] = 7
    np.testing.assert_array_equal(head.get_weights()[1], [7, 7, 7])
    head.flat_params = np.zeros(head.count_params())
    np.testing.assert_array_equal(model.get_weights()[-1], [0, 0, 0])


def test_a_model_in_training_whose_layers_another_uses_in_a_callback():
    set_random_seed(4)
    plain = trained(classifier(), epochs=0)
    watched = copy.deepcopy(plain)
    features = Sequential(watched.layers[:-1])

    class Look(Callback):
        def on_train_batch_end(self, batch, logs=None):
            features.predict(X[:4], verbose=0)
            features.flat_params  # noqa: B018  which gathers the layers

    plain.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    watched.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, callbacks=[Look()])
    np.testing.assert_array_equal(watched.flat_params, plain.flat_params)


def test_frozen_features_under_a_new_head():
    base = trained(classifier())
    for layer in base.layers[:-1]:
        layer.trainable = False
    kept = [w.copy() for w in base.get_weights()]
    model = trained(Sequential([*base.layers[:-1], Dense(3, name="new")]), optimizer="adam")
    for ours, theirs in zip(model.get_weights()[:-2], kept):
        np.testing.assert_array_equal(ours, theirs)
    assert [w.path for w in model.trainable_weights] == ["new/kernel", "new/bias"]


def test_running_statistics_are_shared_too():
    layers = [Input((8, 8, 1)), Conv2D(2, 3), BatchNormalization(), Flatten()]
    model = Sequential([*layers, Dense(3)])
    features = Sequential(model.layers[:-1])
    features.predict(X, verbose=0)
    trained(model)
    np.testing.assert_array_equal(features.get_weights()[-1], model.layers[1].get_weights()[-1])
    assert model.layers[1].state["moving_mean"].any()


def test_a_layer_cannot_be_in_a_model_twice():
    model = classifier()
    with pytest.raises(ValueError, match="each layer once, received Dense 'logits'"):
        Sequential([Sequential(model.layers, name="inner"), model.layers[-1]])
    with pytest.raises(ValueError, match="unique names"):
        Sequential([model.layers[0], model.layers[0]])


def test_what_does_not_fit_is_refused_and_nothing_is_changed():
    model = trained(classifier())
    before = model.get_weights()
    with pytest.raises(ValueError, match="expected 256 input|expected 36"):
        Sequential([Input((16, 16, 1)), *model.layers])
    other = Sequential([Input((8, 8, 1), dtype="float64")])
    with pytest.raises(ValueError, match="one dtype"):
        other.add(model.layers[0])
    for ours, theirs in zip(model.get_weights(), before):
        np.testing.assert_array_equal(ours, theirs)
    model.predict(X, verbose=0)


def test_a_shared_layer_does_not_keep_the_other_model_alive():
    model = classifier()
    features = Sequential(model.layers[:-1])
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert features.predict(X, verbose=0).shape == (40, 5)


def test_a_popped_layer_leaves_the_model_that_shares_it_whole():
    model = trained(classifier())
    twin = Sequential(model.layers)
    expected = twin.predict(X, verbose=0)
    model.pop()
    np.testing.assert_array_equal(twin.predict(X, verbose=0), expected)
    trained(twin)
    assert model.output_shape == (None, 5)


def test_two_models_over_the_same_layers_are_not_trained_at_once():
    model = trained(classifier(), epochs=0)
    twin = trained(Sequential(model.layers), epochs=0)
    refused = []

    class Other(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            def train():
                try:
                    twin.fit(X, Y, verbose=0)
                except RuntimeError as error:
                    refused.append(str(error))

            thread = threading.Thread(target=train)
            thread.start()
            thread.join()

    model.fit(X, Y, verbose=0, callbacks=[Other()])
    assert len(refused) == 1
    assert "shares" in refused[0]
    assert "another thread" in refused[0]
    twin.fit(X, Y, verbose=0)


# -- models inside models -------------------------------------------------------------------------


def nested():
    features = Sequential(
        [Conv2D(4, 3, activation="relu", name="conv"), MaxPooling2D(2), Dropout(0.2, seed=1)],
        name="features",
    )
    return Sequential([Input((8, 8, 1)), features, Flatten(), Dense(3, name="logits")])


def test_a_nested_model_trains_as_its_layers_in_a_row():
    set_random_seed(6)
    inside = nested()
    flat = Sequential([Input((8, 8, 1)), *copy.deepcopy(inside).leaves])
    assert trained(inside).flat_params.tolist() == trained(flat).flat_params.tolist()
    np.testing.assert_array_equal(inside.predict(X, verbose=0), flat.predict(X, verbose=0))


def test_a_nested_model_is_fused_as_its_layers_in_a_row():
    assert "pool" in str(nested().plan()).lower()
    assert len(nested().plan().layers) == 5


def test_the_inner_model_is_used_by_itself():
    model = trained(nested())
    features = model.layers[0]
    assert features.name == "features"
    assert features is model.get_layer("features")
    assert features.predict(X, verbose=0).shape == (40, 3, 3, 4)
    y = model.layers[2].forward(model.layers[1].forward(features.predict(X, verbose=0)))
    np.testing.assert_allclose(y, model.predict(X, verbose=0), atol=1e-6)


def test_the_order_of_weights_and_their_paths():
    model = nested()
    assert [w.path for w in model.weights] == [
        "features/conv/kernel",
        "features/conv/bias",
        "logits/kernel",
        "logits/bias",
    ]
    assert [w.shape for w in model.get_weights()] == [(3, 3, 1, 4), (4,), (36, 3), (3,)]
    model.set_weights([np.ones_like(w) for w in model.get_weights()])
    assert (model.layers[0].flat_params == 1).all()


def test_a_frozen_inner_model():
    model = nested()
    model.layers[0].trainable = False
    before = model.layers[0].get_weights()
    trained(model)
    for ours, theirs in zip(model.layers[0].get_weights(), before):
        np.testing.assert_array_equal(ours, theirs)
    assert len(model.trainable_weights) == 2


def test_a_chain_of_models_three_deep_and_the_gradient_of_all():
    inner = Sequential([Dense(3, activation="tanh"), Dense(4)], name="inner")
    middle = Sequential([inner, ReLU()], name="middle")
    model = Sequential([Input((2,)), Rescaling(0.5), middle, Dense(2, activation="softmax")])
    assert [layer.name for layer in model.layers][1] == "middle"
    assert len(model.leaves) == 5
    assert check_model(model, rng.random((3, 2)), np.array([0, 1, 1]), loss=LOSS).ok


def in_float64():
    """A float64 model in which only one layer says so, and models of models that say nothing."""
    inner = Sequential([BatchNormalization(), Sequential([Dense(4, activation="relu"), ReLU()])])
    return Sequential([Dense(5, dtype="float64", input_shape=(3,)), inner, Dropout(0.2), Dense(2)])


def grown():
    model = Sequential([Dense(5, dtype="float64")])
    model.build((None, 3))
    model.add(Sequential([Dense(4), Sequential([BatchNormalization(), Dense(3)])]))
    model.add(Dense(2))
    return model


@pytest.mark.parametrize(
    "make",
    [
        in_float64,
        grown,
        lambda: Sequential([Input((3,), dtype="float64"), Sequential([Dense(4)]), Dense(2)]),
        lambda: Sequential(in_float64().layers),
        lambda: Sequential(Sequential([Input((3,), dtype="float64"), in_float64()]).layers),
        lambda: Sequential.from_config(in_float64().get_config()),
        lambda: clone_model(in_float64()),
        lambda: copy.deepcopy(in_float64()),
    ],
)
def test_models_inside_a_model_have_its_float_type(make):
    model = make()
    assert {w.dtype for w in model.get_weights()} == {np.dtype("float64")}
    assert {layer.dtype for layer in model.layers} == {np.dtype("float64")}
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X[:, :3, 0, 0], X[:, 0, :2, 0], epochs=1, verbose=0)
    for old, new in zip(before, model.get_weights()):
        assert (old != new).any()
    assert model.predict(X[:, :3, 0, 0], verbose=0).dtype == np.float64


def test_a_model_that_was_built_keeps_its_float_type():
    inner = Sequential([Dense(4, input_shape=(5,))])
    before = inner.get_weights()
    words = r"one dtype.*\['float32', 'float64'\]. Give all of them the same dtype"
    with pytest.raises(ValueError, match=words):
        Sequential([Input((3,)), Dense(5, dtype="float64"), inner])
    np.testing.assert_array_equal(inner.get_weights()[0], before[0], strict=True)


def test_a_model_as_the_first_layer_declares_the_input():
    base = trained(classifier())
    model = Sequential([base, Softmax()])
    assert model.built
    assert model.input_shape == (None, 8, 8, 1)
    np.testing.assert_allclose(model.predict(X, verbose=0).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("make", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_of_a_nested_model_is_whole_and_alone(make):
    model = trained(nested(), optimizer=Adam())
    twin = make(model)
    np.testing.assert_array_equal(twin.predict(X, verbose=0), model.predict(X, verbose=0))
    before = model.get_weights()
    twin.fit(X, Y, verbose=0)
    assert np.abs(twin.layers[0].get_weights()[0] - before[0]).max() > 0
    for ours, theirs in zip(model.get_weights(), before):
        np.testing.assert_array_equal(ours, theirs)


def test_the_summary_shows_the_inner_model_as_a_row_or_opened():
    model = nested()
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert "features (Sequential)" in lines[0]
    assert "conv (Conv2D)" not in lines[0]
    assert "(None, 3, 3, 4)" in lines[0]
    model.summary(print_fn=lines.append, expand_nested=True)
    assert "│    └ conv (Conv2D)" in lines[1]
    assert "Total params: 151" in lines[0]
    assert "Total params: 151" in lines[1]


def test_an_inner_model_that_has_changed_since_is_named():
    model = nested()
    model.layers[0].add(ReLU(name="more"))
    with pytest.raises(ValueError, match="keep the layers that it was built with"):
        model.predict(X, verbose=0)


def test_a_model_is_not_put_inside_itself():
    model = nested()
    with pytest.raises(ValueError, match="received itself"):
        model.add(model)
    with pytest.raises(ValueError, match="received itself"):
        model.layers[0].add(Sequential([model], name="around"))
    with pytest.raises(ValueError, match="a model with layers"):
        Sequential([Sequential()])


def test_a_build_that_fails_leaves_the_inner_model_unbuilt():
    inner = Sequential([Dense(3), Flatten(), MaxPooling2D(2)], name="inner")
    with pytest.raises(ValueError, match="expected input of shape"):
        Sequential([Input((4,)), inner])
    assert not inner.built
    assert not inner.leaves[0].built


def test_add_and_pop_of_models_on_a_built_model():
    model = Sequential([Input((4,)), Dense(3)])
    model.compile("adam", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    head = Sequential([Dense(5, activation="relu"), Dense(1)], name="head")
    model.add(head)
    assert model.output_shape == (None, 1)
    assert model.count_params() == 15 + 20 + 6
    model.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0)
    assert model.pop() is head
    assert model.output_shape == (None, 3)
    assert model.count_params() == 15
    model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    assert head.predict(np.ones((2, 3)), verbose=0).shape == (2, 1)
