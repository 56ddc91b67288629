"""`minicnn.explain`: its numbers are those of the layers, and the model stays untouched."""

import base64
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases.layers import LAYERS
from counts import and_slow
from explained import Page, by_global_average, every_view, in_networks, samples, walked

import minicnn
from minicnn import Sequential, losses
from minicnn.callbacks import LambdaCallback
from minicnn.datasets import synthetic_fashion
from minicnn.explain import __main__ as command
from minicnn.explain.attention import grad_cam
from minicnn.explain.lessons import lesson, source
from minicnn.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    Dropout,
    Flatten,
    InputLayer,
    Layer,
    MaxPooling2D,
    ReLU,
    Softmax,
)
from minicnn.utils import set_random_seed, to_categorical

SPARSE = "sparse_categorical_crossentropy"


def page_of(tmp_path, model, *given, **options):
    return Page(minicnn.explain(model, *given, path=tmp_path / "page.html", **options))


def close(one, other):
    np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


# -- the numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("make", [every_view, by_global_average])
def test_every_layer_s_arrays_are_the_layer_s(tmp_path, make, training):
    model = make()
    model.steps_taken = 3
    x, y = samples(model)
    page = page_of(tmp_path, model, x, y, image=2, training=training)
    leaves = iter(walked(model, x, y, training))
    k = 0
    while k < len(page.stages):
        leaf = next(leaves)
        split = page.stages[k]["letters"][1] == "z"
        last = k + 1 if split else k
        end = last == len(page.stages) - 1
        close(page.stage(k, "x"), leaf["x"][2])
        close(page.stage(last, "y").ravel(), leaf["y"][2].ravel())
        close(page.stage(k, "dx"), leaf["dx"][2])
        if end:
            assert page.stage(last, "dy") is None
            close(page.stage(last, "dx"), leaf["dz"][2])
        else:
            close(page.stage(last, "dy").ravel(), leaf["dy"][2].ravel())
        if split:
            np.testing.assert_array_equal(page.stage(k, "y"), page.stage(last, "x"))
            np.testing.assert_array_equal(page.stage(k, "dy"), page.stage(last, "dx"))
        for key, array in leaf["layer"].params.items():
            np.testing.assert_array_equal(page.stage(k, key), array)
        k = last + 1
    assert next(leaves, None) is None


def test_the_views_are_those_of_the_layers(tmp_path):
    model = every_view()
    page = page_of(tmp_path, model, *samples(model), training=True)
    assert [stage["view"] for stage in page.stages] == [
        *("elementwise", "convolution", "relu", "normalization", "max_pooling"),
        *("convolution", "elementwise", "average_pooling", "convolution", "elementwise"),
        *("generic", "dropout", "flatten", "dense", "relu", "dense", "softmax"),
    ]
    assert page.stages[1]["name"] == "base / conv"
    assert page.stages[1]["letters"] == ["x", "z"]
    assert page.stages[2]["letters"] == ["z", "y"]


def test_batch_normalization_s_figures_are_those_of_the_pass(tmp_path):
    model = every_view()
    x, y = samples(model)
    leaf = walked(model, x, y, True)[2]
    page = page_of(tmp_path, model, x, y, training=True)
    k = page.find("normalization")
    close(page.stage(k, "mean"), leaf["x"].mean((0, 1, 2)))
    close(page.stage(k, "var"), leaf["x"].var((0, 1, 2)))
    close(page.stage(k, "dgamma"), leaf["grads"]["gamma"])
    close(page.stage(k, "dbeta"), leaf["grads"]["beta"])
    assert page.stages[k]["settings"]["of_batch"] is True
    running = model.leaves[2].state
    running["moving_mean"][:] = np.arange(8)
    page = page_of(tmp_path, model, x, y)
    close(page.stage(k, "mean"), np.arange(8))
    assert page.stages[k]["settings"]["of_batch"] is False


