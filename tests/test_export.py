"""ONNX: every layer of the table, and networks of them, against onnxruntime.

Where onnxruntime has an operator in float32 alone, onnx's reference evaluator computes float64.
"""

import sys

import numpy as np
import pytest
from cases import Draw
from cases.layers import LAYERS, public_layers
from counts import and_slow
from hypothesis import given
from strategies import CASES, SEEDS, Case, error, every_kind, networks, within

import minicnn
from minicnn import Sequential, activations
from minicnn.export import onnx_bytes
from minicnn.export.layers import EXPORTERS
from minicnn.layers import (
    GLU,
    Activation,
    ActivationLayer,
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    InputLayer,
    Layer,
    LayerNormalization,
    MaxPooling2D,
    Permute,
    PReLU,
    Rescaling,
    Reshape,
    Resizing,
    Softmax,
    UpSampling2D,
)
from minicnn.layers.activations import KNOWN, ReLU

onnx = pytest.importorskip("onnx", reason="the package onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
reference = pytest.importorskip("onnx.reference")

LIMITS = {"float32": 1e-5, "float64": 1e-5}


def run(content, x):
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as missing:
        if x.dtype != np.float64 or "NOT_IMPLEMENTED" not in str(missing):
            raise
        return reference.ReferenceEvaluator(onnx.load_from_string(content)).run(None, {"input": x})[
            0
        ]
    return session.run(None, {"input": x})[0]


def nodes(model):
    return [node.op_type for node in onnx.load_from_string(onnx_bytes(model)).graph.node]


def assert_the_same(model, x, what):
    """Ours and theirs, for this batch and for a batch of one; the checker has been asked."""
    y = model(x)
    content = onnx_bytes(model)
    for some in (slice(None), slice(0, 1)):
        theirs = run(content, x[some])
        assert theirs.dtype == y.dtype
        ours = y if some == slice(None) else model(x[:1])
        within(LIMITS[str(x.dtype)], f"ONNX {what} {x.dtype}", error(theirs, ours, 1.0))


def model_of(layer, shape):
    model = Sequential([layer])
    model.build((None, *shape[1:]))
    return model


def built(*layers):
    """A model with no number left at the 0 or 1 that could hide a mistake."""
    model, rng = Sequential(list(layers)), np.random.default_rng(3)
    for layer in model.leaves:
        for key, array in layer.arrays().items():
            spread = (0.5, 2.0) if "variance" in key else (-1.0, 1.0)
            array[...] = rng.uniform(*spread, array.shape)
    return model


def images(*shape):
    return np.random.default_rng(4).standard_normal(shape).astype(np.float32)


# -- every layer ----------------------------------------------------------------------------------


def test_every_public_layer_has_an_operator():
    """A new layer is one function and one line of EXPORTERS in minicnn/export/layers.py."""
    missing = {kind.__name__ for kind in public_layers() - set(EXPORTERS)}
    assert not missing, f"no entry in EXPORTERS of minicnn/export/layers.py: {missing}"


@pytest.mark.parametrize("dtype", and_slow(["float32"], ["float64"], "in_ci"))
@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].kind is not InputLayer])
def test_every_example_of_the_table(name, dtype):
    case = CASES[name]
    assert_the_same(model_of(case.layer(dtype), case.shape), case.x(dtype), case.kind.__name__)


@pytest.mark.parametrize(
    "kind", [kind for kind in every_kind if kind is not InputLayer], ids=lambda kind: kind.__name__
)
@given(SEEDS)
def test_every_layer_with_random_arguments(kind, seed):
    draw = Draw(seed)
    kwargs, shape = LAYERS[kind].draw(draw)
    case = Case(kind, kwargs, shape, draw.one_of("normal", "negative"), seed)
    assert_the_same(model_of(case.layer("float32"), shape), case.x("float32"), kind.__name__)


