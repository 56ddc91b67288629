"""Models in files: what is loaded is what was saved, and goes on training bit for bit."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from cases import VALUES, rng_of
from cases.layers import LAYERS
from cases.losses import LOSSES
from cases.optimizers import OPTIMIZERS, OPTIONS

from minicnn import Input, Sequential, models, saving
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    InputLayer,
    Layer,
    LeakyReLU,
    Normalization,
    RandomFlip,
    Tanh,
)
from minicnn.losses import SparseCategoricalCrossentropy
from minicnn.optimizers import SGD, Adam
from minicnn.optimizers.schedules import CosineDecay, OneCycle
from minicnn.saving import SavedFileError, config

RNG = np.random.default_rng(0)
X = RNG.random((40, 6, 6, 2))
Y = RNG.integers(0, 3, 40)


def network(dtype=None, optimizer="adam", **compiled):
    model = Sequential(
        [
            Input((6, 6, 2), dtype=dtype),
            RandomFlip(),
            Conv2D(4, 3, use_bias=False),
            BatchNormalization(),
            Tanh(),
            Dropout(0.3),
            Sequential(
                [Flatten(), Dense(5, activation=LeakyReLU(0.25), dtype=dtype)], name="inner"
            ),
            GaussianNoise(0.1),
            Dense(3, activation="softmax"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], **compiled)
    return model


def steps(model, count):
    return [model.train_on_batch(X[8 * k : 8 * k + 8], Y[8 * k : 8 * k + 8]) for k in range(count)]


def expect_same(model, other):
    for a, b in zip(model.weights, other.weights, strict=True):
        assert (a.path, a.trainable) == (b.path, b.trainable)
        assert a.value.dtype == b.value.dtype
        assert a.value.tobytes() == b.value.tobytes(), a.path
    assert model.optimizer.state.keys() == other.optimizer.state.keys()
    for name, vector in model.optimizer.state.items():
        assert vector.tobytes() == other.optimizer.state[name].tobytes(), name
    for name in ("iterations", "waiting", "learning_rate"):
        assert getattr(model.optimizer, name) == getattr(other.optimizer, name)
    assert model.steps_taken == other.steps_taken


def round_trip(model, folder, **kwargs):
    model.save(folder / "model.keras")
    return models.load_model(folder / "model.keras", **kwargs)


# -- bit for bit ----------------------------------------------------------------------------------

OPTIMIZER_CASES = [
    pytest.param(kind, kwargs, id=f"{kind.__name__} {name}", marks=marks)
    for kind, case in OPTIMIZERS.items()
    for examples, marks in (
        (case.examples, ()),
        (OPTIONS, () if kind is Adam else pytest.mark.in_ci),  # all optimizers have them
    )
    for name, kwargs in examples.items()
]


@pytest.mark.parametrize(("kind", "kwargs"), OPTIMIZER_CASES)
def test_three_steps_saved_and_three_more_are_six_steps(kind, kwargs, tmp_path):
    model = network(optimizer=kind(**kwargs))
    steps(model, 3)
    other = round_trip(model, tmp_path)
    assert other.optimizer.get_config() == model.optimizer.get_config()
    assert steps(other, 3) == steps(model, 3)
    expect_same(model, other)


@pytest.mark.parametrize("jit_compile", ["auto", False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_fit_goes_on_bit_for_bit(dtype, jit_compile, tmp_path):
    rate = CosineDecay(0.01, decay_steps=30)
    optimizer = Adam(rate, use_ema=True, gradient_accumulation_steps=2)
    model = network(dtype, optimizer, jit_compile=jit_compile)
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0)  # an odd number of steps: one gradient waits
    assert model.optimizer.waiting == 1
    other = round_trip(model, tmp_path)
    assert (other.dtype, other.jit_compile) == (np.dtype(dtype), jit_compile)
    histories = [m.fit(X, Y, batch_size=8, epochs=2, verbose=0).history for m in (model, other)]
    assert histories[0] == histories[1]
    expect_same(model, other)
    assert model.predict(X, verbose=0).tobytes() == other.predict(X, verbose=0).tobytes()


def test_frozen_layers_keep_what_the_optimizer_knew_of_them(tmp_path):
    model = network()
    steps(model, 2)
    model.layers[-1].trainable = False
    model.compile(model.optimizer, model.loss)
    steps(model, 1)
    other = round_trip(model, tmp_path)
    expect_same(model, other)
    for one in (model, other):
        one.layers[-1].trainable = True
        one.compile(one.optimizer, one.loss)
    assert steps(model, 2) == steps(other, 2)
    expect_same(model, other)


def test_a_layer_that_was_frozen_after_compile_still_learns(tmp_path):
    model = network()
    steps(model, 1)
    model.layers[-1].trainable = False  # counts from the next compile on
    other = round_trip(model, tmp_path)
    assert steps(model, 2) == steps(other, 2)
    expect_same(model, other)


def test_weights_that_do_not_decay_stay_so(tmp_path):
    optimizer = SGD(0.1, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma|beta"])
    model = network(optimizer=optimizer)
    steps(model, 2)
    other = round_trip(model, tmp_path)
    assert steps(model, 2) == steps(other, 2)
    expect_same(model, other)


def test_compiled_and_not_yet_trained(tmp_path):
    model = network()
    other = round_trip(model, tmp_path)
    assert other.optimizer.iterations == 0
    assert steps(model, 3) == steps(other, 3)
    expect_same(model, other)


def test_a_learning_rate_that_was_set_is_kept_exactly(tmp_path):
    model = network(optimizer=SGD(0.1))
    model.optimizer.learning_rate = 1 / 3
    assert round_trip(model, tmp_path).optimizer.learning_rate == 1 / 3


# -- the tables -----------------------------------------------------------------------------------

LAYER_CASES = [
    pytest.param(kind, example, id=f"{kind.__name__} {name}")
    for kind, case in LAYERS.items()
    if kind is not InputLayer
    for name, example in case.examples.items()
]


@pytest.mark.parametrize(("kind", "example"), LAYER_CASES)
def test_every_layer(kind, example, tmp_path):
    model = Sequential([Input(example.shape[1:]), kind(**example.kwargs)])
    rng = rng_of(kind.__name__)
    model.set_weights([0.5 + rng.random(w.shape) for w in model.get_weights()])
    other = round_trip(model, tmp_path)
    (layer,) = other.layers
    assert type(layer) is kind
    assert layer.get_config() == model.layers[0].get_config()
    x = VALUES[example.values](rng, example.shape)
    for training in (False, True):  # by the layers, as predict would compile each of them
        ours, theirs = (m.forward(x, training=training).tobytes() for m in (model, other))
        assert ours == theirs


@pytest.mark.parametrize("kind", LOSSES)
def test_every_loss(kind, tmp_path):
    for kwargs in LOSSES[kind].examples.values():
        model = Sequential([Input((4,)), Dense(3)])
        model.compile("sgd", kind(**kwargs), loss_weights=0.5)
        other = round_trip(model, tmp_path)
        assert type(other.loss) is kind
        assert other.loss.get_config() == model.loss.get_config()
        assert other.loss_weight == 0.5


def test_a_schedule_that_keras_does_not_have(tmp_path):
    model = network(optimizer=SGD(OneCycle(0.1, total_steps=9)))
    steps(model, 2)
    other = round_trip(model, tmp_path)
    assert steps(model, 2) == steps(other, 2)


def test_metrics_as_they_were_given(tmp_path):
    model = Sequential([Input((4,)), Dense(3)])
    loss = SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy", saving_metric])
    other = round_trip(model, tmp_path, custom_objects={"saving_metric": saving_metric})
    assert other.metrics_names == model.metrics_names == ["loss", "accuracy", "saving_metric"]
    with pytest.raises(SavedFileError, match="saving_metric.*custom_objects"):
        models.load_model(tmp_path / "model.keras")
    assert not models.load_model(tmp_path / "model.keras", compile=False).compiled


def saving_metric(y_true, y_pred):
    return np.abs(y_pred).max(axis=-1)


# -- weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["w.weights.h5", "w.npz", "w.keras"])
def test_weights_alone(name, tmp_path):
    model = network()
    steps(model, 2)
    (model.save if name.endswith("keras") else model.save_weights)(tmp_path / name)
    other = models.clone_model(model)
    other.load_weights(tmp_path / name)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()


def test_npz_holds_weights_by_their_paths(tmp_path):
    model = network()
    model.save_weights(tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as file:
        assert set(file.files) == {weight.path for weight in model.weights}
        for weight in model.weights:
            np.testing.assert_array_equal(file[weight.path], weight.value)


def test_weights_set_the_optimizer_back_as_in_keras(tmp_path):
    model = network()
    steps(model, 2)
    model.save_weights(tmp_path / "w.weights.h5")
    before = model.optimizer.state["m"].copy()
    steps(model, 3)
    model.load_weights(tmp_path / "w.weights.h5")
    assert model.optimizer.iterations == 2
    np.testing.assert_array_equal(model.optimizer.state["m"], before)


@pytest.mark.parametrize("ending", ["weights.h5", "npz"])
def test_weights_that_do_not_fit_change_nothing(ending, tmp_path):
    narrow = Sequential([Input((4,)), Dense(3, name="a"), Dense(2, name="b")])
    wide = Sequential([Input((4,)), Dense(3, name="a"), Dense(5, name="b")])
    path = tmp_path / f"w.{ending}"
    narrow.save_weights(path)
    before = wide.get_weights()
    with pytest.raises(SavedFileError, match="do not fit together.*b"):
        wide.load_weights(path)
    for a, b in zip(before, wide.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.warns(UserWarning, match="left alone.*b"):
        wide.load_weights(path, skip_mismatch=True)
    np.testing.assert_array_equal(
        wide.layers[0].get_weights()[0], narrow.layers[0].get_weights()[0]
    )
    np.testing.assert_array_equal(wide.layers[1].get_weights()[0], before[2])


# -- settings -------------------------------------------------------------------------------------


def test_json_and_clones():
    model = network()
    for other in (
        models.model_from_json(model.to_json()),
        models.clone_model(model),
        Sequential.from_config(model.get_config()),
    ):
        assert other.get_config() == model.get_config()
        assert [w.shape for w in other.get_weights()] == [w.shape for w in model.get_weights()]
        assert any((a != b).any() for a, b in zip(other.get_weights(), model.get_weights()))
    wider = models.clone_model(
        model,
        clone_function=lambda layer: type(layer).from_config(
            {**layer.get_config(), **({"filters": 8} if isinstance(layer, Conv2D) else {})}
        ),
    )
    assert wider.layers[1].filters == 8


def test_json_in_the_form_that_is_asked_for():
    model = network()
    text = model.to_json(indent=2, sort_keys=True)
    assert text.startswith('{\n  "build_config"')
    assert json.loads(text) == json.loads(model.to_json())
    assert models.model_from_json(text).get_config() == model.get_config()
    with pytest.raises(TypeError, match="ident"):
        model.to_json(ident=2)


def test_models_that_are_not_built(tmp_path):
    model = Sequential([Dense(3), Dropout(0.1)])
    with pytest.warns(UserWarning, match="not built"):
        other = round_trip(model, tmp_path)
    assert not other.built
    assert other.get_config() == model.get_config()
    declared = Sequential([Dense(3, input_shape=(4,))])
    assert round_trip(declared, tmp_path).get_config() == declared.get_config()


def test_as_many_layers_as_can_be_saved_can_be_loaded(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "MOST_LAYERS", 4)  # instead of 1000
    inside = Sequential([Flatten(), Dense(3)], name="inside")
    for layers in ([Dense(2), inside], [Flatten(), Dense(3), Dense(3), Dense(2)]):
        model = Sequential([Input((4,)), *layers])
        assert round_trip(model, tmp_path).get_config() == model.get_config()
        model.add(Dense(2))
        with pytest.raises(ValueError, match="at most 4 layers, received 5"):
            model.save(tmp_path / "model.keras")


def test_an_adapted_normalization(tmp_path):
    layer = Normalization()
    layer.adapt(X)
    model = Sequential([Input((6, 6, 2)), layer])
    other = round_trip(model, tmp_path)
    np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))


class Doubled(Layer):
    def forward(self, x, training=False):
        return 2 * self._input(x)

    def backward(self, dy):
        return 2 * dy


@saving.register_keras_serializable(package="tests")
class Tripled(Layer):
    def forward(self, x, training=False):
        return 3 * self._input(x)

    def backward(self, dy):
        return 3 * dy


def test_layers_of_a_users_own(tmp_path):
    model = Sequential([Input((4,)), Doubled()])
    model.save(tmp_path / "model.keras")
    with pytest.raises(SavedFileError, match="Doubled.*custom_objects.*register_keras"):
        models.load_model(tmp_path / "model.keras")
    other = models.load_model(tmp_path / "model.keras", custom_objects={"Doubled": Doubled})
    assert type(other.layers[0]) is Doubled
    with saving.custom_object_scope({"Doubled": Doubled}):
        assert type(models.load_model(tmp_path / "model.keras").layers[0]) is Doubled
    registered = round_trip(Sequential([Input((4,)), Tripled()]), tmp_path)
    assert type(registered.layers[0]) is Tripled
    assert saving.get_registered_name(Tripled) == "tests>Tripled"


def test_a_users_class_does_not_pass_for_one_of_the_package(tmp_path):
    model = Sequential([Input((4,)), Dense(2)])
    model.save(tmp_path / "model.keras")
    description = json.loads(zipfile.ZipFile(tmp_path / "model.keras").read("config.json"))
    description["config"]["layers"][1]["module"] = "somewhere"
    with pytest.raises(SavedFileError, match="'Dense' of 'somewhere' is not known"):
        models.model_from_json(json.dumps(description))


# -- paths ----------------------------------------------------------------------------------------


def test_paths_and_arguments_that_do_not_fit(tmp_path):
    model = network()
    with pytest.raises(ValueError, match="end in .keras"):
        model.save(tmp_path / "model.zip")
    with pytest.raises(TypeError, match="path such as"):
        model.save(3)
    with pytest.raises(ValueError, match="end in .weights.h5 or .npz"):
        model.save_weights(tmp_path / "model.h5")
    with pytest.raises(FileNotFoundError, match="no file"):
        models.load_model(tmp_path / "absent.keras")
    model.save(tmp_path / "absent.keras")
    with pytest.raises(ValueError, match="safe_mode can only be True"):
        models.load_model(tmp_path / "absent.keras", safe_mode=False)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(tmp_path / "absent.keras", overwrite=False)
    with pytest.raises(ValueError, match="needs a built model"):
        Sequential([Dense(3)]).save_weights(tmp_path / "w.npz")
    with pytest.raises(TypeError, match="learning_rate"):
        network(optimizer=SGD(lambda: 0.1)).save(tmp_path / "model.keras")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["absent.keras"]


@pytest.mark.parametrize("ending", [".h5", ".hdf5"])
def test_the_format_of_keras_2(ending, tmp_path):
    path = tmp_path / f"model{ending}"
    path.write_bytes(b"\x89HDF")
    model = network()
    for call in (models.load_model, model.save, model.save_weights, model.load_weights):
        with pytest.raises(ValueError, match=f"{ending} is Keras 2's format; Keras loads it"):
            call(path)


def test_arguments_of_keras_s_that_are_not_here(tmp_path):
    model = network()
    model.save_weights(tmp_path / "w.weights.h5", max_shard_size=None)
    model.load_weights(tmp_path / "w.weights.h5", by_name=False)
    with pytest.raises(ValueError, match="max_shard_size can only be None"):
        model.save_weights(tmp_path / "w.weights.h5", max_shard_size=1.0)
    with pytest.raises(ValueError, match="by_name can only be False"):
        model.load_weights(tmp_path / "w.weights.h5", by_name=True)
    with pytest.raises(TypeError, match="by_order"):
        model.load_weights(tmp_path / "w.weights.h5", by_order=True)


@pytest.mark.parametrize("name", ["a/b", "..", "\u00e4", "a.b c", "n" * 5000])
def test_strange_names_of_layers(name, tmp_path):
    model = Sequential([Input((4,)), Dense(2, name=name)], name=name)
    other = round_trip(model, tmp_path)
    assert (other.name, other.layers[0].name) == (name, name)
    for file in ("w.weights.h5", "w.npz"):
        model.save_weights(tmp_path / file)
        other.load_weights(tmp_path / file)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_names_that_no_file_can_hold(name, tmp_path):
    for model in (
        Sequential([Input((4,)), Dense(2, name=name)]),
        Sequential([Input((4,)), Dense(2)], name=name),
    ):
        with pytest.raises(ValueError, match=r"save: expected names .* received '.*Give another"):
            model.save(tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())


def test_a_file_holds_keras_s_members_and_one_more(tmp_path):
    network().save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = archive.infolist()
    names = ["metadata.json", "config.json", "model.weights.h5", "minicnn.json"]
    assert [member.filename for member in members] == names
    assert {member.compress_type for member in members} == {zipfile.ZIP_STORED}


def test_h5py_is_imported_when_a_file_is_written():
    code = "import sys, minicnn, minicnn.saving.files; sys.exit('h5py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
