"""Files that Keras has saved, in both directions as far as that goes without Keras.

`fixtures/make_keras_saved.py` made them, and has Keras load ours with `--check`.
"""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from cases.layers import LAYERS
from cases.losses import LOSSES
from cases.optimizers import OPTIMIZERS

from minicnn import layers, losses, models, optimizers, saving
from minicnn.layers import InputLayer
from minicnn.saving import archive, hdf5
from minicnn.saving.registry import ONLY_ACTIVATIONS

with zipfile.ZipFile(Path(__file__).parent / "fixtures" / "keras_saved.zip") as _saved:
    FILES = {name: _saved.read(name) for name in _saved.namelist()}
CASES = json.loads(FILES["index.json"])["cases"]


def of(kind):
    return pytest.mark.parametrize("name", [name for name in CASES if name.startswith(kind)])


def array(name):
    return np.load(io.BytesIO(FILES[f"{name}.npy"]))


@pytest.fixture
def loaded(name, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(FILES[f"{name}/model.keras"])
    return models.load_model(path)


def batch():
    rng = np.random.default_rng(12)
    return rng.standard_normal((16, 5, 5, 1)).astype("float32"), rng.integers(0, 3, 16)


@of("layers")
def test_layers_predict_what_keras_predicts(name, loaded):
    assert type(loaded.layers[0]) is getattr(layers, CASES[name])
    y = array(f"{name}/y")
    if CASES[name] == "RandomCrop":  # keras-differences.md
        return
    predicted = loaded.predict(array(f"{name}/x"), verbose=0)
    np.testing.assert_allclose(predicted, y, atol=1e-5 * max(1, np.abs(y).max()), rtol=0)


@of("optimizers")
def test_optimizers_go_on_as_in_keras(name, loaded):
    assert type(loaded.optimizer) is getattr(optimizers, CASES[name])
    several = loaded.optimizer.gradient_accumulation_steps or 1
    assert loaded.optimizer.iterations * several + loaded.optimizer.waiting == 3
    x, y = batch()
    for _ in range(10):
        loaded.train_on_batch(x, y)
    for n, weights in enumerate(loaded.get_weights()):
        np.testing.assert_allclose(weights, array(f"{name}/after/{n}"), atol=1e-4, rtol=0)


@of("losses")
def test_losses_are_keras_s(name, loaded):
    assert type(loaded.loss) is getattr(losses, CASES[name])
    value = loaded.evaluate(array(f"{name}/x"), array(f"{name}/y"), verbose=0)
    np.testing.assert_allclose(value, array(f"{name}/loss"), rtol=1e-5)


@pytest.mark.parametrize("name", [name for name in CASES if f"{name}/model.weights.h5" in FILES])
def test_bare_weights(name, loaded, tmp_path):
    path = tmp_path / "model.weights.h5"
    path.write_bytes(FILES[f"{name}/model.weights.h5"])
    other = models.clone_model(loaded)
    other.load_weights(path)
    for a, b in zip(loaded.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_class_that_keras_has_is_among_them():
    told = {name: set() for name in ("layers", "optimizers", "losses")}
    for name, kind in CASES.items():
        told[name.partition("/")[0]].add(kind)
    ours = {"layers": set(LAYERS) - ONLY_ACTIVATIONS - {InputLayer}}
    ours |= {"optimizers": set(OPTIMIZERS), "losses": set(LOSSES)}
    for kind, classes in ours.items():
        missing = {one.__name__ for one in classes} - told[kind]
        assert not missing, f"run tests/fixtures/make_keras_saved.py for {sorted(missing)}"


# -- ours beside theirs ---------------------------------------------------------------------------

KEYS_THAT_DIFFER = {"shared_object_id", "minicnn", "jit_compile", "learning_rate", "l1", "l2"}


def plain(value):
    """Without what is Keras's alone, or rounded to float32 there."""
    if isinstance(value, dict):
        kept = {key: plain(one) for key, one in value.items() if key not in KEYS_THAT_DIFFER}
        return kept["config"]["name"] if kept.get("class_name") == "DTypePolicy" else kept
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", CASES)
def test_our_file_has_the_entries_of_theirs(name, loaded, tmp_path):
    """Every entry of Keras's config is in ours, with its value, and every array at its place."""
    path = tmp_path / "ours.keras"
    loaded.save(path)
    ours, theirs = (
        archive.unpacked(path.read_bytes()),
        archive.unpacked(FILES[f"{name}/model.keras"]),
    )
    configs = [plain(json.loads(bytes(one["config.json"]))) for one in (ours, theirs)]
    differing = list(differences(*configs))
    assert not differing
    stored = [hdf5.read(one["model.weights.h5"]) for one in (ours, theirs)]
    assert {p: one.shape for p, one in stored[0].stored.items()} == {
        p: one.shape for p, one in stored[1].stored.items()
    }
    for path, one in stored[1].stored.items():
        assert stored[0].stored[path].dtype == one.dtype, path
        np.testing.assert_allclose(stored[0][path], stored[1][path], rtol=1e-6)


def differences(ours, theirs, place=""):
    """What Keras's entry has, and ours has not, or has otherwise."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key, value in theirs.items():
            if key in ours:
                yield from differences(ours[key], value, f"{place}/{key}")
            elif key != "build_config":  # of layers without weights, which need none
                yield f"{place}/{key} is missing"
    elif isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        for k, (a, b) in enumerate(zip(ours, theirs)):
            yield from differences(a, b, f"{place}/{k}")
    elif place.endswith("/loss") and isinstance(theirs, dict):
        # the name says all; Keras's Huber has "huber_loss" there
        if ours != theirs["config"]["name"].removesuffix("_loss"):
            yield f"{place}: {ours} instead of {theirs}"
    elif ours != theirs and ours != [theirs]:  # an axis
        yield f"{place}: {ours} instead of {theirs}"


def test_a_class_of_keras_s_that_is_not_here(tmp_path):
    name = next(name for name in CASES if name.startswith("layers"))
    config = archive.unpacked(FILES[f"{name}/model.keras"])["config.json"]
    description = json.loads(bytes(config))
    description["config"]["layers"][1]["class_name"] = "LSTM"
    with pytest.raises(saving.SavedFileError, match="received 'LSTM'. .*custom_objects"):
        models.model_from_json(json.dumps(description))


# -- what compile chose, as Keras writes it -------------------------------------------------------

HOW = {"run_eagerly": False, "steps_per_execution": 1, "jit_compile": False}


def function(name):
    """A function in Keras's form, which does not say whose it is."""
    return {"module": "builtins", "class_name": "function", "config": name,
            "registered_name": "function"}  # fmt: skip


def object_of(module, class_name, **config):
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def compiled_by_keras(tmp_path, **chosen):
    """The path of a file of Keras's with these entries of compile_config."""
    members = archive.unpacked(FILES["losses/CategoricalCrossentropy on probabilities/model.keras"])
    members = {key: bytes(value) for key, value in members.items()}
    description = json.loads(members["config.json"])
    given = {"loss": "categorical_crossentropy", "optimizer": "sgd", "loss_weights": None}
    given |= {"metrics": None, "weighted_metrics": None, **HOW}
    description["compile_config"] = {**given, **chosen}
    members["config.json"] = json.dumps(description).encode()
    path = tmp_path / "model.keras"
    path.write_bytes(archive.packed(members))
    return path


CROSSENTROPY = "categorical_crossentropy"
LOSS_FORMS = {
    "a name": CROSSENTROPY,
    "a class": "CategoricalCrossentropy",
    "a function": function(CROSSENTROPY),
    "a list": [CROSSENTROPY],
    "a list of a function": [function(CROSSENTROPY)],
    "a dict": {"dense": CROSSENTROPY},
    "an object": object_of(
        "keras.losses", "CategoricalCrossentropy", name="mine", reduction="sum_over_batch_size",
        dtype={"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"},
               "registered_name": None},
        from_logits=False, label_smoothing=0.0, axis=-1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", LOSS_FORMS)
def test_losses_in_all_forms(form, tmp_path):
    model = models.load_model(compiled_by_keras(tmp_path, loss=LOSS_FORMS[form]))
    assert type(model.loss) is losses.CategoricalCrossentropy


ACCURACY = object_of("keras.metrics", "CategoricalAccuracy", name="right", dtype="float32")
METRIC_FORMS = {
    "none": (None, []),
    "an empty list": ([], []),
    "names": (["accuracy", "mae"], ["accuracy", "mae"]),
    "a list for the output": ([["accuracy", "mse"]], ["accuracy", "mse"]),
    "a dict": ({"dense": "accuracy"}, ["accuracy"]),
    "a dict of a list": ({"dense": ["acc", "mae"]}, ["acc", "mae"]),
    "a class": (["CategoricalAccuracy"], ["categorical_accuracy"]),
    "a class that is a loss, too": (["MeanSquaredError"], ["mean_squared_error"]),
    "an object": ([ACCURACY], ["right"]),
    "a list of an object": ([[ACCURACY]], ["right"]),
    "a function": ([function("categorical_accuracy")], ["categorical_accuracy"]),
    "a list of functions": (
        [[function("mean_squared_error"), function("mean_absolute_error")]],
        ["mean_squared_error", "mean_absolute_error"],
    ),
}


@pytest.mark.parametrize("form", METRIC_FORMS)
def test_metrics_in_all_forms(form, tmp_path):
    given, names = METRIC_FORMS[form]
    model = models.load_model(compiled_by_keras(tmp_path, metrics=given))
    assert model.metrics_names == ["loss", *names]
    weighted = models.load_model(compiled_by_keras(tmp_path, metrics=[], weighted_metrics=given))
    assert weighted.metrics_names == ["loss", *names]
    assert weighted.unweighted_metrics == 0


@pytest.mark.parametrize(
    "how",
    [
        {"run_eagerly": True},
        {"steps_per_execution": 8},
        {"jit_compile": True},
        {"auto_scale_loss": False},
        {"weighted_metrics": []},
        {"loss_weights": [2.0]},
    ],
)
def test_how_keras_computed_does_not_matter(how, tmp_path):
    model = models.load_model(compiled_by_keras(tmp_path, **how))
    assert model.loss_weight == how.get("loss_weights", [1.0])[0]
    assert model.jit_compile == "auto"


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"loss": object_of("keras.losses", "CategoricalCrossentropy", reduction="x")}, "'x'"),
        ({"loss": function("my_loss")}, "'my_loss' is not known. Give it as custom_objects"),
        ({"loss": "my_loss"}, "received 'my_loss'"),
        ({"loss": {"a": "mse", "b": "mse"}}, "expected loss"),
        ({"loss": ["mse", "mse"]}, "expected loss"),
        ({"loss": {"class_name": "__lambda__", "config": {"value": []}}}, "never run"),
        ({"loss": 3}, "received 3"),
        ({"metrics": [function("my_metric")]}, "'my_metric' is not known"),
        ({"metrics": [3]}, "received 3"),
        ({"optimizer": object_of("keras.optimizers", "Ftrl", name="ftrl")}, "received 'Ftrl'"),
        ({"optimizer": None}, "optimizer"),
        ({"weighted_metrics": [3]}, "received 3"),
        ({"loss_weights": [1.0, 2.0]}, "loss_weights"),
        ({"another": 1}, "'another'"),
    ],
)
def test_what_cannot_be_compiled_here_says_how_to_load_the_rest(chosen, message, tmp_path):
    path = compiled_by_keras(tmp_path, **chosen)
    with pytest.raises(saving.SavedFileError, match=rf"{message}.*load_model\(..., compile=False"):
        models.load_model(path)
    model = models.load_model(path, compile=False)
    assert model.predict(np.zeros((2, 4)), verbose=0).shape == (2, 3)
    with pytest.raises(ValueError, match="compiled"):
        model.fit(np.zeros((2, 4)), np.eye(3)[:2], verbose=0)


def test_a_function_of_the_users_comes_before_keras_s_of_that_name(tmp_path):
    path = compiled_by_keras(tmp_path, metrics=[function("mean_squared_error")])
    mine = {"mean_squared_error": lambda y_true, y_pred: np.full(len(y_pred), 7.0)}
    model = models.load_model(path, custom_objects=mine)
    y = np.eye(3)[[0, 1]]
    assert model.evaluate(np.zeros((2, 4)), y, verbose=0)[1] == 7