@given(networks)
def test_random_networks(network):
    x = network.batch(3)[0].astype(np.float32)
    assert_the_same(network.model("float32"), x, "networks")


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_every_activation_by_its_name(name):
    x = np.linspace(-9, 9, 56, dtype=np.float32).reshape(4, 14)
    for layer in (Dense(6, activation=name), Activation(name)):
        assert_the_same(built(minicnn.Input(x.shape[1:]), layer), x, name)


def test_glu_in_images_and_behind_flatten():
    x = images(3, 6, 5, 2)
    for axis in (-1, 1):
        assert_the_same(built(minicnn.Input((6, 5, 2)), GLU(axis)), x, "GLU")
    model = built(
        Conv2D(4, 3, padding="same", activation="glu", input_shape=(6, 5, 2)),
        DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="glu"),
        MaxPooling2D(2),
        Dense(4, activation="glu"),
        Flatten(),
        GLU(),
        Dense(2, activation="glu"),
    )
    assert_the_same(model, x, "GLU")


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("sizes", [(7, 1), (10, 6), (28, 96), (96, 28), (6, 3), (3, 9), (8, 32)])
def test_resizing_where_a_place_lies_on_a_half(sizes, interpolation):
    n_in, n_out = sizes
    layer = Resizing(n_out, n_out + 1, interpolation, input_shape=(n_in, n_in, 2))
    assert_the_same(built(layer), images(2, n_in, n_in, 2), "Resizing")


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("factors", [2, 3, (4, 2), (1, 5)])
def test_whole_factors(factors, interpolation):
    layer = UpSampling2D(factors, interpolation=interpolation, input_shape=(150, 9, 2))
    assert_the_same(built(layer), images(1, 150, 9, 2), "UpSampling2D")


# -- transposing ----------------------------------------------------------------------------------


def test_between_layers_of_images_nothing_is_transposed_and_flatten_needs_none():
    model = built(
        Rescaling([0.5, 2.0], [1.0, -1.0], input_shape=(9, 8, 2)),
        Conv2D(4, 3, padding="same", activation="relu"),
        BatchNormalization(),
        PReLU(shared_axes=[1, 2]),
        Dense(6, activation="tanh"),
        MaxPooling2D(2),
        LayerNormalization(),
        Dropout(0.5),
        Softmax(axis=1),
        Conv2DTranspose(3, 3),
        Flatten(),
        BatchNormalization(),
        PReLU(),
        Dense(5),
        Softmax(),
    )
    assert nodes(model).count("Transpose") == 1
    assert "Gather" not in nodes(model)
    assert_the_same(model, images(3, 9, 8, 2), "order")


def test_images_are_transposed_once_in_and_once_out():
    model = built(Conv2D(3, 3, input_shape=(6, 5, 2)), Conv2D(2, 2, activation="gelu"))
    assert nodes(model)[0] == nodes(model)[-1] == "Transpose"
    assert nodes(model).count("Transpose") == 2
    assert_the_same(model, images(2, 6, 5, 2), "order")


def test_a_row_that_is_held_in_another_order_is_brought_into_ours_where_it_has_to_be():
    model = built(Conv2D(3, 3, input_shape=(6, 5, 2)), Flatten(), Reshape((9, 4)), Permute((2, 1)))
    assert_the_same(model, images(2, 6, 5, 2), "order")
    assert_the_same(built(Conv2D(3, 3, input_shape=(6, 5, 2)), Flatten()), images(2, 6, 5, 2), "x")


# -- the file -------------------------------------------------------------------------------------


@pytest.fixture
def model():
    inner = Sequential([Conv2D(3, 3, activation="relu", name="conv")], name="base")
    return built(minicnn.Input((6, 5, 2)), inner, GlobalAveragePooling2D(), Dense(4, name="head"))


