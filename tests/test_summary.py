"""The summary, character by character, against what Keras printed (fixtures/keras_summary)."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from test_models import deeper, tutorial

from minicnn import Sequential
from minicnn.layers import Conv2D, Dense, Flatten

FIXTURES = Path(__file__).parent / "fixtures" / "keras_summary"


@pytest.fixture(autouse=True)
def fresh_names(monkeypatch):
    monkeypatch.setattr("minicnn.layers.base._names", Counter())


def printed(model, **options):
    texts = []
    model.summary(print_fn=texts.append, **options)
    return "\n".join(texts) + "\n"


def after_fit():
    model = tutorial()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(np.zeros((1, 28, 28)), [0], verbose=0)
    return model


def frozen():
    model = tutorial()
    model.layers[0].trainable = False
    return model


def second():
    tutorial()
    return tutorial()


def long_names():
    return Sequential(
        [
            Conv2D(
                4, 3, input_shape=(28, 28, 1), name="the_first_convolution_of_the_whole_network"
            ),
            Flatten(name="flat"),
            Dense(10, name="classes_of_clothing_in_fashion_mnist_and_nothing_else"),
        ]
    )


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
@pytest.mark.parametrize("make", [tutorial, deeper])
def test_at_every_width(monkeypatch, make, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    expected = FIXTURES / f"{make.__name__}.columns_{columns}.txt"
    assert printed(make()) == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "options", "name"),
    [
        (tutorial, {"line_length": 60}, "tutorial.columns_80_line_length_60"),
        (tutorial, {"show_trainable": True}, "tutorial.columns_80_show_trainable"),
        (deeper, {"show_trainable": True}, "deeper.columns_80_show_trainable"),
        (frozen, {}, "tutorial_frozen.columns_80"),
        (frozen, {"show_trainable": True}, "tutorial_frozen.columns_80_show_trainable"),
        (after_fit, {}, "tutorial_after_fit_adam.columns_80"),
        (second, {}, "tutorial_second_model.columns_80"),
        (Sequential, {}, "empty.columns_80"),
    ],
)
def test_in_every_state(monkeypatch, make, options, name):
    monkeypatch.setenv("COLUMNS", "80")
    assert printed(make(), **options) == (FIXTURES / f"{name}.txt").read_text(encoding="utf-8")


def test_words_that_are_too_long_are_cut(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed(long_names()).splitlines()
    expected = (FIXTURES / "long_names.columns_80.txt").read_text(encoding="utf-8").splitlines()
    assert lines == expected
