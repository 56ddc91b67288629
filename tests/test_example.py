"""examples/fashion_mnist.py, and the tutorial's calls with nothing but the imports changed."""

import importlib.util
import io
import runpy
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

mpl.use("Agg")

from minicnn.datasets import fashion_mnist, synthetic_fashion
from minicnn.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from minicnn.metrics import classification_report
from minicnn.model_selection import train_test_split
from minicnn.models import Sequential
from minicnn.optimizers import Adam
from minicnn.utils import set_random_seed

PATH = Path(__file__).parent.parent / "examples" / "fashion_mnist.py"


@pytest.fixture(scope="module")
def few():
    return synthetic_fashion.load_data(n_train=600, n_test=100)


@pytest.fixture
def example(monkeypatch, few):
    """The example as a module, on so few drawn images that it takes a moment."""
    spec = importlib.util.spec_from_file_location("example", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.synthetic_fashion, "load_data", lambda: few)
    return module


@pytest.fixture(autouse=True)
def close_pictures():
    yield
    mpl.pyplot.close("all")


def run(example, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["fashion_mnist.py", *map(str, arguments)])
    return example.main()


def test_top_to_bottom(example, monkeypatch, tmp_path, capsys):
    code = run(example, monkeypatch, "--data", "synthetic", "--output", tmp_path / "a" / "b")
    out = capsys.readouterr().out
    assert code == 0
    for line in (
        "Training data shape: (600, 28, 28)",
        "Training labels shape: (600,)",
        "Test data shape: (100, 28, 28)",
        "Test labels shape: (100,)",
        "Training set shape: (480, 28, 28) (480,)",
        "Validation set shape: (120, 28, 28) (120,)",
        "Test set shape: (100, 28, 28) (100,)",
        " Total params: 173,738 (678.66 KB)",
        "Synthetic Fashion (drawn, not Fashion-MNIST), tutorial model",
        "Classification Report: Synthetic Fashion (drawn, not Fashion-MNIST)",
        "A deeper model has 467,818 parameters: --model deeper trains it.",
    ):
        assert line in out.splitlines()
    assert "Epoch 1/2 - 4/4" in out
    assert "Epoch 2/2 - 4/4" in out
    assert "Test accuracy: 0." in out
    assert "weighted avg" in out
    assert "The run took" in out
    assert str(tmp_path / "a" / "b") in out
    pictures = {file.name for file in (tmp_path / "a" / "b").iterdir()}
    assert pictures == {
        "training_images.png",
        "training_curves.png",
        "predictions.png",
        "confusion_matrix.png",
    }


@pytest.mark.in_ci
def test_the_deeper_model_trains(example, monkeypatch, tmp_path, capsys):
    options = ("--model", "deeper", "--epochs", 1, "--raw-pixels", "--batch-size", 200)
    assert run(example, monkeypatch, "--data", "synthetic", *options, "--output", tmp_path) == 0
    out = capsys.readouterr().out
    assert " Total params: 467,818 (1.78 MB)" in out
    assert "3/3 - " in out
    assert "deeper model" in out


@pytest.mark.in_ci
def test_a_saved_model_names_what_is_on_pictures(example, monkeypatch, tmp_path, capsys):
    file = tmp_path / "model.keras"
    given = ["--checkpoint", str(tmp_path / "run"), "--output", str(tmp_path)]
    assert (
        run(
            example,
            monkeypatch,
            "--data",
            "synthetic",
            "--epochs",
            "1",
            "--save",
            str(file),
            *given,
        )
        == 0
    )
    assert [one.name for one in (tmp_path / "run").iterdir()] == ["best.keras"]

    images = synthetic_fashion.load_data()[1][0]
    Image.fromarray(images[0]).save(tmp_path / "dark.png")
    Image.fromarray(255 - images[0]).resize((300, 200)).convert("RGB").save(tmp_path / "shop.jpg")
    (tmp_path / "text.png").write_text("no picture")
    capsys.readouterr()
    pictures = [str(tmp_path / name) for name in ("dark.png", "shop.jpg", "text.png", "none.png")]
    predict = runpy.run_path(str(PATH.with_name("predict.py")))["main"]
    monkeypatch.setattr(sys, "argv", ["predict.py", str(file), *pictures])
    assert predict() == 1
    said = capsys.readouterr()
    assert [line.split(": ")[0] for line in said.out.splitlines()] == pictures[:2]
    assert all(line.count("%") == 3 for line in said.out.splitlines())
    assert [line.split(": ")[0] for line in said.err.splitlines()] == pictures[2:]

    file.write_bytes(b"no model")
    assert predict() == 1
    assert "model.keras" in capsys.readouterr().err


@pytest.mark.in_ci
def test_min_accuracy_decides_the_exit(example, monkeypatch, tmp_path, capsys):
    options = ("--data", "synthetic", "--epochs", 1, "--output", tmp_path, "--min-accuracy")
    assert run(example, monkeypatch, *options, 0.999) == 1
    assert "below 0.999" in capsys.readouterr().err