def test_the_mask_is_that_of_the_next_step_of_training(tmp_path):
    model = Sequential([Dropout(0.5, seed=4, input_shape=(40,)), Dense(2, activation="softmax")])
    model.compile("sgd", SPARSE)
    x, y = np.ones((3, 40)), np.array([0, 1, 0])
    model.fit(x, y, batch_size=3, epochs=2, verbose=0)
    page = page_of(tmp_path, model, x, y, training=True, image=1)
    model.leaves[0].seek(model.steps_taken, 0)
    np.testing.assert_array_equal(page.stage(0, "mask"), model.leaves[0].forward(x, True)[1])
    assert 0 < np.count_nonzero(page.stage(0, "mask")) < 40
    page = page_of(tmp_path, model, x, y)
    assert page.stage(0, "mask") is None
    assert "inference" in page.stages[0]["notes"][0]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("one_hot", [False, True])
def test_targets_are_labels_or_one_hot(tmp_path, compiled, one_hot):
    model = by_global_average()
    if compiled:
        model.compile("sgd", "categorical_crossentropy" if one_hot else SPARSE)
    x, y = samples(model)
    page = page_of(tmp_path, model, x, to_categorical(y, 3) if one_hot else y)
    p = page.stage(-1, "y")
    close(page.stage(-1, "dx"), p - np.eye(3)[y[0]])
    close(page.stage(-1, "t"), np.eye(3)[y[0]])
    assert page.model["loss"] == pytest.approx(-np.log(p[y[0]]), rel=1e-5)
    assert page.model["label"] == y[0]


def test_a_loss_of_logits_or_of_numbers_is_taken_as_it_is(tmp_path):
    set_random_seed(3)
    model = Sequential([Dense(3, input_shape=(4,))])
    x, y = samples(model)
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    page = page_of(tmp_path, model, x, y)
    z = page.stage(0, "y")
    close(page.stage(0, "dy"), np.exp(z) / np.exp(z).sum() - np.eye(3)[y[0]])
    target = np.ones((4, 3))
    model.compile("sgd", "mse")
    page = page_of(tmp_path, model, x, target)
    close(page.stage(0, "dy"), 2 * (z - 1) / 3)
    assert page.model["label"] is None


def test_a_sigmoid_s_loss_takes_the_scores_too(tmp_path):
    set_random_seed(3)
    model = Sequential([Dense(1, activation="sigmoid", input_shape=(4,))])
    model.compile("sgd", "binary_crossentropy")
    page = page_of(tmp_path, model, np.ones((2, 4)), np.array([1, 0]))
    close(page.stage(0, "dy"), page.stage(1, "y") - 1)
    assert "loss takes" in page.stages[1]["notes"][0]


def test_the_penalty_on_an_output_is_part_of_the_gradient(tmp_path):
    layers = [Dense(3, activity_regularizer="l2", input_shape=(4,)), Softmax()]
    set_random_seed(3)
    model = Sequential(layers)
    model.compile("sgd", SPARSE)
    page = page_of(tmp_path, model, np.ones((1, 4)), [1])
    # the penalty on y is 0.01 * sum of y^2
    close(page.stage(0, "dy"), page.stage(1, "dx") + 0.02 * page.stage(0, "y"))


def test_the_penalty_does_not_depend_on_how_many_images_there_are(tmp_path):
    set_random_seed(3)
    model = Sequential([Dense(3, activity_regularizer="l2", input_shape=(4,)), Softmax()])
    model.compile("sgd", SPARSE)
    pages = [page_of(tmp_path, model, np.ones((n, 4)), np.ones(n, int)) for n in (1, 5)]
    np.testing.assert_array_equal(*[page.stage(0, "dy") for page in pages])


def test_images_that_have_no_say_are_not_run(tmp_path):
    model = by_global_average()
    x, y = np.zeros((40_000, *model.input_shape[1:]), np.float32), np.zeros(40_000, int)
    x[-1] = samples(model)[0][0]
    passed = []
    forward = type(model.layers[0]).forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Conv2D,
            "forward",
            lambda self, x, training: passed.append(x) or forward(self, x, training),
        )
        page = page_of(tmp_path, model, x, y, image=-1, training=True)
    assert [len(one) for one in passed] == [1]
    np.testing.assert_array_equal(page.stage(0, "x"), x[-1])
    assert (page.model["N"], page.model["image"]) == (40_000, 39_999)


def test_smoothed_targets_are_not_shown_as_p_minus_t(tmp_path):
    model = by_global_average()
    x, y = samples(model)
    model.compile("sgd", losses.CategoricalCrossentropy(label_smoothing=0.3))
    page = page_of(tmp_path, model, x, to_categorical(y, 3))
    assert page.stage(-1, "t") is None
    smoothed = 0.7 * np.eye(3)[y[0]] + 0.1
    close(page.stage(-1, "dx"), page.stage(-1, "y") - smoothed)


