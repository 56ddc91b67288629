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
        if ours != theirs["config"]["name"]:  # which says all
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