@pytest.mark.in_ci
def test_one_seed_one_result(example, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(example.Pictures, "keep", lambda self, figure, name: None)
    results = []
    for seed in (1, 1, 2):
        options = ("--data", "synthetic", "--epochs", 1, "--output", tmp_path, "--seed", seed)
        run(example, monkeypatch, *options)
        lines = capsys.readouterr().out.splitlines()
        results.append([line for line in lines if line.startswith("Test loss")])
    assert results[0] == results[1] != results[2]


@pytest.mark.in_ci
def test_where_the_data_cannot_be_had_it_says_so_and_goes_on(
    example, monkeypatch, tmp_path, capsys
):
    def nowhere(path=None):
        raise fashion_mnist.DatasetUnavailable("all the places that were tried")

    monkeypatch.setattr(example.fashion_mnist, "load_data", nowhere)
    assert run(example, monkeypatch, "--epochs", 1, "--output", tmp_path) == 0
    out = capsys.readouterr().out
    assert "Fashion-MNIST CANNOT BE HAD" in out
    assert "all the places that were tried" in out
    assert "Synthetic Fashion (drawn, not Fashion-MNIST)" in out


def test_damaged_data_is_no_reason_to_go_on(example, monkeypatch, tmp_path):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"")
    with pytest.raises(SystemExit, match="train-images-idx3-ubyte.gz"):
        run(example, monkeypatch, "--data", tmp_path, "--output", tmp_path / "out")


@pytest.mark.in_ci
def test_a_folder_that_the_output_cannot_name(example, monkeypatch, tmp_path):
    """A log in ASCII, or in Windows's own encoding, and a home directory in another language."""
    log = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", log)
    folder = tmp_path / "Łódź"
    assert run(example, monkeypatch, "--data", "synthetic", "--epochs", 1, "--output", folder) == 0
    log.seek(0)
    text = log.read()
    assert r"\u0141\xf3d\u017a" in text
    assert "| Layer (type)" in text


@pytest.mark.parametrize("option", ["--epochs", "--batch-size"])
@pytest.mark.parametrize("value", ["0", "-1", "2.5", "many"])
def test_wrong_options(example, monkeypatch, capsys, option, value):
    with pytest.raises(SystemExit) as stopped:
        run(example, monkeypatch, f"{option}={value}")
    assert stopped.value.code == 2
    assert "expected a whole number from 1" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(example, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit, match="Choose another with --output"):
        run(example, monkeypatch, "--data", "synthetic", "--output", tmp_path / "file" / "sub")


def test_the_tutorials_calls():
    """Call by call as Keras's users write them, on a few images."""
    (X_train, y_train), (X_test, y_test) = synthetic_fashion.load_data(n_train=300, n_test=50)
    X_train, X_val, y_train, y_val = train_test_split(
        X_train, y_train, test_size=0.2, random_state=42
    )
    model = Sequential(
        [
            Conv2D(filters=32, kernel_size=3, activation="relu", input_shape=(28, 28, 1)),
            MaxPooling2D(pool_size=2),
            Dropout(0.2),
            Flatten(),
            Dense(32, activation="relu"),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        loss="sparse_categorical_crossentropy",
        optimizer=Adam(learning_rate=0.001),
        metrics=["accuracy"],
    )
    history = model.fit(
        X_train, y_train, batch_size=128, epochs=2, verbose=1, validation_data=(X_val, y_val)
    )
    assert set(history.history) == {"accuracy", "val_accuracy", "loss", "val_loss"}
    test_loss, test_accuracy = model.evaluate(X_test, y_test, verbose=0)
    assert np.isfinite(test_loss)
    assert 0 <= test_accuracy <= 1
    y_pred_classes = np.argmax(model.predict(X_test), axis=1)
    report = classification_report(
        y_test, y_pred_classes, labels=range(10), target_names=fashion_mnist.CLASS_NAMES
    )
    assert "Ankle boot" in report


@pytest.mark.slow
def test_a_network_sees_more_in_the_drawn_set_than_a_linear_classifier():
    (X, y), (X_test, y_test) = synthetic_fashion.load_data(n_train=12_000, n_test=2_000)
    accuracies = {}
    for name, layers in (
        ("linear", [Flatten(input_shape=(28, 28))]),
        (
            "network",
            [
                Conv2D(32, 3, activation="relu", input_shape=(28, 28, 1)),
                MaxPooling2D(2),
                Flatten(),
                Dense(32, activation="relu"),
            ],
        ),
    ):
        set_random_seed(0)
        model = Sequential([*layers, Dense(10, activation="softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(X / np.float32(255), y, batch_size=64, epochs=4, verbose=0)
        accuracies[name] = model.evaluate(X_test / np.float32(255), y_test, verbose=0)[1]
    assert accuracies["network"] > accuracies["linear"] + 0.04
    assert accuracies["network"] > 0.8