def test_numbers_that_are_not_finite_are_shown_and_no_error(tmp_path):
    model = Sequential([Dense(2, dtype="float64", input_shape=(1,), kernel_initializer="ones")])
    model.compile("sgd", "mse")
    page = page_of(tmp_path, model, np.array([[1e200]]), np.zeros((1, 2)))
    assert page.model["loss"] is None
    assert np.isposinf(page.stage(0, "y")).all()


# -- saliency and Grad-CAM ------------------------------------------------------------------------


def test_saliency_is_the_slope_of_the_score(tmp_path):
    model = by_global_average()
    x, _ = samples(model)
    page = page_of(tmp_path, model, x, image=1)
    found = page.content["attention"]
    scores = Sequential([*model.layers[:-1], Dense(3)])
    scores.build(model.input_shape)
    scores.layers[-1].set_weights(model.layers[-1].get_weights())
    wanted = np.zeros(x.shape[1:3])
    for place in np.ndindex(*x.shape[1:]):  # the score is linear in x
        moved = x[1:2].astype(np.float64)
        moved[(0, *place)] += 1
        slope = (scores.predict(moved, verbose=0) - scores.predict(x[1:2], verbose=0))[0]
        wanted[place[:2]] = max(wanted[place[:2]], abs(slope[found["class"]]))
    np.testing.assert_allclose(page.array(found["saliency"]), wanted, atol=1e-5)
    assert found["class"] == model.predict(x, verbose=0)[1].argmax()
    assert found["of_score"]


def test_grad_cam_is_the_weighted_sum_of_the_channels(tmp_path):
    model = by_global_average()
    x, _ = samples(model)
    page = page_of(tmp_path, model, x)
    found = page.content["attention"]
    A = page.stage(0, "y")
    # behind GlobalAveragePooling2D the slope of a score is W / (H W) everywhere
    alpha = model.layers[-1].params["W"][:, found["class"]] / A[..., 0].size
    close(page.array(found["cam"]), np.maximum((A * alpha).sum(-1), 0))
    assert found["cam_layer"] == model.layers[0].name


def test_grad_cam_by_hand():
    A = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    dA = np.array([[[1.0, 0.0], [3.0, -2.0]]])  # alpha = (2, -1)
    np.testing.assert_array_equal(grad_cam(A, dA), [[0, 2]])


def test_without_classes_there_is_no_saliency(tmp_path):
    model = Sequential([Conv2DTranspose(2, 3, input_shape=(5, 5, 1))])
    found = page_of(tmp_path, model, np.ones((1, 5, 5, 1))).content["attention"]
    assert found["saliency"] is None
    assert "no list of classes" in found["why_not"]


# -- the page -------------------------------------------------------------------------------------


def test_the_same_call_gives_the_same_file(tmp_path):
    model = every_view()
    given = samples(model)
    pages = [page_of(tmp_path, model, *given, training=True).html for _ in range(2)]
    assert pages[0] == pages[1]


def test_the_page_asks_for_nothing(tmp_path):
    html = page_of(tmp_path, every_view(), *samples(every_view())).html
    without_data = re.sub(r'id="content">.*?</script>', "", html, flags=re.DOTALL)
    assert not re.search(r"https?:|src=|href=|@import|fetch\(|XMLHttp|WebSocket", without_data)
    assert "default-src 'none'" in html


def test_a_name_cannot_end_the_script(tmp_path):
    name = "</script><script>alert(1)</script>"
    model = Sequential([Dense(2, activation="softmax", name=name, input_shape=(3,))], name=name)
    page = page_of(tmp_path, model, np.ones((1, 3)), [0], class_names=[name, "b"])
    assert "alert(1)</script>" not in page.html.replace("&lt;/script&gt;", "")
    assert page.stages[0]["name"] == name
    assert page.model["class_names"] == [name, "b"]


def test_equal_arrays_are_stored_once(tmp_path):
    model = Sequential([Flatten(input_shape=(4, 4, 1)), Dropout(0.5), Dense(2)])
    page = page_of(tmp_path, model, np.arange(16.0).reshape(1, 4, 4, 1))
    first = page.stages[0]["x"]["data"]
    assert [page.stages[k][side]["data"] for k in (0, 1) for side in "xy"] == [first] * 4


