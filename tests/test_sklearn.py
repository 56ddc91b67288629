"""SequentialClassifier: scikit-learn's own checks, searches, pipelines, images."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import joblib
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from minicnn import Sequential
from minicnn.callbacks import EarlyStopping
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D
from minicnn.optimizers import Adam
from minicnn.sklearn import SequentialClassifier


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
# not with warm_start=True, where a second fit goes on and so gives other predictions, as it should
@parametrize_with_checks([SequentialClassifier(), SequentialClassifier(optimizer="rmsprop")])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def hidden(units=16, rate=0.0):
    return [Dense(units, activation="relu"), Dropout(rate, seed=1)]


def small_images():
    return [Conv2D(4, 3, activation="relu"), MaxPooling2D()]


def whole(n_classes, units=8):
    return [Flatten(), Dense(units, activation="tanh"), Dense(n_classes, activation="softmax")]


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


def quick(model=hidden, **kwargs):
    kwargs = {"optimizer": Adam(0.02), "epochs": 25, "batch_size": 16, "random_state": 0} | kwargs
    return SequentialClassifier(model, **kwargs)


def test_labels_of_any_kind_and_their_probabilities(iris):
    X, y = iris
    classifier = quick()
    with pytest.raises(NotFittedError):
        classifier.predict(X)
    assert classifier.fit(X, y) is classifier
    assert classifier.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    p = classifier.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert (classifier.classes_[p.argmax(axis=1)] == classifier.predict(X)).all()
    assert classifier.score(X, y) > 0.9
    assert classifier.n_features_in_ == 4
    assert sorted(classifier.history_) == ["accuracy", "loss"]
    assert len(classifier.history_["loss"]) == 25


def test_a_random_state_makes_fits_equal(iris):
    one, two, other = (quick(random_state=seed).fit(*iris) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.predict_proba(iris[0]), two.predict_proba(iris[0]))
    assert (one.predict_proba(iris[0]) != other.predict_proba(iris[0])).any()
    again = clone(one).fit(*iris)
    np.testing.assert_array_equal(one.predict_proba(iris[0]), again.predict_proba(iris[0]))


@pytest.mark.parametrize("backend", ["loky", "threading", "sequential"])
@pytest.mark.in_ci
def test_a_search_with_any_backend(iris, backend):
    X, y = iris
    search = GridSearchCV(
        quick(epochs=8), {"model__units": [1, 16], "batch_size": [20]}, cv=3, n_jobs=2
    )
    with joblib.parallel_backend(backend):
        search.fit(X, y)
    assert search.best_params_ == {"batch_size": 20, "model__units": 16}
    assert search.best_estimator_.model_.layers[0].units == 16
    assert search.score(X, y) > 0.9


def test_in_a_pipeline_under_cross_validation():
    X, y = load_iris(return_X_y=True)
    scores = cross_val_score(make_pipeline(StandardScaler(), quick()), X, y, cv=3)
    assert scores.mean() > 0.9


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("model", [small_images, whole])
def test_images(digits, model, rows):
    X, y = digits
    images = X if rows else X.reshape(-1, 8, 8)
    classifier = quick(model, image_shape=(8, 8, 1), epochs=12).fit(images, y)
    assert classifier.model_.input_shape == (None, 8, 8, 1)
    assert classifier.model_.dtype == np.float32
    assert classifier.score(images, y) > 0.9
    np.testing.assert_array_equal(classifier.predict(X), classifier.predict(X.reshape(-1, 64)))


def test_layers_and_models_are_copied(iris):
    layers = [Input((4,)), Dense(8, activation="relu", name="first")]
    for model in (layers, Sequential(layers)):
        classifier = quick(model)
        before = model.get_weights() if isinstance(model, Sequential) else None
        first, second = (clone(classifier).fit(*iris) for _ in range(2))
        assert first.score(*iris) > 0.9
        assert first.model_.layers[0] is not second.model_.layers[0]
        assert first.model_.layers[0].name == "first"
        if before:
            for mine, old in zip(model.get_weights(), before):
                np.testing.assert_array_equal(mine, old)


def test_the_float_type_is_that_of_rows(iris):
    X, y = iris
    assert quick(epochs=1).fit(X, y).model_.dtype == np.float64
    assert quick(epochs=1).fit(X.astype("float32"), y).model_.dtype == np.float32
    assert quick(epochs=1, dtype="float32").fit(X, y).model_.dtype == np.float32
    nested = [Sequential([Dense(4, activation="relu")]), Dense(3)]
    assert quick(nested, epochs=1).fit(X, y).model_.dtype == np.float64


def test_weights_of_samples_and_classes(iris):
    X, y = iris
    of_one = (y == "virginica").astype(float)
    assert (quick().fit(X, y, sample_weight=of_one).predict(X) == "virginica").mean() > 0.6
    favoured = quick(class_weight={"setosa": 0.0, "versicolor": 0.0, "virginica": 1.0})
    assert (favoured.fit(X, y).predict(X) == "virginica").mean() > 0.6
    rare = np.r_[0:50, 50:55]  # 50 of one class, 5 of the other
    balanced = quick(class_weight="balanced", epochs=3).fit(X[rare], y[rare])
    assert (balanced.predict(X[50:100]) == "versicolor").mean() > 0.8


def test_warm_start_goes_on(iris):
    classifier = quick(epochs=2, warm_start=True).fit(*iris)
    model, before = classifier.model_, classifier.history_["loss"][-1]
    assert classifier.fit(*iris).model_ is model
    assert classifier.history_["loss"][-1] < before
    assert model.optimizer.iterations == 4 * 10  # of 150 samples in batches of 16
    with pytest.raises(ValueError, match="expected the classes of the last fit"):
        classifier.fit(iris[0][:100], iris[1][:100])


def test_fitted_classifiers_are_pickled(iris):
    classifier = quick(epochs=3).fit(*iris)
    twin = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(twin.predict_proba(iris[0]), classifier.predict_proba(iris[0]))


def test_callbacks_and_optimizers_are_copied(iris):
    stopping, adam = EarlyStopping("loss", patience=0, min_delta=10), Adam(0.01)
    for _ in range(2):
        classifier = quick(callbacks=[stopping], optimizer=adam).fit(*iris)
        assert len(classifier.history_["loss"]) == 2
    assert adam.iterations == 0


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"model": Dense(3)}, TypeError, "expected model to be a function, a list of layers or a"),
        ({"model": [Dense(3)], "model_kwargs": {"units": 3}}, ValueError, "beside model_kwargs"),
        ({"model": hidden, "model_kwargs": {"unit": 3}}, TypeError, "unit"),
        ({"model": lambda n_classes: [Dense(2)]}, ValueError, "expected model to give 3 outputs"),
        ({"image_shape": (2, 3, 1)}, ValueError, "expected X of 6 features"),
        ({"image_shape": "wide"}, TypeError, "image_shape"),
        ({"epochs": -1}, ValueError, "epochs"),
        ({"batch_size": "large"}, TypeError, "batch_size"),
        ({"optimizer": "adm"}, ValueError, "optimizer"),
        ({"class_weight": "fair"}, ValueError, "class_weight"),
    ],
)
def test_wrong_arguments_are_named(iris, kwargs, error, words):
    with pytest.raises(error, match=words):
        quick(**kwargs).fit(*iris)


def test_without_scikit_learn_the_error_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; import minicnn; import minicnn.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'minicnn[sklearn]'" in done.stderr