def test_what_the_file_says(model, tmp_path):
    model.export(tmp_path / "model.onnx")
    made = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(made, full_check=True)
    assert (made.producer_name, made.producer_version) == ("minicnn", minicnn.__version__)
    assert [(one.domain, one.version) for one in made.opset_import] == [("", 18)]
    assert made.graph.name == model.name
    assert "(N, 6, 5, 2) in, (N, 4) out" in made.graph.doc_string
    ends = [*made.graph.input, *made.graph.output]
    assert [one.name for one in ends] == ["input", "output"]
    sizes = [[d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim] for one in ends]
    assert sizes == [["N", 6, 5, 2], ["N", 4]]
    names = [node.name for node in made.graph.node]
    assert {"base/conv/Conv", "base/conv/Relu", "head/Gemm"} <= set(names)
    constants = {one.name for one in made.graph.initializer}
    assert {"base/conv/kernel", "base/conv/bias", "head/kernel", "head/bias"} <= constants


def test_layers_with_names_of_any_kind_get_different_names_in_the_file():
    inner = Sequential([Dense(3, name="b")], name="a")
    model = built(
        minicnn.Input((4,)),
        inner,
        Dense(3, name="a/b"),
        Dense(3, name="input"),
        ReLU(name="output"),
    )
    assert_the_same(model, images(2, 4), "names")


def test_a_model_that_does_nothing():
    assert nodes(built(Dropout(0.5, input_shape=(3,)))) == ["Identity"]


def test_a_second_export_replaces_the_first_and_training_goes_on(model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    model.export(str(path), format="ONNX")
    first = path.read_bytes()
    model.compile("sgd", "mse")
    x = images(4, 6, 5, 2)
    model.fit(x, np.ones((4, 4)), verbose=0)
    model.export(path)
    assert path.read_bytes() != first
    assert list(tmp_path.iterdir()) == [path]
    within(1e-5, "ONNX after fit", error(run(path.read_bytes(), x), model(x), 1.0))


# -- refusals -------------------------------------------------------------------------------------


class Twice(Layer):
    def forward(self, x, training=False):
        return 2 * self._input(x)


class Square(ActivationLayer):
    def forward(self, x, training=False):
        return self._input(x) ** 2


class MyDense(Dense):
    pass


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Twice(), "Twice 'twice"),
        (Square(), "Square 'square"),
        (MyDense(2), "MyDense 'my_dense"),
        (Dense(2, activation=Square()), "Square '.*inside Dense"),
        (Activation(activations.Function(np.sin, np.cos)), "Function '.*inside Activation"),
    ],
)
def test_a_users_own_code_is_refused_and_no_file_is_written(layer, words, tmp_path):
    model = Sequential([Dense(3, input_shape=(2,)), Sequential([layer])])
    with pytest.raises(TypeError, match=rf"export: expected layers of minicnn.layers.*{words}"):
        model.export(tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_unbuilt_model_another_format_and_another_path_are_refused(model, tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match="export needs a built model.*input_shape"):
        Sequential([Dense(3)]).export(path)
    with pytest.raises(ValueError, match="expected format to be one of onnx; received 'tflite'"):
        model.export(path, format="tflite")
    with pytest.raises(TypeError, match="expected format"):
        model.export(path, format=None)
    with pytest.raises(ValueError, match=r"expected filepath to end in \.onnx"):
        model.export(tmp_path / "model")
    with pytest.raises(TypeError, match="expected filepath"):
        model.export(3)
    with pytest.raises(ValueError, match="opset_version can only be None or 18"):
        model.export(path, opset_version=7)
    with pytest.raises(TypeError, match="unexpected keyword"):
        model.export(path, opset=7)
    with pytest.raises(FileNotFoundError):
        model.export(tmp_path / "none" / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"onnx, which is not installed.*minicnn\[onnx\]"):
        model.export(tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_no_file_can_hold_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr("minicnn.export.LARGEST", 100)
    with pytest.raises(ValueError, match="less than 2 GB"):
        model.export(tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