def test_the_formulas_are_the_docstring_s_and_the_line_is_the_class_s(tmp_path):
    page = page_of(tmp_path, every_view(), samples(every_view())[0])
    stage = page.stages[1]
    heads = dict(stage["lesson"])
    assert heads["Forward"].startswith("z[n,i,j,f] = b[f] + sum over a,b,c of")
    assert "dx = col2im(dz @ W^T)" in heads["Backward"]
    assert heads["Why"].endswith("col2im sums what those windows send back.")
    file, line = stage["source"].split(":")
    text = Path(minicnn.__file__).parent.parent.joinpath(file).read_text().splitlines()
    assert text[int(line) - 1].startswith("class Conv2D(")


@pytest.mark.parametrize("name", minicnn.layers.__all__)
def test_every_layer_has_a_lesson_and_a_source(name):
    cls = getattr(minicnn.layers, name)
    if isinstance(cls, type):
        assert lesson(cls)[0][1]
        assert re.fullmatch(r"minicnn/layers/[\w/]+\.py:\d+", source(cls))


def test_a_user_s_layer_is_shown_without_being_explained(tmp_path):
    class Twice(Layer):
        def forward(self, x, training=False):
            self._cache = ()
            return 2 * self._input(x)

        def backward(self, dy):
            return 2 * self._recall(dy)[0]

    class Loud(Conv2D):
        def forward(self, x, training=False):
            return 3 * super().forward(x, training)

    model = Sequential(
        [Loud(2, 2, activation="relu", input_shape=(4, 4, 1)), Twice(), Flatten(), Dense(2)]
    )
    model.layers[0].set_weights([np.ones((2, 2, 1, 2)), np.zeros(2)])  # three times 0 would be 0
    page = page_of(tmp_path, model, np.ones((1, 4, 4, 1)))
    assert [stage["view"] for stage in page.stages] == ["generic", "generic", "flatten", "dense"]
    close(page.stage(1, "y"), 2 * page.stage(1, "x"))
    assert page.stages[1]["source"].startswith("test_explain.py:")


def test_a_layer_that_only_predicts_is_shown_forward(tmp_path):
    class OneWay(Layer):
        def forward(self, x, training=False):
            self._cache = ()
            return self._input(x)

    model = Sequential([OneWay(input_shape=(3,)), Dense(2, activation="softmax")])
    page = page_of(tmp_path, model, np.ones((1, 3)))
    assert "OneWay" in page.content["attention"]["why_not"]


def test_an_activation_with_arguments_is_shown_by_its_slope(tmp_path):
    model = Sequential([ReLU(negative_slope=0.1, input_shape=(2,)), Dense(2, activation="softmax")])
    page = page_of(tmp_path, model, np.array([[-1.0, 2.0]]), [0])
    assert page.stages[0]["view"] == "elementwise"
    close(page.stage(0, "slope"), [0.1, 1])


def test_one_number_in_a_channel_is_warned_of(tmp_path):
    model = Sequential([BatchNormalization(input_shape=(3,)), Dense(2, activation="softmax")])
    page = page_of(tmp_path, model, np.ones((1, 3)), [0], training=True)
    assert "several images" in page.stages[0]["notes"][0]


# -- size -----------------------------------------------------------------------------------------


def deeper():
    path = Path(__file__).parent.parent / "examples"
    sys.path.insert(0, str(path))
    try:
        from fashion_mnist import deeper_model, scaling
    finally:
        sys.path.remove(str(path))
    return deeper_model(*scaling(False))


@pytest.mark.parametrize("training", [False, True])
def test_the_deeper_model_is_whole_in_5_megabytes(tmp_path, training):
    model = deeper()
    x, y = np.random.default_rng(1).integers(0, 256, (1, 28, 28, 1)), [3]
    page = page_of(tmp_path, model, x, y, training=training)
    assert page.model["share"] == 1
    assert len(page.html.encode()) <= 5e6


