"""Losses, metrics and trainings that were drawn, and what Keras made of them.

`fixtures/make_keras_drawn.py --check` compares as many as one likes with Keras itself.
"""

import json
from pathlib import Path

import pytest
from cases.drawn import KINDS, differences, outcome

import minicnn

STORED = json.loads((Path(__file__).parent / "fixtures/keras_drawn.json").read_text("utf-8"))


WAYS = [*((kind, "auto") for kind in KINDS), ("training", False)]


@pytest.mark.parametrize(("kind", "jit_compile"), WAYS)
def test_what_is_drawn_comes_out_as_in_keras(kind, jit_compile):
    names = [name for name in STORED["cases"] if name.startswith(f"{kind} ")]
    assert len(names) > 25
    wrong = [
        f"{name}: {line}"
        for name in names
        for line in differences(
            outcome(name, minicnn, jit_compile=jit_compile), STORED["cases"][name]
        )
    ]
    assert not wrong, "\n".join(wrong[:20])
