"""The summary, character by character, against what Keras printed (fixtures/keras_summary)."""

import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from test_models import deeper, tutorial

from minicnn import Sequential
from minicnn.console import columns
from minicnn.layers import Conv2D, Dense, Flatten

FIXTURES = Path(__file__).parent / "fixtures" / "keras_summary"


@pytest.fixture(autouse=True)
def fresh_names(monkeypatch):
    monkeypatch.setattr("minicnn.layers.names._names", Counter())


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


# -- names, widths and wrong arguments ------------------------------------------------------------


def test_letters_that_are_two_columns_wide(monkeypatch):
    """The frame stays straight, and a name that is too long is cut by columns, as Keras does."""
    monkeypatch.setenv("COLUMNS", "80")
    names = [
        "卷积",
        "卷积神经网络的第一层也是最后一层",
        "e\N{COMBINING ACUTE ACCENT}te",
        "tab\tand\nline",
    ]
    model = Sequential([Dense(1, name=name) for name in names])
    model.build((None, 2))
    table = printed(model).splitlines()[1:-4]
    assert len({columns(line) for line in table}) == 1
    assert "│ 卷积 (Dense)                    │ (None, 1)" in table[3]
    assert any("│ 卷积神经网络的第一层也是最后一… │" in line for line in table)
    assert any("tab and line (Dense) " in line for line in table)


@pytest.mark.parametrize("width", [1, 2, 10_000])
def test_the_narrowest_and_the_widest(width):
    lines = printed(tutorial(), line_length=width).splitlines()[1:-3]
    assert len({len(line) for line in lines}) == 1
    assert width - 6 <= len(lines[0]) <= max(width, 16)


def test_a_name_of_a_million_letters_is_cut_at_once(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    started = time.process_time()
    for name in ("a" * 10**6, "积" * 10**6):
        text = printed(Sequential([Dense(1, input_shape=(2,), name=name)]))
        assert max(map(columns, text.splitlines()[1:])) == 76
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"line_length": 0}, ValueError, "line_length to be an integer >= 1, received 0"),
        ({"line_length": 10_001}, ValueError, "line_length to be an integer from 1 to 10000"),
        ({"line_length": 2**31}, ValueError, "line_length to be an integer from 1 to 10000"),
        ({"line_length": 10**5000}, ValueError, "line_length to be .*, received 2[*][*]16609"),
        ({"line_length": 80.0}, TypeError, "line_length"),
        ({"line_length": np.array([80])}, TypeError, "line_length"),
        ({"line_length": True}, TypeError, "line_length"),
        ({"print_fn": "print"}, TypeError, "print_fn to be a function of a text"),
        ({"print_fn": np.zeros(3)}, TypeError, "print_fn"),
        ({"expand_nested": None}, TypeError, "expand_nested to be True or False, received None"),
        ({"expand_nested": "no"}, TypeError, "expand_nested to be True or False, received 'no'"),
        ({"expand_nested": 1}, TypeError, "expand_nested"),
        ({"expand_nested": np.array([True, False])}, TypeError, "expand_nested"),
        ({"show_trainable": np.array([True, False])}, TypeError, "show_trainable"),
        ({"show_trainable": 0}, TypeError, "show_trainable"),
    ],
)
def test_wrong_arguments(options, error, words):
    with pytest.raises(error, match=f"summary: expected {words}"):
        tutorial().summary(**({"print_fn": str} | options))


def test_expand_nested_changes_nothing():
    model = tutorial()
    assert printed(model, expand_nested=True) == printed(model, expand_nested=np.bool_(False))