@pytest.mark.parametrize("megabytes", [0.25, 0.6])
def test_a_larger_model_keeps_the_strongest_channels(tmp_path, megabytes):
    model = deeper()
    x, y = np.random.default_rng(1).integers(0, 256, (1, 28, 28, 1)), [3]
    whole = page_of(tmp_path, model, x, y)
    page = page_of(tmp_path, model, x, y, megabytes=megabytes)
    assert len(page.html.encode()) <= 1e6 * megabytes
    assert 0 < page.model["share"] < 1
    for k, stage in enumerate(page.stages):
        for side in ("x", "y"):
            keep = stage[side].get("keep", slice(None))
            np.testing.assert_array_equal(page.stage(k, side), whole.stage(k, side)[..., keep])
        if "W" in stage["others"]:
            entry = stage["others"]["W"]
            W = whole.stage(k, "W")[..., entry.get("keep", slice(None))]
            W = W[..., entry.get("keep_in", slice(None)), :]
            np.testing.assert_array_equal(page.stage(k, "W"), W)
    conv = page.stages[3]
    gain = np.abs(whole.stage(3, "y") * whole.stage(3, "dy")).sum((0, 1))
    kept = conv["y"]["keep"]
    assert gain[kept].min() >= np.delete(gain, kept).max()
    assert page.stages[4]["y"]["keep"] == kept  # ReLU hands the choice on


def test_one_channel_of_each_layer_stays_in_any_case(tmp_path):
    model = every_view()
    page = page_of(tmp_path, model, *samples(model), training=True, megabytes=0.001)
    assert [len(stage["y"].get("keep", "all")) for stage in page.stages[1:6]] == [1] * 5


# -- the model and the call -----------------------------------------------------------------------


# with the engine a dozen kernels are compiled that no other test needs
@pytest.mark.parametrize("jit_compile", and_slow([False], ["auto"], "in_ci"))
@pytest.mark.parametrize("training", [False, True])
def test_the_model_stays_as_it_is(tmp_path, training, jit_compile):
    model = every_view()
    model.compile("adam", SPARSE, metrics=["accuracy"], jit_compile=jit_compile)
    x, y = samples(model, 8)
    model.fit(x, y, epochs=1, verbose=0)
    twin = every_view()
    twin.compile("adam", SPARSE, metrics=["accuracy"], jit_compile=jit_compile)
    twin.fit(x, y, epochs=1, verbose=0)

    def life(one):
        arrays = [a for leaf in one.leaves for a in (*leaf.arrays().values(), *leaf.grads.values())]
        streams = [vars(leaf).get("_step") for leaf in one.leaves]
        return [a.tobytes() for a in arrays], streams, one.rng.bit_generator.state, one.steps_taken

    before = life(model)
    minicnn.explain(model, x, y, tmp_path / "a.html", training=training)
    after = life(model)
    assert before[0] == after[0]
    assert before[1:] == after[1:]
    for one in (model, twin):  # and goes on as if nothing had been
        one.fit(x, y, epochs=1, verbose=0)
    np.testing.assert_array_equal(model.flat_params, twin.flat_params)


def test_backward_of_a_forward_before_it_still_works(tmp_path):
    model = Sequential([Dense(2, input_shape=(3,))])
    model.forward(np.ones((5, 3), np.float32))
    minicnn.explain(model, np.ones((1, 3)), path=tmp_path / "a.html")
    assert model.backward(np.ones((5, 2), np.float32)).shape == (5, 3)


@pytest.mark.parametrize(
    "lines",
    and_slow(
        [
            "import minicnn; f = minicnn.explain",
            "from minicnn.explain.page import page; import minicnn; f = minicnn.explain",
        ],
        [
            "import minicnn.explain; f = minicnn.explain",
            "from minicnn import explain as f",
            "import minicnn; minicnn.explain; import minicnn.explain.page; f = minicnn.explain",
            "from minicnn.explain import explain as f",
        ],
    ),
)
@pytest.mark.in_ci
def test_it_can_be_called_however_it_was_imported(lines, tmp_path):
    code = (
        f"{lines}\nimport numpy, minicnn.layers as l, minicnn\n"
        "m = minicnn.Sequential([l.Dense(2, input_shape=(3,))])\n"
        f"print(f(m, numpy.ones((1, 3)), path={str(tmp_path / 'a.html')!r}).name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["a.html"], done.stderr


def test_the_package_is_called_with_the_function_s_arguments():
    called = inspect.signature(minicnn.explain)
    assert called.parameters == inspect.signature(minicnn.explain.explain).parameters


def test_it_costs_no_time_at_import():
    code = "import minicnn, sys; print('minicnn.explain' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False"], done.stderr


def test_float64_is_shown_as_float32(tmp_path):
    model = Sequential([Dense(2, dtype="float64", input_shape=(3,))])
    page = page_of(tmp_path, model, np.ones((1, 3)))
    assert page.model["float64"] is True
    close(page.stage(0, "y"), model.predict(np.ones((1, 3)), verbose=0)[0])


def test_a_callback_may_explain_while_the_model_is_fitted(tmp_path):
    model = by_global_average()
    model.compile("sgd", SPARSE)
    x, y = samples(model)
    write = lambda epoch, logs: minicnn.explain(model, x, y, tmp_path / f"{epoch}.html")  # noqa: E731
    model.fit(x, y, epochs=2, verbose=0, callbacks=[LambdaCallback(on_epoch_end=write)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.html", "1.html"]


@pytest.mark.parametrize("training", and_slow([True], [False], "in_ci"))
@pytest.mark.parametrize(
    "cls", [cls for cls in LAYERS if cls is not InputLayer], ids=lambda cls: cls.__name__
)
def test_every_layer_of_the_library_can_be_explained(tmp_path, cls, training):
    for model, x in in_networks(cls):
        y = np.arange(len(x)) % 2
        first = walked(model, x, y, training)[0]
        page = page_of(tmp_path, model, x, y, training=training)
        last = int(page.stages[0]["letters"][1] == "z")
        close(page.stage(0, "x"), first["x"][0])
        close(page.stage(last, "y").ravel(), first["y"][0].ravel())
        if first["layer"].activity_regularizer is None:  # which adds to dy
            close(page.stage(0, "dx"), first["dx"][0])


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def _few_images(monkeypatch):
    drawn = synthetic_fashion.load_data(n_train=60, n_test=20)
    monkeypatch.setattr(command.synthetic_fashion, "load_data", lambda: drawn)


@pytest.mark.usefixtures("_few_images")
def test_the_command_explains_a_saved_model(tmp_path, capsys):
    set_random_seed(2)
    model = Sequential(
        [
            Conv2D(2, 3, activation="relu", input_shape=(28, 28, 1)),
            MaxPooling2D(4),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )
    model.save(tmp_path / "model.keras")
    few = ["--data", "synthetic", "--image", "5", "--batch", "3", "--training"]
    out = tmp_path / "a.html"
    assert command.main([str(tmp_path / "model.keras"), *few, "--output", str(out)]) == 0
    page = Page(out)
    assert (page.model["N"], page.model["image"], page.model["training"]) == (3, 2, True)
    assert page.model["class_names"][9] == "Ankle boot"
    assert "a.html: 0." in capsys.readouterr().out


@pytest.mark.usefixtures("_few_images")
def test_the_command_trains_the_tutorial_s_model(tmp_path, capsys):
    out = tmp_path / "a.html"
    given = ["--data", "synthetic", "--epochs", "1", "--output", str(out)]
    assert command.main(given) == 0
    shown = [stage["class"] for stage in Page(out).stages]
    assert shown[:5] == ["Rescaling", "Conv2D", "ReLU", "MaxPooling2D", "Dropout"]
    assert "Training the tutorial's model" in capsys.readouterr().out


@pytest.mark.usefixtures("_few_images")
def test_the_command_says_what_is_wrong(tmp_path, capsys):
    model = Sequential([Dense(2, input_shape=(3,))])
    model.save(tmp_path / "model.keras")
    missing = [str(tmp_path / "none.keras"), "--data", "synthetic"]
    assert command.main(missing) == 1
    assert "none.keras" in capsys.readouterr().err
    wrong = [str(tmp_path / "model.keras"), "--data", "synthetic"]
    assert command.main(wrong) == 1
    assert "expected x of shape (N, 3)" in capsys.readouterr().err


def test_arrays_are_little_endian_float32(tmp_path):
    model = Sequential([Dense(1, input_shape=(2,))])
    page = page_of(tmp_path, model, np.array([[1.0, -2.0]]))
    raw = base64.b64decode(page.content["arrays"][page.stages[0]["x"]["data"]])
    assert raw.hex() == "0000803f000000c0"
